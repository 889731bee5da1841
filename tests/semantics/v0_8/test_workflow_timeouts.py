"""How long a workflow, its branches and states may take: decisions B16 to B18, inherited timeouts (dsl.md §2.9)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v0_8.documents import error, event, kind, output, problems, workflow

SLOW = workflow("states: [{name: S, type: sleep, duration: PT1H, end: true}]", id="slow")
QUICK = workflow("states: [{name: S, type: inject, data: {quick: true}, end: true}]", id="quick")


async def test_b18_a_run_that_is_interrupted_ends_with_a_timeout_error(run: Any) -> None:
    body = """
timeouts: {workflowExecTimeout: {duration: PT0.2S, interrupt: true}}
states: [{name: A, type: sleep, duration: PT1H, end: true}]
"""
    fault = await error(run, body)
    assert (kind(fault), fault["status"], fault["instance"]) == (
        "timeout",
        408,
        "/timeouts/workflowExecTimeout",
    )


async def test_b18_a_state_is_run_before_an_interrupted_run_ends(run: Any) -> None:
    body = """
timeouts: {workflowExecTimeout: {duration: PT0.2S, interrupt: true, runBefore: Late}}
states:
  - {name: A, type: inject, data: {a: 1}, transition: B}
  - {name: B, type: sleep, duration: PT1H, transition: C}
  - {name: C, type: inject, data: {c: 1}, end: true}
  - {name: Late, type: inject, data: {late: true}, transition: Later}
  - {name: Later, type: inject, data: {later: true}, end: true}
"""
    assert await output(run, body, {"n": 1}) == {"n": 1, "a": 1, "late": True, "later": True}


async def test_b18_without_interrupt_the_current_state_is_finished_first(run: Any) -> None:
    body = """
timeouts: {workflowExecTimeout: {duration: PT0.2S, runBefore: Late}}
functions: [{name: x, type: expression, operation: '{slept: true}'}]
states:
  - {name: A, type: operation, actions: [{functionRef: x, sleep: {before: PT0.5S}}], transition: C}
  - {name: C, type: inject, data: {c: 1}, end: true}
  - {name: Late, type: inject, data: {late: true}, end: true}
"""
    assert await output(run, body) == {"slept": True, "late": True}
    assert await output(run, body.replace("PT0.5S", "PT0.01S").replace("PT0.2S", "PT30S")) == {
        "slept": True,
        "c": 1,
    }


async def test_b18_the_short_form_lets_the_current_state_finish_and_then_is_a_timeout_error(run: Any) -> None:
    body = """
timeouts: {workflowExecTimeout: PT0.2S}
states:
  - {name: A, type: sleep, duration: PT0.4S, transition: B}
  - {name: B, type: inject, data: {}, end: true}
"""
    assert kind(await error(run, body)) == "timeout"
    assert await output(run, body.replace("PT0.4S", "PT0.01S").replace("PT0.2S", "PT30S"), {"n": 1}) == {
        "n": 1
    }


async def test_b18_who_only_waits_for_an_event_is_not_waited_for(run: Any) -> None:
    body = """
timeouts: {workflowExecTimeout: {duration: PT1.5S, runBefore: Late}}
events: [{name: E, type: e, source: tests}]
states:
  - {name: S, type: inject, data: {s: 1}, transition: W}
  - {name: W, type: event, onEvents: [{eventRefs: [E]}], transition: W2}
  - {name: W2, type: event, onEvents: [{eventRefs: [E]}], end: true}
  - {name: Late, type: inject, data: {late: true}, end: true}
"""
    assert await output(run, body, events=[event("e", "1", {"e": 1})]) == {"s": 1, "e": 1, "late": True}


def test_b18_the_state_before_the_end_is_one_that_nothing_leads_to() -> None:
    body = """
timeouts: {workflowExecTimeout: {duration: PT1H, runBefore: %s}}
states:
  - {name: A, type: inject, data: {}, transition: B}
  - {name: B, type: inject, data: {}, end: true}
"""
    place = "/timeouts/workflowExecTimeout/runBefore"
    assert [(each.code, each.pointer) for each in problems(body % "B")] == [("invalid-value", place)]
    assert [(each.code, each.pointer) for each in problems(body % "Nowhere")] == [("unknown-state", place)]


async def test_b18_a_workflow_that_compensates_may_have_a_state_before_its_end_too(run: Any) -> None:
    body = """
timeouts: {workflowExecTimeout: {duration: PT1H, runBefore: Late}}
states:
  - {name: A, type: inject, data: {a: 1}, compensatedBy: Undo, end: {compensate: true}}
  - {name: Late, type: inject, data: {late: true}, end: true}
  - {name: Undo, type: inject, data: {undone: true}, usedForCompensation: true}
"""
    assert await output(run, body) == {"a": 1, "undone": True}


FORK = """
%s
states:
  - name: A
    type: parallel
    %s
    branches:
      - {name: a, actions: [{subFlowRef: slow}] %s}
      - {name: b, actions: [{subFlowRef: quick}]}
    end: true
    onErrors: [{errorRef: '*', transition: Handled}]
  - {name: Handled, type: inject, data: {handled: true}, end: true}
"""


@pytest.mark.parametrize(
    ("where", "key"),
    [
        (0, "branchExecTimeout"),
        (1, "branchExecTimeout"),
        (2, "branchExecTimeout"),
        (0, "actionExecTimeout"),
        (2, "actionExecTimeout"),
    ],
)
async def test_b16_a_branch_has_its_timeouts_from_itself_its_state_or_the_workflow(
    run: Any, where: int, key: str
) -> None:
    timeouts = f"timeouts: {{{key}: PT0.2S}}"
    places = ["", "", ""]
    places[where] = ", " + timeouts if where == 2 else timeouts
    assert await output(run, FORK % tuple(places), others=[SLOW, QUICK]) == {"handled": True}


async def test_the_nearest_timeout_counts(run: Any) -> None:
    body = FORK % ("timeouts: {branchExecTimeout: PT0.01S}", "timeouts: {branchExecTimeout: PT30S}", "")
    body = body.replace("subFlowRef: slow", "functionRef: x, sleep: {before: PT0.05S}")
    body += "functions: [{name: x, type: expression, operation: '{x: 1}'}]\n"
    assert await output(run, body, others=[QUICK]) == {"x": 1, "quick": True}


@pytest.mark.parametrize("timeouts", ["{stateExecTimeout: PT0.2S}", "{stateExecTimeout: {total: PT0.2S}}"])
async def test_b16_a_state_has_its_timeout_from_the_workflow(run: Any, timeouts: str) -> None:
    body = f"""
timeouts: {timeouts}
states: [{{name: A, type: operation, actions: [{{subFlowRef: slow}}], end: true}}]
"""
    fault = await error(run, body, others=[SLOW])
    assert (kind(fault), fault["instance"]) == ("timeout", "/states/0")


async def test_events_have_their_timeout_from_the_workflow(run: Any) -> None:
    body = """
timeouts: {eventTimeout: PT0.2S}
events: [{name: E, type: never, source: tests}]
states:
  - {name: S, type: inject, data: {s: 1}, transition: W}
  - {name: W, type: event, onEvents: [{eventRefs: [E]}], end: true}
"""
    assert await output(run, body) == {"s": 1}
