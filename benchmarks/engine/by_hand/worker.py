"""A worker of the hand-written workflows, with the SDK's defaults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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


@asynccontextmanager
async def at_work(client: Client, queue: str, services: str, sandbox: bool) -> AsyncIterator[None]:
    """Work until the block ends. Without *sandbox*, it is the one thing that is not as the SDK ships it."""
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
            yield
