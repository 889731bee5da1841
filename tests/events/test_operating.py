"""What an operator sees of a router: whether it works, and what it could not deliver."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from tests.events.conftest import all_of, event, eventually, quiet, running, subscription
from workflow_engine.errors import Rejected, Unavailable
from workflow_engine.events import router as module
from workflow_engine.events.letters import DEAD_LETTERS
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.events.subscriptions import RetryPolicy, Subscription
from workflow_engine.events.targets import Drop, Retry


async def test_a_router_that_works_says_so_until_it_is_stopped(url):
    router = Router(open_store(url), targets={})
    with pytest.raises(Unavailable):
        await router.check()
    async with running(url, {}) as router:
        await router.check()
    with pytest.raises(Unavailable):
        await router.check()


async def test_attempts_that_fail_are_logged_seldom_and_the_end_always(router, workflows, caplog):
    workflows.answer = lambda _: Retry("Temporal does not answer", code="unavailable")
    await router.put_subscription(subscription("orders"))
    await router.publish("c", [event("1")])
    await quiet(router)
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        "event 0:0 of channel c for orders is tried again, attempt 1: unavailable: Temporal does not answer",
        "event 0:0 of channel c for orders is tried again, attempt 2: unavailable: Temporal does not answer",
        "event 0:0 of channel c for orders is given up, attempt 3: unavailable: Temporal does not answer",
    ]


async def test_what_is_dropped_is_logged_once(router, workflows, caplog):
    workflows.answer = lambda _: Drop("no workflow 'a/b'", code="no-workflow")
    await router.put_subscription(subscription("orders"))
    await router.publish("c", [event("1")])
    await quiet(router)
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        "event 0:0 of channel c for orders is given up, attempt 1: no-workflow: no workflow 'a/b'"
    ]


async def test_what_waits_and_what_was_given_up_is_counted_with_its_age(url, workflows):
    workflows.answer = lambda delivery: (
        Drop("no") if delivery.subscription == "lost" else Retry("busy", after=60)
    )
    later = 0.0
    async with running(url, {"workflow": workflows}, clock=lambda: time.time() + later) as router:
        await router.put_subscription(subscription("lost"))
        await router.put_subscription(subscription("slow", retry=RetryPolicy(max_attempts=None)))
        await router.publish("c", [event("1")])

        async def settled() -> bool:
            found = await router.backlog()
            lost, slow = found["subscriptions"]
            return found["dead_letters"]["count"] == 1 and not lost["waiting"] and slow["attempts"] == 1

        await eventually(settled)
        later = 7.0
        found = await router.backlog()
    lost, slow = found["subscriptions"]
    assert lost == {
        "id": "lost", "channel": "c", "enabled": True, "waiting": 0, "oldest_seconds": 0, "attempts": 0,
        "filter_errors": 0,
    }  # fmt: skip
    assert (slow["waiting"], slow["attempts"], slow["oldest_seconds"] >= 7) == (1, 1, True)
    assert found["listeners"] == {"waiting": 0, "oldest_seconds": 0, "attempts": 0, "filter_errors": 0}
    letters = found["dead_letters"]
    assert letters["count"] == 1
    assert letters["oldest_seconds"] >= letters["newest_seconds"] >= 7


async def test_a_dead_letter_is_delivered_though_its_event_is_forgotten(url, workflows):
    now = [1000.0]
    workflows.answer = lambda _: Drop("not yet")
    async with running(url, {"workflow": workflows}, clock=lambda: now[0]) as router:
        await router.put_subscription(subscription(strategy=all_of("a", "b")))
        await router.publish("c", [event("1", "a"), event("2", "b")])
        await workflows.until(1)
        await quiet(router)
        now[0] += 100
        assert await router.trim("c", datetime.fromtimestamp(now[0] - 1, UTC)) == 2
        workflows.answer = lambda _: Drop("still not")
        _, letter = (await router.events(DEAD_LETTERS)).events
        await router.redrive(letter["position"])
        await workflows.until(2)
        await quiet(router)
        workflows.answer = lambda _: Retry("soon", after=60)
        newest = (await router.events(DEAD_LETTERS)).events[0]
        await router.redrive(newest["position"])
        await workflows.until(3)
        await router.publish("c", [event("3")])
        now[0] += 50
        await eventually(lambda: router._dispatchers["c"].cursor == {0: 3})
        assert await router.trim("c", datetime.fromtimestamp(now[0], UTC)) == 1
    first, *others = workflows.got
    assert [each.events for each in others] == [first.events] * 2
    assert {each.identity for each in others} == {first.identity}


async def test_what_waits_is_looked_at_in_pages_and_what_is_old_removed_in_pieces(url, monkeypatch):
    monkeypatch.setattr("workflow_engine.events.retention.PAGE", 2)
    monkeypatch.setattr("workflow_engine.events.retention.PIECE", 3)
    now = [1000.0]
    async with running(url, {}, clock=lambda: now[0]) as router:
        await router.put_subscription(subscription("s", target={"kind": "pull"}))
        await router.put_subscription(subscription("other", target={"kind": "pull"}, channel="d"))
        asked = []
        pages = router._store.parked_page

        async def page(after, limit):
            asked.append(found := await pages(after, limit))
            return found

        monkeypatch.setattr(router._store, "parked_page", page)
        for channel in "dc":
            await router.publish(channel, [event(str(number)) for number in range(20)])
        lent = []
        while len(lent) < 20:
            lent += await router.pull("s", most=20, wait=10)
        await router.settle(
            "s", [(each.receipt, "done", None) for each in lent if each.events[0]["id"] != "13"]
        )
        now[0] += 100
        assert await router.trim("c", datetime.fromtimestamp(now[0], UTC)) == 13
        assert max(map(len, asked)) == 2
        asked.clear()
        assert await router.trim("c", datetime.fromtimestamp(now[0], UTC)) == 0
        [waiting] = await router._store.parked("sub:s")
        assert [each["id"] for each in (await router.pull("s", most=1) or [lent[13]])[0].events] == ["13"]
        assert waiting.position.offset == 13


async def test_old_events_are_forgotten_though_it_failed_once(url, monkeypatch):
    failed = []

    async def fails_once(*_args):
        if not failed:
            failed.append(1)
            raise RuntimeError("a bug")
        return await real(*_args)

    real = module.trim
    monkeypatch.setattr(module, "trim", fails_once)
    monkeypatch.setattr(module.asyncio, "sleep", lambda _, sleep=asyncio.sleep: sleep(0.001))
    async with running(url, {}, retention=0.0) as router:
        await router.publish("c", [event("1")])

        async def forgotten() -> bool:
            [channel] = await router.channels()
            return not channel["events"]

        await eventually(forgotten)
    assert failed


def test_the_wait_between_attempts_has_an_end_however_fast_it_grows():
    policy = RetryPolicy.from_json({"max_attempts": None, "factor": 1e9, "max_delay": 60, "jitter": False})
    assert [policy.delay(attempt) for attempt in (1, 2, 60, 5000)] == [1.0, 60, 60, 60]
    at_once = RetryPolicy.from_json({"initial": 0, "factor": 1e9, "jitter": False})
    assert at_once.delay(500) == 0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"retry": {"max_attempts": 0}}, "expected a whole number from 1 to a billion, or null, not 0"),
        ({"retry": {"timeout": 301}}, "expected seconds above 0, 300 at most, not 301"),
        ({"retry": {"jitter": None}}, "expected true or false, not null"),
        ({"channel": 5}, "expected a text"),
        ({"target": []}, "expected an object"),
        ({"filters": {}}, "expected a list"),
        ({"max_in_flight": True}, "expected a whole number"),
    ],
)
def test_what_is_wrong_with_a_subscription_is_told_in_the_words_of_json(wrong, told):
    right = {"id": "s", "channel": "c", "target": {"kind": "pull"}, "filters": []}
    with pytest.raises(Rejected) as refused:
        Subscription.from_json({**right, **wrong})
    assert str(refused.value) == told


@pytest.mark.parametrize("at_a_time", [2, 3])
async def test_what_ends_while_the_store_is_asked_makes_room_for_the_next_of_its_group(
    url, workflows, monkeypatch, at_a_time
):
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        await go_on.wait()

    workflows.answer = lambda delivery: None if delivery.event["id"] == "3" else slow()
    async with running(url, {"workflow": workflows}) as router:
        await router.put_subscription(subscription("s", max_in_flight=at_a_time))
        await router.publish("c", [event("1"), event("2")])
        await workflows.until(2)
        due = router._store.due

        async def waits(*args, **given):
            found = await due(*args, **given)
            if not asked.is_set():
                asked.set()
                await eventually(lambda: not router._deliverer._in_flight)
            return found

        monkeypatch.setattr(router._store, "due", waits)
        await router.publish("c", [event("3")])
        await eventually(lambda: asked.is_set() or len(workflows.got) == 3)
        go_on.set()
        assert await workflows.until(3) == [*"123"]
