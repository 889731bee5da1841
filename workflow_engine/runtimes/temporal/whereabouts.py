"""Where a running run is: what it tells itself, and of its calls what only the server knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import Client, WorkflowExecutionDescription, WorkflowQueryFailedError
from temporalio.service import RPCError

from workflow_engine.engine.runtime import StateDescription
from workflow_engine.runtimes.temporal.asking import NOBODY
from workflow_engine.runtimes.temporal.inside import is_paused
from workflow_engine.runtimes.temporal.leaving import ROOM
from workflow_engine.runtimes.temporal.pending import Pending, pending, refused

QUERY_TIMEOUT = timedelta(seconds=3)


async def whereabouts(
    client: Client, description: WorkflowExecutionDescription
) -> tuple[str, Sequence[StateDescription], str | None]:
    """The status of a running run and the states at which it is; without a worker that answers, only that it runs, and
    why no more is known.
    """
    if is_paused(description):
        return "suspended", (), "it is paused in Temporal; `temporal workflow unpause` lets it go on"
    first = description.raw_description.workflow_execution_info.first_run_id
    if description.history_length <= 2 and first == description.run_id:
        return "pending", (), "no worker has taken it up yet"
    handle = client.get_workflow_handle(description.id)
    try:
        answer: Mapping[str, Any] = await handle.query("state", rpc_timeout=QUERY_TIMEOUT)
    except WorkflowQueryFailedError as error:
        return "running", (), f"the worker cannot tell where it is: {error}"
    except RPCError as error:
        if error.status in NOBODY:
            return "running", (), f"no worker of task queue {description.task_queue} answers"
        return "running", (), f"it cannot be told where it is: {error.message}"
    calls = await pending(client, description)
    states = [_state(told, calls.get(str(told.get("place")))) for told in answer["states"]]
    held = await refused(client, description, ROOM)
    if answer["suspended"]:
        return "suspended", states, held
    passive = bool(states) and all(state.status == "waiting" for state in states)
    return ("waiting" if passive else "running"), states, held


def _state(told: Mapping[str, Any], call: Pending | None) -> StateDescription:
    state = StateDescription(
        id=str(told["id"]),
        name=str(told["name"]),
        doing=told["doing"],
        since=_moment(told["since"]),
        status=str(told.get("status", "running")),
        attempt=told.get("attempt") or 1,
        failure=told.get("failure"),
        next_attempt=_moment(told.get("next_attempt")),
    )
    if call is None:
        return state
    return replace(
        state,
        attempt=max(state.attempt, call.retries + 1),
        failure=call.error or state.failure,
        next_attempt=call.next,
    )


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
