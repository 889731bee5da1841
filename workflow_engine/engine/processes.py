"""Which processes a workflow starts, and whether the operator lets it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from workflow_engine.dsl.document import Document
from workflow_engine.errors import Problem
from workflow_engine.graph.actions import PROCESSES
from workflow_engine.graph.model import Operation, State, StateGraph, states_of


def refused(
    document: Document, graph: StateGraph, allowed: Collection[str] | None, setting: str = "WFE_PROCESSES"
) -> list[Problem]:
    """A problem for each state of *graph* that starts a process of a kind that is not *allowed* (None: all are) by a
    *setting*.
    """
    if allowed is None:
        return []
    return [
        document.problem(
            "process-not-allowed",
            f"workflows may not start a {kind} process here: the setting {setting} does not allow it",
            state.id,
        )
        for state, kind in processes(graph)
        if kind not in allowed
    ]


def processes(graph: StateGraph) -> Iterator[tuple[State, str]]:
    """The states of *graph* that start a process on the worker's machine, each with the kind of process."""
    for state in states_of(graph):
        if isinstance(state.action, Operation):
            kind = _kind(state.action)
            if kind is not None:
                yield state, kind


def _kind(action: Operation) -> str | None:
    if action.kind != "mcp":
        return action.kind if action.kind in PROCESSES else None
    given = action.arguments.source  # an MCP server is a process only when it is spoken to over its stdin
    transport = given.get("transport") if isinstance(given, dict) else None
    return "mcp" if isinstance(transport, dict) and "stdio" in transport else None
