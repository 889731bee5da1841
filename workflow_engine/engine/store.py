"""The port to where deployed workflows are kept."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.errors import Conflict, NotFound
from workflow_engine.graph.model import WorkflowName
from workflow_engine.values import rfc3339

PAGE = 200
"""How many definitions are read at a time, where all are."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of a deployed workflow: its *text* as the author wrote it, and the bundle that runs."""

    workflow: WorkflowName
    dialect: str
    text: str
    bundle: Bundle
    title: str
    deployed_at: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """A definition as lists have it: without text and bundle, which may have a megabyte each."""

    workflow: WorkflowName
    dialect: str
    digest: str
    title: str
    deployed_at: datetime

    @classmethod
    def of(cls, definition: Definition) -> Self:
        return cls(
            definition.workflow,
            definition.dialect,
            definition.bundle.digest,
            definition.title,
            definition.deployed_at,
        )


class Removed(NotFound):
    """It was there, and was removed."""


class DefinitionStore(Protocol):
    """Definitions by namespace, name and version; a version never changes, not even by being removed and added."""

    async def add(self, definition: Definition) -> Definition:
        """Keep *definition* durably; when that version is there already, nothing is stored.

        Returns what is kept under the version now, so that the caller sees whose text it is. `Conflict` where the
        version was removed, and had another digest.
        """

    async def get(self, namespace: str, name: str, version: str | None) -> Definition:
        """The definition; *version* None is the latest. `NotFound` when there is none, `Removed` where it was."""

    async def versions(
        self, namespace: str, name: str, *, after: str | None = None, limit: int | None = None
    ) -> Sequence[Listed]:
        """The versions, latest first, below *after*, which need not be one of them; empty when there is none."""

    async def page(
        self,
        after: tuple[str, str] | None,
        limit: int,
        *,
        within: Sequence[str] | None = None,
        name: str | None = None,
    ) -> Sequence[Listed]:
        """The latest version of each workflow, by namespace and name, from behind those of *after* on.

        *within*: in one of these namespaces; one that ends in ``*`` is all that begin so.
        """

    async def every(self, after: tuple[str, str, str] | None, limit: int) -> Sequence[Definition]:
        """Every version of every workflow, by namespace, name and the text of the version, from behind *after* on."""

    async def find(self, name: str) -> Sequence[Definition]:
        """The latest version of every workflow with that name, in whatever namespace."""

    async def remove(
        self, namespace: str, name: str, versions: Collection[str], at: datetime
    ) -> Sequence[Listed]:
        """Forget *versions*, but for their digests and the moment *at*; those that were there, latest first."""

    async def check(self) -> None:
        """Raise `Unavailable` when definitions cannot be read."""

    async def close(self) -> None:
        """Let go of files and connections; harmless when repeated."""


def order(version: str) -> tuple[tuple[int, int, str], ...]:
    """A key by which versions sort: semantic versions by SemVer 2.0.0 §11, any other text as near as it gets."""
    core, _, pre = version.split("+", 1)[0].partition("-")
    numbers = [_part(part) for part in core.split(".")]
    if not pre:
        return (*numbers, (2, 0, ""))
    return (*numbers, (-1, 0, ""), *[_part(part) for part in pre.split(".")])


def _part(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if re.fullmatch(r"\d{1,18}", part) else (1, 0, part)


def rank(version: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """As `order`, and no two versions have the same: those that differ in their build alone go by their texts."""
    return order(version), version


def ranked(versions: Iterable[str], after: str | None, limit: int | None) -> list[str]:
    """*versions*, the highest first, that are below *after*; *limit* at most."""
    below = versions if after is None else (each for each in versions if rank(each) < rank(after))
    return sorted(below, key=rank, reverse=True)[:limit]


def missing(namespace: str, name: str, version: str | None, removed: datetime | None) -> NotFound:
    """The error for what is not there, and may have been *removed*."""
    id = f"{namespace}/{name}" + (f"/{version}" if version else "")
    if removed is None:
        return NotFound("workflow", id)
    return Removed("workflow", id, f"it was deleted at {rfc3339(removed)}")


def changed(definition: Definition, digest: str, removed: datetime) -> Conflict:
    """The error for a *definition* whose version had another *digest* when it was *removed*."""
    name = definition.workflow
    return Conflict(
        f"version {name.version} of {name.namespace}/{name.name} was deleted at {rfc3339(removed)}, and had other "
        f"content ({digest[:12]}, this is {definition.bundle.digest[:12]}); give the new content a new version"
    )


async def workflows_of(store: DefinitionStore) -> AsyncIterator[Listed]:
    """The latest version of every workflow, by namespace and name."""
    after: tuple[str, str] | None = None
    while found := await store.page(after, PAGE):
        for each in found:
            yield each
        if len(found) < PAGE:
            break
        after = found[-1].workflow.namespace, found[-1].workflow.name


async def find(store: DefinitionStore, namespace: str, name: str, version: str | None) -> Definition:
    """As `DefinitionStore.get`; `NotFound` says which versions there are."""
    try:
        return await store.get(namespace, name, version)
    except NotFound as error:
        others = [each.workflow.version for each in await store.versions(namespace, name, limit=10)]
        if not others:
            raise
        hint = f"{error.hint}; " if error.hint else ""
        raise NotFound(error.kind, error.id, f"{hint}the latest versions: {', '.join(others)}") from None
