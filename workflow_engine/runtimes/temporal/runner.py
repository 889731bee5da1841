"""Runs workflows in this process, without a sandbox, and lets them know of a cancel that comes with what they hear.

The SDK tells a run of its signals first, has it do all that it can do then, and tells it of a cancel after that, though
both came for the same task. A run that goes on in a new history upon such a signal would have left by then, and the
cancel, which the server has accepted, would be lost.
"""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInstance, WorkflowInstanceDetails

from workflow_engine.runtimes.temporal.inside import one_after_the_other

_CANCELS = "wfe_cancels"


class Runner(UnsandboxedWorkflowRunner):
    """The runner of the engine's workers, and of those who replay."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance = super().create_instance(det)
        activate = instance.activate

        def activated(act: Any) -> Any:
            setattr(instance, _CANCELS, any(job.HasField("cancel_workflow") for job in act.jobs))
            return activate(act)

        instance.activate = activated  # type: ignore[method-assign]
        one_after_the_other(instance)
        return instance


def is_being_cancelled() -> bool:
    """Whether the run that is at work is told of a cancel in this step of its task, or will be in a moment."""
    return getattr(asyncio.get_running_loop(), _CANCELS, False) is True  # an instance is the loop of its run
