"""Undo what a run of DSL 0.8 has completed (dsl.md §2.12, decision B34)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.graph.model import Compensate
from workflow_engine.interpreter.position import Frame
from workflow_engine.values import Json

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


async def compensate(run: Run, action: Compensate, frame: Frame) -> Json:
    """Run the compensation of each completed state, last one first, once for each time that it completed.

    What has completed is forgotten when this begins: it is undone at most once.
    """
    local = frame.local
    if "pending" not in local:
        local["pending"] = [state for state in reversed(run.completed) if state in action.regions]
        run.completed = []
        local["data"] = frame.input
    pending = local["pending"]
    assert isinstance(pending, list)
    while pending:
        region = action.regions[str(pending[0])]
        child = frame.child("compensate", region.id, local["data"])
        local["data"], _ = await run.walk(region, child)
        frame.children.pop("compensate", None)
        pending.pop(0)
    return local["data"]
