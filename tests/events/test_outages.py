"""A store that fails now and then, and what a listener's bug may do."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from tests.events.conftest import Recorder, all_of, event, eventually, every, quiet, subscription
from workflow_engine.errors import Unavailable
from workflow_engine.events.ports import Events
from workflow_engine.events.router import Router
from workflow_engine.events.spi import Fenced
from workflow_engine.events.stores.memory import MemoryStore
from workflow_engine.events.targets import Retry


class Failing(MemoryStore):
    """Raises before it does anything, as often as the dice say, in the methods that the router's own tasks call."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._dice = random.Random(seed)
        self.failing = False

    def _throw(self, error: type[Exception] = Unavailable) -> None:
        if self.failing and self._dice.random() < 0.1:
            raise error("the dice said so")

    async def commit(self, held, offsets, **rest):
        self._throw()
        self._throw(Fenced)
        await super().commit(held, offsets, **rest)

    async def read(self, *args, **options):
        self._throw()
        return await super().read(*args, **options)

    async def due(self, *args, **options):
        self._throw()
        return await super().due(*args, **options)

    async def next_due(self, *args):
        self._throw()
        return await super().next_due(*args)

    async def fetch(self, *args):
        self._throw()
        return await super().fetch(*args)

    async def settle(self, *args, **options):
        self._throw()
        return await super().settle(*args, **options)


@pytest.mark.parametrize("seed", range(3))
async def test_the_router_goes_on_when_its_store_comes_back(seed):
    workflows, runs, store = Recorder(), Recorder(), Failing(seed)
    workflows.answer = lambda d: Retry(after=0) if d.attempt == 1 else None
    router = Router(store, targets={"workflow": workflows, "run": runs}, partitions=2)
    await router.start()
    await router.publish("c", [event(str(n), "ab"[n % 2], subject=str(n % 5)) for n in range(150)])
    await router.put_subscription(subscription("pairs", all_of("a", "b")))
    await router.listen(
        "r", "l", every() | {"open": True}, since=datetime(2020, 1, 1, tzinfo=UTC), channel="c"
    )
    store.failing = True
    while True:
        try:
            await router.put_subscription(subscription("each", start="earliest"))
            break
        except (Unavailable, Fenced):
            continue
    await router.publish("c", [event(str(n), "ab"[n % 2], subject=str(n % 5)) for n in range(150, 200)])
    await quiet(router)
    store.failing = False
    await quiet(router)
    await router.stop()
    assert {d.event["id"] for d in workflows.got if d.subscription == "each"} == {str(n) for n in range(200)}
    pairs = {d.id: [e["id"] for e in d.events] for d in workflows.got if d.subscription == "pairs"}
    assert pairs
    assert len({id for pair in pairs.values() for id in pair}) == 2 * len(pairs)
    heard = {d.listening.seq: d.event["id"] for d in runs.got}
    assert list(heard) == list(range(200))
    assert sorted(heard.values(), key=int) == [str(n) for n in range(200)]


async def test_an_event_that_breaks_a_listener_does_not_stop_the_channel(router, workflows):
    deep = {"x": None}
    for _ in range(230):
        deep = {"x": deep}
    strategy = {"mode": "one", "filters": [{"attributes": {"data": {"equals": deep}}}]}
    await router.put_subscription(subscription("deep", strategy))
    await router.put_subscription(subscription("fine"))
    await router.publish("c", [event("1", data=deep), event("2")])
    await quiet(router)
    assert [d.event["id"] for d in workflows.got if d.subscription == "fine"] == ["1", "2"]


async def test_the_router_is_what_workers_ask_of_it(router):
    port: Events = router
    assert (await port.publish("c", [event("1")]))[0].to_json() == {
        "id": "1",
        "position": "0:0",
        "duplicate": False,
    }


async def test_events_are_kept_for_as_long_as_is_said(workflows):
    now = 1_800_000_000.0
    store = MemoryStore()
    router = Router(store, targets={"workflow": workflows}, retention=1.0, clock=lambda: now)
    await router.start()
    await router.publish("c", [event("1")])
    now += 60
    await router.publish("c", [event("2")])
    await eventually(lambda: store._channels["c"].logs[0].first == 1)
    assert [found["event"]["id"] for found in (await router.events("c")).events] == ["2"]
    await router.stop()
