"""A process of the router that hears, and is to be killed.

``python -m tests.brokers.hearer STORE PROTOCOL PORT ADDRESS MORE`` writes a line once it hears, and goes on.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import catalog
from tests.brokers.documents import BASE, asyncapi
from tests.events.conftest import eventually
from workflow_engine.calls import Egress
from workflow_engine.calls.brokers.hearing import Hearings
from workflow_engine.calls.resolution import Resolution
from workflow_engine.calls.secrets import NO_SECRETS
from workflow_engine.errors import NotFound
from workflow_engine.events.broker_sources import BrokerSource
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.values import JsonObject

CHANNEL = "heard"


@asynccontextmanager
async def hearing(
    store: str, protocol: str, port: int, address: str, more: str = "{}", **source: Any
) -> AsyncIterator[Router]:
    """A router in this process that hears notes, as *more* of the document and of the *source* say."""
    async with AsyncExitStack() as stack:
        router = Router(open_store(store), targets={})
        await router.start()
        stack.push_async_callback(router.stop)
        specs = catalog.Catalog(await catalog.open_store("memory:"))
        document = asyncapi(protocol, f"127.0.0.1:{port}", address=address, **json.loads(more))
        await specs.add("notes", json.dumps(document))
        egress = await stack.enter_async_context(Egress())
        hearings = Hearings(router, egress, NO_SECRETS, Resolution(specs, egress))
        await hearings.start()
        stack.push_async_callback(hearings.stop)
        made = await hearings.put(BrokerSource("notes", f"{BASE}#noted", channel=CHANNEL, **source))

        async def hears() -> bool:
            return (await hearings.told(made))["state"] == "hearing"

        await eventually(hears)
        yield router


@asynccontextmanager
async def killed_at_the_end(*arguments: object) -> AsyncIterator[None]:
    """Another process that hears by now; the end of the block kills it."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.brokers.hearer", *map(str, arguments),
        cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert program.stdout is not None
    try:
        assert await program.stdout.readline() == b"hears\n"
        yield
    finally:
        program.kill()
        await program.wait()


async def heard(router: Router, count: int, channel: str = CHANNEL) -> list[JsonObject]:
    """The events of the channel, oldest first, once there are so many."""
    found: list[JsonObject] = []

    async def enough() -> bool:
        try:
            page = await router.events(channel=channel, limit=1000)
        except NotFound:
            return False
        found[:] = [stored["event"] for stored in reversed(page.events)]
        return len(found) >= count

    await eventually(enough)
    return found


async def told(router: Router, wanted: Callable[[JsonObject], object]) -> JsonObject:
    """How the source is, once that is as *wanted*."""
    found: JsonObject = {}

    async def is_so() -> object:
        found.update(await router.source_note("notes"))
        return wanted(found)

    await eventually(is_so)
    return found


async def notes(router: Router) -> list[int]:
    """The numbers of the notes in the channel, oldest first."""
    found: list[int] = []
    cursor = None
    while True:
        page = await router.events(channel=CHANNEL, limit=1000, cursor=cursor)
        found += [stored["event"]["data"]["n"] for stored in page.events]
        if (cursor := page.cursor) is None:
            return found[::-1]


async def main(store: str, protocol: str, port: str, address: str, more: str) -> None:
    async with hearing(store, protocol, int(port), address, more):
        print("hears", flush=True)
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
