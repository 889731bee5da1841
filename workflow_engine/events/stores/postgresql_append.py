"""Adding to the log of a store in PostgreSQL: what is published at the same time is stored together."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workflow_engine.errors import NotFound, Rejected
from workflow_engine.events.spi import Appended, ChannelSpec, Position, Record, partition_of
from workflow_engine.events.stores.postgresql_connection import Database, Db, InTheWay

GROUP = 512
GROUP_BYTES = 4 << 20
"""How many records of different publishers share one commit at most, and about how many bytes."""


_WRITE = """
WITH remembered AS (
    INSERT INTO identity AS i (channel, digest, part, off, time_us)
    SELECT $1, * FROM unnest($18::bytea[], $19::int[], $20::bigint[], $21::bigint[])
    ON CONFLICT (channel, digest) DO UPDATE SET part = excluded.part, off = excluded.off, time_us = excluded.time_us
    WHERE excluded.time_us - i.time_us >= $22::bigint
    RETURNING 1
), stored AS (
    INSERT INTO record (channel, part, off, time_us, received_us, source, id, type, subject, key, identity, body)
    SELECT $1, * FROM unnest($2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[],
                             $9::text[], $10::text[], $11::text[], $12::bytea[])
), moved AS (
    UPDATE partition p SET next = t.next, last_us = t.last_us
    FROM unnest($13::int[], $14::bigint[], $15::bigint[]) AS t (part, next, last_us)
    WHERE p.channel = $1 AND p.part = t.part
)
SELECT (SELECT count(*) FROM remembered) FROM pg_notify($16, $17)
"""
"""Everything that one commit adds, for every statement is a way to the server and back while partitions are locked."""


@dataclass(slots=True)
class _Batch:
    records: Sequence[Record]
    sync: bool
    done: asyncio.Future[list[Appended]]

    def size(self) -> tuple[int, int]:
        return len(self.records), sum(len(record.body) for record in self.records)


class Appender:
    """Appends to channels, one transaction at a time for each: what arrives meanwhile goes into the next one."""

    def __init__(self, db: Database, topic: str) -> None:
        self._db, self._topic = db, topic
        self._queues: dict[int, list[_Batch]] = defaultdict(list)
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def append(
        self, channel: int, spec: ChannelSpec, records: Sequence[Record], *, sync: bool
    ) -> list[Appended]:
        """As `EventStore.append`. Cancelling does not undo it."""
        batch = _Batch(records, sync, asyncio.get_running_loop().create_future())
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
                    group = [queue.pop(0)]
                    count, size = group[0].size()
                    while queue:
                        more, larger = queue[0].size()
                        count, size = count + more, size + larger
                        if count > GROUP or size > GROUP_BYTES:
                            break
                        group.append(queue.pop(0))
                    await self._write(channel, spec, group)
        finally:
            del self._tasks[channel]

    async def _write(self, channel: int, spec: ChannelSpec, group: list[_Batch]) -> None:
        records = [record for batch in group for record in batch.records]
        try:
            answers = await self._db.write(
                lambda db: _append(db, self._topic, channel, spec, records),
                sync=any(batch.sync for batch in group),
            )
        except Rejected as error:
            if len(group) == 1:
                _fail(group, error)
                return
            for batch in group:
                await self._write(channel, spec, [batch])
        except Exception as error:  # noqa: BLE001  whatever it is, it belongs to who asked
            _fail(group, error)
        else:
            at = 0
            for batch in group:
                if not batch.done.done():
                    batch.done.set_result(answers[at : at + len(batch.records)])
                at += len(batch.records)


def _fail(group: list[_Batch], error: Exception) -> None:
    for batch in group:
        if not batch.done.done():
            batch.done.set_exception(error)


async def _append(
    db: Db, topic: str, channel: int, spec: ChannelSpec, records: Sequence[Record]
) -> list[Appended]:
    """Offsets are given out while the row of the partition is locked until the commit: who reads an offset has seen
    all before it, and none is left out because its transaction ended later.
    """
    parts = [partition_of(record.key, spec.partitions) for record in records]
    rows = await db.fetch(
        "SELECT part, next, last_us FROM partition WHERE channel = $1 AND part = ANY($2::int[])"
        " ORDER BY part FOR UPDATE",
        channel,
        sorted(set(parts)),
    )
    tails = {row[0]: (row[1], row[2]) for row in rows}
    if len(tails) < len(set(parts)):
        raise NotFound("channel", spec.name)
    digests = [record.digest() for record in records] if spec.dedupe_us != 0 else []
    known = await _known(db, channel, digests)
    new: dict[bytes, tuple[int, int, int]] = {}
    columns: list[list[Any]] = [[] for _ in range(11)]
    answers = []
    for number, (record, part) in enumerate(zip(records, parts, strict=True)):
        first = known.get(digests[number]) if digests else None
        if first and (spec.dedupe_us is None or record.time_us - first[2] < spec.dedupe_us):
            answers.append(Appended(Position(first[0], first[1]), duplicate=True))
            continue
        off, last_us = tails[part]
        tails[part] = (off + 1, max(last_us, record.time_us))
        row = (part, off, tails[part][1], record.time_us, record.source, record.id, record.type, record.subject,
               record.key, record.identity, record.body)  # fmt: skip
        for column, value in zip(columns, row, strict=True):
            column.append(value)
        if digests:
            known[digests[number]] = new[digests[number]] = (part, off, record.time_us)
        answers.append(Appended(Position(part, off), duplicate=False))
    if not columns[0]:
        return answers
    digests = sorted(new)
    stored = await db.fetchval(
        _WRITE,
        channel,
        *columns,
        list(tails),
        [tail[0] for tail in tails.values()],
        [tail[1] for tail in tails.values()],
        topic,
        f"channel {channel}",
        digests,
        [new[digest][0] for digest in digests],
        [new[digest][1] for digest in digests],
        [new[digest][2] for digest in digests],
        spec.dedupe_us,
    )
    if stored < len(digests):
        raise InTheWay  # one was published meanwhile, to another partition
    return answers


async def _known(db: Db, channel: int, digests: list[bytes]) -> dict[bytes, tuple[int, int, int]]:
    if not digests:
        return {}
    rows = await db.fetch(
        "SELECT digest, part, off, time_us FROM identity WHERE channel = $1 AND digest = ANY($2::bytea[])",
        channel,
        digests,
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}
