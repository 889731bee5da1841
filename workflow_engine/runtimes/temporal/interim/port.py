"""What a store of interim results does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class InterimStore(Protocol):
    """What calls gave, by the execution (Temporal's run id) and a key of each call in it.

    Workers that may be given tasks of the same run share one. Every method raises `Unavailable` while it does not work.
    """

    async def of(self, execution: str) -> Mapping[str, bytes]:
        """What is kept for the execution."""

    async def keep(self, execution: str, results: Mapping[str, bytes]) -> None:
        """Keep *results*; they are durable when this returns. What was there under the same key is replaced."""

    async def forget(self, executions: Collection[str], calls: Collection[tuple[str, str]]) -> None:
        """Forget what is kept for the *executions*, and the *calls*: each an execution and a key of it."""

    async def prune(self, before: float) -> int:
        """Forget what was kept before that moment (seconds since 1970), of whichever execution; how much that was."""

    async def close(self) -> None:
        """Finish what was begun and let go of it."""
