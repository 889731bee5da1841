"""Lower ``call: asyncapi``: publishing one message, and subscribing to the messages of an operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.dsl import bounds
from workflow_engine.dsl.lowering import KEPT_SECRET
from workflow_engine.dsl.needs import asyncapi_key
from workflow_engine.dsl.v1 import events, secrets
from workflow_engine.dsl.v1.endpoints import authenticate, expand
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.expressions import Expression
from workflow_engine.graph.model import (
    Action,
    Event,
    EventFilter,
    Exit,
    Messages,
    Region,
    Sequence,
    Strategy,
)
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering


SPOKEN = ("amqp", "http", "kafka", "mqtt", "mqtt5", "nats", "ws")
"""The protocols that a call speaks by itself, of those that it may name."""


def lower(lowering: WorkflowLowering, task: Task) -> Action:
    """Publish ``message`` (without one the task's input is the payload), or subscribe."""
    given = task.object("with")
    document = _document(lowering, task)
    direct = _direct(lowering, task)
    message = given.get("message")
    sent: JsonObject = dict(message) if isinstance(message, dict) else {}
    sent.setdefault("payload", "${ . }")
    arguments: JsonObject = {"message": sent, **(direct or {})}
    key = asyncapi_key({**given, "document": document} if document else given)
    if key is None and document:
        return _later(lowering, task, arguments, document)
    if key is None:
        hint = "name the operation: `operation`, or `document` with `operation` or `channel`"
        lowering.problem("missing-property", hint, task.at("with"))
        return _nothing(task)
    if "subscription" in given:
        return _subscribe(lowering, task, key, direct)
    return secrets.operation(lowering, task, "asyncapi", arguments, (key,))


def _direct(lowering: WorkflowLowering, task: Task) -> JsonObject | None:
    """What a call says that names a server of the document, or a protocol; None where it goes through the router."""
    given = dict(task.object("with"))
    protocol = given.get("protocol")
    if protocol is not None and protocol not in SPOKEN:
        what = (
            f"the protocol {protocol!r} (calls speak {', '.join(SPOKEN)}; the event router needs no protocol)"
        )
        lowering.unsupported(what, task.at("with", "protocol"))
    if "server" not in given and protocol is None:
        if "authentication" in given:
            message = (
                "`authentication` is for a server of the document: name it by `server`, or by `protocol`"
            )
            lowering.problem("misplaced-property", message, task.at("with", "authentication"))
        return None
    authenticate(lowering, task, given, ("with",))
    return {name: given[name] for name in ("server", "protocol", "authentication") if name in given}


def _subscribe(lowering: WorkflowLowering, task: Task, key: str, direct: JsonObject | None) -> Action:
    """Wait for messages as ``listen`` waits for events: on the channel of the operation, or of what a broker sends."""
    at = ("with", "subscription")
    consume = task.object(*at, "consume")

    kept = task.variables - KEPT_SECRET  # the router filters, and keeps what it filters by

    def condition(*path: str) -> Expression | None:
        variables = kept if path == ("filter",) else task.variables
        return lowering.optional_expression(task.part(*at, *path), variables, task.at(*at, *path))

    bounds.check_timeout(lowering, consume.get("for"), task.at(*at, "consume", "for"))
    amount = consume.get("amount")
    messages = Messages(
        resource=key,
        filter=condition("filter"),
        amount=int(amount) if isinstance(amount, int | float) else None,  # 2.0 is a whole number too
        keep=condition("consume", "while"),
        until=condition("consume", "until"),
        lasts=lowering.optional_timing(consume.get("for"), task.variables, task.at(*at, "consume", "for")),
        bridge=None
        if direct is None
        else secrets.operation(lowering, task, "asyncapi.receive", direct, (key,)),
    )
    operation = key.rpartition("#")[2].partition(":")[2] or key.rpartition("#")[2]
    return Event(
        strategy=Strategy("any", (EventFilter({}, name=f"messages of {operation}"),)),
        channel=lowering.channel(None, task.id),
        each=events.each_event(lowering, task, (*at, "foreach")),
        messages=messages,
    )


def _later(lowering: WorkflowLowering, task: Task, sent: JsonObject, document: JsonObject) -> Action:
    """Publish by a document that the call fetches itself: it is known only then where, or who reads it."""
    at = task.at("with", "document", "endpoint")
    if "subscription" in task.object("with"):
        what = "subscribing by a document that is known only when the workflow runs"
        lowering.unsupported(f"{what} (the channel to listen to must be known when it is deployed)", at)
        return _nothing(task)
    endpoint: Json = document.get("endpoint")
    if isinstance(endpoint, dict):
        endpoint, at = endpoint.get("uri"), at + "/uri"
    name = "operation" if "operation" in task.object("with") else "channel"
    arguments: JsonObject = {**sent, "document": document, name: task.part("with", name)}
    expand(lowering, arguments, endpoint, at)
    return secrets.operation(lowering, task, "asyncapi", arguments)


def _document(lowering: WorkflowLowering, task: Task) -> JsonObject:
    """The document of a call, with the policy in the place of its name; empty where the catalog has it."""
    document = dict(task.object("with", "document"))
    endpoint = document.get("endpoint")
    if isinstance(endpoint, dict):
        document["endpoint"] = endpoint = dict(endpoint)
        authenticate(lowering, task, endpoint, ("with", "document", "endpoint"))
    return document


def _nothing(task: Task) -> Action:
    return Sequence(Region(task.id, Exit(), {}))
