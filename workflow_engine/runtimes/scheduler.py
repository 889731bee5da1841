"""A small deterministic scheduler: coroutines on a virtual clock, and real calls beside them.

The interpreter's coroutines are stepped by hand, in the order in which they become ready, so a run does the
same each time. Sleeping takes no real time: when nothing else can go on, the clock jumps to the next
sleeper. While a real call is under way the clock follows real time instead, so that a timeout around it
means what it says.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from workflow_engine.errors import Fault

T = TypeVar("T")


class Cancelled(BaseException):
    """Thrown into a coroutine that is no longer wanted."""


class Stalled(Exception):
    """Every coroutine waits for something that nobody will give."""


class Promise(Generic[T]):
    """A result to come; awaiting it parks the task until `resolve` or `fail`."""

    __slots__ = ("_error", "_listeners", "_value", "done")

    def __init__(self) -> None:
        self.done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._listeners: list[Callable[[], None]] = []

    def resolve(self, value: T) -> None:
        if not self.done:
            self.done, self._value = True, value
            self._tell()

    def fail(self, error: BaseException) -> None:
        if not self.done:
            self.done, self._error = True, error
            self._tell()

    def _tell(self) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def then(self, listener: Callable[[], None]) -> None:
        if self.done:
            listener()
        else:
            self._listeners.append(listener)

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    @property
    def error(self) -> BaseException | None:
        return self._error

    def __await__(self) -> Generator[Promise[T], None, T]:
        if not self.done:
            yield self
        return self.result()


class Task(Generic[T]):
    """A coroutine being stepped; `outcome` is its result."""

    __slots__ = ("_cancelled", "_coroutine", "_scheduler", "_waiting", "outcome")

    def __init__(self, scheduler: Scheduler, coroutine: Coroutine[Any, Any, T]) -> None:
        self._scheduler = scheduler
        self._coroutine = coroutine
        self._cancelled = False
        self._waiting: Promise[Any] | None = None
        self.outcome: Promise[T] = Promise()

    def cancel(self) -> None:
        """Throw `Cancelled` into the coroutine at its next step, once."""
        if not self.outcome.done and not self._cancelled:
            self._cancelled = True
            self._waiting = None
            self._scheduler.ready.append((self, Cancelled()))

    def interrupt(self) -> None:
        """Throw `Cancelled` into the coroutine at its next step, which may stop it and go on."""
        if not self.outcome.done and not self.cancelled:
            self._waiting = None
            self._scheduler.ready.append((self, Cancelled()))

    @property
    def cancelled(self) -> bool:
        """Whether it is no longer wanted."""
        return self._cancelled

    def step(self, error: BaseException | None) -> None:
        """Go on until the coroutine waits or ends."""
        self._scheduler.current = self
        try:
            promise = self._coroutine.throw(error) if error is not None else self._coroutine.send(None)
        except StopIteration as stop:
            self.outcome.resolve(stop.value)
        except BaseException as raised:  # noqa: BLE001 - the outcome carries it to whoever awaits it
            self.outcome.fail(raised)
        else:
            self._waiting = promise
            promise.then(lambda: self._wake(promise))

    def _wake(self, promise: Promise[Any]) -> None:
        if self._waiting is promise:
            self._waiting = None
            self._scheduler.ready.append((self, None))


class Scheduler:
    """Steps tasks; owns the clock. *start* is the first moment of the virtual clock, by default now.

    *still*: it stands still while a real call is under way, so that a run takes the same time each time.
    """

    def __init__(self, start: datetime | None = None, *, still: bool = False) -> None:
        self._still = still
        self._now = start if start is not None else datetime.now(UTC)
        self.ready: deque[tuple[Task[Any], BaseException | None]] = deque()
        self._sleepers: list[tuple[datetime, int, Promise[None]]] = []
        self._order = 0
        self._breathing: list[Promise[None]] = []
        self._computing = False
        self._calls: dict[asyncio.Future[Any], Promise[Any]] = {}
        self.giving_up = False
        """What is left is cancelled for nothing else can happen to it: nobody has asked for that."""
        self._nudged: asyncio.Future[None] | None = None
        self.current: Task[Any] | None = None
        """The one that is being stepped, or was last."""
        self._ending: set[asyncio.Future[Any]] = set()

    def now(self) -> datetime:
        return self._now

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        task = Task(self, coroutine)
        self.ready.append((task, None))
        return task

    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds* of virtual time."""
        promise = self.alarm(seconds)
        try:
            await promise
        finally:
            promise.resolve(None)  # of a sleeper that was cancelled: nobody is to be woken

    def alarm(self, seconds: float) -> Promise[None]:
        """What is resolved in *seconds* of virtual time; to resolve it before is to take it back."""
        promise: Promise[None] = Promise()
        self._order += 1
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), self._order, promise))
        return promise

    async def breathe(self, seconds: float = 0.0) -> None:
        """Let everything else go on that can, and the event loop around the scheduler too.

        Where nothing but computing happens, *seconds* of virtual time go by from one breath to the next.
        """
        if self._computing:
            self._now += timedelta(seconds=seconds)
            while self._sleepers and (self._sleepers[0][2].done or self._sleepers[0][0] <= self._now):
                heapq.heappop(self._sleepers)[2].resolve(None)
        self._computing = True
        promise: Promise[None] = Promise()
        self._breathing.append(promise)
        await promise

    async def real(self, work: Awaitable[T]) -> T:
        """Do *work* on the real event loop; when this task is cancelled, so is the work."""
        future = asyncio.ensure_future(work)
        promise: Promise[T] = Promise()
        self._calls[future] = promise
        try:
            return await promise
        finally:
            if self._calls.pop(future, None) is not None:
                future.cancel()
                self._ending.add(future)
                future.add_done_callback(self._ending.discard)

    async def ended(self, seconds: float) -> None:
        """Let the calls that were cancelled end, for at most so long: they may have connections to close."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=seconds)

    def nudge(self) -> None:
        """Something that is done by a real call may let a task go on, before the call is over."""
        if self._nudged is not None and not self._nudged.done():
            self._nudged.set_result(None)

    async def join(
        self, branches: Sequence[Callable[[], Awaitable[T]]], *, need: int, tolerant: bool
    ) -> Mapping[int, T]:
        """`Effects.join` on this scheduler."""

        async def run(branch: Callable[[], Awaitable[T]]) -> T:
            return await branch()

        tasks = [self.spawn(run(branch)) for branch in branches]
        settled: Promise[None] = Promise()

        def look() -> None:
            errors = [task.outcome.error for task in tasks if task.outcome.done]
            good = sum(error is None for error in errors)
            fatal = [
                error for error in errors if error is not None and not (tolerant and isinstance(error, Fault))
            ]
            if fatal or good >= need or good + len(tasks) - len(errors) < need:
                settled.resolve(None)

        for task in tasks:
            task.outcome.then(look)
        look()
        try:
            await settled
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                await _ended(task)
        done = {
            number: task.outcome.result() for number, task in enumerate(tasks) if task.outcome.error is None
        }
        if len(done) >= need and not any(_fatal(task.outcome.error, tolerant=tolerant) for task in tasks):
            return dict(list(done.items())[:need])
        raise next(
            error
            for severe in (True, False)
            for task in tasks
            if (error := task.outcome.error) is not None
            and not isinstance(error, Cancelled)
            and (_fatal(error, tolerant=tolerant) or not severe)
        )

    async def drive(self, main: Coroutine[Any, Any, T]) -> T:
        """Run *main* and whatever it spawns until *main* ends, on the running event loop.

        `Stalled` when *main* waits for what nobody will give; it has been cancelled then.
        """
        task = self.spawn(main)
        try:
            await self._go_on(task)
        finally:
            self._give_up([task])
        return task.outcome.result()

    async def settle(self, tasks: Sequence[Task[Any]]) -> None:
        """Let *tasks* end, which nobody awaits; those that wait for what nobody will give are cancelled."""
        try:
            for task in tasks:
                with suppress(Stalled):
                    await self._go_on(task)
        finally:
            self._give_up(tasks)

    async def _go_on(self, task: Task[Any]) -> None:
        while not task.outcome.done:
            if self.ready:
                current, error = self.ready.popleft()
                if not current.outcome.done:
                    current.step(error)
            elif self._breathing:
                await asyncio.sleep(0)
                self._answer({future for future in self._calls if future.done()})
                breathing, self._breathing = self._breathing, []
                for promise in breathing:
                    promise.resolve(None)
            elif self._calls:
                await self._follow_real_time()
            elif not self._wake_next():
                raise Stalled

    def _give_up(self, tasks: Sequence[Task[Any]]) -> None:
        """Cancel what has not ended of *tasks*, and let everything below it end."""
        self.giving_up = True
        for task in tasks:
            task.cancel()
        while any(not task.outcome.done for task in tasks) and self.ready:
            current, error = self.ready.popleft()
            if not current.outcome.done:
                current.step(error)
        self.giving_up = False

    async def _follow_real_time(self) -> None:
        """Let the calls go on until one is done, or the next sleeper's time has come."""
        loop = asyncio.get_running_loop()
        began, virtual = loop.time(), self._now
        patience = None
        while self._sleepers and self._sleepers[0][2].done:
            heapq.heappop(self._sleepers)
        if self._sleepers and not self._still:
            patience = max(0.0, (self._sleepers[0][0] - virtual).total_seconds())
        self._nudged = loop.create_future()
        done, _ = await asyncio.wait(
            {*self._calls, self._nudged}, timeout=patience, return_when=asyncio.FIRST_COMPLETED
        )
        self._computing = False
        if not self._still:
            self._now = virtual + timedelta(seconds=loop.time() - began)
        if not done:
            self._wake_next()
        self._answer(done)

    def _answer(self, done: Collection[asyncio.Future[Any]]) -> None:
        """Hand on what the calls that are *done* came to, in the order in which they began."""
        for future in [future for future in self._calls if future in done]:
            promise = self._calls.pop(future)
            error = future.exception()
            if error is not None:
                promise.fail(error)
            else:
                promise.resolve(future.result())

    def _wake_next(self) -> bool:
        """Jump to the earliest sleeper; False when nobody sleeps."""
        while self._sleepers:
            moment, _, promise = heapq.heappop(self._sleepers)
            if not promise.done:
                self._now = max(self._now, moment)
                self._computing = False
                promise.resolve(None)
                return True
        return False


def _fatal(error: BaseException | None, *, tolerant: bool) -> bool:
    """Whether *error* ends a join by itself: not a lost branch, not one that the join cancelled."""
    return (
        error is not None and not isinstance(error, Cancelled) and not (tolerant and isinstance(error, Fault))
    )


async def _ended(task: Task[Any]) -> None:
    """Return when *task* has ended, however."""
    ended: Promise[None] = Promise()
    task.outcome.then(lambda: ended.resolve(None))
    await ended
