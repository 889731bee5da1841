"""Subscriptions of ``call: asyncapi``: what a message of an operation is, which are taken, and how many (dsl.md §1.10).

A message is ``{payload, headers, correlationId}``. Of an event of the router, the payload is its data; the headers are
its other attributes, under the names that the operation's document has for them, for the name of an attribute has no
more than small letters and digits; the correlation id is where the document says, or the attribute ``correlationid``.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workflow_engine import expressions
from workflow_engine.errors import fault
from workflow_engine.graph.model import Messages, State
from workflow_engine.interpreter.calling import prepared
from workflow_engine.interpreter.effects import Place, Thunk
from workflow_engine.interpreter.evaluation import holds, pure
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import Scope, state_scope
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run

DIRECT = "asyncapi/received"
"""The router's channel for what comes from brokers; each run sees its own."""

_MESSAGE = (
    '{payload: (if has("data") then .data else .data_base64 end),'
    " headers: (del(.data, .data_base64) | with_entries(.key |= ($__headers[.] // .)))}"
    " | .correlationId = first("
    "($__correlation[] as $path | {header: .headers, payload} | getpath($path)? | select(. != null)),"
    " (.headers.correlationid | select(. != null)), null)"
)
"""An event as a message, in jq: the router evaluates it too, for the filter of a subscription."""
_VARIABLES = ("__headers", "__correlation")
_READ = expressions.compile(_MESSAGE, variables=_VARIABLES)

_LOCATION = re.compile(r"\$message\.(header|payload)#((?:/.*)?)", re.DOTALL)
_CONTEXT_ATTRIBUTES = frozenset(
    {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"}
)


def specify(run: Run, messages: Messages, scope: Scope) -> JsonObject:
    """Which events are taken, in the JSON form of `filters`."""
    spec: JsonObject = {"mode": "any"}
    if messages.amount != 1:
        spec["open"] = True  # the run itself says when it has enough
    attributes: JsonObject = {}
    if messages.bridge is not None:
        attributes["source"] = {"equals": _source(run, messages)}
    wanted = messages.filter
    if wanted is not None:
        read = ".data" if messages.bridge is not None else _MESSAGE
        holding = f"first(({wanted.source}\n), null) | . != null and . != false"
        attributes["type"] = {"expression": f"$event | {read} | {holding}"}
        known: JsonObject = {name: scope[name] for name in sorted(wanted.variables)}
        spec["scope"] = known if messages.bridge is not None else known | _names(_operation(run, messages))
    return {**spec, "filters": [{"attributes": attributes}]}


async def bridged(
    run: Run, state: State, messages: Messages, frame: Frame, place: Place, collect: Thunk[Any]
) -> None:
    """Collect the messages while a call brings them from the broker; that ends when there are enough of them."""
    assert messages.bridge is not None
    _operation(run, messages)
    call = await prepared(run, state, messages.bridge, frame, None)
    arrived = frame.local.get("arrived", [])
    assert isinstance(arrived, list)
    reception: JsonObject = {
        "channel": DIRECT,
        "source": _source(run, messages),
        "since": run.started.timestamp(),
        "amount": None if messages.amount is None else max(1, messages.amount - len(arrived)),
    }
    if messages.amount is not None and messages.filter is not None:
        scope = state_scope(run, state, frame, input=frame.input)
        reception["spec"] = run.outside(specify(run, messages, scope))
    bridge = Place(f"{place.id}/receive", place.state, f"{place.label}: receiving")

    async def receive() -> None:
        await run.effects.call(replace(call, reception=reception), bridge)
        await (
            run.effects.never()
        )  # it has brought as many as were asked for; the run has not taken all of them yet

    branches: list[Thunk[Any]] = [collect, receive]
    await run.effects.join(branches, need=1, tolerant=False)


def _source(run: Run, messages: Messages) -> str:
    """What the events of the messages say that they are from: this run, and what it subscribes to.

    Another subscription of the run to the same finds what this one has left.
    """
    assert messages.bridge is not None
    given = json.dumps([messages.resource, messages.bridge.arguments.source], sort_keys=True)
    digest = hashlib.blake2b(given.encode(), digest_size=8).hexdigest()
    escaped = re.sub(r"[^A-Za-z0-9._~-]", lambda match: f"%{match[0].encode().hex('%')}", run.effects.run_id)
    return f"urn:wfe:run:{escaped}:{digest}"


def channel(run: Run, messages: Messages) -> str:
    """The router's channel of the operation: its address, with the defaults of its parameters."""
    if messages.bridge is not None:
        return DIRECT
    return address_of(_operation(run, messages))


def address_of(operation: JsonObject) -> str:
    """The address of the channel of *operation*, with the defaults of its parameters; a fault where there is none."""
    address = operation.get("channel")
    if not isinstance(address, str):
        raise fault(
            "configuration", f"{_name(operation)}: its channel has no address that is known beforehand"
        )
    details = operation.get("channel_details")
    parameters = details.get("parameters") if isinstance(details, dict) else None
    defaults: dict[str, str] = {}
    for parameter in parameters if isinstance(parameters, list) else []:
        schema = parameter.get("schema") if isinstance(parameter, dict) else None
        if isinstance(parameter, dict) and isinstance(schema, dict) and schema.get("default") is not None:
            defaults[str(parameter["name"])] = str(schema["default"])

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in defaults:
            message = f"nothing says which {match[1]!r} of the channel {address!r} to subscribe to: it has no default"
            raise fault("configuration", f"{_name(operation)}: {message}")
        return defaults[match[1]]

    return re.sub(r"\{([^{}]*)\}", value_of, address)


def message(run: Run, messages: Messages, event: JsonObject) -> JsonObject:
    """*event* as a message of the operation."""
    if messages.bridge is not None:
        brought = event.get("data")
        return brought if isinstance(brought, dict) else {}
    read = pure(_READ, event, _names(_operation(run, messages)))
    assert isinstance(read, dict)
    return read


async def enough_before(run: Run, state: State, messages: Messages, frame: Frame) -> bool:
    """Whether no message is wanted after those that were taken: ``until`` holds of them."""
    return messages.until is not None and await _holds(run, state, messages.until, frame)


async def enough_after(run: Run, state: State, messages: Messages, frame: Frame) -> bool:
    """Whether the message that was taken is the last: there are as many as asked for, or ``while`` holds no more."""
    taken = frame.local["taken"]
    assert isinstance(taken, list)
    if messages.amount is not None and len(taken) >= messages.amount:
        return True
    return messages.keep is not None and not await _holds(run, state, messages.keep, frame)


async def _holds(run: Run, state: State, condition: expressions.Expression, frame: Frame) -> bool:
    """Whether *condition* is true of the messages so far (decision A36)."""
    arrived, taken = frame.local["arrived"], frame.local["taken"]
    assert isinstance(arrived, list)
    assert isinstance(taken, list)
    so_far: list[Json] = [entry[1] for entry in arrived[: len(taken)] if isinstance(entry, list)]
    scope = state_scope(run, state, frame, input=frame.input)
    return await holds(condition, so_far, scope, strict=False)


def _operation(run: Run, messages: Messages) -> JsonObject:
    operation = run.graph.resources.get(messages.resource)
    if not isinstance(operation, dict):
        raise fault(
            "configuration", f"the bundle has no operation {messages.resource!r}; it should have pinned one"
        )
    if operation.get("workflow_may") != "subscribe":
        what = "its service receives here, so a workflow cannot subscribe to it"
        raise fault("configuration", f"{_name(operation)}: {what}")
    return operation


def _name(operation: JsonObject) -> str:
    return f"operation {operation.get('operation') or operation.get('channel')} of {operation.get('service')}"


def _names(operation: JsonObject) -> JsonObject:
    """What `_MESSAGE` has to know: the headers by their attributes, and the paths where a correlation id may be."""
    headers: JsonObject = {}
    paths: list[Json] = []
    declared = operation.get("messages")
    for item in declared if isinstance(declared, list) else []:
        if not isinstance(item, dict):
            continue
        schema = item.get("headers")
        properties = schema.get("properties") if isinstance(schema, dict) else None
        names = list(properties) if isinstance(properties, dict) else []
        location = _LOCATION.fullmatch(str(item.get("correlation_id")))
        if location is not None:
            tokens = [token.replace("~1", "/").replace("~0", "~") for token in location[2].split("/")[1:]]
            if [location[1], *tokens] not in paths:
                paths.append([location[1], *tokens])
            names += tokens[:1] if location[1] == "header" else []
        for name in names:
            attribute = re.sub(r"[^a-z0-9]", "", name.lower())
            if attribute and attribute not in _CONTEXT_ATTRIBUTES:
                headers.setdefault(attribute, name)
    return {"__headers": headers, "__correlation": paths}
