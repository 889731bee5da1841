"""The contracts of a `GroupStore` and a `DeliveryStore`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workflow_engine.errors import NotFound
from workflow_engine.events.shared_store import Claim, ClaimingStore
from workflow_engine.events.spi import (
    RAN_OUT,
    Again,
    Assignment,
    Attempt,
    Backlog,
    Caps,
    ChannelSpec,
    Done,
    Fenced,
    Parked,
    Position,
    Query,
    Store,
)
from workflow_engine.testing.event_store_fixtures import NOW, SECOND, StoreFixtures, delivery, record


class GroupContract(StoreFixtures):
    """Consumer groups."""

    async def test_a_commit_moves_cursor_outbox_state_and_ledger(
        self, store: Store, held: Assignment
    ) -> None:
        row = Attempt("c", Position(0, 0), "g", "d", "held", NOW)
        await store.commit(held, {0: 5}, outbox=[delivery("d")], state={"a": b"1", "b": b"2"}, ledger=[row])
        await store.commit(held, {}, state={"a": None, "missing": None})
        assert await store.committed("c", "g") == {0: 5}
        assert await store.states("c", "g") == {"b": b"2"}
        assert [item.id for item in await store.parked("g")] == ["d"]
        assert await store.attempts("c", Position(0, 0)) == [row]

    async def test_a_commit_of_an_older_epoch_does_nothing(self, store: Store, held: Assignment) -> None:
        newer = await store.join("c", "g", "me", NOW, SECOND)
        with pytest.raises(Fenced):
            await store.commit(held, {0: 1}, outbox=[delivery("d")], state={"a": b"1"})
        assert await store.committed("c", "g") == {}
        assert await store.parked() == []
        assert await store.states("c", "g") == {}
        await store.commit(newer, {0: 1})

    async def test_a_commit_for_the_partition_of_another_member_is_fenced(self, store: Store) -> None:
        await store.ensure_channel(ChannelSpec("p", partitions=2))
        await store.join("p", "g", "a", NOW, SECOND)
        second = await store.join("p", "g", "b", NOW, SECOND)
        with pytest.raises(Fenced):
            await store.commit(second, {1 - second.partitions[0]: 1})

    async def claiming(
        self, store: Store, held: Assignment, outbox: list[Parked], most: int
    ) -> tuple[list[str], bool]:
        """The ids of what is leased with a commit that parks *outbox*, and whether more may be due."""
        if not isinstance(store, ClaimingStore):
            pytest.skip("the store does not lease with a commit")
        claim = Claim("me", NOW, NOW + 10 * SECOND, {"g": most}, {})
        items, more = await store.commit_and_claim(
            held, {0: 1}, outbox=outbox, state={}, ledger=[], sync=False, claim=claim
        )
        assert {(item.owner, item.due_us) for item in items} <= {("me", NOW + 10 * SECOND)}
        for item in items:
            assert (await store.settle(item, Again(NOW, ""))).held
        return [item.id for item in items], more

    async def test_a_commit_leases_what_it_parks_and_there_is_room_for(
        self, store: Store, held: Assignment
    ) -> None:
        outbox = [
            delivery("later", due_us=NOW + 1),
            delivery("1", key="k"),
            delivery("2", key="k"),
            delivery("3"),
            delivery("other", group="h"),
        ]
        ids, _ = await self.claiming(store, held, outbox, 9)
        assert ids == ["1", "3"]
        assert await store.committed("c", "g") == {0: 1}
        assert {item.id for item in await store.parked()} == {item.id for item in outbox}

    async def test_a_commit_leases_no_more_than_there_is_room_for(
        self, store: Store, held: Assignment
    ) -> None:
        assert await self.claiming(store, held, [delivery(id) for id in "abc"], 2) == (["a", "b"], True)

    async def test_who_is_fenced_leases_nothing(self, store: Store, held: Assignment) -> None:
        await store.join("c", "g", "me", NOW, SECOND)
        with pytest.raises(Fenced):
            await self.claiming(store, held, [delivery("a")], 2)
        assert await store.parked() == []

    async def test_nothing_overtakes_what_was_due_before(self, store: Store, held: Assignment) -> None:
        await store.park([delivery("old")])
        ids, more = await self.claiming(store, held, [delivery("new")], 1)
        assert (ids, more) in ((["old"], True), ([], True))

    async def test_partitions_are_shared_out_among_the_living(self, store: Store) -> None:
        await store.ensure_channel(ChannelSpec("p", partitions=5))
        first = await store.join("p", "g", "a", NOW, 10 * SECOND)
        assert first.partitions == (0, 1, 2, 3, 4)
        second = await store.join("p", "g", "b", NOW, 20 * SECOND)
        first = await store.heartbeat(first, NOW, 10 * SECOND)
        assert sorted(first.partitions + second.partitions) == [0, 1, 2, 3, 4]
        assert abs(len(first.partitions) - len(second.partitions)) <= 1
        assert first.epoch == second.epoch
        second = await store.heartbeat(second, NOW + 15 * SECOND, SECOND)
        assert second.partitions == (0, 1, 2, 3, 4)
        with pytest.raises(Fenced):
            await store.heartbeat(first, NOW + 15 * SECOND, SECOND)

    async def test_a_heartbeat_alone_keeps_the_epoch(self, store: Store, held: Assignment) -> None:
        renewed = await store.heartbeat(held, NOW + SECOND, 10 * SECOND)
        assert (renewed.epoch, renewed.expires_us) == (held.epoch, NOW + 11 * SECOND)

    async def test_leaving_gives_the_partitions_back(self, store: Store, held: Assignment) -> None:
        await store.leave(held)
        await store.leave(held)
        with pytest.raises(Fenced):
            await store.commit(held, {0: 1})

    async def test_seeking_sets_the_cursor_and_fences(self, store: Store, held: Assignment) -> None:
        await store.seek("c", "g", {0: 42})
        assert await store.committed("c", "g") == {0: 42}
        with pytest.raises(Fenced):
            await store.commit(held, {0: 1})
        await store.commit(await store.heartbeat(held, NOW, SECOND), {0: 1})

    async def test_a_dropped_group_begins_anew(self, store: Store, held: Assignment) -> None:
        await store.commit(held, {0: 5}, state={"a": b"1"})
        await store.drop_group("c", "g")
        assert (await store.committed("c", "g"), await store.states("c", "g")) == ({}, {})
        with pytest.raises(Fenced):
            await store.commit(held, {0: 6})

    async def test_states_are_found_by_prefix(self, store: Store, held: Assignment) -> None:
        await store.commit(held, {}, state={"a/2": b"", "a/1": b"x", "b/1": b"y", "a": b"z", "a%": b"p"})
        assert await store.states("c", "g", "a/") == {"a/1": b"x", "a/2": b""}
        assert list(await store.states("c", "g")) == ["a", "a%", "a/1", "a/2", "b/1"]
        assert await store.states("c", "g", "a/", limit=1) == {"a/1": b"x"}
        assert await store.states("c", "g", "a/", after="a/1", limit=9) == {"a/2": b""}
        assert list(await store.states("c", "g", after="a%", limit=2)) == ["a/1", "a/2"]
        assert list(await store.states("c", "g", "a", after="a/10")) == ["a/2"]
        assert await store.states("c", "g", "a/", after="b") == {}


class DeliveryContract(StoreFixtures):
    """Deliveries, the ledger and search."""

    async def due(self, store: Store, at: int = NOW, **options: object) -> list[str]:
        """The ids of what is leased at a time."""
        asked = {"limit": 100, "lease_us": 10 * SECOND, "per_group": 100} | options
        return [item.id for item in await store.due("me", at, **asked)]  # type: ignore[arg-type]

    async def test_what_is_due_is_handed_out_once(self, store: Store) -> None:
        await store.park(
            [delivery("late", due_us=NOW + SECOND), delivery("a"), delivery("b", due_us=NOW - 1)]
        )
        assert await self.due(store) == ["b", "a"]
        assert await self.due(store) == []
        assert await store.next_due() == NOW + SECOND

    async def test_a_delivery_comes_back_as_it_was(self, store: Store) -> None:
        item = delivery("a", position=Position(3, 4), key="k", attempt=2, reason="r", payload=b"\x00")
        await store.park([item])
        (leased,) = await store.due("me", NOW, limit=1, lease_us=SECOND, per_group=1)
        assert leased == replace(item, due_us=NOW + SECOND)
        assert leased.owner == "me"
        assert await store.parked(at=("c", Position(3, 4))) == [leased]
        assert await store.parked(at=("c", Position(0, 0))) == []

    async def test_the_same_id_is_parked_once(self, store: Store) -> None:
        await store.park([delivery("a"), delivery("a", payload=b"other")])
        await store.park([delivery("a")])
        assert [item.payload for item in await store.parked()] == [b"payload"]

    async def test_a_lease_that_runs_out_is_due_again_and_fences_the_late_one(self, store: Store) -> None:
        await store.park([delivery("a")])
        (first,) = await store.due("me", NOW, limit=1, lease_us=SECOND, per_group=1)
        (second,) = await store.due("me", NOW + SECOND, limit=1, lease_us=SECOND, per_group=1)
        assert (first.attempt, second.attempt, second.reason) == (0, 1, RAN_OUT)
        assert await store.parked() == [second]
        assert not (await store.settle(first, Done())).held
        assert (await store.settle(second, Done())).held
        assert not (await store.settle(second, Done())).held
        assert await store.parked() == []

    async def test_another_attempt_is_counted_and_comes_when_it_is_due(self, store: Store) -> None:
        await store.park([delivery("a")])
        (item,) = await store.due("me", NOW, limit=1, lease_us=SECOND, per_group=1)
        assert (await store.settle(item, Again(NOW + 5 * SECOND, "refused"))).held
        assert await self.due(store, NOW + 4 * SECOND) == []
        (again,) = await store.due("me", NOW + 5 * SECOND, limit=1, lease_us=SECOND, per_group=1)
        assert (again.attempt, again.reason, again.first_us) == (1, "refused", NOW)

    async def test_items_of_a_key_come_one_after_the_other(self, store: Store) -> None:
        await store.park([delivery(f"{key}{n}", key=key) for n in range(2) for key in "ab"])
        first = await store.due("me", NOW, limit=9, lease_us=SECOND, per_group=9)
        assert [item.id for item in first] == ["a0", "b0"]
        await store.settle(first[0], Again(NOW + 5 * SECOND, ""))
        await store.settle(first[1], Done())
        assert await self.due(store) == ["b1"]
        assert await self.due(store, NOW + 5 * SECOND) == ["a0"]

    async def test_the_next_of_a_key_is_leased_with_settling_the_one_before(self, store: Store) -> None:
        row = Attempt("c", Position(0, 0), "g", "a", "delivered", NOW, 1)
        await store.park([delivery(id, key="k") for id in "abc"])
        (first,) = await store.due("me", NOW, limit=9, lease_us=SECOND, per_group=9)
        settled = await store.settle(first, Done(), ledger=[row], next_until_us=NOW + 2 * SECOND)
        assert settled.next is not None
        assert (settled.next.id, settled.next.owner, settled.next.due_us) == ("b", "me", NOW + 2 * SECOND)
        assert await store.attempts("c", Position(0, 0)) == [row]
        assert await self.due(store) == []
        again = await store.settle(settled.next, Again(NOW, ""), next_until_us=NOW + 2 * SECOND)
        assert (again.held, again.next) == (True, None)
        (second,) = await store.due("me", NOW, limit=9, lease_us=SECOND, per_group=9)
        assert (await store.settle(second, Done())).next is None
        (third,) = await store.due("me", NOW, limit=9, lease_us=SECOND, per_group=9)
        assert third.id == "c"
        last = await store.settle(third, Done(), next_until_us=NOW + SECOND)
        assert (last.held, last.next) == (True, None)

    async def test_groups_share_fairly(self, store: Store) -> None:
        await store.park([delivery(f"{group}{n}", group=group) for group in "abc" for n in range(5)])
        assert sorted(await self.due(store, per_group=1)) == ["a0", "b0", "c0"]
        assert sorted(await self.due(store, per_group=2, room={"b": 0, "c": 1})) == ["a1", "a2", "c1"]
        seen = [*await self.due(store, limit=1, per_group=1), *await self.due(store, limit=1, per_group=1)]
        assert len({id[0] for id in seen}) == 2

    async def test_excluded_groups_are_not_next(self, store: Store) -> None:
        await store.park([delivery("a", group="a"), delivery("b", group="b", due_us=NOW + 7)])
        assert await store.next_due({"a"}) == NOW + 7
        assert await store.next_due({"a", "b"}) is None

    async def test_deliveries_are_discarded_by_group_or_key(self, store: Store) -> None:
        await store.park(
            [delivery("1", key="a"), delivery("2", key="b"), delivery("3", key="a"), delivery("4")]
        )
        (leased, *_) = await store.due("me", NOW, limit=1, lease_us=SECOND, per_group=1)
        assert [item.id for item in await store.discard("g", "a")] == ["1", "3"]
        assert not (await store.settle(leased, Done())).held
        await store.park([delivery("5", key="a")])
        assert await self.due(store) == ["2", "4", "5"]
        assert [item.id for item in await store.discard("g")] == ["2", "4", "5"]
        assert await store.discard("missing") == []

    async def test_a_dropped_channel_frees_who_waited_for_its_deliveries(self, store: Store) -> None:
        await store.ensure_channel(ChannelSpec("d"))
        await store.park([delivery("1", channel="d", key="k"), delivery("2", key="k")])
        await store.drop_channel("d")
        assert await self.due(store) == ["2"]
        for asked in (
            store.parked(at=("d", Position(0, 0))),
            store.parked("g", at=("d", Position(0, 0))),
            store.search(Query(channel="d")),
        ):
            with pytest.raises(NotFound):
                await asked

    async def test_a_settlement_with_a_ledger_of_a_channel_that_is_gone_does_nothing(
        self, store: Store
    ) -> None:
        await store.append("c", [record("1")])
        await store.park([delivery("a")])
        (item,) = await store.due("me", NOW, limit=1, lease_us=SECOND, per_group=1)
        rows = [Attempt(name, Position(0, 0), "g", "a", "x", NOW) for name in ("c", "gone")]
        with pytest.raises(NotFound):
            await store.settle(item, Done(), ledger=rows)
        assert await store.attempts("c", Position(0, 0)) == []
        assert (await store.settle(item, Done())).held

    async def test_deliveries_of_all_groups_come_in_pages(self, store: Store) -> None:
        await store.park([delivery(str(n), group="gh"[n % 2], key="k" if n % 3 else None) for n in range(7)])
        seen, after = list[str](), 0
        while page := await store.parked_page(after, 3):
            assert len(page) <= 3
            seen += [item.id for _, item in page]
            after = page[-1][0]
        assert seen == [str(n) for n in range(7)]

    async def test_the_backlog_counts_by_group(self, store: Store) -> None:
        await store.park([delivery("1"), delivery("2"), delivery("3", group="h")])
        assert await store.backlog() == {"g": 2, "h": 1}

    async def test_each_backlog_has_its_age_and_its_attempts(self, store: Store) -> None:
        assert await store.backlogs() == []
        old, tried = delivery("1", first_us=NOW - SECOND), delivery("2", attempt=3)
        await store.park([tried, old, delivery("3", group="h")])
        assert await store.backlogs() == [Backlog("g", 2, NOW - SECOND, 3), Backlog("h", 1, NOW, 0)]
        await store.discard("h")
        assert [backlog.group for backlog in await store.backlogs()] == ["g"]

    async def test_the_ledger_keeps_its_order_and_is_trimmed_with_its_events(self, store: Store) -> None:
        await store.append("c", [record("1")])
        rows = [
            Attempt("c", Position(0, 0), "g", "d", "retry", NOW, 1, 2.5, "503", "busy", ""),
            Attempt("c", Position(0, 0), "g", "d", "delivered", NOW + 1, 2, 1.5, "200", "", "run-1"),
        ]
        await store.log_attempts([*rows, replace(rows[0], position=Position(0, 1))])
        assert await store.attempts("c", Position(0, 0)) == rows
        await store.trim("c", 0, 1)
        assert await store.attempts("c", Position(0, 0)) == []

    async def test_search_finds_the_newest_by_every_field(self, store: Store) -> None:
        if Caps.QUERY not in store.caps:
            pytest.skip("the store does not search")
        await store.ensure_channel(ChannelSpec("d"))
        await store.append(
            "c", [record("1"), record("2", type="t", source="/s", subject="x", time_us=NOW + 9)]
        )
        await store.append("d", [record("2", time_us=NOW + 10)])

        async def find(**query: object) -> list[tuple[str, str]]:
            hits = await store.search(Query(**query))  # type: ignore[arg-type]
            return [(hit.channel, hit.stored.record.id) for hit in hits]

        assert await find() == [("d", "2"), ("c", "2"), ("c", "1")]
        assert await find(channel="c") == [("c", "2"), ("c", "1")]
        assert await find(id="2") == [("d", "2"), ("c", "2")]
        assert await find(type="t") == await find(source="/s") == await find(subject="x") == [("c", "2")]
        assert await find(from_us=NOW + 9, to_us=NOW + 10) == [("c", "2")]
        assert await find(type="missing") == []

    async def test_search_goes_through_all_partitions_newest_first(self, store: Store) -> None:
        if Caps.QUERY not in store.caps:
            pytest.skip("the store does not search")
        await store.ensure_channel(ChannelSpec("p", partitions=4))
        for n in range(24):
            made = record(str(n), key=str(n % 7), time_us=NOW + n, type="odd" if n % 2 else "even")
            await store.append("p", [made])
            await store.append("c", [record(str(n), time_us=NOW + n)])

        async def pages(**query: object) -> list[int]:
            found: list[int] = []
            cursor = None
            while hits := await store.search(Query(**query, limit=5, cursor=cursor)):  # type: ignore[arg-type]
                assert {hit.channel for hit in hits} == {"p"}
                found += [int(hit.stored.record.id) for hit in hits]
                cursor = hits[-1].cursor
            return found

        newest = list(reversed(range(24)))
        await store.append("c", [record("c", source="/few", time_us=NOW + 99)])
        few = [record(str(n), source="/few", key=str(n), time_us=NOW + n) for n in range(24, 36)]
        await store.append("p", few)
        assert await pages(channel="p", source="/few") == list(reversed(range(24, 36)))
        assert await pages(channel="p", source="/few", to_us=NOW + 27) == [26, 25, 24]
        assert [hit.stored.record.id for hit in await store.search(Query(source="/few", limit=2))] == [
            "35",
            "34",
        ]
        newest = [*reversed(range(36))]
        assert await pages(channel="p") == newest
        newest = newest[12:]
        assert await pages(channel="p", type="odd") == await pages(type="odd") == newest[0::2]
        assert await pages(channel="p", from_us=NOW + 3, to_us=NOW + 20) == newest[4:21]
        assert await pages(channel="p", to_us=NOW) == await pages(channel="p", from_us=NOW + 36) == []

    async def test_search_goes_on_after_a_page(self, store: Store) -> None:
        if Caps.QUERY not in store.caps:
            pytest.skip("the store does not search")
        await store.append("c", [record(str(n)) for n in range(5)])
        seen: list[str] = []
        cursor = None
        while hits := await store.search(Query(channel="c", limit=2, cursor=cursor)):
            seen += [hit.stored.record.id for hit in hits]
            cursor = hits[-1].cursor
        assert seen == ["4", "3", "2", "1", "0"]
