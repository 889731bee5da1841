"""The log of a store in SQLite."""

# ruff: noqa: S608  only names of columns and tables are put into statements; values are bound

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
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
    partition_of,
)
from workflow_engine.events.stores.sqlite_connection import Connection, FileLock
from workflow_engine.events.stores.sqlite_schema import upgrade
from workflow_engine.events.stores.wakeups import Wakeups

RECORD = "part, off, time_us, received_us, source, id, type, subject, key, identity, body"
"""The columns that `stored` reads."""
SAMPLE = 1000
"""From how many of the oldest and of the newest records of a partition the size of all is told."""


def stored(row: Sequence[Any]) -> StoredRecord:
    """The record of a row that begins with the columns of `RECORD`."""
    part, off, time_us, received_us, source, id, type, subject, key, identity, body = row[:11]
    record = Record(source, id, type, subject, key, received_us, body, identity)
    return StoredRecord(Position(part, off), record, time_us)


class SqliteLog:
    """`EventStore` over a table of records."""

    caps = Caps.DURABLE | Caps.DEDUPE_FOREVER | Caps.SEEK_TIME | Caps.TYPE_FILTER | Caps.QUERY

    def __init__(self, path: Path, *, synchronous: str = "full") -> None:
        self._path = path
        self._shown = str(path)
        self._why = ""
        self._synchronous = synchronous
        self._lock = FileLock(path)
        self._connection: Connection | None = None
        self._wakeups = Wakeups()
        self._channels: dict[str, tuple[int, ChannelSpec]] = {}

    def _require_open(self) -> Connection:
        if self._connection is None:
            raise Unavailable(f"the event store {self._shown} is not open{self._why}")
        return self._connection

    @property
    def _db(self) -> Connection:
        return self._require_open()

    async def open(self) -> None:
        if self._connection is not None:
            return
        await asyncio.to_thread(self._lock.acquire)
        connection = None
        try:
            connection = Connection(self._path, synchronous=self._synchronous)
            await connection.write(upgrade)
            self._channels = await connection.read(read_channels)
        except BaseException as error:
            if connection is not None:
                await connection.close()
            self._lock.release()
            if isinstance(error, sqlite3.Error):
                raise Unavailable(f"{self._path} cannot be opened as an event store: {error}") from error
            raise
        self._connection = connection

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
            self._lock.release()
            self._wakeups.notify_all()

    def _channel(self, name: str) -> int:
        if name not in self._channels:
            self._require_open()
            raise NotFound("channel", name)
        return self._channels[name][0]

    async def ensure_channel(self, spec: ChannelSpec) -> ChannelSpec:
        def work(db: sqlite3.Connection) -> dict[str, tuple[int, ChannelSpec]]:
            db.execute(
                "INSERT INTO channel (name, partitions, dedupe_us) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (spec.name, spec.partitions, spec.dedupe_us),
            )
            return read_channels(db)

        if spec.name not in self._channels:
            self._channels = await self._db.write(work)
        return self._channels[spec.name][1]

    async def channels(self) -> list[ChannelSpec]:
        self._require_open()
        return [self._channels[name][1] for name in sorted(self._channels)]

    async def drop_channel(self, name: str) -> None:
        channel = self._channel(name)

        def work(db: sqlite3.Connection) -> dict[str, tuple[int, ChannelSpec]]:
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
                db.execute(f"DELETE FROM {table} WHERE channel = ?", (channel,))
            db.execute("DELETE FROM channel WHERE id = ?", (channel,))
            # What waited for one of another channel, in the order of a key, waits no more.
            db.execute(
                "UPDATE parked SET blocked = 0 WHERE blocked AND key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM parked p"
                " WHERE p.grp = parked.grp AND p.key = parked.key AND p.seq < parked.seq)"
            )
            return read_channels(db)

        self._channels = await self._db.write(work)
        self._wakeups.notify(name)

    async def stats(self, name: str) -> list[PartitionStats]:
        channel = self._channel(name)
        partitions = self._channels[name][1].partitions
        some = " FROM record WHERE channel = ? AND part = ? ORDER BY off"

        def work(db: sqlite3.Connection) -> list[PartitionStats]:
            rows = []
            for part in range(partitions):
                ahead = _next(db, channel, part)[0]
                oldest = db.execute(f"SELECT off, time_us{some} LIMIT 1", (channel, part)).fetchone()
                if oldest is None:
                    rows.append(PartitionStats(part, ahead, ahead, 0, 0, None))
                    continue
                # Offsets have no gaps, so that nothing need be counted; what is much is sampled at both ends.
                size = 0.0
                for way in ("", " DESC"):
                    query = f"SELECT avg(size) FROM (SELECT length(body) AS size{some}{way} LIMIT {SAMPLE})"
                    size += db.execute(query, (channel, part)).fetchone()[0] / 2
                count = ahead - oldest[0]
                rows.append(PartitionStats(part, oldest[0], ahead, count, round(count * size), oldest[1]))
            return rows

        return await self._db.read(work)

    async def append(self, name: str, batch: Sequence[Record], *, sync: bool = True) -> list[Appended]:
        channel = self._channel(name)
        spec = self._channels[name][1]

        def work(db: sqlite3.Connection) -> list[Appended]:
            require(db, name, channel)
            tails: dict[int, tuple[int, int]] = {}
            answers = []
            for record in batch:
                digest = record.digest()
                known = None
                if spec.dedupe_us != 0:  # else nothing is a duplicate, though clocks may go back
                    known = db.execute(
                        "SELECT part, off, time_us FROM identity WHERE channel = ? AND digest = ?",
                        (channel, digest),
                    ).fetchone()
                if known and (spec.dedupe_us is None or record.time_us - known[2] < spec.dedupe_us):
                    answers.append(Appended(Position(known[0], known[1]), duplicate=True))
                    continue
                part = partition_of(record.key, spec.partitions)
                off, last_us = tails[part] if part in tails else _next(db, channel, part)
                tails[part] = (off + 1, max(last_us, record.time_us))
                _insert(db, channel, part, off, tails[part][1], record)
                if spec.dedupe_us != 0:
                    db.execute(
                        "INSERT OR REPLACE INTO identity VALUES (?, ?, ?, ?, ?)",
                        (channel, digest, part, off, record.time_us),
                    )
                answers.append(Appended(Position(part, off), duplicate=False))
            for part, (off, last_us) in tails.items():
                db.execute(
                    "INSERT OR REPLACE INTO partition VALUES (?, ?, ?, ?)", (channel, part, off, last_us)
                )
            return answers

        answers = await self._db.write(work, sync=sync)
        self._wakeups.notify(name)
        return answers

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
        some = "" if types is None else f" AND type IN ({', '.join('?' * len(types))})"
        # With types, the index on them is walked and the few that fit are sorted.
        query = f"SELECT {RECORD} FROM record WHERE channel = ? AND part = ? AND off >= ?{some} ORDER BY off LIMIT ?"

        def work(db: sqlite3.Connection) -> list[StoredRecord]:
            found = db.execute(query, (channel, partition, offset, *(types or ()), limit))
            return [stored(row) for row in found]

        deadline = asyncio.get_running_loop().time() + wait
        while True:
            channel = self._channel(name)
            ticket = self._wakeups.ticket(name)
            found = await self._db.read(work)
            left = deadline - asyncio.get_running_loop().time()
            if found or left <= 0:
                return found
            await asyncio.wait({ticket}, timeout=left)

    async def fetch(self, name: str, positions: Sequence[Position]) -> list[StoredRecord | None]:
        channel = self._channel(name)

        def work(db: sqlite3.Connection) -> list[StoredRecord | None]:
            rows = []
            for position in positions:
                row = db.execute(
                    f"SELECT {RECORD} FROM record WHERE channel = ? AND part = ? AND off = ?",
                    (channel, position.partition, position.offset),
                ).fetchone()
                rows.append(stored(row) if row else None)
            return rows

        return await self._db.read(work)

    async def offset_at(self, name: str, partition: int, start: Start) -> int:
        channel = self._channel(name)

        def work(db: sqlite3.Connection) -> int:
            ahead = _next(db, channel, partition)[0]
            if start == "latest":
                return ahead
            if start == "earliest":
                row = db.execute(
                    "SELECT min(off) FROM record WHERE channel = ? AND part = ?", (channel, partition)
                ).fetchone()
                return ahead if row[0] is None else int(row[0])
            return first_since(db, channel, partition, int(start), ahead)

        return await self._db.read(work)

    async def trim(self, name: str, partition: int, before: int) -> int:
        channel = self._channel(name)
        window_us = self._channels[name][1].dedupe_us

        def work(db: sqlite3.Connection) -> int:
            below = (channel, partition, before)
            if window_us is not None:
                db.execute(
                    "DELETE FROM identity WHERE channel = ? AND time_us <= ?",
                    (channel, _next(db, channel, partition)[1] - window_us),
                )
            db.execute("DELETE FROM attempt WHERE channel = ? AND part = ? AND off < ?", below)
            return db.execute("DELETE FROM record WHERE channel = ? AND part = ? AND off < ?", below).rowcount

        return await self._db.write(work)


def read_channels(db: sqlite3.Connection) -> dict[str, tuple[int, ChannelSpec]]:
    rows = db.execute("SELECT id, name, partitions, dedupe_us FROM channel").fetchall()
    return {name: (id, ChannelSpec(name, partitions, dedupe_us)) for id, name, partitions, dedupe_us in rows}


def require(db: sqlite3.Connection, name: str, channel: int) -> None:
    """`NotFound` where the channel was dropped before this write had its turn."""
    if db.execute("SELECT 1 FROM channel WHERE id = ?", (channel,)).fetchone() is None:
        raise NotFound("channel", name)


def _next(db: sqlite3.Connection, channel: int, part: int) -> tuple[int, int]:
    """The next offset and the last time of a partition."""
    row = db.execute(
        "SELECT next, last_us FROM partition WHERE channel = ? AND part = ?", (channel, part)
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def first_since(db: sqlite3.Connection, channel: int, part: int, time_us: int, ahead: int) -> int:
    """The first offset whose time is not before *time_us*, by bisection: times never run backwards."""
    row = db.execute("SELECT min(off) FROM record WHERE channel = ? AND part = ?", (channel, part)).fetchone()
    low, high = ahead if row[0] is None else row[0], ahead
    while low < high:
        middle = (low + high) // 2
        found = db.execute(
            "SELECT off, time_us FROM record WHERE channel = ? AND part = ? AND off >= ? ORDER BY off LIMIT 1",
            (channel, part, middle),
        ).fetchone()
        if found is None or found[1] >= time_us:
            high = middle
        else:
            low = found[0] + 1
    return int(low)


def _insert(db: sqlite3.Connection, channel: int, part: int, off: int, time_us: int, record: Record) -> None:
    db.execute(
        f"INSERT INTO record (channel, {RECORD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            channel,
            part,
            off,
            time_us,
            record.time_us,
            record.source,
            record.id,
            record.type,
            record.subject,
            record.key,
            record.identity,
            record.body,
        ),
    )
