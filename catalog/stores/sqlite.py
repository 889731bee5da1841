"""Documents in a SQLite file: durable, for one process at a time that writes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from catalog.errors import Unavailable
from catalog.model import Operation, Spec
from catalog.store import Place

_Result = TypeVar("_Result")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spec (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    title TEXT NOT NULL,
    asyncapi TEXT NOT NULL,
    description TEXT,
    digest TEXT NOT NULL,
    registered_at TEXT NOT NULL,
    operation_count INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;
CREATE TABLE IF NOT EXISTS operation (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    position INTEGER NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (name, version, position),
    FOREIGN KEY (name, version) REFERENCES spec (name, version) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
"""
_FORMAT = 1
_HEAD = "name, version, title, asyncapi, description, digest, registered_at, operation_count"


class SqliteStore:
    """One connection, used by one thread at a time, never by that of the event loop. WAL journal, and each
    change is on disk before it returns (``synchronous=FULL``).
    """

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._lock = threading.Lock()

    @classmethod
    async def open(cls, path: str) -> SqliteStore:
        """Open the file at *path*; it and its folder are made if need be."""

        def connect() -> SqliteStore:
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            except (OSError, sqlite3.Error) as error:
                raise Unavailable(f"the catalog's store {path!r} cannot be opened: {error}") from error
            try:
                _prepare(connection)
            except (ValueError, sqlite3.Error) as error:
                connection.close()
                raise Unavailable(f"the catalog's store {path!r} cannot be opened: {error}") from error
            return cls(connection, path)

        return await asyncio.to_thread(connect)

    async def add(self, spec: Spec, operations: Sequence[Operation], *, replace: bool = False) -> Spec | None:
        def work(connection: sqlite3.Connection) -> Spec | None:
            before = _get(connection, spec.name, spec.version)
            if before is not None and (not replace or before.digest == spec.digest):
                return before
            connection.execute("DELETE FROM spec WHERE name = ? AND version = ?", (spec.name, spec.version))
            connection.execute(
                f"INSERT INTO spec ({_HEAD}, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    spec.name,
                    spec.version,
                    spec.title,
                    spec.asyncapi,
                    spec.description,
                    spec.digest,
                    spec.registered_at.isoformat(),
                    spec.operation_count,
                    spec.text,
                ),
            )
            connection.executemany(
                "INSERT INTO operation (name, version, position, content) VALUES (?, ?, ?, ?)",
                (
                    (spec.name, spec.version, position, json.dumps(operation.to_json(), ensure_ascii=False))
                    for position, operation in enumerate(operations)
                ),
            )
            return before

        return await self._run(work)

    async def get(self, name: str, version: str) -> Spec | None:
        return await self._run(lambda connection: _get(connection, name, version))

    async def specs(
        self, name: str | None = None, *, after: Place | None = None, limit: int | None = None
    ) -> Sequence[Spec]:
        conditions, values = ["TRUE"], list[str | int]()
        if name is not None:
            conditions, values = ["name = ?"], [name]
        if after is not None:  # the name alone first, for which there is an index
            conditions.append("name >= ? AND (name, registered_at, version) > (?, ?, ?)")
            values += [after[0], after[0], after[1].isoformat(), after[2]]
        query = (
            f"SELECT {_HEAD}, '' FROM spec WHERE {' AND '.join(conditions)} "  # noqa: S608
            "ORDER BY name, registered_at, version LIMIT ?"
        )

        def work(connection: sqlite3.Connection) -> Sequence[Spec]:
            rows = connection.execute(query, (*values, -1 if limit is None else limit))
            return [_spec(row) for row in rows]

        return await self._run(work)

    async def operations(self, name: str, version: str) -> Sequence[Operation]:
        def work(connection: sqlite3.Connection) -> Sequence[Operation]:
            rows = connection.execute(
                "SELECT content FROM operation WHERE name = ? AND version = ? ORDER BY position",
                (name, version),
            )
            return tuple(Operation.from_json(json.loads(content)) for (content,) in rows)

        return await self._run(work)

    async def remove(self, name: str, version: str | None = None) -> int:
        def work(connection: sqlite3.Connection) -> int:
            query = "DELETE FROM spec WHERE name = ?1 AND (?2 IS NULL OR version = ?2)"
            return connection.execute(query, (name, version)).rowcount

        return await self._run(work)

    async def close(self) -> None:
        def work() -> None:
            with self._lock:
                self._connection.close()

        await asyncio.to_thread(work)

    async def _run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """*work* in one transaction, in another thread. It ends even if the caller is cancelled meanwhile."""

        def transact() -> _Result:
            with self._lock:
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                    try:
                        result = work(self._connection)
                        self._connection.execute("COMMIT")
                    except BaseException:
                        if self._connection.in_transaction:
                            self._connection.execute("ROLLBACK")
                        raise
                except sqlite3.Error as error:
                    raise Unavailable(f"the catalog's store {self._path!r} failed: {error}") from error
                return result

        return await asyncio.to_thread(transact)


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found not in (0, _FORMAT):
        raise ValueError(f"it has format {found}, this program reads {_FORMAT}")
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {_FORMAT}")


def _get(connection: sqlite3.Connection, name: str, version: str) -> Spec | None:
    query = f"SELECT {_HEAD}, text FROM spec WHERE name = ? AND version = ?"  # noqa: S608
    row = connection.execute(query, (name, version)).fetchone()
    return None if row is None else _spec(row)


def _spec(row: tuple[str, str, str, str, str | None, str, str, int, str]) -> Spec:
    name, version, title, asyncapi, description, digest, registered_at, operation_count, text = row
    return Spec(
        name=name,
        version=version,
        title=title,
        asyncapi=asyncapi,
        description=description,
        digest=digest,
        registered_at=datetime.fromisoformat(registered_at),
        operation_count=operation_count,
        text=text,
    )
