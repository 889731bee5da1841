"""What a store of interim results does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class InterimStore(Protocol):
    """What calls gave, by the execution (Temporal's run id) and a key of each call in it.

    Workers that may be given tasks of the same run share one. Every method raises `Unavailable` while it does not work.
    """

    async def of(self, execution: str) -> Mapping[str, bytes]:
        """What is kept for the execution."""

    async def keep(self, execution: str, results: Mapping[str, bytes]) -> None:
        """Keep *results*; they are durable when this returns. What was there under the same key is replaced."""

    async def forget(self, before: Mapping[str, float]) -> None:
        """Forget what was kept for each execution before the moment that it has there (seconds since 1970)."""

    async def prune(self, before: float) -> int:
        """Forget what was kept before that moment, for whichever execution; how much that was."""

    async def close(self) -> None:
        """Finish what was begun and let go of it."""
