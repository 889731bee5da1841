"""Interim results in a SQLite file, for the workers of one machine."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Self

from workflow_engine.errors import Unavailable
from workflow_engine.events.stores.sqlite_connection import Connection

_SCHEMA = """
CREATE TABLE IF NOT EXISTS interim (
    execution TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, result BLOB NOT NULL, PRIMARY KEY (execution, key)
) WITHOUT ROWID
"""
FORMAT = 1


class SqliteInterim:
    """An `InterimStore` in one file, which any number of processes of one machine may use at a time."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    @classmethod
    async def open(cls, path: Path, *, synchronous: str = "full") -> Self:
        """Open or create the file. With *synchronous* ``full`` what is kept survives a loss of power, with ``normal``
        the death of the processes only. `Unavailable` when the file cannot be used, or is no such store.
        """

        def prepare() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # results are nobody else's
            connection = sqlite3.connect(path, isolation_level=None, timeout=10)
            try:
                (found,) = connection.execute("PRAGMA user_version").fetchone()
                if found not in (0, FORMAT):
                    raise Unavailable(
                        f"the interim store {path} has format {found}, this program reads {FORMAT}"
                    )
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            finally:
                connection.close()

        try:
            await asyncio.to_thread(prepare)
            return cls(Connection(path, synchronous=synchronous, shown=str(path), what="interim store"))
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"{path} cannot be opened as an interim store: {error}") from None

    async def of(self, execution: str) -> Mapping[str, bytes]:
        query = "SELECT key, result FROM interim WHERE execution = ?"
        return await self._db.read(lambda db: dict(db.execute(query, (execution,)).fetchall()))

    async def keep(self, execution: str, results: Mapping[str, bytes]) -> None:
        now = time.time()
        rows = [(execution, key, now, result) for key, result in results.items()]
        statement = "INSERT OR REPLACE INTO interim VALUES (?, ?, ?, ?)"
        await self._db.write(lambda db: db.executemany(statement, rows))

    async def forget(self, executions: Collection[str], calls: Collection[tuple[str, str]]) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM interim WHERE execution = ?", [(each,) for each in executions])
            db.executemany("DELETE FROM interim WHERE execution = ? AND key = ?", calls)

        await self._db.write(work, sync=False)

    async def prune(self, before: float) -> int:
        statement = "DELETE FROM interim WHERE at < ?"
        return await self._db.write(lambda db: db.execute(statement, (before,)).rowcount, sync=False)

    async def close(self) -> None:
        await self._db.close()
