"""How much of large values the tasks of a worker have at the same time: they are taken up one after another.

The SDK fetches every value that a task of a run brings along before any code of ours runs, for all tasks that a worker
is given at once. So a task with large values waits here for its turn, before they are fetched. Whose turn comes first
goes first. Where there is no room, runs that rest are let go of (`weights`); where that does not help either and no
such task is under way, the next one goes all the same: the largest value always passes, and nobody waits for somebody
who waits. What is under way is never stopped.

The server gives a task ten seconds. One that would begin when most of them are over is left to be given out again, by
then with less before it: without that, each would be done just too late.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
import weakref
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import Worker

from workflow_engine.runtimes.temporal import inside
from workflow_engine.runtimes.temporal.held import HELD, READ
from workflow_engine.runtimes.temporal.loans import LOANS
from workflow_engine.runtimes.temporal.payloads.references import is_reference, size_of, weight_of
from workflow_engine.runtimes.temporal.weights import WEIGHTS, Weights

Handle = Callable[[WorkflowActivation], Awaitable[None]]
Evict = Callable[[str], None]
"""Lets go of a run, by the id of its execution; of one that is not there, nothing."""
Aside = Callable[[], AbstractContextManager[None]]
"""What a task waits in: it takes nothing from those that need not."""
PATIENCE = 9.0
"""A task that has waited for so many seconds does not begin any more, a large one less by what it takes."""
PACE = 150e6
"""How many bytes are read and parsed in a second, at the least."""
TAKEN_BACK = 10.5
"""After so many seconds the server has taken it back."""
PART = 8
"""One part in so many of what runs may have may be garbage."""
_LOOKS = 0.1
_SETTLES = 0.1
"""So many seconds after a run has done a part of a task it may be given another one: let go of amid a task, it would
have to wait until the server gives that out again.
"""
_LEAVES = 5.0
"""A run that was to be let go of so many seconds ago is not waited for."""
_log = logging.getLogger(__name__)


def patience(size: int) -> float:
    """How many seconds a task with so many bytes waits."""
    return max(PATIENCE / 4, PATIENCE - size / PACE)


class Admission:
    """Of the tasks of one worker. *evict* gives what lets go of a run, *rests* whether a run has nothing under way, or
    None where that will show in a moment. A task waits within *aside*.
    """

    def __init__(
        self,
        weights: Weights,
        evict: Callable[[], Evict | None],
        rests: Callable[[str], bool | None],
        aside: Aside = nullcontext,
    ) -> None:
        self._weights, self._evict, self._rests, self._aside = weights, evict, rests, aside
        self._waiting: deque[tuple[str, int, asyncio.Future[None]]] = deque()
        self._inside: Counter[str] = Counter()
        self._leaving: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def place(self, id: str, size: int) -> AsyncIterator[bool]:
        """Be given *size* bytes for the run *id* as soon as there is room; False when that took too long."""
        if not self._waiting and self._fits(size):
            self._enter(id, size)
        elif not await self._turn(id, size):
            yield False
            return
        try:
            yield True
        finally:
            self._leave(id)

    async def _turn(self, id: str, size: int) -> bool:
        """Wait for room, and have it; False when that takes too long."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (id, size, turn)
        self._waiting.append(entry)
        until = time.monotonic() + patience(size)
        try:
            with self._aside():
                while not turn.done() and time.monotonic() < until:
                    await asyncio.wait([turn], timeout=_LOOKS)
                    self._next()
        except asyncio.CancelledError:
            if turn.done():
                self._leave(id)
            raise
        finally:
            if not turn.done():
                self._waiting.remove(entry)
                self._next()
        return turn.done()

    def gone(self, id: str) -> int:
        """The worker has let go of the run *id*; how many bytes of large values it had."""
        self._leaving.pop(id, None)
        had = self._weights.gone(id)
        self._next()
        return had

    def look(self) -> bool:
        """Let go of runs that have rested, where they are too many; False when there is no worker any more."""
        let_go = self._evict()
        if let_go is None:
            return False
        for id in self._weights.too_many():
            let_go(id)
        self._next()
        return True

    def _enter(self, id: str, size: int) -> None:
        self._inside[id] += 1
        self._weights.reserve(id, size)

    def _leave(self, id: str) -> None:
        self._inside[id] -= 1
        if not self._inside[id]:
            del self._inside[id]
            self._weights.settle(id)
        self._next()

    def _next(self) -> None:
        while self._waiting and self._fits(self._waiting[0][1]):
            id, size, turn = self._waiting.popleft()
            self._enter(id, size)
            turn.set_result(None)

    def _fits(self, size: int) -> bool:
        over = self._weights.taken() + size - self._weights.most
        if over <= 0:
            return True
        return not self._make_room(over) and not self._inside and not self._leaving

    def _make_room(self, over: int) -> bool:
        """Let go of runs with *over* bytes; whether more may be let go of in a moment."""
        now, let_go = time.monotonic(), self._evict()
        self._leaving = {id: since for id, since in self._leaving.items() if now - since < _LEAVES}
        if let_go is None:
            return False
        soon = False
        for id, weight in self._weights.by_age():
            if over <= 0:
                return False
            if id not in self._leaving:
                rests = self._rests(id)
                soon = soon or rests is None
                if not rests:
                    continue
                self._leaving[id] = now
                let_go(id)
            over -= weight
        return soon


class Garbage:
    """What runs may leave in memory that are let go of: their frames, and what these hold, where they have failed.

    The interpreter looks for such when there are many objects, whatever their size; a few of them with large values
    would be as much as all runs that are kept may have. So it is told to look once they come to a part of that.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights, self._size = weights, 0

    def left(self, size: int) -> None:
        """A run has been let go of that had so many bytes."""
        self._size += size
        if self._size >= self._weights.most // PART:
            self._size = 0
            gc.collect()


def admit(made: Worker, weights: Weights = WEIGHTS, aside: Aside = nullcontext) -> None:
    """Have the tasks of the worker *made* wait for room, within *aside*. The SDK has no place for that: its own method
    is wrapped.
    """
    tasks = inside.Tasks(made)
    known, running = weakref.ref(made), tasks.running()
    at_work, left = Counter[str](), dict[str, float]()

    def evict() -> Evict | None:
        there = known()
        return None if there is None else inside.evicts(there)

    def rests(id: str) -> bool | None:
        if at_work[id] or inside.waits_for_local(running.get(id)):
            return False
        return True if time.monotonic() - left.get(id, 0.0) > _SETTLES else None

    admission, garbage = Admission(weights, evict, rests, aside), Garbage(weights)

    async def handled(handle: Handle, act: WorkflowActivation) -> None:
        began, id = time.monotonic(), act.run_id
        leaves = any(job.HasField("remove_from_cache") for job in act.jobs)
        size = 0 if leaves else claimed(act)
        at_work[id] += 1
        try:
            if leaves:
                there = running.get(id)
                await inside.has_ended(there)
                tasks.forget(id)
                await handle(act)
                LOANS.end(id)
                _empty(there)
                there = None
                if had := admission.gone(id):
                    garbage.left(had)
            elif not size:
                await handle(act)
            else:
                async with admission.place(id, size) as admitted:
                    if admitted:
                        await _whole(handle, act)
                if not admitted:
                    _log.warning(
                        "a task of the run %s waited %.1f s for room for its values, of %s MiB that there are, and is "
                        "given back: see WFE_PAYLOAD_MEMORY",
                        _id_of(act, running.get(id)),
                        patience(size),
                        weights.most // 2**20,
                    )
                    with aside():
                        await asyncio.sleep(max(0.0, began + TAKEN_BACK - time.monotonic()))
                    await inside.complete(made, _given_back(id))
        finally:
            at_work[id] -= 1
            if not at_work[id]:
                del at_work[id]
            if id in running:
                left[id] = time.monotonic()
            else:
                left.pop(id, None)

    tasks.wrap(lambda handle: partial(handled, handle))
    loop = asyncio.get_running_loop()

    def look() -> None:
        if admission.look():
            loop.call_later(weights.rests, look)

    loop.call_later(weights.rests, look)


async def _whole(handle: Handle, act: WorkflowActivation) -> None:
    """Do a task with large values. One that fails, since one of them is lost, must not leave the others behind."""
    read: list[bytes] = []
    before = READ.set(read)
    try:
        await handle(act)
    finally:
        READ.reset(before)
        HELD.drop(read)


def claimed(act: WorkflowActivation) -> int:
    """About how many bytes of memory the claims in *act* come to, fetched and parsed."""
    return sum(size_of(payload) + weight_of(payload) for payload in _payloads(act) if is_reference(payload))


def _payloads(act: WorkflowActivation) -> Iterator[Payload]:
    """Where large values are: those that a run begins with, what its calls and sub-flows came to, and events."""
    for job in act.jobs:
        match job.WhichOneof("variant"):
            case "initialize_workflow":
                yield from job.initialize_workflow.arguments
            case "resolve_activity":
                yield job.resolve_activity.result.completed.result
            case "resolve_child_workflow_execution":
                yield job.resolve_child_workflow_execution.result.completed.result
            case "signal_workflow":
                yield from job.signal_workflow.input
            case _:
                pass


def _id_of(act: WorkflowActivation, there: Any) -> str:
    """The id of the run that *act* is for."""
    begins = [job.initialize_workflow.workflow_id for job in act.jobs if job.HasField("initialize_workflow")]
    return begins[0] if begins else inside.workflow_id_of(there) or act.run_id


def _given_back(id: str) -> WorkflowActivationCompletion:
    completion = WorkflowActivationCompletion(run_id=id)
    completion.failed.failure.message = "there is no room for the values of the run; it is tried again"
    return completion


def _empty(there: Any) -> None:
    """Take a run apart that is let go of: it is a cycle, and garbage is collected at some later time, for more work
    than this.
    """
    run = inside.object_of(there)
    if run is not None:
        for emptied in (getattr(run, "_run", None), getattr(run, "_effects", None), run):
            if emptied is not None:
                vars(emptied).clear()
    inside.take_apart(there)
