"""Documents in this process: gone when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as with_changes

from catalog.model import Operation, Spec
from catalog.store import Place, place_of


class MemoryStore:
    """The store of tests and of ``memory:``. No method awaits, so each is atomic in an event loop."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[Spec, tuple[Operation, ...]]] = {}

    async def add(self, spec: Spec, operations: Sequence[Operation], *, replace: bool = False) -> Spec | None:
        key = (spec.name, spec.version)
        before, _ = self._kept.get(key, (None, ()))
        if before is None or (replace and before.digest != spec.digest):
            self._kept[key] = (spec, tuple(operations))
        return before

    async def get(self, name: str, version: str) -> Spec | None:
        return self._kept.get((name, version), (None, ()))[0]

    async def specs(
        self, name: str | None = None, *, after: Place | None = None, limit: int | None = None
    ) -> Sequence[Spec]:
        chosen = [
            spec
            for spec, _ in self._kept.values()
            if name in (None, spec.name) and (after is None or place_of(spec) > after)
        ]
        return [with_changes(spec, text="") for spec in sorted(chosen, key=place_of)[:limit]]

    async def operations(self, name: str, version: str) -> Sequence[Operation]:
        return self._kept.get((name, version), (None, ()))[1]

    async def remove(self, name: str, version: str | None = None) -> int:
        gone = [key for key in self._kept if key[0] == name and version in (None, key[1])]
        for key in gone:
            del self._kept[key]
        return len(gone)

    async def close(self) -> None:
        pass
