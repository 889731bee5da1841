"""``call: activity`` without Temporal: functions of this process that stand in the place of activities."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from workflow_engine.calls.activity import ActivityCall, failed, late
from workflow_engine.errors import Fault, fault
from workflow_engine.interpreter.effects import Call
from workflow_engine.values import Json

LocalActivity: TypeAlias = Callable[..., Awaitable[Json]]
"""Gets the arguments of the call, and gives its output; an exception is a failure of the activity."""
NO_ACTIVITIES: Mapping[str, LocalActivity] = MappingProxyType({})
MOST_ATTEMPTS = 10
"""How often a local activity is tried where its retry policy has no limit: there is no waiting between, and nobody who
would mend what is broken."""


async def perform_activity(call: Call, activities: Mapping[str, LocalActivity], now: datetime) -> Json:
    """Perform *call* with one of *activities*; without it, a configuration fault that says who could."""
    wanted = ActivityCall.of(call, now)
    work = activities.get(wanted.type)
    if work is None:
        raise fault(
            "configuration",
            f"the activity {wanted.type} belongs to a worker of Temporal on the task queue {wanted.queue}, which the "
            "local runtime does not reach: run the workflow on Temporal, or register the activity with the runtime",
        )
    attempts = wanted.retry.attempts or MOST_ATTEMPTS
    while True:
        attempts -= 1
        try:
            return await _attempt(work, wanted)
        except Fault:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is how the activity failed
            kind = str(getattr(error, "type", None) or type(error).__name__)
            if attempts <= 0 or kind in wanted.retry.final or getattr(error, "non_retryable", False):
                details: Any = getattr(error, "details", ())
                message = getattr(error, "message", None) or str(error)
                raise failed(wanted.type, kind, message, details) from None


async def _attempt(work: LocalActivity, wanted: ActivityCall) -> Json:
    try:
        async with asyncio.timeout(wanted.attempt) as timer:
            return await work(*wanted.arguments)
    except TimeoutError:
        if timer.expired():
            raise late(wanted.type, "took longer than an attempt may (`timeouts.startToClose`)") from None
        raise
