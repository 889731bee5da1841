"""Runs on Temporal that have ended go on: where they stood, and their next attempt under the same id.

Where a run stood is asked of a worker, which replays its history for that: nothing is stored for it, and it works for
as long as Temporal keeps the history, also for runs that have been terminated. The next attempt is a new execution of
the same workflow id that begins with that position. (A reset of Temporal's begins in the middle of the old history:
the data there cannot be changed and no state be left out, and calls that were under way beside the failed one have no
place to begin from.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution as ExecutionId
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Retry
from workflow_engine.errors import Conflict, NotFound, Rejected, Unavailable
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.packing import pack, unpack
from workflow_engine.interpreter.redeployed import gone_on_with
from workflow_engine.interpreter.references import References
from workflow_engine.interpreter.retrying import ABSENT, Standing, Wish, gone_on, standing, sub_flows
from workflow_engine.runtimes.temporal import orphans, outcomes
from workflow_engine.runtimes.temporal.asking import NOBODY, ask
from workflow_engine.runtimes.temporal.calling import summary
from workflow_engine.runtimes.temporal.carrying import STARTED
from workflow_engine.runtimes.temporal.connection import translated
from workflow_engine.runtimes.temporal.failures import fault_of
from workflow_engine.runtimes.temporal.naming import GENERATION, attributes_of, identity_of, sub_run_id
from workflow_engine.values import Json, JsonObject, rfc3339

REPLAY_TIMEOUT = timedelta(seconds=60)
"""How long a worker may take to replay a run."""
ATTEMPTS = "attempts"
"""The member of a run's memo that tells of its attempts so far."""
MOST_ATTEMPTS = 50
UNDER_WAY: JsonObject = {"under_way": True}
"""Of a sub-flow that goes on by itself: the next attempt of its run waits for it."""
LONGEST_DETAIL = 500
_CLOSING_LOOKS, _CLOSING_SECONDS = 50, 0.1
"""How often, and after how many seconds, a run is looked at again that was just about to end."""
BEFORE_IT_BEGAN = "closed before WorkflowTaskStarted"
"""What the server says of a run that was ended before a worker took it up: there is nothing to be asked of it."""
_ENDINGS = {
    WorkflowExecutionStatus.FAILED: "faulted",
    WorkflowExecutionStatus.TIMED_OUT: "faulted",
    WorkflowExecutionStatus.CANCELED: "cancelled",
    WorkflowExecutionStatus.TERMINATED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class _Stood:
    """A run as it may go on: its latest execution, its start arguments, and where it stood (empty: nowhere yet)."""

    handle: WorkflowHandle[Any, Any]
    description: WorkflowExecutionDescription
    arguments: list[Any]
    bundle: Bundle | None
    told: JsonObject

    @property
    def position(self) -> JsonObject | None:
        position = self.told.get("position")
        return position if isinstance(position, dict) else None


class Retrying:
    """The runs of one task queue, as far as they go on or are changed."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._queue = task_queue

    async def standing(self, run_id: str) -> Sequence[Standing]:
        """Where a run stands, or stood when it ended, with its data."""
        stood = await self._stood(run_id, await self._described(run_id))
        if stood.position is None or stood.bundle is None:
            return ()
        found = standing(await asyncio.to_thread(stood.bundle.graph), stood.position)
        nonce = stood.position.get("nonce")
        return [each.hidden(References(nonce)) for each in found] if isinstance(nonce, str) else found

    async def retry(self, run_id: str, retry: Retry) -> None:
        """Start the next attempt of a run; `Rejected` with a code when it cannot go on so (see `gone_on`)."""
        description = await self._described(run_id)
        status = description.status
        if status == WorkflowExecutionStatus.COMPLETED:
            message = f"the run {run_id!r} is completed; there is nothing to retry"
            raise Rejected("run-completed", message, status=409)
        if status not in _ENDINGS:
            message = (
                f"the run {run_id!r} has not ended; skip its state, suspend it to edit the next, or cancel it"
            )
            raise Rejected("run-not-ended", message, status=409)
        stood = await self._stood(run_id, description)
        bundle = retry.bundle or stood.bundle
        if bundle is None:
            message = "what the run was to do could not be found; deploy it, and start another run"
            raise Rejected("no-workflow", message, status=409)
        graph = await asyncio.to_thread(bundle.graph)
        await self._start(run_id, stood, bundle, graph, retry)

    async def _start(
        self, run_id: str, stood: _Stood, bundle: Bundle, graph: StateGraph, retry: Retry
    ) -> None:
        given = stood.arguments
        args: list[Any] = [{}, bundle, [], {}]
        args[: len(given)] = given
        args[1] = bundle
        if retry.input is not ABSENT:
            args[0] = retry.input
        if stood.position is not None:
            following = await asyncio.to_thread(_following, stood, bundle, graph, retry)
            args[2:] = [[], await self._before(run_id, stood, graph, following)]
        elif retry.wish != Wish():
            raise Rejected(
                "no-failed-state", "the run had not begun a state: there is none to edit or skip", status=409
            )
        with translated(run_id):
            last = await self._client.get_workflow_handle(run_id).describe()
            if (
                last.run_id != stood.description.run_id
            ):  # and from there it would be behind what that has done
                raise Conflict(f"the run {run_id!r} has been retried meanwhile")
            try:
                await self._client.start_workflow(
                    graph.name.name,
                    args=args,
                    id=run_id,
                    task_queue=self._queue,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    memo=await self._memo(stood, graph, retry.what),
                    search_attributes=_attributes(stood.description, graph),
                    static_summary=summary(graph.title or graph.name.name),
                    static_details=graph.summary[:18_000] or None,
                )
            except WorkflowAlreadyStartedError:
                raise Conflict(
                    f"the run {run_id!r} goes on already, or has been completed meanwhile"
                ) from None

    async def _before(
        self, run_id: str, stood: _Stood, graph: StateGraph, following: JsonObject
    ) -> JsonObject:
        """What the next attempt has from before: the workflows too that it had begun, each where it goes on."""
        generation = (await stood.description.memo()).get(GENERATION)
        identity = identity_of(run_id, generation)
        runs: JsonObject = {}
        under_way: list[Json] = []
        for place in sub_flows(graph, following):
            going_on = await self._sub_flow(sub_run_id(identity, place))
            if going_on == UNDER_WAY:
                under_way.append(place)
            elif going_on is not None:
                runs[place] = going_on
        before: JsonObject = {"since": stood.told["since"], "position": pack(following)}
        if under_way:
            before["sub_flows"] = {"under_way": under_way, "bound": []}
        return {**before, "runs": runs} if runs else before

    async def _sub_flow(self, run_id: str) -> JsonObject | None:
        """What came of the sub-flow *run_id*, or with what it goes on; None: there is none yet, and it begins."""
        try:
            description = await self._described(run_id)
            if description.status == WorkflowExecutionStatus.RUNNING and description.parent_id is not None:
                # Its run was ended by Temporal's own means, and nobody has come yet to end what that left (`orphans`).
                await outcomes.terminate(self._client, run_id, orphans.REASON)
                description = await self._described(run_id)
        except NotFound:
            return None
        handle = self._client.get_workflow_handle(run_id, run_id=description.run_id)
        if description.status == WorkflowExecutionStatus.COMPLETED:
            return {"output": await handle.result()}
        if description.status not in _ENDINGS:  # it was retried by itself
            return UNDER_WAY
        stood = await self._stood(run_id, description)
        if stood.position is None or stood.bundle is None:
            return None
        graph = await asyncio.to_thread(stood.bundle.graph)
        following = gone_on(graph, stood.position, Wish(), datetime.now(UTC))
        return {
            "input": stood.told["input"],
            "workflow": stood.told["workflow"],
            "before": await self._before(run_id, stood, graph, following),
            ATTEMPTS: (await self._memo(stood, graph, "retry"))[ATTEMPTS],
        }

    async def edit(self, run_id: str, wish: Wish) -> None:
        """Change a suspended run before its next state."""
        await self._update(run_id, "edit", wish)

    async def skip(self, run_id: str, wish: Wish, key: str | None = None) -> None:
        """Let a run that goes on leave out a state at which it is; with the same *key* once."""
        await self._update(run_id, "skip", wish, key)

    async def _update(self, run_id: str, what: str, wish: Wish, key: str | None = None) -> None:
        with translated(run_id):
            before, closing = None, 0
            while True:
                description = await self._client.get_workflow_handle(run_id).describe()
                if description.status != WorkflowExecutionStatus.RUNNING or description.run_id == before:
                    raise Conflict(
                        f"the run {run_id!r} has ended; retry it with other data, or skip its failed state"
                    )
                handle = self._client.get_workflow_handle(run_id, run_id=description.run_id)
                try:
                    # The time of the SDK is that of one request, and it goes on asking for as long as it is answered.
                    async with asyncio.timeout(REPLAY_TIMEOUT.total_seconds()):
                        await handle.execute_update(what, wish.to_json(), id=key, rpc_timeout=REPLAY_TIMEOUT)
                    return
                except WorkflowUpdateFailedError as failure:
                    cause = failure.cause
                    if isinstance(cause, ApplicationError) and cause.type:
                        raise Rejected(cause.type, cause.message, status=409) from None
                    raise Unavailable(f"{what} cannot be done to the run {run_id!r} now: {cause}") from None
                except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
                    raise Unavailable(f"no worker of task queue {self._queue} answers") from None
                except RPCError as error:
                    if _passes(error) and (closing := closing + 1) < _CLOSING_LOOKS:
                        await asyncio.sleep(_CLOSING_SECONDS)
                        continue
                    if error.status in NOBODY:
                        raise Unavailable(f"no worker of task queue {self._queue} answers") from None
                    if error.status != RPCStatusCode.NOT_FOUND:
                        raise
                    before = description.run_id  # it has ended since, or goes on in a new history

    async def last_attempts(self, executions: Sequence[WorkflowExecution]) -> Sequence[WorkflowExecution]:
        """Those of *executions* after which their run was not retried."""
        room = asyncio.Semaphore(20)

        async def superseded(execution: WorkflowExecution) -> bool:
            if execution.status not in _ENDINGS:
                return False
            last = None
            async with room:
                with outcomes.unless_ended():  # and was deleted
                    last = await self._client.get_workflow_handle(execution.id).describe()
            if last is None or last.run_id == execution.run_id:
                return False
            return any(
                each["execution"] == execution.run_id for each in attempts_of(await outcomes.readable(last))
            )

        old = await asyncio.gather(*(superseded(execution) for execution in executions))
        return [execution for execution, gone in zip(executions, old, strict=True) if not gone]

    async def _described(self, run_id: str) -> WorkflowExecutionDescription:
        with translated(run_id):
            description = await self._client.get_workflow_handle(run_id).describe()
        if description.task_queue != self._queue:
            raise NotFound("run", run_id, f"it is one of task queue {description.task_queue}")
        return description

    async def _stood(self, run_id: str, description: WorkflowExecutionDescription) -> _Stood:
        handle = self._client.get_workflow_handle(run_id, run_id=description.run_id)
        with translated(run_id):
            arguments = await self._arguments(run_id, description.run_id)
            answer: dict[str, Any] = await self._asked(handle, "standing")
            told: JsonObject = {**answer, "position": unpack(answer["position"])} if answer else {}
            given = arguments[1] if len(arguments) > 1 else None
            bundle = given if isinstance(given, Bundle) else await self._asked(handle, "bundle")
        return _Stood(handle, description, arguments, bundle if isinstance(bundle, Bundle) else None, told)

    async def _asked(self, handle: WorkflowHandle[Any, Any], query: str) -> Any:
        try:
            return await ask(handle, query, REPLAY_TIMEOUT)
        except WorkflowQueryFailedError as error:
            message = f"a worker cannot tell where the run {handle.id!r} stood: {error}"
            raise Rejected("no-position", message, status=409) from None
        except RPCError as error:
            if BEFORE_IT_BEGAN in error.message:
                return None
            if error.status in NOBODY:
                message = (
                    f"no worker of task queue {self._queue} answers, which is to tell where the run stood"
                )
                raise Unavailable(message) from None
            raise

    async def _arguments(self, run_id: str, execution: str) -> list[Any]:
        """The start arguments of an execution: of its first event."""
        response = await self._client.workflow_service.get_workflow_execution_history(
            GetWorkflowExecutionHistoryRequest(
                namespace=self._client.namespace,
                execution=ExecutionId(workflow_id=run_id, run_id=execution),
                maximum_page_size=1,
            )
        )
        for event in response.history.events:
            payloads = event.workflow_execution_started_event_attributes.input.payloads
            return await self._client.data_converter.decode(payloads) if payloads else []
        return []

    async def _memo(self, stood: _Stood, graph: StateGraph, what: str) -> dict[str, Any]:
        """What the next attempt remembers: all that this one did, and how this one ended."""
        memo = dict(await stood.description.memo())
        memo.pop(STARTED, None)
        before = memo.get(ATTEMPTS)
        description = stood.description
        ended: JsonObject = {
            "execution": description.run_id,
            "status": _ENDINGS[description.status or WorkflowExecutionStatus.FAILED],
            "error": await _error(stood.handle),
            "started_at": rfc3339(description.start_time),
            "ended_at": None if description.close_time is None else rfc3339(description.close_time),
            "then": what,
        }
        memo[ATTEMPTS] = [*(before if isinstance(before, list) else []), ended][-MOST_ATTEMPTS:]
        name = graph.name
        return {**memo, "namespace": name.namespace, "name": name.name, "version": name.version}


def _passes(error: RPCError) -> bool:
    """Whether a run just ends or goes on in a new history, or could not, for something came in between: in a moment.

    Where its task fails for a bug, the run is parked, and that does not pass.
    """
    if error.status == RPCStatusCode.RESOURCE_EXHAUSTED:
        return "is closing" in error.message
    return error.status == RPCStatusCode.FAILED_PRECONDITION and "workflow task failure" in error.message


def _following(stood: _Stood, bundle: Bundle, graph: StateGraph, retry: Retry) -> JsonObject:
    """Where the run goes on as one of *bundle*, whose graph is *graph*."""
    assert stood.position is not None
    now = datetime.now(UTC)
    if stood.bundle is None or stood.bundle.digest == bundle.digest:
        return gone_on(graph, stood.position, retry.wish, now)
    return gone_on_with(stood.bundle.graph(), graph, stood.position, retry.wish, now, retry.names)


async def _error(handle: WorkflowHandle[Any, Any]) -> JsonObject | None:
    try:
        await handle.result()
    except WorkflowFailureError as failure:
        raised = fault_of(failure.cause)
        if raised is not None:
            error = raised.error.to_json()
            return {
                name: value[:LONGEST_DETAIL] if isinstance(value, str) else value
                for name, value in error.items()
            }
    return None


def _attributes(description: WorkflowExecutionDescription, graph: StateGraph) -> TypedSearchAttributes | None:
    """By what the next attempt is found: as this one, but for what Temporal sets itself."""
    own = attributes_of(graph.name)
    names = {pair.key.name for pair in own}
    present = [
        pair
        for pair in description.typed_search_attributes
        if not pair.key.name.startswith(("Temporal", "BuildIds"))
    ]
    if not any(pair.key.name in names for pair in present):
        return TypedSearchAttributes(present) if present else None
    return TypedSearchAttributes([*(pair for pair in present if pair.key.name not in names), *own])


def attempts_of(memo: Mapping[str, Any]) -> Sequence[JsonObject]:
    """The attempts of a run before this one, oldest first."""
    attempts: Json = memo.get(ATTEMPTS)
    return [each for each in attempts if isinstance(each, dict)] if isinstance(attempts, list) else ()
