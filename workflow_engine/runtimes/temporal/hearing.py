"""What runs listen for, as they tell it themselves: for a router that has lost it (`engine.restoring`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.engine.restoring import Heard
from workflow_engine.errors import Unavailable
from workflow_engine.interpreter.ears import ears
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.temporal.asking import NOBODY, ask
from workflow_engine.runtimes.temporal.calling import DETACHED
from workflow_engine.runtimes.temporal.connection import translated
from workflow_engine.runtimes.temporal.naming import BATCH
from workflow_engine.runtimes.temporal.repeater import REPEATER
from workflow_engine.runtimes.temporal.resting import RestingEffects

ASKED_FOR = timedelta(seconds=20)
"""How long a worker may take to replay a run and tell."""
NOT_RUNS = frozenset({REPEATER, BATCH, DETACHED})


class Hearing:
    """The part of the workflow that tells what it listens for."""

    _run: Run | None
    _effects: RestingEffects | None

    @workflow.query
    def ears(self) -> list[dict[str, Any]]:
        """Its listeners, each with the events that it has, and how many the router has given it."""
        run, effects = self._run, self._effects
        if run is None or effects is None:
            return []
        told: list[dict[str, Any]] = []
        for ear in ears(run):
            known = effects.ear(ear.place)
            if known is not None:
                received, waiting = known
                after: list[Any] = [*ear.arrived, *waiting]
                spec = {**ear.spec, "after": after} if ear.whole and after else ear.spec
                told.append(
                    {
                        "listen_id": ear.place,
                        "channel": ear.channel,
                        "spec": spec,
                        "since": effects.since or workflow.info().workflow_start_time.isoformat(),
                        "received": received,
                    }
                )
        return told


async def open_runs(client: Client, task_queue: str) -> AsyncIterator[str]:
    """The ids of all runs of the queue that have not ended."""
    queue = task_queue.replace("\\", "\\\\").replace("'", "\\'")
    with translated():
        async for run in client.list_workflows(f"TaskQueue = '{queue}' AND ExecutionStatus = 'Running'"):
            if run.workflow_type not in NOT_RUNS:
                yield run.id


async def heard(client: Client, run_id: str) -> list[Heard] | None:
    """The listeners of an open run; None where no worker can tell them."""
    try:
        with translated():
            told: list[dict[str, Any]] = await ask(client.get_workflow_handle(run_id), "ears", ASKED_FOR)
    except (WorkflowQueryFailedError, Unavailable):
        return None
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return []
        if error.status in NOBODY:
            return None
        raise
    return [
        Heard(
            str(each["listen_id"]),
            str(each["channel"]),
            each["spec"],
            datetime.fromisoformat(str(each["since"])),
            int(each["received"]),
        )
        for each in told
    ]
