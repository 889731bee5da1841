"""`Runtime` on Temporal: start, follow and control runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
)
from temporalio.common import (
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import (
    Load,
    RunDescription,
    Start,
)
from workflow_engine.engine.verdicts import Verdict
from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.runtimes.temporal import histories, judging, outcomes
from workflow_engine.runtimes.temporal.calling import summary
from workflow_engine.runtimes.temporal.carrying import before
from workflow_engine.runtimes.temporal.connection import translated
from workflow_engine.runtimes.temporal.describing import Describing
from workflow_engine.runtimes.temporal.effects import LIFECYCLE
from workflow_engine.runtimes.temporal.endings import ENDINGS, UNKNOWN
from workflow_engine.runtimes.temporal.inside import started_here
from workflow_engine.runtimes.temporal.load import load
from workflow_engine.runtimes.temporal.naming import (
    GENERATION,
    attributes_of,
    memo_of,
)
from workflow_engine.runtimes.temporal.parked import count
from workflow_engine.runtimes.temporal.resting import Limits, remembered
from workflow_engine.runtimes.temporal.traces import memo_of_trace
from workflow_engine.values import Json, JsonObject

SIGNALLED_WITHIN = 2.0
"""How many seconds an event is offered to a run before it is put back, to be offered again later. A run that has tried
to end while an event came takes no more until it has looked at that one, and the client would go on asking in vain,
while the run waits until nothing is on its way to it any more.
"""


class TemporalRuntime(Describing):
    """Runs are Temporal workflows: the type is the definition's name, the id the run's."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        *,
        ui: str = "",
        search_attributes: bool = True,
        audience: Audience | None = None,
        limits: Limits | None = None,
        eager: bool = False,
    ) -> None:
        """*eager*: a worker of the same client serves the queue, and may be given the first task of a run at once."""
        self._eager = eager
        self._limits = limits or Limits()
        super().__init__(client, task_queue, ui=ui, search_attributes=search_attributes)
        self._audience = audience

    async def start(self, start: Start) -> bool:
        name = start.workflow
        args: list[Any] = [start.input, start.bundle]
        if start.seeds:
            args.append(list(start.seeds))
        if start.since is not None or start.position is not None:
            args += [[], {}][len(args) - 2 :]
            args[3] = before(since=start.since, position=start.position)
        policies = WorkflowIDReusePolicy
        reuse = policies.ALLOW_DUPLICATE if start.again else policies.REJECT_DUPLICATE
        memo = {**memo_of(name), **told_to(self._audience, correlated=start.correlated)}
        memo |= remembered(self._limits) | memo_of_trace()
        if start.again:
            memo[GENERATION] = uuid.uuid4().hex[:12]
        if self._eager and start.awaited:
            ENDINGS.expect(start.run_id, start.awaited)
        with translated():
            try:
                handle = await self._client.start_workflow(
                    name.name,
                    args=args,
                    id=start.run_id,
                    task_queue=self._queue,
                    request_eager_start=self._eager,
                    id_reuse_policy=reuse,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    memo=memo,
                    search_attributes=attributes_of(name, start.keys) if self._search else None,
                    static_summary=summary(start.title),
                    static_details=start.summary[:18_000] or None,
                )
            except WorkflowAlreadyStartedError:
                return False
        if started_here(handle):
            ENDINGS.given(start.run_id)
        return True

    async def wait(self, run_id: str, seconds: float) -> RunDescription:
        return await self._described_with(run_id, await self._awaited(run_id, seconds))

    async def output(self, run_id: str, seconds: float) -> Json:
        found = await self._awaited(run_id, seconds)
        if found is UNKNOWN:
            run = await self.describe(run_id)
            if run.status != "completed":
                raise Conflict(f"the run {run_id!r} has no output; it is {run.status}")
            found = run.output
        output: Json = found
        return output

    async def _awaited(self, run_id: str, seconds: float) -> Any:
        """The output of a run that completes within *seconds*, or `UNKNOWN`; `NotFound` when there is none."""
        deadline = time.monotonic() + seconds
        with ENDINGS.waiting(run_id) as expected:
            found = UNKNOWN if expected is None else await expected.output(seconds)
        if found is not UNKNOWN:
            # What has been told from here is what everyone is told: numbers and keys as JSON has them.
            converter = self._client.data_converter.payload_converter
            return converter.from_payload(converter.to_payload(found))
        left = deadline - time.monotonic()
        if left > 0:
            with translated(run_id), contextlib.suppress(TimeoutError, WorkflowFailureError):
                async with asyncio.timeout(left):
                    return await self._client.get_workflow_handle(run_id).result()
        return UNKNOWN

    async def history(self, run_id: str, execution: str | None) -> JsonObject:
        with translated(run_id):
            return await histories.history(self._client, run_id, execution)

    async def judged(self, run_id: str, bundle: Bundle, names: Mapping[str, str]) -> Verdict:
        with translated(run_id):
            return await judging.judged(self._client, run_id, bundle, names)

    async def move(self, run_id: str, bundle: Bundle, names: Mapping[str, str], seconds: float) -> Verdict:
        with translated(run_id):
            return await judging.move(self._client, run_id, bundle, names, seconds)

    async def parked(self) -> int:
        with translated():
            return await count(self._client, self._queue)

    async def load(self) -> Load:
        with translated():
            return await load(self._client, self._queue)

    async def cancel(self, run_id: str) -> None:
        with translated(run_id):
            if await self._runs(run_id):
                handle = self._client.get_workflow_handle(run_id)
                await outcomes.told(self._client, run_id, handle.cancel)

    async def terminate(self, run_id: str, reason: str) -> None:
        with translated(run_id):
            if await self._runs(run_id):
                await outcomes.terminate(self._client, run_id, reason)

    async def suspend(self, run_id: str) -> None:
        await self._signal(run_id, "suspend")

    async def resume(self, run_id: str) -> None:
        await self._signal(run_id, "resume")

    async def _signal(self, run_id: str, name: str) -> None:
        with translated(run_id):
            if await self._runs(run_id):
                handle = self._client.get_workflow_handle(run_id)
                if await outcomes.told(self._client, run_id, lambda: handle.signal(name)):
                    return
        raise Conflict(f"the run {run_id!r} has ended; there is nothing to {name}")

    async def _runs(self, run_id: str) -> bool:
        description = await self._client.get_workflow_handle(run_id).describe()
        return description.status == WorkflowExecutionStatus.RUNNING

    async def deliver(self, run_id: str, listen_id: str, message: JsonObject) -> bool:
        try:
            with translated():
                async with asyncio.timeout(SIGNALLED_WITHIN):
                    await self._client.get_workflow_handle(run_id).signal(listen_id, message)
        except TimeoutError:
            raise Unavailable(f"Temporal does not take events for the run {run_id} now") from None
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True


def told_to(audience: Audience | None, *, correlated: JsonObject | None = None) -> dict[str, Any]:
    """What a run remembers of who is told of it: as it was when the run started, whatever is set later."""
    return {} if audience is None else {LIFECYCLE: replace(audience, correlated=correlated).to_json()}
