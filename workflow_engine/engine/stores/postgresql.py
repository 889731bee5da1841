"""Definitions in a PostgreSQL database, for any number of processes at a time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.store import Definition, order
from workflow_engine.errors import NotFound, Rejected, Unavailable
from workflow_engine.graph.model import WorkflowName

if TYPE_CHECKING:
    import asyncpg

CONNECTIONS = 8
CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 30.0
_FORMAT = 1
_MAKING = 4_021_993_002
"""The advisory lock under which tables are made."""
_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE {schema}.definition_format (number integer NOT NULL);
CREATE TABLE {schema}.definition (
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

    def __init__(self, pool: asyncpg.Pool, place: str, schema: str) -> None:
        self._pool = pool
        self._place = place
        self._table = f"{schema}.definition"
        self._closed = False

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open the database at *url*, ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``, with further parameters of
        libpq, and ``schema`` for the schema that the tables are in (``wfe``), which is made if need be.

        `Rejected` for a URL that cannot be read, `Unavailable` when the database cannot be reached.
        """
        address, place, schema = _read(url)
        try:
            import asyncpg
        except ImportError:
            message = (
                "PostgreSQL needs the package asyncpg: pip install 'serverless-workflow-engine[postgresql]'"
            )
            raise Rejected("store-url", message) from None
        pool = asyncpg.create_pool(
            address,
            min_size=0,
            max_size=CONNECTIONS,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            statement_cache_size=0,  # a pooler between may hand each transaction to another connection
        )
        store = cls(pool, place, schema)
        try:
            await pool
            await store._prepare(schema)
        except BaseException:
            pool.terminate()
            raise
        return store

    async def _prepare(self, schema: str) -> None:
        async with self._transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1::bigint)", _MAKING)
            if await connection.fetchval("SELECT to_regclass($1)", self._table) is None:
                await connection.execute(_SCHEMA.format(schema=schema))
                await connection.execute(f"INSERT INTO {schema}.definition_format VALUES ($1)", _FORMAT)  # noqa: S608
            found = await connection.fetchval(f"SELECT max(number) FROM {schema}.definition_format")  # noqa: S608
        if found != _FORMAT:
            raise Unavailable(
                f"the definition store {self._place} has format {found}, this program reads {_FORMAT}"
            )

    async def add(self, definition: Definition) -> Definition:
        name = definition.workflow
        insert = (
            f"INSERT INTO {self._table} ({_COLUMNS}) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9) "  # noqa: S608
            "ON CONFLICT (namespace, name, version) DO NOTHING"
        )
        async with self._transaction() as connection:
            await connection.execute(
                insert,
                *_key(name.namespace, name.name, name.version),
                definition.dialect,
                definition.text.encode(),
                definition.bundle.digest,
                definition.bundle.data,
                definition.title.encode(),
                definition.deployed_at,
            )
        return await self.get(name.namespace, name.name, name.version)

    async def get(self, namespace: str, name: str, version: str | None) -> Definition:
        select = f"SELECT version FROM {self._table} WHERE namespace = $1 AND name = $2"  # noqa: S608
        async with self._transaction() as connection:
            wanted = version
            if wanted is None:
                there = await connection.fetch(select, *_key(namespace, name))
                wanted = max((row[0].decode() for row in there), key=order, default=None)
            row = None if wanted is None else await self._one(connection, namespace, name, wanted)
        if row is None:
            raise NotFound("workflow", f"{namespace}/{name}" + (f"/{version}" if version else ""))
        return _definition(row)

    async def versions(self, namespace: str, name: str) -> Sequence[Definition]:
        query = f"SELECT {_COLUMNS} FROM {self._table} WHERE namespace = $1 AND name = $2"  # noqa: S608
        async with self._transaction() as connection:
            found = [_definition(row) for row in await connection.fetch(query, *_key(namespace, name))]
        return sorted(found, key=lambda item: order(item.workflow.version), reverse=True)

    async def list(self) -> Sequence[Definition]:
        return await self._latest("")

    async def find(self, name: str) -> Sequence[Definition]:
        return await self._latest("WHERE name = $1", name)

    async def _latest(self, where: str, *values: str) -> Sequence[Definition]:
        """The latest of each workflow; only of those are text and bundle read, which may have a megabyte each."""
        select = f"SELECT namespace, name, version FROM {self._table} {where}"  # noqa: S608
        latest: dict[tuple[str, str], str] = {}
        async with self._transaction() as connection:
            for key in await connection.fetch(select, *_key(*values)):
                namespace, name, version = (each.decode() for each in key)
                present = latest.get((namespace, name))
                if present is None or order(present) < order(version):
                    latest[namespace, name] = version
            found = [await self._one(connection, *key, latest[key]) for key in sorted(latest)]
        return [_definition(row) for row in found if row is not None]

    async def _one(self, connection: Any, namespace: str, name: str, version: str) -> Any:
        query = f"SELECT {_COLUMNS} FROM {self._table} WHERE namespace = $1 AND name = $2 AND version = $3"  # noqa: S608
        return await connection.fetchrow(query, *_key(namespace, name, version))

    async def check(self) -> None:
        async with self._transaction() as connection:
            await connection.fetchval(f"SELECT 1 FROM {self._table} LIMIT 1")  # noqa: S608

    async def close(self) -> None:
        self._closed = True
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        import asyncpg

        if self._closed:
            raise Unavailable(f"the definition store {self._place} is closed")
        try:
            async with self._pool.acquire(timeout=CONNECT_SECONDS) as connection, connection.transaction():
                yield connection
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            why = str(error) or "it does not answer"
            raise Unavailable(f"the definition store {self._place} does not work: {why}") from error


def _read(url: str) -> tuple[str, str, str]:
    """What to connect to, what to call it in messages, and the schema."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    schema = options.pop("schema", "wfe")
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if not parts.path.strip("/") or not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
        form = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE[?schema=NAME]"
        raise Rejected("unknown-store", f"{shown!r} names no definition store; use {form}")
    return parts._replace(query=urlencode(options)).geturl(), shown, f'"{schema}"'


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
