"""Which activities of other workers a workflow calls, and whether the operator lets it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from workflow_engine.dsl.document import Document
from workflow_engine.errors import Problem
from workflow_engine.graph.model import Operation, StateGraph, states_of


@dataclass(frozen=True, slots=True)
class Queues:
    """Task queues whose activities workflows may call: those *allowed* (None: all), but never the engine's *own*;
    a *setting* says it.
    """

    allowed: Collection[str] | None
    own: str
    setting: str = "WFE_ACTIVITY_QUEUES"

    def refused(self, document: Document, graph: StateGraph) -> list[Problem]:
        """A problem for each state of *graph* that calls an activity of another task queue."""
        found = []
        for state in states_of(graph):
            queue = _queue(state.action) if isinstance(state.action, Operation) else None
            if queue is None or (queue != self.own and (self.allowed is None or queue in self.allowed)):
                continue
            why = f"the setting {self.setting} does not allow it"
            if queue == self.own:
                why = "that is the engine's own, whose activities are calls of another kind"
            message = f"workflows may not call activities of the task queue {queue!r} here: {why}"
            found.append(document.problem("activity-not-allowed", message, state.id))
        return found


def _queue(action: Operation) -> str | None:
    given = action.arguments.source
    return str(given.get("taskQueue")) if action.kind == "activity" and isinstance(given, dict) else None
