"""The consumer groups of a store in SQLite."""

# ruff: noqa: S608  only names of columns and tables are put into statements; values are bound

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from workflow_engine.events.shared_store import Claim
from workflow_engine.events.spi import Assignment, Attempt, Fenced, Parked
from workflow_engine.events.stores.indices import between
from workflow_engine.events.stores.sqlite_deliveries import SqliteDeliveries


class SqliteGroups(SqliteDeliveries):
    """`GroupStore` over tables of members, cursors and state."""

    async def join(self, name: str, group: str, member: str, now_us: int, ttl_us: int) -> Assignment:
        channel = self._channel(name)

        def work(db: sqlite3.Connection) -> Assignment:
            db.execute(
                "DELETE FROM member WHERE channel = ? AND grp = ? AND expires_us <= ?",
                (channel, group, now_us),
            )
            db.execute(
                "INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?)", (channel, group, member, now_us + ttl_us)
            )
            _advance(db, channel, group)
            return self._assignment(db, name, group, member)

        return await self._db.write(work, sync=False)

    def _assignment(self, db: sqlite3.Connection, name: str, group: str, member: str) -> Assignment:
        channel, spec = self._channels[name]
        members = dict(
            db.execute(
                "SELECT name, expires_us FROM member WHERE channel = ? AND grp = ? ORDER BY name",
                (channel, group),
            ).fetchall()
        )
        held = range(list(members).index(member), spec.partitions, len(members))
        return Assignment(name, group, member, tuple(held), _epoch(db, channel, group), members[member])

    async def heartbeat(self, held: Assignment, now_us: int, ttl_us: int) -> Assignment:
        channel = self._channel(held.channel)
        me = (channel, held.group, held.member)

        def work(db: sqlite3.Connection) -> Assignment:
            alive = db.execute(
                "UPDATE member SET expires_us = ? WHERE channel = ? AND grp = ? AND name = ? AND expires_us > ?",
                (now_us + ttl_us, *me, now_us),
            )
            if not alive.rowcount:
                raise Fenced(f"member {held.member} of {held.group} was silent for too long")
            gone = db.execute(
                "DELETE FROM member WHERE channel = ? AND grp = ? AND expires_us <= ?", (*me[:2], now_us)
            )
            if gone.rowcount:
                _advance(db, channel, held.group)
            return self._assignment(db, held.channel, held.group, held.member)

        return await self._db.write(work, sync=False)

    async def leave(self, held: Assignment) -> None:
        me = (self._channel(held.channel), held.group, held.member)

        def work(db: sqlite3.Connection) -> None:
            if db.execute("DELETE FROM member WHERE channel = ? AND grp = ? AND name = ?", me).rowcount:
                _advance(db, me[0], held.group)

        await self._db.write(work, sync=False)

    async def committed(self, name: str, group: str) -> dict[int, int]:
        channel = self._channel(name)
        return await self._db.read(
            lambda db: dict(
                db.execute(
                    "SELECT part, off FROM cursor WHERE channel = ? AND grp = ?", (channel, group)
                ).fetchall()
            )
        )

    async def commit(
        self,
        held: Assignment,
        offsets: Mapping[int, int],
        *,
        outbox: Sequence[Parked] = (),
        state: Mapping[str, bytes | None] | None = None,
        ledger: Sequence[Attempt] = (),
        sync: bool = True,
    ) -> None:
        given = (held, offsets, outbox, state or {}, ledger)
        await self._db.write(lambda db: self._commit(db, *given), sync=sync)

    async def commit_and_claim(
        self,
        held: Assignment,
        offsets: Mapping[int, int],
        *,
        outbox: Sequence[Parked],
        state: Mapping[str, bytes | None],
        ledger: Sequence[Attempt],
        sync: bool,
        claim: Claim,
    ) -> tuple[list[Parked], bool]:
        def work(db: sqlite3.Connection) -> tuple[list[Parked], bool]:
            self._commit(db, held, offsets, outbox, state, ledger)
            items = self._lease(db, claim.room, claim.owner, claim.now_us, claim.until_us)
            due = "SELECT 1 FROM parked WHERE grp = ? AND NOT blocked AND due_us <= ? LIMIT 1"
            groups = {item.group for item in outbox}
            left = any(db.execute(due, (group, claim.now_us)).fetchone() for group in groups)
            return items, left

        return await self._db.write(work, sync=sync)

    def _commit(
        self,
        db: sqlite3.Connection,
        held: Assignment,
        offsets: Mapping[int, int],
        outbox: Sequence[Parked],
        state: Mapping[str, bytes | None],
        ledger: Sequence[Attempt],
    ) -> None:
        channel, group = self._channel(held.channel), held.group
        epoch = _epoch(db, channel, group)
        member = db.execute(
            "SELECT 1 FROM member WHERE channel = ? AND grp = ? AND name = ?",
            (channel, group, held.member),
        ).fetchone()
        if epoch != held.epoch or member is None or not {*offsets} <= {*held.partitions}:
            raise Fenced(f"{group} of {held.channel} was given to others (epoch {epoch})")
        _move(db, channel, group, offsets)
        self._park(db, outbox)
        for key, value in state.items():
            if value is None:
                db.execute(
                    "DELETE FROM state WHERE channel = ? AND grp = ? AND key = ?", (channel, group, key)
                )
            else:
                db.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)", (channel, group, key, value))
        self._log(db, ledger)

    async def states(
        self, name: str, group: str, prefix: str = "", *, after: str | None = None, limit: int | None = None
    ) -> dict[str, bytes]:
        channel = self._channel(name)
        where, values = between("key", prefix, "?", "?", after)
        query = f"SELECT key, value FROM state WHERE channel = ? AND grp = ? AND {where} ORDER BY key LIMIT ?"
        given = (channel, group, *values, -1 if limit is None else limit)
        return await self._db.read(lambda db: dict(db.execute(query, given).fetchall()))

    async def seek(self, name: str, group: str, offsets: Mapping[int, int]) -> None:
        channel = self._channel(name)

        def work(db: sqlite3.Connection) -> None:
            _move(db, channel, group, offsets)
            _advance(db, channel, group)

        await self._db.write(work)

    async def drop_group(self, name: str, group: str) -> None:
        channel = self._channel(name)

        def work(db: sqlite3.Connection) -> None:
            for table in ("member", "cursor", "state"):
                db.execute(f"DELETE FROM {table} WHERE channel = ? AND grp = ?", (channel, group))
            _advance(db, channel, group)

        await self._db.write(work)


def _epoch(db: sqlite3.Connection, channel: int, group: str) -> int:
    row = db.execute("SELECT epoch FROM grp WHERE channel = ? AND name = ?", (channel, group)).fetchone()
    return row[0] if row else 0


def _advance(db: sqlite3.Connection, channel: int, group: str) -> None:
    db.execute(
        "INSERT INTO grp VALUES (?, ?, 1) ON CONFLICT (channel, name) DO UPDATE SET epoch = epoch + 1",
        (channel, group),
    )


def _move(db: sqlite3.Connection, channel: int, group: str, offsets: Mapping[int, int]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?)",
        [(channel, group, part, off) for part, off in offsets.items()],
    )
