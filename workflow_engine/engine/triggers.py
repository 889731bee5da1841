"""Which events start which workflow: kept as subscriptions of the router, one for each workflow."""

from __future__ import annotations

from typing import Protocol

from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.listening import specify
from workflow_engine.interpreter.scope import Scope
from workflow_engine.values import JsonObject


class Triggers(Protocol):
    """Where a workflow's trigger is set; the latest version's is the one that counts."""

    async def set(self, graph: StateGraph) -> None:
        """Let events start *graph*'s workflow as its trigger says, or no longer, when it has none."""


def subscription_id(graph: StateGraph) -> str:
    """The router's subscription for a workflow: the same for all its versions, so that none is missed."""
    return f"workflow:{graph.name.namespace}/{graph.name.name}"


def trigger_spec(graph: StateGraph) -> JsonObject | None:
    """What a workflow is started by, in the JSON form of `filters`."""
    if graph.trigger is None:
        return None
    return specify(graph.trigger.strategy, None, Scope({}, {}))
