"""What is in the router: events, traces, channels, and whether an event would be wanted."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from urllib.parse import quote

from workflow_engine.errors import NotFound
from workflow_engine.events import backlogs, tracing
from workflow_engine.events.broker_sources import BrokerSource
from workflow_engine.events.cloudevents import decode, records
from workflow_engine.events.dispatch import GROUP
from workflow_engine.events.letters import DEAD_LETTERS
from workflow_engine.events.listeners import Waiter
from workflow_engine.events.records import microseconds
from workflow_engine.events.sharing import Sharing
from workflow_engine.events.sources import Source
from workflow_engine.events.spi import Caps
from workflow_engine.events.subscriptions import Subscription, check_filters, check_strategy
from workflow_engine.events.transforms import NotTransformed, check_transform, transformed
from workflow_engine.filters import filters, machine
from workflow_engine.values import Json, JsonObject

STAMP = "stamp"
"""The setting with the mark of a store."""
MOST_SOURCES, _READ = 10_000, 200
"""How many sources are looked at for one page of some of them, and read at a time, at least."""


class Looking(Sharing):
    """The part of the router that only looks, and forgets what is old."""

    _max_event_bytes: int

    async def events(
        self,
        channel: str | None = None,
        *,
        type: str | None = None,
        source: str | None = None,
        subject: str | None = None,
        id: str | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
        hears: Callable[[str], bool] | None = None,
    ) -> tracing.Page:
        """The newest events that fit, newest first; times are when they were received, *to* outside. `NotFound` for an
        unknown channel, but that of dead letters, which is made by the first. Of all channels, those that somebody
        *hears*.
        """
        try:
            page = await tracing.search(
                self._store,
                channel=channel,
                type=type,
                source=source,
                subject=subject,
                id=id,
                from_=from_,
                to=to,
                limit=limit,
                cursor=cursor,
                hears=hears,
            )
        except NotFound:
            if channel == DEAD_LETTERS:
                return tracing.Page([], None)
            raise
        await tracing.marked(self._store, page.events)
        return page

    async def trace(self, event_id: str, channel: str | None = None) -> list[JsonObject]:
        """What became of the events with this id, newest first; see `tracing.trace`. `NotFound` if none."""
        return await tracing.trace(self._store, event_id, channel)

    def subscriptions_after(
        self, after: str | None, limit: int, wanted: Callable[[Subscription], bool]
    ) -> list[Subscription]:
        """Up to *limit* of those that are *wanted*, by id, from behind the id *after* on."""
        self._require_store()
        ids = self._in_order()
        start = 0 if after is None else bisect_right(ids, after)
        behind = (self._subscriptions[id] for id in islice(ids, start, None))
        return list(islice(filter(wanted, behind), limit))

    async def sources_after(
        self,
        after: str | None,
        limit: int,
        wanted: Callable[[Source | BrokerSource], bool],
        most: int = MOST_SOURCES,
    ) -> tuple[list[Source | BrokerSource], str | None]:
        """Likewise of sources, and behind which id there may be more; None where there are none. Of all, at most *most*
        are looked at: then there may be fewer than *limit*.
        """
        found: list[Source | BrokerSource] = []
        while most > 0:
            read = await self._read_sources(after, min(most, max(limit + 1, _READ)))
            for each in read:
                if not wanted(each):
                    continue
                if len(found) == limit:
                    return found, found[-1].id
                found.append(each)
            if len(read) < min(most, max(limit + 1, _READ)):
                return found, None
            after, most = read[-1].id, most - len(read)
        return found, after

    def channels_after(self, after: str | None, limit: int, wanted: Callable[[str], bool]) -> list[str]:
        """The names of up to *limit* channels, in their order."""
        self._require_store()
        behind = (name for name in self._channels if after is None or name > after)
        return heapq.nsmallest(limit, filter(wanted, behind))

    async def channel(self, name: str) -> JsonObject:
        """A channel, as `channels` has them; `NotFound` if there is none."""
        self._require_store()
        if name not in self._channels:
            raise NotFound("channel", name)
        return await self._channel(name)

    def kept_in(self) -> JsonObject:
        """What keeps the channels: ``{kind, durable, shared}``, the kind by the scheme of its URL."""
        kind = type(self._store).__module__.rpartition(".")[2].partition("_")[0]
        caps = self._store.caps
        return {"kind": kind, "durable": Caps.DURABLE in caps, "shared": Caps.SHARED in caps}

    async def channels(self) -> list[JsonObject]:
        """Every channel: ``{name, partitions, dedupe_seconds, events, bytes, oldest, lag, subscriptions,
        catching_up, listeners}``: *lag* is how many events are not dispatched yet, *catching_up* how many
        subscriptions still read older ones.
        """
        self._require_store()
        return [await self._channel(name) for name in sorted(self._channels)]

    async def _channel(self, name: str) -> JsonObject:
        if name in self._dispatchers:
            return await tracing.describe(self._store, self._dispatchers[name])
        subscriptions = self._subscriptions.values()
        return await tracing.describe_elsewhere(self._store, self._channels[name], subscriptions)

    async def undelivered(self, run_id: str, listen_id: str) -> int:
        """How many events wait for their delivery to a listener of a run."""
        waiting = await self._store.parked(f"run:{run_id}")
        return sum(item.key == listen_id for item in waiting)

    async def stamp(self) -> bytes | None:
        """What was last kept by `put_stamp`."""
        found = await self._store.get(STAMP)
        return None if found is None else found.value

    async def put_stamp(self, value: bytes) -> None:
        """Keep a mark of this store, for whoever must know whether it is older than something else."""
        await self._store.put(STAMP, value)

    async def listeners_after(
        self,
        after: tuple[str, str] | None,
        limit: int,
        *,
        channel: str | None = None,
        run_id: str | None = None,
    ) -> list[tuple[tuple[str, str], JsonObject]]:
        """Up to *limit* of `every_listener`, of a channel or a run if given, each with its place, from behind the place
        *after* on: by channel, run and name.
        """
        self._require_store()
        prefix = "" if run_id is None else f"{quote(run_id, safe='')}/"
        found: list[tuple[tuple[str, str], JsonObject]] = []
        last, behind = after or ("", "")
        for name in sorted(self._channels):
            if name >= last and channel in (None, name) and len(found) < limit:
                start = behind if name == last else ""
                waiters = await self._waiters(name, prefix, start, limit - len(found))
                found += [((name, waiter.name), waiter.to_json(name)) for waiter in waiters]
        return found

    async def _waiters(self, channel: str, prefix: str, after: str, limit: int) -> list[Waiter]:
        """The next ones of a channel whose name begins so, behind the name *after*."""
        if (dispatcher := self._dispatchers.get(channel)) is not None:
            fit = (
                each
                for each in dispatcher.waiters.all()
                if each.name > after and each.name.startswith(prefix)
            )
            return heapq.nsmallest(limit, fit, key=lambda waiter: waiter.name)
        some = [
            await self._store.states(
                channel, GROUP, f"{kind}/{prefix}", after=f"{kind}/{after}" if after else None, limit=limit
            )
            for kind in ("waited", "waiter")
        ]
        return [
            Waiter.from_bytes(value, some[0].get(f"waited/{key.partition('/')[2]}"))
            for key, value in some[1].items()
        ]

    async def backlog(self, after: str | None = None, limit: int | None = None) -> JsonObject:
        """What waits for its delivery, and what was given up; see `backlogs.describe`. Of the subscriptions all, or up
        to *limit* from behind the id *after* on.
        """
        failed: Counter[str] = Counter()
        for dispatcher in self._dispatchers.values():
            failed.update(dispatcher.failed)
        most = len(self._subscriptions) if limit is None else limit
        wanted = self.subscriptions_after(after, most, lambda _: True)
        return await backlogs.describe(self._store, wanted, self._now_us(), failed)

    async def trim(self, channel: str, before: datetime) -> int:
        """Forget events that were received before, as far as nothing needs them any more; how many."""
        if channel not in self._channels:
            raise NotFound("channel", channel)
        count = await self._at(channel, "trim", {"before_us": microseconds(before)})
        return count if isinstance(count, int) else 0

    def test(
        self, spec: JsonObject | None, event: Json, transform: Json = None, dialects: Json = None
    ) -> JsonObject:
        """Whether *event* would satisfy a filter of the strategy *spec* and all of the filters *dialects*, and what
        *transform* would make of it: ``{matches, filters, errors}``, and with a *transform* the *output*, which is null
        where there is none. Which filters it satisfies is told of the strategy, or where there is none of *dialects*.
        """
        if spec is not None:
            check_strategy(spec, "strategy")
        if dialects is not None:
            check_filters(dialects, "filters")
        if transform is not None:
            check_transform(transform, "transform")
        (record,) = records([event], 0, max_bytes=self._max_event_bytes)
        errors: list[str] = []
        given = decode(record.body)
        passed = dialects is None or filters(dialects).take(given, errors)
        indices = machine(spec).matches(given, errors) if spec is not None else []
        matches = passed and (spec is None or bool(indices))
        if spec is None and dialects is not None:
            indices = filters(dialects).true_of(given, [])
        answer: JsonObject = {"matches": matches, "filters": [*indices]}
        if isinstance(transform, dict):
            answer["output"] = None
            try:
                answer["output"] = transformed(transform, given) if matches else None
            except NotTransformed as error:
                errors.append(f"transform: {error}")
        return {**answer, "errors": [*errors]}
