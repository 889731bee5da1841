"""What the router asks of a store that several of its processes share, besides what `spi` says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from workflow_engine.events.spi import Parked, Store


class SharedStore(Store, Protocol):
    """A store with `Caps.SHARED`.

    Its `read` and `watch` are woken by what other processes write, and revisions are seen in their order. A `commit` is
    as durable as one can be whatever *sync* says, if the store can fail without its processes.
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

    async def put_back(self, owner: str, *, keep: Collection[str] = ()) -> int:
        """Make due what *owner* has leased but does not work on, for it is dead or has not learned of it, except the
        ids of *keep*; how many.
        """
