"""The log of a store in PostgreSQL."""

# ruff: noqa: S608  only names of columns and tables are put into statements; values are bound

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from typing import Any

from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.events.spi import (
    Appended,
    Caps,
    ChannelSpec,
    PartitionStats,
    Position,
    Record,
    Start,
    StoredRecord,
)
from workflow_engine.events.stores.postgresql_append import Appender
from workflow_engine.events.stores.postgresql_connection import Address, Database, Db, topic
from workflow_engine.events.stores.postgresql_functions import SINCE
from workflow_engine.events.stores.postgresql_schema import upgrade
from workflow_engine.events.stores.postgresql_tail import Tail
from workflow_engine.events.stores.wakeups import Wakeups

RECORD = "part, off, time_us, received_us, source, id, type, subject, key, identity, body"
"""The columns that `stored` reads."""
SAMPLE = 1000
"""From how many of the oldest and of the newest records of a partition the size of all is told."""
LATER = 0.1
"""Seconds until other processes are told of a channel that this one follows."""
LOOK_ANYWAY = 30.0
"""After how many seconds a reader looks again without having been told; every second while nothing is told."""


def stored(row: Sequence[Any]) -> StoredRecord:
    """The record of a row that begins with the columns of `RECORD`."""
    record = Record(row[4], row[5], row[6], row[7], row[8], row[3], row[10], row[9])
    return StoredRecord(Position(row[0], row[1]), record, row[2])


class PostgresLog:
    """`EventStore` over a table of records."""

    caps = Caps.DURABLE | Caps.SHARED | Caps.DEDUPE_FOREVER | Caps.SEEK_TIME | Caps.TYPE_FILTER | Caps.QUERY

    def __init__(self, address: Address) -> None:
        self._address = address
        self._topic = topic(address.schema)
        self._wakeups = Wakeups()
        self._database = Database(address, self._on_news)
        self._tail = Tail()
        self._appender = Appender(self._database, self._topic_for, self._was_stored)
        self._wake_deliveries: Callable[[], None] = lambda: None
        self._tell_of_return: Callable[[], None] = lambda: None
        self._has_listened = False
        self._untold: set[str] = set()
        self._telling: asyncio.Task[None] | None = None
        self._open = False
        self._channels: dict[str, tuple[int, ChannelSpec]] = {}

    @property
    def _db(self) -> Database:
        if not self._open:
            raise Unavailable(f"the event store {self._address.shown} is not open")
        return self._database

    def when_due(self, wake: Callable[[], None]) -> None:
        """As `TellingStore`."""
        self._wake_deliveries = wake

    def when_back(self, tell: Callable[[], None]) -> None:
        """As `ForgetfulStore`."""
        self._tell_of_return = tell

    def _on_news(self, news: str | None) -> None:
        if news is None:
            if self._has_listened:
                self._tell_of_return()
            self._has_listened = True
        if news in (None, "due"):
            self._wake_deliveries()
        if news is None:
            self._tail.forget()
            self._wakeups.notify_all()
        else:
            topic, _, number = news.partition(" ")
            if topic == "channel":
                self._tail.heard(int(number))
            self._wakeups.notify(news)

    def _topic_for(self, channel: int) -> str | None:
        """The name under which a commit tells others of it; none where this process follows the channel, for then
        nobody else does, but for a moment, and commits that tell something wait for one another.
        """
        return None if self._tail.is_followed(channel) else self._topic

    def _was_stored(self, channel: int, records: Sequence[StoredRecord], told: bool) -> None:
        if records and self._tail.is_followed(channel):
            self._tail.put(channel, records)
        else:
            self._tail.heard(channel)
        self._wakeups.notify(f"channel {channel}")
        if not told:
            self._untold.add(f"channel {channel}")
            if self._telling is None:
                self._telling = asyncio.create_task(self._tell_later(), name="postgresql tells")

    async def _tell_later(self) -> None:
        try:
            while self._untold:
                await asyncio.sleep(LATER)
                await self._tell()
        finally:
            self._telling = None

    async def _tell(self) -> None:
        news, self._untold = sorted(self._untold), set()
        query = (
            "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, n) FROM unnest($2::text[]) n"
        )
        with contextlib.suppress(Unavailable):  # then everybody looks
            await self._database.statement(lambda db: db.fetch(query, self._topic, news))

    async def open(self) -> None:
        if self._open:
            return
        await self._database.open()
        try:
            await self._database.write(lambda db: upgrade(db, self._address.schema))
            self._channels = await self._database.read(_channels)
        except BaseException:
            await self._database.close()
            raise
        self._open = True

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._finish()
            if self._telling is not None:
                self._telling.cancel()
                await asyncio.gather(self._telling, return_exceptions=True)
                await self._tell()  # for whoever takes over
            await self._database.close()
            self._wakeups.notify_all()

    async def _finish(self) -> None:
        """Wait until everything is written that was asked for."""
        await self._appender.settle()

    async def _sleep(self, ticket: asyncio.Future[None], most: float) -> None:
        """Until news end *ticket*, or it is time to look whether some were lost."""
        await asyncio.wait({ticket}, timeout=min(most, LOOK_ANYWAY if self._database.hears else 1.0))

    async def _channel(self, name: str) -> int:
        """The number of a channel; another process may have made it, so one that is not known is looked for."""
        if name not in self._channels:
            self._channels = await self._db.read(_channels)
            if name not in self._channels:
                raise NotFound("channel", name)
        return self._channels[name][0]

    async def _names(self, wanted: Collection[int]) -> dict[int, str]:
        """The names of channels by their numbers, of those *wanted* at least."""
        names = {number: name for name, (number, _) in self._channels.items()}
        if not names.keys() >= set(wanted):
            self._channels = await self._db.read(_channels)
            names = {number: name for name, (number, _) in self._channels.items()}
        return names

    async def ensure_channel(self, spec: ChannelSpec) -> ChannelSpec:
        async def work(db: Db) -> dict[str, tuple[int, ChannelSpec]]:
            number = await db.fetchval(
                "INSERT INTO channel (name, partitions, dedupe_us) VALUES ($1, $2, $3)"
                " ON CONFLICT DO NOTHING RETURNING id",
                spec.name,
                spec.partitions,
                spec.dedupe_us,
            )
            if number is not None:
                await db.execute(
                    "INSERT INTO partition (channel, part) SELECT $1, generate_series(0, $2 - 1)",
                    number,
                    spec.partitions,
                )
            return await _channels(db)

        if spec.name not in self._channels:
            self._channels = await self._db.write(work)
        return self._channels[spec.name][1]

    async def channels(self) -> list[ChannelSpec]:
        self._channels = await self._db.read(_channels)
        return [self._channels[name][1] for name in sorted(self._channels)]

    async def drop_channel(self, name: str) -> None:
        channel = await self._channel(name)

        async def work(db: Db) -> dict[str, tuple[int, ChannelSpec]]:
            await db.fetch("SELECT FROM partition WHERE channel = $1 ORDER BY part FOR UPDATE", channel)
            for table in (
                "partition",
                "record",
                "identity",
                "grp",
                "member",
                "cursor",
                "state",
                "parked",
                "attempt",
            ):
                await db.execute(f"DELETE FROM {table} WHERE channel = $1", channel)
            await db.execute("DELETE FROM channel WHERE id = $1", channel)
            # What waited for one of another channel, in the order of a key, waits no more.
            await db.execute(
                "UPDATE parked q SET blocked = false WHERE blocked AND NOT EXISTS (SELECT FROM parked p"
                " WHERE p.grp = q.grp AND p.key = q.key AND p.seq < q.seq)"
            )
            await db.execute("SELECT pg_notify($1, $2)", self._topic, f"channel {channel}")
            return await _channels(db)

        try:
            self._channels = await self._db.write(work)
        finally:
            self._tail.forget(channel)
            self._wakeups.notify(f"channel {channel}")

    async def stats(self, name: str) -> list[PartitionStats]:
        channel = await self._channel(name)
        # Offsets have no gaps, so that nothing need be counted. What is much is not added up, but sampled at both ends.
        some = "SELECT octet_length(body) AS size FROM record WHERE channel = p.channel AND part = p.part ORDER BY off"
        query = (
            "SELECT p.part, p.next, f.off, f.time_us, s.size FROM partition p"
            " LEFT JOIN LATERAL (SELECT off, time_us FROM record WHERE channel = p.channel AND part = p.part"
            " ORDER BY off LIMIT 1) f ON true, LATERAL ("
            f"SELECT avg(size)::float8 AS size FROM (({some} LIMIT $2) UNION ALL ({some} DESC LIMIT $2)) b) s"
            " WHERE p.channel = $1 ORDER BY p.part"
        )
        rows = await self._db.read(lambda db: db.fetch(query, channel, SAMPLE))
        return [
            PartitionStats(part, ahead, ahead, 0, 0, None)
            if first is None
            else PartitionStats(part, first, ahead, ahead - first, round((ahead - first) * size), oldest)
            for part, ahead, first, oldest, size in rows
        ]

    async def append(self, name: str, batch: Sequence[Record], *, sync: bool = True) -> list[Appended]:
        channel = await self._channel(name)
        _ = self._db
        try:
            return await self._appender.append(channel, self._channels[name][1], batch, sync=sync)
        except NotFound:
            self._channels.pop(name, None)  # dropped by another process, and maybe made again
            if await self._channel(name) == channel:
                raise
            return await self.append(name, batch, sync=sync)

    async def read(
        self,
        name: str,
        partition: int,
        offset: int,
        *,
        limit: int,
        wait: float = 0,
        types: Collection[str] | None = None,
    ) -> list[StoredRecord]:
        some = "" if types is None else " AND type = ANY($5::text[])"
        where = f"channel = $1 AND part = $2 AND off >= $3{some}"
        query = f"SELECT {RECORD} FROM record WHERE {where} ORDER BY off LIMIT $4"
        values = (partition, offset, limit, *(() if types is None else (list(types),)))
        deadline = asyncio.get_running_loop().time() + wait
        follows, look = wait > 0 and types is None, False
        while True:
            channel = await self._channel(name)
            if follows and (last := self._tail.take(channel, partition, offset, limit)):
                return last
            ticket = self._wakeups.ticket(f"channel {channel}")
            news, rows = self._tail.news(channel), []
            known = follows and self._database.hears and self._tail.is_end(channel, partition, offset)
            if look or not known:
                rows = await self._db.read(lambda db, channel=channel: db.fetch(query, channel, *values))  # type: ignore[misc]
                if follows and not rows:
                    self._tail.ends(channel, partition, offset, news)
            left = deadline - asyncio.get_running_loop().time()
            if rows or left <= 0:
                return [stored(row) for row in rows]
            with self._tail.following(channel):
                await self._sleep(ticket, left)
            look = not ticket.done()

    async def fetch(self, name: str, positions: Sequence[Position]) -> list[StoredRecord | None]:
        channel = await self._channel(name)
        rows = await self._db.read(
            lambda db: db.fetch(
                f"SELECT {RECORD} FROM record WHERE channel = $1 AND (part, off) IN"
                " (SELECT * FROM unnest($2::int[], $3::bigint[]))",
                channel,
                [position.partition for position in positions],
                [position.offset for position in positions],
            )
        )
        found = {item.position: item for item in map(stored, rows)}
        return [found.get(position) for position in positions]

    async def offset_at(self, name: str, partition: int, start: Start) -> int:
        channel = await self._channel(name)

        if start == "latest":
            query, values = (
                "SELECT next FROM partition WHERE channel = $1 AND part = $2",
                [channel, partition],
            )
        else:
            query = f"SELECT {SINCE}($1, $2, $3)"
            values = [channel, partition, 0 if start == "earliest" else start]
        return int(await self._db.read(lambda db: db.fetchval(query, *values)) or 0)

    async def trim(self, name: str, partition: int, before: int) -> int:
        channel = await self._channel(name)
        window_us = self._channels[name][1].dedupe_us

        async def work(db: Db) -> int:
            below = (channel, partition, before)
            if window_us is not None:
                await db.execute(
                    "DELETE FROM identity WHERE channel = $1 AND time_us <= $3::bigint +"
                    " (SELECT last_us FROM partition WHERE channel = $1 AND part = $2)",
                    channel,
                    partition,
                    -window_us,
                )
            await db.execute("DELETE FROM attempt WHERE channel = $1 AND part = $2 AND off < $3", *below)
            done = await db.execute(
                "DELETE FROM record WHERE channel = $1 AND part = $2 AND off < $3", *below
            )
            return affected(done)

        self._tail.forget(channel)
        return await self._db.write(work)


def affected(status: str) -> int:
    """How many rows a statement changed, from its command tag."""
    return int(status.rpartition(" ")[2])


async def _channels(db: Db) -> dict[str, tuple[int, ChannelSpec]]:
    rows = await db.fetch("SELECT id, name, partitions, dedupe_us FROM channel")
    return {name: (id, ChannelSpec(name, partitions, dedupe_us)) for id, name, partitions, dedupe_us in rows}
