"""The dispatcher of one channel: it reads the log once, and offers every event to all who may want it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping

from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.events.cloudevents import decode
from workflow_engine.events.handing import HandingOut
from workflow_engine.events.index import InterestIndex
from workflow_engine.events.joining import CENTURY_US, Subscribers
from workflow_engine.events.listeners import Listener, Step, Subscriber, Waiter
from workflow_engine.events.outages import report
from workflow_engine.events.recent import RecentBodies
from workflow_engine.events.spi import Assignment, ChannelSpec, Fenced, Store, StoredRecord
from workflow_engine.events.subscriptions import Subscription
from workflow_engine.events.waiting import Waiters
from workflow_engine.filters import Impatient, patience
from workflow_engine.values import JsonObject

GROUP = "router"
"""The consumer group whose cursor says how far a channel is dispatched."""
BATCH = 100
"""How many events are dispatched with one commit at most."""
BREATH = 200
"""After how many listeners that are asked about one event everything else has a turn."""
IDLE = 3600.0
SLACK_US = 10_000_000
"""How long after its time a collection is forgotten to which nothing comes: clocks differ, and writing takes time."""

_log = logging.getLogger(__name__)


class _Decoded:
    """An event that is decoded when somebody asks for it, once."""

    __slots__ = ("_body", "_event")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._event: JsonObject | None = None

    def __call__(self) -> JsonObject:
        if self._event is None:
            self._event = decode(self._body)
        return self._event


def _slowly(listener: Listener, event: JsonObject, stored: StoredRecord, step: Step) -> None:
    with patience(quick=False):
        listener.offer(event, stored, step)


class Dispatcher:
    """Moves the cursor of a channel; what follows from an event is committed together with the cursor.

    So nothing is lost or done twice when the process dies: the next one goes on from the last commit. *deliveries*
    begins with those that follow.

    Where several processes share the store, one of them has the channel, and *lost* is told its name when that may have
    changed, or when it is not known whether a commit was made: this dispatcher commits nothing more then, and a new one
    has to begin from the store. Whoever begins joins under the same name, which fences the one before.
    """

    def __init__(
        self,
        store: Store,
        spec: ChannelSpec,
        *,
        member: str,
        now_us: Callable[[], int],
        deliveries: HandingOut,
        recent: RecentBodies,
        lost: Callable[[str], None] | None = None,
    ) -> None:
        self.store, self.spec, self.name = store, spec, spec.name
        self.member = member if lost is None else GROUP
        self._lost = lost
        self.now_us, self.deliveries, self._recent = now_us, deliveries, recent
        self.lock = asyncio.Lock()
        """Held while the cursor or the set of listeners changes."""
        self.index: InterestIndex[Listener] = InterestIndex()
        self.cursor: dict[int, int] = {}
        self.failed: Counter[str] = Counter()
        """How many events the filters of each subscription could not judge, and those of all runs, since this began."""
        self.subscribers = Subscribers(self)
        self.waiters = Waiters(self)
        self._held: Assignment | None = None
        self._behind_us = dict.fromkeys(range(spec.partitions), 0)
        """Up to which time partitions have been looked at of which more may be there already."""
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, subscriptions: Mapping[str, tuple[Subscription, dict[int, int]]]) -> None:
        """Take up the work where the store says, for *subscriptions* with the offsets that they began at."""
        await self._join()
        state = await self.store.states(self.name, GROUP)
        async with self.lock:
            await self.waiters.load(state)
            await self.subscribers.load(state, subscriptions)
        self._tasks = [
            asyncio.create_task(self._run(partition), name=f"dispatch {self.name}:{partition}")
            for partition in range(self.spec.partitions)
        ]

    async def stop(self) -> None:
        """Stop after the commit that is under way."""
        async with self.lock:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.subscribers.stop()

    async def _join(self) -> None:
        self._held = await self.store.join(self.name, GROUP, self.member, self.now_us(), CENTURY_US)
        committed = await self.store.committed(self.name, GROUP)
        self.cursor = {partition: committed.get(partition, 0) for partition in range(self.spec.partitions)}

    async def _run(self, partition: int) -> None:
        pause = 0.05
        while True:
            try:
                wait = self._patience(partition)
                batch = await self.store.read(
                    self.name, partition, self.cursor[partition], limit=BATCH, wait=wait
                )
                if batch:
                    await self._dispatch(partition, batch)
                    self._behind_us[partition] = batch[-1].time_us
                else:
                    self._behind_us.pop(partition, None)
                await self._forget_late()
                pause = 0.05
            except NotFound:
                return  # the channel was dropped
            except Exception as error:  # noqa: BLE001  a bug must not stop the channel for good
                at = self.cursor[partition]
                report(_log, error, "channel %s waits at %s:%s: %s", self.name, partition, at, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
                if isinstance(error, Fenced) and self._lost is None:
                    await self._rejoin()

    def _patience(self, partition: int) -> float:
        """How many seconds to wait for more events: where collections have a time, until it is over."""
        first = self.subscribers.first_late()
        if first is None:
            return IDLE
        if partition in self._behind_us:
            return 0.0
        return min(max((first + SLACK_US - self.now_us()) / 1e6, 0.05), IDLE)

    async def _forget_late(self) -> None:
        """Forget the collections for which it is too late, once nothing is unread that could have completed them."""
        first, read_us = (
            self.subscribers.first_late(),
            min([self.now_us(), *self._behind_us.values()]) - SLACK_US,
        )
        if first is None or first >= read_us:
            return
        async with self.lock:
            step = Step(self.name, self.now_us())
            self.subscribers.forget(read_us, step)
            if step.state:
                await self.commit(step)

    async def _rejoin(self) -> None:
        async with self.lock:
            with contextlib.suppress(Unavailable):
                await self._join()

    async def _dispatch(self, partition: int, batch: list[StoredRecord]) -> None:
        async with self.lock:
            if batch[0].position.offset < self.cursor[partition]:
                return
            step = Step(self.name, self.now_us())
            for stored in batch:
                event = _Decoded(stored.record.body)
                if listeners := self.index.candidates(stored.record.type, stored.record.source, event):
                    await self.offer(stored, listeners, step, event())
            wanted = {item.position for item in step.outbox}
            for stored in batch:
                if stored.position in wanted:
                    self._recent.put(self.name, stored.position, stored.record.body)
            await self.commit(step, {partition: batch[-1].position.offset + 1}, sync=False)

    async def offer(
        self, stored: StoredRecord, listeners: list[Listener], step: Step, event: JsonObject | None = None
    ) -> None:
        """Offer one event to *listeners*, in their order. A listener that fails takes nothing (fail closed)."""
        event = decode(stored.record.body) if event is None else event
        for number, listener in enumerate(listeners):
            if number % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            match listener:
                case Subscriber() if not self.subscribers.wants(listener, stored.position):
                    continue
                case Waiter() if self.waiters.has_consumed(listener.run_id, stored.position, step):
                    continue
            try:
                try:
                    with patience(quick=True):
                        listener.offer(event, stored, step)
                except Impatient:  # so that the other channels, and the API, have their turns meanwhile
                    await asyncio.to_thread(_slowly, listener, event, stored, step)
            except Exception as error:  # noqa: BLE001  one bad listener must not stop the channel
                _log.exception("%s cannot judge %s of channel %s", listener.group, stored.position, self.name)
                step.wrong(stored.position, listener.group, [f"{type(error).__name__}: {error}"])
        await asyncio.sleep(0)

    async def commit(
        self,
        step: Step,
        offsets: Mapping[int, int] | None = None,
        *,
        state: Mapping[str, bytes | None] | None = None,
        sync: bool = True,
    ) -> None:
        """Make *step* true, in the store and then here. The lock is held."""
        if self._held is None:
            raise Fenced(f"another dispatcher has {self.name}")
        try:
            taken = await self.deliveries.commit(
                self._held,
                offsets or {},
                outbox=step.outbox,
                state={**step.state, **(state or {})},
                ledger=step.ledger,
                sync=sync,
            )
        except (Fenced, Unavailable):
            self.let_go()
            raise
        try:
            self._apply(step, offsets or {})
        finally:
            self.deliveries.begin(taken)

    def _apply(self, step: Step, offsets: Mapping[int, int]) -> None:
        self.cursor |= offsets
        self.failed.update(step.failed)
        for listener, progress in step.progress.items():
            match listener, progress:
                case Subscriber(), dict():
                    listener.collections = progress
                case Waiter(), _ if not isinstance(progress, dict):
                    listener.waited = progress
                    if progress.complete:
                        self.index.remove(listener)
        self.waiters.consume(step)

    @property
    def shared(self) -> bool:
        """Whether other processes work on the store."""
        return self._lost is not None

    def let_go(self) -> None:
        """Commit nothing more, where another process may have the channel or know more of it."""
        if self._lost is not None:
            self._held = None
            self._lost(self.name)

    async def history(
        self, at: dict[int, int], bounds: Mapping[int, int], types: frozenset[str] | None = None
    ) -> AsyncGenerator[StoredRecord]:
        """The records from *at* up to *bounds*, in the order of being received; *at* moves along.

        With *types*, records of others may be left out. In the end *at* has reached *bounds*.
        """
        ahead: dict[int, list[StoredRecord]] = {}
        open_partitions = {partition for partition in at if at[partition] < bounds[partition]}
        while open_partitions:
            for partition in [number for number in open_partitions if not ahead.get(number)]:
                found = await self.store.read(self.name, partition, at[partition], limit=BATCH, types=types)
                ahead[partition] = [
                    stored for stored in reversed(found) if stored.position.offset < bounds[partition]
                ]
                if not ahead[partition]:
                    at[partition] = bounds[partition]
                    open_partitions.discard(partition)
            heads = [ahead[partition][-1] for partition in open_partitions]
            if heads:
                first = min(heads, key=lambda stored: (stored.time_us, stored.position))
                ahead[first.position.partition].pop()
                at[first.position.partition] = first.position.offset + 1
                yield first
