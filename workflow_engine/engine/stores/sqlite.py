"""Definitions in a SQLite file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, TypeVar

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.store import Definition, order
from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.graph.model import WorkflowName

T = TypeVar("T")
_Row: TypeAlias = tuple[str, str, str, str, str, str, bytes, str, str]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS definition (
    namespace TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
    dialect TEXT NOT NULL, text TEXT NOT NULL, digest TEXT NOT NULL, bundle BLOB NOT NULL,
    title TEXT NOT NULL, deployed_at TEXT NOT NULL,
    PRIMARY KEY (namespace, name, version)
) WITHOUT ROWID
"""
_BUSY = 5.0
"""Seconds to wait for another process that writes."""
_COLUMNS = "namespace, name, version, dialect, text, digest, bundle, title, deployed_at"


class SqliteDefinitions:
    """A `DefinitionStore` in one file; every definition is on disk before `add` returns.

    Every method raises `Unavailable` while the file cannot be read or written.
    """

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, path: str) -> SqliteDefinitions:
        """Open or create the file; `Unavailable` when it cannot be, or is no such store."""

        def connect() -> sqlite3.Connection:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_BUSY)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute(_SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
            return connection

        try:
            return cls(await asyncio.to_thread(connect), path)
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
        insert = f"INSERT OR IGNORE INTO definition ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608
        await self._do(lambda connection: connection.execute(insert, row))
        return await self.get(name.namespace, name.name, name.version)

    async def get(self, namespace: str, name: str, version: str | None) -> Definition:
        def work(connection: sqlite3.Connection) -> _Row | None:
            wanted = version
            if wanted is None:
                select = "SELECT version FROM definition WHERE namespace = ? AND name = ?"
                there = connection.execute(select, (namespace, name)).fetchall()
                wanted = max((row[0] for row in there), key=order, default=None)
            return _one(connection, namespace, name, wanted)

        row = await self._do(work)
        if row is None:
            raise NotFound("workflow", f"{namespace}/{name}" + (f"/{version}" if version else ""))
        return _definition(row)

    async def versions(self, namespace: str, name: str) -> Sequence[Definition]:
        query = f"SELECT {_COLUMNS} FROM definition WHERE namespace = ? AND name = ?"  # noqa: S608
        rows = await self._do(lambda connection: connection.execute(query, (namespace, name)).fetchall())
        found = [_definition(row) for row in rows]
        return sorted(found, key=lambda item: order(item.workflow.version), reverse=True)

    async def list(self) -> Sequence[Definition]:
        return await self._latest("")

    async def find(self, name: str) -> Sequence[Definition]:
        return await self._latest("WHERE name = ?", name)

    async def _latest(self, where: str, *values: str) -> Sequence[Definition]:
        """The latest of each workflow; only of those are text and bundle read, which may have a megabyte each."""

        def work(connection: sqlite3.Connection) -> Sequence[_Row]:
            latest: dict[tuple[str, str], str] = {}
            select = f"SELECT namespace, name, version FROM definition {where}"  # noqa: S608
            for namespace, name, version in connection.execute(select, values):
                present = latest.get((namespace, name))
                if present is None or order(present) < order(version):
                    latest[namespace, name] = version
            found = [_one(connection, *key, latest[key]) for key in sorted(latest)]
            return [row for row in found if row is not None]

        return [_definition(row) for row in await self._do(work)]

    async def check(self) -> None:
        await self._do(lambda connection: connection.execute("SELECT 1 FROM definition LIMIT 1").fetchone())

    async def close(self) -> None:
        await self._do(lambda connection: connection.close())


def _one(connection: sqlite3.Connection, namespace: str, name: str, version: str | None) -> _Row | None:
    query = f"SELECT {_COLUMNS} FROM definition WHERE namespace = ? AND name = ? AND version = ?"  # noqa: S608
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
