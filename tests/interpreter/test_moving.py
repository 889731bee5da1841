"""Where a run stands in another version of its workflow, and when it may not go on there."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from workflow_engine import dsl
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.moving import moved
from workflow_engine.runtimes.local import LocalRun

HEAD = "document: {dsl: '1.0.3', namespace: test, name: moving, version: '1.0.0'}\n"


def graph(text: str) -> StateGraph:
    return dsl.compile(dsl.parse(HEAD + text))


def standing(text: str, at: str) -> Any:
    """The position of a run that has come to the state called *at*, before which it is stopped."""
    local = LocalRun(graph(text), run_id="r")

    async def stop() -> None:
        while local.run is None or at not in [str(leaf.state) for leaf in local.run.root.leaves()]:
            await local.scheduler.sleep(0.01)
        positions.append(local.run.position())
        local.control.cancel()

    positions: list[Any] = []
    local.scheduler.spawn(stop())
    asyncio.run(local.execute({}))
    return positions[0]


SIMPLE = "do: [{a: {set: {n: 1}}}, {b: {wait: PT1H}}, {c: {set: {m: 2}}}]"


def test_a_state_is_known_by_its_name_wherever_it_stands_in_its_region():
    new = graph("do: [{a: {set: {n: 1}}}, {new: {set: {z: 1}}}, {b: {wait: PT2H}}, {d: {set: {z: 1}}}]")
    there = moved(standing(SIMPLE, "/do/1/b"), graph(SIMPLE), new, {})
    assert there.hindrances == []
    assert there.position is not None
    root: Any = there.position["root"]
    assert root["state"] == "/do/2/b"
    assert root["local"]["place"] == "/do/1/b"
    assert there.position["counts"]["/do/2/b"] == 1
    assert there.remarks == ["/do/1/new is new and stands before /do/1/b: it is not done"]


def test_a_state_with_another_name_has_to_be_mapped():
    new = graph("do: [{a: {set: {n: 1}}}, {pause: {wait: PT2H}}]")
    position = standing(SIMPLE, "/do/1/b")
    there = moved(position, graph(SIMPLE), new, {})
    assert [(each.state, each.why) for each in there.hindrances] == [
        ("/do/1/b", "the run stands there, and no such state is there any more; map it to another")
    ]
    there = moved(position, graph(SIMPLE), new, {"/do/1/b": "/do/1/pause"})
    assert there.position is not None
    there = moved(position, graph(SIMPLE), new, {"/do/1/b": "/do/7/nowhere"})
    assert there.hindrances[0].why == "no such state, though it is to be mapped"


LOOP = """do:
- each:
    for: {each: item, in: '${ [1, 2] }'}
    do: [{inner: {wait: PT1H}}]
"""
FORK = """do:
- both: {fork: {branches: [{one: {wait: PT1H}}, {two: {wait: PT2H}}]}}
"""
TRIED = """do:
- risky: {try: [{inner: {wait: PT1H}}], catch: {as: e, do: [{mend: {set: {z: 1}}}]}}
"""


@pytest.mark.parametrize(
    ("old", "at", "new", "state", "why"),
    [
        (SIMPLE, "/do/1/b", "do: [{b: {set: {z: 1}}}]", "/do/1/b", "was of the kind sleep and is assign now"),
        (
            LOOP,
            "/do/0/each/do/0/inner",
            LOOP.replace("each: item", "each: thing"),
            "/do/0/each",
            "its item is another now",
        ),
        (
            LOOP,
            "/do/0/each/do/0/inner",
            LOOP.replace("inner", "other"),
            "/do/0/each/do/0/inner",
            "no such state is there any more",
        ),
        (
            FORK,
            "/do/0/both/fork/branches/0/one",
            FORK.replace("{one: {wait: PT1H}}, ", "{one: {wait: PT1H}}, {three: {wait: PT1H}}, "),
            "/do/0/both",
            "has other branches or parts now",
        ),
        (
            FORK,
            "/do/0/both/fork/branches/0/one",
            FORK.replace("fork: {", "fork: {compete: true, "),
            "/do/0/both",
            "its race is another now",
        ),
        (
            TRIED,
            "/do/0/risky/try/0/inner",
            TRIED.replace("as: e", "as: problem"),
            "/do/0/risky",
            "catches in another way now",
        ),
    ],
)
def test_a_run_is_not_moved_where_its_progress_would_mean_something_else(
    old: str, at: str, new: str, state: str, why: str
):
    there = moved(standing(old, at), graph(old), graph(new), {})
    assert there.position is None
    assert [each.state for each in there.hindrances][:1] == [state]
    assert why in there.hindrances[0].why


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LOOP, LOOP.replace("[1, 2]", "[1, 2, 3]").replace("PT1H", "PT3H")),
        (FORK, FORK.replace("two: {wait: PT2H}", "two: {wait: PT9H}")),
        (TRIED, TRIED.replace("do:\n", "do:\n- first: {set: {z: 1}}\n")),
    ],
)
def test_what_does_not_concern_its_progress_may_change(old: str, new: str):
    at = next(id for id in _ids(graph(old)) if id.endswith(("inner", "one")))
    there = moved(standing(old, at), graph(old), graph(new), {})
    assert there.hindrances == []


def _ids(compiled: StateGraph) -> list[str]:
    from workflow_engine.graph.model import states_of

    return [state.id for state in states_of(compiled)]


def test_another_workflow_is_refused():
    other = dsl.compile(dsl.parse(HEAD.replace("name: moving", "name: other") + SIMPLE))
    there = moved(standing(SIMPLE, "/do/1/b"), graph(SIMPLE), other, {})
    assert [each.why for each in there.hindrances] == ["it is another workflow: test/other"]


BETWEEN = "do: [{a: {set: {n: 1}}}, {b: {set: {m: 2}}}, {c: {set: '${ {c: .} }'}}]"


def between(text: str) -> Any:
    """The position of a run that has done `a`, and stands before `b`."""
    positions: list[Any] = []

    def look(run: Any) -> None:
        if run.root.state == "/do/1/b":
            positions.append(json.loads(json.dumps(run.position())))

    asyncio.run(LocalRun(graph(text), run_id="r", at_gate=look).execute({}))
    return positions[0]


@pytest.mark.parametrize(
    ("new", "output", "remarks"),
    [
        (BETWEEN, {"c": {"m": 2}}, []),
        (
            "do: [{a: {set: {n: 2}}}, {x: {set: '${ {x: .} }'}}, {b: {set: '${ {b: .} }'}}]",
            {"b": {"x": {"n": 1}}},
            [],
        ),
        (
            "do: [{z: {set: {z: 1}}}, {a: {set: {n: 2}}}, {x: {set: '${ {x: .} }'}}]",
            {"x": {"n": 1}},
            ["/do/0/z is new"],
        ),
        (
            "do: [{b: {set: {m: 3}}}, {a: {set: {n: 2}}}]",
            {"n": 1},
            ["/do/1/b was next, and comes earlier now"],
        ),
    ],
)
def test_a_run_between_two_states_goes_on_with_what_comes_after_the_first(
    new: str, output: Any, remarks: list[str]
):
    there = moved(between(BETWEEN), graph(BETWEEN), graph(new), {})
    assert there.hindrances == []
    assert [remark[: len(start)] for remark, start in zip(there.remarks, remarks, strict=True)] == remarks
    ended = asyncio.run(LocalRun(graph(new), run_id="r").execute({}, position=there.position))
    assert ended.output == output


def test_where_a_state_leads_by_itself_the_run_goes_on_there():
    """What it has chosen stays chosen: there is no telling what it would choose now."""
    old = "do: [{a: {switch: [{yes: {then: b}}]}}, {x: {set: {x: 1}}}, {b: {set: {m: 2}}}]"
    new = (
        "do: [{a: {switch: [{yes: {then: x}}]}}, {x: {set: {x: 1}}}, {b: {set: {m: 3}}}, {x2: {set: {x: 2}}}]"
    )
    positions: list[Any] = []

    def look(run: Any) -> None:
        if run.root.state == "/do/2/b":
            positions.append(run.position())

    asyncio.run(LocalRun(graph(old), run_id="r", at_gate=look).execute({}))
    there = moved(positions[0], graph(old), graph(new), {})
    assert there.position is not None
    root: Any = there.position["root"]
    assert root["state"] == "/do/2/b"
