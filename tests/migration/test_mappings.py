"""Each mapping on its own: a small 0.8 document does the same once it is migrated."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.migration.both import Both, Compared
from tests.semantics.v0_8.documents import event, workflow
from tests.semantics.v0_8.services import services
from workflow_engine import dsl
from workflow_engine.dsl import migration
from workflow_engine.dsl.migration.report import Report

INC = "functions: [{name: inc, type: expression, operation: '{n: ((.n // 0) + 1)}'}]\n"
NAMED = "functions: [{name: n, type: expression, operation: '.n'}]\n"

BODIES: dict[str, tuple[str, str, list[Any]]] = {
    "inject merges deep and joins arrays": (
        "states: [{name: A, type: inject, data: {a: {b: 1}, l: [1, 2], s: x}, end: true}]",
        "set:",
        [{}, {"a": {"c": 2}, "l": [2, 3]}, {"l": "scalar", "s": [1], "a": None}],
    ),
    "inject evaluates and constants are put in": (
        "constants: {k: {v: 3}}\nstates: [{name: A, type: inject, data: {a: '${ .x + $CONST.k.v }', t: 'is ${ .x }'}, end: true}]",
        "as $CONST",
        [{"x": 1}, {"x": 2.5}],
    ),
    "sleep waits": (
        "states: [{name: A, type: sleep, duration: PT2S, transition: B}, {name: B, type: inject, data: {b: 1}, end: true}]",
        "wait: PT2S",
        [{}],
    ),
    "days after the T are seconds": (
        "states: [{name: A, type: sleep, duration: PT2D, end: true}]",
        "seconds: 172800",
        [{"a": 1}],
    ),
    "state data is filtered on its way in and out": (
        INC
        + "states: [{name: A, type: operation, stateDataFilter: {input: '${ .in }', output: '${ {o: .n} }'}, "
        "actions: [{functionRef: inc}], end: true}]",
        "do:",
        [{"in": {"n": 4}}, {"n": 1}, {"in": None, "n": 3}],
    ),
    "a filter that gives no object keeps its name between states": (
        "states:\n- {name: A, type: inject, data: {v: 7}, stateDataFilter: {output: '${ .v }'}, transition: B}\n"
        "- {name: B, type: inject, data: {w: 1}, end: true}",
        "object",
        [{}, {"v": 1}],
    ),
    "a filter that gives no object is the output at the end": (
        "states: [{name: A, type: inject, data: {v: [7]}, stateDataFilter: {output: '${ .v }'}, end: true}]",
        "output",
        [{}],
    ),
    "an action sees what it is given and puts its result where it belongs": (
        INC
        + "states: [{name: A, type: operation, end: true, actions: [{functionRef: inc, actionDataFilter: "
        "{fromStateData: '${ .in }', results: '${ .n }', toStateData: '${ .out.list }'}}]}]",
        "$task.input",
        [{"in": {"n": 1}}, {"in": {"n": 1}, "out": {"list": [5]}}, {"in": {"n": 1}, "out": {"list": [2]}}],
    ),
    "results that are not used leave the data alone": (
        INC
        + "states: [{name: A, type: operation, end: true, actions: [{functionRef: inc, actionDataFilter: {useResults: false}}]}]",
        "$input",
        [{"n": 1}],
    ),
    "a result that is no object has a name": (
        NAMED
        + "states: [{name: A, type: operation, end: true, actions: [{functionRef: n}, {functionRef: n, "
        "actionDataFilter: {results: '${ . }'}}]}]",
        "response",
        [{"n": 1}, {"n": [1]}, {"n": None}, {"n": {"m": 1}}],
    ),
    "several results are an array": (
        "functions: [{name: f, type: expression, operation: '.l[]'}]\n"
        "states: [{name: A, type: operation, end: true, actions: [{functionRef: f, actionDataFilter: {results: '.[]'}}]}]",
        "length > 1",
        [{"l": [1, 2]}, {"l": [[1, 2]]}, {"l": [[3]]}],
    ),
    "a condition skips an action with its sleeps": (
        INC
        + "states: [{name: A, type: operation, end: true, actions: [{functionRef: inc, condition: '${ .n > 1 }', "
        "sleep: {before: PT1S, after: '${ \"PT\\(.n)S\" }'}}, {functionRef: inc}]}]",
        "if:",
        [{"n": 1}, {"n": 2}],
    ),
    "actions side by side change copies": (
        INC
        + "states: [{name: A, type: operation, actionMode: parallel, end: true, actions: [{functionRef: inc}, "
        "{functionRef: inc, actionDataFilter: {toStateData: .other}}]}]",
        "fork:",
        [{"n": 1}, {}],
    ),
    "branches are merged in their order": (
        INC
        + "states: [{name: A, type: parallel, end: true, branches: [{name: b, actions: [{functionRef: inc}, {functionRef: inc}]}, "
        "{name: c, actions: [{functionRef: inc, actionDataFilter: {results: '{n: 9, l: [1]}'}}]}]}]",
        "fork:",
        [{"n": 1, "l": [0]}, {}],
    ),
    "a switch takes the first condition that holds": (
        "states:\n- {name: A, type: switch, dataConditions: [{condition: '${ .n > 2 }', transition: B}, {name: small, "
        "condition: '${ .n > 1 }', end: true}], defaultCondition: {transition: C}}\n"
        "- {name: B, type: inject, data: {big: true}, end: true}\n- {name: C, type: inject, data: {none: true}, end: true}",
        "switch:",
        [{"n": 3}, {"n": 2}, {"n": 1}],
    ),
    "states may go back, and the first one need not stand first": (
        INC
        + "start: B\nstates:\n- {name: end, type: inject, data: {done: true}, end: true}\n"
        "- {name: B, type: operation, actions: [{functionRef: inc}], transition: C}\n"
        "- {name: C, type: switch, dataConditions: [{condition: '${ .n < 4 }', transition: B}], defaultCondition: {transition: end}}",
        "end state",
        [{"n": 1}, {}],
    ),
    "foreach collects": (
        "functions: [{name: f, type: expression, operation: '.it * $it + .k'}]\n"
        "states: [{name: A, type: foreach, inputCollection: .l, iterationParam: it, outputCollection: .out, "
        "actions: [{functionRef: f}], end: true}]",
        "for:",
        [{"l": [1, 2, 2], "k": 1}, {"l": [], "k": 1}, {"l": [3], "k": 0, "out": [9]}, {"k": 1}, {"l": 5, "k": 1}],
    ),
    "foreach keeps the last result of several actions": (
        INC
        + "states: [{name: A, type: foreach, mode: sequential, inputCollection: .l, outputCollection: .out, end: true, actions: "
        "[{functionRef: inc}, {functionRef: inc, condition: '${ .item > 1 }', sleep: {before: '${ \"PT\\(.item)S\" }'}}]}]",
        "results",
        [{"l": [1, 2], "n": 5}],
    ),
    "foreach without a collection for results changes nothing": (
        INC + "states: [{name: A, type: foreach, inputCollection: .l, actions: [{functionRef: inc}], end: true}]",
        "$task.input",
        [{"l": [1, 2], "n": 5}],
    ),
    "names that 1.0 has taken are not variables": (
        "functions: [{name: f, type: expression, operation: '.input'}]\n"
        "states: [{name: A, type: foreach, inputCollection: .l, iterationParam: input, outputCollection: .out, "
        "actions: [{functionRef: f}], end: true}]",
        "$element",
        [{"l": [1, 2]}],
    ),
    "an error of a state goes where onErrors says": (
        "functions: [{name: f, type: expression, operation: '.n.x'}]\nerrors: [{name: Bad, code: '400'}, {name: Other, code: '500'}]\n"
        "states:\n- {name: A, type: operation, actions: [{functionRef: f}], onErrors: [{errorRef: Other, transition: B}, "
        "{errorRef: Bad, end: {produceEvents: [{eventRef: P}]}}], end: true}\n- {name: B, type: inject, data: {b: 1}, end: true}\n"
        "events: [{name: P, type: p, kind: produced}]",
        "catch:",
        [{"n": 1}, {"n": {"x": 2}}],
    ),
    "one entry of onErrors needs no switch": (
        "functions: [{name: f, type: expression, operation: '.n.x'}]\n"
        "states:\n- {name: A, type: operation, stateDataFilter: {input: .d, output: '{o: .}'}, actions: [{functionRef: f}], "
        "onErrors: [{errorRef: '*', transition: B}], end: true}\n- {name: B, type: inject, data: {b: 1}, end: true}",
        "then: B",
        [{"d": {"n": 1}}, {"d": {"n": {"x": 2}}}],
    ),
    "events are published on the way": (
        "events: [{name: P, type: p, kind: produced}, {name: Q, type: q, source: s, kind: produced}]\n"
        "states:\n- {name: A, type: inject, data: {a: 1}, transition: {nextState: B, produceEvents: [{eventRef: P, data: '${ .a }', "
        "contextAttributes: {Who: '${ .w }'}}, {eventRef: Q}]}}\n- {name: B, type: inject, data: {b: 1}, end: "
        "{produceEvents: [{eventRef: Q, data: {x: '${ .b }'}}]}}",
        "emit:",
        [{"w": "me"}],
    ),
    "jsonpath becomes jq": (
        "expressionLang: jsonpath\nstates:\n- {name: A, type: switch, dataConditions: [{condition: '${ $.l[?(@.n > 1)] }', "
        "transition: B}], defaultCondition: {end: true}}\n- {name: B, type: inject, data: {b: '${ $.l[0].n }'}, end: true}",
        "switch:",
        [{"l": [{"n": 2}]}, {"l": [{"n": 1}]}],
    ),
}  # fmt: skip


def arrived(type: str, id: str, data: Any, **attributes: Any) -> Any:
    return {**event(type, id, data, **attributes), "source": "a/b"}


def only(both: Both) -> Compared:
    [compared] = both.compared
    return compared


@pytest.mark.parametrize("name", BODIES)
async def test_a_mapping_keeps_the_meaning(both: Both, name: str) -> None:
    body, has, inputs = BODIES[name]
    for given in inputs:
        await both(workflow(body), given)
        assert both.compared[-1].differences == [], both.compared[-1].text
    assert has in both.compared[-1].text
    assert not both.compared[-1].report.of("cannot")


# --- events -------------------------------------------------------------------------------------------------

EVENTS = "events: [{name: E, type: e, source: a/b}, {name: F, type: f, source: 'a/+', dataOnly: false}, {name: G, type: g, source: a/b}]\n"


@pytest.mark.parametrize(
    ("state", "sent"),
    [
        ("onEvents: [{eventRefs: [E], eventDataFilter: {data: .v, toStateData: .got}}]", ["e"]),
        ("onEvents: [{eventRefs: [E, F], eventDataFilter: {useData: false}}]", ["f"]),
        ("onEvents: [{eventRefs: [E], actions: [{functionRef: inc}]}, {eventRefs: [F], eventDataFilter: {toStateData: .f}}]", ["e"]),
        (
            "onEvents: [{eventRefs: [E], actions: [{functionRef: inc}]}, {eventRefs: [G], eventDataFilter: {toStateData: .g}, "
            "actionMode: parallel, actions: [{functionRef: inc, actionDataFilter: {toStateData: .x}}]}]\n  exclusive: false",
            ["g", "e"],
        ),
        ("onEvents: [{eventRefs: [E, G]}]\n  exclusive: false", ["g", "e"]),
        ("onEvents: [{eventRefs: [E], actions: [{functionRef: inc}]}]\n  timeouts: {eventTimeout: PT1S}", []),
        ("onEvents: [{eventRefs: [E]}]\n  timeouts: {eventTimeout: PT1S}\n  stateDataFilter: {output: '{o: .}'}", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("starts", [True, False])
async def test_an_event_state_takes_its_events(both: Both, state: str, sent: list[str], starts: bool) -> None:
    if starts and not sent:
        pytest.skip("nothing would start it")
    first = "" if starts else "- {name: First, type: inject, data: {first: 1}, transition: A}\n"
    body = f"{INC}{EVENTS}states:\n{first}- name: A\n  type: event\n  {state}\n  end: true\n"
    given = [arrived(type, type, {"v": type, "l": [type]}) for type in sent]
    await both(workflow(body), events=given)
    assert only(both).differences == [], only(both).text
    assert ("schedule" in yaml.safe_load(only(both).text)) == starts


@pytest.mark.parametrize("sent", ["e", "g", None])
async def test_an_event_switch_takes_the_way_of_the_event_that_came_or_of_none(
    both: Both, sent: str | None
) -> None:
    body = f"""{EVENTS}states:
- {{name: First, type: inject, data: {{first: 1}}, transition: A}}
- name: A
  type: switch
  eventConditions:
  - {{eventRef: E, transition: B, eventDataFilter: {{data: .v}}}}
  - {{eventRef: G, end: true, eventDataFilter: {{toStateData: .g}}}}
  defaultCondition: {{transition: C}}
  timeouts: {{eventTimeout: PT1M}}
- {{name: B, type: inject, data: {{b: 1}}, end: true}}
- {{name: C, type: inject, data: {{c: 1}}, end: true}}
"""
    await both(workflow(body), events=[arrived(sent, "1", {"v": 5})] if sent else [])
    assert only(both).differences == [], only(both).text


@pytest.mark.parametrize("sent", [True, False])
async def test_a_callback_merges_the_result_of_its_action_and_the_event(both: Both, sent: bool) -> None:
    body = f"""{INC}{EVENTS}states:
- {{name: A, type: callback, action: {{functionRef: inc}}, eventRef: E, timeouts: {{eventTimeout: PT1S}}, end: true}}
"""
    await both(workflow(body), {"n": 1}, events=[arrived("e", "1", {"v": 5})] if sent else [])
    assert only(both).differences == [], only(both).text


async def test_a_start_event_state_that_is_come_back_to_waits_again(both: Both) -> None:
    body = f"""{EVENTS}states:
- {{name: A, type: event, onEvents: [{{eventRefs: [E], eventDataFilter: {{toStateData: .got}}}}], transition: B}}
- name: B
  type: switch
  dataConditions: [{{condition: '${{ .got.l | length < 3 }}', transition: A}}]
  defaultCondition: {{end: true}}
"""
    given = [arrived("e", str(number), {"l": [number]}) for number in range(3)]
    await both(workflow(body), events=given)
    assert only(both).differences == [], only(both).text
    assert only(both).new.output == {"got": {"l": [0, 1, 2]}}


async def test_events_that_follow_belong_to_the_one_that_started_the_run(both: Both) -> None:
    body = """
events:
- {name: E, type: e, source: a/b, correlation: [{contextAttributeName: orderId}]}
- {name: F, type: f, source: a/b, correlation: [{contextAttributeName: orderId}]}
states:
- {name: A, type: event, onEvents: [{eventRefs: [E]}], transition: B}
- {name: B, type: event, onEvents: [{eventRefs: [F]}], end: true}
"""
    sent = [("e", "1"), ("f", "2"), ("f", "1")]
    given = [arrived(type, f"{type}{order}", {type: order}, orderid=order) for type, order in sent]
    await both(workflow(body), events=given)
    assert only(both).differences == [], only(both).text
    assert only(both).new.output == {"e": "1", "f": "1"}


# --- calls --------------------------------------------------------------------------------------------------

RETRIED = """
functions: [{name: f, operation: 'file://api.json#f'}]
errors: [{name: Busy, code: '503'}]
retries: [{name: r, maxAttempts: 2, delay: PT1S, multiplier: 2, maxDelay: PT10S}]
states:
- name: A
  type: operation
  actions: [{functionRef: {refName: f, arguments: {n: '${ .n }'}}, retryRef: r, retryableErrors: [Busy]}]
  onErrors: [{errorRef: Busy, transition: B}]
  end: true
- {name: B, type: inject, data: {b: 1}, end: true}
"""


@pytest.mark.parametrize(("status", "fails"), [(503, 2), (503, 3), (404, 1)])
async def test_a_call_is_tried_again_as_often(both: Both, status: int, fails: int) -> None:
    made: list[Any] = []

    def f(given: Any) -> Any:
        made.append(given)
        return web.json_response({"done": len(made)}, status=status if len(made) <= fails else 200)

    async with services(f=f) as service:
        await both(workflow(RETRIED), {"n": 1}, resources=await service.pin(workflow(RETRIED)))
    assert only(both).differences == [], only(both).text
    assert len(only(both).new.calls) == len(made)  # each was made once, by the 0.8 run


async def test_a_call_that_the_old_document_does_not_make_is_a_difference_and_is_not_made(both: Both) -> None:
    from workflow_engine.dsl.migration.comparison import Made, Observed, differences

    made = Made("a", "/states/0/actions/0", "openapi", {"parameters": {"n": 1}})
    other = Made("a", "/do/0/A", "openapi", {"parameters": {"n": 2}})
    found = differences(
        Observed("completed", 1, calls=[made]), Observed("completed", 1.0, calls=[other]), Report()
    )
    assert found == [
        'call only of 0.8: openapi {"parameters": {"n": 1}}',
        'call only of 1.0: openapi {"parameters": {"n": 2}}',
    ]


async def test_sub_workflows_are_run_by_their_names(both: Both) -> None:
    child = workflow(
        "states: [{name: A, type: inject, data: {c: [2]}, end: true}]", id="the child", version="2"
    )
    body = "states: [{name: A, type: operation, actions: [{subFlowRef: {workflowId: the child, version: '2'}}], end: true}]"
    await both(workflow(body), {"c": [1]}, others=[child])
    assert only(both).differences == []
    assert only(both).new.output == {"c": [1, 2]}


# --- what cannot be said ------------------------------------------------------------------------------------


def notes(body: str, kind: Any) -> set[str]:
    report = migration.migrate(dsl.parse(workflow(body))).report
    return {note.pointer for note in report.of(kind)}


UNDO = "- {name: U, type: inject, usedForCompensation: true, data: {u: 1}}\n"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (
            f"states:\n- {{name: A, type: inject, data: {{}}, compensatedBy: U, end: {{compensate: true}}}}\n{UNDO}",
            "/states/0/end/compensate",
        ),
        ("states: [{name: A, type: inject, data: {}, end: {continueAs: other}}]", "/states/0/end/continueAs"),
        ("keepActive: true\nstates: [{name: A, type: inject, data: {}, end: true}]", "/keepActive"),
        (
            INC + "states: [{name: A, type: parallel, completionType: atLeast, numCompleted: 2, end: true, branches: ["
            + ", ".join(f"{{name: b{n}, actions: [{{functionRef: inc}}]}}" for n in range(3)) + "]}]",
            "/states/0/numCompleted",
        ),
        (
            "functions: [{name: f, type: odata, operation: 'http://x#Things'}]\n"
            "states: [{name: A, type: operation, actions: [{functionRef: f}], end: true}]",
            "/functions/0/operation",
        ),
    ],
)  # fmt: skip
def test_what_1_0_cannot_say_is_told_at_its_place(body: str, pointer: str) -> None:
    assert notes(body, "cannot") == {pointer}


def test_schedules_are_those_of_1_0() -> None:
    def schedule(written: Any) -> Any:
        start = json.dumps({"stateName": "A", "schedule": written})
        text = workflow(f"start: {start}\nstates: [{{name: A, type: inject, data: {{a: 1}}, end: true}}]")
        document = migration.migrate(dsl.parse(text)).document
        assert dsl.compile(dsl.parse(json.dumps(document))).schedule is not None
        return document["schedule"]

    assert schedule("R/PT2H") == {"every": "PT2H"}
    assert schedule({"cron": "0 0/15 * * * ?"}) == {"cron": "0-59/15 * * * *"}
    assert schedule({"cron": "0 30 8 ? * 2-6"}) == {"cron": "30 8 * * 1-5"}
    assert schedule({"cron": {"expression": "5 4 * * *"}, "timezone": "Europe/Oslo"}) == {"cron": "5 4 * * *"}
