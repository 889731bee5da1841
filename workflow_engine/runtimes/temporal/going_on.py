"""Calls that take longer than a workflow task may wait for them go on, and an activity takes them over.

It is given to the worker that makes the call, by a task queue that only this worker serves: so nobody makes the call a
second time while it goes on, and the server knows when the worker is lost; then it is made again as any other. The
queue is there once the first call needs it: most calls end long before.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.plugin import SimplePlugin
from temporalio.worker import PollerBehaviorSimpleMaximum, Worker

from workflow_engine.runtimes.temporal.attempts import heartbeat
from workflow_engine.runtimes.temporal.failures import FULL, GONE, fault_of, goes_on, unsuited
from workflow_engine.runtimes.temporal.inside import forgets_ended_calls, stops

Work = Callable[[], Coroutine[Any, Any, Any]]
MOST = 500
"""How many calls go on at a time; those beyond are activities from the beginning, of which there are so many too."""
UNCLAIMED = 60.0
"""For how many seconds a call goes on that no activity has taken over: its run has ended meanwhile, most likely."""
KEPT = 15.0
"""For how many seconds the result of a call is kept. A workflow task may fail after the call was made, for an event has
come in the moment in which the run was to end: the call is not made again then."""
MOST_KEPT = 1000
LARGEST_KEPT = 500
"""The parts and tens of characters of what is kept."""
UNTIL_TAKEN = 2.0
"""For how many seconds a worker that stops waits for the activities that take over what is done already."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class GoingOn:
    """Those of one worker, by the execution, the place and the number in that execution that each is made for."""

    _calls: dict[str, asyncio.Task[Any]] = field(default_factory=dict)
    _taken: Counter[str] = field(default_factory=Counter)
    _made: dict[str, tuple[Any, ApplicationError | None]] = field(default_factory=dict)
    _queue: str | None = None
    _serve: Callable[[str], Coroutine[Any, Any, None]] | None = None
    _served: asyncio.Task[None] | None = None
    _worker: Worker | None = None

    def serves(
        self, client: Client, task_queue: str, activities: Sequence[Callable[..., Any]], most: int
    ) -> None:
        """Take calls over by a queue of *client*, at most so many at a time."""

        async def serve(queue: str) -> None:
            self._worker = Worker(
                client,
                task_queue=queue,
                activities=activities,
                max_concurrent_activities=most,
                activity_task_poller_behavior=PollerBehaviorSimpleMaximum(2),
                graceful_shutdown_timeout=timedelta(seconds=1),
                max_heartbeat_throttle_interval=timedelta(seconds=1),
                build_id="wfe",
            )
            forgets_ended_calls(self._worker)
            await self._worker.run()

        self._queue, self._serve = f"{task_queue}/{uuid.uuid4().hex}", serve

    async def briefly(self, key: str, work: Work, seconds: float) -> Any:
        """What *work* gives, if it does within so many *seconds*; else it goes on, and `goes_on` says where.

        What is under way, or was done just now, under the same *key* is not done again. While too much goes on nothing
        is begun, and left to an activity (`unsuited`).
        """
        if key in self._made:
            result, error = self._made[key]
            if error is not None:
                raise _anew(error)
            return result
        task = self._calls.get(key)
        if task is None:
            if len(self._calls) >= MOST or (self._served is not None and self._served.done()):
                raise unsuited(FULL)  # nobody could take it over
            task = self._calls[key] = asyncio.create_task(work())
            task.add_done_callback(_seen)
        try:
            done, _ = await asyncio.wait([task], timeout=seconds)
            if not done and not self._serves():
                await asyncio.wait([task])
        except asyncio.CancelledError:
            await self._stop(key, task)
            raise
        if not task.done():
            asyncio.get_running_loop().call_later(UNCLAIMED, self._give_up, key)
            raise goes_on(self._queue)
        self._calls.pop(key, None)
        self._keep(key, task)
        return task.result()

    async def taken(self, key: str) -> Any:
        """What the call comes to that goes on under *key*.

        Who was late with a heartbeat is cancelled while another waits here in its place: the call is stopped only when
        nobody waits for it any longer.
        """
        task = self._calls.get(key)
        if task is None:
            raise unsuited(GONE)
        self._taken[key] += 1
        try:
            with heartbeat():
                await asyncio.wait([task])
        except asyncio.CancelledError:
            if self._taken[key] == 1:
                await self._stop(key, task)
            raise
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]
                self._calls.pop(key, None)
        if task.cancelled():  # the worker stops
            raise unsuited(GONE)
        return task.result()

    async def close(self, seconds: float) -> None:
        """The worker has stopped: finish what goes on, within so many *seconds*, and serve the queue no longer."""
        if self._calls:
            _, left = await asyncio.wait(self._calls.values(), timeout=seconds)
            for task in left:
                task.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(UNTIL_TAKEN):
                    while self._calls:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
        if self._worker is not None and self._served is not None and not self._served.done():
            await self._worker.shutdown()
            await asyncio.wait([self._served])

    def _serves(self) -> bool:
        """Whether there is a worker that takes over, as there is from now on."""
        if self._serve is None or self._queue is None:
            return False
        if self._served is None:
            self._served = asyncio.create_task(self._serve(self._queue))
            self._served.add_done_callback(_told)
        return not self._served.done()

    async def _stop(self, key: str, task: asyncio.Task[Any]) -> None:
        self._calls.pop(key, None)
        task.cancel()
        await asyncio.wait([task])

    def _give_up(self, key: str) -> None:
        if key in self._calls and key not in self._taken:
            self._calls.pop(key).cancel()

    def _keep(self, key: str, task: asyncio.Task[Any]) -> None:
        """Keep what a call came to: a result that is not large, or a fault."""
        if task.cancelled():
            return
        error = task.exception()
        kept: tuple[Any, ApplicationError | None] | None = None
        if error is None:
            kept = (task.result(), None) if size(task.result(), LARGEST_KEPT) <= LARGEST_KEPT else None
        elif isinstance(error, ApplicationError) and fault_of(error) is not None:
            kept = (None, _anew(error)) if size([*error.details], LARGEST_KEPT) <= LARGEST_KEPT else None
        if kept is not None:
            while len(self._made) >= MOST_KEPT:
                del self._made[next(iter(self._made))]
            self._made[key] = kept
            asyncio.get_running_loop().call_later(KEPT, self._made.pop, key, None)


class Closing(SimplePlugin):
    """Has a worker finish what is in *going_on* once it stops, within so many seconds of when it was told to."""

    def __init__(self, going_on: GoingOn, seconds: float) -> None:
        super().__init__("going-on")
        self._going_on, self._seconds = going_on, seconds

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        running: asyncio.Future[None] = asyncio.ensure_future(next(worker))
        stopped = asyncio.create_task(stops(worker))
        until = loop.time()
        try:
            await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
            until = loop.time() + self._seconds
            await asyncio.wait([running])
        finally:
            stopped.cancel()
            running.cancel()
            await asyncio.wait([running])
            await self._going_on.close(max(until - loop.time(), 0.0))
        running.result()


def _seen(task: asyncio.Task[Any]) -> None:
    """Nobody may ever ask for the failure of a call."""
    if not task.cancelled():
        task.exception()


def _told(served: asyncio.Task[None]) -> None:
    if not served.cancelled() and (error := served.exception()) is not None:
        _log.error("calls that take long are no longer taken over: %s", error, exc_info=error)


def _anew(error: ApplicationError) -> ApplicationError:
    """*error* without the frames it went through: they keep the arguments of the call, and what was answered."""
    return ApplicationError(
        error.message,
        *error.details,
        type=error.type,
        non_retryable=error.non_retryable,
        category=error.category,
    )


def size(value: Any, most: int) -> int:
    """How many parts and tens of characters *value* has; something above *most* where it has more."""
    if isinstance(value, RawValue):
        return 1 + value.payload.ByteSize() // 10
    if isinstance(value, str):
        return 1 + len(value) // 10
    if not isinstance(value, dict | list):
        return 1
    parts = 1
    for part in value.values() if isinstance(value, dict) else value:
        parts += size(part, most - parts)
        if parts > most:
            break
    return parts
