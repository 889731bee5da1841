"""Laws of merging, and that the result of parallel branches does not depend on time."""

from __future__ import annotations

import copy
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.semantics.v0_8.documents import workflow
from workflow_engine import dsl
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.values import deep_equal, deep_merge, delta

scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from([1.0, 0.0, "a", ""])
keys = st.sampled_from("abc")
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=3)
quick = settings(max_examples=80, deadline=None)


@quick
@given(values, values)
def test_merging_again_changes_nothing(left: Any, right: Any) -> None:
    once = deep_merge(left, right)
    assert deep_equal(deep_merge(once, right), once)


@quick
@given(objects)
def test_merging_nothing_changes_nothing(data: Any) -> None:
    assert deep_equal(deep_merge(data, {}), data)
    assert deep_equal(deep_merge({}, data), data)


@quick
@given(values, values)
def test_merging_leaves_its_arguments_alone(left: Any, right: Any) -> None:
    before = copy.deepcopy((left, right))
    deep_merge(left, right)
    delta(left, right)
    assert before == (left, right)


@quick
@given(objects, objects)
def test_what_is_incoming_wins_and_nothing_is_lost(left: Any, right: Any) -> None:
    merged = deep_merge(left, right)
    assert list(merged) == [*left, *(key for key in right if key not in left)]
    for key, value in right.items():
        if not isinstance(value, dict | list) and not isinstance(left.get(key), list):
            assert deep_equal(merged[key], value)
    for key in left.keys() - right.keys():
        assert deep_equal(merged[key], left[key])


@quick
@given(st.lists(values, max_size=4), st.lists(values, max_size=4))
def test_arrays_are_joined_in_order_and_repeat_nothing_that_is_there(left: Any, right: Any) -> None:
    joined = deep_merge(left, right)
    assert joined[: len(left)] == left
    added = joined[len(left) :]
    for number, value in enumerate(added):
        assert not any(deep_equal(value, other) for other in [*left, *added[:number]])
    assert all(any(deep_equal(value, present) for present in joined) for value in right)


@quick
@given(objects, values)
def test_merging_what_a_merge_changed_does_the_same_as_the_merge(data: Any, result: Any) -> None:
    after = deep_merge(data, result)
    assert deep_equal(deep_merge(data, delta(data, after)), after)
    assert delta(data, data) == {}


# --- branches -----------------------------------------------------------------------------------------------

results = st.dictionaries(keys, st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2), max_size=2)
branches = st.lists(st.lists(results, min_size=1, max_size=2), min_size=1, max_size=3)


def forked(actions: list[list[Any]], delays: list[int], parallel: str) -> str:
    """Each branch merges its results one after the other, with the next delay before each."""
    waits = iter(delays)
    functions: list[Any] = []
    listed = []
    for branch in actions:
        mine = []
        for _ in branch:
            name = f"f{len(functions)}"
            functions.append({"name": name, "type": "expression", "operation": f"$CONST.r[{len(functions)}]"})
            mine.append({"functionRef": name, "sleep": {"before": f"PT{next(waits)}S"}})
        listed.append(mine)
    if parallel == "branches":
        state: Any = {
            "type": "parallel",
            "branches": [{"name": f"b{n}", "actions": a} for n, a in enumerate(listed)],
        }
    else:
        state = {
            "type": "operation",
            "actionMode": "parallel",
            "actions": [action for mine in listed for action in mine],
        }
    body = {
        "constants": {"r": [result for branch in actions for result in branch]},
        "functions": functions,
        "states": [{"name": "Fork", **state, "end": True}],
    }
    return workflow(yaml.safe_dump(body))


async def outcome(text: str, data: Any) -> Any:
    ended = await LocalRun(dsl.compile(dsl.parse(text)), run_id="r").execute(data)
    assert ended.status == "completed", ended.error
    return ended.output


@settings(max_examples=15, deadline=None)
@given(
    objects,
    branches,
    st.lists(st.integers(1, 5), min_size=6, max_size=6),
    st.sampled_from(["branches", "actions"]),
)
async def test_the_result_of_parallel_work_does_not_depend_on_how_long_each_part_takes(
    data: Any, actions: Any, delays: list[int], parallel: str
) -> None:
    found = await outcome(forked(actions, delays, parallel), data)
    assert deep_equal(found, await outcome(forked(actions, [1] * 6, parallel), data))
    assert deep_equal(found, await outcome(forked(actions, delays[::-1], parallel), data))


@settings(max_examples=15, deadline=None)
@given(objects, st.lists(results, min_size=1, max_size=3))
async def test_a_single_branch_gives_what_its_actions_give(data: Any, actions: Any) -> None:
    expected = data
    for result in actions:
        expected = deep_merge(expected, result)
    assert deep_equal(await outcome(forked([actions], [1] * 6, "branches"), data), expected)
