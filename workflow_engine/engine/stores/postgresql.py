"""Definitions in a PostgreSQL database, for any number of processes at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.store import Definition, order
from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.events.stores.postgresql import address
from workflow_engine.events.stores.postgresql_connection import Database, Db
from workflow_engine.graph.model import WorkflowName

_FORMAT = 1
_MAKING = 4_021_993_002
"""The advisory lock under which tables are made."""
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
# What authors write is bytes here: text of PostgreSQL has no NUL, and sorts by the database's language.
_COLUMNS = "namespace, name, version, dialect, content, digest, bundle, title, deployed_at"


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
        place = address(url)
        store = cls(Database(place, what="definition store"))
        await store._db.open()
        try:
            await store._prepare(place.schema, place.shown)
        except BaseException:
            await store.close()
            raise
        return store

    async def _prepare(self, schema: str, shown: str) -> None:
        async def work(db: Db) -> Any:
            await db.execute("SELECT pg_advisory_xact_lock($1::bigint)", _MAKING)
            if await db.fetchval("SELECT to_regclass($1)", f'"{schema}".definition_format') is None:
                await db.execute(_SCHEMA.format(schema=schema))
                await db.execute("INSERT INTO definition_format VALUES ($1)", _FORMAT)
            return await db.fetchval("SELECT max(number) FROM definition_format")

        found = await self._db.write(work)
        if found != _FORMAT:
            raise Unavailable(
                f"the definition store {shown} has format {found}, this program reads {_FORMAT}"
            )

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
        await self._db.write(lambda db: db.execute(insert, *row))
        return await self.get(name.namespace, name.name, name.version)

    async def get(self, namespace: str, name: str, version: str | None) -> Definition:
        async def work(db: Db) -> Any:
            wanted = version
            if wanted is None:
                select = "SELECT version FROM definition WHERE namespace = $1 AND name = $2"
                there = await db.fetch(select, *_key(namespace, name))
                wanted = max((row[0].decode() for row in there), key=order, default=None)
            return None if wanted is None else await _one(db, namespace, name, wanted)

        row = await self._db.read(work)
        if row is None:
            raise NotFound("workflow", f"{namespace}/{name}" + (f"/{version}" if version else ""))
        return _definition(row)

    async def versions(self, namespace: str, name: str) -> Sequence[Definition]:
        query = f"SELECT {_COLUMNS} FROM definition WHERE namespace = $1 AND name = $2"  # noqa: S608
        rows = await self._db.read(lambda db: db.fetch(query, *_key(namespace, name)))
        return sorted(map(_definition, rows), key=lambda item: order(item.workflow.version), reverse=True)

    async def list(self) -> Sequence[Definition]:
        return await self._latest("")

    async def find(self, name: str) -> Sequence[Definition]:
        return await self._latest("WHERE name = $1", name)

    async def _latest(self, where: str, *values: str) -> Sequence[Definition]:
        """The latest of each workflow; only of those are text and bundle read, which may have a megabyte each."""

        async def work(db: Db) -> Sequence[Any]:
            latest: dict[tuple[str, str], str] = {}
            select = f"SELECT namespace, name, version FROM definition {where}"  # noqa: S608
            for key in await db.fetch(select, *_key(*values)):
                namespace, name, version = (each.decode() for each in key)
                present = latest.get((namespace, name))
                if present is None or order(present) < order(version):
                    latest[namespace, name] = version
            return [await _one(db, *key, latest[key]) for key in sorted(latest)]

        return [_definition(row) for row in await self._db.read(work)]

    async def check(self) -> None:
        await self._db.read(lambda db: db.fetchval("SELECT 1 FROM definition LIMIT 1"))

    async def close(self) -> None:
        await self._db.close()


async def _one(db: Db, namespace: str, name: str, version: str) -> Any:
    query = f"SELECT {_COLUMNS} FROM definition WHERE namespace = $1 AND name = $2 AND version = $3"  # noqa: S608
    return await db.fetchrow(query, *_key(namespace, name, version))


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
