"""A history explained: replayed here, step by step, with what each state cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter

from workflow_engine.interpreter.bugs import split
from workflow_engine.interpreter.position import Frame
from workflow_engine.runtimes.temporal.calling import DETACHED
from workflow_engine.runtimes.temporal.converter import DATA_CONVERTER
from workflow_engine.runtimes.temporal.costs import Cost, costs
from workflow_engine.runtimes.temporal.repeater import REPEATER
from workflow_engine.runtimes.temporal.replaying import Replayed, replay
from workflow_engine.values import Json, JsonObject, rfc3339

_OTHERS = {DETACHED: "a call that its run did not wait for", REPEATER: "a schedule"}
_ENDS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "completed",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "faulted",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: "faulted",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: "cancelled",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: "cancelled",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: "continued as new",
}


async def debugged(
    history: WorkflowHistory,
    *,
    sizes: Sequence[int] | None = None,
    converter: DataConverter = DATA_CONVERTER,
) -> JsonObject:
    """What a run did, as JSON: ``steps`` in the order in which they began, ``states`` with what they cost.

    ``failure`` is there when this version of the engine does not follow the history; the steps are then those before.
    *sizes* are the bytes of each event as the server keeps it, where *history* has values of the payload store in it.
    `ValueError` for the history of what is no run of a workflow.
    """
    started = history.events[0].workflow_execution_started_event_attributes
    if (other := _OTHERS.get(started.workflow_type.name)) is not None:
        raise ValueError(f"it is the history of {other}, not of a run")
    replayed = await replay(history, converter=converter)
    trace, graph = replayed.trace, replayed.graph
    kept = [event.ByteSize() for event in history.events] if sizes is None else sizes
    spent = costs(history.events, kept, trace.places, trace.labels)
    total = Cost(len(history.events), sum(kept))
    began = _time(history.events[0])
    return {
        "id": history.workflow_id,
        "execution": started.original_execution_run_id,
        "workflow": None if graph is None else str(graph.name),
        "status": _ENDS.get(history.events[-1].event_type, "running"),
        "began": began,
        "seconds": _time(history.events[-1]) - began,
        "parked": _parked(history.events),
        "failure": _failure(replayed),
        "at": _standing(replayed),
        "events": total.events,
        "bytes": total.bytes,
        "states": _states(replayed, spent),
        "steps": [step.to_json() for step in trace.steps],
        "omitted": trace.omitted,
    }


def _time(event: HistoryEvent) -> float:
    return event.event_time.ToDatetime(UTC).timestamp()


def _parked(events: Sequence[HistoryEvent]) -> JsonObject | None:
    """The exception that keeps the run where it is, if its last workflow task failed."""
    for event in reversed(events):
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            failure = event.workflow_task_failed_event_attributes.failure
            state, exception = split(failure.message)
            trace = failure.cause.stack_trace or failure.stack_trace
            since = rfc3339(event.event_time.ToDatetime(UTC))
            return {"exception": exception, "state": state, "since": since, "trace": trace}
        if event.event_type in _ENDS or event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            return None
    return None


def _failure(replayed: Replayed) -> str | None:
    return None if replayed.failure is None else str(replayed.failure)


def _standing(replayed: Replayed) -> list[Json]:
    """The states at which the run stands, if it has not ended."""
    if replayed.position is None:
        return []
    root = replayed.position["root"]
    assert isinstance(root, dict)
    return [leaf.state for leaf in Frame.from_json(root).leaves()]


def _states(replayed: Replayed, spent: dict[str, Cost]) -> list[Json]:
    """The states that were executed or cost something, in the order in which the run came to them."""
    totals = replayed.trace.totals
    rows: list[Json] = []
    for state in dict.fromkeys([*totals, *spent]):
        total, cost = totals.get(state), spent.get(state, Cost())
        rows.append(
            {
                "state": state,
                "name": total.name if total is not None else state.rpartition("/")[2],
                "kind": total.kind if total is not None else "",
                "executions": total.executions if total is not None else 0,
                "faults": total.faults if total is not None else 0,
                "seconds": total.seconds if total is not None else 0.0,
                **cost.to_json(),
            }
        )
    return rows
