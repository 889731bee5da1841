"""`Runtime` on Temporal: start, follow and control runs."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from temporalio.client import (
    Client,
    WorkflowExecution,
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
    Parked,
    RunDescription,
    RunPage,
    RunQuery,
    Start,
    StateDescription,
)
from workflow_engine.engine.verdicts import Verdict
from workflow_engine.errors import Conflict, Rejected, Unavailable
from workflow_engine.graph.model import WorkflowName
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.runtimes.temporal import histories, judging, outcomes
from workflow_engine.runtimes.temporal.calling import summary
from workflow_engine.runtimes.temporal.carrying import STARTED, before
from workflow_engine.runtimes.temporal.connection import translated
from workflow_engine.runtimes.temporal.effects import LIFECYCLE
from workflow_engine.runtimes.temporal.endings import ENDINGS, UNKNOWN
from workflow_engine.runtimes.temporal.listing import condition
from workflow_engine.runtimes.temporal.load import load
from workflow_engine.runtimes.temporal.naming import (
    GENERATION,
    attributes_of,
    keys_in,
    memo_of,
)
from workflow_engine.runtimes.temporal.parked import count, parked, reported
from workflow_engine.runtimes.temporal.resting import Limits, remembered
from workflow_engine.runtimes.temporal.retrying import Retrying, attempts_of
from workflow_engine.runtimes.temporal.traces import memo_of_trace
from workflow_engine.runtimes.temporal.whereabouts import whereabouts
from workflow_engine.values import Json, JsonObject

_STATUS = {
    WorkflowExecutionStatus.RUNNING: "running",
    WorkflowExecutionStatus.CONTINUED_AS_NEW: "running",
    WorkflowExecutionStatus.COMPLETED: "completed",
    WorkflowExecutionStatus.FAILED: "faulted",
    WorkflowExecutionStatus.TIMED_OUT: "faulted",
    WorkflowExecutionStatus.CANCELED: "cancelled",
    WorkflowExecutionStatus.TERMINATED: "cancelled",
}
_LOOKED_AT = frozenset({"pending", "waiting", "suspended"})
"""What Temporal does not tell apart: all of it is running."""
_LOOKS = 50
"""How many running runs are looked at side by side."""
SIGNALLED_WITHIN = 2.0
"""How many seconds an event is offered to a run before it is put back, to be offered again later. A run that has tried
to end while an event came takes no more until it has looked at that one, and the client would go on asking in vain,
while the run waits until nothing is on its way to it any more.
"""


class TemporalRuntime(Retrying):
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
        super().__init__(client, task_queue)
        self._ui = ui.rstrip("/")
        self._search = search_attributes
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
                await self._client.start_workflow(
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
        return True

    async def describe(self, run_id: str) -> RunDescription:
        return await self._described_with(run_id, UNKNOWN)

    async def _described_with(self, run_id: str, known: Any, *, values: bool = True) -> RunDescription:
        """The run as it is now; *known* is its output if it has completed, or `UNKNOWN`. Without *values* it has no
        input and no output.
        """
        handle = self._client.get_workflow_handle(run_id)
        with translated(run_id):
            description = await handle.describe()
            status = _STATUS[description.status or WorkflowExecutionStatus.RUNNING]
            states: Sequence[StateDescription] = ()
            remark: str | None = None
            output: Json = None
            error: JsonObject | None = None
            held = None
            if status == "running":
                held = await parked(self._client, description)
                if held is None:
                    status, states, remark = await whereabouts(self._client, description)
                else:
                    remark = "a bug keeps it where it is; it goes on once a fixed worker runs"
            elif status == "completed" and known is not UNKNOWN:
                output = known
            elif status != "cancelled" and values:
                output, error = await outcomes.result(handle)
            return RunDescription(
                id=run_id,
                workflow=_name(memo := await description.memo(), description.workflow_type),
                attempts=attempts_of(memo),
                execution=description.run_id,
                status=status,
                input=await histories.input_of(self._client, run_id, description.run_id) if values else None,
                output=output,
                error=error,
                states=states,
                started_at=_started(await description.memo(), description.start_time),
                ended_at=description.close_time,
                temporal_url=self._url(run_id, description.run_id),
                remark=remark,
                parked=held,
                keys=keys_in(description.typed_search_attributes),
            )

    def _url(self, run_id: str, execution: str | None) -> str | None:
        if not self._ui:
            return None
        place = f"{self._ui}/namespaces/{quote(self._client.namespace)}/workflows/{quote(run_id, safe='')}"
        return f"{place}/{execution}/timeline" if execution else place

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
                return await asyncio.wait_for(self._client.get_workflow_handle(run_id).result(), left)
        return UNKNOWN

    async def list(self, query: RunQuery) -> RunPage:
        try:
            token = base64.urlsafe_b64decode(query.cursor) if query.cursor else None
        except (binascii.Error, ValueError):
            raise Rejected("invalid-cursor", f"{query.cursor!r} is no cursor of an earlier list") from None
        with translated():
            try:
                wanted = condition(query, self._queue, search_attributes=self._search)
                size = max(1, min(query.limit, 200))
                found = self._client.list_workflows(wanted, page_size=size, next_page_token=token)
                await found.fetch_next_page()
            except RPCError as error:
                if error.status == RPCStatusCode.INVALID_ARGUMENT:
                    raise Rejected(
                        "invalid-query", f"the runs cannot be listed so: {error.message}"
                    ) from None
                raise
            runs: Sequence[RunDescription]
            if query.parked:
                listed = found.current_page or []
                described = [self._described_with(one.id, UNKNOWN, values=False) for one in listed]
                runs = [run for run in await asyncio.gather(*described) if run.parked is not None]
            elif query.status in _LOOKED_AT:
                runs = await self._looked_at(found.current_page or [], query.status)
            else:
                kept = await self.last_attempts(found.current_page or [])
                runs = [await self._brief(execution) for execution in kept]
        following = found.next_page_token
        return RunPage(runs, base64.urlsafe_b64encode(following).decode() if following else None)

    async def _looked_at(
        self, executions: Sequence[WorkflowExecution], status: str
    ) -> Sequence[RunDescription]:
        """Those of *executions*, which run, that have *status*; `Unavailable` when no worker can tell."""
        room = asyncio.Semaphore(_LOOKS)

        async def look(execution: WorkflowExecution) -> RunDescription | None:
            async with room:
                handle = self._client.get_workflow_handle(execution.id, run_id=execution.run_id)
                description = await handle.describe()
                if description.status != WorkflowExecutionStatus.RUNNING:
                    return None
                found, states, remark = await whereabouts(self._client, description)
            if found == "running" and remark is not None and not states:
                raise Unavailable(f"which runs are {status} cannot be told: of {execution.id}, {remark}")
            return replace(await self._brief(execution), status=found, states=states)

        looked = await asyncio.gather(*(look(execution) for execution in executions))
        return [run for run in looked if run is not None and run.status == status]

    async def _brief(self, execution: WorkflowExecution) -> RunDescription:
        memo = await outcomes.readable(execution)
        return RunDescription(
            id=execution.id,
            execution=execution.run_id,
            workflow=_name(memo, execution.workflow_type),
            status=_STATUS[execution.status or WorkflowExecutionStatus.RUNNING],
            started_at=_started(memo, execution.start_time),
            ended_at=execution.close_time,
            temporal_url=self._url(execution.id, execution.run_id),
            parked=Parked() if reported(execution.typed_search_attributes) else None,
            keys=keys_in(execution.typed_search_attributes),
        )

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
                await self._client.get_workflow_handle(run_id).cancel()

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
            if not await self._runs(run_id):
                raise Conflict(f"the run {run_id!r} has ended; there is nothing to {name}")
            await self._client.get_workflow_handle(run_id).signal(name)

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


def _name(memo: Mapping[str, Any], type: str) -> WorkflowName | None:
    if {"namespace", "name", "version"} <= memo.keys():
        return WorkflowName(str(memo["namespace"]), str(memo["name"]), str(memo["version"]))
    return WorkflowName("", type, "") if type else None


def _started(memo: Mapping[str, Any], began: datetime) -> datetime:
    """When a run started whose present history *began* then."""
    first = memo.get(STARTED)
    return began if first is None else datetime.fromisoformat(str(first))
