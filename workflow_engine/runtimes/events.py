"""What every runtime asks of an event before it publishes it, so that a wrong one is a fault of the workflow."""

from __future__ import annotations

from workflow_engine.errors import Rejected, fault
from workflow_engine.events.cloudevents import MAX_EVENT, records
from workflow_engine.values import JsonObject


def check_event(event: JsonObject) -> None:
    """Raise a validation fault where *event* is no CloudEvent that a router takes."""
    try:
        records([event], 0, max_bytes=MAX_EVENT)
    except Rejected as refused:
        name = refused.pointer.removeprefix("/0").removeprefix("/")
        place = f"the attribute {name!r}: " if name else ""
        raise fault("validation", f"the event cannot be published: {place}{refused}") from None
