"""The clock of the local runtime beside tasks that only compute."""

from __future__ import annotations

import asyncio

from workflow_engine.runtimes.scheduler import Scheduler


async def test_a_call_that_is_over_is_heard_of_beside_a_task_that_computes_without_end():
    scheduler = Scheduler()

    async def computes() -> str:
        while True:
            await scheduler.breathe(0.0)

    async def calls() -> str:
        return await scheduler.real(asyncio.sleep(0.001, "answered"))

    joined = scheduler.join([computes, calls], need=1, tolerant=False)
    assert await asyncio.wait_for(scheduler.drive(joined), 30) == {1: "answered"}


async def test_who_sleeps_is_woken_when_others_have_computed_for_so_long():
    scheduler = Scheduler()
    woken: list[str] = []

    async def sleeps(name: str, seconds: float) -> None:
        await scheduler.sleep(seconds)
        woken.append(name)

    async def computes() -> None:
        began = scheduler.now()
        for _ in range(3):
            await scheduler.breathe(0.5)
        woken.append(f"computed for {(scheduler.now() - began).total_seconds():g} s")

    tasks = [lambda: sleeps("long", 9), lambda: sleeps("short", 0.7), computes]
    await scheduler.drive(scheduler.join(tasks, need=3, tolerant=False))
    assert woken == ["short", "computed for 1 s", "long"]
