"""`wfe api --api-worker`, told to stop while a call goes on that it makes within a workflow task."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cli.command import WFE, environment
from tests.running import temporal_runner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_inline import HEADER, scheduled
from tests.runtimes.test_inline_surroundings import row
from workflow_engine.processes.ports import free_ports

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(180)]
PATIENCE = 60.0


@contextmanager
def api(folder: Path, address: str, queue: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [*WFE, "api", "--api-worker", "--port", str(port), "--data", str(folder / "data")]
    command += ["--temporal-address", address, "--task-queue", queue]
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment(), start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


async def ready(url: str) -> None:
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)


async def test_it_finishes_the_call_and_another_worker_goes_on_with_the_run(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path
) -> None:
    far.held.add("a")
    queue, [port] = f"test-{uuid.uuid4()}", free_ports(1)
    url = f"http://127.0.0.1:{port}"
    async with temporal_runner(temporal_address, internet) as elsewhere:
        with api(tmp_path, temporal_address, queue, port) as process:
            await ready(url)
            async with aiohttp.ClientSession(url) as session:
                yaml = {"Content-Type": "application/yaml"}
                async with session.post(
                    "/v1/workflows", data=HEADER + row(far, "ab"), headers=yaml
                ) as answer:
                    assert answer.status == 201, await answer.text()
                async with session.post("/v1/workflows/test/inline/latest/runs", json={}) as answer:
                    assert answer.status < 300, await answer.text()
                    run_id = (await answer.json())["id"]
            await scheduled(elsewhere, run_id, 1)
            process.send_signal(signal.SIGTERM)
            log = tmp_path / "api.log"
            async with asyncio.timeout(PATIENCE):
                while "finishing 1 call" not in log.read_text():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            far.held.clear()
            assert await asyncio.to_thread(process.wait, PATIENCE) == 0
            assert "Traceback" not in log.read_text()
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        assert (await runner.runtime.wait(run_id, PATIENCE)).output == {"did": "b"}
    assert far.keys("a") == [f"{run_id}/do/0/a"]
