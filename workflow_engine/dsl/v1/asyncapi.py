"""Lower ``call: asyncapi``: publishing one message, and subscribing to the messages of an operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.dsl.lowering import KEPT_SECRET
from workflow_engine.dsl.needs import asyncapi_key
from workflow_engine.dsl.v1 import events, secrets
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
from workflow_engine.values import JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering


def lower(lowering: WorkflowLowering, task: Task) -> Action:
    """Publish ``message`` (without one the task's input is the payload), or subscribe."""
    given = task.object("with")
    for name, why in (
        ("server", "choosing a server; messages go through the event router"),
        ("protocol", "choosing a protocol; messages go through the event router"),
        ("authentication", "authentication to a broker; messages go through the event router"),
    ):
        if name in given:
            lowering.unsupported(f"`with.{name}` ({why})", task.at("with", name))
    _document(lowering, task)
    key = asyncapi_key(given)
    if key is None:
        hint = "name the operation: `operation`, or `document` with `operation` or `channel`"
        lowering.problem("missing-property", hint, task.at("with"))
        return Sequence(Region(task.id, Exit(), {}))
    if "subscription" in given:
        return _subscribe(lowering, task, key)
    message = given.get("message")
    sent: JsonObject = dict(message) if isinstance(message, dict) else {}
    sent.setdefault("payload", "${ . }")
    return secrets.operation(lowering, task, "asyncapi", {"message": sent}, (key,))


def _subscribe(lowering: WorkflowLowering, task: Task, key: str) -> Action:
    """Wait for messages as ``listen`` waits for events, on the channel of the operation."""
    at = ("with", "subscription")
    consume = task.object(*at, "consume")

    kept = task.variables - KEPT_SECRET  # the router filters, and keeps what it filters by

    def condition(*path: str) -> Expression | None:
        variables = kept if path == ("filter",) else task.variables
        return lowering.optional_expression(task.part(*at, *path), variables, task.at(*at, *path))

    amount = consume.get("amount")
    messages = Messages(
        resource=key,
        filter=condition("filter"),
        amount=amount if isinstance(amount, int) else None,
        keep=condition("consume", "while"),
        until=condition("consume", "until"),
        lasts=lowering.optional_timing(consume.get("for"), task.variables, task.at(*at, "consume", "for")),
    )
    operation = key.rpartition("#")[2].partition(":")[2] or key.rpartition("#")[2]
    return Event(
        strategy=Strategy("any", (EventFilter({}, name=f"messages of {operation}"),)),
        channel=lowering.channel(None, task.id),
        each=events.each_event(lowering, task, (*at, "foreach")),
        messages=messages,
    )


def _document(lowering: WorkflowLowering, task: Task) -> None:
    """Check that the document of a call can be resolved when the workflow is deployed."""
    document = task.part("with", "document")
    endpoint = document.get("endpoint") if isinstance(document, dict) else None
    if isinstance(endpoint, dict):
        if "authentication" in endpoint:
            at = task.at("with", "document", "endpoint", "authentication")
            lowering.unsupported("authentication to fetch a document", at)
        endpoint = endpoint.get("uri")
    if isinstance(endpoint, str) and "${" in endpoint:
        at = task.at("with", "document", "endpoint")
        lowering.unsupported("the address of an AsyncAPI document as an expression", at)
