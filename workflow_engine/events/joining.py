"""The subscriptions of one channel: those that the dispatcher serves, and those that still catch up with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import orjson

from workflow_engine.errors import NotFound
from workflow_engine.events.listeners import Collecting, Step, Subscriber
from workflow_engine.events.outages import report
from workflow_engine.events.records import Position
from workflow_engine.events.spi import Fenced
from workflow_engine.events.subscriptions import Subscription

if TYPE_CHECKING:
    from workflow_engine.events.dispatch import Dispatcher

CATCH_UP = 100
"""How many events a subscription takes up with one commit while it catches up."""
CENTURY_US = 100 * 365 * 86_400_000_000
"""For how long to join where the store has one owner anyway."""

_log = logging.getLogger(__name__)


class Subscribers:
    """Subscriptions of a channel by id.

    A subscription has **joined** when the dispatcher offers it what comes, from certain offsets on. Before that
    it has a cursor of its own, in a group of its name, and reads the log by itself until it meets the
    dispatcher; then its place and its collections move over in one commit. Pausing is the way back.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._subscribers: dict[str, Subscriber] = {}
        self._starts: dict[str, dict[int, int]] = {}
        self._joined: dict[str, dict[int, int]] = {}
        self._catching_up: dict[str, asyncio.Task[None]] = {}
        self._timed: set[str] = set()

    def __len__(self) -> int:
        return len(self._subscribers)

    def __contains__(self, id: str) -> bool:
        return id in self._subscribers

    def get(self, id: str) -> Subscription | None:
        """The subscription as it is served."""
        return self._subscribers[id].subscription if id in self._subscribers else None

    @property
    def catching_up(self) -> int:
        """How many are still reading what is behind the dispatcher."""
        return len(self._catching_up)

    def wants(self, subscriber: Subscriber, position: Position) -> bool:
        """Whether *position* is not before the place where the subscription joined."""
        joined = self._joined.get(subscriber.subscription.id)
        return joined is None or position.offset >= joined.get(position.partition, 0)

    async def needed(self) -> list[Position]:
        """The first events that subscriptions still need, as far as the dispatcher has passed them."""
        dispatcher = self._dispatcher
        needed = [
            at
            for item in self._subscribers.values()
            for kept in item.collections.values()
            for at in kept.events
        ]
        for id, subscriber in self._subscribers.items():
            if id not in self._joined:
                committed = await dispatcher.store.committed(dispatcher.name, subscriber.group)
                needed += [Position(part, off) for part, off in {**self._starts[id], **committed}.items()]
        return needed

    def first_late(self) -> int | None:
        """When the time of a collection is over first, of those that have joined; None where none has one."""
        times = [
            kept.until_us
            for id in self._timed & self._joined.keys()
            for kept in self._subscribers[id].collections.values()
            if kept.until_us is not None
        ]
        return min(times, default=None)

    def forget(self, time_us: int, step: Step) -> None:
        """Forget what those that have joined gathered, and for which it is too late by *time_us*."""
        for id in self._timed & self._joined.keys():
            self._subscribers[id].forget(time_us, step)

    async def load(
        self, state: Mapping[str, bytes], subscriptions: Mapping[str, tuple[Subscription, dict[int, int]]]
    ) -> None:
        """Take up *subscriptions*; what *state* has of others, which were deleted, is removed."""
        stale = []
        for key, value in state.items():
            kind, _, name = key.partition("/")
            id = unquote(name.partition("/")[0])
            if kind not in ("joined", "collecting"):
                continue
            if id not in subscriptions:
                stale.append(key)
            elif kind == "joined":
                self._joined[id] = {int(part): off for part, off in orjson.loads(value).items()}
        if stale:
            await self._write(dict.fromkeys(stale))
        for subscription, starts in subscriptions.values():
            subscriber = Subscriber(subscription)
            subscriber.collections = _collections(subscriber, state)
            await self._take_up(subscriber, starts)

    async def put(self, subscription: Subscription, starts: dict[int, int]) -> None:
        """Serve a subscription from now on, new or changed. The lock is held."""
        old = self._subscribers.get(subscription.id)
        await self._cancel(subscription.id)
        subscriber = Subscriber(subscription)
        if old is not None:
            self._dispatcher.index.remove(old)
            if old.prefix == subscriber.prefix:
                subscriber.collections = old.collections
            elif old.collections:
                await self._write(dict.fromkeys(map(old.key, old.collections)))
        await self._take_up(subscriber, starts)

    async def _take_up(self, subscriber: Subscriber, starts: dict[int, int]) -> None:
        id = subscriber.subscription.id
        self._subscribers[id], self._starts[id] = subscriber, starts
        (self._timed.discard if subscriber.subscription.within is None else self._timed.add)(id)
        if id in self._joined:
            if subscriber.subscription.enabled:
                self._dispatcher.index.add(subscriber, subscriber.interests())
            else:
                await self._part(subscriber)
        elif subscriber.subscription.enabled:
            at = await self._place(subscriber)
            if self._behind(at):
                self._catching_up[id] = asyncio.create_task(self._catch_up(subscriber), name=f"catch up {id}")
            else:
                await self._join(subscriber, at)

    async def _place(self, subscriber: Subscriber) -> dict[int, int]:
        """Where a subscription that has not joined is; its collections are read as of there."""
        dispatcher, store = self._dispatcher, self._dispatcher.store
        at = {**dict.fromkeys(dispatcher.cursor, 0), **self._starts[subscriber.subscription.id]}
        at |= await store.committed(dispatcher.name, subscriber.group)
        states = await store.states(dispatcher.name, subscriber.group)
        subscriber.collections = _collections(subscriber, states)
        return at

    def _behind(self, at: Mapping[int, int]) -> bool:
        return any(at[part] < off for part, off in self._dispatcher.cursor.items())

    async def delete(self, id: str) -> None:
        """Forget a subscription, its place and its deliveries. The lock is held."""
        subscriber = self._subscribers.pop(id, None)
        if subscriber is None:
            return
        await self._cancel(id)
        self._timed.discard(id)
        self._dispatcher.index.remove(subscriber)
        self._joined.pop(id, None)
        self._starts.pop(id, None)
        gone = [f"joined/{quote(id, safe='')}", *map(subscriber.key, subscriber.collections)]
        await self._write(dict.fromkeys(gone))
        await self._dispatcher.store.drop_group(self._dispatcher.name, subscriber.group)
        await self._dispatcher.store.discard(subscriber.group)

    async def stop(self) -> None:
        """Stop catching up; the next start goes on with it."""
        for id in list(self._catching_up):
            await self._cancel(id)

    async def _cancel(self, id: str) -> None:
        task = self._catching_up.pop(id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _write(self, state: Mapping[str, bytes | None]) -> None:
        dispatcher = self._dispatcher
        await dispatcher.commit(Step(dispatcher.name, dispatcher.now_us()), state=state)

    async def _part(self, subscriber: Subscriber) -> None:
        """Give a paused subscription its own cursor. The lock is held."""
        dispatcher, id = self._dispatcher, subscriber.subscription.id
        joined = self._joined[id]
        place = {part: max(off, joined.get(part, 0)) for part, off in dispatcher.cursor.items()}
        kept = {subscriber.key(n): item.to_bytes() for n, item in subscriber.collections.items()}
        store = dispatcher.store
        await store.drop_group(dispatcher.name, subscriber.group)
        held = await store.join(
            dispatcher.name, subscriber.group, dispatcher.member, dispatcher.now_us(), CENTURY_US
        )
        await store.commit(held, place, state=kept)
        await self._write(dict.fromkeys([f"joined/{quote(id, safe='')}", *kept]))
        del self._joined[id]

    async def _catch_up(self, subscriber: Subscriber) -> None:
        pause = 0.05
        while True:
            try:
                await self._follow(subscriber)
            except NotFound:
                return  # the channel was dropped
            except Exception as error:  # noqa: BLE001  a bug must not stop all the others
                report(_log, error, "%s waits to catch up: %s", subscriber.group, error)
                if isinstance(error, Fenced):
                    self._dispatcher.let_go()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                return

    async def _follow(self, subscriber: Subscriber) -> None:
        """Read from the subscription's own cursor to the dispatcher's, and join there."""
        dispatcher, store, name = self._dispatcher, self._dispatcher.store, self._dispatcher.name
        held = await store.join(name, subscriber.group, dispatcher.member, dispatcher.now_us(), CENTURY_US)
        at = await self._place(subscriber)
        while True:
            step = Step(name, dispatcher.now_us())
            count = 0
            async with aclosing(dispatcher.history(at, dict(dispatcher.cursor))) as history:
                async for stored in history:
                    await dispatcher.offer(stored, [subscriber], step)
                    count += 1
                    if count == CATCH_UP:
                        break
            if count:
                await store.commit(
                    held, at, outbox=step.outbox, state=step.state, ledger=step.ledger, sync=False
                )
                dispatcher.failed.update(step.failed)
                progress = step.progress.get(subscriber)
                if isinstance(progress, dict):
                    subscriber.collections = progress
                dispatcher.deliveries.wake()
            else:
                async with dispatcher.lock:
                    if not self._behind(at):
                        await self._join(subscriber, at)
                        return

    async def _join(self, subscriber: Subscriber, at: dict[int, int]) -> None:
        dispatcher, id = self._dispatcher, subscriber.subscription.id
        state: dict[str, bytes | None] = {
            subscriber.key(number): item.to_bytes() for number, item in subscriber.collections.items()
        }
        place = orjson.dumps({str(part): off for part, off in at.items()})
        await self._write({**state, f"joined/{quote(id, safe='')}": place})
        self._joined[id] = dict(at)
        dispatcher.index.add(subscriber, subscriber.interests())
        self._catching_up.pop(id, None)
        await dispatcher.store.drop_group(dispatcher.name, subscriber.group)


def _collections(subscriber: Subscriber, state: Mapping[str, bytes]) -> dict[int, Collecting]:
    found = {
        int(key.removeprefix(subscriber.prefix)): Collecting.from_bytes(value)
        for key, value in state.items()
        if key.startswith(subscriber.prefix)
    }
    return dict(sorted(found.items()))
