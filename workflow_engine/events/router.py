"""The event router: publish, subscribe, listen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import orjson

from workflow_engine.errors import Conflict, NotFound, Rejected, Unavailable
from workflow_engine.events.cloudevents import MAX_EVENT, decode, records
from workflow_engine.events.deliveries import Deliverer
from workflow_engine.events.dispatch import Dispatcher
from workflow_engine.events.forwarding import ChannelTarget
from workflow_engine.events.letters import DEAD_LETTERS, letters, revived
from workflow_engine.events.looking import Looking
from workflow_engine.events.ports import Published
from workflow_engine.events.recent import RecentBodies
from workflow_engine.events.records import ChannelSpec, Position, microseconds
from workflow_engine.events.retention import trim
from workflow_engine.events.spi import Parked, Store
from workflow_engine.events.subscriptions import Subscription, check_channel, check_strategy, start_us
from workflow_engine.events.targets import CheckedTarget, Delivery, Target
from workflow_engine.values import Json, JsonObject

_SUBSCRIPTION = "subscription/"
_REDRIVEN = "redriven/"

_log = logging.getLogger(__name__)


class Router(Looking):
    """Embeds in any asyncio program. One router works on a store at a time; it owns the store and opens it.

    *targets* by kind; ``channel`` is built in, ``run`` gets what runs listen for. A channel that does not exist is
    created by the first who names it, with *partitions* and *dedupe* (seconds for which duplicates are found,
    ``None``: for ever). Events are kept for *retention* seconds at least, ``None``: until `trim`. *clock* tells
    seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        *,
        targets: Mapping[str, Target],
        clock: Callable[[], float] = time.time,
        max_event_bytes: int = MAX_EVENT,
        partitions: int = 1,
        dedupe: float | None = None,
        retention: float | None = None,
    ) -> None:
        self._store = store
        self._retention = retention
        self._retaining: asyncio.Task[None] | None = None
        self._clock = clock
        self._max_event_bytes = max_event_bytes
        self._defaults = (partitions, None if dedupe is None else int(dedupe * 1e6))
        self._member = f"router-{os.getpid()}-{id(self):x}"
        self._targets = {"channel": ChannelTarget(self.publish), **targets}
        self._dispatchers: dict[str, Dispatcher] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._limits: dict[str, int] = {}
        self._changing = asyncio.Lock()
        self._recent = RecentBodies()
        self._deliverer = Deliverer(
            store, self._targets, self, owner=self._member, now_us=self._now_us, recent=self._recent
        )

    def _now_us(self) -> int:
        return int(self._clock() * 1e6)

    async def start(self) -> None:
        """Open the store and go on with everything that is in it."""
        await self._store.open()
        by_channel: dict[str, dict[str, tuple[Subscription, dict[int, int]]]] = {}
        for entry in await self._store.entries(_SUBSCRIPTION):
            stored = orjson.loads(entry.value)
            subscription = Subscription.from_json(stored["subscription"])
            starts = {int(part): off for part, off in stored["starts"].items()}
            self._remember(subscription)
            by_channel.setdefault(subscription.channel, {})[subscription.id] = (subscription, starts)
        for spec in await self._store.channels():
            await self._begin(spec, by_channel.get(spec.name, {}))
        self._deliverer.start()
        if self._retention is not None:
            self._retaining = asyncio.create_task(self._retain(self._retention), name="retention")

    async def stop(self, grace: float = 10.0) -> None:
        """Take nothing more up, give deliveries that are under way *grace* seconds, close the store."""
        if self._retaining is not None:
            self._retaining.cancel()
            await asyncio.gather(self._retaining, return_exceptions=True)
        await self._deliverer.stop(grace)
        for dispatcher in self._dispatchers.values():
            await dispatcher.stop()
        self._dispatchers.clear()
        self._subscriptions.clear()
        self._limits.clear()
        await self._store.close()

    async def _begin(
        self, spec: ChannelSpec, subscriptions: Mapping[str, tuple[Subscription, dict[int, int]]]
    ) -> Dispatcher:
        dispatcher = Dispatcher(
            self._store,
            spec,
            member=self._member,
            now_us=self._now_us,
            wake=self._deliverer.wake,
            recent=self._recent,
        )
        await dispatcher.start(subscriptions)
        self._dispatchers[spec.name] = dispatcher
        return dispatcher

    async def _retain(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(min(max(seconds / 10, 1.0), 3600.0))
            for dispatcher in list(self._dispatchers.values()):
                try:
                    await trim(self._store, dispatcher, self._now_us() - int(seconds * 1e6))
                except Unavailable as error:
                    _log.warning("old events of %s stay for now: %s", dispatcher.name, error)

    async def check(self) -> None:
        """Raise `Unavailable` when the store cannot be written, or nothing is delivered."""
        await self._deliverer.check()

    # Channels and publishing

    async def create_channel(
        self, name: str, *, partitions: int | None = None, dedupe: float | None = None
    ) -> ChannelSpec:
        """Create a channel with other properties than the router's; one that is there comes back as it is.

        More partitions are dispatched in parallel; only events with the same key (``partitionkey``, or else
        ``subject``, or else ``source``) then keep their order. *dedupe* is in seconds, ``None`` for ever.
        """
        check_channel(name)
        count, window = self._defaults
        if partitions is not None:
            count = partitions
        if not 1 <= count <= 256:
            raise Rejected("partitions", "from 1 to 256", pointer="/partitions")
        if dedupe is not None:
            window = int(dedupe * 1e6)
        async with self._changing:
            if name not in self._dispatchers:
                await self._begin(await self._store.ensure_channel(ChannelSpec(name, count, window)), {})
            return self._dispatchers[name].spec

    async def _dispatcher(self, channel: str) -> Dispatcher:
        if channel not in self._dispatchers:
            await self.create_channel(channel)
        return self._dispatchers[channel]

    async def publish(self, channel: str, events: Sequence[Json]) -> list[Published]:
        """Store *events*, in order, all or nothing; when it returns they are durable.

        An event with the source and id of one that is there is a duplicate, whatever else it says: the answer
        is the position of the first. `Rejected` has the place of the first event that is wrong (``/0/source``).
        """
        check_channel(channel)
        if channel == DEAD_LETTERS:
            raise Rejected("channel-reserved", f"only the router writes to {DEAD_LETTERS}")
        batch = records(events, self._now_us(), max_bytes=self._max_event_bytes)
        if not batch:
            return []
        await self._dispatcher(channel)
        appended = await self._store.append(channel, batch)
        return [
            Published(record.id, str(answer.position), answer.duplicate)
            for record, answer in zip(batch, appended, strict=True)
        ]

    # Subscriptions

    async def put_subscription(self, subscription: Subscription) -> None:
        """Create it, or change the one of this id, which keeps its place in the log.

        Events that were taken towards a strategy which is not complete are let go when the strategy changes;
        deliveries that wait go to the new target. `Conflict` if it is on another channel.
        """
        subscription.check()
        kind = subscription.target["kind"]
        if kind not in self._targets or kind == "run":
            known = ", ".join(sorted(self._targets.keys() - {"run"}))
            raise Rejected(
                "target-kind", f"no target of kind {kind!r}; there are {known}", pointer="/target/kind"
            )
        if isinstance(target := self._targets[kind], CheckedTarget):
            target.check(subscription.target, "target")
        dispatcher = await self._dispatcher(subscription.channel)
        async with self._changing:
            old = self._subscriptions.get(subscription.id)
            if old is not None and old.channel != subscription.channel:
                raise Conflict(f"{subscription.id} is on channel {old.channel}; delete it first")
            async with dispatcher.lock:
                starts = await self._starts(subscription)
                await self._keep(subscription, starts)
                await dispatcher.subscribers.put(subscription, starts)
        self._deliverer.wake()

    def _remember(self, subscription: Subscription) -> None:
        self._subscriptions[subscription.id] = subscription
        self._limits[f"sub:{subscription.id}"] = subscription.max_in_flight if subscription.enabled else 0

    async def _starts(self, subscription: Subscription) -> dict[int, int]:
        entry = await self._store.get(_SUBSCRIPTION + subscription.id)
        if entry is not None:
            return {int(part): off for part, off in orjson.loads(entry.value)["starts"].items()}
        start, channel = start_us(subscription.start), subscription.channel
        partitions = range(self._dispatchers[channel].spec.partitions)
        return {part: await self._store.offset_at(channel, part, start) for part in partitions}

    async def seek(self, id: str, start: str) -> Subscription:
        """Let a subscription begin anew at *start*: ``latest``, ``earliest`` or a timestamp. What it has not delivered,
        and events that it took towards a strategy that is not complete, are let go. `NotFound` if there is none.
        """
        async with self._changing:
            moved = replace(self.get_subscription(id), start=start)
            at = start_us(start)
            dispatcher = self._dispatchers[moved.channel]
            async with dispatcher.lock:
                partitions = range(dispatcher.spec.partitions)
                starts = {part: await self._store.offset_at(moved.channel, part, at) for part in partitions}
                await dispatcher.subscribers.delete(id)
                await self._keep(moved, starts)
                await dispatcher.subscribers.put(moved, starts)
        self._deliverer.wake()
        return moved

    async def _keep(self, subscription: Subscription, starts: Mapping[int, int]) -> None:
        stored = {
            "subscription": subscription.to_json(),
            "starts": {str(part): offset for part, offset in starts.items()},
        }
        await self._store.put(_SUBSCRIPTION + subscription.id, orjson.dumps(stored))
        self._remember(subscription)

    async def delete_subscription(self, id: str) -> None:
        """Delete it with its place and its deliveries. `NotFound` if there is none."""
        async with self._changing:
            subscription = self.get_subscription(id)
            dispatcher = self._dispatchers[subscription.channel]
            async with dispatcher.lock:
                await self._store.delete(_SUBSCRIPTION + id)
                del self._subscriptions[id], self._limits[f"sub:{id}"]
                await dispatcher.subscribers.delete(id)

    def get_subscription(self, id: str) -> Subscription:
        """The subscription, or `NotFound`."""
        try:
            return self._subscriptions[id]
        except KeyError:
            raise NotFound("subscription", id) from None

    def subscriptions(self) -> list[Subscription]:
        """All of them, by id."""
        return [self._subscriptions[id] for id in sorted(self._subscriptions)]

    # Runs that listen

    async def listen(
        self, run_id: str, listen_id: str, spec: JsonObject, *, since: datetime, channel: str = "default"
    ) -> None:
        """Deliver the events that *spec* accepts to the run, in order: those received from *since* on, then
        those to come. Once it is complete the listener is done, but known until it is taken back.

        Doing it twice for the same ids is doing it once. An event that another listener of the run took is
        not taken again. `Conflict` if the listener is on another channel.
        """
        check_strategy(spec, "spec")
        check_channel(channel, "channel")
        at = self._listening_at(run_id, listen_id)
        if at is not None and at.name != channel:
            raise Conflict(f"{listen_id} of run {run_id} listens to channel {at.name}")
        dispatcher = at or await self._dispatcher(channel)
        await dispatcher.waiters.listen(run_id, listen_id, spec, microseconds(since))

    def _listening_at(self, run_id: str, listen_id: str) -> Dispatcher | None:
        for dispatcher in self._dispatchers.values():
            if dispatcher.waiters.state_of(run_id, listen_id) != "unknown":
                return dispatcher
        return None

    async def unlisten(self, run_id: str, listen_id: str, *, used: int | None = None) -> None:
        """Take a listener back, whether or not it is complete; one that is not there is fine.

        Events that were accepted and not delivered are free for later listeners of the run. With *used*, so are
        those delivered with ``seq >= used``: an open strategy learns only afterwards which was the last.
        """
        dispatcher = self._listening_at(run_id, listen_id)
        if dispatcher is not None:
            await dispatcher.waiters.unlisten(run_id, listen_id, used, self._deliverer.settled)

    async def forget_run(self, run_id: str, *, keep: bool = False) -> None:
        """The run has ended: remove its listeners, what it took, and its deliveries. Twice is fine.

        With *keep* which events it took is remembered for as long as they are there: a retried run gets others.
        """
        for dispatcher in list(self._dispatchers.values()):
            if dispatcher.waiters.has_run(run_id):
                await dispatcher.waiters.forget(run_id, keep=keep)
        await self._store.discard(f"run:{run_id}")

    def listeners(self) -> list[JsonObject]:
        """Who listens: ``{run_id, listen_id, channel, delivered, complete}``, to find those whose run is gone."""
        return [
            waiter.to_json(dispatcher.name)
            for dispatcher in self._dispatchers.values()
            for waiter in dispatcher.waiters.all()
        ]

    # What the deliverer asks (see `deliveries.Recipients`)

    def subscription(self, id: str) -> Subscription | None:
        return self._subscriptions.get(id)

    def limits(self) -> Mapping[str, int]:
        return self._limits

    def state_of(self, run_id: str, listen_id: str) -> str:
        at = self._listening_at(run_id, listen_id)
        return "unknown" if at is None else at.waiters.state_of(run_id, listen_id)

    async def gone(self, delivery: Delivery) -> None:
        if delivery.listening is not None:
            await self.forget_run(delivery.listening.run_id, keep=True)
        elif delivery.subscription in self._subscriptions:
            await self.put_subscription(replace(self._subscriptions[delivery.subscription], enabled=False))

    async def bury(self, delivery: Delivery, item: Parked, code: str, reason: str) -> None:
        if item.channel == DEAD_LETTERS:
            return
        await self._dispatcher(DEAD_LETTERS)
        await self._store.append(DEAD_LETTERS, letters(delivery, item, code, reason, self._now_us()))

    async def redrive_all(self, subscription: str | None = None) -> int:
        """`redrive` the dead letters that this has not redriven before, or those of one subscription, oldest first; how
        many. Those that cannot be delivered any more, for what wanted them is gone, are passed over.
        """
        dispatcher = await self._dispatcher(DEAD_LETTERS)
        whose = subscription or "*"
        done: dict[str, dict[str, int]] = {
            entry.key.removeprefix(_REDRIVEN): orjson.loads(entry.value)
            for entry in await self._store.entries(_REDRIVEN)
        }
        count, ends = 0, {str(part): end for part, end in dispatcher.cursor.items()}
        for part, end in dispatcher.cursor.items():
            at = max(done.get(who, {}).get(str(part), 0) for who in (whose, "*"))
            while at < end and (found := await self._store.read(DEAD_LETTERS, part, at, limit=100)):
                at = found[-1].position.offset + 1
                for stored in found:
                    letter = str(decode(stored.record.body)["dlqsubscription"])
                    if whose not in ("*", letter):
                        continue
                    if stored.position.offset >= done.get(letter, {}).get(str(part), 0):
                        with contextlib.suppress(NotFound, Rejected):
                            await self.redrive(str(stored.position))
                            count += 1
        await self._store.put(_REDRIVEN + whose, orjson.dumps(ends))
        return count

    async def redrive(self, position: str) -> None:
        """Try the delivery of a dead letter again, as if it were new; the letter stays in its channel.

        `NotFound` if there is no such letter or its subscription was deleted.
        """
        await self._dispatcher(DEAD_LETTERS)
        try:
            (stored,) = await self._store.fetch(DEAD_LETTERS, [Position.parse(position)])
        except ValueError as error:
            raise Rejected("position", str(error)) from error
        if stored is None:
            raise NotFound("dead letter", position)
        item = revived(decode(stored.record.body), self._now_us())
        if item.group.startswith("sub:"):
            self.get_subscription(item.group.removeprefix("sub:"))
        else:
            payload = orjson.loads(item.payload)
            if self.state_of(payload["run"], payload["listen"]) == "unknown":
                raise NotFound("listener", payload["listen"])
        await self._store.park([item])
        self._deliverer.wake()
