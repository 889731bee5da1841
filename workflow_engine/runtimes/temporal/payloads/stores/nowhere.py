"""In the place of a store, where none is set: says so of a claim, and of a value that Temporal would refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator

from workflow_engine.errors import Rejected
from workflow_engine.runtimes.temporal.held import Content
from workflow_engine.runtimes.temporal.payloads.store import Stored, StoreUnavailable


class Nowhere:
    """A store that has nothing and takes nothing."""

    @property
    def url(self) -> str:
        return "nowhere:"

    async def put(self, key: str, *pieces: Content) -> None:
        size = sum(len(piece) for piece in pieces)
        raise Rejected(
            "payload-too-large",
            f"a value of {size:,} bytes is larger than Temporal takes; WFE_PAYLOAD_STORE gives it a place",
            status=413,
        )

    async def get(self, key: str, most: int) -> bytes | None:
        raise StoreUnavailable(
            f"the value {key} is in a payload store, and WFE_PAYLOAD_STORE is not set here"
        )

    async def objects(self, namespace: str) -> AsyncIterator[Stored]:
        nothing: tuple[Stored, ...] = ()
        for stored in nothing:
            yield stored

    async def delete(self, key: str, before: float) -> bool:
        return False

    async def check(self) -> None:
        """There is nothing that could fail."""

    async def close(self) -> None:
        """Nothing is open."""
