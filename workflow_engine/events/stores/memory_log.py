"""The log of a store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import count

from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.events.spi import (
    Appended,
    Attempt,
    Caps,
    ChannelSpec,
    PartitionStats,
    Position,
    Record,
    Start,
    StoredRecord,
    partition_of,
)
from workflow_engine.events.stores.wakeups import Wakeups


@dataclass(slots=True)
class _Partition:
    first: int = 0
    records: list[StoredRecord] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    last_us: int = 0

    @property
    def next(self) -> int:
        return self.first + len(self.records)


@dataclass(slots=True)
class Group:
    """A consumer group: its members and until when they are alive, its cursor and its state."""

    members: dict[str, int] = field(default_factory=dict)
    epoch: int = 0
    cursor: dict[int, int] = field(default_factory=dict)
    state: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Channel:
    """A channel and everything that goes with it when it is dropped, deliveries aside."""

    spec: ChannelSpec
    logs: list[_Partition]
    identities: dict[bytes, tuple[Position, int]] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    ledger: dict[Position, list[Attempt]] = field(default_factory=dict)


class MemoryLog:
    """`EventStore` over lists."""

    caps = Caps.DEDUPE_FOREVER | Caps.SEEK_TIME | Caps.TYPE_FILTER | Caps.QUERY

    def __init__(self) -> None:
        self._opened = False
        self._wakeups = Wakeups()
        self._channels: dict[str, Channel] = {}
        self._arrived: dict[int, tuple[str, StoredRecord]] = {}
        self._order = count(1)

    async def open(self) -> None:
        self._opened = True

    async def close(self) -> None:
        self._opened = False
        self._channels.clear()
        self._arrived.clear()
        self._wakeups.notify_all()

    def _use(self) -> None:
        if not self._opened:
            raise Unavailable("the event store in memory is not open")

    def _channel(self, name: str) -> Channel:
        self._use()
        try:
            return self._channels[name]
        except KeyError:
            raise NotFound("channel", name) from None

    def _drop_deliveries(self, channel: str) -> None:
        """For the part of the store that has the deliveries."""

    async def ensure_channel(self, spec: ChannelSpec) -> ChannelSpec:
        self._use()
        fresh = Channel(spec, [_Partition() for _ in range(spec.partitions)])
        return self._channels.setdefault(spec.name, fresh).spec

    async def channels(self) -> list[ChannelSpec]:
        self._use()
        return [self._channels[name].spec for name in sorted(self._channels)]

    async def drop_channel(self, name: str) -> None:
        for log in self._channel(name).logs:
            for arrival in log.arrivals:
                del self._arrived[arrival]
        del self._channels[name]
        self._drop_deliveries(name)
        self._wakeups.notify(name)

    async def stats(self, name: str) -> list[PartitionStats]:
        return [
            PartitionStats(
                number,
                log.first,
                log.next,
                len(log.records),
                sum(len(stored.record.body) for stored in log.records),
                log.records[0].time_us if log.records else None,
            )
            for number, log in enumerate(self._channel(name).logs)
        ]

    async def append(self, name: str, batch: Sequence[Record], *, sync: bool = True) -> list[Appended]:
        channel = self._channel(name)
        answers = []
        for record in batch:
            digest, window = record.digest(), channel.spec.dedupe_us
            known = channel.identities.get(digest)
            if known is not None and window != 0 and (window is None or record.time_us - known[1] < window):
                answers.append(Appended(known[0], duplicate=True))
                continue
            number = partition_of(record.key, channel.spec.partitions)
            log = channel.logs[number]
            log.last_us = max(log.last_us, record.time_us)
            stored = StoredRecord(Position(number, log.next), record, log.last_us)
            arrival = next(self._order)
            log.records.append(stored)
            log.arrivals.append(arrival)
            self._arrived[arrival] = (name, stored)
            if window != 0:  # then nothing is a duplicate, though clocks may go back
                channel.identities[digest] = (stored.position, record.time_us)
            answers.append(Appended(stored.position, duplicate=False))
        self._wakeups.notify(name)
        return answers

    async def read(
        self,
        name: str,
        partition: int,
        offset: int,
        *,
        limit: int,
        wait: float = 0,
        types: Collection[str] | None = None,
    ) -> list[StoredRecord]:
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            ticket = self._wakeups.ticket(name)
            log = self._channel(name).logs[partition]
            found: list[StoredRecord] = []
            for stored in log.records[max(0, offset - log.first) :]:
                if types is None or stored.record.type in types:
                    found.append(stored)
                    if len(found) == limit:
                        break
            left = deadline - asyncio.get_running_loop().time()
            if found or left <= 0:
                return found
            await asyncio.wait({ticket}, timeout=left)

    async def fetch(self, name: str, positions: Sequence[Position]) -> list[StoredRecord | None]:
        channel = self._channel(name)
        found: list[StoredRecord | None] = []
        for position in positions:
            log = channel.logs[position.partition] if position.partition < len(channel.logs) else _Partition()
            index = position.offset - log.first
            found.append(log.records[index] if 0 <= index < len(log.records) else None)
        return found

    async def offset_at(self, name: str, partition: int, start: Start) -> int:
        log = self._channel(name).logs[partition]
        if start == "earliest":
            return log.first
        if start == "latest":
            return log.next
        return next((stored.position.offset for stored in log.records if stored.time_us >= start), log.next)

    async def trim(self, name: str, partition: int, before: int) -> int:
        channel = self._channel(name)
        log = channel.logs[partition]
        gone = min(max(0, before - log.first), len(log.records))
        for arrival in log.arrivals[:gone]:
            del self._arrived[arrival]
        for position in [at for at in channel.ledger if at.partition == partition and at.offset < before]:
            del channel.ledger[position]
        del log.records[:gone], log.arrivals[:gone]
        log.first += gone
        window_us = channel.spec.dedupe_us
        if window_us is not None:
            channel.identities = {
                digest: known
                for digest, known in channel.identities.items()
                if known[1] > log.last_us - window_us
            }
        return gone
