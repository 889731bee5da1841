"""Definitions in a SQLite file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, TypeVar

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.store import Definition, Listed, changed, missing, rank, ranked
from workflow_engine.errors import Unavailable
from workflow_engine.graph.model import WorkflowName

T = TypeVar("T")
_Row: TypeAlias = tuple[str, str, str, str, str, str, bytes, str, str]
_Head: TypeAlias = tuple[str, str, str, str, str, str, str]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS removed (
    namespace TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, removed_at TEXT NOT NULL,
    PRIMARY KEY (namespace, name, version)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS definition (
    namespace TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
    dialect TEXT NOT NULL, text TEXT NOT NULL, digest TEXT NOT NULL, bundle BLOB NOT NULL,
    title TEXT NOT NULL, deployed_at TEXT NOT NULL,
    PRIMARY KEY (namespace, name, version)
) WITHOUT ROWID;
"""
_KNOWN = 64
_SMALL = 256 * 1024
"""So many definitions that were asked for are remembered, of so many bytes at most each, until anything is written:
each start of a run asks for one.
"""
_BUSY = 5.0
"""Seconds to wait for another process that writes."""
_COLUMNS = "namespace, name, version, dialect, text, digest, bundle, title, deployed_at"
_KEY = "namespace = ? AND name = ? AND version = ?"
_HEAD = "namespace, name, version, dialect, digest, title, deployed_at"


class SqliteDefinitions:
    """A `DefinitionStore` in one file; every definition is on disk before `add` returns.

    Every method raises `Unavailable` while the file cannot be read or written.
    """

    def __init__(self, connection: sqlite3.Connection, looking: sqlite3.Connection, path: str) -> None:
        """*looking* is another connection, on which nothing is written: it notices what others have."""
        self._connection, self._looking = connection, looking
        self._path = path
        self._lock = asyncio.Lock()
        self._found: dict[tuple[str, str, str | None], Definition] = {}
        self._as_of = -1

    @classmethod
    async def open(cls, path: str) -> SqliteDefinitions:
        """Open or create the file; `Unavailable` when it cannot be, or is no such store."""

        def connect() -> tuple[sqlite3.Connection, sqlite3.Connection]:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            connection, looking = (
                sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=timeout)
                for timeout in (_BUSY, 0.0)
            )
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.executescript(_SCHEMA)
            except sqlite3.Error:
                connection.close()
                looking.close()
                raise
            return connection, looking

        try:
            return cls(*await asyncio.to_thread(connect), path)
        except (sqlite3.Error, OSError) as error:
            folder = Path(path).parent
            why = error if os.access(folder, os.W_OK) else f"the folder {folder} cannot be written"
            raise Unavailable(f"{path} cannot be opened as a definition store: {why}") from None

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        async with self._lock:
            try:
                return await asyncio.to_thread(work, self._connection)
            except sqlite3.Error as error:
                raise Unavailable(f"the definition store {self._path} does not work: {error}") from error

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """*work* on what is there at one moment, whatever other processes write meanwhile."""
        return await self._do(lambda connection: _transacted(connection, "BEGIN", work))

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._do(lambda connection: _transacted(connection, "BEGIN IMMEDIATE", work))

    async def add(self, definition: Definition) -> Definition:
        name = definition.workflow
        row = (
            name.namespace,
            name.name,
            name.version,
            definition.dialect,
            definition.text,
            definition.bundle.digest,
            definition.bundle.data,
            definition.title,
            definition.deployed_at.isoformat(),
        )
        key = row[:3]

        def work(connection: sqlite3.Connection) -> None:
            select = f"SELECT digest, removed_at FROM removed WHERE {_KEY}"  # noqa: S608
            gone = connection.execute(select, key).fetchone()
            if gone is not None and gone[0] != definition.bundle.digest and not _there(connection, key):
                raise changed(definition, gone[0], datetime.fromisoformat(gone[1]))
            insert = f"INSERT OR IGNORE INTO definition ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608
            connection.execute(insert, row)

        await self._write(work)
        return await self.get(name.namespace, name.name, name.version)

    async def get(self, namespace: str, name: str, version: str | None) -> Definition:
        key = (namespace, name, version)
        as_of = self._now()
        if as_of != self._as_of or as_of < 0:
            self._found.clear()
        elif (known := self._found.get(key)) is not None:
            return known
        definition = await self._got(namespace, name, version)
        if len(definition.text) + len(definition.bundle.data) <= _SMALL:
            if as_of != self._as_of:
                self._found.clear()
                self._as_of = as_of
            while len(self._found) >= _KNOWN:
                del self._found[next(iter(self._found))]
            self._found[key] = definition
        return definition

    def _now(self) -> int:
        """A number that is another one once anything was written, by whichever process; -1 where that cannot be told.

        It takes microseconds: the page of the file that says so is in memory.
        """
        try:
            return int(self._looking.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return -1

    async def _got(self, namespace: str, name: str, version: str | None) -> Definition:
        def work(connection: sqlite3.Connection) -> _Row | str | None:
            wanted = version
            if wanted is None:
                wanted = max(_versions(connection, namespace, name), key=rank, default=None)
            found = _one(connection, namespace, name, wanted)
            if found is not None:
                return found
            select = (
                "SELECT max(removed_at) FROM removed "
                "WHERE namespace = ?1 AND name = ?2 AND (?3 IS NULL OR version = ?3)"
            )
            removed: str | None = connection.execute(select, (namespace, name, version)).fetchone()[0]
            return removed

        row = await self._read(work)
        if row is None or isinstance(row, str):
            raise missing(namespace, name, version, None if row is None else datetime.fromisoformat(row))
        return _definition(row)

    async def versions(
        self, namespace: str, name: str, *, after: str | None = None, limit: int | None = None
    ) -> Sequence[Listed]:
        def work(connection: sqlite3.Connection) -> Sequence[Listed]:
            chosen = ranked(_versions(connection, namespace, name), after, limit)
            return [_head(connection, namespace, name, version) for version in chosen]

        return await self._read(work)

    async def page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        *,
        within: Sequence[str] | None = None,
        name: str | None = None,
    ) -> Sequence[Listed]:
        conditions, values = ["TRUE"], list[str]()
        if after is not None:
            conditions, values = ["(namespace, name) > (?, ?)"], [*after]
        if name is not None:
            conditions, values = [*conditions, "name = ?"], [*values, name]
        if within is not None:
            begin = [each[:-1] for each in within if each.endswith("*")]
            whole = [each for each in within if not each.endswith("*")]
            ways = ["substr(namespace, 1, length(?)) = ?" for _ in begin]
            ways.append(f"namespace IN ({', '.join('?' for _ in whole)})")
            conditions.append(f"({' OR '.join(ways)})")
            values += [text for each in begin for text in (each, each)] + whole

        def work(connection: sqlite3.Connection) -> Sequence[Listed]:
            select = (
                f"SELECT DISTINCT namespace, name FROM definition WHERE {' AND '.join(conditions)} "  # noqa: S608
                "ORDER BY namespace, name LIMIT ?"
            )
            keys = connection.execute(select, (*values, limit)).fetchall()
            latest = [(*key, max(_versions(connection, *key), key=rank)) for key in keys]
            return [_head(connection, *key) for key in latest]

        return await self._read(work)

    async def every(self, after: tuple[str, str, str] | None, limit: int) -> Sequence[Definition]:
        behind = "" if after is None else "WHERE (namespace, name, version) > (?, ?, ?)"
        query = f"SELECT {_COLUMNS} FROM definition {behind} ORDER BY namespace, name, version LIMIT ?"  # noqa: S608
        values = (*(after or ()), limit)
        return [_definition(row) for row in await self._read(lambda db: db.execute(query, values).fetchall())]

    async def find(self, name: str) -> Sequence[Definition]:
        """Only of the latest are text and bundle read, which may have a megabyte each."""

        def work(connection: sqlite3.Connection) -> Sequence[_Row | None]:
            select = "SELECT DISTINCT namespace FROM definition WHERE name = ? ORDER BY namespace"
            keys = [(namespace, name) for (namespace,) in connection.execute(select, (name,)).fetchall()]
            return [
                _one(connection, *key, max(_versions(connection, *key), key=rank, default=None))
                for key in keys
            ]

        return [_definition(row) for row in await self._read(work) if row is not None]

    async def remove(
        self, namespace: str, name: str, versions: Collection[str], at: datetime
    ) -> Sequence[Listed]:
        def work(connection: sqlite3.Connection) -> Sequence[Listed]:
            there = ranked(_versions(connection, namespace, name), None, None)
            gone = [_head(connection, namespace, name, each) for each in there if each in versions]
            for each in gone:
                key = namespace, name, each.workflow.version
                insert = "INSERT OR REPLACE INTO removed VALUES (?, ?, ?, ?, ?)"
                connection.execute(insert, (*key, each.digest, at.isoformat()))
                connection.execute(f"DELETE FROM definition WHERE {_KEY}", key)  # noqa: S608
            return gone

        return await self._write(work)

    async def check(self) -> None:
        await self._do(lambda connection: connection.execute("SELECT 1 FROM definition LIMIT 1").fetchone())

    async def close(self) -> None:
        await self._do(lambda connection: connection.close())
        self._looking.close()


def _transacted(connection: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute(begin)
    try:
        done = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return done


def _there(connection: sqlite3.Connection, key: Sequence[str]) -> bool:
    return connection.execute(f"SELECT 1 FROM definition WHERE {_KEY}", key).fetchone() is not None  # noqa: S608


def _versions(connection: sqlite3.Connection, namespace: str, name: str) -> Sequence[str]:
    select = "SELECT version FROM definition WHERE namespace = ? AND name = ?"
    return [version for (version,) in connection.execute(select, (namespace, name))]


def _head(connection: sqlite3.Connection, namespace: str, name: str, version: str) -> Listed:
    query = f"SELECT {_HEAD} FROM definition WHERE {_KEY}"  # noqa: S608
    row: _Head = connection.execute(query, (namespace, name, version)).fetchone()
    *_, dialect, digest, title, deployed_at = row
    workflow = WorkflowName(namespace, name, version)
    return Listed(workflow, dialect, digest, title, datetime.fromisoformat(deployed_at))


def _one(connection: sqlite3.Connection, namespace: str, name: str, version: str | None) -> _Row | None:
    query = f"SELECT {_COLUMNS} FROM definition WHERE {_KEY}"  # noqa: S608
    found: _Row | None = connection.execute(query, (namespace, name, version)).fetchone()
    return found


def _definition(row: _Row) -> Definition:
    namespace, name, version, dialect, text, digest, data, title, deployed_at = row
    return Definition(
        workflow=WorkflowName(namespace, name, version),
        dialect=dialect,
        text=text,
        bundle=Bundle(digest, data),
        title=title,
        deployed_at=datetime.fromisoformat(deployed_at),
    )
