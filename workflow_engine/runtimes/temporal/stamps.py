"""A stamp that Temporal keeps: the note of a schedule that never starts anything (`engine.restoring`)."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.engine.restoring import Stamp
from workflow_engine.runtimes.temporal.connection import translated

NEVER = timedelta(days=36_500)


class TemporalStamps:
    """The stamp of one task queue."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client, self._queue = client, task_queue
        self._id = f"wfe-stamp:{task_queue}"

    async def read(self) -> Stamp | None:
        with translated():
            try:
                found = await self._client.get_schedule_handle(self._id).describe()
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    return None
                raise
        return _stamp(found.schedule.state.note)

    async def write(self, stamp: Stamp) -> None:
        note = json.dumps({"store": stamp.store, "at": stamp.at, "for": "the router's store; starts nothing"})

        def noted(given: ScheduleUpdateInput) -> ScheduleUpdate:
            schedule = given.description.schedule
            schedule.state = ScheduleState(note=note, paused=True)
            return ScheduleUpdate(schedule=schedule)

        with translated():
            try:
                await self._client.get_schedule_handle(self._id).update(noted)
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
                await self._create(note)

    async def _create(self, note: str) -> None:
        action = ScheduleActionStartWorkflow("none", id=f"{self._id}:none", task_queue=self._queue)
        spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=NEVER)])
        schedule = Schedule(action=action, spec=spec, state=ScheduleState(note=note, paused=True))
        with suppress(ScheduleAlreadyRunningError):  # by another process, with much the same stamp
            await self._client.create_schedule(self._id, schedule)


def _stamp(note: str | None) -> Stamp | None:
    try:
        told = json.loads(note or "")
        return Stamp(str(told["store"]), float(told["at"]))
    except (ValueError, KeyError, TypeError):
        return None
