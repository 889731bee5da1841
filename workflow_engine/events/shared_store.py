"""What the router asks of some stores besides what `spi` says: of those that its processes share, that another process
can take, and of fast ones.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from workflow_engine.errors import Conflict
from workflow_engine.events.spi import Assignment, Attempt, Parked, Store


@runtime_checkable
class DoubtfulStore(Protocol):
    """A store in which what failed may have been done, leases among it."""

    async def put_back(self, owner: str, *, keep: Collection[str] = ()) -> int:
        """Make due what *owner* has leased but does not work on, for it is dead or has not learned of it, except the
        ids of *keep*; how many.
        """


class SharedStore(Store, DoubtfulStore, Protocol):
    """A store with `Caps.SHARED`.

    Its `read` and `watch` are woken by what other processes write, and revisions are seen in their order. If the store
    can fail without its processes, a `commit` that moves a cursor may be lost with it, where *sync* allows that; later
    ones of the same epoch are `Fenced` then.
    """

    async def due(
        self,
        owner: str,
        now_us: int,
        *,
        limit: int,
        lease_us: int,
        per_group: int,
        room: Mapping[str, int] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> list[Parked]:
        """With *limits*, so many of a group are leased at a time at most, by all owners together."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who leases, with the commit that parks them, deliveries that are due *now_us*: until when, how many of each group
    (of others none), and how many of a group may be leased by all owners together.
    """

    owner: str
    now_us: int
    until_us: int
    room: Mapping[str, int]
    limits: Mapping[str, int]


@runtime_checkable
class ClaimingStore(Protocol):
    """A store that leases with a commit what it parks, which spares the look for what is due."""

    async def commit_and_claim(
        self,
        held: Assignment,
        offsets: Mapping[int, int],
        *,
        outbox: Sequence[Parked],
        state: Mapping[str, bytes | None],
        ledger: Sequence[Attempt],
        sync: bool,
        claim: Claim,
    ) -> tuple[list[Parked], bool]:
        """As `GroupStore.commit`, and what is leased, and whether more of the groups of *outbox* may be due. Nobody is
        overtaken: where a group has something that was due before, that is leased, or nothing is.
        """


@runtime_checkable
class TellingStore(Protocol):
    """A store that hears that other processes leave something that is due."""

    def when_due(self, wake: Callable[[], None]) -> None:
        """Call *wake* whenever there may be something."""


@runtime_checkable
class ForgetfulStore(Protocol):
    """A store whose server may lose the commits that were made last without being flushed, while its processes live."""

    def when_back(self, tell: Callable[[], None]) -> None:
        """Call *tell* when the server is there again after it was away."""


class Taken(Conflict):
    """Another process has the store."""


@runtime_checkable
class LosableStore(Protocol):
    """A store of one process at a time, which another one can take where the first is thought to be dead. While one has
    it, `open` raises `Taken` in the others.
    """

    def when_lost(self, tell: Callable[[], None]) -> None:
        """Call *tell* when another process has it. It can then be closed, and opened again once that one lets go."""
