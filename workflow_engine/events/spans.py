"""Events in a distributed trace: the extension of CloudEvents for it, and the spans of deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workflow_engine.events.targets import Delivered, Delivery, Drop, Gone, Retry, Target
from workflow_engine.telemetry.context import PARENT, TraceContext
from workflow_engine.telemetry.spans import Kind, Span, Tracer
from workflow_engine.values import Json, JsonObject

_KINDS: Mapping[str, Kind] = {"webhook": "client", "channel": "producer"}


def carrying(span: Span, event: Json) -> Json:
    """*event*, with the context of *span* that publishes it, unless it has one: that is where it was made."""
    if not isinstance(event, dict) or event.get(PARENT) is not None:
        return event
    return {**event, **span.context.headers()}


async def delivered(
    tracer: Tracer, kind: str, target: Target, delivery: Delivery, events: Sequence[JsonObject]
) -> Delivered:
    """Deliver to *target*, one of *kind*, as part of the trace of the last of *events*; it links to those of others."""
    if kind == "pull":
        return await target.deliver(delivery)  # which only waits to be fetched
    *others, parent = [TraceContext.of(event) for event in events]
    last = events[-1]
    attributes: dict[str, str | int] = {
        "messaging.destination.name": delivery.channel,
        "messaging.operation.type": "process",
        **{f"cloudevents.event_{name}": str(last.get(name)) for name in ("id", "source", "type")},
        "wfe.delivery.attempt": delivery.attempt,
    }
    if delivery.subscription is not None:
        attributes["messaging.destination.subscription.name"] = delivery.subscription
    links = [other for other in others if other is not None]
    name = f"deliver {last.get('type')} to {kind}"
    with tracer.span(name, _KINDS.get(kind, "consumer"), parent, attributes, links=links) as span:
        try:
            answer = await target.deliver(delivery)
        except (Retry, Drop) as failed:
            span.error = failed.code
            raise
        except Gone:
            span.error = "gone"
            raise
        if answer.reference and kind in ("run", "workflow"):
            span.set("wfe.run.id", answer.reference)
        return answer
