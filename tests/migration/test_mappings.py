"""Each mapping on its own: a small 0.8 document does the same once it is migrated."""

from __future__ import annotations

import json
from pathlib import Path
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

MAPPINGS = yaml.safe_load((Path(__file__).parent / "mappings.yaml").read_text())


def arrived(type: str, id: str, data: Any, **attributes: Any) -> Any:
    return {**event(type, id, data, **attributes), "source": "a/b"}


def only(both: Both) -> Compared:
    [compared] = both.compared
    return compared


@pytest.mark.parametrize("mapping", MAPPINGS, ids=[mapping["name"] for mapping in MAPPINGS])
async def test_a_mapping_keeps_the_meaning(both: Both, mapping: Any) -> None:
    text = workflow(yaml.safe_dump(mapping["document"], sort_keys=False))
    for given in mapping["inputs"]:
        await both(text, given)
        assert both.compared[-1].differences == [], both.compared[-1].text
    assert mapping["has"] in both.compared[-1].text
    assert not both.compared[-1].report.of("cannot")


# --- events -------------------------------------------------------------------------------------------------

EVENTS = (
    "events: [{name: E, type: e, source: a/b}, {name: F, type: f, source: 'a/+', dataOnly: false}, "
    "{name: G, type: g, source: a/b}]\n"
)
TO_F = "eventRefs: [F], eventDataFilter: {toStateData: .f}"
TO_G = (
    "eventRefs: [G], eventDataFilter: {toStateData: .g}, actionMode: parallel, "
    "actions: [{functionRef: inc, actionDataFilter: {toStateData: .x}}]"
)


@pytest.mark.parametrize(
    ("state", "sent"),
    [
        ("onEvents: [{eventRefs: [E], eventDataFilter: {data: .v, toStateData: .got}}]", ["e"]),
        ("onEvents: [{eventRefs: [E, F], eventDataFilter: {useData: false}}]", ["f"]),
        (f"onEvents: [{{eventRefs: [E], actions: [{{functionRef: inc}}]}}, {{{TO_F}}}]", ["e"]),
        (
            f"onEvents: [{{eventRefs: [E], actions: [{{functionRef: inc}}]}}, {{{TO_G}}}]\n  exclusive: false",
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
    flow = "{workflowId: the child, version: '2'}"
    body = f"states: [{{name: A, type: operation, actions: [{{subFlowRef: {flow}}}], end: true}}]"
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
            ("functions: [{name: f, type: odata, operation: 'http://x#Things'}]\n"
            "states: [{name: A, type: operation, actions: [{functionRef: f}], end: true}]"),
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


def test_what_was_written_for_sonataflow_is_written_for_1_0() -> None:
    text = workflow("""
    functions:
      - {name: ask, type: custom, operation: 'rest:post:/ask/{id}'}
      - {name: lax, type: custom, operation: 'rest:get:/lax', metadata: {failOnStatusCode: false}}
      - {name: hello, operation: 'hello.proto#Greeter#SayHello'}
      - {name: sum, operation: 'sums.yaml#sum'}
    states:
      - name: A
        type: operation
        metadata: {errorMessage: .wrong}
        actions:
          - {functionRef: {refName: ask, arguments: {id: .id, name: Ada}}}
          - {functionRef: lax}
          - {functionRef: {refName: hello, arguments: {name: .name}}}
          - {functionRef: {refName: sum, arguments: .numbers}}
          - {functionRef: {refName: sum, arguments: {n: $WORKFLOW.prevActionResult}}}
        end: true
    """)
    migrated = migration.migrate(dsl.parse(text))
    written = json.dumps(migrated.document)
    assert dsl.check(dsl.parse(written)) == []
    [first, _, greeting, whole, _] = migrated.document["do"][0]["A"]["do"]
    assert first["ask"]["with"]["endpoint"].startswith("http://localhost/ask/${")
    assert first["ask"]["with"]["body"] == {"name": "Ada"}
    assert greeting["hello"]["with"]["service"] == {"name": "Greeter", "host": "localhost"}
    assert "body" in whole["sum"]["with"]["parameters"]
    told = [note.message for note in migrated.report.of("cannot")]
    for what in ("errorMessage", "failOnStatusCode", "$WORKFLOW"):
        assert any(what in message for message in told), told
    assert any("localhost" in note.message for note in migrated.report.of("differs"))
