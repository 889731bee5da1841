"""The store under test, and small records and deliveries for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from workflow_engine.events.spi import Assignment, ChannelSpec, Parked, Position, Record, Store
from workflow_engine.events.stores import open_store

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND


def record(id: str, **changes: object) -> Record:
    """A record that is small and valid."""
    made = Record("/test", id, "made", None, "k", NOW, b'{"id":"%s"}' % id.encode())
    return replace(made, **changes)  # type: ignore[arg-type]


def delivery(id: str, **changes: object) -> Parked:
    """A delivery of group ``g`` that is due."""
    made = Parked(id, "c", "g", Position(0, 0), NOW, b"payload", first_us=NOW)
    return replace(made, **changes)  # type: ignore[arg-type]


async def bodies(store: Store, partition: int = 0, offset: int = 0, limit: int = 1000) -> list[str]:
    """The ids of what is in a partition of the channel ``c``."""
    return [stored.record.id for stored in await store.read("c", partition, offset, limit=limit)]


class StoreFixtures:
    """The fixtures of every part of the contract."""

    @pytest.fixture
    def url(self) -> str:
        """The URL of an empty store; the same one within a test."""
        raise NotImplementedError("a subclass says which store to test")

    @pytest_asyncio.fixture
    async def store(self, url: str) -> AsyncIterator[Store]:
        """The store, open, with a channel ``c`` of one partition."""
        store = open_store(url)
        await store.open()
        await store.ensure_channel(ChannelSpec("c"))
        yield store
        await store.close()

    @pytest_asyncio.fixture
    async def held(self, store: Store) -> Assignment:
        """A place in the group ``g`` of the channel ``c``."""
        return await store.join("c", "g", "me", NOW, 10 * SECOND)
