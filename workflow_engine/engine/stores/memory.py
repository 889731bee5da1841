"""Definitions in memory, for tests and for runs that leave nothing behind."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from workflow_engine.engine.store import Definition, Listed, changed, missing, rank, ranked


class MemoryDefinitions:
    """A `DefinitionStore` that forgets."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], dict[str, Definition]] = {}
        self._removed: dict[tuple[str, str], dict[str, tuple[str, datetime]]] = {}

    async def add(self, definition: Definition) -> Definition:
        name = definition.workflow
        key = name.namespace, name.name
        digest, removed = self._removed.get(key, {}).get(name.version, ("", None))
        there = self._kept.get(key, {})
        if name.version not in there and removed is not None and digest != definition.bundle.digest:
            raise changed(definition, digest, removed)
        return self._kept.setdefault(key, {}).setdefault(name.version, definition)

    async def get(self, namespace: str, name: str, version: str | None) -> Definition:
        there = self._kept.get((namespace, name), {})
        wanted = max(there, key=rank, default="") if version is None else version
        if wanted in there:
            return there[wanted]
        gone = self._removed.get((namespace, name), {})
        moments = [at for each, (_, at) in gone.items() if version in (None, each)]
        raise missing(namespace, name, version, max(moments, default=None))

    async def versions(
        self, namespace: str, name: str, *, after: str | None = None, limit: int | None = None
    ) -> Sequence[Listed]:
        there = self._kept.get((namespace, name), {})
        return [Listed.of(there[version]) for version in ranked(there, after, limit)]

    async def page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        *,
        within: Sequence[str] | None = None,
        name: str | None = None,
    ) -> Sequence[Listed]:
        keys = [
            key
            for key in sorted(self._kept)
            if (after is None or key > after)
            and name in (None, key[1])
            and (within is None or any(_is_in(key[0], each) for each in within))
        ]
        return [Listed.of(await self.get(*key, None)) for key in keys[:limit]]

    async def every(self, after: tuple[str, str, str] | None, limit: int) -> Sequence[Definition]:
        keys = [(*key, version) for key, versions in self._kept.items() for version in versions]
        behind = sorted(key for key in keys if after is None or key > after)
        return [self._kept[namespace, name][version] for namespace, name, version in behind[:limit]]

    async def find(self, name: str) -> Sequence[Definition]:
        return [await self.get(*key, None) for key in sorted(self._kept) if key[1] == name]

    async def remove(
        self, namespace: str, name: str, versions: Collection[str], at: datetime
    ) -> Sequence[Listed]:
        there = self._kept.get((namespace, name), {})
        gone = [there[each] for each in ranked(there, None, None) if each in versions]
        for each in gone:
            mark = each.bundle.digest, at
            self._removed.setdefault((namespace, name), {})[each.workflow.version] = mark
            del there[each.workflow.version]
        if not there:
            self._kept.pop((namespace, name), None)
        return [Listed.of(each) for each in gone]

    async def check(self) -> None:
        return None

    async def close(self) -> None:
        return None


def _is_in(namespace: str, wanted: str) -> bool:
    return namespace.startswith(wanted[:-1]) if wanted.endswith("*") else namespace == wanted
