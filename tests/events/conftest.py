"""A router over each store, and a target that remembers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.events.samples import all_of, event, every
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.events.subscriptions import RetryPolicy, Subscription
from workflow_engine.events.targets import Delivered, Delivery
from workflow_engine.values import JsonObject

__all__ = ["all_of", "event", "every"]

QUICK = RetryPolicy(max_attempts=3, initial=0.001, jitter=False)


def subscription(id: str = "s", strategy: JsonObject | None = None, **changes) -> Subscription:
    given = {"channel": "c", "target": {"kind": "workflow"}, "retry": QUICK} | changes
    return Subscription(id, strategy=strategy or every(), **given)


class Recorder:
    """A target that keeps what it gets, and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[Delivery] = []
        self.answer: Callable[[Delivery], object] = lambda _: None
        self._news = asyncio.Event()

    async def deliver(self, delivery: Delivery) -> Delivered:
        self.got.append(delivery)
        self._news.set()
        answer = self.answer(delivery)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Delivered) else Delivered(reference=f"ran {delivery.event['id']}")

    def ids(self) -> list[str]:
        return [delivery.event["id"] for delivery in self.got]

    async def until(self, count: int) -> list[str]:
        """The ids once there are *count* deliveries; more than that is a failure."""
        while len(self.got) < count:
            self._news.clear()
            await self._news.wait()
        assert len(self.got) == count
        return self.ids()


async def eventually(question: Callable[[], object]) -> None:
    """Let the router work until the answer is true; the timeout of the test is the limit."""
    while True:
        answer = question()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return
        await asyncio.sleep(0.002)


async def quiet(router: Router) -> None:
    """Wait until everything published is dispatched, caught up with and delivered."""

    async def still() -> bool:
        lag = sum(channel["lag"] + channel["catching_up"] for channel in await router.channels())
        return not lag and not await router._store.backlog()

    await eventually(still)


@asynccontextmanager
async def running(url: str, targets: dict[str, object], **options) -> AsyncIterator[Router]:
    router = Router(open_store(url), targets=targets, **options)
    await router.start()
    try:
        yield router
    finally:
        await router.stop(grace=1)


STORES = ["memory", "sqlite", *(["postgresql", "nats"] if os.environ.get("WFE_SIZE") == "full" else [])]
"""With ``WFE_SIZE=full`` in PostgreSQL and NATS too, which takes half a minute each."""


@pytest.fixture(params=STORES)
def url(request, tmp_path):
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql_schema")
    if request.param == "nats":
        return request.getfixturevalue("nats_url")
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/e.db?synchronous=normal"


@pytest.fixture
def disk(tmp_path):
    """The URL of a store that outlives its router."""
    return f"sqlite:///{tmp_path}/e.db?synchronous=normal"


@pytest.fixture
def workflows():
    return Recorder()


@pytest.fixture
def runs():
    return Recorder()


@pytest.fixture
async def router(url, workflows, runs):
    async with running(url, {"workflow": workflows, "run": runs}) as router:
        yield router
