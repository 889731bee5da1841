"""What the router asks of storage: a log, consumer groups, deliveries and settings, each a small protocol.

A backend implements all four (`Store`), or several backends are joined into one. Everything that the router
must not forget is behind these methods: it may be killed between any two calls and go on from the store.

Rules for every backend, checked by `workflow_engine.testing.event_store.EventStoreContract`:

* A method that returned has happened, and is durable unless ``sync=False`` was asked (then it survives the
  death of the process, but the machine's may undo it; never out of order). A method that raised has done nothing.
* `commit` is atomic: cursor, outbox and state move together or not at all.
* Times are whole microseconds since 1970 (UTC). The caller says what time it is; stores have no clock, except
  that a record's time never runs backwards inside a partition.
* Channels, groups, keys and members are opaque texts. An unknown channel is `NotFound`.
* A backend that cannot be reached raises `Unavailable`; trying again later is right.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from workflow_engine.events.records import (
    Appended,
    ChannelSpec,
    PartitionStats,
    Position,
    Record,
    Start,
    StoredRecord,
    partition_of,
)

__all__ = [
    "LENT", "RAN_OUT", "Again", "Appended", "Assignment", "Attempt", "Backlog", "Caps", "Change", "ChannelSpec",
    "DeliveryStore", "Done", "EventStore", "Fenced", "GroupStore", "Hit", "Lease", "MetaStore", "Parked",
    "PartitionStats", "Position", "Query", "Record", "Settled", "Start", "Store", "StoredRecord",
    "Versioned", "partition_of",
]  # fmt: skip


RAN_OUT = "the lease ran out"
"""The reason of a delivery that somebody had, and said nothing of."""
LENT = "pull"
"""The owner of what programs have that are no process of the router: opening a store does not end their leases."""


class Caps(enum.Flag):
    """Where backends may differ. What a flag does not name, all of them do."""

    DURABLE = enum.auto()
    """Survives a restart."""
    SHARED = enum.auto()
    """Several processes may open it at once; it is a `shared_store.SharedStore`."""
    DEDUPE_FOREVER = enum.auto()
    """Finds duplicates of any age; without it only inside the channel's window."""
    SEEK_TIME = enum.auto()
    """`offset_at` understands times."""
    TYPE_FILTER = enum.auto()
    """`read` obeys *types*; without it every record comes back."""
    QUERY = enum.auto()
    """`search` works on every field of `Query`."""


class EventStore(Protocol):
    """The log."""

    caps: Caps

    async def open(self) -> None:
        """Connect, create or upgrade what is stored, and end leases and memberships that nobody alive can have:
        without `Caps.SHARED`, all but those of `LENT`. `Conflict`, naming who, where one other process is too many.
        """

    async def close(self) -> None:
        """Finish what was begun and let go. Closing twice is fine; other calls fail with `Unavailable`."""

    async def ensure_channel(self, spec: ChannelSpec) -> ChannelSpec:
        """Create the channel if there is none of this name; the one that is there comes back unchanged."""

    async def channels(self) -> list[ChannelSpec]:
        """All of them, by name."""

    async def drop_channel(self, name: str) -> None:
        """Remove the channel with its records, identities, groups, deliveries and attempts."""

    async def stats(self, name: str) -> list[PartitionStats]:
        """One row for each partition, in order."""

    async def append(self, name: str, batch: Sequence[Record], *, sync: bool = True) -> list[Appended]:
        """Store *batch*, all or nothing, in order; the answers are in its order. A record whose identity is there
        already, or earlier in the batch, is a duplicate: the first one wins, whatever the body.
        """

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
        """Up to *limit* records from *offset* on, in order, of *types* only if given. Where there are none yet, wait
        up to *wait* seconds for the first; then an empty list. Waiting costs no polling in a backend without
        `Caps.SHARED`. Offsets that were trimmed are skipped.
        """

    async def fetch(self, name: str, positions: Sequence[Position]) -> list[StoredRecord | None]:
        """The records at *positions*, in that order; ``None`` for one that is not there (any more)."""

    async def offset_at(self, name: str, partition: int, start: Start) -> int:
        """The offset to read from: for a time, the first record received then or later, else the next one."""

    async def trim(self, name: str, partition: int, before: int) -> int:
        """Forget records with smaller offsets, and their attempts; how many. Identities stay as the channel says."""


class Fenced(Exception):
    """The partitions were given to another member meanwhile; join again and read the cursor anew."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a *member* of a group may work on until *expires_us*; every change of members has a new *epoch*."""

    channel: str
    group: str
    member: str
    partitions: tuple[int, ...]
    epoch: int
    expires_us: int


@dataclass(frozen=True, slots=True)
class Parked:
    """A delivery that waits for its turn or its next attempt.

    *id* names it for good: parking the same id twice keeps the first. Items of a *group* with the same *key*
    are handed out in the order of parking, one at a time: the next only when the one before is settled as
    done. *attempt* counts the attempts made. *payload* is the router's. *owner* holds the lease.
    """

    id: str
    channel: str
    group: str
    position: Position
    due_us: int
    payload: bytes
    key: str | None = None
    attempt: int = 0
    first_us: int = 0
    reason: str = ""
    owner: str | None = field(default=None, compare=False)


class GroupStore(Protocol):
    """Consumer groups: who works on which partition, how far, and with what in hand."""

    async def join(self, name: str, group: str, member: str, now_us: int, ttl_us: int) -> Assignment:
        """Become a member. Partitions are shared out evenly among the members whose time has not run out."""

    async def heartbeat(self, held: Assignment, now_us: int, ttl_us: int) -> Assignment:
        """Stay a member; the answer may have other partitions and a new epoch. `Fenced` if it was too late."""

    async def leave(self, held: Assignment) -> None:
        """Give the partitions back at once. Leaving twice is fine."""

    async def committed(self, name: str, group: str) -> dict[int, int]:
        """The next offset to process for each partition that was ever committed."""

    async def commit(
        self,
        held: Assignment,
        offsets: Mapping[int, int],
        *,
        outbox: Sequence[Parked] = (),
        state: Mapping[str, bytes | None] | None = None,
        ledger: Sequence[Attempt] = (),
        sync: bool = True,
    ) -> None:
        """Move the cursor, park *outbox*, write *state* (``None`` deletes) and *ledger*: all in one. `Fenced` where
        *held* is of an older epoch, or does not have a partition of *offsets*.
        """

    async def states(
        self, name: str, group: str, prefix: str = "", *, after: str | None = None, limit: int | None = None
    ) -> dict[str, bytes]:
        """What `commit` wrote as state and whose key begins so, by key: up to *limit* of what is behind *after*."""

    async def seek(self, name: str, group: str, offsets: Mapping[int, int]) -> None:
        """Set the cursor by hand; whoever works on the group is fenced."""

    async def drop_group(self, name: str, group: str) -> None:
        """Forget its members, cursor and state; parked deliveries are not touched."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A line in an event's trace: what happened to it for one group.

    *status* is the router's word; *n* counts attempts from 1 and is 0 for what is no attempt. *code*,
    *detail* and *reference* come from the target. *ms* is how long it took.
    """

    channel: str
    position: Position
    group: str
    delivery: str
    status: str
    at_us: int
    n: int = 0
    ms: float = 0.0
    code: str = ""
    detail: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The delivery is over, well or not."""


@dataclass(frozen=True, slots=True)
class Again:
    """The delivery is due again at *due_us*, because of *reason*; the attempt is counted."""

    due_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Whether the lease was *held*, without which nothing changed; and what is leased *next*."""

    held: bool
    next: Parked | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Which records to find; every field that is set must fit. Times are when they were received: *from_us*
    is inside, *to_us* outside. *cursor* is that of the last hit of the page before.
    """

    channel: str | None = None
    type: str | None = None
    source: str | None = None
    subject: str | None = None
    id: str | None = None
    from_us: int | None = None
    to_us: int | None = None
    limit: int = 100
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that was found, and the *cursor* that continues after it."""

    channel: str
    stored: StoredRecord
    cursor: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """The deliveries of a *group*: how many, when the oldest was parked, and the most *attempts* one of them had."""

    group: str
    count: int
    first_us: int
    attempts: int


class DeliveryStore(Protocol):
    """Deliveries that wait, and the ledger of attempts."""

    async def park(self, items: Sequence[Parked]) -> None:
        """Add deliveries, all or nothing, outside of a `commit`."""

    async def due(
        self,
        owner: str,
        now_us: int,
        *,
        limit: int,
        lease_us: int,
        per_group: int,
        room: Mapping[str, int] | None = None,
    ) -> list[Parked]:
        """Lease what is due to *owner* until ``now_us + lease_us``: at most *per_group* of each group, or what
        *room* says for it. Groups take turns where *limit* is too small for all. What was leased and not
        settled in time is due again: that attempt is counted, and the reason is `RAN_OUT`.
        """

    async def next_due(self, exclude: Collection[str] = ()) -> int | None:
        """When the earliest delivery, leased or not, is due; ``None`` if there is none."""

    async def settle(
        self,
        item: Parked,
        outcome: Done | Again,
        *,
        ledger: Sequence[Attempt] = (),
        next_until_us: int | None = None,
    ) -> Settled:
        """Say how a leased delivery went, and add to the ledger; the ledger also where the lease is lost. When it is
        done and has a key, the next one of the key is leased at once to the same owner until *next_until_us*, if given.
        """

    async def discard(self, group: str, key: str | None = None) -> list[Parked]:
        """Remove the group's deliveries, or those of one key, leased or not, and return them in order."""

    async def parked(
        self, group: str | None = None, *, at: tuple[str, Position] | None = None
    ) -> list[Parked]:
        """Deliveries of a group, or of the event *at* a position of a channel, in the order of parking."""

    async def parked_page(self, after: int, limit: int) -> list[tuple[int, Parked]]:
        """The next deliveries of all groups in the order of parking, each with its place, behind the place *after*."""

    async def backlog(self) -> dict[str, int]:
        """How many deliveries each group has."""

    async def backlogs(self) -> list[Backlog]:
        """Each group that has deliveries, by name."""

    async def log_attempts(self, rows: Sequence[Attempt]) -> None:
        """Add to the ledger, durable with the next durable write."""

    async def attempts(self, name: str, position: Position) -> list[Attempt]:
        """The ledger of one event, in the order of writing."""

    async def search(self, query: Query) -> list[Hit]:
        """The newest records that fit, newest first, at most *limit*."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """A setting; *rev* grows with every change of any key."""

    key: str
    value: bytes
    rev: int


@dataclass(frozen=True, slots=True)
class Change:
    """A setting was written, or deleted (*value* is ``None``)."""

    key: str
    value: bytes | None
    rev: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A named right that one *owner* has until *expires_us*; *epoch* grows whenever the owner changes."""

    key: str
    owner: str
    epoch: int
    expires_us: int


class MetaStore(Protocol):
    """Settings that several routers share."""

    async def get(self, key: str) -> Versioned | None:
        """The setting, or ``None``."""

    async def put(self, key: str, value: bytes, *, if_rev: int | None = None) -> int:
        """Write, and return the new revision. With *if_rev* only over that revision (0: only if absent), else
        `Conflict`.
        """

    async def delete(self, key: str, *, if_rev: int | None = None) -> bool:
        """Whether there was something to delete. *if_rev* as for `put`."""

    async def entries(
        self, prefix: str, *, after: str | None = None, limit: int | None = None
    ) -> list[Versioned]:
        """The settings whose key begins so, by key: up to *limit* of those behind *after*, which need not be there."""

    def watch(self, prefix: str, from_rev: int) -> AsyncIterator[Change]:
        """Every change after *from_rev*, in order, then those to come. Changes to one key may be joined."""

    async def lease(self, key: str, owner: str, now_us: int, ttl_us: int) -> Lease:
        """Take or renew the right; `Conflict` while another owner has it."""

    async def release(self, lease: Lease) -> None:
        """Give it back. Without effect if it is held by another owner or epoch."""


@runtime_checkable
class Store(EventStore, GroupStore, DeliveryStore, MetaStore, Protocol):
    """All four in one: what the router is given."""
