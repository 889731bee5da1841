"""What comes to a run by a signal, which anybody may send to any workflow: what is not for it must not hold it up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue

from workflow_engine.runtimes.temporal.converter import UNREADABLE


def event_of(name: str, args: Sequence[RawValue]) -> dict[str, Any] | None:
    """The router's message of the signal *name*, which is the place of a listener; None: it is none of the router's."""
    if not name.startswith("/") or not args:
        return None
    try:
        message = workflow.payload_converter().from_payload(args[0].payload)
    except UNREADABLE:
        return None
    if not isinstance(message, dict) or not isinstance(message.get("event"), dict):
        return None
    numbers = [message.get("seq"), message.get("index") or 0]
    return message if all(type(number) is int for number in numbers) else None
