"""A picture of what a run did: its workflow, with what became of each state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter

from workflow_engine.graph.marks import Mark, Phase
from workflow_engine.graph.model import StateGraph, StateId
from workflow_engine.runtimes.temporal.converter import DATA_CONVERTER
from workflow_engine.runtimes.temporal.replaying import Replayed, replay

_PHASES: dict[str, Phase] = {
    "running": "stands",
    "faulted": "faulted",
    "left": "left",
    "skipped": "skipped",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """What `render` draws: *graph* of the last execution, and *marks* of the states that the run has come to.

    *failures*: why today's engine does not follow a history; the states after that place are not marked.
    """

    graph: StateGraph
    marks: dict[StateId, Mark]
    failures: tuple[str, ...] = ()


async def pictured(
    histories: Iterable[WorkflowHistory], *, converter: DataConverter = DATA_CONVERTER
) -> Picture:
    """The picture of a run whose executions have *histories*, the oldest first. `ValueError` if it never began."""
    told = [await replay(history, converter=converter) for history in histories]
    graph = next((each.graph for each in reversed(told) if each.graph is not None), None)
    if graph is None:
        raise ValueError("the run has not begun: there is nothing to draw")
    failures = tuple(str(each.failure) for each in told if each.failure is not None)
    return Picture(graph, _marks(told), failures)


def _marks(told: list[Replayed]) -> dict[StateId, Mark]:
    executions: dict[StateId, int] = {}
    faults: dict[StateId, int] = {}
    phases: dict[StateId, str] = {}
    for each in told:
        for state, total in each.trace.totals.items():
            executions[state] = executions.get(state, 0) + total.executions
            faults[state] = faults.get(state, 0) + total.faults
        for step in each.trace.steps:
            phases[step.state] = step.phase
    last = told[-1].trace.totals
    return {
        state: Mark(
            "done" if phase == "running" and state not in last else _PHASES.get(phase, "done"),
            _note(executions[state], faults[state]),
        )
        for state, phase in phases.items()
        if state
    }


def _note(executions: int, faults: int) -> str:
    """How often it was done, where that is more than the colour says."""
    if executions == 1:
        return ""
    return f"{executions:,} times" + (f", {faults:,} faulted" if faults else "")
