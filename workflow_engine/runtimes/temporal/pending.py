"""Calls of a run that are under way: which attempt that is, why the last one failed, when the next one begins.

Between two attempts nothing of the run is awake: the server knows, and our attempts (`attempts`) keep their count in
the heartbeats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.exceptions import FailureError

from workflow_engine.errors import Unavailable
from workflow_engine.values import JsonObject

_LONGEST = 500
"""How much of the message of a failure is told."""
_MOST = 1000
"""How many pending calls are looked at."""


@dataclass(frozen=True, slots=True)
class Pending:
    """One call: *place* is that of its state's execution, *retries* how many attempts have failed so far.

    *progress* is what our attempts keep. *next* is when the next attempt begins; None while one is under way.
    """

    place: str
    retries: int
    error: str | None
    next: datetime | None
    progress: JsonObject | None = None


async def pending(client: Client, description: WorkflowExecutionDescription) -> Mapping[str, Pending]:
    """The calls of a run that have failed at least once, or are tried again, by their places."""
    found: dict[str, Pending] = {}
    for info in list(description.raw_description.pending_activities)[:_MOST]:
        if info.activity_type.name.startswith(("call.", "event.publish")):
            each = await _pending(client, info)
            if each.retries:
                found[each.place] = each
    return found


async def refused(client: Client, description: WorkflowExecutionDescription, type: str) -> str | None:
    """Why an activity of *type*, which the run waits for, has failed last; None: there is none, or it has not."""
    for info in list(description.raw_description.pending_activities)[:_MOST]:
        if info.activity_type.name == type:
            return await _error(client, info)
    return None


async def _pending(client: Client, info: PendingActivityInfo) -> Pending:
    progress: JsonObject | None = None
    if info.HasField("heartbeat_details"):
        progress = _progress(await _decoded(client, info))
    own = progress.get("retries") if progress is not None else None
    waits = info.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED and info.attempt > 1
    return Pending(
        place=info.activity_id,
        retries=own if isinstance(own, int) else max(0, info.attempt - 1),
        error=await _error(client, info),
        next=_moment(info.next_attempt_schedule_time) if waits else None,
        progress=progress,
    )


async def _decoded(client: Client, info: PendingActivityInfo) -> Sequence[Any]:
    try:
        return [*await client.data_converter.decode(info.heartbeat_details.payloads)]
    except Unavailable:  # a key that is not here, for one
        return []


def _progress(details: Sequence[Any]) -> JsonObject | None:
    first = details[0] if details else None
    return first if isinstance(first, dict) and "retries" in first else None


async def _error(client: Client, info: PendingActivityInfo) -> str | None:
    if not info.HasField("last_failure"):
        return None
    failure, text = info.last_failure, info.last_failure.message
    if failure.HasField("encoded_attributes"):
        try:
            decoded = await client.data_converter.decode_failure(failure)
        except Unavailable:
            return None
        if isinstance(decoded, FailureError):
            text = decoded.message
    return text[:_LONGEST] or None


def _moment(at: Timestamp) -> datetime | None:
    return at.ToDatetime(UTC) if at.seconds else None
