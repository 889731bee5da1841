"""A store in one SQLite file, owned by one process: the default, and enough for one machine."""

# ruff: noqa: S608  only names of columns and tables are put into statements; values are bound

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator

from workflow_engine.errors import Conflict
from workflow_engine.events.spi import Change, Lease, Versioned
from workflow_engine.events.stores.indices import between
from workflow_engine.events.stores.sqlite_groups import SqliteGroups

_SETTINGS = "\0settings"


class SqliteStore(SqliteGroups):
    """All four protocols in the file *path*, which is created with its folders.

    *synchronous* is ``full`` (an acknowledged event survives a loss of power) or ``normal`` (it survives the
    death of the process only; several times as many single publishes a second).
    """

    async def get(self, key: str) -> Versioned | None:
        row = await self._db.read(
            lambda db: db.execute(
                "SELECT key, value, rev FROM setting WHERE key = ? AND value IS NOT NULL", (key,)
            ).fetchone()
        )
        return Versioned(*row) if row else None

    async def put(self, key: str, value: bytes, *, if_rev: int | None = None) -> int:
        def work(db: sqlite3.Connection) -> int:
            _require(db, key, if_rev)
            return _set(db, key, value)

        rev = await self._db.write(work)
        self._wakeups.notify(_SETTINGS)
        return rev

    async def delete(self, key: str, *, if_rev: int | None = None) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            present = _require(db, key, if_rev)
            if present:
                _set(db, key, None)
            return present

        present = await self._db.write(work)
        self._wakeups.notify(_SETTINGS)
        return present

    async def entries(
        self, prefix: str, *, after: str | None = None, limit: int | None = None
    ) -> list[Versioned]:
        where, values = between("key", prefix, "?", "?", after)
        query = (
            f"SELECT key, value, rev FROM setting WHERE {where} AND value IS NOT NULL ORDER BY key LIMIT ?"
        )
        given = (*values, -1 if limit is None else limit)
        return await self._db.read(lambda db: [Versioned(*row) for row in db.execute(query, given)])

    async def watch(self, prefix: str, from_rev: int) -> AsyncIterator[Change]:
        def work(db: sqlite3.Connection) -> list[Change]:
            rows = db.execute(
                "SELECT key, value, rev FROM setting WHERE rev > ? AND substr(key, 1, ?) = ? ORDER BY rev",
                (from_rev, len(prefix), prefix),
            )
            return [Change(*row) for row in rows]

        while True:
            ticket = self._wakeups.ticket(_SETTINGS)
            changes = await self._db.read(work)
            for change in changes:
                from_rev = change.rev
                yield change
            if not changes:
                await ticket

    async def lease(self, key: str, owner: str, now_us: int, ttl_us: int) -> Lease:
        def work(db: sqlite3.Connection) -> Lease:
            row = db.execute("SELECT owner, epoch, expires_us FROM lease WHERE key = ?", (key,)).fetchone()
            holder, epoch, expires_us = row or ("", 0, 0)
            if holder != owner:
                if expires_us > now_us:
                    raise Conflict(f"{key} is held by {holder}")
                epoch += 1
            db.execute(
                "INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)", (key, owner, epoch, now_us + ttl_us)
            )
            return Lease(key, owner, epoch, now_us + ttl_us)

        return await self._db.write(work)

    async def release(self, lease: Lease) -> None:
        await self._db.write(
            lambda db: db.execute(
                "UPDATE lease SET owner = '', expires_us = 0 WHERE key = ? AND owner = ? AND epoch = ?",
                (lease.key, lease.owner, lease.epoch),
            )
        )


def _require(db: sqlite3.Connection, key: str, if_rev: int | None) -> bool:
    row = db.execute("SELECT rev FROM setting WHERE key = ? AND value IS NOT NULL", (key,)).fetchone()
    present = row[0] if row else 0
    if if_rev is not None and if_rev != present:
        raise Conflict(f"{key} is at revision {present}, not {if_rev}; read it again")
    return row is not None


def _set(db: sqlite3.Connection, key: str, value: bytes | None) -> int:
    (rev,) = db.execute("SELECT coalesce(max(rev), 0) + 1 FROM setting").fetchone()
    db.execute("INSERT OR REPLACE INTO setting VALUES (?, ?, ?)", (key, value, rev))
    return int(rev)
