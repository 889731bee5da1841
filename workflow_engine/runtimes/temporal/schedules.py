"""`Schedules` on Temporal: ``every`` and ``cron`` are Temporal Schedules, ``after`` is a workflow that repeats one.

A schedule's id is ``{task queue}/{namespace}/{name}``. Its runs are called ``{namespace}.{name}-{moment}``, so that
a moment starts one run however often it is tried. The memo of its runs says of which plan they are: what is up to
date is left alone, and so keeps its rhythm, its pause and its history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.engine.schedules import Plan, ScheduledRun, ScheduleState
from workflow_engine.errors import Conflict, NotFound
from workflow_engine.graph.schedule import After, Calendar, Cron, Every, Range
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.runtimes.temporal.calling import summary
from workflow_engine.runtimes.temporal.connection import translated
from workflow_engine.runtimes.temporal.naming import attributes_of
from workflow_engine.runtimes.temporal.planned import (
    about,
    mark,
    memo,
    name_in,
    run_prefix,
    schedule_id,
    what,
)
from workflow_engine.runtimes.temporal.repetitions import RPC, Repetitions
from workflow_engine.runtimes.temporal.resting import Limits, remembered
from workflow_engine.runtimes.temporal.runtime import told_to

SHOWN = 5
"""How many coming moments are told."""
LEAST_CATCH_UP = timedelta(seconds=10)
"""Temporal makes up for at least this much."""
CRON_CATCH_UP = timedelta(days=1)
TRIGGERED = 3.0
"""How many seconds to wait until a run that was asked for shows."""


class TemporalSchedules:
    """The schedules of one task queue."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        *,
        search_attributes: bool = True,
        audience: Audience | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._client = client
        self._limits = limits or Limits()
        self._queue = task_queue
        self._audience = audience
        self._search = search_attributes
        self._repetitions = Repetitions(client, task_queue, search_attributes=search_attributes)

    def _id(self, plan: Plan) -> str:
        return schedule_id(self._queue, plan.workflow.namespace, plan.workflow.name)

    def _handle(self, plan: Plan) -> ScheduleHandle:
        return self._client.get_schedule_handle(self._id(plan))

    async def set(self, plan: Plan) -> None:
        """Keep *plan*. One of the other kind is ended before, so that never both start runs."""
        plan = replace(plan, remembered={**told_to(self._audience), **remembered(self._limits)})
        with about(plan):
            match plan.schedule.recurrence:
                case After():
                    await self._delete(self._id(plan))
                    await self._repetitions.set(plan)
                case Every() | Cron():
                    await self._repetitions.stop(self._id(plan))
                    await self._put(plan)
                case _:
                    assert_never(plan.schedule.recurrence)

    async def _put(self, plan: Plan) -> None:
        handle = self._handle(plan)
        try:
            description = await handle.describe(rpc_timeout=RPC)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            try:
                await self._client.create_schedule(handle.id, self._schedule(plan), rpc_timeout=RPC)
            except ScheduleAlreadyRunningError:
                description = await handle.describe(rpc_timeout=RPC)
            else:
                return
        if await self._kept(description) == mark(plan):
            return

        def change(there: ScheduleUpdateInput) -> ScheduleUpdate:
            schedule = self._schedule(plan, there.description.schedule.spec)
            schedule.state = there.description.schedule.state
            return ScheduleUpdate(schedule)

        await handle.update(change, rpc_timeout=RPC)

    async def _kept(self, description: ScheduleDescription) -> str:
        """Which plan is kept."""
        action = description.schedule.action
        found = action.memo if isinstance(action, ScheduleActionStartWorkflow) else None
        payload = (found or {}).get("schedule")
        if not isinstance(payload, Payload):
            return ""
        return str((await self._client.data_converter.decode([payload]))[0])

    def _schedule(self, plan: Plan, there: ScheduleSpec | None = None) -> Schedule:
        name = plan.workflow
        attributes = attributes_of(name) if self._search else TypedSearchAttributes.empty
        action = ScheduleActionStartWorkflow(
            name.name,
            args=[{}, what(plan)],
            id=run_prefix(self._queue, plan),
            task_queue=self._queue,
            memo=memo(plan),
            typed_search_attributes=attributes,
            static_summary=summary(plan.title),
            static_details=plan.summary[:18_000] or None,
        )
        return Schedule(action=action, spec=_spec(plan, there), policy=_policy(plan))

    async def remove(self, namespace: str, name: str) -> None:
        id = schedule_id(self._queue, namespace, name)
        with translated():
            await self._delete(id)
            await self._repetitions.stop(id)

    async def _delete(self, id: str) -> None:
        try:
            await self._client.get_schedule_handle(id).delete(rpc_timeout=RPC)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise

    async def names(self) -> Collection[tuple[str, str]]:
        with translated():
            listed = await self._client.list_schedules(rpc_timeout=RPC)
            ids = [schedule.id async for schedule in listed]
            ids += await self._repetitions.ids()
        return {name for id in ids if (name := name_in(self._queue, id)) is not None}

    async def state(self, plan: Plan) -> ScheduleState:
        if isinstance(plan.schedule.recurrence, After):
            return await self._repetitions.state(plan)
        with about(plan):
            description = await self._handle(plan).describe(rpc_timeout=RPC)
        info, kept = description.info, description.schedule.state
        return ScheduleState(
            plan.workflow,
            paused=kept.paused,
            note=(kept.note or "") if kept.paused else "",
            next=() if kept.paused else tuple(info.next_action_times[:SHOWN]),
            running=_running(description),
            recent=tuple(
                ScheduledRun(result.action.workflow_id, result.scheduled_at, result.started_at)
                for result in reversed(info.recent_actions)
                if isinstance(result.action, ScheduleActionExecutionStartWorkflow)
            ),
            started=info.num_actions,
            skipped=info.num_actions_skipped_overlap,
            missed=info.num_actions_missed_catchup_window,
        )

    async def pause(self, plan: Plan, note: str) -> None:
        note = note or "paused by hand"
        if isinstance(plan.schedule.recurrence, After):
            await self._repetitions.signal(plan, "pause", note)
            return
        with about(plan):
            await self._handle(plan).pause(note=note, rpc_timeout=RPC)

    async def resume(self, plan: Plan) -> None:
        if isinstance(plan.schedule.recurrence, After):
            await self._repetitions.signal(plan, "resume")
            return
        with about(plan):
            await self._handle(plan).unpause(note="resumed", rpc_timeout=RPC)

    async def trigger(self, plan: Plan) -> None:
        before = (await self.state(plan)).started
        if isinstance(plan.schedule.recurrence, After):
            await self._repetitions.check_free(plan)
            await self._repetitions.signal(plan, "trigger")
        else:
            with about(plan):
                handle = self._handle(plan)
                running = _running(await handle.describe(rpc_timeout=RPC))
                if running:
                    raise Conflict(f"the run {running[0]!r} goes on, and this schedule has one run at a time")
                await handle.trigger(rpc_timeout=RPC)
        await self._until_started(plan, before)

    async def _until_started(self, plan: Plan, before: int) -> None:
        """Wait for the run to show, so that whoever asked for it sees it; not for ever."""
        deadline = asyncio.get_running_loop().time() + TRIGGERED
        while asyncio.get_running_loop().time() < deadline:
            try:
                if (await self.state(plan)).started > before:
                    return
            except NotFound:
                return
            await asyncio.sleep(0.05)


def _running(description: ScheduleDescription) -> tuple[str, ...]:
    """The runs that keep others from being started; where runs overlap, none is."""
    return tuple(
        action.workflow_id
        for action in description.info.running_actions
        if isinstance(action, ScheduleActionExecutionStartWorkflow)
    )


def _spec(plan: Plan, there: ScheduleSpec | None) -> ScheduleSpec:
    schedule = plan.schedule
    # Moments are full seconds, and Temporal counts the last one in.
    end = None if schedule.end is None else schedule.end - timedelta(seconds=1)
    spec = ScheduleSpec(start_at=schedule.start, end_at=end)
    match schedule.recurrence:
        case Every(seconds, since):
            spec.intervals = [_interval(plan, seconds, since, there)]
        case Cron(text, calendars):
            spec.calendars = [_calendar(calendar, text) for calendar in calendars]
            spec.time_zone_name = schedule.timezone
        case After():
            raise AssertionError("runs that follow each other have no moments")
        case _:
            assert_never(schedule.recurrence)
    return spec


def _interval(
    plan: Plan, seconds: int, since: datetime | None, there: ScheduleSpec | None
) -> ScheduleIntervalSpec:
    """The moments of ``every``: from *since* on, else as before for the same interval, else from the deployment."""
    every = timedelta(seconds=seconds)
    for kept in there.intervals if there is not None and since is None else ():
        if kept.every == every:
            return kept
    offset = timedelta(seconds=int((since or plan.anchor).timestamp()) % seconds)
    return ScheduleIntervalSpec(every=every, offset=offset)


def _calendar(calendar: Calendar, text: str) -> ScheduleCalendarSpec:
    return ScheduleCalendarSpec(
        comment=text[:200],
        second=_ranges(calendar.second),
        minute=_ranges(calendar.minute),
        hour=_ranges(calendar.hour),
        day_of_month=_ranges(calendar.day),
        month=_ranges(calendar.month),
        day_of_week=_ranges(calendar.weekday),
        year=_ranges(calendar.year),
    )


def _ranges(ranges: tuple[Range, ...]) -> list[ScheduleRange]:
    return [ScheduleRange(item.start, item.end, item.step) for item in ranges]


def _policy(plan: Plan) -> SchedulePolicy:
    """Decision A46. After a time in which nothing could be started, one moment of ``every`` is made up for, and one
    run stands for all moments of ``cron`` within a day.
    """
    match plan.schedule.recurrence:
        case Every(seconds):
            window = max(LEAST_CATCH_UP, timedelta(seconds=seconds))
            return SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=window)
        case _:
            return SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CRON_CATCH_UP)
