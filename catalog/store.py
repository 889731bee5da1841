"""The port to where documents are kept. Implementations are in `catalog.stores`, one contract suite for all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

from catalog.model import Operation, Spec

Place: TypeAlias = tuple[str, datetime, str]
"""Where a document is among others: name, when it was registered, and version."""


def place_of(spec: Spec) -> Place:
    return spec.name, spec.registered_at, spec.version


class Store(Protocol):
    """Documents by name and version, each with its operations. Every method is atomic; lost connections and
    broken files raise `catalog.errors.Unavailable`.
    """

    async def add(self, spec: Spec, operations: Sequence[Operation], *, replace: bool = False) -> Spec | None:
        """Keep *spec* and return what was there under its name and version, None if nothing was.

        What was there stays if it has the same digest, or unless *replace*: the caller compares digests to
        know which. Once this returns, a durable store has written it.
        """

    async def get(self, name: str, version: str) -> Spec | None:
        """One document with its text."""

    async def specs(
        self, name: str | None = None, *, after: Place | None = None, limit: int | None = None
    ) -> Sequence[Spec]:
        """Documents without their texts, by name, then in the order of registration; all or those of *name*; from
        behind *after* on, which need not be there any more, and *limit* at most.
        """

    async def operations(self, name: str, version: str) -> Sequence[Operation]:
        """The operations of one document, in its order; none if it is not there."""

    async def remove(self, name: str, version: str | None = None) -> int:
        """Forget one version, or all; how many documents are gone."""

    async def close(self) -> None:
        """Give back files and threads. Nothing else may be called after."""
