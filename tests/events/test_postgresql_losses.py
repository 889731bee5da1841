"""A server of PostgreSQL that crashes with what it has not flushed, while the processes of the router live."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.events.conftest import Recorder, event, eventually, quiet, running, subscription
from tests.events.test_postgresql import opened
from workflow_engine.errors import Unavailable
from workflow_engine.events.spi import ChannelSpec, Fenced
from workflow_engine.events.subscriptions import RetryPolicy
from workflow_engine.events.targets import Retry
from workflow_engine.testing.event_store_fixtures import NOW, SECOND, delivery, record


@pytest.fixture
def forgetful(own_postgresql_server):
    """A server that flushes nothing by itself, so that a crash loses all that did not wait for it."""
    own_postgresql_server.stop()
    own_postgresql_server.start("wal_writer_delay=10s")
    return own_postgresql_server


async def test_dispatching_an_event_flushes_nothing_and_who_goes_on_from_what_was_lost_is_fenced(forgetful):
    async with opened(forgetful.url) as store:
        await store.ensure_channel(ChannelSpec("c"))
        held = await store.join("c", "g", "m", NOW, 100 * SECOND)
        await store.append("c", [record(str(n)) for n in range(3)])

        async def crashed():
            await asyncio.to_thread(forgetful.kill)
            await asyncio.to_thread(forgetful.start, "wal_writer_delay=10s")
            while True:
                with suppress(Unavailable):
                    return await store.committed("c", "g")

        await store.commit(held, {0: 1}, outbox=[delivery("one")], sync=False)
        assert await crashed() == {}
        assert await store.parked("g") == []
        with pytest.raises(Fenced, match="the server has not what was committed last"):
            await store.commit(held, {0: 2})
        held = await store.join("c", "g", "m", NOW, 100 * SECOND)
        await store.commit(held, {0: 3}, sync=False)
        assert await crashed() == {}
        with pytest.raises(Fenced):
            await store.commit(held, {}, state={"s": b"1"})
        assert await store.states("c", "g") == {}


async def test_an_event_whose_delivery_the_server_has_lost_is_delivered_though_nothing_else_comes(forgetful):
    target, goes = Recorder(), asyncio.Event()

    async def fails_once_the_server_is_back():
        await goes.wait()
        return Retry("dice")

    target.answer = lambda delivery: None if goes.is_set() else fails_once_the_server_is_back()
    async with running(forgetful.url, {"workflow": target}) as router:
        retry = RetryPolicy(max_attempts=None, initial=0.001, jitter=False)
        await router.put_subscription(subscription(retry=retry))
        await router.publish("c", [event("1")])
        await eventually(lambda: target.got)
        await asyncio.to_thread(forgetful.kill)
        await asyncio.to_thread(forgetful.start)
        goes.set()
        await eventually(lambda: len(target.got) > 1)
        await quiet(router)
        assert len({each.identity for each in target.got}) == 1
