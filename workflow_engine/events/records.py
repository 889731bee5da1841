"""What a log holds: records, where they are, and the channels they are in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a record is: *offset* counts up from 0 in its *partition*, maybe with gaps, and is never reused."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read ``partition:offset``; `ValueError` for anything else."""
        partition, colon, offset = text.partition(":")
        if not (colon and partition.isdecimal() and offset.isdecimal() and len(text) < 40):
            raise ValueError(f"{text!r} is not a position such as 0:42")
        return cls(int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class Record:
    """An event on its way into a log: *body* is the CloudEvent as JSON, the rest is what stores index by.

    *key* chooses the partition. *time_us* is when the router received it. *identity* is what duplicates are
    found by; by default source and id.
    """

    source: str
    id: str
    type: str
    subject: str | None
    key: str
    time_us: int
    body: bytes
    identity: str | None = None

    def digest(self) -> bytes:
        """16 bytes that are equal for duplicates."""
        identity = (
            self.identity if self.identity is not None else f"{len(self.source)}:{self.source}{self.id}"
        )
        return hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record in its log. Its *time_us* is not smaller than that of the record before it in the partition."""

    position: Position
    record: Record
    time_us: int


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a record is; a *duplicate* was not stored, and the position is that of the first one."""

    position: Position
    duplicate: bool


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """A channel. *partitions* is fixed at creation. *dedupe_us* is how long identities are remembered:
    ``None`` for ever, 0 not at all.
    """

    name: str
    partitions: int = 1
    dedupe_us: int | None = None


@dataclass(frozen=True, slots=True)
class PartitionStats:
    """A partition: the *first* offset kept, the *next* to be given, how many records and bytes, and since when.

    *first* equals *next* and *oldest_us* is ``None`` where it is empty.
    """

    partition: int
    first: int
    next: int
    count: int
    bytes: int
    oldest_us: int | None


Start: TypeAlias = Literal["earliest", "latest"] | int
"""From where to read: the oldest record kept, what comes next, or a time in microseconds."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """*moment*, which has a zone, in whole microseconds since 1970 (UTC)."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(time_us: int) -> datetime:
    """The inverse of `microseconds`."""
    return _EPOCH + timedelta(microseconds=time_us)


def partition_of(key: str, partitions: int) -> int:
    """The partition of *key*: the same in every backend, process and version."""
    return (
        int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        % partitions
    )
