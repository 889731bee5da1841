"""`Interim`: has calls follow each other within one workflow task, and loses nothing of what they gave.

A workflow task is recorded as a whole, when it ends. What a call gave is put into the store before the next one is
begun; the last one needs no store, for nothing is done after it that the history does not have with it. When the task
has to be done again, because its worker died or its answer was lost, calls are not made again that are in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import DataConverter

from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.runtimes.temporal.failures import TO_BE_RECORDED, unsuited
from workflow_engine.runtimes.temporal.going_on import size
from workflow_engine.runtimes.temporal.interim.port import InterimStore
from workflow_engine.runtimes.temporal.payloads.references import is_reference

LONGEST = 0.5
"""For so many seconds calls follow each other in a task. Whoever signals or asks the run waits for its end."""
MOST = 100
"""So many of them at most; and `LARGEST` parts and tens of characters are what they may all give: the server takes 4 MB
of a task, and keeps it as a whole."""
LARGEST = 5_000
ANSWERS = 1.0
"""Within so many seconds the store has to answer: a workflow task waits for it."""
CLOSES = 5.0
"""For so many seconds a worker that stops waits for one that does not answer any more."""
PAUSE = 5.0
"""For so many seconds one that did not is not asked again."""
AFTER = 60.0
"""So many seconds after it is in the history, a result is forgotten."""
TIDY = 5.0
ORPHANED = 7 * 86_400.0
"""After so many seconds what is left is forgotten of executions that ended where nobody knew of it."""
HOUR = 3600.0
BATCH = 10_000
FORGOTTEN = 100_000
"""So many results are forgotten at a time, and are remembered to be; those beyond are when they are old."""
HELD = 10_000
"""Of how many runs it is known that the store has something; of those beyond it is forgotten when it is old."""
TASKS = 1000
"""Of how many runs it is known what they did in their current task: as many as a worker has in memory."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Task:
    """What was done in the current workflow task of a run, which began with the call *first*."""

    first: str
    began: float
    room: int
    unkept: dict[str, Any] = field(default_factory=dict)
    found: Mapping[str, bytes] | None = None
    number: int = 0
    kept: list[str] = field(default_factory=list)
    lost: bool = False
    """Whether something cannot be kept, so that it is to be in the history before anything else is done."""


class Interim:
    """The interim results of one worker; use it in ``async with``, which forgets meanwhile what is recorded."""

    def __init__(self, open: Callable[[], Awaitable[InterimStore]], converter: DataConverter) -> None:
        """*open* opens the store. *converter* is that of the runs: what is kept is encrypted if they are."""
        self._open, self._converter = open, converter
        self._store: InterimStore | None = None
        self._opening: asyncio.Task[InterimStore] | None = None
        self._asked_again = 0.0
        self._tasks: dict[str, _Task] = {}
        self._holds: dict[str, None] = {}
        self._recorded: deque[tuple[float, str, str | None]] = deque(maxlen=FORGOTTEN)
        self._away = False
        self._closing: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[Self]:
        """Until the block ends, with the store open. `Rejected` where it cannot be one; one that does not work yet is
        tried again.
        """
        try:
            await self._opened()
        except Unavailable as error:
            self._does_not_work(error)
        tidying = asyncio.create_task(self._tidy(), name="interim results")
        try:
            yield self
        finally:
            tidying.cancel()
            await asyncio.gather(tidying, return_exceptions=True)
            with contextlib.suppress(Exception):
                async with asyncio.timeout(ANSWERS):
                    while self._recorded:
                        await self._forget(math.inf)
            self._left()
            if self._opening is not None:
                self._opening.cancel()
                self._closing.add(self._opening)
            if self._closing:
                await asyncio.wait(self._closing, timeout=CLOSES)

    async def _opened(self) -> InterimStore:
        """The store. It goes on being opened when whoever asked for it waits no longer."""
        if self._store is not None:
            return self._store
        if self._opening is None:
            self._opening = asyncio.create_task(self._open_anew())
            self._opening.add_done_callback(_seen)
        return await asyncio.shield(self._opening)

    async def _open_anew(self) -> InterimStore:
        try:
            self._store = await self._open()
        finally:
            self._opening = None
        return self._store

    async def call(self, execution: str, key: str, make: Callable[[], Awaitable[Any]], *, after: bool) -> Any:
        """What the call *key* gave when it was made before in the same task, else what *make* gives.

        *after*: something was done before it in this task, so that has to be kept first; `unsuited` where it cannot be,
        or the task is to end.
        """
        task = self._task(execution, key, after)
        found = await self._found(execution, task)
        if key in found:  # nothing is done, so nothing has to be kept before
            task.kept.append(key)
            result: Any = await self._decoded(found[key])
        else:
            if after:
                await self._ready(execution, task)
            result = await make()
        self._give(task, key, result)
        return result

    async def event(self, execution: str, key: str, *, after: bool) -> None:
        """The same for an event that is to be published: the router knows one that it is given again."""
        task = self._task(execution, key, after)
        if after:
            await self._ready(execution, task)

    def let_go(self, execution: str, *, ended: bool) -> None:
        """The worker has let go of a run; *ended*: with its last task, which the server has taken."""
        self._tasks.pop(execution, None)
        if ended and execution in self._holds:
            del self._holds[execution]
            self._recorded_now([(execution, None)])

    def _task(self, execution: str, key: str, after: bool) -> _Task:
        """The workflow task in which the call *key* is made, or the event is published."""
        task = self._tasks.get(execution)
        if after and task is not None:
            return task
        if task is not None and task.first != key:  # otherwise it is done again
            self._recorded_now((execution, kept) for kept in task.kept)
        self._tasks.pop(execution, None)
        while len(self._tasks) >= TASKS:
            del self._tasks[next(iter(self._tasks))]
        # Of one that began with something else nobody knows what was done in it.
        task = self._tasks[execution] = _Task(key, asyncio.get_running_loop().time(), LARGEST, lost=after)
        return task

    async def _ready(self, execution: str, task: _Task) -> None:
        """Return once what was done in the task is kept; `unsuited` where it cannot be, or the task is to end."""
        late = asyncio.get_running_loop().time() - task.began > LONGEST
        if late or task.lost or task.number >= MOST:
            raise unsuited(TO_BE_RECORDED)
        if task.unkept:
            await self._keep(execution, task)

    async def _keep(self, execution: str, task: _Task) -> None:
        results, task.unkept = task.unkept, {}
        task.lost = True  # until they are kept, whatever comes in between
        self._kept(execution, task, results)
        encoded = {key: await self._encoded(result) for key, result in results.items()}
        if not await self._asked(lambda store: store.keep(execution, encoded)):
            raise unsuited(TO_BE_RECORDED)
        task.lost = False

    async def _found(self, execution: str, task: _Task) -> Mapping[str, bytes]:
        if task.found is None:
            found: dict[str, bytes] = {}

            async def look(store: InterimStore) -> None:
                found.update(await store.of(execution))

            task.lost = not await self._asked(look) or task.lost
            task.found = found
            if found:
                self._kept(execution, task, ())  # those that this task comes to are its own
        return task.found

    def _give(self, task: _Task, key: str, result: Any) -> None:
        needs = size(result, task.room)
        if needs > task.room:
            task.lost = True
        else:
            task.unkept[key] = result
            task.room -= needs
            task.number += 1

    async def _asked(self, work: Callable[[InterimStore], Awaitable[None]]) -> bool:
        """Have the store do *work*; False where it does not work, or has not a moment ago."""
        if asyncio.get_running_loop().time() < self._asked_again:
            return False
        try:
            async with asyncio.timeout(ANSWERS):
                await work(await self._opened())
        except Exception as error:  # noqa: BLE001  whatever it is, no run waits for the store
            self._does_not_work(error)
            return False
        if self._away:
            _log.info("the interim store works again")
        self._away = False
        return True

    def _does_not_work(self, error: Exception) -> None:
        self._asked_again = asyncio.get_running_loop().time() + PAUSE
        self._left()
        if not self._away:
            slow = isinstance(error, TimeoutError) and not str(error)
            reason = f"the interim store does not answer within {ANSWERS:g} s" if slow else _shown(error)
            _log.warning("meanwhile each call is recorded before the next one is made: %s", reason)
        self._away = True

    def _left(self) -> None:
        """Let go of the store, to be opened anew: it may have been emptied, or be another one now."""
        store, self._store = self._store, None
        if store is not None:
            closing = asyncio.create_task(store.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closed)

    def _closed(self, closing: asyncio.Task[None]) -> None:
        self._closing.discard(closing)
        if not closing.cancelled() and (error := closing.exception()) is not None:
            _log.warning("the interim store could not be closed: %s", _shown(error))

    def _kept(self, execution: str, task: _Task, keys: Iterable[str]) -> None:
        task.kept += keys
        while len(self._holds) >= HELD:
            del self._holds[next(iter(self._holds))]
        self._holds[execution] = None

    def _recorded_now(self, calls: Iterable[tuple[str, str | None]]) -> None:
        until = asyncio.get_running_loop().time() + AFTER
        self._recorded.extend((until, execution, key) for execution, key in calls)

    async def _tidy(self) -> None:
        loop = asyncio.get_running_loop()
        prune_at = loop.time() + HOUR * random.random()  # noqa: S311  not all workers at a time
        while True:
            await asyncio.sleep(TIDY)
            try:
                await self._forget(loop.time())
                if loop.time() > prune_at:
                    prune_at = loop.time() + HOUR
                    store = await self._opened()
                    if left := await store.prune(time.time() - ORPHANED):
                        _log.info("forgot %d interim results of runs that ended elsewhere", left)
            except (Unavailable, Conflict, TimeoutError):
                continue  # who asks for more than that tells of it
            except Exception as error:  # noqa: BLE001  otherwise nothing would ever be forgotten
                _log.warning("interim results are not forgotten yet: %s", _shown(error))

    async def _forget(self, now: float) -> None:
        due = list(itertools.takewhile(lambda each: each[0] <= now, itertools.islice(self._recorded, BATCH)))
        if due:
            executions = [execution for _, execution, key in due if key is None]
            calls = [(execution, key) for _, execution, key in due if key is not None]
            await (await self._opened()).forget(executions, calls)
            for _ in due:
                self._recorded.popleft()

    async def _encoded(self, result: Any) -> bytes:
        """A claim of what is in the payload store stays one."""
        raw = isinstance(result, RawValue)
        payload = result.payload if raw else self._converter.payload_converter.to_payload(result)
        if self._converter.payload_codec is not None and not is_reference(payload):
            [payload] = await self._converter.payload_codec.encode([payload])
        return bytes(payload.SerializeToString())

    async def _decoded(self, kept: bytes) -> RawValue:
        payload = Payload.FromString(kept)
        if self._converter.payload_codec is not None and not is_reference(payload):
            [payload] = await self._converter.payload_codec.decode([payload])
        return RawValue(payload)


def _seen(task: asyncio.Task[Any]) -> None:
    """Nobody may wait for it any longer."""
    if not task.cancelled():
        task.exception()


def _shown(error: BaseException) -> str:
    return str(error) or type(error).__name__
