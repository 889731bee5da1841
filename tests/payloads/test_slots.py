"""Large tasks that wait for room leave the slots of a worker to small ones."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from temporalio.worker import SlotPermit

from tests.running import temporal_runner
from tests.semantics.v1.documents import workflow
from tests.standins.internet import Internet
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal import admission, slots
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.slots import Slots
from workflow_engine.runtimes.temporal.weights import WEIGHTS

ANY: Any = None


async def test_a_task_that_waits_gives_its_slot_to_another_until_it_goes_on() -> None:
    made = Slots(2)
    assert [made.try_reserve_slot(ANY) is None for _ in range(3)] == [False, False, True]
    third = asyncio.create_task(made.reserve_slot(ANY))
    await asyncio.sleep(0)
    with made.aside():
        assert isinstance(await third, SlotPermit)
        assert made.try_reserve_slot(ANY) is None
    fourth = asyncio.create_task(made.reserve_slot(ANY))
    await asyncio.to_thread(made.release_slot, ANY)  # as the SDK does
    await asyncio.sleep(0.05)
    assert not fourth.done()  # three had one, and now there are two
    await asyncio.to_thread(made.release_slot, ANY)
    assert isinstance(await asyncio.wait_for(fourth, 5), SlotPermit)


async def test_not_all_may_wait_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "MOST_ASIDE", 1)
    made = Slots(1)
    with made.aside(), made.aside():
        assert [made.try_reserve_slot(ANY) is None for _ in range(3)] == [False, False, True]


@pytest.mark.temporal
@pytest.mark.timeout(300)
async def test_small_runs_go_on_while_more_large_ones_wait_than_a_worker_has_slots(
    temporal_address: str, internet: Internet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "MOST", 10)
    monkeypatch.setattr(WEIGHTS, "most", 1_000_000)
    whole, inside, ends = admission._whole, list[str](), asyncio.Event()

    async def held(handle: Any, act: Any) -> None:
        inside.append(act.run_id)
        await ends.wait()
        await whole(handle, act)

    monkeypatch.setattr(admission, "_whole", held)
    bundle = Bundle.of(dsl.parse(workflow("do: [{a: {set: {n: '${ .given | length }'}}}]")), {})
    async with (
        open_payloads(store=tmp_path.as_uri()) as payloads,
        temporal_runner(temporal_address, internet, payloads=payloads) as runner,
    ):

        async def start(size: int) -> str:
            id = f"slots-{uuid.uuid4()}"
            await runner.runtime.start(Start(id, bundle.graph().name, bundle, {"given": "x" * size}))
            return id

        large = await asyncio.gather(*(start(300_000 + number) for number in range(14)))
        async with asyncio.timeout(10):
            while not inside:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        try:
            small = [await start(number) for number in range(5)]
            outputs = [(await runner.runtime.wait(id, 6)).output for id in small]
        finally:
            ends.set()
        assert outputs == [{"n": number} for number in range(5)]
        # Those that were given back are tried again after ever longer.
        outputs = [
            ended.output for ended in await asyncio.gather(*(runner.runtime.wait(id, 200) for id in large))
        ]
        assert outputs == [{"n": 300_000 + number} for number in range(14)]
