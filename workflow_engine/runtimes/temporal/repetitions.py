"""Schedules of ``after``, from outside: start, change and ask the workflow that repeats runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowQueryFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.engine.schedules import Plan, ScheduledRun, ScheduleState
from workflow_engine.errors import Conflict, NotFound
from workflow_engine.graph.schedule import After
from workflow_engine.runtimes.temporal.asking import NOBODY
from workflow_engine.runtimes.temporal.calling import summary
from workflow_engine.runtimes.temporal.naming import attributes_of
from workflow_engine.runtimes.temporal.planned import about, mark, memo, run_prefix, schedule_id, what
from workflow_engine.runtimes.temporal.repeater import LARGE_HISTORY, LONG_HISTORY, REPEATER, Repeater
from workflow_engine.runtimes.temporal.whereabouts import QUERY_TIMEOUT

RPC = timedelta(seconds=5)


class Repetitions:
    """The repeaters of one task queue."""

    def __init__(self, client: Client, queue: str, *, search_attributes: bool) -> None:
        self._client = client
        self._queue = queue
        self._search = search_attributes

    def _handle(self, plan: Plan) -> WorkflowHandle[Any, Any]:
        name = plan.workflow
        return self._client.get_workflow_handle(schedule_id(self._queue, name.namespace, name.name))

    async def set(self, plan: Plan) -> None:
        with about(plan):
            kept = await self._kept(self._handle(plan))
            if kept == mark(plan):
                return
            if kept is None and await self._start(plan):
                return
            await self._handle(plan).signal(
                Repeater.set, args=[self._config(plan), what(plan)], rpc_timeout=RPC
            )

    async def _kept(self, handle: WorkflowHandle[Any, Any]) -> str | None:
        """Which plan is kept; None where none is."""
        try:
            description = await handle.describe(rpc_timeout=RPC)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise
        if description.status != WorkflowExecutionStatus.RUNNING:
            return None
        return str((await description.memo()).get("schedule", ""))

    async def _start(self, plan: Plan) -> bool:
        try:
            await self._client.start_workflow(
                REPEATER,
                args=[self._config(plan), what(plan)],
                id=self._handle(plan).id,
                task_queue=self._queue,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                memo=memo(plan),
                static_summary=summary(f"runs {plan.title} again and again"),
                rpc_timeout=RPC,
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    def _config(self, plan: Plan) -> dict[str, Any]:
        recurrence, name = plan.schedule.recurrence, plan.workflow
        assert isinstance(recurrence, After)
        attributes = attributes_of(name) if self._search else None
        return {
            "mark": mark(plan),
            "type": name.name,
            "prefix": run_prefix(self._queue, plan),
            "months": recurrence.delay.months,
            "seconds": recurrence.delay.seconds,
            "memo": memo(plan),
            "attributes": None
            if attributes is None
            else {pair.key.name: pair.value for pair in attributes.search_attributes},
            "summary": summary(plan.title),
            "details": plan.summary[:18_000] or None,
            "most_events": LONG_HISTORY,
            "most_bytes": LARGE_HISTORY,
        }

    async def stop(self, id: str) -> None:
        """End the repeater *id*, if there is one; a run that it started goes on."""
        handle = self._client.get_workflow_handle(id)
        if await self._kept(handle) is not None:
            try:
                await handle.terminate(reason="its workflow is scheduled otherwise now", rpc_timeout=RPC)
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise

    async def ids(self) -> list[str]:
        """The repeaters that there are."""
        escaped = self._queue.replace("'", "\\'")
        condition = f"WorkflowType = '{REPEATER}' AND TaskQueue = '{escaped}' AND ExecutionStatus = 'Running'"
        return [execution.id async for execution in self._client.list_workflows(condition, rpc_timeout=RPC)]

    async def state(self, plan: Plan) -> ScheduleState:
        with about(plan):
            handle = self._handle(plan)
            if await self._kept(handle) is None:
                raise NotFound("schedule", str(plan.workflow))
            try:
                answer: Mapping[str, Any] = await handle.query(Repeater.schedule, rpc_timeout=QUERY_TIMEOUT)
            except WorkflowQueryFailedError as error:
                return ScheduleState(plan.workflow, remark=f"the worker cannot tell how it is: {error}")
            except RPCError as error:
                if error.status in NOBODY:
                    return ScheduleState(
                        plan.workflow, remark=f"no worker of task queue {self._queue} answers"
                    )
                raise
        due = answer["due"]
        return ScheduleState(
            plan.workflow,
            paused=answer["paused"],
            note=answer["note"],
            next=() if answer["paused"] or due is None else (_moment(due),),
            running=() if answer["running"] is None else (answer["running"],),
            recent=tuple(
                ScheduledRun(run["id"], _moment(run["due"]), _moment(run["started_at"]))
                for run in answer["recent"]
            ),
            started=answer["started"],
        )

    async def signal(self, plan: Plan, name: str, *arguments: str) -> None:
        """Tell it to *pause*, *resume* or *trigger*."""
        with about(plan):
            await self._handle(plan).signal(name, args=list(arguments), rpc_timeout=RPC)

    async def check_free(self, plan: Plan) -> None:
        """Raise `Conflict` while a run goes on."""
        running = (await self.state(plan)).running
        if running:
            raise Conflict(f"the run {running[0]!r} goes on; the next one follows its end")


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
