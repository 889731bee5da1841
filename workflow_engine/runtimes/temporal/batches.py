"""Batches on Temporal: a workflow that finds runs, and does something to each, so many a second.

Temporal's own batch operations cancel, terminate and signal the runs of a query too, but tell only how many have
failed, run one at a time in a namespace, and know neither which runs are suspended nor which error a run ended with. So
a batch is a workflow of ours: it outlives worker and API, and has a result for each run.

Whatever is done twice is done once: a run that has gone on since it was found is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, WorkflowAlreadyStartedError
from temporalio.service import RPCError

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.batches import MOST_RUNS, Batch, BatchProgress, BatchResult, Found, fits, is_error
from workflow_engine.engine.runtime import Retry, RunDescription, Runtime
from workflow_engine.errors import Conflict, InvalidDocument, NotFound, Rejected, Unavailable
from workflow_engine.runtimes.temporal.calling import UNTIL_IT_WORKS
from workflow_engine.runtimes.temporal.connection import translated
from workflow_engine.runtimes.temporal.naming import BATCH

PREFIX = "wfe-batch/"
CHUNK = 100
"""How many runs one activity deals with."""
_AT_ONCE = 20
"""How many runs are looked at side by side."""
_STATUS = {
    WorkflowExecutionStatus.RUNNING: "running",
    WorkflowExecutionStatus.COMPLETED: "completed",
    WorkflowExecutionStatus.CANCELED: "cancelled",
    WorkflowExecutionStatus.TERMINATED: "cancelled",
}


async def find(runtime: Runtime, batch: Batch, most: int = MOST_RUNS) -> Found:
    """The runs that *batch* is about, each with its present attempt, oldest first."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def look(run_id: str) -> RunDescription | None:
        async with room:
            with contextlib.suppress(NotFound):
                return await runtime.describe(run_id)
            return None

    if batch.ids is not None:
        described = await asyncio.gather(*(look(id) for id in batch.ids))
        pairs = zip(batch.ids, described, strict=True)
        return Found([(id, "" if run is None else run.execution) for id, run in pairs], more=False)
    found: list[tuple[str, str]] = []
    query = replace(batch.query, limit=200, cursor=None)
    while True:
        page = await runtime.list(query)
        runs: Sequence[RunDescription] = [run for run in page.runs if fits(run, query)]
        if query.error is not None:
            looked = await asyncio.gather(*(look(run.id) for run in runs))
            runs = [run for run in looked if run is not None and is_error(query.error, run.error)]
        found += [(run.id, run.execution or "") for run in runs]
        if len(found) > most or page.cursor is None:
            return Found(found[:most][::-1], more=len(found) > most)
        query = replace(query, cursor=page.cursor)


@dataclass(frozen=True, slots=True)
class Batches:
    """The activities of batches."""

    runtime: Runtime
    bundle: Callable[[str | None, str, str | None], Awaitable[Bundle]]

    def all(self) -> list[Callable[..., Any]]:
        return [self.find, self.apply]

    @activity.defn(name="batch.find")
    async def find(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The runs that a batch is about."""
        try:
            found = await find(self.runtime, Batch.from_json(batch))
        except Rejected as refused:
            raise ApplicationError(str(refused), type=refused.code, non_retryable=True) from None
        return {"runs": [list(run) for run in found.runs], "more": found.more}

    @activity.defn(name="batch.apply")
    async def apply(self, encoded: dict[str, Any], runs: list[list[str]]) -> list[list[str]]:
        """Do it to *runs*, and tell what became of each: ``[run, status, detail]``. Goes on where it was lost."""
        batch = Batch.from_json(encoded)
        (results,) = activity.info().heartbeat_details or ([],)
        loop = asyncio.get_running_loop()
        due = loop.time()
        for run_id, execution in runs[len(results) :]:
            if activity.is_worker_shutdown():
                stops = "the worker stops; another one goes on"
                raise ApplicationError(stops, type="WorkerStops", category=ApplicationErrorCategory.BENIGN)
            result = await self._one(batch, run_id, execution)
            results.append([result.run_id, result.status, result.detail[:300]])
            activity.heartbeat(results)
            due = max(due + 1 / batch.rate, loop.time() - 1)
            await asyncio.sleep(max(0.0, due - loop.time()))
        return results

    async def _one(self, batch: Batch, run_id: str, execution: str) -> BatchResult:
        try:
            run = await self.runtime.describe(run_id)
            if _is_done(batch.command, run, execution):
                return BatchResult(run_id, "done", f"the run is {run.status}")
            if execution and run.execution != execution:
                return BatchResult(run_id, "refused", "the run has gone on since it was found")
            if batch.command in ("cancel", "terminate") and run.ended:
                return BatchResult(run_id, "refused", f"the run is {run.status}")
            await self._do(batch, run)
        except (Rejected, Conflict, NotFound, InvalidDocument) as refused:
            return BatchResult(run_id, "refused", str(refused))
        except Unavailable:
            raise  # it is tried again, from this run on
        except Exception as error:  # noqa: BLE001 - the others are not to suffer for it
            return BatchResult(run_id, "failed", f"{type(error).__name__}: {error}")
        return BatchResult(run_id, "done")

    async def _do(self, batch: Batch, run: RunDescription) -> None:
        match batch.command:
            case "cancel":
                await self.runtime.cancel(run.id)
            case "terminate":
                await self.runtime.terminate(run.id, batch.reason or "terminated in a batch")
            case "suspend":
                await self.runtime.suspend(run.id)
            case "resume":
                await self.runtime.resume(run.id)
            case "skip" if not run.ended:
                await self.runtime.skip(run.id, batch.wish, activity.info().workflow_id)
            case _:
                bundle: Bundle | None = None
                if batch.version is not None and run.workflow is not None:
                    version = None if batch.version == "latest" else batch.version
                    bundle = await self.bundle(run.workflow.namespace, run.workflow.name, version)
                await self.runtime.retry(run.id, Retry(batch.wish, bundle=bundle, what=batch.command))


def _is_done(command: str, run: RunDescription, execution: str) -> bool:
    """Whether it has been done to *run* already, by a worker that was lost before it could say so."""
    match command:
        case "cancel" | "terminate":
            return run.status == "cancelled"
        case "retry" | "skip":
            return bool(run.attempts) and run.attempts[-1]["execution"] == execution
        case _:
            return False


@workflow.defn(name=BATCH)
class BatchWorkflow:
    """One batch; its id begins with `PREFIX`."""

    def __init__(self) -> None:
        self._status = "finding"
        self._total = 0
        self._more = False
        self._results: list[list[str]] = []

    @workflow.run
    async def run(self, batch: dict[str, Any]) -> dict[str, int]:
        """Do it to every run; how many of which result."""
        found: dict[str, Any] = await workflow.execute_activity(
            "batch.find",
            args=[batch],
            start_to_close_timeout=timedelta(minutes=30),
            retry_policy=UNTIL_IT_WORKS,
            summary=f"which runs to {batch['command']}",
        )
        self._status, self._total, self._more = "running", len(found["runs"]), found["more"]
        for start in range(0, self._total, CHUNK):
            chunk = found["runs"][start : start + CHUNK]
            self._results += await workflow.execute_activity(
                "batch.apply",
                args=[batch, chunk],
                start_to_close_timeout=timedelta(hours=1 + CHUNK / batch["rate"] / 1800),
                heartbeat_timeout=timedelta(seconds=60 + 2 / batch["rate"]),
                retry_policy=UNTIL_IT_WORKS,
                summary=f"{batch['command']}: {start + 1} to {start + len(chunk)} of {self._total}",
            )
        self._status = "completed"
        return {status: self._count(status) for status in ("done", "refused", "failed")}

    def _count(self, status: str) -> int:
        return sum(result[1] == status for result in self._results)

    @workflow.query
    def progress(self, offset: int, limit: int) -> dict[str, Any]:
        """How far it is, with some of the results."""
        return {
            "status": self._status,
            "total": self._total,
            "more": self._more,
            **{status: self._count(status) for status in ("done", "refused", "failed")},
            "results": self._results[offset : offset + limit],
        }


class TemporalBatches:
    """The batches of one task queue."""

    def __init__(self, client: Client, task_queue: str, runtime: Runtime) -> None:
        self._client = client
        self._queue = task_queue
        self._runtime = runtime

    async def count(self, batch: Batch) -> Found:
        return await find(self._runtime, batch)

    async def start(self, id: str, batch: Batch) -> None:
        with translated(), contextlib.suppress(WorkflowAlreadyStartedError):
            await self._client.start_workflow(
                BATCH,
                batch.to_json(),
                id=PREFIX + id,
                task_queue=self._queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=f"{batch.command} many runs",
                memo={"command": batch.command},
            )

    async def progress(self, id: str, offset: int, limit: int) -> BatchProgress:
        handle = self._client.get_workflow_handle(PREFIX + id)
        try:
            with translated(PREFIX + id):
                description = await handle.describe()
                command = str((await description.memo()).get("command"))
                status = _STATUS.get(description.status or WorkflowExecutionStatus.RUNNING, "faulted")
                if description.history_length <= 2:
                    return BatchProgress(id, command, "finding")
                told: dict[str, Any] = await handle.query(
                    "progress", args=[offset, limit], rpc_timeout=timedelta(seconds=10)
                )
        except NotFound:
            raise NotFound("batch", id) from None
        except (WorkflowQueryFailedError, RPCError) as error:
            raise Unavailable(f"no worker tells how far the batch {id!r} is: {error}") from None
        return BatchProgress(
            id,
            command,
            str(told["status"]) if status == "running" else status,
            told["total"],
            told["done"],
            told["refused"],
            told["failed"],
            told["more"],
            [BatchResult(*each) for each in told["results"]],
        )

    async def cancel(self, id: str) -> None:
        try:
            with translated(PREFIX + id):
                await self._client.get_workflow_handle(PREFIX + id).cancel()
        except NotFound:
            raise NotFound("batch", id) from None
