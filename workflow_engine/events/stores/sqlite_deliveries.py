"""The deliveries and the ledger of a store in SQLite."""

# ruff: noqa: S608  only names of columns and tables are put into statements; values are bound

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from workflow_engine.events.spi import (
    RAN_OUT,
    Again,
    Attempt,
    Backlog,
    Done,
    Hit,
    Parked,
    Position,
    Query,
    Settled,
)
from workflow_engine.events.stores.indices import by_partition
from workflow_engine.events.stores.sqlite_log import RECORD, SqliteLog, first_since, require, stored

_PARKED = "id, channel, grp, part, off, due_us, payload, key, attempt, first_us, reason, owner"
_HALVES = ("grp = ? AND NOT blocked", "grp = ? AND key IS NOT NULL AND blocked")
"""The deliveries of a group: only what has a key is blocked, and each half has an index."""
_NEVER = 1 << 62
_FEW = 500
"""Up to how many deliveries that are due are looked at one by one; with more, groups are, which are fewer."""


class SqliteDeliveries(SqliteLog):
    """`DeliveryStore` over tables of deliveries and attempts."""

    _last_group = ""

    async def park(self, items: Sequence[Parked]) -> None:
        await self._db.write(lambda db: self._park(db, items))

    def _park(self, db: sqlite3.Connection, items: Sequence[Parked]) -> None:
        for name in {item.channel for item in items}:
            require(db, name, self._channel(name))
        for item in items:
            db.execute(
                f"INSERT INTO parked ({_PARKED}, blocked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL,"
                " EXISTS (SELECT 1 FROM parked WHERE grp = ? AND key = ?)) ON CONFLICT (id) DO NOTHING",
                (
                    item.id,
                    self._channel(item.channel),
                    item.group,
                    item.position.partition,
                    item.position.offset,
                    item.due_us,
                    item.payload,
                    item.key,
                    item.attempt,
                    item.first_us,
                    item.reason,
                    item.group,
                    item.key,
                ),
            )

    def _items(self, rows: Iterable[Sequence[Any]]) -> list[Parked]:
        """The deliveries of *rows*, but of those whose channel is dropped meanwhile."""
        names = {number: name for name, (number, _) in self._channels.items()}
        return [
            Parked(row[0], names[row[1]], row[2], Position(row[3], row[4]), *row[5:])
            for row in rows
            if row[1] in names
        ]

    async def due(
        self,
        owner: str,
        now_us: int,
        *,
        limit: int,
        lease_us: int,
        per_group: int,
        room: Mapping[str, int] | None = None,
    ) -> list[Parked]:
        def work(db: sqlite3.Connection) -> list[Parked]:
            leased: list[Parked] = []
            for group in self._turns(db, now_us):
                most = min((room or {}).get(group, per_group), limit - len(leased))
                leased += self._lease(db, {group: most}, owner, now_us, now_us + lease_us)
                if len(leased) == limit:
                    break
            if leased:
                self._last_group = leased[-1].group
            return leased

        return await self._db.write(work, sync=False)

    def _lease(
        self, db: sqlite3.Connection, room: Mapping[str, int], owner: str, now_us: int, until_us: int
    ) -> list[Parked]:
        """Lease what is due of each group in *room*, as much as it says."""
        leased: list[Parked] = []
        for group, most in room.items():
            rows = db.execute(
                f"SELECT {_PARKED} FROM parked WHERE grp = ? AND NOT blocked AND due_us <= ?"
                " ORDER BY due_us, seq LIMIT ?",
                (group, now_us, max(0, most)),
            )
            leased += [_leased(item, owner, until_us) for item in self._items(rows)]
        db.executemany(
            "UPDATE parked SET owner = ?, due_us = ?, attempt = ?, reason = ? WHERE id = ?",
            [(owner, until_us, item.attempt, item.reason, item.id) for item in leased],
        )
        return leased

    def _turns(self, db: sqlite3.Connection, now_us: int) -> Iterable[str]:
        """The groups that may have something due, beginning after the one that was served last."""
        few = db.execute(
            "SELECT grp FROM parked WHERE NOT blocked AND due_us <= ? ORDER BY due_us, seq LIMIT ?",
            (now_us, _FEW),
        ).fetchall()
        if len(few) == _FEW:
            return _groups_after(db, self._last_group)
        groups = sorted({group for (group,) in few})
        return [*(g for g in groups if g > self._last_group), *(g for g in groups if g <= self._last_group)]

    async def next_due(self, exclude: Collection[str] = ()) -> int | None:
        def work(db: sqlite3.Connection) -> int | None:
            first = db.execute(
                "SELECT due_us, grp FROM parked WHERE NOT blocked ORDER BY due_us, seq LIMIT ?", (_FEW,)
            ).fetchall()
            for due_us, group in first:
                if group not in exclude:
                    return int(due_us)
            if len(first) < _FEW:
                return None
            query = "SELECT min(due_us) FROM parked WHERE grp = ? AND NOT blocked"
            groups = (group for group in _groups_after(db, "") if group not in exclude)
            earliest = (db.execute(query, (group,)).fetchone()[0] for group in groups)
            return min((due_us for due_us in earliest if due_us is not None), default=None)

        return await self._db.read(work)

    async def settle(
        self,
        item: Parked,
        outcome: Done | Again,
        *,
        ledger: Sequence[Attempt] = (),
        next_until_us: int | None = None,
    ) -> Settled:
        held = (item.id, item.owner, item.due_us)

        def work(db: sqlite3.Connection) -> Settled:
            self._log(db, ledger)
            if isinstance(outcome, Again):
                again = db.execute(
                    "UPDATE parked SET owner = NULL, due_us = ?, reason = ?, attempt = attempt + 1"
                    " WHERE id = ? AND owner = ? AND due_us = ?",
                    (outcome.due_us, outcome.reason, *held),
                )
                return Settled(again.rowcount > 0)
            gone = db.execute("DELETE FROM parked WHERE id = ? AND owner = ? AND due_us = ?", held)
            if not gone.rowcount or item.key is None:
                return Settled(gone.rowcount > 0)
            row = db.execute(
                f"SELECT seq, {_PARKED} FROM parked WHERE grp = ? AND key = ? ORDER BY seq LIMIT 1",
                (item.group, item.key),
            ).fetchone()
            if row is None:
                return Settled(held=True)
            if next_until_us is None:
                db.execute("UPDATE parked SET blocked = 0 WHERE seq = ?", row[:1])
                return Settled(held=True)
            db.execute(
                "UPDATE parked SET blocked = 0, owner = ?, due_us = ? WHERE seq = ?",
                (item.owner, next_until_us, row[0]),
            )
            (following,) = self._items([row[1:]])
            return Settled(held=True, next=replace(following, owner=item.owner, due_us=next_until_us))

        return await self._db.write(work, sync=False)

    async def put_back(self, owner: str, *, keep: Collection[str] = ()) -> int:
        """As `DoubtfulStore`; for stores on top of this one."""

        def work(db: sqlite3.Connection) -> int:
            leased = db.execute("SELECT id FROM parked WHERE owner = ?", (owner,)).fetchall()
            lost = [ids for ids in leased if ids[0] not in keep]
            db.executemany("UPDATE parked SET owner = NULL, due_us = 0 WHERE id = ?", lost)
            return len(lost)

        return await self._db.write(work, sync=False)

    async def discard(self, group: str, key: str | None = None) -> list[Parked]:
        wheres = _HALVES if key is None else ("grp = ? AND key = ?",)
        values = (group,) if key is None else (group, key)

        def work(db: sqlite3.Connection) -> list[Parked]:
            rows = [
                row
                for where in wheres
                for row in db.execute(f"SELECT seq, {_PARKED} FROM parked WHERE {where}", values)
            ]
            for where in wheres:
                db.execute(f"DELETE FROM parked WHERE {where}", values)
            return self._items(row[1:] for row in sorted(rows))

        return await self._db.write(work)

    async def parked(
        self, group: str | None = None, *, at: tuple[str, Position] | None = None
    ) -> list[Parked]:
        wheres, values = ["1"], list[Any]()
        if at is not None:
            wheres = ["channel = ? AND part = ? AND off = ?"]
            values = [self._channel(at[0]), at[1].partition, at[1].offset]
        if group is not None:
            wheres = [*_HALVES] if at is None else [f"{wheres[0]} AND grp = ?"]
            values.append(group)

        def work(db: sqlite3.Connection) -> list[Parked]:
            rows = [
                row
                for where in wheres
                for row in db.execute(f"SELECT seq, {_PARKED} FROM parked WHERE {where}", values)
            ]
            return self._items(row[1:] for row in sorted(rows))

        return await self._db.read(work)

    async def parked_page(self, after: int, limit: int) -> list[tuple[int, Parked]]:
        query = f"SELECT seq, {_PARKED} FROM parked WHERE seq > ? ORDER BY seq LIMIT ?"

        def work(db: sqlite3.Connection) -> list[tuple[int, Parked]]:
            rows = db.execute(query, (after, limit)).fetchall()
            items = {item.id: item for item in self._items(row[1:] for row in rows)}
            return [(row[0], items[row[1]]) for row in rows if row[1] in items]

        return await self._db.read(work)

    async def backlog(self) -> dict[str, int]:
        return await self._db.read(
            lambda db: dict(
                db.execute("SELECT grp, count(*) FROM parked GROUP BY grp ORDER BY grp").fetchall()
            )
        )

    async def backlogs(self) -> list[Backlog]:
        query = "SELECT grp, count(*), min(first_us), max(attempt) FROM parked GROUP BY grp ORDER BY grp"
        return await self._db.read(lambda db: [Backlog(*row) for row in db.execute(query)])

    async def log_attempts(self, rows: Sequence[Attempt]) -> None:
        await self._db.write(lambda db: self._log(db, rows), sync=False)

    def _log(self, db: sqlite3.Connection, rows: Sequence[Attempt]) -> None:
        for name in {row.channel for row in rows}:
            require(db, name, self._channel(name))
        db.executemany(
            "INSERT INTO attempt (channel, part, off, grp, delivery, status, at_us, n, ms, code, detail, reference)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    self._channel(row.channel),
                    row.position.partition,
                    row.position.offset,
                    row.group,
                    row.delivery,
                    row.status,
                    row.at_us,
                    row.n,
                    row.ms,
                    row.code,
                    row.detail,
                    row.reference,
                )
                for row in rows
            ],
        )

    async def attempts(self, name: str, position: Position) -> list[Attempt]:
        channel = self._channel(name)
        return await self._db.read(
            lambda db: [
                Attempt(name, position, *row)
                for row in db.execute(
                    "SELECT grp, delivery, status, at_us, n, ms, code, detail, reference FROM attempt"
                    " WHERE channel = ? AND part = ? AND off = ? ORDER BY seq",
                    (channel, position.partition, position.offset),
                )
            ]
        )

    async def search(self, query: Query) -> list[Hit]:
        plain = not by_partition(query)
        channels = [self._channel(query.channel)] if query.channel is not None else []
        wanted: list[tuple[str, str | int | None]] = [
            ("type = ?", query.type),
            ("source = ?", query.source),
            ("subject = ?", query.subject),
            ("id = ?", query.id),
            ("seq < ?", None if query.cursor is None else int(query.cursor)),
        ]
        given = [(sql, value) for sql, value in wanted if value is not None]
        where = " AND ".join(["1", *(sql for sql, _ in given)])
        values = [value for _, value in given]
        times = (query.from_us or 0, _NEVER if query.to_us is None else query.to_us)

        def work(db: sqlite3.Connection) -> list[Any]:
            if plain:
                statement = f"SELECT seq, channel, {RECORD} FROM record WHERE {where} AND time_us >= ? AND time_us < ?"
                statement += "".join(" AND channel = ?" for _ in channels) + " ORDER BY seq DESC LIMIT ?"
                return db.execute(statement, [*values, *times, *channels, query.limit]).fetchall()
            statement = (
                f"SELECT seq, channel, {RECORD} FROM record WHERE channel = ? AND part = ? AND {where}"
            )
            statement += " AND off >= ? AND off < ? ORDER BY off DESC LIMIT ?"
            rows: list[Any] = []
            last = db.execute(
                "SELECT channel, part, off FROM record WHERE seq = ?", (query.cursor,)
            ).fetchone()
            for channel, part, ahead in db.execute("SELECT channel, part, next FROM partition").fetchall():
                if channels not in ([], [channel]):
                    continue
                since, until = (
                    first_since(db, channel, part, time_us, ahead) if 0 < time_us < _NEVER else time_us
                    for time_us in times
                )
                if last is not None and last[:2] == (channel, part):
                    until = min(until, last[2])
                rows += db.execute(statement, [channel, part, *values, since, until, query.limit])
            return heapq.nlargest(query.limit, rows)

        rows = await self._db.read(work)
        names = {number: name for name, (number, _) in self._channels.items()}
        return [Hit(names[row[1]], stored(row[2:]), str(row[0])) for row in rows if row[1] in names]


def _leased(item: Parked, owner: str, until_us: int) -> Parked:
    if item.owner is not None:
        item = replace(item, attempt=item.attempt + 1, reason=RAN_OUT)
    return replace(item, owner=owner, due_us=until_us)


def _groups_after(db: sqlite3.Connection, last: str) -> Iterator[str]:
    """Every group with deliveries once, by name, beginning after *last*: each is one look into an index."""
    for where, values in (("grp > ?", [last]), ("grp <= ?", [last])):
        at = ""
        while True:
            row = db.execute(
                f"SELECT min(grp) FROM parked WHERE {where} AND grp > ?", [*values, at]
            ).fetchone()
            if row[0] is None:
                break
            at = row[0]
            yield at
