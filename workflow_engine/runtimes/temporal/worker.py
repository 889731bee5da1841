"""A worker: runs workflows and makes their calls, until it is told to stop."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, Self

from temporalio.bridge.proto.workflow_activation import RemoveFromCache
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig

from workflow_engine import __version__
from workflow_engine.runtimes.temporal.activities import Activities
from workflow_engine.runtimes.temporal.admission import admit
from workflow_engine.runtimes.temporal.batches import Batches, BatchWorkflow
from workflow_engine.runtimes.temporal.detached import DetachedCall
from workflow_engine.runtimes.temporal.endings import ENDINGS
from workflow_engine.runtimes.temporal.going_on import Closing, GoingOn
from workflow_engine.runtimes.temporal.inside import Tasks, check, forgets_ended_calls, passes
from workflow_engine.runtimes.temporal.interim.results import Interim
from workflow_engine.runtimes.temporal.payloads.passing import comes_as_it_is, goes_as_it_is
from workflow_engine.runtimes.temporal.repeater import Repeater
from workflow_engine.runtimes.temporal.runner import Runner
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.slots import Slots, tuner
from workflow_engine.runtimes.temporal.traces import FINISHED
from workflow_engine.runtimes.temporal.workflow import ServerlessWorkflow

GRACEFUL = 10.0
MOST_CALLS = 1000
"""How many calls one worker makes at a time; a run that receives from a broker keeps one for as long as it waits."""
STUCK = 8
"""Seconds after which the SDK takes a task for stuck; the server gives it ten. Its own two, which are no option of
a worker, are too few where the machine is busy: what a task computes is bounded in steps, whatever time they take then.
"""
HEARD_WITHIN = timedelta(seconds=1)
"""A call that is cancelled hears of it with the answer to a heartbeat: so often they are passed on."""
KEPT_FOR = timedelta(seconds=5)
"""A run goes on with the worker that has it in memory; one that has not come for its task by then is taken for dead,
and any worker may do it. Half of the SDK's own value: so long runs of a worker that was killed stand still.
"""


BEHAVIOURS = {"pinned": VersioningBehavior.PINNED, "auto-upgrade": VersioningBehavior.AUTO_UPGRADE}
"""What runs may do when another build of the workers is made the current one."""


@dataclass(frozen=True, slots=True)
class Build:
    """Which build of which Worker Deployment a worker is; *versioning* is one of `BEHAVIOURS`."""

    deployment: str
    id: str
    versioning: str = "pinned"

    @classmethod
    def of(cls, deployment: str | None, id: str | None, versioning: str | None) -> Self | None:
        """None where no deployment is named: a worker like any other."""
        return None if deployment is None or id is None else cls(deployment, id, versioning or "pinned")

    def config(self) -> WorkerDeploymentConfig:
        return WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(deployment_name=self.deployment, build_id=self.id),
            use_worker_versioning=True,
            default_versioning_behavior=BEHAVIOURS[self.versioning],
        )


def worker(
    client: Client,
    task_queue: str,
    activities: Activities,
    *,
    build: Build | None = None,
    drain: float = GRACEFUL,
) -> Worker:
    """Make a worker that serves *task_queue*, as a *build* that Temporal tells from others, or as any worker.

    Use it as an async context manager, or call ``run``. It runs unsandboxed: see `ServerlessWorkflow`.
    When it stops it asks for nothing more and finishes what it does, for at most *drain* seconds; what is left then is
    made again by another worker.
    """
    check()
    batches = Batches(TemporalRuntime(client, task_queue, search_attributes=False), activities.find)
    # Where there is no payload store, no value is large, and slots of our own would be asked for in vain.
    activities = replace(activities, going_on=GoingOn())
    slots = Slots() if getattr(activities.keep, "stores", False) else None
    concurrency: dict[str, Any] = {"max_concurrent_activities": MOST_CALLS}
    if slots is not None:
        concurrency = {"tuner": tuner(slots, MOST_CALLS)}
    made = Worker(
        client,
        task_queue=task_queue,
        workflows=[ServerlessWorkflow, DetachedCall, Repeater, BatchWorkflow],
        activities=[*activities.all(), *batches.all()],
        workflow_runner=Runner(),
        graceful_shutdown_timeout=timedelta(seconds=drain),
        max_cached_workflows=1000,
        sticky_queue_schedule_to_start_timeout=KEPT_FOR,
        **concurrency,
        plugins=[Closing(activities.going_on, drain)],
        plugin_shutdown_timeout=timedelta(seconds=drain + GRACEFUL),
        max_heartbeat_throttle_interval=HEARD_WITHIN,
        deployment_config=None if build is None else build.config(),
        # Otherwise the SDK makes one of the code of all modules, which it has to read for that.
        build_id=f"wfe-{__version__}" if build is None else None,
    )
    activities.going_on.serves(client, task_queue, activities.calls(), MOST_CALLS)
    passes(comes_as_it_is, goes_as_it_is)
    tasks = Tasks(made)
    tasks.stuck_after(STUCK)
    admit(made, aside=nullcontext if slots is None else slots.aside)
    tasks.on_let_go(partial(_telling, activities.interim))
    forgets_ended_calls(made)
    FINISHED.told = True
    return made


def _telling(interim: Interim | None, execution: str, why: RemoveFromCache) -> None:
    """Tell `ENDINGS`, as the SDK tells those who replay, which run a worker lets go of, and why."""
    ended = why.reason == RemoveFromCache.WORKFLOW_EXECUTION_ENDING
    ENDINGS.let_go(execution, ended=ended)
    FINISHED.let_go(execution, ended=ended)
    if interim is not None:
        interim.let_go(execution, ended=ended)
