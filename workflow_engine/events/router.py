"""The event router: publish, subscribe, listen."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from workflow_engine.errors import Conflict, NotFound, Rejected
from workflow_engine.events.cloudevents import MAX_EVENT, records
from workflow_engine.events.deliveries import Deliverer
from workflow_engine.events.forwarding import ChannelTarget
from workflow_engine.events.letters import DEAD_LETTERS
from workflow_engine.events.looking import Looking
from workflow_engine.events.outages import report
from workflow_engine.events.ports import Published
from workflow_engine.events.pulling import Pulling, PullTarget
from workflow_engine.events.recent import RecentBodies
from workflow_engine.events.records import ChannelSpec, microseconds
from workflow_engine.events.retention import trim
from workflow_engine.events.shared_store import LosableStore, Taken
from workflow_engine.events.spans import carrying
from workflow_engine.events.spi import Store
from workflow_engine.events.standing_by import StandBy
from workflow_engine.events.subscriptions import (
    SUBSCRIPTION,
    Subscription,
    check_channel,
    check_strategy,
    start_us,
)
from workflow_engine.events.targets import AdmittingTarget, CheckedTarget, Delivery, Target
from workflow_engine.telemetry.spans import active
from workflow_engine.values import Json, JsonObject

_log = logging.getLogger(__name__)


class Router(Looking, Pulling):
    """Embeds in any asyncio program. It owns the store and opens it. One router works on a store at a time; where the
    store is shared, several processes are one router: each dispatches some of the channels, and all deliver.

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
        super().__init__()
        self._store = store
        self._retention = retention
        self._retaining: asyncio.Task[None] | None = None
        self._clock = clock
        self._max_event_bytes = max_event_bytes
        self._defaults = (partitions, None if dedupe is None else int(dedupe * 1e6))
        self._member = f"router-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._targets: dict[str, Target] = {
            "channel": ChannelTarget(self.publish),
            "pull": PullTarget(),
            **targets,
        }
        self._changing = asyncio.Lock()
        self._recent = RecentBodies()
        self._deliverer = Deliverer(
            store, self._targets, self, owner=self._member, now_us=self._now_us, recent=self._recent
        )

    def _now_us(self) -> int:
        return int(self._clock() * 1e6)

    async def start(self) -> None:
        """Open the store and go on with everything that is in it. Where another process has a store that is of one at a
        time, and can be taken up when that ends, this one stands by until then: all that needs it is `Unavailable`.
        """
        taken = ""
        try:
            await self._begin_with_store()
        except Taken as error:
            if not isinstance(self._store, LosableStore):
                raise
            taken = str(error)
        if isinstance(self._store, LosableStore):
            self._stand_by = StandBy(
                self._store, let_go=self._end_with_store, take_up=self._begin_with_store, taken=taken
            )
        if self._retention is not None:
            self._retaining = asyncio.create_task(self._retain(self._retention), name="retention")

    @property
    def stands_by(self) -> bool:
        """Whether another process has the store."""
        return self._stand_by is not None and self._stand_by.waits

    async def until_it_has_the_store(self) -> None:
        """Wait while this process stands by."""
        if self._stand_by is not None:
            await self._stand_by.until_it_has()

    async def stop(self, grace: float = 10.0) -> None:
        """Take nothing more up, give deliveries that are under way *grace* seconds, close the store."""
        if self._retaining is not None:
            self._retaining.cancel()
            await asyncio.gather(self._retaining, return_exceptions=True)
        if self._stand_by is not None:
            await self._stand_by.stop()
            self._stand_by = None
        await self._end_with_store(grace)

    async def _begin_with_store(self) -> None:
        await self._store.open()
        await self._take_up()
        self._deliverer.start()
        self.sources_changed()

    async def _end_with_store(self, grace: float = 0.0) -> None:
        await self._deliverer.stop(grace)
        await self._let_go()
        await self._store.close()

    async def _retain(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(min(max(seconds / 10, 1.0), 3600.0))
            for dispatcher in list(self._dispatchers.values()):
                try:
                    await trim(self._store, dispatcher, self._now_us() - int(seconds * 1e6))
                except Exception as error:  # noqa: BLE001  a bug must not stop it for good
                    report(_log, error, "old events of %s stay for now: %s", dispatcher.name, error)

    async def check(self) -> None:
        """Raise `Unavailable` when the store cannot be written, or nothing is delivered."""
        self._require_store()
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
        return await self._ensure(ChannelSpec(name, count, window))

    async def _do(self, channel: str, do: str, given: JsonObject) -> Json:
        given_to: dict[str, Any] = dict(given)
        match do:
            case "put":
                await self._put(Subscription.from_json(given["subscription"]))
            case "seek":
                return (await self._seek(channel, **given_to)).to_json()
            case "delete":
                await self._delete(channel, **given_to)
            case "listen":
                await self._dispatchers[channel].waiters.listen(**given_to)
            case "unlisten":
                await self._dispatchers[channel].waiters.unlisten(**given_to, settled=self._deliverer.settled)
            case "forget":
                await self._dispatchers[channel].waiters.forget(**given_to)
            case "trim":
                return await trim(self._store, self._dispatchers[channel], **given_to)
            case "redrive":
                return await self._redrive_all(**given_to)
            case _:
                raise Rejected("unknown-command", f"this version of the router cannot {do}")
        return None

    async def publish(self, channel: str, events: Sequence[Json]) -> list[Published]:
        """Store *events*, in order, all or nothing; when it returns they are durable.

        An event with the source and id of one that is there is a duplicate, whatever else it says: the answer
        is the position of the first. `Rejected` has the place of the first event that is wrong (``/0/source``).
        """
        check_channel(channel)
        if channel == DEAD_LETTERS:
            raise Rejected("channel-reserved", f"only the router writes to {DEAD_LETTERS}")
        if (span := active()) is not None:
            events = [carrying(span, event) for event in events]
        batch = records(events, self._now_us(), max_bytes=self._max_event_bytes)
        if not batch:
            return []
        await self._known(channel)
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
        if subscription.enabled and isinstance(target, AdmittingTarget):
            await target.admit(subscription.target, "target")
        await self._at(subscription.channel, "put", {"subscription": subscription.to_json()})

    async def _put(self, subscription: Subscription) -> None:
        dispatcher = self._dispatchers[subscription.channel]
        async with self._changing:
            old = await self.find_subscription(subscription.id)
            if old is not None and old.channel != subscription.channel:
                raise Conflict(f"{subscription.id} is on channel {old.channel}; delete it first")
            async with dispatcher.lock:
                starts = await self._starts(subscription, dispatcher.spec.partitions)
                await self._keep(subscription, starts)
                await dispatcher.subscribers.put(subscription, starts)
        self._deliverer.wake()
        if old is not None and self._permission_of(old.target) not in (
            None,
            self._permission_of(subscription.target),
        ):
            await self._forget_permissions()

    async def _starts(self, subscription: Subscription, partitions: int) -> dict[int, int]:
        entry = await self._store.get(SUBSCRIPTION + subscription.id)
        if entry is not None:
            return {int(part): off for part, off in orjson.loads(entry.value)["starts"].items()}
        start, channel = start_us(subscription.start), subscription.channel
        return {part: await self._store.offset_at(channel, part, start) for part in range(partitions)}

    async def seek(self, id: str, start: str) -> Subscription:
        """Let a subscription begin anew at *start*: ``latest``, ``earliest`` or a timestamp. What it has not delivered,
        and events that it took towards a strategy that is not complete, are let go. `NotFound` if there is none.
        """
        start_us(start)
        channel = (await self._existing(id)).channel
        return Subscription.from_json(await self._at(channel, "seek", {"id": id, "start": start}))

    async def _seek(self, channel: str, id: str, start: str) -> Subscription:
        dispatcher = self._dispatchers[channel]
        async with self._changing:
            moved = replace(await self._existing(id), start=start)
            at = start_us(start)
            async with dispatcher.lock:
                partitions = range(dispatcher.spec.partitions)
                starts = {part: await self._store.offset_at(channel, part, at) for part in partitions}
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
        rev = await self._store.put(SUBSCRIPTION + subscription.id, orjson.dumps(stored))
        self._remember(subscription, rev)

    async def delete_subscription(self, id: str) -> None:
        """Delete it with its place and its deliveries. `NotFound` if there is none."""
        await self._at((await self._existing(id)).channel, "delete", {"id": id})

    async def _delete(self, channel: str, id: str) -> None:
        dispatcher = self._dispatchers[channel]
        async with self._changing:
            old = await self.find_subscription(id)
            if old is None and id not in dispatcher.subscribers:
                raise NotFound("subscription", id)
            async with dispatcher.lock:
                await self._store.delete(SUBSCRIPTION + id)
                self._forget(id)
                await dispatcher.subscribers.delete(id)
        if old is not None and self._permission_of(old.target) is not None:
            await self._forget_permissions()

    def get_subscription(self, id: str) -> Subscription:
        """The subscription, or `NotFound`."""
        self._require_store()
        try:
            return self._subscriptions[id]
        except KeyError:
            raise NotFound("subscription", id) from None

    def subscriptions(self) -> list[Subscription]:
        """All of them, by id."""
        self._require_store()
        return [self._subscriptions[id] for id in self._in_order()]

    # Runs that listen

    async def listen(
        self,
        run_id: str,
        listen_id: str,
        spec: JsonObject,
        *,
        since: datetime,
        channel: str = "default",
        seq: int = 0,
    ) -> None:
        """Deliver the events that *spec* accepts to the run, in order: those received from *since* on, then
        those to come. Once it is complete the listener is done, but known until it is taken back.

        Doing it twice for the same ids is doing it once. An event that another listener of the run took is
        not taken again. `Conflict` if the listener is on another channel. *seq*: the number of its next event.
        """
        check_strategy(spec, "spec")
        check_channel(channel, "channel")
        at = await self._listening_at(run_id, listen_id)
        if at not in (None, channel):
            raise Conflict(f"{listen_id} of run {run_id} listens to channel {at}")
        given: JsonObject = {
            "run_id": run_id,
            "listen_id": listen_id,
            "spec": spec,
            "since_us": microseconds(since),
        }
        if seq:
            given["seq"] = seq
        await self._at(channel, "listen", given)

    async def unlisten(self, run_id: str, listen_id: str, *, used: int | None = None) -> None:
        """Take a listener back, whether or not it is complete; one that is not there is fine.

        Events that were accepted and not delivered are free for later listeners of the run. With *used*, so are
        those delivered with ``seq >= used``: an open strategy learns only afterwards which was the last.
        """
        self._require_store()
        channel = await self._listening_at(run_id, listen_id)
        if channel is not None:
            await self._at(channel, "unlisten", {"run_id": run_id, "listen_id": listen_id, "used": used})

    async def forget_run(self, run_id: str, *, keep: bool = False) -> None:
        """The run has ended: remove its listeners, what it took, and its deliveries. Twice is fine.

        With *keep* which events it took is remembered for as long as they are there: a retried run gets others.
        """
        for channel in await self._channels_of(run_id):
            await self._at(channel, "forget", {"run_id": run_id, "keep": keep})
        await self._store.discard(f"run:{run_id}")

    # What the deliverer asks (see `deliveries.Recipients`)

    def subscription(self, id: str) -> Subscription | None:
        return self._subscriptions.get(id)

    def limits(self) -> Mapping[str, int]:
        return self._limits

    async def gone(self, delivery: Delivery) -> None:
        if delivery.listening is not None:
            await self.forget_run(delivery.listening.run_id, keep=True)
        elif delivery.subscription is not None:
            found = self._subscriptions.get(delivery.subscription)
            if found is not None and found.target == delivery.target:  # else it goes elsewhere already
                await self.put_subscription(replace(found, enabled=False))
