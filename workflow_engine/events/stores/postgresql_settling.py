"""Settling deliveries of a store in PostgreSQL: what ends at the same time is settled with one statement."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from workflow_engine.errors import Rejected
from workflow_engine.events.spi import Again, Done, Parked
from workflow_engine.events.stores.postgresql_connection import Database
from workflow_engine.events.stores.postgresql_functions import SETTLE, called

GROUP = 256
"""How many deliveries share one statement at most."""
COLUMNS = 12
"""How many columns the ledger has."""
_SETTLE = called(SETTLE, 8 + COLUMNS)
Answer: TypeAlias = "tuple[bool, Sequence[Any] | None]"


@dataclass(slots=True)
class Verdict:
    """How a leased delivery went, or none (*item*), and what is added to the *ledger*. *locks* are its key's."""

    item: Parked | None
    outcome: Done | Again
    until_us: int | None
    locks: Sequence[int]
    ledger: Sequence[tuple[Any, ...]]
    done: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Settler:
    """Settles one statement at a time; what ends meanwhile goes into the next one."""

    def __init__(self, db: Database, key_class: str) -> None:
        self._db, self._key_class = db, key_class
        self._queue: list[Verdict] = []
        self._task: asyncio.Task[None] | None = None

    async def settle(self, verdict: Verdict) -> Answer:
        """Whether the lease was held, and the row of the delivery that was leased next. Cancelling does not undo it."""
        self._queue.append(verdict)
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="settle")
        return await verdict.done

    async def finish(self) -> None:
        """Wait until everything is settled that was asked for."""
        while self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _drain(self) -> None:
        try:
            while self._queue:
                group = self._queue[:GROUP]
                del self._queue[:GROUP]
                await self._write(group)
        finally:
            self._task = None

    async def _write(self, group: list[Verdict]) -> None:
        try:
            answers = await self._settled(group)
        except Rejected as error:
            if len(group) > 1:
                for verdict in group:
                    await self._write([verdict])
            elif not group[0].done.done():
                group[0].done.set_exception(error)
        except Exception as error:  # noqa: BLE001  whatever it is, it belongs to who asked
            for verdict in group:
                if not verdict.done.done():
                    verdict.done.set_exception(error)
        else:
            for verdict, answer in zip(group, answers, strict=True):
                if not verdict.done.done():
                    verdict.done.set_result(answer)

    async def _settled(self, group: list[Verdict]) -> list[Answer]:
        columns: list[list[Any]] = [[] for _ in range(6)]
        places: dict[int, int] = {}
        for place, verdict in enumerate(group):
            if (item := verdict.item) is None:
                continue
            places[len(places) + 1] = place
            again = verdict.outcome if isinstance(verdict.outcome, Again) else None
            row = (
                item.id,
                item.owner,
                item.due_us,
                None if again is None else again.due_us,
                None if again is None else text(again.reason),
                verdict.until_us,
            )
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        locks = sorted({number for verdict in group for number in verdict.locks})
        rows = [row for verdict in group for row in verdict.ledger]
        ledger = ledger_columns(rows)
        found = await self._db.statement(
            lambda db: db.fetch(_SETTLE, *columns, self._key_class, locks, *ledger)
        )
        answers: list[Answer] = [(False, None)] * len(group)
        for row in found:
            answers[places[row[0]]] = (True, None if row[1] is None else row[1:])
        return answers


def ledger_columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """The columns of *rows* of the ledger."""
    return [[row[n] for row in rows] for n in range(COLUMNS)]


def text(said: str) -> str:
    """*said*, which a target may have answered, as PostgreSQL can store it."""
    return said.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def lock(name: str, count: int) -> int:
    """The number of the advisory lock that stands for *name*, one of *count*."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "big") % count
