"""What becomes of runs that other runs have begun: how they ended, and that they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from temporalio import activity
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, CancelledError
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.errors import ERRORS, Error, Fault, Unavailable, fault
from workflow_engine.runtimes.temporal.converter import KeyMissing
from workflow_engine.runtimes.temporal.failures import failure_of, fault_of
from workflow_engine.runtimes.temporal.histories import argument_of
from workflow_engine.runtimes.temporal.naming import GENERATION, identity_of, sub_run_id
from workflow_engine.runtimes.temporal.payloads.store import ValueLost
from workflow_engine.runtimes.temporal.sub_flows import BOUND, CANCELLED
from workflow_engine.values import Json, JsonObject

_LOOKS, _PAUSE = 20, 0.05
"""How often, and after how many seconds, a run is told something again that goes on in a new history meanwhile."""
GOES_ON = frozenset({WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW, None})


@activity.defn(name="run.outcome")
async def outcome(id: str) -> Any:
    """The output of the run *id*, or its fault; while it goes on this fails, to be asked again later."""
    client = activity.client()
    try:
        description = await client.get_workflow_handle(id).describe()
        if description.status in GOES_ON:
            raise ApplicationError(f"{id} goes on", type="NotYet", category=ApplicationErrorCategory.BENIGN)
        return await client.get_workflow_handle(id, run_id=description.run_id).result()
    except WorkflowFailureError as failure:
        if isinstance(failure.cause, CancelledError):
            raise ApplicationError(f"{id} was cancelled", type=CANCELLED, non_retryable=True) from None
        raise failure_of(
            fault_of(failure.cause) or _without_result(id, failure.cause), of_call=True
        ) from None
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        raise failure_of(_without_result(id, "nothing is kept of it"), of_call=True) from None


async def readable(execution: WorkflowExecution) -> Mapping[str, Any]:
    """What is remembered of a run; nothing where its key is missing, which hides no other run of a list."""
    try:
        return await execution.memo()
    except (KeyMissing, ValueLost):
        return {}


@activity.defn(name="run.begun_by")
async def begun_by(id: str, run_id: str) -> bool:
    """Whether the run *id* is a sub-flow of the run *run_id*."""
    return (await activity.client().get_workflow_handle(id).describe()).parent_id == run_id


async def result(handle: WorkflowHandle[Any, Any]) -> tuple[Json, JsonObject | None]:
    """The output or the error of a run that has ended."""
    try:
        return await handle.result(), None
    except WorkflowFailureError as failure:
        raised = fault_of(failure.cause)
        if raised is not None:
            return None, raised.error.to_json()
        cause = failure.cause
        title = cause.type if isinstance(cause, ApplicationError) and cause.type else "Runtime Error"
        return None, Error(ERRORS + "runtime", 500, title, str(cause)).to_json()


@contextlib.contextmanager
def unless_ended() -> Iterator[None]:
    """Do something to a run that was just there: nothing when it has ended since."""
    try:
        yield
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise


async def told(client: Client, id: str, tell: Callable[[], Awaitable[None]]) -> bool:
    """Whether the run *id* has been told something, in whichever history it is: not if it has ended.

    Who is told as it goes on in a new history may be the old one, of which the server says that it has ended.
    """
    for _ in range(_LOOKS):
        with unless_ended():
            await tell()
            return True
        description = None
        with unless_ended():
            description = await client.get_workflow_handle(id).describe()
        if description is None or description.status not in GOES_ON:
            return False
        await asyncio.sleep(_PAUSE)
    raise Unavailable(f"Temporal does not find the present history of the run {id}")


async def goes_on(id: str) -> bool:
    """Whether the run *id* is under way, in whichever history; what cannot be asked is taken to be."""
    try:
        description = await activity.client().get_workflow_handle(id).describe()
    except RPCError as error:
        return error.status != RPCStatusCode.NOT_FOUND
    return description.status in GOES_ON


def _without_result(id: str, why: object) -> Fault:
    return fault("runtime", f"the run {id} ended without a result: {why}")


@activity.defn(name="run.end")
async def end(ids: list[str]) -> None:
    """End the runs *ids*, which are not to go on when the one has ended that began them."""
    for id in ids:
        await terminate(activity.client(), id, "the run that began it has ended")


async def terminate(client: Client, id: str, reason: str) -> None:
    """End the run *id*, and those that it began and that end with it; what has ended is left alone."""
    children = await bound(client, id)
    with contextlib.suppress(RPCError):
        children |= await _known(client, id)
    handle = client.get_workflow_handle(id)
    await told(client, id, lambda: handle.terminate(reason=reason))
    children |= await bound(client, id)  # what it began meanwhile
    for child in sorted(children):
        await terminate(client, child, reason)


async def bound(client: Client, id: str) -> set[str]:
    """The sub-flows that are under way and end with the run, in whichever of its histories it began them."""
    quoted = id.replace("\\", "\\\\").replace("'", "\\'")
    query = f"ParentWorkflowId = '{quoted}' AND ExecutionStatus = 'Running'"
    return {
        execution.id
        async for execution in client.list_workflows(query)
        if (await execution.memo()).get(BOUND) is True
    }


async def _known(client: Client, id: str) -> set[str]:
    """Those that it has begun in its present history, or an earlier one: what can be listed is some moments late."""
    description = await client.get_workflow_handle(id).describe()
    children = {child.workflow_id for child in description.raw_description.pending_children}
    before = await argument_of(client, id, description.run_id, 3)
    carried = before.get("sub_flows") if isinstance(before, dict) else None
    if isinstance(carried, dict):
        identity = identity_of(id, (await description.memo()).get(GENERATION))
        under_way, bound = carried["under_way"], carried["bound"]
        assert isinstance(under_way, list)
        assert isinstance(bound, list)
        children |= {sub_run_id(identity, str(place)) for place in under_way} | {*map(str, bound)}
    found = set()
    for child in children:
        with contextlib.suppress(RPCError):
            there = await client.get_workflow_handle(child).describe()
            if there.status in GOES_ON and (await there.memo()).get(BOUND) is True:
                found.add(child)
    return found


@activity.defn(name="run.rest")
async def rest(seconds: float) -> None:
    """Have a workflow task take so long that the SDK records what was done in it, and begins another one."""
    await asyncio.sleep(seconds)


ACTIVITIES: list[Callable[..., Any]] = [outcome, begun_by, end, rest]
