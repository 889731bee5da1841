"""What goes on side by side in a run: its branches, and the time that something may take."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from temporalio import workflow

from workflow_engine.errors import Fault
from workflow_engine.interpreter.effects import Expired, Place, Thunk
from workflow_engine.runtimes.temporal.calling import summary

T = TypeVar("T")

SOON = 30.0
"""A time of fewer seconds may be up while a workflow task waits for a call, which it must not be late for."""


class Branches(ABC):
    """That part of the effects of one run."""

    _beside = 0
    """How much goes on beside what is done now, and would have to wait for it if the workflow task did."""

    @property
    @abstractmethod
    def let_go(self) -> bool:
        """Whether the run unwinds though it has not ended."""

    @abstractmethod
    def broke(self) -> None:
        """What unwinds the run is no end of it."""

    async def join(self, branches: Sequence[Thunk[T]], *, need: int, tolerant: bool) -> Mapping[int, T]:
        others = max(len(branches) - 1, 0)
        self._beside += others
        try:
            return await self._joined(branches, need, tolerant)
        finally:
            self._beside -= others

    async def _joined(self, branches: Sequence[Thunk[T]], need: int, tolerant: bool) -> Mapping[int, T]:
        tasks = [asyncio.create_task(_run(branch)) for branch in branches]
        try:
            while True:
                done = [task for task in tasks if task.done()]
                errors = [_error(task) for task in done]
                fatal = [error for error in errors if error and not (tolerant and isinstance(error, Fault))]
                good = sum(error is None for error in errors)
                if fatal:
                    raise fatal[0]
                if good >= need:
                    break
                if good + len(tasks) - len(done) < need:
                    raise next(error for error in errors if error is not None)
                await workflow.wait(
                    [task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED
                )
        except GeneratorExit:
            self.broke()
            raise
        finally:
            pending = [task for task in tasks if not task.done()]
            if self.let_go:
                pending = []
            for task in pending:
                task.cancel()
            if pending:
                await workflow.wait(pending)
                for task in pending:
                    if not task.cancelled():
                        task.exception()
        given_up = set(pending)
        won = {
            number: task.result()
            for number, task in enumerate(tasks)
            if task not in given_up and _error(task) is None
        }
        return dict(list(won.items())[:need])

    async def within(self, seconds: float, work: Thunk[T], place: Place) -> T:
        async def timer() -> Any:
            await workflow.sleep(max(seconds, 0.001), summary=summary(place.label))
            raise Expired

        soon = seconds < SOON
        self._beside += soon
        try:
            return (await self._joined([work, timer], 1, tolerant=False))[0]
        finally:
            self._beside -= soon


async def _run(branch: Thunk[T]) -> T:
    return await branch()


def _error(task: asyncio.Task[Any]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()
