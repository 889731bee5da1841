"""Publishing, subscribing and delivering."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.events.conftest import (
    QUICK,
    all_of,
    event,
    eventually,
    every,
    quiet,
    running,
    subscription,
)
from workflow_engine.errors import Conflict, NotFound, Rejected
from workflow_engine.events.letters import DEAD_LETTERS
from workflow_engine.events.subscriptions import FOREVER
from workflow_engine.events.targets import Delivered, Drop, Gone, Retry


class TestPublishing:
    async def test_an_event_published_twice_is_stored_once(self, router):
        (first,) = await router.publish("c", [event("1", data="first")])
        again = await router.publish("c", [event("1", data="second"), event("2")])
        assert [(p.id, p.position, p.duplicate) for p in again] == [
            ("1", first.position, True),
            ("2", "0:1", False),
        ]
        page = await router.events("c", id="1")
        assert [found["event"]["data"] for found in page.events] == ["first"]

    async def test_a_batch_with_one_bad_event_is_refused_whole(self, router):
        with pytest.raises(Rejected) as caught:
            await router.publish("c", [event("1"), event("2", source="")])
        assert caught.value.pointer == "/1/source"
        assert await router.channels() == []

    async def test_an_event_that_is_too_large_is_refused(self, url):
        async with running(url, {}, max_event_bytes=1000) as router:
            with pytest.raises(Rejected) as caught:
                await router.publish("c", [event("1", data="x" * 1000)])
            assert (caught.value.code, caught.value.status, caught.value.pointer) == (
                "event-too-large",
                413,
                "/0",
            )

    @pytest.mark.parametrize("name", ["", "a b", "x" * 201, "ä"])
    async def test_a_name_that_no_channel_can_have_is_refused(self, router, name):
        with pytest.raises(Rejected):
            await router.publish(name, [event("1")])

    async def test_nobody_publishes_to_the_dead_letters(self, router):
        with pytest.raises(Rejected):
            await router.publish(DEAD_LETTERS, [event("1")])

    async def test_duplicates_are_found_within_the_window_of_the_channel(self, router):
        await router.create_channel("w", dedupe=0)
        await router.publish("w", [event("1")])
        assert [p.duplicate for p in await router.publish("w", [event("1")])] == [False]


class TestSubscriptions:
    async def test_every_subscription_gets_what_it_wants(self, router, workflows):
        await router.put_subscription(subscription("a", every("x", "y")))
        await router.put_subscription(subscription("b", every("y")))
        await router.publish("c", [event("1", "x"), event("2", "y"), event("3", "z")])
        await quiet(router)
        got = sorted((d.subscription, d.event["id"]) for d in workflows.got)
        assert got == [("a", "1"), ("a", "2"), ("b", "2")]

    async def test_a_delivery_carries_what_a_target_needs(self, router, workflows):
        await router.put_subscription(subscription(target={"kind": "workflow", "name": "w"}))
        await router.publish("c", [event("1", data={"n": 1})])
        await workflows.until(1)
        (delivery,) = workflows.got
        assert delivery.events == (event("1", data={"n": 1}),)
        assert (delivery.positions, delivery.attempt, delivery.channel) == (("0:0",), 1, "c")
        assert delivery.target == {"kind": "workflow", "name": "w"}
        assert len(delivery.identity) == 32

    async def test_latest_begins_with_what_comes_and_earliest_with_what_is_there(self, router, workflows):
        await router.publish("c", [event(str(n)) for n in range(250)])
        await router.put_subscription(subscription("late"))
        await router.put_subscription(subscription("early", start="earliest"))
        await router.publish("c", [event("new")])
        await quiet(router)
        await eventually(lambda: len(workflows.got) >= 252)
        early = [d.event["id"] for d in workflows.got if d.subscription == "early"]
        assert sorted(early) == sorted([*map(str, range(250)), "new"])
        assert [d.event["id"] for d in workflows.got if d.subscription == "late"] == ["new"]

    async def test_a_timestamp_begins_with_what_was_received_then(self, url, workflows):
        now = 1_800_000_000.0
        async with running(url, {"workflow": workflows}, clock=lambda: now) as router:
            await router.publish("c", [event("1")])
            now += 60
            await router.publish("c", [event("2")])
            start = datetime.fromtimestamp(now, UTC).isoformat()
            await router.put_subscription(subscription(start=start))
            assert await workflows.until(1) == ["2"]

    async def test_a_paused_subscription_keeps_its_place(self, router, workflows):
        await router.put_subscription(subscription())
        await router.publish("c", [event("1")])
        await workflows.until(1)
        await router.put_subscription(subscription(enabled=False))
        await router.publish("c", [event("2"), event("3")])
        await quiet(router)
        assert workflows.ids() == ["1"]
        await router.put_subscription(subscription())
        await router.publish("c", [event("4")])
        await quiet(router)
        await eventually(lambda: len(workflows.got) >= 4)
        assert sorted(workflows.ids()) == ["1", "2", "3", "4"]

    async def test_a_subscription_that_is_paused_delivers_nothing_more_in_its_order(self, router, workflows):
        paused = asyncio.Event()

        async def slow():
            await paused.wait()

        workflows.answer = lambda _: slow()
        await router.put_subscription(subscription(in_order=True))
        await router.publish("c", [event(str(number)) for number in range(5)])
        await workflows.until(1)
        await router.put_subscription(subscription(in_order=True, enabled=False))
        paused.set()
        await eventually(lambda: not router._deliverer._in_flight)
        assert workflows.ids() == ["0"]
        await router.put_subscription(subscription(in_order=True))
        assert await workflows.until(5) == [*"01234"]

    async def test_putting_it_again_keeps_its_place_and_takes_the_new_target(self, router, workflows):
        await router.put_subscription(subscription(start="earliest"))
        await router.publish("c", [event("1")])
        await workflows.until(1)
        changed = subscription(start="earliest", target={"kind": "workflow", "v": 2})
        await router.put_subscription(changed)
        await router.publish("c", [event("2")])
        await workflows.until(2)
        assert [d.target.get("v") for d in workflows.got] == [None, 2]
        assert router.get_subscription("s") == changed
        assert router.subscriptions() == [changed]

    async def test_a_deleted_subscription_gets_nothing_more(self, router, workflows):
        workflows.answer = lambda _: Retry()
        await router.put_subscription(subscription(retry=replace(QUICK, initial=60)))
        await router.publish("c", [event("1")])
        await workflows.until(1)
        await router.delete_subscription("s")
        await router.publish("c", [event("2")])
        await quiet(router)
        assert workflows.ids() == ["1"]
        with pytest.raises(NotFound):
            router.get_subscription("s")
        with pytest.raises(NotFound):
            await router.delete_subscription("s")

    async def test_what_makes_no_sense_is_refused_with_its_place(self, router):
        for bad, pointer in [
            (subscription(target={"kind": "carrier-pigeon"}), "/target/kind"),
            (subscription(strategy={"mode": "all", "filters": []}), "/strategy/filters"),
            (subscription(strategy={"mode": "any", "filters": [], "open": True}), "/strategy/open"),
            (subscription(start="yesterday"), "/start"),
            (subscription(start="2026-01-31T12:00:00"), "/start"),
            (subscription(target={"kind": "channel"}), "/target/channel"),
            (subscription(target={"kind": "run"}), "/target/kind"),
            (subscription(max_in_flight=0), "/max_in_flight"),
            (subscription(id="a b"), "/id"),
        ]:
            with pytest.raises(Rejected) as caught:
                await router.put_subscription(bad)
            assert caught.value.pointer == pointer
        await router.put_subscription(subscription())
        with pytest.raises(Conflict):
            await router.put_subscription(subscription(channel="elsewhere"))

    async def test_partitions_keep_the_order_of_a_key(self, router, workflows):
        await router.create_channel("c", partitions=4)
        await router.put_subscription(subscription(max_in_flight=1))
        ids = [f"{key}-{n}" for n in range(10) for key in "abcde"]
        await router.publish("c", [event(id, subject=id[0]) for id in ids])
        await workflows.until(50)
        assert len({p.split(":")[0] for d in workflows.got for p in d.positions}) > 1
        for key in "abcde":
            assert [id for id in workflows.ids() if id[0] == key] == [f"{key}-{n}" for n in range(10)]

    async def test_events_go_on_to_another_channel_but_not_in_circles(self, router, workflows):
        await router.put_subscription(
            subscription("there", channel="c", target={"kind": "channel", "channel": "d"})
        )
        await router.put_subscription(
            subscription("back", channel="d", target={"kind": "channel", "channel": "c"})
        )
        await router.put_subscription(subscription("end", channel="d"))
        await router.publish("c", [event("1")])
        await workflows.until(1)
        await quiet(router)
        assert workflows.got[0].event["routerhops"] == 1


class TestStrategies:
    async def test_all_is_one_delivery_of_every_event_and_begins_anew(self, router, workflows):
        await router.put_subscription(subscription(strategy=all_of("a", "b")))
        ids = [event("1", "a"), event("2", "a"), event("3", "b"), event("4", "b"), event("5", "a")]
        await router.publish("c", ids)
        await workflows.until(2)
        assert sorted([e["id"] for e in d.events] for d in workflows.got) == [["1", "3"], ["4", "5"]]
        assert sorted(d.positions for d in workflows.got) == [("0:0", "0:2"), ("0:3", "0:4")]

    async def test_correlations_are_followed_side_by_side(self, router, workflows):
        await router.put_subscription(subscription(strategy=all_of("a", "b", key=".subject")))
        for id, type, subject in [
            ("1", "a", "x"),
            ("2", "a", "y"),
            ("3", "a", "x"),
            ("4", "b", "y"),
            ("5", "b", "x"),
        ]:
            await router.publish("c", [event(id, type, subject=subject)])
        await workflows.until(2)
        assert sorted([e["id"] for e in d.events] for d in workflows.got) == [["1", "5"], ["2", "4"]]

    async def test_until_collects_and_does_not_deliver_its_own_event(self, router, workflows):
        strategy = every("a") | {"until": every("stop")}
        await router.put_subscription(subscription(strategy=strategy))
        await router.publish("c", [event("0", "stop"), event("1", "a"), event("2", "a"), event("3", "stop")])
        await workflows.until(1)
        assert [e["id"] for e in workflows.got[0].events] == ["1", "2"]

    async def test_half_a_strategy_survives_a_restart_and_a_pause(self, disk, workflows):
        targets = {"workflow": workflows}
        async with running(disk, targets) as router:
            await router.put_subscription(subscription(strategy=all_of("a", "b")))
            await router.publish("c", [event("1", "a")])
            await quiet(router)
        async with running(disk, targets) as router:
            await router.put_subscription(subscription(strategy=all_of("a", "b"), enabled=False))
        async with running(disk, targets) as router:
            await router.publish("c", [event("2", "b")])
            await router.put_subscription(subscription(strategy=all_of("a", "b")))
            await workflows.until(1)
        assert [e["id"] for e in workflows.got[0].events] == ["1", "2"]

    async def test_another_strategy_lets_go_of_what_the_old_one_held(self, router, workflows):
        await router.put_subscription(subscription(strategy=all_of("a", "b")))
        await router.publish("c", [event("1", "a")])
        await quiet(router)
        await router.put_subscription(subscription(strategy=all_of("b", "x")))
        await router.publish("c", [event("2", "b"), event("3", "x")])
        await workflows.until(1)
        assert [e["id"] for e in workflows.got[0].events] == ["2", "3"]

    async def test_a_filter_that_fails_matches_nothing_and_is_traced(self, router, workflows):
        broken = {"mode": "one", "filters": [{"attributes": {"data": {"expression": ".n + {}"}}}]}
        await router.put_subscription(subscription("broken", broken))
        await router.put_subscription(subscription("fine"))
        await router.publish("c", [event("1", data={"n": 1})])
        await quiet(router)
        assert [d.subscription for d in workflows.got] == ["fine"]
        (trace,) = await router.trace("1")
        by_id = {r["subscription"]: r for r in trace["recipients"]}
        assert by_id["broken"]["notes"][0]["status"] == "filter-error"
        assert by_id["broken"]["state"] == "none"


class TestRetries:
    async def test_a_delivery_is_tried_again_until_it_works_and_each_attempt_is_traced(
        self, router, workflows
    ):
        answers = iter([Retry("busy", code="503"), OSError("refused"), Delivered("200", "fine", "run-1")])
        workflows.answer = lambda _: next(answers)
        await router.put_subscription(subscription())
        await router.publish("c", [event("1")])
        await workflows.until(3)
        assert [d.attempt for d in workflows.got] == [1, 2, 3]
        assert len({(d.id, d.identity) for d in workflows.got}) == 1
        await quiet(router)
        (trace,) = await router.trace("1")
        assert trace["state"] == "delivered"
        (recipient,) = trace["recipients"]
        told = [(a["n"], a["status"], a["code"], a["reference"]) for a in recipient["attempts"]]
        assert told == [
            (1, "retry", "503", ""),
            (2, "retry", "OSError", ""),
            (3, "delivered", "200", "run-1"),
        ]

    async def test_a_delivery_that_fails_for_good_becomes_a_dead_letter(self, router, workflows):
        workflows.answer = lambda _: Retry("busy", code="503")
        await router.put_subscription(subscription())
        await router.publish("c", [event("1", data={"n": 1})])
        await workflows.until(3)
        await quiet(router)
        (found,) = (await router.events(DEAD_LETTERS)).events
        letter = found["event"]
        assert {name: letter[name] for name in event("1")} == event("1")
        assert letter["data"] == {"n": 1}
        assert (letter["dlqchannel"], letter["dlqposition"], letter["dlqsubscription"]) == ("c", "0:0", "s")
        assert (letter["dlqcode"], letter["dlqreason"], letter["dlqattempts"]) == ("503", "busy", 3)
        (trace,) = await router.trace("1", "c")
        assert trace["state"] == "dead"

    async def test_drop_is_a_dead_letter_at_once_for_each_subscription(self, router, workflows):
        workflows.answer = lambda _: Drop("no such workflow", code="404")
        await router.put_subscription(subscription("a"))
        await router.put_subscription(subscription("b"))
        await router.publish("c", [event("1")])
        await quiet(router)
        letters = (await router.events(DEAD_LETTERS)).events
        assert sorted(found["event"]["dlqsubscription"] for found in letters) == ["a", "b"]

    async def test_a_dead_letter_is_tried_again_on_request(self, router, workflows):
        workflows.answer = lambda _: Drop("not yet")
        await router.put_subscription(subscription(strategy=all_of("a", "b")))
        await router.publish("c", [event("1", "a"), event("2", "b")])
        await workflows.until(1)
        await quiet(router)
        letters = (await router.events(DEAD_LETTERS)).events
        assert len(letters) == 2
        workflows.answer = lambda _: None
        await router.redrive(letters[0]["position"])
        await workflows.until(2)
        first, second = workflows.got
        assert (first.identity, first.events) == (second.identity, second.events)
        with pytest.raises(NotFound):
            await router.redrive("0:99")
        with pytest.raises(Rejected):
            await router.redrive("nowhere")

    async def test_a_dead_letter_that_dies_again_is_not_buried_twice(self, router, workflows):
        workflows.answer = lambda _: Drop("no")
        await router.put_subscription(subscription())
        await router.put_subscription(subscription("graves", channel=DEAD_LETTERS))
        await router.publish("c", [event("1")])
        await workflows.until(2)
        await quiet(router)
        assert len((await router.events(DEAD_LETTERS)).events) == 1

    async def test_the_reason_of_a_dead_letter_is_one_line_so_that_it_can_go_on_to_other_channels(
        self, router, workflows
    ):
        workflows.answer = lambda _: Drop("line one\n\tline two \ud800")
        await router.put_subscription(subscription())
        graves = {"kind": "channel", "channel": "graves"}
        await router.put_subscription(subscription("graves", channel=DEAD_LETTERS, target=graves))
        await router.publish("c", [event("1")])

        async def forwarded() -> bool:
            return "graves" in [channel["name"] for channel in await router.channels()]

        await eventually(forwarded)
        await quiet(router)
        [grave] = (await router.events("graves")).events
        assert grave["event"]["dlqreason"] == "line one line two ?"

    async def test_a_target_that_is_gone_disables_its_subscription_and_loses_nothing(self, router, workflows):
        workflows.answer = lambda _: Gone()
        await router.put_subscription(subscription())
        await router.publish("c", [event("1")])
        await eventually(lambda: not router.get_subscription("s").enabled)
        await router.publish("c", [event("2")])
        await quiet(router)
        assert workflows.ids() == ["1"]
        letters = (await router.events(DEAD_LETTERS)).events
        assert [letter["event"]["id"] for letter in letters] == ["1"]

    async def test_a_target_that_is_gone_disables_no_subscription_that_goes_elsewhere_meanwhile(
        self, router, workflows
    ):
        moved = asyncio.Event()

        async def is_gone():
            await moved.wait()
            raise Gone("410")

        workflows.answer = lambda _: is_gone()
        await router.put_subscription(subscription(target={"kind": "workflow", "name": "old"}))
        await router.publish("c", [event("1")])
        await workflows.until(1)
        await router.put_subscription(subscription(target={"kind": "workflow", "name": "new"}))
        moved.set()
        await quiet(router)
        assert router.get_subscription("s").enabled

    async def test_an_answer_that_takes_too_long_is_a_failure(self, router, workflows):
        workflows.answer = lambda d: asyncio.sleep(60) if d.attempt == 1 else None
        await router.put_subscription(subscription(retry=replace(QUICK, timeout=0.01)))
        await router.publish("c", [event("1")])
        await workflows.until(2)
        await quiet(router)
        (trace,) = await router.trace("1")
        assert trace["recipients"][0]["attempts"][0]["code"] == "timeout"

    async def test_a_target_says_itself_how_long_to_wait(self, router, workflows):
        workflows.answer = lambda d: Retry(after=0) if d.attempt == 1 else None
        await router.put_subscription(subscription(retry=replace(QUICK, initial=3600)))
        await router.publish("c", [event("1")])
        await workflows.until(2)

    async def test_a_target_that_asks_to_wait_gets_nothing_of_its_subscription_meanwhile(
        self, url, workflows
    ):
        now = [1000.0]
        workflows.answer = lambda _: Retry("too many", after=60, whole=True)
        async with running(url, {"workflow": workflows}, clock=lambda: now[0]) as router:
            await router.put_subscription(subscription("busy"))
            await router.publish("c", [event("1")])
            await workflows.until(1)
            workflows.answer = lambda _: None
            await router.put_subscription(subscription("other"))
            await router.publish("c", [event("2")])
            await workflows.until(2)
            await eventually(lambda: router._dispatchers["c"].cursor == {0: 2})
            await asyncio.sleep(0.05)
            assert [(each.subscription, each.event["id"]) for each in workflows.got] == [
                ("busy", "1"),
                ("other", "2"),
            ]
            now[0] += 61
            router._deliverer.wake()
            await workflows.until(4)
            await router.publish("c", [event("3")])
            await workflows.until(6)

    async def test_a_subscription_that_is_put_again_does_not_wait_for_what_its_old_target_asked(
        self, router, workflows
    ):
        workflows.answer = lambda _: Retry("too many", after=3600, whole=True)
        await router.put_subscription(subscription())
        await router.publish("c", [event("1")])
        await workflows.until(1)
        workflows.answer = lambda _: None
        await router.publish("c", [event("2")])
        await router.put_subscription(subscription())
        assert await workflows.until(2) == ["1", "2"]

    async def test_a_dead_target_does_not_starve_the_others(self, router, workflows):
        async def hang(delivery):
            if delivery.subscription == "slow":
                await asyncio.sleep(60)

        workflows.answer = hang
        await router.put_subscription(subscription("slow", max_in_flight=3))
        await router.put_subscription(subscription("fine"))
        await router.publish("c", [event(str(n)) for n in range(400)])
        await eventually(lambda: sum(d.subscription == "fine" for d in workflows.got) == 400)
        assert sum(d.subscription == "slow" for d in workflows.got) == 3

    @pytest.mark.parametrize("most", [1, 4])
    async def test_no_more_deliveries_are_with_a_target_than_may_be(self, router, workflows, most):
        dice, at_work, seen = random.Random(most), 0, 0

        async def work(delivery):
            nonlocal at_work, seen
            at_work += 1
            seen = max(seen, at_work)
            await asyncio.sleep(dice.choice([0, 0, 0.001]))
            at_work -= 1
            return Retry(after=0.001) if delivery.attempt == 1 and dice.random() < 0.2 else None

        async def publish(name):
            for n in range(40):
                await router.publish("c", [event(f"{name}-{n}-{m}") for m in range(dice.randint(1, 3))])
                await asyncio.sleep(dice.choice([0, 0.001]))

        workflows.answer = work
        await router.put_subscription(subscription(max_in_flight=most))
        await asyncio.gather(*map(publish, "abc"))
        await quiet(router)
        assert seen == most

    async def test_deliveries_in_order_hold_up_those_with_their_correlation_values_and_no_others(
        self, router, workflows
    ):
        workflows.answer = lambda d: Retry(after=0.05) if d.event["id"] == "1" and d.attempt < 3 else None
        rooms = {"mode": "any", "filters": [{"correlate": {"room": {"from": "${ .room }"}}}]}
        await router.put_subscription(subscription(strategy=rooms, in_order=True, retry=FOREVER))
        await router.publish("c", [event(str(n), room="a" if n % 2 else "b") for n in range(1, 7)])
        await eventually(lambda: len(workflows.got) == 8)
        got = [(d.event["room"], d.event["id"]) for d in workflows.got]
        assert [id for room, id in got if room == "a"] == ["1", "1", "1", "3", "5"]
        assert [id for room, id in got if room == "b"] == ["2", "4", "6"]
        assert got.index(("b", "6")) < got.index(("a", "3"))

    async def test_deliveries_in_order_without_correlation_come_one_by_one(self, router, workflows):
        workflows.answer = lambda d: Retry(after=0) if d.attempt == 1 else None
        await router.put_subscription(subscription(in_order=True))
        await router.publish("c", [event(str(n)) for n in range(5)])
        await eventually(lambda: len(workflows.got) == 10)
        assert workflows.ids() == [str(n) for n in range(5) for _ in range(2)]

    async def test_deliveries_that_wait_survive_a_restart(self, disk, workflows):
        workflows.answer = lambda _: Retry()
        async with running(disk, {"workflow": workflows}) as router:
            await router.put_subscription(subscription(retry=replace(QUICK, initial=0.05, max_attempts=None)))
            await router.publish("c", [event("1")])
            await workflows.until(1)
        workflows.answer = lambda _: None
        async with running(disk, {"workflow": workflows}) as router:
            await eventually(lambda: workflows.got[-1].attempt > 1)
            await quiet(router)
        assert len(workflows.got) == 2


async def test_a_subscription_that_seeks_begins_anew_and_still_does_after_a_restart(disk, workflows):
    async with running(disk, {"workflow": workflows}) as router:
        await router.put_subscription(subscription("s"))
        await router.publish("c", [event("1"), event("2")])
        assert await workflows.until(2) == ["1", "2"]
        await router.seek("s", "earliest")
        await workflows.until(4)
        await quiet(router)
    async with running(disk, {"workflow": workflows}) as router:
        await router.publish("c", [event("3")])
        await workflows.until(5)
        await quiet(router)
        await router.seek("s", "latest")
        await router.publish("c", [event("4")])
        assert sorted(await workflows.until(6)) == ["1", "1", "2", "2", "3", "4"]
    assert len({delivery.identity for delivery in workflows.got}) == 4


async def test_events_received_at_the_end_of_a_subscription_or_later_are_not_for_it(url, workflows):
    now = [100.0]
    async with running(url, {"workflow": workflows}, clock=lambda: now[0]) as router:
        await router.put_subscription(subscription("s", until="1970-01-01T00:02:00Z"))
        for at in (119.0, 120.0, 121.0):
            now[0] = at
            await router.publish("c", [event(str(at))])
        await router.put_subscription(subscription("again", start="earliest", until="1970-01-01T00:02:01Z"))
        await quiet(router)
    assert sorted(workflows.ids()) == ["119.0", "119.0", "120.0"]


async def test_a_target_gets_the_transformed_event_and_the_log_keeps_the_other(url, workflows):
    async with running(url, {"workflow": workflows}) as router:
        await router.put_subscription(subscription("s", transform={"data": "${ .type }"}))
        sent = {**event("1"), "dataschema": "/schemas/order"}
        await router.publish("c", [sent])
        await workflows.until(1)
        page = await router.events("c")
    got = workflows.got[0].event
    assert (got["data"], "dataschema" in got) == (sent["type"], False)
    assert page.to_json()["events"][0]["event"] == sent


async def test_a_permission_that_no_subscription_needs_is_forgotten_as_the_router_starts(tmp_path):
    """The process ended between the subscription and its permission."""
    url = f"sqlite:///{tmp_path / 'events.db'}"
    async with running(url, {}) as router:
        await router.keep_permission("p", {"granted": 1.0}, 0)
    async with running(url, {}) as router:
        assert await router.permission("p") == ({}, 0)
