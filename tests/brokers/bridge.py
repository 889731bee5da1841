"""The bridge by itself: what it takes from a broker ends up in a channel, however often its worker dies."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from workflow_engine.calls import CALLERS, CallContext, Egress
from workflow_engine.calls.context import Reception
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.values import JsonObject


class Killed(Exception):
    """The worker is gone."""


class Dies:
    """Puts events into the router, and kills who publishes after some of them: before the broker hears of it."""

    def __init__(self, router: Router, after: list[int]) -> None:
        self.router = router
        self.after = after
        self.count = 0

    async def publish(self, channel: str, events: list[JsonObject]) -> Any:
        stored = await self.router.publish(channel, events)
        self.count += 1
        if self.after and self.count >= self.after[0]:
            self.after.pop(0)
            raise Killed
        return stored


async def received(
    operation: JsonObject,
    wanted: int,
    *,
    arguments: JsonObject | None = None,
    dies_after: tuple[int, ...] = (),
    since: float | None = None,
    **egress: Any,
) -> list[Any]:
    """The messages that are in the channel once there are *wanted*, though the worker dies after some of them."""
    router = Router(open_store("memory:"), targets={})
    await router.start()
    publisher = Dies(router, list(dies_after))
    began = datetime.now(UTC).timestamp() - 60 if since is None else since
    progress: dict[str, Any] = {}
    task: asyncio.Task[Any] | None = None
    try:
        async with Egress(**egress) as way:
            while True:
                reception = Reception("received", "urn:test", began, wanted, None, progress)
                context = CallContext(
                    "run-1/do/0/hear", "run-1", "/do/0/hear", "/t/t/1", {"op": operation}, publisher, way,
                    datetime.now(UTC), reception=reception,
                )  # fmt: skip
                given = arguments or {"server": {"name": "here"}}
                task = asyncio.create_task(CALLERS["asyncapi.receive"](given, context))
                reception.leaving = True  # it dies without a word, or another one goes on
                while not task.done() and await _count(router) < wanted:
                    await asyncio.wait({task}, timeout=0.05)
                with suppress(Killed):
                    if task.done():
                        task.result()
                if await _count(router) >= wanted:
                    return [event["data"] async for event in _events(router)]
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await router.stop()


async def _events(router: Router):
    page = await router.events(channel="received", limit=1000)
    for stored in reversed(page.events):
        yield stored["event"]


async def _count(router: Router) -> int:
    try:
        return len([event async for event in _events(router)])
    except LookupError:
        return 0


async def sent(
    operation: JsonObject,
    payload: Any,
    *,
    arguments: JsonObject | None = None,
    timeout: float = 30.0,
    **egress: Any,
) -> None:
    """Publish a message, as a call does."""
    async with Egress(**egress) as way:
        context = CallContext(
            "run-1/do/0/send", "run-1", "/do/0/send", "/t/t/1", {"op": operation}, None, way, datetime.now(UTC), timeout
        )  # fmt: skip
        given = arguments or {"server": {"name": "here"}}
        await CALLERS["asyncapi"]({"message": {"payload": payload}, **given}, context)
