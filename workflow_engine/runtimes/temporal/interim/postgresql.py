"""Interim results in a PostgreSQL database, for the workers of any number of machines."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Self

from workflow_engine.events.stores.postgresql import address
from workflow_engine.events.stores.postgresql_connection import Database

FORMAT = 1
_MAKING = 4_021_993_004
"""The advisory lock under which tables are made."""
_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS "{schema}";
CREATE TABLE interim_format (number integer NOT NULL);
CREATE TABLE interim (
    execution bytea NOT NULL, key bytea NOT NULL, at double precision NOT NULL, result bytea NOT NULL,
    PRIMARY KEY (execution, key)
);
"""
# Keys are bytes: text of PostgreSQL has no NUL, and names in documents may.


class PostgresqlInterim:
    """An `InterimStore` in one table."""

    def __init__(self, database: Database) -> None:
        self._db = database

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open the database at *url* (`events.stores.postgresql.address`); the table is made if need be.

        `Rejected` for a URL that cannot be read, `Unavailable` when the database cannot be reached.
        """
        database = Database(address(url), what="interim store")
        await database.open()
        await database.prepare("interim_format", _SCHEMA, FORMAT, _MAKING)
        return cls(database)

    async def of(self, execution: str) -> Mapping[str, bytes]:
        query = "SELECT key, result FROM interim WHERE execution = $1"
        rows = await self._db.read(lambda db: db.fetch(query, execution.encode()))
        return {bytes(key).decode(): bytes(result) for key, result in rows}

    async def keep(self, execution: str, results: Mapping[str, bytes]) -> None:
        keys, now = [key.encode() for key in results], time.time()
        statement = (
            "INSERT INTO interim SELECT $1, key, $2, result FROM unnest($3::bytea[], $4::bytea[]) AS one (key, result) "
            "ON CONFLICT (execution, key) DO UPDATE SET at = excluded.at, result = excluded.result"
        )
        given = (execution.encode(), now, keys, list(results.values()))
        await self._db.statement(lambda db: db.execute(statement, *given))

    async def forget(self, executions: Collection[str], calls: Collection[tuple[str, str]]) -> None:
        statement = (
            "WITH whole AS (DELETE FROM interim WHERE execution = ANY($1::bytea[])) "
            "DELETE FROM interim USING unnest($2::bytea[], $3::bytea[]) AS one (execution, key) "
            "WHERE interim.execution = one.execution AND interim.key = one.key"
        )
        whole = [each.encode() for each in executions]
        of, keys = [each.encode() for each, _ in calls], [key.encode() for _, key in calls]
        await self._db.statement(lambda db: db.execute(statement, whole, of, keys))

    async def prune(self, before: float) -> int:
        told = await self._db.statement(lambda db: db.execute("DELETE FROM interim WHERE at < $1", before))
        return int(str(told).rpartition(" ")[2])

    async def close(self) -> None:
        await self._db.close()
