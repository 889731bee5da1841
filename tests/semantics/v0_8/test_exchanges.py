"""Asking and being answered: callbacks, events as actions, correlation, what nobody waits for (B20, B30 to B32)."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from tests.semantics.v0_8.documents import error, event, kind, output, problems, workflow
from tests.semantics.v0_8.services import services, stored

CALLBACK = """
functions: [{name: ask, operation: 'file://api.json#ask'}]
events: [{name: Answer, type: answer, source: tests}]
states:
  - name: A
    type: callback
    action: {functionRef: {refName: ask, arguments: {q: '${ .q }'}}, actionDataFilter: {toStateData: .asked}}
    eventRef: Answer
    eventDataFilter: {data: .a, toStateData: .answered}
    %s
    end: true
"""


async def test_b30_a_callback_asks_and_waits_for_its_event_and_merges_both(run: Any) -> None:
    body = CALLBACK % ""
    async with services(ask=lambda given: {"heard": given["q"]}) as service:
        found = await output(
            run,
            body,
            {"q": 1},
            resources=await service.pin(workflow(body)),
            events=[event("answer", "1", {"a": 42})],
        )
    assert found == {"q": 1, "asked": {"heard": 1}, "answered": 42}


async def test_b30_a_callback_listens_before_it_asks(run: Any) -> None:
    if run.name == "local":
        pytest.skip("the service answers over the router of the Temporal runner")
    body = CALLBACK % ""

    async def answer(given: Any) -> Any:
        mine = {**event("answer", str(uuid.uuid4()), {"a": 7}), "source": "tests"}
        await run.router.publish("default", [mine])
        await asyncio.sleep(0.2)  # the event is there long before the call has ended
        return {}

    async with services(ask=answer) as service:
        found = await output(run, body, {"q": 1}, resources=await service.pin(workflow(body)))
    assert found["answered"] == 7


async def test_a_callback_that_is_not_answered_in_time_goes_on_without_the_event(run: Any) -> None:
    body = CALLBACK % "timeouts: {eventTimeout: PT0.2S}"
    async with services(ask=lambda given: {"heard": given["q"]}) as service:
        found = await output(run, body, {"q": 1}, resources=await service.pin(workflow(body)))
    assert found == {"q": 1, "asked": {"heard": 1}}


async def test_a_callback_whose_action_fails_fails(run: Any) -> None:
    body = CALLBACK % "onErrors: [{errorRef: '*', end: true}]"
    async with services(other=lambda given: {}) as service:
        resources = await service.pin(workflow(body).replace("#ask", "#other"))
        pinned = {"file://api.json#ask": next(iter(resources.values()))}
        assert await output(run, body, {"q": 1}, resources=pinned) == {"q": 1}


EXCHANGE = """
events:
  - {name: Ask, type: appointments, source: vet, kind: produced}
  - {name: Answer, type: appointments, source: vet%s}
states:
  - name: A
    type: operation
    actions:
      - eventRef: {triggerEventRef: Ask, resultEventRef: Answer, data: '${ .pet }', contextAttributes: {caseid: '7'}%s}
        actionDataFilter: {results: %s, toStateData: .visit}
    end: true
"""


@pytest.mark.parametrize(
    ("definition", "results", "visit"), [("", ".when", "noon"), (", dataOnly: false", ".data.when", "noon")]
)
async def test_b31_an_action_publishes_an_event_and_takes_the_answer_and_never_its_own_event(
    run: Any, definition: str, results: str, visit: str
) -> None:
    answer = {**event("appointments", "1", {"when": "noon"}), "source": "vet"}
    body = EXCHANGE % (definition, "", results)
    assert await output(run, body, {"pet": "rex"}, events=[answer]) == {"pet": "rex", "visit": visit}


async def test_b31_no_answer_in_time_is_a_timeout_error_of_the_state(run: Any) -> None:
    body = EXCHANGE % ("", ", resultEventTimeout: PT0.2S", ".when")
    fault = await error(run, body, {"pet": "rex"})
    assert (kind(fault), fault["instance"]) == ("timeout", "/states/0/actions/0")
    handled = body.replace("    end: true", "    end: true\n    onErrors: [{errorRef: '*', end: true}]")
    assert await output(run, handled, {"pet": "rex"}) == {"pet": "rex"}


async def test_b31_an_action_that_is_async_only_publishes(run: Any) -> None:
    body = EXCHANGE % ("", ", invoke: async", ".when")
    body = body.replace("        actionDataFilter: {results: .when, toStateData: .visit}\n", "")
    ended = await run(workflow(body), {"pet": "rex"})
    assert (ended.status, ended.output) == ("completed", {"pet": "rex"}), ended.error
    if run.name == "local":
        assert [each["data"] for each in ended.channels["default"]] == ["rex"]


# --- correlation --------------------------------------------------------------------------------------------

ORDER = """
events:
  - {name: Created, type: order.created, source: tests, correlation: [{contextAttributeName: orderId}]}
  - {name: Shipped, type: order.shipped, source: tests, correlation: [{contextAttributeName: orderId}]}
states:
  - {name: W, type: event, onEvents: [{eventRefs: [Created]}], transition: S}
  - {name: S, type: event, onEvents: [{eventRefs: [Shipped]}], end: true}
"""


def about(type: str, id: str, order: str, data: Any) -> Any:
    return {**event(type, id, data), "orderid": order}


async def test_b20_later_events_belong_to_the_run_that_the_first_one_started(run: Any) -> None:
    events = [
        about("order.created", "1", "7", {"created": 7}),
        about("order.shipped", "2", "8", {"shipped": 8}),
        about("order.shipped", "3", "7", {"shipped": 7}),
    ]
    assert await output(run, ORDER, events=events) == {"created": 7, "shipped": 7}


async def test_b20_what_a_run_publishes_says_which_answers_are_its_own(run: Any) -> None:
    body = EXCHANGE % (", correlation: [{contextAttributeName: caseId}]", "", ".when")
    other = {**event("appointments", "1", {"when": "never"}), "source": "vet", "caseid": "8"}
    mine = {**event("appointments", "2", {"when": "noon"}), "source": "vet", "caseid": "7"}
    assert (await output(run, body, {"pet": "rex"}, events=[other, mine]))["visit"] == "noon"


async def test_b20_what_is_known_already_stays_also_when_the_run_publishes_something_else(run: Any) -> None:
    tells = "{nextState: S, produceEvents: [{eventRef: Told, contextAttributes: {orderid: '8'}}]}"
    body = ORDER.replace("transition: S", f"transition: {tells}").replace(
        "events:\n", "events:\n  - {name: Told, type: told, source: tests, kind: produced}\n"
    )
    events = [
        about("order.created", "1", "7", {"created": 7}),
        about("order.shipped", "2", "8", {"shipped": 8}),
        about("order.shipped", "3", "7", {"shipped": 7}),
    ]
    assert await output(run, body, events=events) == {"created": 7, "shipped": 7}


async def test_b20_else_the_input_says_it_by_a_member_of_that_name(run: Any) -> None:
    body = """
events: [{name: E, type: e, source: tests, correlation: [{contextAttributeName: orderId}]}]
states:
  - {name: S, type: inject, data: {}, transition: W}
  - {name: W, type: event, onEvents: [{eventRefs: [E]}], end: true}
"""
    events = [about("e", "1", "8", {"e": 8}), about("e", "2", "7", {"e": 7})]
    assert await output(run, body, {"orderId": "7"}, events=events) == {"orderId": "7", "e": 7}


async def test_b20_else_the_first_event_says_it(run: Any) -> None:
    body = """
events: [{name: E, type: e, source: tests, correlation: [{contextAttributeName: orderId}]}]
states:
  - {name: S, type: inject, data: {}, transition: W}
  - {name: W, type: event, onEvents: [{eventRefs: [E], eventDataFilter: {toStateData: .a}}], transition: W2}
  - {name: W2, type: event, onEvents: [{eventRefs: [E], eventDataFilter: {toStateData: .b}}], end: true}
"""
    events = [about("e", "1", "8", 1), about("e", "2", "7", 2), about("e", "3", "8", 3)]
    assert await output(run, body, events=events) == {"a": 1, "b": 3}


@pytest.mark.parametrize("value", ["'7'", "'${ .order }'"])
async def test_an_attribute_can_be_compared_with_a_value(run: Any, value: str) -> None:
    rule = f"{{contextAttributeName: orderId, contextAttributeValue: {value}}}"
    body = f"""
events: [{{name: E, type: e, source: tests, correlation: [{rule}]}}]
states:
  - {{name: S, type: inject, data: {{order: '7'}}, transition: W}}
  - {{name: W, type: event, onEvents: [{{eventRefs: [E]}}], end: true}}
"""
    events = [about("e", "1", "8", {"e": 8}), about("e", "2", "7", {"e": 7})]
    assert await output(run, body, events=events) == {"order": "7", "e": 7}


async def test_all_events_of_a_start_have_the_same_correlation(run: Any) -> None:
    body = """
events:
  - {name: A, type: a, source: tests, correlation: [{contextAttributeName: orderId}]}
  - {name: B, type: b, source: tests, correlation: [{contextAttributeName: orderId}]}
states:
  - {name: W, type: event, exclusive: false, onEvents: [{eventRefs: [A, B]}], end: true}
"""
    events = [about("a", "1", "8", {"a": 8}), about("b", "2", "7", {"b": 7}), about("b", "3", "8", {"b": 8})]
    assert await output(run, body, events=events) == {"a": 8, "b": 8}


# --- what nobody waits for ----------------------------------------------------------------------------------


async def test_b32_a_function_that_is_async_gives_nothing_and_its_errors_are_swallowed(run: Any) -> None:
    from aiohttp import web

    body = """
functions: [{name: f, operation: 'file://api.json#f'}]
states:
  - name: A
    type: operation
    actions: [{functionRef: {refName: f, invoke: async, arguments: {n: '${ .n }'}}}]
    end: true
"""
    async with services(f=lambda given: web.Response(status=500)) as service:
        found = await output(run, body, {"n": 1}, resources=await service.pin(workflow(body)))
        assert found == {"n": 1}
        while not service.calls:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert service.calls == [("f", {"n": 1})]


async def test_b32_a_sub_workflow_that_is_async_ends_with_its_parent_unless_it_may_continue(run: Any) -> None:
    body = """
states:
  - name: A
    type: operation
    actions: [{subFlowRef: {workflowId: child, invoke: async%s}}]
    transition: B
  - {name: B, type: sleep, duration: PT0.1S, end: true}
"""
    sleeps = """
events: [{name: P, type: child.ended, kind: produced}]
states: [{name: S, type: sleep, duration: %s, end: {produceEvents: [{eventRef: P}]}}]
"""
    for more, duration, told in (("", "PT1H", 0), (", onParentComplete: continue", "PT1S", 1)):
        child = workflow(sleeps % duration, id="child")
        ended = await run(workflow(body % more), {"n": 1}, others=[child])
        assert (ended.status, ended.output) == ("completed", {"n": 1}), ended.error
        if run.name == "local":
            assert len(ended.channels.get("default", [])) == told
        else:
            [begun] = [
                event.child_workflow_execution_started_event_attributes
                for event in await run.history(ended.run_id)
                if event.HasField("child_workflow_execution_started_event_attributes")
            ]
            last = await run.runtime.wait(begun.workflow_execution.workflow_id, 30)
            assert last.status == ("completed" if told else "cancelled")
            mine = [
                item for item in await stored(run, "default") if item["event"]["id"].startswith(ended.run_id)
            ]
            assert len(mine) == told


def test_what_an_async_call_would_give_cannot_be_used() -> None:
    body = """
functions: [{name: f, operation: 'file://api.json#f'}]
states:
  - name: A
    type: operation
    actions: [{functionRef: {refName: f, invoke: async}, actionDataFilter: {results: .x}}]
    end: true
"""
    found = problems(body)
    place = "/states/0/actions/0/actionDataFilter/results"
    assert [(each.code, each.pointer) for each in found] == [("misplaced-property", place)]
