"""A process that stands by while another has the store in NATS, and goes on when that has ended."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.events.conftest import Recorder, event, eventually, quiet, running, subscription
from workflow_engine.engine import triggers
from workflow_engine.errors import Unavailable
from workflow_engine.events import standing_by
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store


async def test_who_was_taken_over_stands_by_and_has_it_back_when_the_other_ends(nats_url, monkeypatch):
    """Nothing is lost, and nothing is answered from what it knew before."""
    monkeypatch.setattr(standing_by, "EVERY", 0.05)
    targets = [Recorder(), Recorder()]
    async with running(nats_url, {"workflow": targets[0]}) as first:
        await first.put_subscription(subscription())
        await first.publish("c", [event("1")])
        await quiet(first)
        for life in range(2):
            second = Router(open_store(nats_url), targets={"workflow": targets[1]})

            async def nobody():
                return None

            with monkeypatch.context() as cut_off:
                cut_off.setattr(second._store._journal, "holder", nobody)
                await second.start()

            async def told(router=first):
                with pytest.raises(Unavailable) as raised:
                    await router.publish("c", [event("x")])
                return "is in use by process" in str(raised.value)

            await eventually(told)
            for ask in (first.check, first.channels, lambda: first.pull("s")):
                with pytest.raises(Unavailable):
                    await ask()
            with pytest.raises(Unavailable, match="stands by"):
                first.subscriptions()
            await second.publish("c", [event(f"2-{life}")])
            await quiet(second)
            await second.put_subscription(subscription(enabled=False))
            await second.publish("c", [event(f"3-{life}")])
            await second.stop()

            async def works(router=first):
                with contextlib.suppress(Unavailable):
                    await router.check()
                    return True

            await eventually(works)
            await first.put_subscription(subscription())
            await first.publish("c", [event(f"4-{life}")])
            await quiet(first)
        assert targets[0].ids() == ["1", "3-0", "4-0", "3-1", "4-1"]
        assert targets[1].ids() == ["2-0", "2-1"]


async def test_who_is_started_while_another_has_it_stands_by_and_has_it_when_that_ends(nats_url, monkeypatch):
    monkeypatch.setattr(standing_by, "EVERY", 0.05)
    first, target = Router(open_store(nats_url), targets={"workflow": Recorder()}), Recorder()
    await first.start()
    async with running(nats_url, {"workflow": target}) as second:
        restored = asyncio.Event()

        async def restore():
            await second.put_subscription(subscription())
            restored.set()

        async with triggers.restored(second, restore):
            for _ in range(2):  # before it has looked again, and after
                for ask in (second.check, lambda: second.publish("c", [event("x")]), second.channels):
                    with pytest.raises(Unavailable, match="is in use by process"):
                        await ask()
                with pytest.raises(Unavailable, match=r"this process stands by: .* is in use by process"):
                    second.subscriptions()
                await asyncio.sleep(0.2)
            assert not restored.is_set()
            await first.publish("c", [event("1")])
            await first.stop()
            await restored.wait()
            await second.publish("c", [event("2")])
            await target.until(1)
            assert [each["event"]["id"] for each in (await second.events("c")).events] == ["2", "1"]
    async with running(nats_url, {}) as third:
        waits = Router(open_store(nats_url), targets={})
        await waits.start()
        await waits.stop()
        await third.check()


async def test_a_router_that_stands_by_can_be_stopped(nats_url, monkeypatch):
    first = Router(open_store(nats_url), targets={})
    await first.start()
    second = open_store(nats_url)

    async def nobody():
        return None

    monkeypatch.setattr(second._journal, "holder", nobody)
    await second.open()
    await eventually(lambda: first._store._connection is None)
    await first.stop()
    await second.put("a", b"1")
    await second.close()
