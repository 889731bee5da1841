"""Which targets allow to be sent to, as the router keeps it for all of its processes."""

from __future__ import annotations

import orjson

from workflow_engine.events.spi import Store
from workflow_engine.values import JsonObject

_PERMISSION = "permission/"


class Permissions:
    """The part of the router that keeps permissions; `calls.handshake` asks for them."""

    _store: Store

    async def permission(self, id: str) -> tuple[JsonObject, int]:
        """What is kept of it, and its revision; nothing and 0 if there is none."""
        entry = await self._store.get(_PERMISSION + id)
        return ({}, 0) if entry is None else (orjson.loads(entry.value), entry.rev)

    async def keep_permission(self, id: str, note: JsonObject, rev: int) -> None:
        """Change it. `Conflict` if another one has meanwhile."""
        await self._store.put(_PERMISSION + id, orjson.dumps(note), if_rev=rev)
