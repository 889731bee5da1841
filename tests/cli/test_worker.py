"""`wfe worker` as real processes: several of them, told to stop while a call is under way."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cli.command import WFE, environment
from tests.standins.server import serve
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(180)]
PATIENCE = 60.0


@contextmanager
def worker(address: str, queue: str, folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `wfe worker` that is ready; what it prints is in *folder*."""
    ready = folder / f"{uuid.uuid4()}.ready"
    command = [*WFE, "worker", "--temporal-address", address, "--task-queue", queue]
    command += ["--ready-file", str(ready), *options]
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment(), start_new_session=True)
    try:
        until(ready.exists, process)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


def until(holds: Any, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert process.poll() is None, "the worker has ended"
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def started(address: str, queue: str, url: str) -> tuple[TemporalRuntime, str]:
    name = "dsl: '1.0.3', namespace: test, name: slow, version: '1.0.0'"
    text = f"document: {{{name}}}\ndo: [{{a: {{call: http, with: {{method: post, endpoint: '{url}/'}}}}}}]"
    bundle = Bundle.of(dsl.parse(text), {})
    runtime = TemporalRuntime(await connect(address, "default"), queue, search_attributes=False)
    run_id = f"slow-{uuid.uuid4()}"
    await runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    return runtime, run_id


class Slow:
    """A service whose first answer waits until it is *let_go*."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.keys: list[str | None] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("Idempotency-Key"))
        if len(self.keys) == 1:
            await self.let_go.wait()
        return web.json_response({"answer": len(self.keys)})

    async def asked(self) -> None:
        while not self.keys:  # noqa: ASYNC110 - until a request of another process is there
            await asyncio.sleep(0.02)


async def test_a_worker_that_stops_finishes_its_calls_and_ends_with_0(
    temporal_address: str, tmp_path: Path
) -> None:
    slow, queue = Slow(), f"test-{uuid.uuid4()}"
    async with serve(slow.app()) as server:
        with worker(temporal_address, queue, tmp_path) as process:
            runtime, run_id = await started(temporal_address, queue, server.url)
            await asyncio.wait_for(slow.asked(), PATIENCE)
            process.send_signal(signal.SIGTERM)
            log = tmp_path / "worker.log"
            await asyncio.to_thread(until, lambda: "finishing 1 call" in log.read_text(), process)
            slow.let_go.set()
            assert await asyncio.to_thread(process.wait, PATIENCE) == 0
        with worker(temporal_address, queue, tmp_path):
            run = await runtime.wait(run_id, PATIENCE)
    assert (run.status, run.output) == ("completed", {"answer": 1})


async def test_a_worker_that_is_told_twice_ends_at_once_and_another_makes_the_call_with_the_same_key(
    temporal_address: str, tmp_path: Path
) -> None:
    slow, queue = Slow(), f"test-{uuid.uuid4()}"
    async with serve(slow.app()) as server:
        with worker(temporal_address, queue, tmp_path, "--grace-seconds", "200") as process:
            runtime, run_id = await started(temporal_address, queue, server.url)
            await asyncio.wait_for(slow.asked(), PATIENCE)
            process.send_signal(signal.SIGTERM)
            log = tmp_path / "worker.log"
            await asyncio.to_thread(until, lambda: "finishing 1 call" in log.read_text(), process)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, PATIENCE) == 0
        with worker(temporal_address, queue, tmp_path):
            run = await runtime.wait(run_id, PATIENCE)
    assert (run.status, run.output) == ("completed", {"answer": 2})
    assert slow.keys == [f"{run_id}/do/0/a"] * 2


async def test_several_workers_are_kept_running_and_stop_as_one(
    temporal_address: str, tmp_path: Path
) -> None:
    slow, queue = Slow(), f"test-{uuid.uuid4()}"
    slow.let_go.set()
    async with serve(slow.app()) as server:
        with worker(temporal_address, queue, tmp_path, "--processes", "2") as process:
            log = tmp_path / "worker.log"
            text = log.read_text()
            assert all(f"worker-{number}" in text for number in (1, 2))
            runtime, run_id = await started(temporal_address, queue, server.url)
            run = await runtime.wait(run_id, PATIENCE)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, PATIENCE) == 0
            assert "all stopped" in log.read_text()
    assert run.status == "completed"


@pytest.mark.parametrize("number", ["0", "257", "x", "-1", "1.5"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(number: str) -> None:
    ended = subprocess.run(
        [*WFE, "worker", "--processes", number],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert ended.returncode == 2
    assert "from 1 to 256" in ended.stderr
