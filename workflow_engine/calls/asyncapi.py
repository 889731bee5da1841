"""``call: asyncapi``: publish one message of an operation that the catalog describes."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re

from catalog import describe_document
from catalog.errors import Conflict, InvalidMessage, InvalidSpec
from catalog.errors import NotFound as Unknown
from catalog.messages import address, validate
from workflow_engine.calls.brokers import direct as brokers
from workflow_engine.calls.content import MediaType, kind
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.documents import fetch
from workflow_engine.calls.exchange import deadline
from workflow_engine.calls.http import endpoint, members
from workflow_engine.calls.uri_template import address as expanded
from workflow_engine.calls.url import bounded
from workflow_engine.errors import NotFound, Rejected, Unavailable, fault
from workflow_engine.values import Json, JsonObject, rfc3339

receive = brokers.receive
"""Bring what a broker sends to the run that waits for it; see `brokers.direct`."""

_OWN_ATTRIBUTES = frozenset(
    {
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "data",
        "database64",
        "service",
        "operationid",
    }
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SHOWN_PROBLEMS = 5


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Publish ``message`` to the channel of ``operation`` (specification 1.0, AsyncAPI call).

    *arguments* has ``operation``, the JSON of a catalog operation; without it, the only resource that the
    bundle pinned for the state is meant. With a ``document``, which is fetched, ``operation`` or ``channel`` is the
    name of one of its. ``message`` has ``payload`` and ``headers``; without a payload, the
    state's input (``$input``) is sent.

    The message must fit one that the operation declares, else it is a validation fault. It is published in
    the router's channel of the operation's address, as a CloudEvent: its id is the idempotency key, its type
    the message's name, its data the payload, and each header is an extension attribute, in lower case and
    without what is no letter or digit; ``service`` and ``operationid`` say what was called.

    ``$own``: the document may be that of the workflow itself, whose service sends here (DSL 0.8, where functions of
    this type only ever publish).

    With ``server`` or ``protocol`` it goes to that server of the document instead (`brokers.direct`), with
    ``authentication``.

    The specification does not say what publishing gives; here it is the payload that was sent, so that data
    flows on to the next state.
    """
    operation = (
        await _described(arguments, context) if "document" in arguments else _operation(arguments, context)
    )
    name = _operation_name(operation)
    if operation.get("workflow_may") != "publish" and arguments.get("$own") is not True:
        raise fault(
            "configuration",
            f"{name}: its service sends here, so a workflow cannot publish to it; use `subscription`, or `listen`",
        )
    direct = "server" in arguments or "protocol" in arguments
    if context.events is None and not direct:
        raise fault("configuration", f"{name}: no event router is configured to publish to")
    payload, headers = _message(arguments, name)
    checked = await asyncio.to_thread(validate, operation, payload, headers)
    if not checked.valid:
        problems = [f"{problem.pointer or '/'}: {problem.message}" for problem in checked.problems]
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise fault(
            "validation",
            bounded(f"{name}: message {checked.message!r}: {'; '.join(problems[:_SHOWN_PROBLEMS])}", 1000)
            + more,
        )
    try:
        channel = address(operation, payload=payload, headers=headers)
    except InvalidMessage as error:
        raise fault("configuration", f"{name}: {error}") from None
    if direct:
        await brokers.publish(
            operation,
            arguments,
            context,
            kind=checked.message,
            address=channel,
            payload=payload,
            headers=headers,
        )
        return payload
    event = _event(operation, checked.message, payload, headers, context)
    assert context.events is not None
    async with deadline(context.timeout, f"{name}: publishing to channel {channel!r}"):
        try:
            await context.events.publish(channel, [event])
        except Unavailable as error:
            raise fault("communication", f"{name}: {error}", status=503) from None
        except Rejected as error:
            raise fault("validation", f"{name}: channel {channel!r} refuses the event: {error}") from None
        except NotFound as error:
            raise fault(
                "configuration", f"{name}: channel {channel!r} cannot be published to: {error}"
            ) from None
    return payload


def _operation(arguments: JsonObject, context: CallContext) -> JsonObject:
    operation = arguments.get("operation")
    if operation is None and len(context.resources) == 1:
        [operation] = context.resources.values()
    if not isinstance(operation, dict) or "channel" not in operation:
        raise fault(
            "configuration",
            "call asyncapi has no operation of the catalog; the bundle should have pinned one",
        )
    return operation


async def _described(arguments: JsonObject, context: CallContext) -> JsonObject:
    """The operation of a document whose address, or whose reader, only the call knows."""
    uri, policy = endpoint(members(arguments.get("document"), "document").get("endpoint"))
    uri = expanded(uri, arguments)
    found = None if policy is not None else context.egress.texts.get(uri)
    if found is None:
        found = await fetch(uri, policy, context.egress, seconds=context.timeout, kind="AsyncAPI document")
        if policy is None:
            context.egress.texts.put(uri, found)
    try:
        description = await asyncio.to_thread(describe_document, found[1])
        if "operation" in arguments:
            return description.find(operation=str(arguments["operation"])).to_json()
        return description.find(channel=str(arguments.get("channel")), workflow_may="publish").to_json()
    except (Unknown, Conflict, InvalidSpec) as error:
        what = f"the AsyncAPI document {bounded(uri.partition('?')[0], 200)}"
        raise fault("configuration", bounded(f"{what}: {error}", 1000)) from None


def _operation_name(operation: JsonObject) -> str:
    return f"operation {operation.get('operation') or operation['channel']} of {operation.get('service')}"


def _message(arguments: JsonObject, name: str) -> tuple[Json, JsonObject]:
    message = arguments.get("message")
    if message is None:
        message = {}
    if not isinstance(message, dict):
        raise fault("configuration", f"{name}: the message must be an object, not {kind(message)}")
    unknown = sorted(message.keys() - {"payload", "headers"})
    if unknown:
        raise fault(
            "configuration", f"{name}: a message has payload and headers; {unknown[0]!r} is neither of them"
        )
    headers = message.get("headers")
    if headers is None:
        headers = {}
    if not isinstance(headers, dict):
        raise fault(
            "configuration", f"{name}: the headers of the message must be an object, not {kind(headers)}"
        )
    return message.get("payload", arguments.get("$input")), headers


def _event(
    operation: JsonObject, message: str | None, payload: Json, headers: JsonObject, context: CallContext
) -> JsonObject:
    content_type = _content_type(operation, message)
    event: JsonObject = {
        "specversion": "1.0",
        "id": context.idempotency_key,
        "source": context.source,
        "type": message or str(operation.get("operation") or operation["channel"]),
        "time": rfc3339(context.now),
        "datacontenttype": content_type,
        "service": str(operation.get("service")),
    }
    if operation.get("operation") is not None:
        event["operationid"] = operation["operation"]
    for header, value in headers.items():
        if value is not None:
            attribute = _attribute(header)
            if attribute in event:
                raise fault(
                    "configuration",
                    f"header {header!r} and another one are both {attribute!r} as a CloudEvents attribute; "
                    "rename one",
                )
            event[attribute] = _attribute_value(header, value)
    event.update(_data(payload, content_type))
    return event


def _content_type(operation: JsonObject, message: str | None) -> str:
    declared = operation.get("messages")
    for candidate in declared if isinstance(declared, list) else []:
        if isinstance(candidate, dict) and candidate.get("name") == message:
            return str(candidate.get("content_type") or "application/json")
    return "application/json"


def _data(payload: Json, content_type: str) -> JsonObject:
    """The payload in the member that the JSON format of CloudEvents (section 3.1) has for its type."""
    media_type = MediaType.parse(content_type)
    if media_type.is_json:
        return {"data": payload}
    if not isinstance(payload, str):
        raise fault("validation", f"a payload of type {content_type} must be a string, not {kind(payload)}")
    if media_type.is_text:
        return {"data": payload}
    try:
        base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise fault("validation", f"a payload of type {content_type} must be base64") from None
    return {"data_base64": payload}


def _attribute(header: str) -> str:
    """*header* as the name of an extension attribute (CloudEvents 1.0.2, section 3.1)."""
    name = re.sub(r"[^a-z0-9]", "", header.lower())
    if not name or name in _OWN_ATTRIBUTES:
        what = f"would be {name!r}, which the event has already" if name else "has no letter or digit"
        raise fault(
            "configuration", f"header {header!r} cannot be a CloudEvents attribute: it {what}; rename it"
        )
    return name


def _attribute_value(header: str, value: Json) -> Json:
    """Strings, booleans and 32-bit integers are types of CloudEvents; other numbers become strings."""
    if isinstance(value, dict | list):
        raise fault(
            "configuration", f"header {header!r} is {kind(value)}; a CloudEvents attribute must be a scalar"
        )
    if isinstance(value, bool) or (isinstance(value, int) and -(2**31) <= value < 2**31):
        return value
    text = str(value)
    if _CONTROL.search(text):
        raise fault(
            "validation", f"header {header!r} has a character that a CloudEvents attribute cannot have"
        )
    return text
