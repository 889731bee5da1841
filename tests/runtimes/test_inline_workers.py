"""Several workers on one queue, one of which is killed or stands still while it makes a call."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_inline import started
from tests.runtimes.test_inline_lost import begun
from tests.runtimes.test_inline_surroundings import row
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(180)]
LATEST = 90.0


@contextlib.asynccontextmanager
async def worker(address: str, queue: str) -> AsyncIterator[asyncio.subprocess.Process]:
    module = (sys.executable, "-m", "tests.standins.lone_worker", address, queue)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*module, stdin=pipe, stdout=pipe)
    try:
        assert process.stdout is not None
        assert (await process.stdout.readline()).startswith(b"ready")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def asking(address: str, net: Any, queue: str) -> AsyncIterator[TemporalRunner]:
    """Who starts runs on *queue* that works for another one."""
    async with temporal_runner(address, net) as runner:
        runner.runtime = TemporalRuntime(runner.client, queue, search_attributes=False)
        yield runner


async def test_a_worker_is_killed_while_a_workflow_task_waits_for_its_call_and_another_makes_it(
    temporal_address: str, internet: Any, far: FarSide
) -> None:
    far.held.add("a")
    queue = f"test-{uuid.uuid4()}"
    async with asking(temporal_address, internet, queue) as runner, worker(temporal_address, queue) as one:
        run_id = await started(runner, row(far, "ab"))
        async with worker(temporal_address, queue):
            await far.asked_for("a")
            one.kill()
            await one.wait()
            far.held.clear()
            assert (await runner.runtime.wait(run_id, LATEST)).output == {"did": "b"}
    assert far.keys("a") == [f"{run_id}/do/0/a"] * 2
    assert set(far.keys("b")) == {f"{run_id}/do/1/b"}


async def test_what_a_worker_gives_that_stood_still_is_not_taken_any_more(
    temporal_address: str, internet: Any, far: FarSide
) -> None:
    far.held.add("a")
    queue = f"test-{uuid.uuid4()}"
    async with asking(temporal_address, internet, queue) as runner, worker(temporal_address, queue) as one:
        run_id = await started(runner, row(far, "ab"))
        await begun(runner, run_id)
        one.send_signal(signal.SIGSTOP)
        async with worker(temporal_address, queue):
            await far.asked_for("a", 2, within=LATEST)
            one.send_signal(signal.SIGCONT)
            far.held.clear()
            assert (await runner.runtime.wait(run_id, LATEST)).output == {"did": "b"}
            await asyncio.wait_for(one.communicate(b""), LATEST)
    assert one.returncode == 0
    assert far.keys("a") == [f"{run_id}/do/0/a"] * 2
    assert set(far.keys("b")) == {f"{run_id}/do/1/b"}
