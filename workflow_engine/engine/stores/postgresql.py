"""Definitions in a PostgreSQL database, for any number of processes at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Self

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.store import Definition, Listed, changed, missing, rank, ranked
from workflow_engine.events.stores.postgresql import address
from workflow_engine.events.stores.postgresql_connection import Database, Db
from workflow_engine.graph.model import WorkflowName

_FORMAT = 1
_MAKING = 4_021_993_002
"""The advisory lock under which tables are made."""
_CHANGING = 4_021_993_003
"""That under which definitions are added and removed."""
_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS "{schema}";
CREATE TABLE definition_format (number integer NOT NULL);
CREATE TABLE definition (
    namespace bytea NOT NULL, name bytea NOT NULL, version bytea NOT NULL,
    dialect text NOT NULL, content bytea NOT NULL, digest text NOT NULL, bundle bytea NOT NULL,
    title bytea NOT NULL, deployed_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, name, version)
);
"""
_REMOVED = """
CREATE TABLE IF NOT EXISTS definition_removed (
    namespace bytea NOT NULL, name bytea NOT NULL, version bytea NOT NULL, digest text NOT NULL,
    removed_at timestamptz NOT NULL, PRIMARY KEY (namespace, name, version)
);
"""
# What authors write is bytes here: text of PostgreSQL has no NUL, and sorts by the database's language.
_COLUMNS = "namespace, name, version, dialect, content, digest, bundle, title, deployed_at"
_HEAD = "namespace, name, version, dialect, digest, title, deployed_at"
_KEY = "namespace = $1 AND name = $2 AND version = $3"


async def _with_removed(db: Db) -> None:
    """Databases of earlier versions have no such table. Who may not make any is not asked to where it is there."""
    if await db.fetchval("SELECT to_regclass('definition_removed')") is None:
        await db.execute(_REMOVED)


class PostgresqlDefinitions:
    """A `DefinitionStore` in one table; every definition is committed before `add` returns.

    Every method raises `Unavailable` while the database does not answer; the next one tries again.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open the database at *url* (`events.stores.postgresql.address`); the tables are made if need be.

        `Rejected` for a URL that cannot be read, `Unavailable` when the database cannot be reached.
        """
        database = Database(address(url), what="definition store")
        await database.open()
        await database.prepare("definition_format", _SCHEMA, _FORMAT, _MAKING, _with_removed)
        return cls(database)

    async def add(self, definition: Definition) -> Definition:
        name = definition.workflow
        row = (
            *_key(name.namespace, name.name, name.version),
            definition.dialect,
            definition.text.encode(),
            definition.bundle.digest,
            definition.bundle.data,
            definition.title.encode(),
            definition.deployed_at,
        )
        insert = (
            f"INSERT INTO definition ({_COLUMNS}) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9) "  # noqa: S608
            "ON CONFLICT (namespace, name, version) DO NOTHING"
        )

        async def work(db: Db) -> Any:
            # For who removes it at the same time waits for this, or has written what is read here.
            await db.execute("SELECT pg_advisory_xact_lock($1::bigint)", _CHANGING)
            select = f"SELECT digest, removed_at FROM definition_removed WHERE {_KEY}"  # noqa: S608
            gone = await db.fetchrow(select, *row[:3])
            if gone is not None and gone[0] != definition.bundle.digest:
                there = f"SELECT 1 FROM definition WHERE {_KEY}"  # noqa: S608
                if await db.fetchval(there, *row[:3]) is None:
                    return gone
            await db.execute(insert, *row)
            return None

        gone = await self._db.write(work)
        if gone is not None:
            raise changed(definition, gone[0], gone[1])
        return await self.get(name.namespace, name.name, name.version)

    async def get(self, namespace: str, name: str, version: str | None) -> Definition:
        async def work(db: Db) -> Any:
            wanted = version
            if wanted is None:
                wanted = max(await _versions(db, namespace, name), key=rank, default=None)
            found = None if wanted is None else await _one(db, namespace, name, wanted)
            if found is not None:
                return found, None
            select = (
                "SELECT max(removed_at) FROM definition_removed "
                "WHERE namespace = $1 AND name = $2 AND ($3::bytea IS NULL OR version = $3)"
            )
            last = None if version is None else version.encode()
            return None, await db.fetchval(select, *_key(namespace, name), last)

        row, removed = await self._db.read(work)
        if row is None:
            raise missing(namespace, name, version, removed)
        return _definition(row)

    async def versions(
        self, namespace: str, name: str, *, after: str | None = None, limit: int | None = None
    ) -> Sequence[Listed]:
        async def work(db: Db) -> Sequence[Listed]:
            chosen = ranked(await _versions(db, namespace, name), after, limit)
            return await _heads(db, [(namespace, name, version) for version in chosen])

        return await self._db.read(work)

    async def page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        *,
        within: Sequence[str] | None = None,
        name: str | None = None,
    ) -> Sequence[Listed]:
        conditions, values = ["TRUE"], list[Any]()
        if after is not None:
            conditions, values = ["(namespace, name) > ($1, $2)"], [*_key(*after)]
        if name is not None:
            values.append(name.encode())
            conditions.append(f"name = ${len(values)}")
        if within is not None:
            values.append([each.encode() for each in within if not each.endswith("*")])
            ways = [f"namespace = ANY(${len(values)}::bytea[])"]
            for each in within:
                if each.endswith("*"):
                    values.append(each[:-1].encode())
                    at = f"${len(values)}::bytea"
                    ways.append(f"substring(namespace FROM 1 FOR length({at})) = {at}")
            conditions.append(f"({' OR '.join(ways)})")
        values.append(limit)
        select = (
            f"SELECT DISTINCT namespace, name FROM definition WHERE {' AND '.join(conditions)} "  # noqa: S608
            f"ORDER BY namespace, name LIMIT ${len(values)}"
        )
        return await self._db.read(lambda db: _latest(db, select, values))

    async def every(self, after: tuple[str, str, str] | None, limit: int) -> Sequence[Definition]:
        behind = "" if after is None else "WHERE (namespace, name, version) > ($2, $3, $4)"
        query = f"SELECT {_COLUMNS} FROM definition {behind} ORDER BY namespace, name, version LIMIT $1"  # noqa: S608
        rows = await self._db.read(lambda db: db.fetch(query, limit, *_key(*(after or ()))))
        return [_definition(row) for row in rows]

    async def find(self, name: str) -> Sequence[Definition]:
        """Only of the latest are text and bundle read, which may have a megabyte each."""
        select = "SELECT DISTINCT namespace, name FROM definition WHERE name = $1 ORDER BY namespace"

        async def work(db: Db) -> Sequence[Any]:
            found = [each.workflow for each in await _latest(db, select, [name.encode()])]
            return [await _one(db, each.namespace, each.name, each.version) for each in found]

        return [_definition(row) for row in await self._db.read(work) if row is not None]

    async def remove(
        self, namespace: str, name: str, versions: Collection[str], at: datetime
    ) -> Sequence[Listed]:
        async def work(db: Db) -> Sequence[Listed]:
            await db.execute("SELECT pg_advisory_xact_lock($1::bigint)", _CHANGING)
            there = ranked(await _versions(db, namespace, name), None, None)
            gone = await _heads(db, [(namespace, name, each) for each in there if each in versions])
            for each in gone:
                key = _key(namespace, name, each.workflow.version)
                insert = (
                    "INSERT INTO definition_removed VALUES ($1,$2,$3,$4,$5) ON CONFLICT (namespace, name, version) "
                    "DO UPDATE SET digest = excluded.digest, removed_at = excluded.removed_at"
                )
                await db.execute(insert, *key, each.digest, at)
                await db.execute(f"DELETE FROM definition WHERE {_KEY}", *key)  # noqa: S608
            return gone

        return await self._db.write(work)

    async def check(self) -> None:
        await self._db.read(lambda db: db.fetchval("SELECT 1 FROM definition LIMIT 1"))

    async def close(self) -> None:
        await self._db.close()


async def _one(db: Db, namespace: str, name: str, version: str) -> Any:
    query = f"SELECT {_COLUMNS} FROM definition WHERE {_KEY}"  # noqa: S608
    return await db.fetchrow(query, *_key(namespace, name, version))


async def _versions(db: Db, namespace: str, name: str) -> Sequence[str]:
    select = "SELECT version FROM definition WHERE namespace = $1 AND name = $2"
    return [version.decode() for (version,) in await db.fetch(select, *_key(namespace, name))]


async def _latest(db: Db, select: str, values: Sequence[Any]) -> Sequence[Listed]:
    """The latest version of each workflow whose namespace and name *select* gives, in that order."""
    keys = await db.fetch(
        "SELECT namespace, name, version FROM definition "  # noqa: S608
        f"WHERE (namespace, name) IN ({select})",
        *values,
    )
    latest: dict[tuple[str, str], str] = {}
    for key in keys:
        namespace, name, version = (each.decode() for each in key)
        latest[namespace, name] = max(latest.get((namespace, name), version), version, key=rank)
    return await _heads(db, [(*key, version) for key, version in sorted(latest.items())])


async def _heads(db: Db, keys: Sequence[tuple[str, str, str]]) -> Sequence[Listed]:
    """What is there under *keys*, in their order."""
    query = (
        f"SELECT {_HEAD} FROM definition WHERE (namespace, name, version) IN "  # noqa: S608
        "(SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]))"
    )
    parts = [[key[part].encode() for key in keys] for part in range(3)]
    found: dict[tuple[str, str, str], Listed] = {}
    for *key, dialect, digest, title, deployed_at in await db.fetch(query, *parts):
        namespace, name, version = (each.decode() for each in key)
        workflow = WorkflowName(namespace, name, version)
        found[namespace, name, version] = Listed(workflow, dialect, digest, title.decode(), deployed_at)
    return [found[key] for key in keys if key in found]


def _key(*parts: str) -> tuple[bytes, ...]:
    return tuple(part.encode() for part in parts)


def _definition(row: Any) -> Definition:
    namespace, name, version, dialect, content, digest, data, title, deployed_at = row
    return Definition(
        workflow=WorkflowName(namespace.decode(), name.decode(), version.decode()),
        dialect=dialect,
        text=content.decode(),
        bundle=Bundle(digest, data),
        title=title.decode(),
        deployed_at=deployed_at,
    )
