"""What is deployed, as it is found and listed."""

from __future__ import annotations

from collections.abc import Sequence

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.store import Definition, DefinitionStore, Listed, find
from workflow_engine.errors import NotFound


class Definitions:
    """The part of the engine that only looks at what is deployed."""

    def __init__(self, store: DefinitionStore) -> None:
        self._store = store

    @property
    def store(self) -> DefinitionStore:
        """Where deployed workflows are kept."""
        return self._store

    async def definition(self, namespace: str, name: str, version: str | None = None) -> Definition:
        """A deployed workflow; *version* None or ``latest`` is the latest."""
        return await find(self._store, namespace, name, None if version == "latest" else version)

    async def versions(
        self, namespace: str, name: str, *, after: str | None = None, limit: int | None = None
    ) -> Sequence[Listed]:
        """The versions of a workflow, latest first, below *after*; `NotFound` when it has none at all."""
        found = await self._store.versions(namespace, name, after=after, limit=limit)
        if not found:
            await self._store.get(namespace, name, None)
        return found

    async def workflows(
        self,
        after: tuple[str, str] | None = None,
        limit: int = 100,
        *,
        within: Sequence[str] | None = None,
        name: str | None = None,
    ) -> Sequence[Listed]:
        """The latest version of each workflow, as `DefinitionStore.page` has them."""
        return await self._store.page(after, limit, within=within, name=name)

    async def find_bundle(self, namespace: str | None, name: str, version: str | None) -> Bundle:
        """The bundle that a name stands for: ``name`` alone must be unique among the namespaces."""
        if namespace is not None:
            return (await self.definition(namespace, name, version)).bundle
        found = await self._store.find(name)
        if len(found) != 1:
            names = ", ".join(str(definition.workflow) for definition in found)
            raise NotFound(
                "workflow", name, f"it is in several namespaces: {names}" if names else "deploy it first"
            )
        return found[0].bundle
