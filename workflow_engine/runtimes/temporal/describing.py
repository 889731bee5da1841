"""Runs as they are told: one, with where it stands and what it came to, or those that a query finds."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.engine.runtime import (
    Parked,
    RunDescription,
    RunPage,
    RunQuery,
    StateDescription,
)
from workflow_engine.errors import NotFound, Rejected, Unavailable
from workflow_engine.graph.model import WorkflowName
from workflow_engine.runtimes.temporal import histories, outcomes
from workflow_engine.runtimes.temporal.carrying import STARTED
from workflow_engine.runtimes.temporal.connection import translated
from workflow_engine.runtimes.temporal.converter import KeyMissing
from workflow_engine.runtimes.temporal.endings import UNKNOWN
from workflow_engine.runtimes.temporal.listing import condition
from workflow_engine.runtimes.temporal.naming import keys_in
from workflow_engine.runtimes.temporal.parked import parked, reported
from workflow_engine.runtimes.temporal.payloads.store import ValueLost
from workflow_engine.runtimes.temporal.retrying import Retrying, attempts_of
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


class Describing(Retrying):
    """The runs of one task queue, as far as they are told."""

    def __init__(self, client: Client, task_queue: str, *, ui: str, search_attributes: bool) -> None:
        super().__init__(client, task_queue)
        self._ui = ui.rstrip("/")
        self._search = search_attributes

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
                    remark = "its worker cannot go on with it; `parked` says why"
            elif status == "completed" and known is not UNKNOWN:
                output = known
            elif status != "cancelled" and values:
                # Of this execution: by now the run may have been retried, and go on for days.
                execution = self._client.get_workflow_handle(run_id, run_id=description.run_id)
                output, error = await outcomes.result(execution)
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
                looked = await asyncio.gather(*map(self._looked_at_one, listed))
                runs = [run for run in looked if run is not None and run.parked is not None]
            elif query.status in _LOOKED_AT:
                runs = await self._looked_at(found.current_page or [], query.status)
            else:
                kept = await self.last_attempts(found.current_page or [])
                runs = [await self._brief(execution) for execution in kept]
        following = found.next_page_token
        return RunPage(runs, base64.urlsafe_b64encode(following).decode() if following else None)

    async def _looked_at_one(self, execution: WorkflowExecution) -> RunDescription | None:
        with contextlib.suppress(NotFound):  # it was deleted, and what is listed is some moments late
            try:
                return await self._described_with(execution.id, UNKNOWN, values=False)
            except (KeyMissing, ValueLost):  # which may be what parks it, and hides no other run
                return await self._brief(execution)
        return None

    async def _looked_at(
        self, executions: Sequence[WorkflowExecution], status: str
    ) -> Sequence[RunDescription]:
        """Those of *executions*, which run, that have *status*; `Unavailable` when no worker can tell."""
        room = asyncio.Semaphore(_LOOKS)

        async def look(execution: WorkflowExecution) -> RunDescription | None:
            async with room:
                handle = self._client.get_workflow_handle(execution.id, run_id=execution.run_id)
                description = None
                with outcomes.unless_ended():  # and was deleted: what is listed is some moments late
                    description = await handle.describe()
                if description is None or description.status != WorkflowExecutionStatus.RUNNING:
                    return None
                if await parked(self._client, description) is not None:
                    return None  # it is running, and cannot tell where
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


def _name(memo: Mapping[str, Any], type: str) -> WorkflowName | None:
    if {"namespace", "name", "version"} <= memo.keys():
        return WorkflowName(str(memo["namespace"]), str(memo["name"]), str(memo["version"]))
    return WorkflowName("", type, "") if type else None


def _started(memo: Mapping[str, Any], began: datetime) -> datetime:
    """When a run started whose present history *began* then."""
    first = memo.get(STARTED)
    return began if first is None else datetime.fromisoformat(str(first))
