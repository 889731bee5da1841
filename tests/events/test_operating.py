"""What an operator sees of a router: whether it works, and what it could not deliver."""

from __future__ import annotations

import pytest

from tests.events.conftest import event, quiet, running, subscription
from workflow_engine.errors import Unavailable
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
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
