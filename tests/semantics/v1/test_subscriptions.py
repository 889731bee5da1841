"""Subscribing by ``call: asyncapi`` through the router: decisions A6 and A36, on both runtimes."""

from __future__ import annotations

from typing import Any

import pytest

import catalog
from tests.semantics.v1.documents import error, event, kind, output, problems, workflow
from workflow_engine import dsl
from workflow_engine.calls import Egress
from workflow_engine.calls.resolution import Resolution
from workflow_engine.dsl.needs import needs
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.values import JsonObject

V3 = """
asyncapi: 3.0.0
info: {title: chat, version: 1.0.0}
channels:
  notes:
    address: default
    messages:
      note:
        payload: {type: object}
        headers: {type: object, properties: {X-Trace-Id: {type: string}}}
        correlationId: {location: $message.header#/threadId}
  rooms:
    address: rooms/{room}
    parameters: {room: {default: lobby}}
    messages: {said: {payload: {type: object}}}
  halls:
    address: halls/{hall}
    parameters: {hall: {}}
    messages: {said: {payload: {type: object}}}
operations:
  noted: {action: send, channel: {$ref: '#/channels/notes'}}
  note: {action: receive, channel: {$ref: '#/channels/notes'}}
  heard: {action: send, channel: {$ref: '#/channels/rooms'}}
  say: {action: receive, channel: {$ref: '#/channels/rooms'}}
  echoed: {action: send, channel: {$ref: '#/channels/halls'}}
"""
V2 = """
asyncapi: 2.6.0
info: {title: chat, version: 1.0.0}
channels:
  default:
    subscribe: {operationId: noted, message: {name: note, payload: {type: object}}}
    publish: {operationId: note, message: {name: note, payload: {type: object}}}
"""
DESCRIBED = catalog.describe_document(V3)
RESOURCES: dict[str, Any] = {
    f"file://chat.yaml#{operation.id}": operation.to_json() for operation in DESCRIBED.operations
}


def notes(*numbers: Any, **attributes: Any) -> list[JsonObject]:
    return [event("note", str(at), {"n": n}, **attributes) for at, n in enumerate(numbers)]


def subscribe(subscription: str, *, operation: str = "noted", rest: str = "") -> str:
    given = f"{{operation: 'file://chat.yaml#{operation}', subscription: {subscription}}}"
    return f"{{call: asyncapi, with: {given}{rest}}}"


async def messages(run: Any, subscription: str, input: Any = None, **options: Any) -> Any:
    body = f"do: [{{a: {subscribe(subscription)}, }}]"
    return await output(run, body, input, resources=RESOURCES, **options)


async def test_the_output_is_the_messages_in_the_order_in_which_they_came(run: Any) -> None:
    found = await messages(run, "{consume: {amount: 2}}", events=notes(1, 2, 3))
    assert [message["payload"] for message in found] == [{"n": 1}, {"n": 2}]
    assert {"payload", "headers", "correlationId"} == found[0].keys()


async def test_a_message_has_the_headers_and_the_correlation_id_that_its_document_names(run: Any) -> None:
    sent = notes(1, xtraceid="t-1", threadid="thread", other="x")
    (message,) = await messages(run, "{consume: {amount: 1}}", events=sent)
    assert message["correlationId"] == "thread"
    headers = message["headers"]
    assert (headers["X-Trace-Id"], headers["threadId"], headers["other"]) == ("t-1", "thread", "x")
    assert headers["type"] == "note"
    assert not {"xtraceid", "threadid", "data"} & headers.keys()


async def test_what_is_published_by_a_call_is_heard_by_one(run: Any) -> None:
    body = f"""
    do:
      - say:
          call: asyncapi
          with:
            operation: file://chat.yaml#say
            message: {{payload: {{text: hi}}, headers: {{correlationId: c-1}}}}
      - hear: {subscribe("{consume: {amount: 1}}", operation="heard")}
    """
    (message,) = await output(run, body, resources=RESOURCES)
    assert (message["payload"], message["correlationId"]) == ({"text": "hi"}, "c-1")
    assert message["headers"]["operationid"] == "say"


async def test_the_filter_sees_the_message_and_what_the_run_knows(run: Any) -> None:
    wanted = '${ .payload.n == $input.n and .correlationId == $context.thread and .headers.threadId == "b" }'
    body = f"""
    do:
      - set: {{set: {{n: 2}}, export: {{as: '{{thread: "b"}}'}}}}
      - a: {subscribe("{filter: '" + wanted + "', consume: {amount: 1}}")}
    """
    events = [
        event("note", "1", {"n": 2}, threadid="a"),
        event("note", "2", {"n": 1}, threadid="b"),
        event("note", "3", {"n": 2}, threadid="b"),
    ]
    (message,) = await output(run, body, resources=RESOURCES, events=events)
    assert message["headers"]["id"].startswith("3")


async def test_a_message_that_the_filter_leaves_is_there_for_a_later_subscription(run: Any) -> None:
    body = f"""
    do:
      - second: {subscribe("{filter: '${ .payload.n == 2 }', consume: {amount: 1}}")}
      - rest: {subscribe("{consume: {amount: 2}}")}
      - all: {{set: {{n: '${{ map(.payload.n) }}'}}}}
    """
    assert await output(run, body, resources=RESOURCES, events=notes(1, 2, 3)) == {"n": [1, 3]}


async def test_a36_while_is_asked_after_each_message_of_the_messages_so_far(run: Any) -> None:
    found = await messages(run, "{consume: {while: '${ (. | length) < 3 }'}}", events=notes(1, 2, 3, 4))
    assert [message["payload"]["n"] for message in found] == [1, 2, 3]
    once = await messages(run, "{consume: {while: '${ false }'}}", events=notes(1, 2))
    assert [message["payload"]["n"] for message in once] == [1]


async def test_a36_until_is_asked_before_each_message_and_may_hold_of_none(run: Any) -> None:
    found = await messages(run, "{consume: {until: '${ any(.[]; .payload.n == 2) }'}}", events=notes(1, 2, 3))
    assert [message["payload"]["n"] for message in found] == [1, 2]
    assert await messages(run, "{consume: {until: '${ true }'}}", events=notes(1)) == []


async def test_for_ends_with_the_messages_that_came_in_time(run: Any) -> None:
    found = await messages(run, "{consume: {for: PT1.5S, amount: 9}}", events=notes(1, 2))
    assert [message["payload"]["n"] for message in found] == [1, 2]
    assert await messages(run, "{consume: {for: {milliseconds: 10}, while: '${ true }'}}") == []


async def test_for_may_be_computed_and_ends_before_it_when_there_is_enough(run: Any) -> None:
    subscription = "{consume: {for: '${ .time }', amount: 1}}"
    found = await messages(run, subscription, {"time": "PT1H"}, events=notes(1))
    assert len(found) == 1


async def test_each_message_is_worked_on_as_it_comes(run: Any) -> None:
    subscription = """{consume: {amount: 2}, foreach: {
      item: message, at: number,
      do: [{double: {set: {twice: '${ $message.payload.n * 2 }', at: '${ $number }'}}}],
      output: {as: '{twice, at, of: $message.payload.n}'},
      export: {as: '{last: .twice}'}}}"""
    body = f"do: [{{a: {subscribe(subscription)}}}, {{b: {{set: {{all: '${{ . }}', last: '${{ $context }}'}}}}}}]"
    assert await output(run, body, resources=RESOURCES, events=notes(3, 4)) == {
        "all": [{"twice": 6, "at": 0, "of": 3}, {"twice": 8, "at": 1, "of": 4}],
        "last": {"last": 8},
    }


async def test_exit_leaves_the_subscription(run: Any) -> None:
    subscription = """{consume: {while: '${ true }'}, foreach: {item: m, do: [
      {enough: {if: '${ $m.payload.n == 2 }', set: '${ $m.payload }', then: exit}}, {n: {set: '${ $m.payload }'}}]}}"""
    found = await messages(run, subscription, events=notes(1, 2, 3))
    assert found == [{"n": 1}, {"n": 2}]


async def test_a_channel_with_a_parameter_is_that_of_its_default(run: Any) -> None:
    body = f"do: [{{a: {subscribe('{consume: {amount: 1}}', operation='echoed')}}}]"
    fault = await error(run, body, resources=RESOURCES)
    assert (kind(fault), fault["instance"]) == ("configuration", "/do/0/a")
    assert "'hall'" in fault["detail"]


async def test_a_workflow_cannot_subscribe_to_what_a_service_receives(run: Any) -> None:
    body = f"do: [{{a: {subscribe('{consume: {amount: 1}}', operation='note')}}}]"
    fault = await error(run, body, resources=RESOURCES)
    assert kind(fault) == "configuration"
    assert "cannot subscribe" in fault["detail"]


async def test_a_timeout_around_a_subscription_is_a_fault(run: Any) -> None:
    body = f"do: [{{a: {subscribe('{consume: {amount: 1}}', rest=', timeout: {after: PT0.05S}')}}}]"
    assert kind(await error(run, body, resources=RESOURCES)) == "timeout"


@pytest.mark.parametrize(
    "bad", ["filter: '${ .x[ }', consume: {amount: 1}", "consume: {until: '${ $nope }'}"]
)
def test_conditions_are_checked_when_the_document_is_loaded(bad: str) -> None:
    (found,) = problems(f"do: [{{a: {subscribe('{' + bad + '}')}}}]")
    assert found.code == "invalid-expression"
    assert found.pointer.startswith("/do/0/a/with/subscription/")


# --- what is pinned -----------------------------------------------------------------------------------------

BY_DOCUMENT = """do: [{a: {call: asyncapi, with: {document: {endpoint: 'https://x.example/a.yaml'},
  %s, subscription: {consume: {amount: 1}}}}}]"""


@pytest.mark.parametrize("text", [V2, V3], ids=["2.6", "3.0"])
@pytest.mark.parametrize("named", ["operation: noted", "channel: default"])
async def test_an_operation_or_a_channel_of_a_document_is_resolved_to_what_the_service_sends(
    run: Any, text: str, named: str
) -> None:
    body = BY_DOCUMENT % named
    resources = await resolved(body, text)
    assert [found["operation"] for found in resources.values()] == ["noted"]
    (message,) = await output(run, body, resources=resources, events=notes(5))
    assert message["payload"] == {"n": 5}


@pytest.mark.parametrize("text", [V2, V3], ids=["2.6", "3.0"])
async def test_what_a_workflow_may_only_publish_to_is_found_out_when_it_is_deployed(text: str) -> None:
    with pytest.raises((Rejected, NotFound), match="may only publish"):
        await resolved(BY_DOCUMENT % "operation: note", text)


async def resolved(body: str, text: str) -> dict[str, Any]:
    specs = catalog.Catalog(await catalog.open_store("memory:"))
    async with Egress() as egress:
        resolution = Resolution(specs, egress, {"https://x.example/a.yaml": text})
        return {need.key: await resolution(need) for need in needs(dsl.parse(workflow(body)).data)}


# --- the context --------------------------------------------------------------------------------------------

CONTEXT = """document: {dsl: '1.0.3', namespace: t, name: t, version: '1.0.0', metadata: {initialContext: %s}}
input: {from: .given}
do: [{a: {set: {context: '${ $context }'}}}]"""


@pytest.mark.parametrize(("wanted", "begins"), [("input", {"user": 1}), ("empty", {})])
async def test_a6_the_context_begins_empty_or_as_the_input(run: Any, wanted: str, begins: Any) -> None:
    ended = await run(CONTEXT % wanted, {"given": {"user": 1}})
    assert ended.output == {"context": begins}


def test_a6_another_beginning_of_the_context_is_refused() -> None:
    (found,) = dsl.check(dsl.parse(CONTEXT % "output"))
    assert (found.code, found.pointer) == ("invalid-value", "/document/metadata/initialContext")
