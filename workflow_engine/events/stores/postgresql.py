"""A store in a PostgreSQL database, which several processes on several hosts may share."""

# ruff: noqa: S608  only names of columns and tables are put into statements; values are bound

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from workflow_engine.errors import Conflict, Rejected
from workflow_engine.events.spi import Change, Lease, Versioned
from workflow_engine.events.stores.indices import between
from workflow_engine.events.stores.postgresql_connection import Address, Db, T, Work, shown
from workflow_engine.events.stores.postgresql_groups import PostgresGroups

_SETTINGS = "settings"
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}")
DELETED = 100_000
"""How many changes later a deleted setting is forgotten; a watch that is further behind misses the deletion."""


def address(url: str) -> Address:
    """Read ``postgresql://[user[:password]@]host[:port]/database[?schema=wfe&connections=10&…]``; other options are the
    client's: ``sslmode=verify-full``, ``sslrootcert=…``. `Rejected` says what is wrong.
    """
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True)
        database = parts.path.removeprefix("/")
        for host in parts.netloc.rpartition("@")[2].split(","):
            _ = urlsplit(f"//{host}").port
    except ValueError as error:
        raise Rejected("store-url", f"{shown(url)}: {error}") from None
    ours = {name: value for name, value in options if name in ("schema", "connections")}
    theirs = [(name, value) for name, value in options if name not in ours]
    schema, connections = ours.get("schema", "wfe"), ours.get("connections", "10")
    if not database or "/" in database:
        raise Rejected("store-url", f"{shown(url)}: expected postgresql://host/database")
    if not _SCHEMA.fullmatch(schema):
        raise Rejected("store-url", f"{shown(url)}: schema={schema!r}: expected a-z 0-9 _, not a digit first")
    if not (connections.isdecimal() and 2 <= int(connections) <= 200):
        raise Rejected("store-url", f"{shown(url)}: connections={connections!r}: expected from 2 to 200")
    dsn = urlunsplit(parts._replace(scheme="postgresql", query=urlencode(theirs)))
    return Address(dsn, schema, int(connections), f"{shown(dsn).partition('?')[0]} (schema {schema})")


class PostgresStore(PostgresGroups):
    """All four protocols in one schema of a database, which is created if the user may do so.

    Besides the transactions of `Database`, what processes do at the same time is ordered by rows that they lock: a
    partition's for appending, a group's for its members, one for all settings.
    """

    async def get(self, key: str) -> Versioned | None:
        query = "SELECT key, value, rev FROM setting WHERE key = $1 AND value IS NOT NULL"
        row = await self._db.read(lambda db: db.fetchrow(query, key))
        return Versioned(*row) if row else None

    async def put(self, key: str, value: bytes, *, if_rev: int | None = None) -> int:
        async def work(db: Db) -> int:
            rev = await self._next_rev(db)
            await _require(db, key, if_rev)
            await _set(db, key, value, rev)
            return rev

        return await self._changed(work)

    async def delete(self, key: str, *, if_rev: int | None = None) -> bool:
        async def work(db: Db) -> bool:
            rev = await self._next_rev(db)
            present = await _require(db, key, if_rev)
            if present:
                await _set(db, key, None, rev)
                await db.execute("DELETE FROM setting WHERE value IS NULL AND rev < $1", rev - DELETED)
            return present

        return await self._changed(work)

    async def _changed(self, work: Work[T]) -> T:
        try:
            return await self._db.write(work)
        finally:  # others hear of it by the commit
            self._wakeups.notify(_SETTINGS)

    async def _next_rev(self, db: Db) -> int:
        """The revision of a change; whoever makes the next one waits for this to be committed."""
        return int(
            await db.fetchval(
                "WITH told AS (SELECT pg_notify($1, $2)) UPDATE revision SET rev = rev + 1 FROM told RETURNING rev",
                self._topic,
                _SETTINGS,
            )
        )

    async def entries(
        self, prefix: str, *, after: str | None = None, limit: int | None = None
    ) -> list[Versioned]:
        where, values = between("key", prefix, "$2", "$3", after)
        query = (
            f"SELECT key, value, rev FROM setting WHERE {where} AND value IS NOT NULL ORDER BY key LIMIT $1"
        )
        rows = await self._db.read(lambda db: db.fetch(query, limit, *values))
        return [Versioned(*row) for row in rows]

    async def watch(self, prefix: str, from_rev: int) -> AsyncIterator[Change]:
        query = "SELECT key, value, rev FROM setting WHERE rev > $1 AND starts_with(key, $2) ORDER BY rev LIMIT 1000"
        while True:
            ticket = self._wakeups.ticket(_SETTINGS)
            rows = await self._db.read(lambda db, rev=from_rev: db.fetch(query, rev, prefix))  # type: ignore[misc]
            for row in rows:
                from_rev = row[2]
                yield Change(*row)
            if not rows:
                await self._sleep(ticket, 60.0)

    async def lease(self, key: str, owner: str, now_us: int, ttl_us: int) -> Lease:
        async def work(db: Db) -> Lease:
            await db.execute("INSERT INTO lease VALUES ($1, '', 0, 0) ON CONFLICT DO NOTHING", key)
            holder, epoch, expires_us = await db.fetchrow(
                "SELECT owner, epoch, expires_us FROM lease WHERE key = $1 FOR UPDATE", key
            ) or ("", 0, 0)
            if holder != owner:
                if expires_us > now_us:
                    raise Conflict(f"{key} is held by {holder}")
                epoch += 1
            await db.execute(
                "UPDATE lease SET owner = $2, epoch = $3, expires_us = $4 WHERE key = $1",
                key,
                owner,
                epoch,
                now_us + ttl_us,
            )
            return Lease(key, owner, epoch, now_us + ttl_us)

        return await self._db.write(work)

    async def release(self, lease: Lease) -> None:
        await self._db.write(
            lambda db: db.execute(
                "UPDATE lease SET owner = '', expires_us = 0 WHERE key = $1 AND owner = $2 AND epoch = $3",
                lease.key,
                lease.owner,
                lease.epoch,
            )
        )


async def _require(db: Db, key: str, if_rev: int | None) -> bool:
    rev = await db.fetchval("SELECT rev FROM setting WHERE key = $1 AND value IS NOT NULL", key)
    if if_rev is not None and if_rev != (rev or 0):
        raise Conflict(f"{key} is at revision {rev or 0}, not {if_rev}; read it again")
    return rev is not None


async def _set(db: Db, key: str, value: bytes | None, rev: int) -> None:
    await db.execute(
        "INSERT INTO setting VALUES ($1, $2, $3) ON CONFLICT (key) DO UPDATE"
        " SET value = excluded.value, rev = excluded.rev",
        key,
        value,
        rev,
    )
