"""Adding to the log of a store in PostgreSQL: what is published at the same time is stored together."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_engine.errors import NotFound, Rejected
from workflow_engine.events.spi import Appended, ChannelSpec, Position, Record, StoredRecord, partition_of
from workflow_engine.events.stores.postgresql_connection import Database
from workflow_engine.events.stores.postgresql_functions import APPEND, called

GROUP = 512
GROUP_BYTES = 4 << 20
"""How many records of different publishers share one commit at most, and about how many bytes."""


@dataclass(slots=True)
class _Batch:
    records: Sequence[Record]
    digests: Sequence[bytes]
    sync: bool
    done: asyncio.Future[list[Appended]]

    def size(self) -> tuple[int, int]:
        return len(self.records), sum(len(record.body) for record in self.records)


class Appender:
    """Appends to channels, one transaction at a time for each: what arrives meanwhile goes into the next one.

    *topic* says under which name others are told of a channel's news with the commit, None where they need not be;
    *stored* is called with what was stored, before it is acknowledged, and whether others were told; with nothing where
    that is not known.
    """

    def __init__(
        self,
        db: Database,
        topic: Callable[[int], str | None],
        stored: Callable[[int, Sequence[StoredRecord], bool], None],
    ) -> None:
        self._db, self._topic, self._stored = db, topic, stored
        self._queues: dict[int, list[_Batch]] = defaultdict(list)
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def append(
        self, channel: int, spec: ChannelSpec, records: Sequence[Record], *, sync: bool
    ) -> list[Appended]:
        """As `EventStore.append`. Cancelling does not undo it."""
        if not records:
            return []
        digests = [record.digest() for record in records] if spec.dedupe_us != 0 else []
        batch = _Batch(records, digests, sync, asyncio.get_running_loop().create_future())
        self._queues[channel].append(batch)
        if channel not in self._tasks:
            self._tasks[channel] = asyncio.create_task(self._drain(channel, spec), name=f"append {spec.name}")
        return await batch.done

    async def settle(self) -> None:
        """Wait until everything is written that was asked for."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _drain(self, channel: int, spec: ChannelSpec) -> None:
        try:
            while queue := self._queues.pop(channel, None):
                while queue:
                    group = _group(queue)
                    del queue[: len(group)]
                    await self._write(channel, spec, group)
        finally:
            del self._tasks[channel]

    async def _write(self, channel: int, spec: ChannelSpec, group: list[_Batch]) -> None:
        try:
            answers = await self._append(channel, spec, group)
        except Rejected as error:
            if len(group) == 1:
                _fail(group, error)
                return
            for batch in group:
                await self._write(channel, spec, [batch])
        except Exception as error:  # noqa: BLE001  whatever it is, it belongs to who asked
            self._stored(channel, (), False)  # it may have been done
            _fail(group, error)
        else:
            at = 0
            for batch in group:
                if not batch.done.done():
                    batch.done.set_result(answers[at : at + len(batch.records)])
                at += len(batch.records)

    async def _append(self, channel: int, spec: ChannelSpec, group: list[_Batch]) -> list[Appended]:
        """Offsets are given out while the row of the partition is locked until the commit: who reads an offset has
        seen all before it, and none is left out because its transaction ended later.
        """
        records = [record for batch in group for record in batch.records]
        digests = [digest for batch in group for digest in batch.digests]
        first: dict[bytes, int] = {}
        places = [first.setdefault(digest, n) for n, digest in enumerate(digests)] or [*range(len(records))]
        sent = [n for n, place in enumerate(places) if place == n]
        columns: list[list[Any]] = [[] for _ in range(10)]
        for n in sent:
            record = records[n]
            part, digest = partition_of(record.key, spec.partitions), digests[n] if digests else None
            row = (part, record.time_us, record.source, record.id, record.type, record.subject, record.key,
                   record.identity, record.body, digest)  # fmt: skip
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        sync, topic = any(batch.sync for batch in group), self._topic(channel)
        locks = sorted(set(columns[0]))
        parts, offs, times, duplicates = await self._db.statement(
            lambda db: db.fetchrow(_CALL, channel, locks, *columns, spec.dedupe_us, sync, topic)
        )
        if parts is None:
            raise NotFound("channel", spec.name)
        positions = [Position(*at) for at in zip(parts, offs, strict=True)]
        new = [
            StoredRecord(at, records[n], time_us)
            for n, at, time_us, duplicate in zip(sent, positions, times, duplicates, strict=True)
            if not duplicate
        ]
        if new:
            self._stored(channel, new, topic is not None)
        answers = {n: Appended(*found) for n, *found in zip(sent, positions, duplicates, strict=True)}
        return [
            answers[n] if n == place else Appended(answers[place].position, duplicate=True)
            for n, place in enumerate(places)
        ]


_CALL = called(APPEND, 15)


def _group(queue: Sequence[_Batch]) -> list[_Batch]:
    """What goes into the next commit: not an event twice of which each publisher has one, for between them the
    channel's window may end.
    """
    count = size = 0
    seen: set[bytes] = set()
    group: list[_Batch] = []
    for batch in queue:
        more, larger = batch.size()
        count, size = count + more, size + larger
        if group and (count > GROUP or size > GROUP_BYTES or not seen.isdisjoint(batch.digests)):
            break
        seen.update(batch.digests)
        group.append(batch)
    return group


def _fail(group: list[_Batch], error: Exception) -> None:
    for batch in group:
        if not batch.done.done():
            batch.done.set_exception(error)
