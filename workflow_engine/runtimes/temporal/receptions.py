"""Calls that receive what others send, for as long as their run waits: how far they are, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from workflow_engine.calls.context import Reception
from workflow_engine.runtimes.temporal import outcomes


def reception_of(about: dict[str, Any], info: activity.Info) -> Reception:
    """Where what is received goes, and how far an attempt that was lost had come."""
    details = [*info.heartbeat_details, {}][0]
    return Reception(
        about["channel"],
        about["source"],
        about["since"],
        about["amount"],
        about.get("spec"),
        progress=details if isinstance(details, dict) else {},
    )


async def until_cancelled(work: Coroutine[Any, Any, Any], reception: Reception) -> Any:
    """Do *work*, which ends by being cancelled, and tell the server how far it is; leave it when the worker stops."""

    async def beat() -> None:
        while True:
            activity.heartbeat(reception.progress)
            await asyncio.sleep(1.0)

    tasks = [asyncio.create_task(work), asyncio.create_task(activity.wait_for_worker_shutdown())]
    beating = asyncio.create_task(beat())
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0] in done:
            return tasks[0].result()
        reception.leaving = True
        raise ApplicationError(
            "the worker stops; another one goes on",
            type="WorkerStops",
            category=ApplicationErrorCategory.BENIGN,
        )
    except asyncio.CancelledError:
        details = activity.cancellation_details()
        if (
            details is not None and details.not_found
        ):  # the history has ended: of a run that goes on in another one?
            reception.leaving = await outcomes.goes_on(str(activity.info().workflow_id))
        raise
    finally:
        beating.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
