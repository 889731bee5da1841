"""Who hears for the sources of the router, whatever the broker is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.brokers.hearer import hearing
from tests.events.conftest import eventually
from workflow_engine.calls.brokers import hearing as hearings
from workflow_engine.calls.brokers import nats
from workflow_engine.calls.brokers.link import closed


@pytest.mark.parametrize("turns", range(4))
async def test_it_ends_though_a_broker_says_what_waits_at_that_very_moment(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """*turns* of the loop of events are between the answer and the end: who asks must not miss that it is to end."""
    asked, answered = asyncio.Event(), asyncio.Event()
    answered.set()

    async def hear(link: Any, given: Any) -> AsyncGenerator[list[Any], None]:
        async def ask() -> int:
            asked.set()
            await answered.wait()
            return 0

        given.ask = ask
        yield []
        await asyncio.sleep(3600)

    monkeypatch.setattr(nats, "hear", hear)
    monkeypatch.setattr(hearings, "TELLING", 0.001)
    async with asyncio.timeout(20), hearing("memory:", "nats", 4222, "notes"):
        answered.clear()
        asked.clear()
        await asked.wait()
        answered.set()
        for _ in range(turns):
            await asyncio.sleep(0)


async def test_of_processes_that_come_and_go_one_hears_at_a_time(
    postgresql_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one for which a source is now begins when the one that heard has left the broker, which takes its time."""
    now, most, begun = 0, 0, 0

    async def hear(link: Any, given: Any) -> AsyncGenerator[list[Any], None]:
        nonlocal now, most, begun
        now, begun = now + 1, begun + 1
        most = max(most, now)
        try:
            yield []
            await asyncio.sleep(3600)
        finally:
            await closed(asyncio.sleep(0.1))
            now -= 1

    monkeypatch.setattr(nats, "hear", hear)
    where = (postgresql_schema, "nats", 4222, "notes")
    async with hearing(*where):
        while begun < 5:
            async with hearing(*where) as other:
                if other.is_mine("source notes"):
                    await eventually(lambda before=begun: begun > before)
            await eventually(lambda: now == 1)
    assert (now, most) == (0, 1)
