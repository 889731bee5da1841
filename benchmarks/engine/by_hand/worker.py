"""A worker of the hand-written workflows: ``python -m benchmarks.engine.by_hand.worker``, with the SDK's defaults."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

import aiohttp
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from benchmarks.engine.by_hand.activities import Services
from benchmarks.engine.by_hand.external_call import ExternalCall
from benchmarks.engine.by_hand.large_json import LargeJson
from benchmarks.engine.by_hand.order import OrderWorkflow
from benchmarks.engine.by_hand.tasks import Steps20, Steps50, Steps100
from benchmarks.engine.by_hand.ten_calls import TenCalls

WORKFLOWS = [OrderWorkflow, Steps20, Steps50, Steps100, LargeJson, ExternalCall, TenCalls]


async def main(address: str, queue: str, services: str, ready: Path, *, sandbox: bool) -> None:
    """Work until SIGTERM. Without *sandbox*, it is the one thing that is not as the SDK ships it."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(address)
    runner: WorkflowRunner = SandboxedWorkflowRunner() if sandbox else UnsandboxedWorkflowRunner()
    async with aiohttp.ClientSession() as session:
        calls = Services(session, services)
        async with Worker(
            client,
            task_queue=queue,
            workflows=WORKFLOWS,
            activities=[calls.reserve, calls.charge, calls.assess],
            workflow_runner=runner,
        ):
            await asyncio.to_thread(ready.touch)
            await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--services", required=True)
    parser.add_argument("--ready-file", type=Path, required=True)
    parser.add_argument("--unsandboxed", action="store_true")
    given = parser.parse_args()
    asyncio.run(
        main(given.address, given.queue, given.services, given.ready_file, sandbox=not given.unsandboxed)
    )
