"""What a workflow is to those around it: an OpenAPI document of how it is run, an AsyncAPI one of its events.

Both are made of the compiled workflow alone, so they say what is deployed. An event whose attributes are computed is
described as far as they are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from workflow_engine.graph.embedding import embedded, refers_to_itself
from workflow_engine.graph.model import Emit, Event, Operation, StateGraph, Strategy, Validate, states_of
from workflow_engine.values import Json, JsonObject

OPENAPI, ASYNCAPI = "3.1.0", "3.0.0"
EVENT = "application/cloudevents+json"
_STATUSES = ["pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed"]
_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


def openapi(graph: StateGraph, server: str = "") -> JsonObject:
    """An OpenAPI document with the one operation that runs *graph*, at the API *server*, and the workflow's schemas."""
    name = graph.name
    schemas: dict[str, Json] = {}
    given, output = (
        _component(title, _schema(graph, title.lower()), schemas) for title in ("Input", "Output")
    )
    run: JsonObject = {
        "type": "object",
        "required": ["id", "status"],
        "properties": {
            "id": {"type": "string"},
            "status": {"enum": [*_STATUSES]},
            "output": output if output is not None else {},
            "error": {
                "type": ["object", "null"],
                "description": "RFC 9457",
                "properties": {"type": {"type": "string"}, "status": {"type": "integer"}},
            },
        },
    }
    content: JsonObject = {"application/json": {"schema": run}}
    operation: JsonObject = {
        "operationId": _NAME.sub("-", f"run-{name.namespace}-{name.name}"),
        "summary": graph.title or f"Run {name.namespace}/{name.name}",
        "parameters": [
            {
                "name": "wait",
                "in": "query",
                "description": "seconds to wait for its end",
                "schema": {"type": "number", "minimum": 0, "maximum": 60},
            },
            {
                "name": "id",
                "in": "query",
                "description": "id of the run; asked for again with it, the run is not started twice",
                "schema": {"type": "string"},
            },
        ],
        "requestBody": {
            "required": given is not None,
            "content": {"application/json": {"schema": given if given is not None else {}}},
        },
        "responses": {
            "200": {"description": "The run has ended", "content": content},
            "201": {"description": "The run goes on", "content": content},
            "default": {
                "description": "A problem",
                "content": {"application/problem+json": {"schema": {"type": "object"}}},
            },
        },
    }
    document: JsonObject = {
        "openapi": OPENAPI,
        "info": _info(graph),
        "paths": {_path(graph): {"post": operation}},
    }
    if schemas:
        document["components"] = {"schemas": schemas}
    return {**document, "servers": [{"url": server}]} if server else document


def _path(graph: StateGraph) -> str:
    """Where it is run. Names of DSL 0.8 may have spaces, and braces, which would be parameters."""
    name = graph.name
    return "/".join(
        (
            "/v1/workflows",
            *(quote(part, safe="+") for part in (name.namespace, name.name, name.version)),
            "runs",
        )
    )


def _component(title: str, schema: Json, components: dict[str, Json]) -> Json:
    """*schema*; or where it refers to itself, a reference to it among the *components*, whose names tools show."""
    if not refers_to_itself(schema):
        return schema
    place = f"#/components/schemas/{title}"
    components[title] = embedded(schema, place)
    return {"$ref": place}


def _info(graph: StateGraph) -> JsonObject:
    info: JsonObject = {"title": graph.title or graph.name.name, "version": graph.name.version}
    return {**info, "description": graph.summary} if graph.summary else info


def _schema(graph: StateGraph, what: str) -> Json:
    """The JSON Schema that the workflow's input or output is checked by; None where there is none."""
    steps = graph.enter if what == "input" else graph.leave
    checks = [step.schema.source for step in steps if isinstance(step, Validate) and step.what == what]
    return checks[-1] if checks else None  # the first one of DSL 0.8 is that it is an object


@dataclass(frozen=True, slots=True)
class _Message:
    """Something that a workflow sends or receives: in which *state*, on which *channel*."""

    action: str
    state: str
    channel: str
    name: str
    payload: JsonObject
    content_type: str = EVENT


def asyncapi(graph: StateGraph) -> JsonObject:
    """An AsyncAPI document of the events that *graph* publishes and takes, and what it sends by the router.

    ``send`` is what the workflow sends. Messages are CloudEvents, but for those of ``call: asyncapi``, which are what
    the operation of the other service says.
    """
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for message in _messages(graph):
        id, number = _NAME.sub("-", message.channel), 1
        while (
            channels.setdefault(id, {"address": message.channel, "messages": {}})["address"]
            != message.channel
        ):
            number += 1
            id = f"{_NAME.sub('-', message.channel)}-{number}"
        channel = channels[id]
        name = _NAME.sub("-", message.name) or "any"
        known, number = name, 1
        while (described := _described(message, f"#/channels/{id}/messages/{known}/payload")) != channel[
            "messages"
        ].setdefault(known, described):
            number += 1
            known = f"{name}-{number}"
        key, number = _NAME.sub("-", f"{message.action}-{message.state}"), 1
        reference = {"$ref": f"#/channels/{id}/messages/{known}"}
        while key in operations and operations[key]["channel"] != {"$ref": f"#/channels/{id}"}:
            number += 1
            key = _NAME.sub("-", f"{message.action}-{message.state}-{number}")
        operation = operations.setdefault(
            key, {"action": message.action, "channel": {"$ref": f"#/channels/{id}"}, "messages": []}
        )
        if reference not in operation["messages"]:
            operation["messages"].append(reference)
    return {
        "asyncapi": ASYNCAPI,
        "info": _info(graph),
        "defaultContentType": EVENT,
        "channels": channels,
        "operations": operations,
    }


def _described(message: _Message, at: str) -> JsonObject:
    return {
        "name": message.name or "any",
        "contentType": message.content_type,
        "payload": embedded(message.payload, at),
    }


def _messages(graph: StateGraph) -> Iterator[_Message]:
    if graph.trigger is not None:
        yield from _taken("start", graph.trigger.channel, graph.trigger.strategy)
    for state in states_of(graph):
        match state.action:
            case Emit(template, channel):
                source = template.source
                attributes = source if isinstance(source, dict) else {}
                fixed = {name: value for name, value in attributes.items() if name != "data"}
                yield _event("send", state.name, channel, fixed)
            case Event(messages=None):
                yield from _taken(state.name, state.action.channel, state.action.strategy)
            case Operation(kind="asyncapi"):
                yield from _sent(graph, state.name, state.action)
            case _:
                pass


def _taken(state: str, channel: str, strategy: Strategy) -> Iterator[_Message]:
    for each in strategy.filters:
        tests: Any = each.attributes
        fixed = {
            name: test["equals"]
            for name, test in tests.items()
            if isinstance(test, dict) and list(test) == ["equals"]
        }
        yield _event(
            "receive", state, channel, {name: value for name, value in fixed.items() if name != "data"}
        )
    if isinstance(strategy.until, Strategy):
        yield from _taken(state, channel, strategy.until)


def _event(action: str, state: str, channel: str, fixed: dict[str, Json]) -> _Message:
    """A CloudEvent whose attributes are *fixed*, as far as they are not computed."""
    known = {
        name: value
        for name, value in fixed.items()
        if isinstance(value, str | int | bool) and not (isinstance(value, str) and "${" in value)
    }
    properties: JsonObject = {name: {"const": value} for name, value in known.items()}
    payload: JsonObject = {
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {"specversion": {"const": "1.0"}, **properties, "data": {}},
    }
    return _Message(action, state, channel, str(known.get("type", "")), payload)


def _sent(graph: StateGraph, state: str, call: Operation) -> Iterator[_Message]:
    """What a call publishes through the router; what goes to a broker itself is for the broker's own document."""
    arguments: Any = call.arguments.source
    if isinstance(arguments, dict) and {"server", "protocol", "document"} & arguments.keys():
        return
    for resource in call.resources:
        operation: Any = graph.resources.get(resource)
        if not isinstance(operation, dict) or not isinstance(operation.get("channel"), str):
            continue
        for message in operation.get("messages") or ():
            payload = message.get("payload")
            yield _Message(
                "send",
                state,
                operation["channel"],
                str(message.get("name") or "message"),
                payload if isinstance(payload, dict) else {},
                str(message.get("content_type") or "application/json"),
            )
