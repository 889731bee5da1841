"""Who hears for the sources of the router, whatever the broker is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.brokers.hearer import hearing
from workflow_engine.calls.brokers import hearing as hearings
from workflow_engine.calls.brokers import nats


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
