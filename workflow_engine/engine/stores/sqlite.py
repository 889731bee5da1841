"""Definitions in a SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.store import Definition, order
from workflow_engine.errors import NotFound
from workflow_engine.graph.model import WorkflowName

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS definition (
    namespace TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
    dialect TEXT NOT NULL, text TEXT NOT NULL, digest TEXT NOT NULL, bundle BLOB NOT NULL,
    title TEXT NOT NULL, deployed_at TEXT NOT NULL,
    PRIMARY KEY (namespace, name, version)
) WITHOUT ROWID
"""
_COLUMNS = "namespace, name, version, dialect, text, digest, bundle, title, deployed_at"


class SqliteDefinitions:
    """A `DefinitionStore` in one file; every definition is on disk before `add` returns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, path: str) -> SqliteDefinitions:
        def connect() -> sqlite3.Connection:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(_SCHEMA)
            return connection

        return cls(await asyncio.to_thread(connect))

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        async with self._lock:
            return await asyncio.to_thread(work, self._connection)

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
        for definition in await self.versions(namespace, name):
            if version is None or definition.workflow.version == version:
                return definition
        raise NotFound("workflow", f"{namespace}/{name}" + (f"/{version}" if version else ""))

    async def versions(self, namespace: str, name: str) -> Sequence[Definition]:
        found = await self._select("WHERE namespace = ? AND name = ?", namespace, name)
        return sorted(found, key=lambda item: order(item.workflow.version), reverse=True)

    async def list(self) -> Sequence[Definition]:
        return _latest(await self._select(""))

    async def find(self, name: str) -> Sequence[Definition]:
        return _latest(await self._select("WHERE name = ?", name))

    async def _select(self, where: str, *values: str) -> Sequence[Definition]:
        query = f"SELECT {_COLUMNS} FROM definition {where}"  # noqa: S608 - `where` is one of three texts above
        rows = await self._do(lambda connection: connection.execute(query, values).fetchall())
        return [_definition(row) for row in rows]

    async def close(self) -> None:
        await self._do(lambda connection: connection.close())


def _latest(found: Sequence[Definition]) -> list[Definition]:
    latest: dict[tuple[str, str], Definition] = {}
    for definition in found:
        key = (definition.workflow.namespace, definition.workflow.name)
        present = latest.get(key)
        if present is None or order(present.workflow.version) < order(definition.workflow.version):
            latest[key] = definition
    return [latest[key] for key in sorted(latest)]


def _definition(row: tuple[str, str, str, str, str, str, bytes, str, str]) -> Definition:
    namespace, name, version, dialect, text, digest, data, title, deployed_at = row
    return Definition(
        workflow=WorkflowName(namespace, name, version),
        dialect=dialect,
        text=text,
        bundle=Bundle(digest, data),
        title=title,
        deployed_at=datetime.fromisoformat(deployed_at),
    )
