"""Large loops and forks end, with histories that stay short and a worker that stays small.

Small here; the sizes of the specification (1,000,000 pure iterations, 50,000 calls, a fork of 10,000 branches) by

    WFE_SIZE=full .venv/bin/python -m pytest -n 0 -s tests/runtimes/test_large.py
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.client import WorkflowHistoryEventFilterType

from tests.semantics.v1.documents import workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.dsl.document import Limits as DocumentLimits
from workflow_engine.engine.runtime import RunDescription, Start
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

CLOSING = WorkflowHistoryEventFilterType.CLOSE_EVENT
FULL = os.environ.get("WFE_SIZE") == "full"
LONGEST = 3 * 3600 if FULL else 120
pytestmark = [pytest.mark.temporal, pytest.mark.timeout(LONGEST + 60)]
MEMORY = 600
"""More than this, in MiB, no worker may use: it has about 150 when it starts."""


@dataclass
class Measured:
    url: str = ""
    seconds: float = 0.0
    histories: int = 0
    longest: int = 0
    calls: int = 0
    memory: int = 0
    run: RunDescription | None = None

    def __str__(self) -> str:
        return (
            f"{self.seconds:,.0f} s, {self.histories} histories of at most {self.longest:,} events, "
            f"{self.calls:,} calls, worker at most {self.memory} MiB"
        )


@asynccontextmanager
async def alone(address: str, queue: str) -> AsyncIterator[Measured]:
    """A worker in a process of its own, which is measured when it has stopped."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.standins.lone_worker", address, queue),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready = (await process.stdout.readline()).decode().split()
        measured = Measured(url=ready[1])
        yield measured
        process.stdin.close()
        calls, memory = (await process.stdout.readline()).decode().split()
        measured.calls, measured.memory = int(calls), int(memory)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def measure(address: str, text: str, input: Any, limits: Limits | None) -> Measured:
    """Run *text* on a worker of its own. ``URL`` in it is where the worker answers."""
    queue = f"large-{uuid.uuid4()}"
    client = await connect(address, "default")
    runtime = TemporalRuntime(client, queue, search_attributes=False, limits=limits)
    async with alone(address, queue) as measured:
        bounds = DocumentLimits(bytes=16 * 1024 * 1024, nodes=1_000_000, characters=16 * 1024 * 1024)
        document = dsl.parse(text.replace("URL", measured.url), limits=bounds)
        bundle = Bundle.of(document, {})
        run_id, began = f"large-{uuid.uuid4()}", time.monotonic()
        await runtime.start(Start(run_id, bundle.graph().name, bundle, input))
        measured.run = await runtime.wait(run_id, LONGEST)
        measured.seconds = time.monotonic() - began
        handle = client.get_workflow_handle(run_id)
        execution: str | None = (await handle.describe()).raw_description.workflow_execution_info.first_run_id
        while execution:
            one = client.get_workflow_handle(run_id, run_id=execution)
            described = await one.describe()
            measured.histories += 1
            measured.longest = max(measured.longest, described.history_length)
            last = [event async for event in one.fetch_history_events(event_filter_type=CLOSING)][-1]
            execution = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    print(f"\n{measured}", flush=True)
    return measured


COUNT = """
do:
  - sum:
      for: {each: row, in: '[range(.count)]'}
      do: [{cells: {for: {in: '[range(1000)]'}, do: [{add: {set: {n: '${ .n + $item }', count: 0}}}]}}]
"""


async def test_a_loop_over_pure_states(temporal_address: str) -> None:
    count = 1_000 if FULL else 20
    limits = None if FULL else Limits(states=5_000)
    measured = await measure(temporal_address, workflow(COUNT), {"count": count, "n": 0}, limits)
    assert measured.run is not None
    assert measured.run.output == {"n": count * 499_500, "count": 0}
    assert measured.histories > 2
    assert measured.longest < 10_000
    assert measured.memory < MEMORY


CALLS = """
do:
  - all:
      for: {in: '[range(.count)]'}
      do:
        - get:
            call: http
            with: {method: get, endpoint: 'URL/{item}'}
            input: {from: '{item: $item}'}
            output: {as: .n}
            export: {as: '{sum: (($context.sum // 0) + .)}'}
  - tell: {set: {sum: '${ $context.sum }'}}
"""


async def test_a_loop_of_calls(temporal_address: str) -> None:
    count = 50_000 if FULL else 60
    limits = None if FULL else Limits(events=100)
    measured = await measure(temporal_address, workflow(CALLS), {"count": count}, limits)
    assert measured.run is not None
    assert measured.run.output == {"sum": count * (count - 1) // 2}
    assert measured.calls == count
    assert measured.histories > 2
    assert measured.longest < 10_000
    assert measured.memory < MEMORY


async def test_a_fork_of_many_branches(temporal_address: str) -> None:
    count = 10_000 if FULL else 120
    limits = None if FULL else Limits(events=100)
    branches = [
        {f"b{number}": {"call": "http", "with": {"method": "get", "endpoint": f"URL/{number}"}}}
        for number in range(count)
    ]
    many = {"many": {"fork": {"branches": branches}, "output": {"as": "map(.n)"}}}
    if not FULL:
        many["many"]["metadata"] = {"parallelism": 20}
    body = json.dumps({"do": [many]})
    header = '{"document": {"dsl": "1.0.3", "namespace": "large", "name": "fork", "version": "1.0.0"}, '
    measured = await measure(temporal_address, header + body[1:], {}, limits)
    assert measured.run is not None
    assert measured.run.output == [*range(count)]
    assert measured.calls == count
    assert measured.histories > 2
    assert measured.longest < 10_000
    assert measured.memory < MEMORY
