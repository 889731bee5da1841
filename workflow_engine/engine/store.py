"""The port to where deployed workflows are kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.errors import NotFound
from workflow_engine.graph.model import WorkflowName


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of a deployed workflow: its *text* as the author wrote it, and the bundle that runs."""

    workflow: WorkflowName
    dialect: str
    text: str
    bundle: Bundle
    title: str
    deployed_at: datetime


class DefinitionStore(Protocol):
    """Definitions by namespace, name and version; a version never changes."""

    async def add(self, definition: Definition) -> Definition:
        """Keep *definition* durably; when that version is there already, nothing is stored.

        Returns what is kept under the version now, so that the caller sees whose text it is.
        """

    async def get(self, namespace: str, name: str, version: str | None) -> Definition:
        """The definition; *version* None is the latest. `NotFound` when there is none."""

    async def versions(self, namespace: str, name: str) -> Sequence[Definition]:
        """Every version, latest first; empty when there is none."""

    async def list(self) -> Sequence[Definition]:
        """The latest version of every workflow, by namespace and name."""

    async def find(self, name: str) -> Sequence[Definition]:
        """The latest version of every workflow with that name, in whatever namespace."""

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


async def find(store: DefinitionStore, namespace: str, name: str, version: str | None) -> Definition:
    """As `DefinitionStore.get`; `NotFound` says which versions there are."""
    try:
        return await store.get(namespace, name, version)
    except NotFound as missing:
        others = [each.workflow.version for each in await store.versions(namespace, name)]
        if not others:
            raise
        raise NotFound(missing.kind, missing.id, f"the latest versions: {', '.join(others[:10])}") from None
