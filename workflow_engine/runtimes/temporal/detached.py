"""A call that its run does not wait for: a workflow of its own, which goes on when the run has ended.

An activity would be lost with the run: the server forgets those of a workflow that has closed.
"""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflow_engine.errors import Fault, fault
from workflow_engine.interpreter.effects import Expired
from workflow_engine.runtimes.temporal.calling import DETACHED, execute
from workflow_engine.runtimes.temporal.failures import failure_of, reraise


@workflow.defn(name=DETACHED)
class DetachedCall:
    """Makes one call; its output is the workflow's result, a fault its failure."""

    def __init__(self) -> None:
        self._state: dict[str, Any] = {}

    @workflow.run
    async def run(self, kind: str, arguments: dict[str, Any], about: dict[str, Any]) -> Any:
        """Make the call of *kind*; *about* is that of its activity, with ``label`` and ``bound`` (see `execute`)."""
        label, since = str(about["label"]), workflow.now().timestamp()
        self._state = {"id": about["state"], "name": label, "doing": f"calling {kind}", "since": since}
        try:
            return await execute(kind, arguments, about, label, about["bound"])
        except ActivityError as failure:
            raised = reraise(failure)
            if isinstance(raised, Expired):
                raised = fault("timeout", f"{label} took longer than its timeout allows")
            if not isinstance(raised, Fault):
                raise  # cancelled, for one
            raise failure_of(raised.at(str(about["state"]))) from None

    @workflow.query
    def state(self) -> dict[str, Any]:
        """Where it is, as a run tells it."""
        return {"suspended": False, "states": [self._state] if self._state else []}
