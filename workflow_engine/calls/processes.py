"""Processes that calls start on this machine: whether they may."""

from __future__ import annotations

from workflow_engine.calls.context import CallContext
from workflow_engine.errors import fault


def admit(kind: str, context: CallContext) -> None:
    """Return when the operator lets workflows start processes of *kind*; else an authorization fault (403)."""
    if kind not in context.processes:
        raise fault(
            "authorization",
            f"workflows may not start a {kind} process on this worker: its setting WFE_PROCESSES does not allow it",
            status=403,
        )
