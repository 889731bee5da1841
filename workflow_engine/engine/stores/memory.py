"""Definitions in memory, for tests and for runs that leave nothing behind."""

from __future__ import annotations

from collections.abc import Sequence

from workflow_engine.engine.store import Definition, order
from workflow_engine.errors import NotFound


class MemoryDefinitions:
    """A `DefinitionStore` that forgets."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], dict[str, Definition]] = {}

    async def add(self, definition: Definition) -> Definition:
        name = definition.workflow
        versions = self._kept.setdefault((name.namespace, name.name), {})
        return versions.setdefault(name.version, definition)

    async def get(self, namespace: str, name: str, version: str | None) -> Definition:
        versions = await self.versions(namespace, name)
        for definition in versions:
            if version is None or definition.workflow.version == version:
                return definition
        raise NotFound("workflow", f"{namespace}/{name}" + (f"/{version}" if version else ""))

    async def versions(self, namespace: str, name: str) -> Sequence[Definition]:
        kept = self._kept.get((namespace, name), {})
        return sorted(kept.values(), key=lambda item: order(item.workflow.version), reverse=True)

    async def list(self) -> Sequence[Definition]:
        return [(await self.versions(*key))[0] for key in sorted(self._kept)]

    async def find(self, name: str) -> Sequence[Definition]:
        return [definition for definition in await self.list() if definition.workflow.name == name]

    async def check(self) -> None:
        return None

    async def close(self) -> None:
        return None
