"""A store in NATS whose server falls silent: what was asked of it may have been done, and is found out."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.events.conftest import Recorder, event, eventually, quiet, running, subscription
from workflow_engine.errors import Unavailable


@pytest.mark.parametrize("what", ["commit", "look", "next"])
async def test_a_delivery_whose_lease_is_in_doubt_is_made_at_once(nats_url, monkeypatch, what):
    """The server took the entry that leases it, and fell silent before it said so: as if nobody had been told."""
    target, lost, go_on = Recorder(), [], asyncio.Event()
    target.answer = lambda _: go_on.wait()
    statement = (
        b"UPDATE parked SET blocked = 0, owner" if what == "next" else b"UPDATE parked SET owner = ?, due"
    )
    monkeypatch.setattr("workflow_engine.events.stores.journal._WORTH_PACKING", 1 << 30)
    async with running(nats_url, {"workflow": target}) as router:
        await router.put_subscription(subscription(in_order=True, max_in_flight=1))
        if what == "look":
            monkeypatch.setattr(router._deliverer, "_claimable", lambda _: {})
        writing = router._store._journal.append

        async def silent(messages, after):
            last = await writing(messages, after)
            if not lost and statement in b"".join(messages):
                lost.append(last)
                raise Unavailable("silence")
            return last

        monkeypatch.setattr(router._store._journal, "append", silent)
        for n in range(4):

            async def published(id=str(n)):
                with contextlib.suppress(Unavailable):
                    return await router.publish("c", [event(id)])

            await eventually(published)

        async def all_wait():
            return sum((await router._store.backlog()).values()) == 4

        await eventually(all_wait)
        go_on.set()
        async with asyncio.timeout(20):  # a lease that is in doubt would run for minutes
            await quiet(router)
        assert lost
        assert set(target.ids()) == {"0", "1", "2", "3"}
