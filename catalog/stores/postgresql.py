"""Documents in a PostgreSQL database: durable, for any number of processes at a time."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from catalog.errors import Unavailable
from catalog.model import Operation, Spec
from catalog.store import Place

if TYPE_CHECKING:
    import asyncpg

CONNECTIONS = 4
CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 30.0
_FORMAT = 1
_MAKING = 4_021_993_001
"""The advisory lock under which tables are made."""
_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.catalog_format (number integer NOT NULL);
CREATE TABLE IF NOT EXISTS {schema}.catalog_spec (
    name bytea NOT NULL,
    version bytea NOT NULL,
    digest text NOT NULL,
    registered_at timestamptz NOT NULL,
    operation_count integer NOT NULL,
    head bytea NOT NULL,
    content bytea NOT NULL,
    operations bytea NOT NULL,
    PRIMARY KEY (name, version)
);
"""
# What authors write is bytes here: text of PostgreSQL has no NUL, and sorts by the database's language.
_HEAD = "name, version, digest, registered_at, operation_count, head"


class PostgresqlStore:
    """A few connections, each made when it is needed and again when it was lost."""

    def __init__(self, pool: asyncpg.Pool, place: str, schema: str) -> None:
        self._pool = pool
        self._place = place
        self._table = f"{schema}.catalog_spec"
        self._closed = False

    @classmethod
    async def open(cls, url: str) -> PostgresqlStore:
        """Open the database at *url*, ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``, with further parameters of
        libpq, and ``schema`` for the schema that the tables are in (``wfe``), which is made if need be; ``connections``
        of the stores beside it means nothing here.

        `ValueError` for a URL that cannot be read.
        """
        address, place, schema = _read(url)
        try:
            import asyncpg
        except ImportError:
            message = (
                "PostgreSQL needs the package asyncpg: pip install 'serverless-workflow-engine[postgresql]'"
            )
            raise Unavailable(message) from None
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
            if await connection.fetchval("SELECT to_regclass($1)", f"{schema}.catalog_spec") is None:
                await connection.execute(_SCHEMA.format(schema=schema))
                await connection.execute(f"INSERT INTO {schema}.catalog_format VALUES ($1)", _FORMAT)  # noqa: S608
            found = await connection.fetchval(f"SELECT max(number) FROM {schema}.catalog_format")  # noqa: S608
        if found != _FORMAT:
            message = f"the catalog's store {self._place} has format {found}, this program reads {_FORMAT}"
            raise Unavailable(message)

    async def add(self, spec: Spec, operations: Sequence[Operation], *, replace: bool = False) -> Spec | None:
        head = {"title": spec.title, "asyncapi": spec.asyncapi, "description": spec.description}
        row = (
            spec.name.encode(),
            spec.version.encode(),
            spec.digest,
            spec.registered_at,
            spec.operation_count,
            _bytes(head),
            spec.text.encode(),
            _bytes([operation.to_json() for operation in operations]),
        )
        insert = f"INSERT INTO {self._table} ({_HEAD}, content, operations) VALUES ($1,$2,$3,$4,$5,$6,$7,$8)"  # noqa: S608
        update = (
            f"UPDATE {self._table} SET digest = $3, registered_at = $4, operation_count = $5, head = $6, "  # noqa: S608
            "content = $7, operations = $8 WHERE name = $1 AND version = $2"
        )
        async with self._transaction() as connection:
            done = await connection.execute(f"{insert} ON CONFLICT (name, version) DO NOTHING", *row)
            if done.endswith(" 1"):
                return None
            before = await self._one(connection, spec.name, spec.version, "FOR UPDATE")
            if before is None:  # removed in between
                await connection.execute(insert, *row)
            elif replace and before.digest != spec.digest:
                await connection.execute(update, *row)
            return before

    async def get(self, name: str, version: str) -> Spec | None:
        async with self._transaction() as connection:
            return await self._one(connection, name, version)

    async def _one(self, connection: Any, name: str, version: str, how: str = "") -> Spec | None:
        query = f"SELECT {_HEAD}, content FROM {self._table} WHERE name = $1 AND version = $2 {how}"  # noqa: S608
        row = await connection.fetchrow(query, name.encode(), version.encode())
        return None if row is None else _spec(*row)

    async def specs(
        self, name: str | None = None, *, after: Place | None = None, limit: int | None = None
    ) -> Sequence[Spec]:
        values: list[Any] = [limit, None if name is None else name.encode()]
        behind = ""
        if after is not None:
            behind = "AND (name, registered_at, version) > ($3, $4, $5)"
            values += [after[0].encode(), after[1], after[2].encode()]
        query = (
            f"SELECT {_HEAD}, ''::bytea FROM {self._table} "  # noqa: S608
            f"WHERE ($2::bytea IS NULL OR name = $2) {behind} ORDER BY name, registered_at, version LIMIT $1"
        )
        async with self._transaction() as connection:
            return [_spec(*row) for row in await connection.fetch(query, *values)]

    async def operations(self, name: str, version: str) -> Sequence[Operation]:
        query = f"SELECT operations FROM {self._table} WHERE name = $1 AND version = $2"  # noqa: S608
        async with self._transaction() as connection:
            content = await connection.fetchval(query, name.encode(), version.encode())
        return () if content is None else tuple(Operation.from_json(each) for each in json.loads(content))

    async def remove(self, name: str, version: str | None = None) -> int:
        query = f"DELETE FROM {self._table} WHERE name = $1 AND ($2::bytea IS NULL OR version = $2)"  # noqa: S608
        async with self._transaction() as connection:
            done = await connection.execute(
                query, name.encode(), None if version is None else version.encode()
            )
        return int(done.rpartition(" ")[2])

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
            raise Unavailable(f"the catalog's store {self._place} is closed")
        try:
            async with self._pool.acquire(timeout=CONNECT_SECONDS) as connection, connection.transaction():
                yield connection
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            why = str(error) or "it does not answer"
            raise Unavailable(f"the catalog's store {self._place} does not work: {why}") from error


def _read(url: str) -> tuple[str, str, str]:
    """What to connect to, what to call it in messages, and the schema."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    schema = options.pop("schema", "wfe")
    options.pop("connections", None)  # for stores beside this one, which needs few
    if not parts.path.strip("/") or not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
        raise ValueError(
            f"{_shown(url)!r} names no store; use postgresql://USER:PASSWORD@HOST:PORT/DATABASE[?schema=NAME]"
        )
    address = parts._replace(query=urlencode(options)).geturl()
    return address, _shown(address), f'"{schema}"'


def _shown(url: str) -> str:
    """*url* without who connects, and how."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _spec(
    name: bytes,
    version: bytes,
    digest: str,
    registered_at: datetime,
    operation_count: int,
    head: bytes,
    content: bytes,
) -> Spec:
    return Spec(
        name=name.decode(),
        version=version.decode(),
        digest=digest,
        registered_at=registered_at,
        operation_count=operation_count,
        text=content.decode(),
        **json.loads(head),
    )
