"""``call: activity``: an activity of somebody else's, as the document describes it."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    TimeoutError,
    TimeoutType,
    is_cancelled_exception,
)

from workflow_engine.calls.activity import ActivityCall, failed, late
from workflow_engine.errors import fault
from workflow_engine.interpreter.effects import Call, Expired, Place
from workflow_engine.runtimes.temporal.calling import summary
from workflow_engine.runtimes.temporal.converter import UNREADABLE
from workflow_engine.values import Json

_LATE = {
    TimeoutType.START_TO_CLOSE: "took longer than an attempt may (`timeouts.startToClose`)",
    TimeoutType.SCHEDULE_TO_START: "was taken by no worker in time (`timeouts.scheduleToStart`)",
    TimeoutType.SCHEDULE_TO_CLOSE: "was not done in time (`timeouts.scheduleToClose`)",
    TimeoutType.HEARTBEAT: "was not heard of in time (`timeouts.heartbeat`): its worker may be lost",
}


async def execute(call: Call, place: Place) -> Json:
    """Call the activity. Its id and the run's make a key that is the same for every attempt."""
    wanted = ActivityCall.of(call, workflow.now())
    retry = wanted.retry
    try:
        result: RawValue = await workflow.execute_activity(
            wanted.type,
            args=[*wanted.arguments],
            task_queue=wanted.queue,
            activity_id=place.id,
            summary=summary(f"{place.label}: {wanted.type}"),
            result_type=RawValue,
            start_to_close_timeout=_delta(wanted.attempt),
            schedule_to_close_timeout=_delta(wanted.whole),
            schedule_to_start_timeout=_delta(wanted.started),
            heartbeat_timeout=_delta(wanted.heartbeats),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=retry.first),
                backoff_coefficient=retry.coefficient,
                maximum_interval=_delta(retry.longest),
                maximum_attempts=retry.attempts,
                non_retryable_error_types=retry.final,
            ),
        )
    except ActivityError as failure:
        raise _meant(failure, wanted, call) from None
    return _json(result, wanted.type)


def _delta(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=max(seconds, 0.001))


def _json(result: RawValue, type: str) -> Json:
    """What the activity gave, of whatever language it is; bytes are base64, as those of other calls."""
    try:
        value: object = workflow.payload_converter().from_payload(result.payload)
    except UNREADABLE as error:
        raise fault("runtime", f"the activity {type} gave something that is no JSON: {error}") from None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict | list | str | int | float | bool | None):
        return value
    raise fault("runtime", f"the activity {type} gave something that is no JSON")


def _meant(failure: ActivityError, wanted: ActivityCall, call: Call) -> BaseException:
    """What the interpreter is to see of *failure*: always a fault, unless nobody waits for the activity any longer."""
    task = asyncio.current_task()
    if is_cancelled_exception(failure):
        if task is not None and task.cancelling():
            return asyncio.CancelledError()
        return failed(wanted.type, "Cancelled", "it was cancelled from outside", ())
    cause = failure.cause
    if isinstance(cause, TimeoutError):
        whole = cause.type == TimeoutType.SCHEDULE_TO_CLOSE
        if whole and call.timeout is not None and call.timeout == wanted.whole:
            return Expired()
        known = _LATE.get(cause.type or TimeoutType.START_TO_CLOSE, "was not done in time")
        return late(wanted.type, known)
    if isinstance(cause, ApplicationError):
        return failed(wanted.type, cause.type or "", cause.message, cause.details)
    return failed(wanted.type, "", str(cause or failure), ())
