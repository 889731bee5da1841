"""What is done on the way out of a state: events, compensation, another workflow (decisions B19, B34, B45, B46)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v0_8.documents import error, event, kind, output, problems, refused, workflow
from workflow_engine import dsl
from workflow_engine.graph import render

P = "events: [{name: P, type: p, kind: produced}, {name: A, type: a, source: tests}]\n"


async def emitted(run: Any, body: str, input: Any = None, channel: str = "default") -> tuple[Any, list[Any]]:
    """The output of *body*, and the events that it published."""
    ended = await run(workflow(body), input)
    assert ended.status == "completed", ended.error
    if run.name == "local":
        return ended.output, ended.channels.get(channel, [])
    page = await run.router.events(channel)
    mine = [item["event"] for item in reversed(page.events) if item["event"]["id"].startswith(ended.run_id)]
    return ended.output, mine


# --- produceEvents ------------------------------------------------------------------------------------------


async def test_a_transition_publishes_before_the_next_state_begins(run: Any) -> None:
    body = (
        P
        + """
states:
  - name: A
    type: inject
    data: {a: 1}
    transition: {nextState: B, produceEvents: [{eventRef: P, data: '${ {got: .a} }'}]}
  - {name: B, type: inject, data: {b: 2}, end: true}
"""
    )
    found, events = await emitted(run, body)
    assert found == {"a": 1, "b": 2}
    assert [(each["type"], each["data"]) for each in events] == [("p", {"got": 1})]
    assert {"id", "source", "time"} <= events[0].keys()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("data: '${ .a }'", 1),
        ("data: .a", 1),
        ("data: {k: '${ .a }', text: 'a is ${ .a }', n: 2}", {"k": 1, "text": "a is 1", "n": 2}),
        ("", {"a": 1}),
    ],
)
async def test_b45_the_payload_is_made_of_the_output_of_the_state(run: Any, data: str, expected: Any) -> None:
    body = (
        P
        + f"""
states:
  - name: A
    type: inject
    data: {{a: 1, hidden: true}}
    stateDataFilter: {{output: '${{ {{a: .a}} }}'}}
    end: {{produceEvents: [{{eventRef: P{", " + data if data else ""}}}]}}
"""
    )
    found, events = await emitted(run, body)
    assert found == {"a": 1}
    assert [each["data"] for each in events] == [expected]


@pytest.mark.parametrize("form", ["{Team: red, n: '${ .n }'}", "[{Team: red}, {n: '${ .n }'}]"])
async def test_b45_attributes_of_the_event_are_an_object_or_a_list(run: Any, form: str) -> None:
    body = P + (
        f"states: [{{name: A, type: inject, data: {{}}, "
        f"end: {{produceEvents: [{{eventRef: P, contextAttributes: {form}}}]}}}}]"
    )
    _, events = await emitted(run, body, {"n": "7"})
    assert (events[0]["team"], events[0]["n"]) == ("red", "7")


async def test_every_event_is_published_once_and_in_order(run: Any) -> None:
    body = (
        P
        + """
states:
  - name: A
    type: switch
    dataConditions:
      - condition: .n < 3
        transition: {nextState: B, produceEvents: [{eventRef: P, data: '${ .n }'}, {eventRef: P, data: '${ -.n }'}]}
    defaultCondition: {end: {produceEvents: [{eventRef: P, data: '"end"'}]}}
  - {name: B, type: operation, actions: [{functionRef: inc}], transition: A}
functions: [{name: inc, type: expression, operation: '{n: (.n + 1)}'}]
"""
    )
    found, events = await emitted(run, body, {"n": 1})
    assert found == {"n": 3}
    assert [each["data"] for each in events] == [1, -1, 2, -2, "end"]
    assert len({each["id"] for each in events}) == 5


async def test_the_output_of_an_end_that_publishes_is_what_its_filter_selects(run: Any) -> None:
    body = P + (
        "states: [{name: A, type: inject, data: {a: 1}, stateDataFilter: {output: .a}, "
        "end: {produceEvents: [{eventRef: P}]}}]"
    )
    assert (await emitted(run, body))[0] == 1  # decision B1: verbatim at the end


def test_an_event_that_is_defined_as_consumed_cannot_be_published() -> None:
    body = P.replace("name: A,", "name: A, kind: consumed,")
    body += "states: [{name: A, type: inject, data: {}, end: {produceEvents: [{eventRef: A}]}}]"
    found = refused(body)
    assert (found.code, found.pointer) == ("wrong-event-kind", "/states/0/end/produceEvents/0/eventRef")
    found = refused(body.replace("eventRef: A", "eventRef: Q"))
    assert (found.code, found.pointer) == ("unknown-event", "/states/0/end/produceEvents/0/eventRef")
    found = refused(body.replace("eventRef: A", "eventRef: P, data: '${ .a | }'"))
    assert (found.code, found.pointer) == ("invalid-expression", "/states/0/end/produceEvents/0/data")


# --- compensation -------------------------------------------------------------------------------------------

BOOKING = """
functions:
  - {name: did, type: expression, operation: '{done: ((.done // []) + [$CONST.name])}'}
states:
  - {name: A, type: inject, data: {log: [a]}, compensatedBy: UndoA, transition: B}
  - {name: B, type: inject, data: {log: [b]}, compensatedBy: UndoB, transition: C}
  - {name: C, type: inject, data: {log: [c]}, compensatedBy: UndoC, transition: D}
  - {name: D, type: inject, data: {log: [d]}, %s}
  - {name: Last, type: inject, data: {log: [last]}, end: true}
  - {name: UndoA, type: inject, data: {log: [undo a]}, usedForCompensation: true}
  - {name: UndoB, type: inject, data: {log: [undo b]}, usedForCompensation: true, transition: UndoB2}
  - {name: UndoB2, type: inject, data: {log: [undo b more]}, usedForCompensation: true}
  - {name: UndoC, type: inject, data: {log: [undo c]}, usedForCompensation: true, end: true}
"""
UNDONE = ["a", "b", "c", "d", "undo c", "undo b", "undo b more", "undo a"]


async def test_b34_what_completed_is_undone_in_reverse_order_before_the_end(run: Any) -> None:
    assert await output(run, BOOKING % "end: {compensate: true}") == {"log": UNDONE}


async def test_b34_the_data_after_compensation_flows_on_to_the_next_state(run: Any) -> None:
    found = await output(run, BOOKING % "transition: {nextState: Last, compensate: true}")
    assert found == {"log": [*UNDONE, "last"]}


async def test_b34_without_compensate_nothing_is_undone(run: Any) -> None:
    assert await output(run, BOOKING % "end: true") == {"log": ["a", "b", "c", "d"]}


async def test_b34_a_state_is_undone_for_each_time_that_it_completed_and_only_once(run: Any) -> None:
    body = """
functions:
  - {name: inc, type: expression, operation: '{n: (.n + 1)}'}
  - {name: dec, type: expression, operation: '{undone: ((.undone // 0) + 1)}'}
states:
  - {name: A, type: operation, actions: [{functionRef: inc}], compensatedBy: Undo, transition: More}
  - name: More
    type: switch
    dataConditions:
      - {condition: .n < 3, transition: A}
      - {condition: .undone == null, transition: {nextState: Again, compensate: true}}
    defaultCondition: {end: {compensate: true}}
  - {name: Again, type: inject, data: {again: true}, transition: More}
  - {name: Undo, type: operation, actions: [{functionRef: dec}], usedForCompensation: true}
"""
    assert await output(run, body, {"n": 0}) == {"n": 3, "undone": 3, "again": True}


async def test_b34_it_compensates_before_it_publishes(run: Any) -> None:
    body = P + (
        BOOKING % "end: {compensate: true, produceEvents: [{eventRef: P, data: '${ .log | length }'}]}"
    )
    _, events = await emitted(run, body)
    assert [each["data"] for each in events] == [8]


async def test_b34_a_compensation_that_fails_stops_the_workflow(run: Any) -> None:
    body = """
functions: [{name: bad, type: expression, operation: 'error("no way back")'}]
states:
  - {name: A, type: inject, data: {}, compensatedBy: Undo, end: {compensate: true}}
  - {name: Undo, type: operation, actions: [{functionRef: bad}], usedForCompensation: true}
"""
    fault = await error(run, body)
    assert (kind(fault), fault["instance"]) == ("expression", "/states/1/actions/0")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (
            ("compensatedBy: UndoA, transition: B", "compensatedBy: UndoA, transition: UndoA"),
            "/states/0/transition",
        ),
        (("compensatedBy: UndoA", "compensatedBy: B"), "/states/0/compensatedBy"),
        (("transition: UndoB2", "transition: Last"), "/states/6/transition"),
        (
            (
                "data: {log: [undo a]}, usedForCompensation: true",
                "data: {}, usedForCompensation: true, compensatedBy: UndoB",
            ),
            "/states/5/compensatedBy",
        ),
        (
            ("transition: UndoB2", "transition: {nextState: UndoB2, compensate: true}"),
            "/states/6/transition/compensate",
        ),
    ],
)
def test_b34_compensation_stays_among_compensation_states(change: tuple[str, str], pointer: str) -> None:
    found = problems((BOOKING % "end: {compensate: true}").replace(*change))
    assert [(problem.code, problem.pointer) for problem in found] == [("misplaced-compensation", pointer)]


def test_a_drawing_shows_how_a_workflow_compensates() -> None:
    drawn = render.mermaid(dsl.compile(dsl.parse(workflow(BOOKING % "end: {compensate: true}"))))
    assert "UndoB2" in drawn
    assert drawn.count("undo what was done") == 1


# --- continueAs ---------------------------------------------------------------------------------------------


async def test_a_run_goes_on_as_another_workflow_with_the_data_of_the_end(run: Any) -> None:
    body = """
states:
  - name: A
    type: inject
    data: {a: 1}
    end: {continueAs: {workflowId: other, version: '1.0', data: {b: '${ .a + 1 }'}}}
"""
    other = workflow("states: [{name: O, type: inject, data: {other: true}, end: true}]", id="other")
    assert await output(run, body, {"n": 1}, others=[other]) == {"b": 2, "other": True}
    short = body.replace(
        "{continueAs: {workflowId: other, version: '1.0', data: {b: '${ .a + 1 }'}}}", "{continueAs: other}"
    )
    assert await output(run, short, {"n": 1}, others=[other]) == {"n": 1, "a": 1, "other": True}


async def test_a_workflow_may_go_on_as_itself_and_publishes_anew(run: Any) -> None:
    body = (
        P
        + """
states:
  - name: A
    type: switch
    dataConditions:
      - condition: .n < 3
        end:
          continueAs: {workflowId: test, data: '${ {n: (.n + 1)} }'}
          produceEvents: [{eventRef: P, data: '${ .n }'}]
    defaultCondition: {end: true}
"""
    )
    ended = await run(workflow(body), {"n": 0}, others=[workflow(body)])
    assert (ended.status, ended.output) == ("completed", {"n": 3}), ended.error
    if run.name == "local":
        events = ended.channels["default"]
    else:
        page = await run.router.events("default")
        events = [
            item["event"] for item in reversed(page.events) if item["event"]["id"].startswith(ended.run_id)
        ]
    assert [each["data"] for each in events] == [0, 1, 2]


async def test_a_sub_workflow_that_goes_on_is_waited_for_to_its_end(run: Any) -> None:
    body = "states: [{name: A, type: operation, actions: [{subFlowRef: first}], end: true}]"
    first = workflow(
        "states: [{name: F, type: inject, data: {first: true}, end: {continueAs: second}}]", id="first"
    )
    second = workflow("states: [{name: S, type: inject, data: {second: true}, end: true}]", id="second")
    assert await output(run, body, others=[first, second]) == {"first": True, "second": True}


async def test_a_workflow_that_is_not_there_cannot_be_gone_on_as(run: Any) -> None:
    body = "states: [{name: A, type: inject, data: {}, end: {continueAs: nowhere}}]"
    fault = await error(run, body, others=[workflow(body)])
    assert (kind(fault), fault["status"], fault["instance"]) == (
        "configuration",
        404,
        "/states/0/end/continueAs",
    )


async def test_going_on_may_give_the_other_workflow_a_timeout(run: Any) -> None:
    body = """
states:
  - name: A
    type: inject
    data: {}
    end: {continueAs: {workflowId: slow, workflowExecTimeout: {duration: PT0.1S, interrupt: true, runBefore: Late}}}
"""
    slow = """
states:
  - {name: S, type: sleep, duration: PT1H, end: true}
  - {name: Late, type: inject, data: {late: true}, end: true}
"""
    assert await output(run, body, others=[workflow(slow, id="slow")]) == {"late": True}
    without = workflow(slow.replace("name: Late", "name: Other"), id="slow")
    fault = await error(run, body, others=[without])
    assert (kind(fault), fault["instance"]) == ("configuration", "/states/0/end/continueAs")
    assert "Late" in fault["detail"]


# --- keepActive, terminate ----------------------------------------------------------------------------------

READINGS = """
keepActive: true
timeouts: {workflowExecTimeout: {duration: PT2S, runBefore: Report}}
events: [{name: R, type: reading, source: tests}]
states:
  - name: Read
    type: event
    onEvents: [{eventRefs: [R], eventDataFilter: {data: '${ [.n] }', toStateData: .readings}}]
    end: true
  - {name: Report, type: inject, data: {reported: true}, end: {terminate: true}}
"""


async def test_b19_a_run_that_is_kept_active_listens_again_after_its_end(run: Any) -> None:
    events = [event("reading", str(number), {"n": number}) for number in (1, 2, 3)]
    found = await output(run, READINGS, events=events)
    assert found == {"readings": [1, 2, 3], "reported": True}


async def test_b19_a_run_that_is_kept_active_with_nothing_to_listen_for_waits_for_its_time(run: Any) -> None:
    body = """
keepActive: true
timeouts: {workflowExecTimeout: PT0.3S}
states: [{name: A, type: inject, data: {a: 1}, end: true}]
"""
    fault = await error(run, body)
    assert (kind(fault), fault["instance"]) == ("timeout", "/timeouts/workflowExecTimeout")
    assert await output(run, body.replace("end: true", "end: {terminate: true}")) == {"a": 1}
