"""A process that stands by while another has the store in NATS, and goes on when that has ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from tests.events.conftest import Recorder, event, eventually, quiet, running, subscription
from workflow_engine.engine import triggers
from workflow_engine.errors import Unavailable
from workflow_engine.events import standing_by
from workflow_engine.events.router import Router
from workflow_engine.events.standing_by import StandBy
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
                for ask in (second.check, lambda: second.publish("c", [event("x")])):
                    with pytest.raises(Unavailable, match=r"this process stands by: .* is in use by process"):
                        await ask()
                with pytest.raises(Unavailable, match="stands by"):
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


class Losable:
    """A store that another process can take."""

    lose: Callable[[], None]

    def when_lost(self, tell: Callable[[], None]) -> None:
        self.lose = tell


async def test_a_fault_while_it_lets_go_or_takes_up_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would stand by for ever, and say that another process has the store."""
    monkeypatch.setattr(standing_by, "EVERY", 0.01)
    store, done = Losable(), []
    faults = iter([OSError("no space left"), None, KeyError("a bug"), None, None])

    async def does(what: str) -> None:
        done.append(what)
        if (fault := next(faults)) is not None:
            raise fault

    stand_by = StandBy(store, let_go=lambda: does("let go"), take_up=lambda: does("take up"))
    try:
        stand_by.require()
        store.lose()
        with pytest.raises(Unavailable):
            stand_by.require()

        async def has() -> bool:
            try:
                stand_by.require()
            except Unavailable:
                return False
            return True

        await eventually(has)
        assert done == ["let go", "let go", "take up", "let go", "take up"]
        told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert ["no space left" in told[0], "a bug" in told[1], len(told)] == [True, True, 2]
    finally:
        await stand_by.stop()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "standing by"]
