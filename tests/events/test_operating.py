"""What an operator sees of a router: whether it works, and what it could not deliver."""

from __future__ import annotations

import time

import pytest

from tests.events.conftest import event, eventually, quiet, running, subscription
from workflow_engine.errors import Unavailable
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.events.subscriptions import RetryPolicy
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


def test_the_wait_between_attempts_has_an_end_however_fast_it_grows():
    policy = RetryPolicy.from_json({"max_attempts": None, "factor": 1e9, "max_delay": 60, "jitter": False})
    assert [policy.delay(attempt) for attempt in (1, 2, 60, 5000)] == [1.0, 60, 60, 60]
    at_once = RetryPolicy.from_json({"initial": 0, "factor": 1e9, "jitter": False})
    assert at_once.delay(500) == 0
