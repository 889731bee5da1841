"""A worker: runs workflows and makes their calls, until it is told to stop."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from workflow_engine.runtimes.temporal.activities import Activities
from workflow_engine.runtimes.temporal.batches import Batches, BatchWorkflow
from workflow_engine.runtimes.temporal.detached import DetachedCall
from workflow_engine.runtimes.temporal.repeater import Repeater
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.workflow import ServerlessWorkflow

GRACEFUL = timedelta(seconds=10)
MOST_CALLS = 1000
"""How many calls one worker makes at a time; a run that receives from a broker keeps one for as long as it waits."""
HEARD_WITHIN = timedelta(seconds=1)
"""A call that is cancelled hears of it with the answer to a heartbeat: so often they are passed on."""


def worker(client: Client, task_queue: str, activities: Activities) -> Worker:
    """Make a worker that serves *task_queue*.

    Use it as an async context manager, or call ``run``. It runs unsandboxed: see `ServerlessWorkflow`.
    When it stops it finishes what it does, for at most ten seconds.
    """
    batches = Batches(TemporalRuntime(client, task_queue, search_attributes=False), activities.find)
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[ServerlessWorkflow, DetachedCall, Repeater, BatchWorkflow],
        activities=[*activities.all(), *batches.all()],
        workflow_runner=UnsandboxedWorkflowRunner(),
        graceful_shutdown_timeout=GRACEFUL,
        max_cached_workflows=1000,
        max_concurrent_activities=MOST_CALLS,
        max_heartbeat_throttle_interval=HEARD_WITHIN,
    )
