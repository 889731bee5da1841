"""A journal: the log in which a store writes what it did, in one order and by one writer at a time.

A store that has a journal can be built again anywhere: from the newest snapshot, and the entries after it. The port
(`Journal`) asks for what a log such as a stream of JetStream or a partition of Kafka has: an append that fails where
the log has gone on meanwhile, reading from a place on, and forgetting the beginning.

An entry holds the statements of one transaction, exactly as they were run, so that building again depends neither on
the code of the version that wrote it nor on that of the one that reads it. One too large for a message is several
parts, and counts when its last part is there.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import orjson

from workflow_engine.errors import Conflict, Unavailable

VERSION = 1
"""The form of entries. A reader of an older one refuses a newer one."""

Statement: TypeAlias = tuple[str, list[Sequence[Any]]]
"""SQL, and the values for each time that it was run."""

_HEAD = struct.Struct(">3sB16sQHHB")
_MAGIC = b"WFJ"
_LENGTH = struct.Struct(">I")
_PACKED = 1
_WORTH_PACKING = 400


class Moved(Exception):
    """The journal has gone on, or back, since it was last looked at; nothing was appended."""


class Full(Unavailable):
    """There is no room in the journal; nothing was appended, or parts of it. A snapshot makes room."""


class TooLarge(Unavailable):
    """The entry is one that there will never be room for; nothing was appended."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The sequences of the *first* and the *last* message that the journal has; when empty, *first* is ``last + 1``.

    *size* is how many bytes it takes, *room* how many it may take; 0 where nothing bounds that. *identity* is that of
    the journal: another one of the same name has another.
    """

    identity: str
    first: int
    last: int
    size: int
    room: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the store was at the message *sequence*, in *size* bytes."""

    sequence: int
    size: int


class Journal(Protocol):
    """A log of messages with sequences from 1 on, without gaps. Whatever keeps it from answering is `Unavailable`."""

    shown: str
    """Where it is, for messages: without passwords."""

    @property
    def largest(self) -> int:
        """How many bytes a message may have."""

    async def open(self) -> None:
        """Connect, and create it where there is none."""

    async def close(self) -> None:
        """Disconnect. Closing twice is fine."""

    async def bounds(self) -> Bounds:
        """What it has now."""

    async def append(self, messages: Sequence[bytes], after: int) -> int:
        """Append behind the message *after*, which must be the last, else `Moved`; the sequence of the last one.

        All are durable on return. If it raises `Unavailable`, some of them may be there, or come to be there as long
        as nothing else was appended. `TooLarge` where they take more than half of the room that there is for all.
        """

    async def read(self, after: int) -> list[tuple[int, bytes]]:
        """The next few messages with their sequences, in order; none at the end."""

    async def snapshots(self) -> list[Snapshot]:
        """Those that are whole, newest first."""

    async def keep_snapshot(self, sequence: int, file: Path) -> None:
        """Store *file* as the snapshot of everything up to *sequence*."""

    async def load_snapshot(self, sequence: int, file: Path) -> None:
        """Write that snapshot to *file*; `Unavailable` where it is damaged."""

    async def forget(self, sequence: int) -> None:
        """Remove the messages and the snapshots before *sequence*, but not what is at it, nor the newest snapshot
        before it.
        """

    async def forget_later(self, sequence: int) -> None:
        """Remove the snapshots after *sequence*: they are of something else."""

    async def holder(self) -> str | None:
        """Who answers that it has the journal; ``None`` where nobody does."""

    async def answer(self, who: str) -> None:
        """Tell whoever asks for the holder: *who*; until the connection ends."""

    async def announce(self) -> None:
        """Have those look at the journal who believe that they have it."""

    async def resign(self) -> None:
        """Tell nobody any more."""


@dataclass(frozen=True, slots=True)
class Part:
    """One message: part *number* of *count* of the entry *entry* of a *writer*."""

    writer: bytes
    entry: int
    number: int
    count: int
    packed: bool
    body: bytes


def parts(writer: bytes, entry: int, statements: Sequence[Statement], largest: int) -> list[bytes]:
    """The messages of an entry, none of more than *largest* bytes."""
    content = encode(statements)
    flags = 0
    if len(content) > _WORTH_PACKING:
        content, flags = zlib.compress(content, 1), _PACKED
    room = largest - _HEAD.size
    bodies = [content[at : at + room] for at in range(0, len(content), room)]
    return [
        _HEAD.pack(_MAGIC, VERSION, writer, entry, number, len(bodies), flags) + body
        for number, body in enumerate(bodies)
    ]


def part(message: bytes, shown: str) -> Part | None:
    """Read a message of the journal *shown*; ``None`` where it is of something else; `Conflict` for a newer version."""
    if len(message) < _HEAD.size or message[:3] != _MAGIC:
        return None
    _, version, writer, entry, number, count, flags = _HEAD.unpack_from(message)
    if version > VERSION:
        raise Conflict(f"{shown} has entries of form {version}, this version reads up to {VERSION}; upgrade")
    return Part(writer, entry, number, count, bool(flags & _PACKED), message[_HEAD.size :])


class Joining:
    """Puts entries together from their parts; what was left unfinished is dropped."""

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def take(self, part: Part) -> list[Statement] | None:
        """The statements, with the last part of an entry."""
        ours = self._parts
        if part.number == 0:
            ours.clear()
        elif part.number != len(ours) or (ours[0].writer, ours[0].entry) != (part.writer, part.entry):
            ours.clear()
            return None
        ours.append(part)
        if len(ours) < part.count:
            return None
        content = b"".join(each.body for each in ours)
        ours.clear()
        return decode(zlib.decompress(content) if part.packed else content)


def digest(message: bytes) -> bytes:
    """What tells a message from another one at the same place."""
    return hashlib.blake2b(message, digest_size=16).digest()


def encode(statements: Sequence[Statement]) -> bytes:
    """JSON in which ``{"b": n}`` is for the next *n* bytes of what follows it."""
    blobs: list[bytes] = []

    def blob(value: object) -> object:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"{type(value).__name__} is not a value of SQLite")
        blobs.append(bytes(value))
        return {"b": len(blobs[-1])}

    text = orjson.dumps(statements, default=blob)
    return b"".join((_LENGTH.pack(len(text)), text, *blobs))


def decode(content: bytes) -> list[Statement]:
    """The inverse of `encode`."""
    (length,) = _LENGTH.unpack_from(content)
    at = _LENGTH.size + length

    def value(given: Any) -> Any:
        nonlocal at
        if not isinstance(given, dict):
            return given
        at += given["b"]
        return content[at - given["b"] : at]

    statements = orjson.loads(content[_LENGTH.size : at])
    return [(sql, [[value(each) for each in values] for values in runs]) for sql, runs in statements]
