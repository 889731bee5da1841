"""Several processes that are one router, on a store in PostgreSQL that they share."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.events.conftest import Recorder, event, eventually, every, quiet, running, subscription
from workflow_engine.errors import Conflict, NotFound, Rejected, Unavailable
from workflow_engine.events import peers
from workflow_engine.events.subscriptions import RetryPolicy
from workflow_engine.events.targets import Drop, Gone, Retry

EVER = datetime(2020, 1, 1, tzinfo=UTC)
CHANNELS = ["c0", "c1", "c2"]


class Shared:
    """Routers on one store, with the same targets."""

    def __init__(self, routers) -> None:
        self.routers = routers
        self.workflows, self.runs = Recorder(), Recorder()

    def having(self, channel):
        (router,) = [router for router in self.routers if channel in router._dispatchers]
        return router

    def spread(self):
        """Whether all know each other and all channels, and each has those that are its own."""
        known = all(set(CHANNELS) <= set(router._channels) for router in self.routers)
        met = all(len(router._peers.members()) == len(self.routers) for router in self.routers)
        return (
            known
            and met
            and all(
                sorted(router._dispatchers) == [name for name in CHANNELS if router._peers.is_mine(name)]
                for router in self.routers
            )
        )

    def other_than(self, channel):
        return next(router for router in self.routers if channel not in router._dispatchers)


@asynccontextmanager
async def shared(url, count=2, **options):
    async with AsyncExitStack() as stack:
        made = Shared([])
        for _ in range(count):
            targets = {"workflow": made.workflows, "run": made.runs}
            made.routers.append(await stack.enter_async_context(running(url, targets, **options)))
        for channel in CHANNELS:
            await made.routers[0].create_channel(channel)

        await eventually(made.spread)
        yield made


async def test_each_channel_is_dispatched_by_one(postgresql_schema):
    async with shared(postgresql_schema, 3) as them:
        assert len({tuple(router._peers.members()) for router in them.routers}) == 1
        for router in them.routers:
            assert sorted(router._dispatchers) == [name for name in CHANNELS if router._peers.is_mine(name)]


async def test_a_subscription_is_put_though_its_channel_goes_to_another_process_meanwhile(
    postgresql_schema, monkeypatch
):
    async with shared(postgresql_schema) as them:
        having = them.having("c0")
        get = having._store.get

        async def slowly(key):
            monkeypatch.setattr(having._store, "get", get)
            await having._dispatchers.pop("c0").stop()  # as when a process joins
            having._rearrange.set()
            return await get(key)

        monkeypatch.setattr(having._store, "get", slowly)
        await having.put_subscription(subscription("s", channel="c0"))
        await eventually(lambda: any("c0" in router._dispatchers for router in them.routers))
        await them.routers[0].publish("c0", [event("1")])
        assert await them.workflows.until(1) == ["1"]


def test_channels_are_spread_and_a_newcomer_takes_only_its_own():
    channels = [f"channel {n}" for n in range(300)]

    def spread(members):
        return {channel: max(members, key=lambda name: peers._rank(name, channel)) for channel in channels}

    before, after = spread(["a", "b", "c"]), spread(["a", "b", "c", "d"])
    assert min(list(before.values()).count(name) for name in "abc") > 60
    assert {after[channel] for channel in channels if after[channel] != before[channel]} == {"d"}


async def test_a_subscription_made_in_one_process_works_in_all(postgresql_schema):
    async with shared(postgresql_schema) as them:
        there, elsewhere = them.having("c0"), them.other_than("c0")
        await elsewhere.put_subscription(subscription("s", channel="c0"))
        assert [found.id for found in elsewhere.subscriptions()] == ["s"]
        await eventually(there.subscriptions)
        for number, router in enumerate(them.routers):
            await router.publish("c0", [event(f"{number}-{n}") for n in range(20)])
        await quiet(there)
        assert sorted(them.workflows.ids()) == sorted(f"{m}-{n}" for m in range(2) for n in range(20))
        changed = await elsewhere.seek("s", "earliest")
        assert changed.start == "earliest"
        await eventually(lambda: len(them.workflows.got) == 80)
        await elsewhere.delete_subscription("s")
        await eventually(lambda: not there.subscriptions())
        with pytest.raises(NotFound):
            await there.delete_subscription("s")


async def test_what_is_wrong_is_told_by_the_one_that_has_the_channel(postgresql_schema):
    async with shared(postgresql_schema) as them:
        await them.other_than("c0").put_subscription(subscription("s", channel="c0"))
        with pytest.raises(Conflict, match="is on channel c0"):
            await them.other_than("c1").put_subscription(subscription("s", channel="c1"))
        with pytest.raises(Rejected) as raised:
            await them.other_than("c0").put_subscription(subscription("t", channel="c0", max_in_flight=0))
        assert raised.value.pointer == "/max_in_flight"


async def test_runs_listen_and_stop_listening_through_any_process(postgresql_schema):
    async with shared(postgresql_schema) as them:
        elsewhere = them.other_than("c0")
        await elsewhere.publish("c0", [event("1")])
        await elsewhere.listen("r", "l", every() | {"open": True}, since=EVER, channel="c0")
        await elsewhere.listen("r", "l", every() | {"open": True}, since=EVER, channel="c0")
        with pytest.raises(Conflict, match="listens to channel c0"):
            await elsewhere.listen("r", "l", every(), since=EVER, channel="c1")
        assert await them.runs.until(1) == ["1"]
        for router in them.routers:
            (listener,) = await router.every_listener()
            assert (listener["run_id"], listener["channel"]) == ("r", "c0")
            assert [each for _, each in await router.listeners_after(None, 9, run_id="r")] == [listener]
            assert await router.listeners_after(("c0", "r/l"), 9) == []
        await them.having("c0").publish("c0", [event("2")])
        assert await them.runs.until(2) == ["1", "2"]
        await elsewhere.unlisten("r", "l", used=1)
        await elsewhere.listen("r", "again", every(), since=EVER, channel="c0")
        assert await them.runs.until(3) == ["1", "2", "2"]
        await elsewhere.forget_run("r")
        assert await elsewhere.every_listener() == []
        assert await them.having("c0")._store.states("c0", "router") == {}


async def test_taking_a_listener_back_waits_for_what_another_process_delivers(postgresql_schema):
    async with shared(postgresql_schema) as them:
        begun, go_on = asyncio.Event(), asyncio.Event()
        there, elsewhere = them.having("c0"), them.other_than("c0")
        there._deliverer._stopping = True  # so that the other one delivers
        there._deliverer.wake()

        async def slowly():
            begun.set()
            await go_on.wait()

        them.runs.answer = lambda _: slowly()
        await there.listen("r", "l", every() | {"open": True}, since=EVER, channel="c0")
        await there.publish("c0", [event("1"), event("2")])
        await begun.wait()
        taking = asyncio.create_task(there.unlisten("r", "l"))
        await eventually(lambda: there._store.states("c0", "router", "closing/"))
        assert not taking.done()
        go_on.set()
        await taking
        assert them.runs.ids() == ["1"]
        assert await elsewhere._store.parked() == []


async def test_no_more_are_in_flight_than_a_subscription_allows_in_all_processes(postgresql_schema):
    async with shared(postgresql_schema, 3) as them:
        most = now = 0

        async def slowly():
            nonlocal most, now
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.02)
            now -= 1

        them.workflows.answer = lambda _: slowly()
        await them.routers[0].put_subscription(subscription("s", channel="c0", max_in_flight=3))
        await them.routers[1].publish("c0", [event(str(n)) for n in range(60)])
        await eventually(lambda: len(them.workflows.got) == 60)
        await quiet(them.routers[0])
        assert most == 3
        assert len(set(them.workflows.ids())) == 60


async def test_dead_letters_are_redriven_once_whoever_is_asked(postgresql_schema):
    async with shared(postgresql_schema) as them:
        them.workflows.answer = lambda _: Drop("no")
        await them.routers[0].put_subscription(subscription("s", channel="c0"))
        await them.routers[0].publish("c0", [event(str(n)) for n in range(5)])
        await eventually(lambda: len(them.workflows.got) == 5)
        await quiet(them.routers[0])
        them.workflows.answer = lambda _: None
        redriven = await asyncio.gather(*(router.redrive_all() for router in them.routers))
        assert sorted(redriven) == [0, 5]
        await quiet(them.routers[1])
        assert len(them.workflows.got) == 10


async def test_a_target_that_is_gone_disables_its_subscription_everywhere(postgresql_schema):
    async with shared(postgresql_schema) as them:
        them.workflows.answer = lambda _: Gone("no more")
        await them.routers[0].put_subscription(subscription("s", channel="c0"))
        await them.routers[1].publish("c0", [event("1")])
        await eventually(lambda: all(not r.get_subscription("s").enabled for r in them.routers))


async def test_channels_are_described_alike_by_all(postgresql_schema):
    async with shared(postgresql_schema) as them:
        await them.routers[0].put_subscription(subscription("s", channel="c0"))
        await them.routers[0].listen("r", "l", every("later"), since=EVER, channel="c0")
        await them.routers[0].publish("c0", [event("1")])
        await quiet(them.routers[1])
        described = [await router.channels() for router in them.routers]
        assert described[0] == described[1]
        assert (described[0][0]["subscriptions"], described[0][0]["listeners"]) == (1, 1)


async def test_who_stops_leaves_its_channels_to_the_others_at_once(postgresql_schema):
    async with shared(postgresql_schema, 3) as them:
        stays, *others = them.routers
        await others[0].put_subscription(subscription("s", channel="c0"))
        for router in others:
            await router.stop()
        await eventually(lambda: sorted(stays._dispatchers) == CHANNELS)
        await stays.publish("c0", [event("1")])
        assert await them.workflows.until(1) == ["1"]


async def test_who_is_silent_is_taken_for_dead_and_comes_back(postgresql_schema, monkeypatch):
    """As a process does that was stopped, or cut off; what it commits meanwhile is fenced."""
    monkeypatch.setattr(peers, "BEAT", 0.05)
    monkeypatch.setattr(peers, "SILENT", 1.0)
    async with shared(postgresql_schema) as them:
        first, second = them.routers
        await first.put_subscription(subscription("s", channel="c0"))
        beat = first._peers._beat

        async def mute():
            pass

        first._peers._beat = mute
        await eventually(lambda: sorted(second._dispatchers) == CHANNELS)
        await first.publish("c0", [event("1")])
        await them.workflows.until(1)
        first._peers._beat = beat
        await eventually(them.spread)  # it may be that none is for the first
        await second.publish("c0", [event("2")])
        await them.workflows.until(2)


async def test_what_was_asked_of_one_that_died_is_done_by_the_next(postgresql_schema):
    async with shared(postgresql_schema) as them:
        there, elsewhere = them.having("c0"), them.other_than("c0")
        for task in there._peers._tasks:  # it hears nothing any more
            task.cancel()
        asked = asyncio.create_task(elsewhere.put_subscription(subscription("s", channel="c0")))
        await eventually(lambda: elsewhere._store.entries("command/"))
        await there.stop()
        await asked
        assert "c0" in elsewhere._dispatchers
        assert await elsewhere._store.entries("command/") == []


async def test_what_nobody_answers_is_unavailable_and_is_not_done_later(postgresql_schema, monkeypatch):
    monkeypatch.setattr(peers, "ANSWER", 0.1)
    async with shared(postgresql_schema) as them:
        there, elsewhere = them.having("c0"), them.other_than("c0")
        for task in there._peers._tasks:
            task.cancel()
        with pytest.raises(Unavailable, match="no process of the router that has channel c0 answers"):
            await elsewhere.put_subscription(subscription("s", channel="c0"))
        assert await elsewhere._store.entries("command/") == []


async def test_the_router_goes_on_when_the_server_was_away(own_postgresql_server):
    server = own_postgresql_server
    async with shared(server.url) as them:
        retry = RetryPolicy(max_attempts=None, initial=0.001, jitter=False)
        await them.routers[0].put_subscription(subscription("s", channel="c0", retry=retry))
        them.workflows.answer = lambda delivery: Retry("dice") if delivery.attempt == 1 else None
        acknowledged, stop = [], asyncio.Event()

        async def publish(router, who):
            n = 0
            while not stop.is_set():
                try:
                    await router.publish("c0", [event(f"{who}-{n}")])
                except Unavailable:
                    await asyncio.sleep(0.02)
                else:
                    acknowledged.append(f"{who}-{n}")
                    n += 1

        tasks = [asyncio.create_task(publish(router, n)) for n, router in enumerate(them.routers)]
        await eventually(lambda: len(acknowledged) > 60)
        await asyncio.to_thread(server.kill)
        for router in them.routers:
            with pytest.raises(Unavailable, match=f"postgresql://wfe@{server.address}/postgres"):
                await router.check()
        await asyncio.to_thread(server.start)
        before = len(acknowledged)
        await eventually(lambda: len(acknowledged) > before + 60)
        stop.set()
        await asyncio.gather(*tasks)
        await quiet(them.routers[0])
        delivered = {d.event["id"] for d in them.workflows.got if d.attempt > 1}
        assert set(acknowledged) <= delivered
        for router in them.routers:
            await router.check()


async def test_what_another_process_wrote_of_a_subscription_is_served(postgresql_schema):
    """As it does that had the channel until just now, and has not learned that it was given away."""
    async with shared(postgresql_schema) as them:
        there, elsewhere = them.having("c0"), them.other_than("c0")
        await there.put_subscription(subscription("s", channel="c0"))
        changed = subscription("s", channel="c0", in_order=True)
        await elsewhere._keep(changed, {0: 0})
        await eventually(lambda: there._dispatchers["c0"].subscribers.get("s") == changed)
        await elsewhere._store.delete("subscription/s")
        await eventually(lambda: "s" not in there._dispatchers["c0"].subscribers)


async def test_what_one_process_lends_no_other_lends_and_each_takes_back(postgresql_schema):
    async with shared(postgresql_schema) as them:
        there, elsewhere = them.having("c0"), them.other_than("c0")
        await there.put_subscription(subscription("s", channel="c0", target={"kind": "pull"}))
        await there.publish("c0", [event(str(number)) for number in range(40)])
        got: list[str] = []
        held: list[bool] = []

        async def work(lends, takes_back):
            while len(got) < 40:
                lent = await lends.pull("s", most=3)
                got.extend(each.events[0]["id"] for each in lent)
                held.extend(await takes_back.settle("s", [(each.receipt, "done", None) for each in lent]))
                await asyncio.sleep(0.005)

        await asyncio.gather(*(work(*pair) for pair in [(there, elsewhere), (elsewhere, there)] * 2))
        assert sorted(got, key=int) == [str(number) for number in range(40)]
        assert held == [True] * 40


async def test_a_letter_is_redriven_and_old_events_forgotten_by_different_processes(postgresql_schema):
    async with shared(postgresql_schema) as them:
        there, elsewhere = them.having("c0"), them.other_than("c0")
        them.workflows.answer = lambda _: Drop("not yet")
        await there.put_subscription(subscription("s", channel="c0"))
        await there.publish("c0", [event(str(number)) for number in range(10)])
        await them.workflows.until(10)

        async def buried() -> bool:
            return len((await there.events("dead-letters")).events) == 10

        await eventually(buried)
        them.workflows.answer = lambda _: None
        later = datetime.now(UTC) + timedelta(hours=1)
        _, redriven = await asyncio.gather(there.trim("c0", later), elsewhere.redrive_all())
        assert redriven == 10
        assert sorted((await them.workflows.until(20))[10:], key=int) == [str(number) for number in range(10)]
