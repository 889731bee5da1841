"""How what a run does is interrupted where one of its states is skipped: this part of `Effects`, for both runtimes."""

from __future__ import annotations

import asyncio

from workflow_engine.runtimes.scheduler import Scheduler, Task


class AsyncioTasks:
    """Where a run is done by tasks of an event loop, as under Temporal."""

    def current_task(self) -> object:
        return asyncio.current_task()

    def interrupt(self, task: object) -> None:
        assert isinstance(task, asyncio.Task)
        task.cancel()

    def interrupted(self, task: object) -> bool:
        return isinstance(task, asyncio.Task) and task.uncancel() == 0


class SteppedTasks:
    """Where it is done by those of a `Scheduler`."""

    scheduler: Scheduler

    def current_task(self) -> object:
        return self.scheduler.current

    def interrupt(self, task: object) -> None:
        assert isinstance(task, Task)
        task.interrupt()
        self.scheduler.nudge()

    def interrupted(self, task: object) -> bool:
        return isinstance(task, Task) and not task.cancelled
