"""The contract of an `EventStore`: the log."""

from __future__ import annotations

import asyncio

import pytest

from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.events.spi import Assignment, Caps, ChannelSpec, Fenced, Position, Store, partition_of
from workflow_engine.events.stores import open_store
from workflow_engine.testing.event_store_fixtures import NOW, SECOND, StoreFixtures, bodies, delivery, record


class LogContract(StoreFixtures):
    """The log."""

    async def test_records_come_back_as_they_were_in_order(self, store: Store) -> None:
        first, second = record("1", subject="s", key="k1"), record("2", identity="other", body=b"\x00\xff")
        appended = await store.append("c", [first, second])
        assert [(a.position, a.duplicate) for a in appended] == [
            (Position(0, 0), False),
            (Position(0, 1), False),
        ]
        assert [stored.record for stored in await store.read("c", 0, 0, limit=10)] == [first, second]

    async def test_reading_begins_at_the_offset_and_stops_at_the_limit(self, store: Store) -> None:
        await store.append("c", [record(str(n)) for n in range(5)])
        assert await bodies(store, offset=1, limit=2) == ["1", "2"]
        assert await bodies(store, offset=5) == []

    async def test_the_first_of_duplicates_wins_within_a_batch_and_later(self, store: Store) -> None:
        await store.append("c", [record("1", body=b"first"), record("1", body=b"second")])
        again = await store.append("c", [record("1", body=b"third", key="elsewhere"), record("2")])
        assert [(a.position.offset, a.duplicate) for a in again] == [(0, True), (1, False)]
        assert (await store.read("c", 0, 0, limit=9))[0].record.body == b"first"

    async def test_the_same_id_of_another_source_or_channel_is_no_duplicate(self, store: Store) -> None:
        await store.ensure_channel(ChannelSpec("d"))
        await store.append("c", [record("1")])
        assert not (await store.append("c", [record("1", source="/other")]))[0].duplicate
        assert not (await store.append("d", [record("1")]))[0].duplicate
        assert not (await store.append("c", [record("1", identity="i")]))[0].duplicate

    async def test_a_window_forgets_identities_that_are_older(self, store: Store) -> None:
        await store.ensure_channel(ChannelSpec("w", dedupe_us=60 * SECOND))
        await store.append("w", [record("1")])
        assert (await store.append("w", [record("1", time_us=NOW + 59 * SECOND)]))[0].duplicate
        assert not (await store.append("w", [record("1", time_us=NOW + 60 * SECOND)]))[0].duplicate
        assert (await store.append("w", [record("1", time_us=NOW + 61 * SECOND)]))[0].duplicate
        await store.trim("w", 0, 2)
        assert (await store.append("w", [record("1", time_us=NOW + 62 * SECOND)]))[0].duplicate

    async def test_no_window_keeps_every_duplicate(self, store: Store) -> None:
        await store.ensure_channel(ChannelSpec("n", dedupe_us=0))
        appended = await store.append("n", [record("1"), record("1")])
        assert [a.duplicate for a in appended] == [False, False]

    async def test_a_key_always_goes_to_the_same_partition(self, store: Store) -> None:
        await store.ensure_channel(ChannelSpec("p", partitions=3))
        appended = await store.append("p", [record(str(n), key=f"k{n % 7}") for n in range(21)])
        assert [a.position.partition for a in appended] == [partition_of(f"k{n % 7}", 3) for n in range(21)]
        assert len({a.position.partition for a in appended}) > 1

    async def test_a_channel_stays_as_it_was_created(self, store: Store) -> None:
        assert await store.ensure_channel(ChannelSpec("c", partitions=9)) == ChannelSpec("c")
        assert await store.channels() == [ChannelSpec("c")]

    async def test_an_unknown_channel_is_not_found(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await store.append("missing", [record("1")])
        with pytest.raises(NotFound):
            await store.read("missing", 0, 0, limit=1)
        with pytest.raises(NotFound):
            await store.join("missing", "g", "me", NOW, SECOND)

    async def test_a_dropped_channel_is_gone_with_all_that_belongs_to_it(
        self, store: Store, held: Assignment
    ) -> None:
        await store.append("c", [record("1")])
        await store.commit(held, {0: 1}, outbox=[delivery("d")], state={"a": b"1"})
        await store.drop_channel("c")
        assert await store.channels() == []
        await store.ensure_channel(ChannelSpec("c"))
        assert not (await store.append("c", [record("1")]))[0].duplicate
        assert await store.parked() == []
        assert await store.states("c", "g") == {}
        assert await store.committed("c", "g") == {}

    async def test_a_reader_that_waits_is_woken_by_an_append(self, store: Store) -> None:
        waiting = asyncio.create_task(store.read("c", 0, 0, limit=10, wait=30))
        await asyncio.sleep(0)
        await store.append("c", [record("1")])
        assert [stored.record.id for stored in await waiting] == ["1"]

    async def test_waiting_ends_empty_handed(self, store: Store) -> None:
        assert await store.read("c", 0, 0, limit=10, wait=0.01) == []

    async def test_types_are_selected(self, store: Store) -> None:
        if Caps.TYPE_FILTER not in store.caps:
            pytest.skip("the store does not select types")
        await store.append("c", [record(str(n), type="ab"[n % 2]) for n in range(6)])
        found = await store.read("c", 0, 1, limit=2, types={"b", "z"})
        assert [stored.record.id for stored in found] == ["1", "3"]

    async def test_positions_are_fetched_in_the_order_asked(self, store: Store) -> None:
        await store.append("c", [record("1"), record("2")])
        found = await store.fetch("c", [Position(0, 1), Position(0, 7), Position(0, 0)])
        assert [stored and stored.record.id for stored in found] == ["2", None, "1"]

    async def test_times_never_run_backwards_and_can_be_sought(self, store: Store) -> None:
        if Caps.SEEK_TIME not in store.caps:
            pytest.skip("the store does not seek times")
        times = [10, 30, 20, 40]
        await store.append("c", [record(str(n), time_us=at) for n, at in enumerate(times)])
        assert [stored.time_us for stored in await store.read("c", 0, 0, limit=9)] == [10, 30, 30, 40]
        assert [await store.offset_at("c", 0, at) for at in (5, 10, 11, 30, 31, 41)] == [0, 0, 1, 1, 3, 4]

    async def test_earliest_and_latest_are_offsets_too(self, store: Store) -> None:
        assert [await store.offset_at("c", 0, "earliest"), await store.offset_at("c", 0, "latest")] == [0, 0]
        await store.append("c", [record("1"), record("2")])
        await store.trim("c", 0, 1)
        assert [await store.offset_at("c", 0, "earliest"), await store.offset_at("c", 0, "latest")] == [1, 2]

    async def test_trimmed_records_are_gone_but_stay_known(self, store: Store) -> None:
        await store.append("c", [record(str(n)) for n in range(3)])
        assert await store.trim("c", 0, 3) == 3
        assert await bodies(store) == []
        assert (await store.append("c", [record("1")]))[0].duplicate is (Caps.DEDUPE_FOREVER in store.caps)
        assert (await store.append("c", [record("9")]))[0].position.offset >= 3

    async def test_stats_count_what_is_kept(self, store: Store) -> None:
        (empty,) = await store.stats("c")
        assert (empty.first, empty.next, empty.count, empty.bytes, empty.oldest_us) == (0, 0, 0, 0, None)
        await store.append("c", [record(str(n), body=b"12345", time_us=NOW + n) for n in range(3)])
        await store.trim("c", 0, 1)
        (stats,) = await store.stats("c")
        assert (stats.first, stats.next, stats.count, stats.bytes, stats.oldest_us) == (1, 3, 2, 10, NOW + 1)

    async def test_concurrent_publishers_get_distinct_offsets(self, store: Store) -> None:
        batches = [[record(f"{n}-{m}") for m in range(3)] for n in range(20)]
        appended = await asyncio.gather(*(store.append("c", batch) for batch in batches))
        offsets = [[a.position.offset for a in answers] for answers in appended]
        assert sorted(offset for some in offsets for offset in some) == list(range(60))
        assert all(some == sorted(some) for some in offsets)

    async def test_a_closed_store_is_unavailable(self, store: Store) -> None:
        await store.close()
        await store.close()
        with pytest.raises(Unavailable):
            await store.append("c", [record("1")])

    async def test_what_was_written_is_there_after_opening_again(self, store: Store, url: str) -> None:
        if Caps.DURABLE not in store.caps:
            pytest.skip("the store forgets")
        held = await store.join("c", "g", "me", NOW, 10**9 * SECOND)
        await store.append("c", [record("1")])
        await store.commit(held, {0: 1}, outbox=[delivery("d")], state={"a": b"1"})
        rev = await store.put("key", b"value")
        await store.close()
        again = open_store(url)
        await again.open()
        try:
            assert await bodies(again) == ["1"]
            assert (await again.append("c", [record("1")]))[0].duplicate
            assert await again.committed("c", "g") == {0: 1}
            assert await again.states("c", "g") == {"a": b"1"}
            assert [item.id for item in await again.parked()] == ["d"]
            assert await again.put("key", b"other", if_rev=rev) > rev
            if Caps.SHARED not in again.caps:
                with pytest.raises(Fenced):
                    await again.commit(held, {0: 2})
                assert (await again.join("c", "g", "new", NOW, SECOND)).partitions == (0,)
        finally:
            await again.close()

    async def test_without_a_window_nothing_is_a_duplicate_though_the_clock_goes_back(
        self, store: Store
    ) -> None:
        await store.ensure_channel(ChannelSpec("z", dedupe_us=0))
        for at in (NOW, NOW - SECOND, NOW):
            (answer,) = await store.append("z", [record("1", time_us=at)])
            assert not answer.duplicate
