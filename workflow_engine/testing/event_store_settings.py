"""The contract of a `MetaStore`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from workflow_engine.errors import Conflict
from workflow_engine.events.spi import Store
from workflow_engine.testing.event_store_fixtures import NOW, SECOND, StoreFixtures


class MetaContract(StoreFixtures):
    """Settings."""

    async def test_settings_are_written_over_and_deleted(self, store: Store) -> None:
        first = await store.put("a", b"1")
        second = await store.put("a", b"2")
        assert second > first
        found = await store.get("a")
        assert found is not None
        assert (found.value, found.rev) == (b"2", second)
        assert await store.delete("a") is True
        assert await store.delete("a") is False
        assert await store.get("a") is None

    async def test_a_revision_guards_a_setting(self, store: Store) -> None:
        rev = await store.put("a", b"1", if_rev=0)
        for bad in (0, rev + 1):
            with pytest.raises(Conflict):
                await store.put("a", b"2", if_rev=bad)
        await store.put("a", b"2", if_rev=rev)
        with pytest.raises(Conflict):
            await store.delete("a", if_rev=rev)
        await store.delete("a")
        await store.put("a", b"3", if_rev=0)

    async def test_entries_are_found_by_prefix_in_order(self, store: Store) -> None:
        for key in ("p/b", "p/a", "q", "p%", "P/c"):
            await store.put(key, key.encode())
        assert [entry.key for entry in await store.entries("p/")] == ["p/a", "p/b"]

    async def test_entries_are_read_in_parts_behind_a_key_that_may_be_gone(self, store: Store) -> None:
        keys = ["p/ü", "p/b", "p/a", "p/aa", "p/c"]
        for key in (*keys, "o", "q", "p0"):
            await store.put(key, b"")
        found: list[str] = []
        after: str | None = None
        while read := await store.entries("p/", after=after, limit=2):
            found += [entry.key for entry in read]
            after = found[-1]
            await store.delete(after)
        assert found == sorted(keys)
        left = [key for index, key in enumerate(sorted(keys)) if index % 2 == 0 and key != found[-1]]
        assert [entry.key for entry in await store.entries("p/", after="a", limit=9)] == left
        assert await store.entries("p/", after="q") == []

    async def test_a_watch_sees_what_was_and_what_comes(self, store: Store) -> None:
        before = await store.put("w/a", b"1")
        await store.put("w/b", b"2")
        async with aclosing(store.watch("w/", before)) as changes:  # type: ignore[type-var]
            assert [(c.key, c.value) for c in [await anext(changes)]] == [("w/b", b"2")]
            following = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0)
            await store.put("other", b"")
            await store.delete("w/a")
            change = await following
            assert (change.key, change.value) == ("w/a", None)

    async def test_a_lease_is_held_by_one(self, store: Store) -> None:
        mine = await store.lease("l", "me", NOW, 10 * SECOND)
        with pytest.raises(Conflict):
            await store.lease("l", "you", NOW + 9 * SECOND, SECOND)
        renewed = await store.lease("l", "me", NOW + 9 * SECOND, 10 * SECOND)
        assert renewed.epoch == mine.epoch
        yours = await store.lease("l", "you", NOW + 19 * SECOND, 10 * SECOND)
        assert yours.epoch > mine.epoch
        await store.release(mine)
        with pytest.raises(Conflict):
            await store.lease("l", "me", NOW + 20 * SECOND, SECOND)
        await store.release(yours)
        await store.lease("l", "me", NOW + 20 * SECOND, SECOND)
