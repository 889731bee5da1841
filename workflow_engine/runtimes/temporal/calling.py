"""Calls as activities: how long they may take, and what becomes of one whose worker is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from workflow_engine.values import Json, JsonObject

GRACE = timedelta(seconds=30)
HEARTBEAT = timedelta(seconds=12)
SHORT_HEARTBEAT = timedelta(seconds=6)
"""For calls that end by being cancelled: they hear of it with the answer to a heartbeat."""
LONGEST = timedelta(days=30)
"""How long an attempt may take that the document does not bound: its worker does, by settings not known here."""
CENTURY = timedelta(days=36_500)
UNTIL_IT_WORKS = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=30)
)
"""For what must happen: a fault is not retried, a lost worker or an unreachable router is waited for."""
SUMMARY_BYTES = 200


async def execute(
    kind: str, arguments: JsonObject, about: JsonObject, label: str, bound: float | None
) -> Json:
    """Make a call as an activity, which is lost with its worker and made again, within *bound* seconds if any.

    Without a ``timeout`` in *about* one attempt takes the time that the worker's settings allow.
    """
    seconds = about["timeout"]
    longest = timedelta(seconds=seconds) if isinstance(seconds, int | float) else LONGEST
    return await workflow.execute_activity(  # type: ignore[no-any-return]
        f"call.{kind}",
        args=[arguments, about],
        activity_id=str(about["place"]),
        summary=summary(label),
        start_to_close_timeout=longest + GRACE,
        schedule_to_close_timeout=None if bound is None else timedelta(seconds=max(bound, 0.001)),
        heartbeat_timeout=HEARTBEAT,
        retry_policy=UNTIL_IT_WORKS,
    )


async def receive(kind: str, arguments: JsonObject, about: JsonObject, label: str) -> Json:
    """Make a call without a limit of time: another worker goes on with it soon after the one that does it is silent.

    When it is cancelled it is waited for, so that it takes nothing more from anywhere once the run goes on.
    """
    received: Json = await workflow.execute_activity(
        f"call.{kind}",
        args=[arguments, about],
        activity_id=str(about["place"]),
        summary=summary(label),
        start_to_close_timeout=CENTURY,
        heartbeat_timeout=SHORT_HEARTBEAT,
        retry_policy=UNTIL_IT_WORKS,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError  # it had just ended by itself, and that is what the library tells
    return received


def summary(text: str) -> str:
    """*text* cut to what Temporal keeps of a summary, 200 bytes."""
    encoded = text.encode()
    return (
        text if len(encoded) <= SUMMARY_BYTES else encoded[: SUMMARY_BYTES - 3].decode(errors="ignore") + "…"
    )
