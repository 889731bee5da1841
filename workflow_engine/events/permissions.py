"""Which targets allow to be sent to, as the router keeps it for all of its processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import orjson

from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.events.spi import Store
from workflow_engine.events.subscriptions import SUBSCRIPTION
from workflow_engine.events.targets import PermittedTarget, Target
from workflow_engine.values import JsonObject

_PERMISSION = "permission/"


class Permissions:
    """The part of the router that keeps permissions; `calls.handshake` asks for them."""

    _store: Store
    _targets: Mapping[str, Target]

    async def permission(self, id: str) -> tuple[JsonObject, int]:
        """What is kept of it, and its revision; nothing and 0 if there is none."""
        entry = await self._store.get(_PERMISSION + id)
        return ({}, 0) if entry is None else (orjson.loads(entry.value), entry.rev)

    async def keep_permission(self, id: str, note: JsonObject, rev: int) -> None:
        """Change it. `Conflict` if another one has meanwhile."""
        await self._store.put(_PERMISSION + id, orjson.dumps(note), if_rev=rev)

    def _permission_of(self, target: JsonObject) -> str | None:
        needing = self._targets.get(str(target.get("kind")))
        return needing.permission(target) if isinstance(needing, PermittedTarget) else None

    async def _forget_permissions(self) -> None:
        """Let go of those that no subscription needs any more; later, where the store is away."""
        with suppress(Unavailable):
            await self._forget_those()

    async def _forget_those(self) -> None:
        kept = await self._store.entries(_PERMISSION)  # first: who needs one of them was there before it
        if not kept:
            return
        needed: Callable[[JsonObject], str | None] = self._permission_of
        there = await self._store.entries(SUBSCRIPTION)
        used = {needed(orjson.loads(entry.value)["subscription"]["target"]) for entry in there}
        for entry in kept:
            if entry.key.removeprefix(_PERMISSION) not in used:
                with suppress(Conflict):
                    await self._store.delete(entry.key, if_rev=entry.rev)
