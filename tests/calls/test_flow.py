"""Room for bytes: who comes first goes first, what is too large goes alone, who has some is given more."""

from __future__ import annotations

import asyncio

import pytest

from workflow_engine.calls import flow
from workflow_engine.calls.flow import Flow, Share
from workflow_engine.errors import Unavailable


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_request_waits_for_its_first_value_and_not_for_those_after_it() -> None:
    room = Flow(100)
    one, other = Share(room), Share(room)
    await one.take(80)
    await one.take(80)
    waiting = asyncio.create_task(other.take(30))
    await settled()
    assert not waiting.done()
    one.leave()
    await waiting
    await one.take(1000)  # it has been answered: whoever still reads for it takes nothing
    third = Share(room)
    await third.take(70)


async def test_what_is_larger_than_all_room_goes_alone() -> None:
    room = Flow(100)
    one, other = Share(room), Share(room)
    await one.take(500)
    waiting = asyncio.create_task(other.take(1))
    await settled()
    assert not waiting.done()
    one.leave()
    await waiting


async def test_a_request_that_finds_no_room_is_told_and_leaves_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flow, "PATIENCE", 0.05)
    room = Flow(100)
    one, other = Share(room), Share(room)
    await one.take(80)
    with pytest.raises(Unavailable, match="ask again later"):
        await other.take(50)
    other.leave()
    await Share(room).take(20)
    one.leave()
    await Share(room).take(80)


async def test_who_gives_up_in_the_moment_in_which_there_is_room_hinders_nobody() -> None:
    room = Flow(100)
    await room.enter(80)
    gives_up, waits = [asyncio.create_task(room.enter(50)) for _ in range(2)]
    await settled()
    gives_up.cancel()
    room.leave(80)
    with pytest.raises(asyncio.CancelledError):
        await gives_up
    await waits
    room.leave(50)
    await room.enter(100)
