"""One process hears a stream of NATS after another: each message is an event once, and their order is kept."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.hearer import heard, hearing, killed_at_the_end, notes
from workflow_engine.calls.brokers import nats_stream

pytest_plugins = ["tests.brokers.streams"]


def note(n: Any) -> bytes:
    return json.dumps({"n": n}).encode()


async def test_of_two_processes_one_hears_and_the_other_goes_on_when_that_ends(
    port: int, client: Any, stored: str, postgresql_schema: str
) -> None:
    where, count = (postgresql_schema, "nats", port, stored), 300
    jetstream, stream = client.jetstream(), stored.partition(".")[0]

    async def send(least: int, most: int) -> None:
        await asyncio.gather(*(jetstream.publish(stored, note(n)) for n in range(least, most)))

    async with AsyncExitStack() as first, AsyncExitStack() as second:
        lives = [first, second]
        routers = [await life.enter_async_context(hearing(*where)) for life in lives]
        owners = [router.is_mine("source notes") for router in routers]
        assert sorted(owners) == [False, True]
        await send(0, 100)
        await heard(routers[0], 100)
        (consumer,) = await jetstream.consumers_info(stream)
        assert consumer.num_waiting <= 1
        sending = asyncio.create_task(send(100, 200))
        await lives[owners.index(True)].aclose()
        await sending
        await send(200, count)
        await heard(routers[owners.index(False)], count)
        assert await notes(routers[owners.index(False)]) == [*range(count)]


async def test_a_process_that_comes_does_not_hear_before_the_one_that_heard_has_stored_what_it_was_given(
    port: int, client: Any, stored: str, postgresql_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, stores = (postgresql_schema, "nats", port, stored), asyncio.Event()

    async def send(least: int, most: int) -> None:
        for n in range(least, most):
            await client.jetstream().publish(stored, note(n))

    async with AsyncExitStack() as lives:
        first = await lives.enter_async_context(hearing(*where))
        publish, asked = first.publish, asyncio.Event()

        async def slowly(*given: Any) -> Any:
            asked.set()
            await stores.wait()
            return await publish(*given)

        monkeypatch.setattr(first, "publish", slowly)
        await send(0, 20)
        await asked.wait()
        while True:
            life = await lives.enter_async_context(AsyncExitStack())
            other = await life.enter_async_context(hearing(*where))
            if other.is_mine("source notes"):
                break
            await life.aclose()
        await send(20, 40)
        await asyncio.sleep(0.3)  # in which it would hear
        stores.set()
        await heard(other, 40)
        assert await notes(other) == [*range(40)]


async def test_what_is_new_waits_for_what_somebody_was_given_who_is_gone(
    port: int, client: Any, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the server needs longer than it should to give it again."""
    jetstream, stream = client.jetstream(), stored.partition(".")[0]
    come_again, tries = nats_stream._Before.come_again, itertools.count()

    async def later(before: Any) -> None:
        if next(tries):
            await come_again(before)

    monkeypatch.setattr(nats_stream._Before, "come_again", later)
    monkeypatch.setattr(nats_stream, "WAIT_SECONDS", 0.5)
    where = (f"sqlite:///{tmp_path / 'events.db'}", "nats", port, stored)
    async with hearing(*where):
        (consumer,) = await jetstream.consumers_info(stream)
    for n in range(5):
        await jetstream.publish(stored, note(n))
    gone = await jetstream.pull_subscribe_bind(consumer.name, stream)
    await gone.fetch(3)
    await gone.unsubscribe()
    async with hearing(*where) as router:
        await heard(router, 5)
        assert await notes(router) == [*range(5)]


async def test_a_process_that_is_killed_loses_and_doubles_no_message_of_a_stream(
    port: int, client: Any, stored: str, tmp_path: Path
) -> None:
    where = (f"sqlite:///{tmp_path / 'events.db'}", "nats", port, stored)
    jetstream, stream, count = client.jetstream(), stored.partition(".")[0], 1000

    async def send() -> None:
        for n in range(0, count, 50):
            await asyncio.gather(*(jetstream.publish(stored, note(n + m)) for m in range(50)))

    async def acknowledged(least: int) -> None:
        while (await jetstream.consumers_info(stream))[0].ack_floor.stream_seq < least:  # noqa: ASYNC110
            await asyncio.sleep(0.03)

    async with killed_at_the_end(*where, "{}"):  # the consumer is there by now
        sending = asyncio.create_task(send())
        await acknowledged(400)
    async with hearing(*where) as router:
        await sending
        await acknowledged(count)
        assert await notes(router) == list(range(count))
