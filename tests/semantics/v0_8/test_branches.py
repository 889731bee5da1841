"""Parallel and foreach states: decisions B24 to B27, on both runtimes."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import Any

import pytest
from aiohttp import web

from tests.semantics.v0_8.documents import error, kind, output, refused, workflow
from tests.semantics.v0_8.services import services
from workflow_engine import dsl
from workflow_engine.runtimes.local import LocalRun

FUNCTIONS = """
functions:
  - {name: double, type: expression, operation: '.n * 2'}
  - {name: see, type: expression, operation: .}
  - {name: mark, type: expression, operation: '{mark: true}'}
  - {name: fail, type: expression, operation: 'error("no")'}
"""


def loop(settings: str) -> str:
    """A foreach state over ``.list`` with *settings*."""
    head = (
        FUNCTIONS + "states:\n  - name: Each\n    type: foreach\n    inputCollection: .list\n    end: true\n"
    )
    return head + textwrap.indent(textwrap.dedent(settings).strip(), "    ")


def fork(settings: str) -> str:
    """A parallel state with *settings*."""
    head = FUNCTIONS + "states:\n  - name: Fork\n    type: parallel\n    end: true\n"
    return head + textwrap.indent(textwrap.dedent(settings).strip(), "    ")


# --- foreach ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["n", "${ .n }", ".n"])
async def test_b24_an_iteration_sees_the_state_data_with_its_element_which_is_gone_afterwards(
    run: Any, name: str
) -> None:
    body = loop(f"""
        iterationParam: '{name}'
        outputCollection: .seen
        actions: [{{functionRef: see}}]
    """)
    given = {"list": [1, 2], "a": 0}
    assert await output(run, body, given) == {**given, "seen": [{**given, "n": 1}, {**given, "n": 2}]}


async def test_b24_the_element_is_a_variable_too_and_called_item_by_default(run: Any) -> None:
    body = loop("""
        outputCollection: .seen
        actions:
          - subFlowRef: echo
            condition: '$item > 1'
            sleep: {before: '${ "PT0.0\\($item)S" }'}
            actionDataFilter: {fromStateData: '{i: $item, same: (.item == $item)}'}
    """)
    echo = workflow("states: [{name: A, type: inject, data: {}, end: true}]", id="echo")
    ended = await output(run, body, {"list": [1, 2, 3]}, others=[echo])
    assert ended["seen"] == [{"i": 2, "same": True}, {"i": 3, "same": True}]


async def test_b24_what_an_iteration_changes_is_its_own(run: Any) -> None:
    body = loop(
        "mode: sequential\nactions: [{functionRef: see, actionDataFilter: {toStateData: .all}}]\noutputCollection: .o"
    )
    data = {"list": [1, 2]}
    assert (await output(run, body, data))["o"] == [{**data, "item": 1}, {**data, "item": 2}]


@pytest.mark.parametrize("name", ["''", "'$n'", ".a.b", "'${ .a, .b }'"])
def test_b24_the_element_needs_one_name(name: str) -> None:
    found = refused(loop(f"iterationParam: {name}\nactions: []"))
    assert (found.code, found.pointer) == ("invalid-value", "/states/0/iterationParam")


async def test_b25_each_iteration_gives_the_result_of_its_last_action_in_the_order_of_the_input(
    run: Any,
) -> None:
    body = loop("""
        iterationParam: n
        outputCollection: .results
        actions:
          - {functionRef: double, sleep: {before: '${ "PT0.\\(4 - .n)S" }', after: PT0.01S}}
          - {functionRef: mark, condition: '.n == 2'}
          - {functionRef: see, actionDataFilter: {useResults: false}}
    """)
    given = {"list": [1, 2, 3], "results": ["before"]}
    ended = await output(run, body, given)
    assert ended == {"list": [1, 2, 3], "results": ["before", 2, {"mark": True}, 6]}


async def test_b25_iterations_without_a_result_and_without_a_collection_add_nothing(run: Any) -> None:
    assert await output(run, loop("outputCollection: .results\nactions: []"), {"list": [1]}) == {
        "list": [1],
        "results": [],
    }
    assert await output(run, loop("actions: [{functionRef: mark}]"), {"list": [1]}) == {"list": [1]}


@pytest.mark.parametrize(
    ("settings", "most"), [("mode: sequential", 1), ("batchSize: 2", 2), ("batchSize: '0'", 4)]
)
async def test_b26_a_batch_is_done_before_the_next_one_begins(run: Any, settings: str, most: int) -> None:
    body = loop(f"""
        {settings}
        iterationParam: n
        actions:
          - functionRef: {{refName: work, arguments: {{n: '${{ .n }}'}}}}
          - functionRef: {{refName: done, arguments: {{n: '${{ .n }}'}}}}
    """).replace(
        "functions:",
        "functions:\n  - {name: work, operation: 'f#work'}\n  - {name: done, operation: 'f#done'}",
    )
    async with services(work=lambda _: {}, done=lambda _: {}) as service:
        await output(run, body, {"list": [1, 2, 3, 4]}, resources=await service.pin(workflow(body)))
        active, seen = 0, []
        finished: set[int] = set()
        for name, given in service.calls:
            active += 1 if name == "work" else -1
            seen.append(active)
            finished |= {given["n"]} if name == "done" else set()
            first_of_batch = (given["n"] - 1) // most * most + 1
            assert finished >= set(range(1, first_of_batch))
    assert max(seen) <= most
    assert len(seen) == 8


def test_b26_a_batch_size_is_a_whole_number() -> None:
    found = refused(loop("batchSize: two\nactions: []"))
    assert (found.code, found.pointer) == ("invalid-value", "/states/0/batchSize")


async def test_b26_a_batch_size_may_be_an_expression(run: Any) -> None:
    body = loop("batchSize: '${ .size }'\nactions: []")
    assert (await output(run, body, {"list": [1, 2, 3], "size": 2}))["list"] == [1, 2, 3]
    fault = await error(run, body, {"list": [1], "size": "two"})
    assert kind(fault) == "expression"


async def test_a_collection_that_is_no_array_is_an_error(run: Any) -> None:
    inputs: list[Any] = [{}, {"list": None}, {"list": {"a": 1}}, {"list": 3}]
    for input in inputs:
        fault = await error(run, loop("actions: []"), input)
        assert (kind(fault), fault["instance"]) == ("expression", "/states/0"), input


async def test_an_empty_collection_gives_an_empty_one(run: Any) -> None:
    body = loop("outputCollection: '.out[\"a/b\"]'\nactions: [{functionRef: mark}]")
    assert await output(run, body, {"list": [], "out": {"a/b": [1]}}) == {"list": [], "out": {"a/b": [1]}}


# --- parallel -----------------------------------------------------------------------------------------------


async def test_b27_branches_see_copies_and_are_merged_in_the_order_of_the_document(run: Any) -> None:
    body = fork("""
        branches:
          - name: slow
            actions:
              - {functionRef: mark, sleep: {before: PT0.05S}}
              - {functionRef: double, actionDataFilter: {toStateData: .n}}
              - {functionRef: double, actionDataFilter: {toStateData: .list}}
          - name: fast
            actions:
              - {functionRef: see, actionDataFilter: {fromStateData: '{m: .mark}', toStateData: .fast}}
              - {functionRef: double, actionDataFilter: {toStateData: .list}}
    """)
    assert await output(run, body, {"n": 1, "list": [0]}) == {
        "n": 2,
        "list": [0, 4, 2],
        "mark": True,
        "fast": {"m": None},
    }


async def test_b27_enough_branches_end_the_state_and_the_others_are_given_up(run: Any) -> None:
    body = fork("""
        completionType: atLeast
        numCompleted: '2'
        branches:
          - {name: never, actions: [{functionRef: mark, sleep: {before: PT1H}}]}
          - {name: a, actions: [{functionRef: double, actionDataFilter: {toStateData: .a}}]}
          - {name: b, actions: [{functionRef: double, actionDataFilter: {toStateData: .b}}]}
    """)
    assert await output(run, body, {"n": 2}) == {"n": 2, "a": 4, "b": 4}


async def test_b27_an_error_in_any_branch_is_the_error_of_the_state_at_once(run: Any) -> None:
    body = fork("""
        completionType: atLeast
        numCompleted: 1
        branches:
          - {name: never, actions: [{functionRef: mark, sleep: {before: PT1H}}]}
          - {name: fails, actions: [{functionRef: fail, sleep: {before: PT0.01S}}]}
    """)
    fault = await error(run, body, {})
    assert (kind(fault), fault["instance"]) == ("expression", "/states/0/branches/1/actions/0")


async def test_b27_an_error_gives_up_the_calls_of_the_other_branches(run: Any) -> None:
    body = """
    functions: [{name: fail, operation: 'f#fail'}]
    states:
      - name: Fork
        type: parallel
        branches:
          - {name: sleeps, actions: [{functionRef: fail, sleep: {before: PT1H}}]}
          - {name: fails, actions: [{functionRef: fail}]}
        end: true
    """
    async with services(fail=lambda _: web.Response(status=404)) as service:
        fault = await error(run, body, resources=await service.pin(workflow(body)))
        assert (kind(fault), fault["status"]) == ("communication", 404)
        assert len(service.calls) == 1


@pytest.mark.parametrize("value", ["0", "3"])
def test_b27_enough_is_a_number_of_branches(value: str) -> None:
    found = refused(
        fork(f"""
        completionType: atLeast
        numCompleted: {value}
        branches: [{{name: a, actions: []}}, {{name: b, actions: []}}]
    """)
    )
    assert (found.code, found.pointer) == ("invalid-value", "/states/0/numCompleted")


async def test_b27_enough_may_be_an_expression(run: Any) -> None:
    body = fork("""
        completionType: atLeast
        numCompleted: '${ .n }'
        branches:
          - {name: a, actions: [{subFlowRef: never}]}
          - {name: b, actions: [{subFlowRef: soon}]}
    """)
    never = workflow("states: [{name: S, type: sleep, duration: PT1H, end: true}]", id="never")
    soon = workflow("states: [{name: S, type: inject, data: {b: true}, end: true}]", id="soon")
    assert await output(run, body, {"n": 1}, others=[never, soon]) == {"n": 1, "b": True}
    fault = await error(run, body, {"n": 3}, others=[never, soon])
    assert kind(fault) == "expression"


def test_b27_a_number_that_would_not_count_is_refused() -> None:
    found = refused(fork("numCompleted: 1\nbranches: [{name: a, actions: []}]"))
    assert (found.code, found.pointer) == ("misplaced-property", "/states/0/numCompleted")


async def test_no_more_iterations_than_a_run_can_bear_are_under_way_at_once() -> None:
    body = loop(
        "iterationParam: n\noutputCollection: .out\nactions: [{functionRef: double, sleep: {before: PT1S}}]"
    )
    local = LocalRun(dsl.compile(dsl.parse(workflow(body))))
    ended = await local.execute({"list": list(range(1100))})
    assert ended.output == {"list": list(range(1100)), "out": [n * 2 for n in range(1100)]}
    starts = Counter(
        step.at for step in local.progress if step.phase == "started" and step.name == "before double"
    )
    assert list(starts.values()) == [500, 500, 100]
