"""Which process of the router hears a source: one at a time, so that what the broker gives keeps its order."""

from __future__ import annotations

from contextlib import suppress

from workflow_engine.errors import Conflict
from workflow_engine.events.peers import Peers
from workflow_engine.events.spi import Store

HELD = "hears/"
"""Settings that name who hears a source, below the source's id."""


class Holding:
    """The part of the router that says who hears a source; where the store is not shared, that is this process.

    It is told apart from whom a source is *for* (`Sharing.is_mine`): that changes at once when a process comes, and the
    one that heard before has to store what it has, and to leave the broker, before the other begins.
    """

    _store: Store
    _member: str
    _peers: Peers | None

    async def take_source(self, id: str, *, anyway: bool = False) -> bool:
        """Whether this process may hear the source, from now until it lets go of it; not while another one that lives
        does, unless *anyway*. `sources_changed` is called when that one lets go, or ends.
        """
        if self._peers is None:
            return True
        entry = await self._store.get(HELD + id)
        holder = None if entry is None else entry.value.decode()
        if holder == self._member:
            return True
        if holder in self._peers.members() and not anyway:
            return False
        try:
            await self._store.put(HELD + id, self._member.encode(), if_rev=0 if entry is None else entry.rev)
        except Conflict:  # another was sooner
            return False
        return True

    async def release_source(self, id: str) -> None:
        """Let another process hear the source, if this one does."""
        if self._peers is None:
            return
        entry = await self._store.get(HELD + id)
        if entry is not None and entry.value.decode() == self._member:
            with suppress(Conflict):
                await self._store.delete(HELD + id, if_rev=entry.rev)

    async def forget_holder(self, id: str) -> None:
        """Forget who heard a source that was deleted."""
        if self._peers is not None:
            await self._store.delete(HELD + id)
