"""Which process has which channel, and what one asks of the one that has it.

Where a store is not shared, this process has them all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import cast
from urllib.parse import quote

import orjson

from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.events.deliveries import Deliverer
from workflow_engine.events.dispatch import GROUP, Dispatcher
from workflow_engine.events.holding import HELD, Holding
from workflow_engine.events.listeners import Waiter
from workflow_engine.events.outages import report
from workflow_engine.events.peers import Peers
from workflow_engine.events.permissions import Permissions
from workflow_engine.events.recent import RecentBodies
from workflow_engine.events.shared_store import ForgetfulStore, SharedStore
from workflow_engine.events.sources import SOURCE, Sources
from workflow_engine.events.spi import Caps, Change, ChannelSpec, Fenced, Store, Versioned
from workflow_engine.events.standing_by import StandBy
from workflow_engine.events.subscriptions import SUBSCRIPTION, Subscription
from workflow_engine.values import Json, JsonObject

CHANNEL = "channel/"
"""Settings that tell other processes that there is a new channel."""

_log = logging.getLogger(__name__)


class Sharing(Sources, Holding, Permissions):
    """The part of the router that knows its channels and subscriptions, and the other processes of it."""

    _store: Store
    _deliverer: Deliverer
    _member: str
    _recent: RecentBodies

    def __init__(self) -> None:
        self._channels: dict[str, ChannelSpec] = {}
        self._dispatchers: dict[str, Dispatcher] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._ids: list[str] | None = None
        self._revisions: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        self._peers: Peers | None = None
        self._lost: set[str] = set()
        self._arranging = asyncio.Lock()
        self._redriving = asyncio.Lock()
        self._rearrange = asyncio.Event()
        self._arranger: asyncio.Task[None] | None = None
        self._adopting: set[asyncio.Task[None]] = set()
        self._stand_by: StandBy | None = None

    def _require_store(self) -> None:
        """`Unavailable` while another process has the store: nothing is known here then."""
        if self._stand_by is not None:
            self._stand_by.require()

    def _now_us(self) -> int:
        raise NotImplementedError

    async def create_channel(
        self, name: str, *, partitions: int | None = None, dedupe: float | None = None
    ) -> ChannelSpec:
        raise NotImplementedError

    async def _do(self, channel: str, do: str, given: JsonObject) -> Json:
        """What this process does for a channel that it has; `_at` says it to the one that has it."""
        raise NotImplementedError

    async def _take_up(self) -> None:
        """Begin with everything that is in the store, which is open."""
        if Caps.SHARED in self._store.caps:
            self._peers = Peers(
                cast("SharedStore", self._store),
                self._member,
                changed=self._rearrange.set,
                hear=self._hear,
                serves=self._dispatchers.__contains__,
                execute=self._do,
            )
            entries = await self._peers.start()
            if isinstance(self._store, ForgetfulStore):
                self._store.when_back(self._begin_anew)
        else:
            entries = await self._store.entries(SUBSCRIPTION)
        for entry in entries:
            if entry.key.startswith(SUBSCRIPTION):
                self._remember(_subscription(entry)[0], entry.rev)
        await self._forget_permissions()  # of subscriptions that went as a process ended
        await self._arrange()
        if self._peers is not None:
            self._arranger = asyncio.create_task(self._keep_arranged(), name="channels")

    async def _let_go(self) -> None:
        """Leave everything to other processes, or the next one."""
        self.sources_changed()
        tasks = [*self._adopting, *([self._arranger] if self._arranger is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for dispatcher in self._dispatchers.values():
            await dispatcher.stop()
        if self._peers is not None:
            await self._peers.stop()
        self._arranger = self._peers = self._ids = None
        for known in (self._dispatchers, self._channels, self._subscriptions, self._revisions, self._limits):
            known.clear()

    async def _keep_arranged(self) -> None:
        pause = 0.05
        while True:
            await self._rearrange.wait()
            self._rearrange.clear()
            try:
                await self._arrange()
                self.sources_changed()  # others may be for this process now
                pause = 0.05
            except Exception as error:  # noqa: BLE001  a bug must not stop it for good
                report(_log, error, "the router's channels wait: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
                self._rearrange.set()

    async def _arrange(self) -> None:
        """Begin with the channels that are for this process, and let go of those that are for others."""
        async with self._arranging:
            self._channels = {spec.name: spec for spec in await self._store.channels()}
            mine = [name for name in self._channels if self._peers is None or self._peers.is_mine(name)]
            for name in list(self._dispatchers):
                if name in self._lost or name not in mine:
                    self._lost.discard(name)
                    await self._dispatchers.pop(name).stop()
            missing = [name for name in mine if name not in self._dispatchers]
            if not missing:
                return
            by_channel: dict[str, dict[str, tuple[Subscription, dict[int, int]]]] = {}
            for entry in await self._store.entries(SUBSCRIPTION):
                subscription, starts = _subscription(entry)
                by_channel.setdefault(subscription.channel, {})[subscription.id] = (subscription, starts)
            for name in missing:
                await self._begin(self._channels[name], by_channel.get(name, {}))
                if self._peers is not None:
                    await self._peers.take_up(name)

    async def _begin(
        self, spec: ChannelSpec, subscriptions: Mapping[str, tuple[Subscription, dict[int, int]]]
    ) -> None:
        dispatcher = Dispatcher(
            self._store,
            spec,
            member=self._member,
            now_us=self._now_us,
            deliveries=self._deliverer,
            recent=self._recent,
            lost=None if self._peers is None else self._was_lost,
        )
        self._lost.discard(spec.name)
        try:
            await dispatcher.start(subscriptions)
        except BaseException:
            await dispatcher.stop()
            raise
        self._dispatchers[spec.name] = dispatcher

    def is_mine(self, name: str) -> bool:
        """Whether what is called so is for this process, of those that share the store, to do; nothing is while another
        one has it.
        """
        try:
            self._require_store()
        except Unavailable:
            return False
        return self._peers is None or self._peers.is_mine(name)

    def _begin_anew(self) -> None:
        """The store may have less than this process knows of: go on from what it has, also where nothing comes."""
        for dispatcher in self._dispatchers.values():
            dispatcher.let_go()

    def _was_lost(self, channel: str) -> None:
        self._lost.add(channel)
        self._rearrange.set()

    async def _known(self, channel: str) -> ChannelSpec:
        """The channel, which is created if it is not there."""
        self._require_store()
        if not self._is_begun(channel):
            await self.create_channel(channel)
        return self._channels[channel]

    def _is_begun(self, channel: str) -> bool:
        """Whether somebody has the channel, or will have."""
        return channel in (self._dispatchers if self._peers is None else self._channels)

    async def _ensure(self, spec: ChannelSpec) -> ChannelSpec:
        if not self._is_begun(spec.name):
            await self._store.ensure_channel(spec)
            if self._peers is not None:
                await self._store.put(CHANNEL + spec.name, b"")
                self._rearrange.set()  # should it fail here
            await self._arrange()
        return self._channels[spec.name]

    async def _at(self, channel: str, do: str, given: JsonObject) -> Json:
        """Let the process that has *channel* do something: this one, or another."""
        await self._known(channel)
        if channel in self._dispatchers:
            try:
                return await self._do(channel, do, given)
            except Fenced:
                if self._peers is None:
                    raise
        if self._peers is None:
            raise NotFound("channel", channel)
        return await self._peers.ask(channel, do, given)

    # What is known of subscriptions

    def _hear(self, change: Change) -> None:
        if change.key.startswith(SOURCE) or (change.key.startswith(HELD) and change.value is None):
            self.sources_changed()
        elif change.key.startswith(CHANNEL):
            if change.key.removeprefix(CHANNEL) not in self._channels:
                self._rearrange.set()
        elif change.key.startswith(SUBSCRIPTION):
            id = change.key.removeprefix(SUBSCRIPTION)
            if change.rev <= self._revisions.get(id, 0):
                return
            wanted = None
            if change.value is None:
                self._forget(id)
            else:
                wanted = _subscription(Versioned(change.key, change.value, change.rev))
                self._remember(wanted[0], change.rev)
            for dispatcher in self._dispatchers.values():
                if id in dispatcher.subscribers or (wanted and wanted[0].channel == dispatcher.name):
                    task = asyncio.create_task(self._adopt(dispatcher, id, wanted), name=f"adopt {id}")
                    self._adopting.add(task)
                    task.add_done_callback(self._adopting.discard)
            self._deliverer.wake()

    async def _adopt(
        self, dispatcher: Dispatcher, id: str, wanted: tuple[Subscription, dict[int, int]] | None
    ) -> None:
        """Serve a subscription as another process wrote it, which had the channel until then."""
        try:
            async with dispatcher.lock:
                if wanted is None or wanted[0].channel != dispatcher.name:
                    await dispatcher.subscribers.delete(id)
                elif dispatcher.subscribers.get(id) != wanted[0]:
                    await dispatcher.subscribers.put(*wanted)
        except Exception as error:  # noqa: BLE001  the dispatcher begins anew where it matters
            report(_log, error, "channel %s cannot take up %s: %s", dispatcher.name, id, error)
            dispatcher.let_go()

    def _remember(self, subscription: Subscription, rev: int) -> None:
        if subscription.id not in self._subscriptions:
            self._ids = None
        self._subscriptions[subscription.id] = subscription
        self._revisions[subscription.id] = rev
        handed_out = subscription.enabled and subscription.target.get("kind") != "pull"
        self._limits[f"sub:{subscription.id}"] = subscription.at_a_time if handed_out else 0
        self._deliverer.let_go(f"sub:{subscription.id}")

    def _forget(self, id: str) -> None:
        self._ids = None
        self._subscriptions.pop(id, None)
        self._revisions.pop(id, None)
        self._limits.pop(f"sub:{id}", None)

    def _in_order(self) -> list[str]:
        """The ids of all subscriptions, in their order, which is kept until there is another one, or one fewer."""
        if self._ids is None:
            self._ids = sorted(self._subscriptions)
        return self._ids

    async def find_subscription(self, id: str) -> Subscription | None:
        """The subscription, which another process may have made just now."""
        self._require_store()
        if id not in self._subscriptions and self._peers is not None:
            entry = await self._store.get(SUBSCRIPTION + id)
            if entry is not None:
                self._remember(_subscription(entry)[0], entry.rev)
        return self._subscriptions.get(id)

    # What is known of listeners

    async def state_of(self, channel: str, run_id: str, listen_id: str) -> str:
        if channel in self._dispatchers:
            return self._dispatchers[channel].waiters.state_of(run_id, listen_id)
        name = f"{quote(run_id, safe='')}/{quote(listen_id, safe='')}"
        if f"waiter/{name}" not in await self._store.states(channel, GROUP, f"waiter/{name}"):
            return "unknown"
        closing = await self._store.states(channel, GROUP, f"closing/{name}")
        return "closing" if f"closing/{name}" in closing else "listening"

    async def _listening_at(self, run_id: str, listen_id: str) -> str | None:
        """The channel that a listener listens to."""
        for channel in await self._by_place():
            if await self.state_of(channel, run_id, listen_id) != "unknown":
                return channel
        return None

    async def _channels_of(self, run_id: str) -> list[str]:
        """The channels where anything is known of a run."""
        found = []
        for channel in await self._by_place():
            if channel in self._dispatchers:
                known = self._dispatchers[channel].waiters.has_run(run_id)
            else:
                run = quote(run_id, safe="")
                known = bool(await self._store.states(channel, GROUP, f"waiter/{run}/")) or bool(
                    await self._store.states(channel, GROUP, f"consumed/{run}/")
                )
            if known:
                found.append(channel)
        return found

    async def _by_place(self) -> list[str]:
        """All channels, beginning with those that this process has."""
        others = [name for name in self._channels if name not in self._dispatchers]
        return [*self._dispatchers, *others]

    def listeners(self) -> list[JsonObject]:
        """Who listens to the channels that this process has: ``{run_id, listen_id, channel, delivered, complete}``."""
        return [
            waiter.to_json(dispatcher.name)
            for dispatcher in self._dispatchers.values()
            for waiter in dispatcher.waiters.all()
        ]

    async def every_listener(self) -> list[JsonObject]:
        """As `listeners`, of all channels."""
        self._require_store()
        found = self.listeners()
        for channel in [name for name in self._channels if name not in self._dispatchers]:
            waited = await self._store.states(channel, GROUP, "waited/")
            for key, value in (await self._store.states(channel, GROUP, "waiter/")).items():
                name = key.partition("/")[2]
                found.append(Waiter.from_bytes(value, waited.get(f"waited/{name}")).to_json(channel))
        return found


def _subscription(entry: Versioned) -> tuple[Subscription, dict[int, int]]:
    """A subscription, and the offsets that it began at."""
    stored = orjson.loads(entry.value)
    starts = {int(part): off for part, off in stored["starts"].items()}
    return Subscription.from_json(stored["subscription"]), starts
