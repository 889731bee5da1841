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
from pathlib import Path
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
        return f"{self.seconds:,.0f} s, {self.histories} histories of at most {self.longest:,} events"


@asynccontextmanager
async def alone(address: str, queue: str, *places: str) -> AsyncIterator[Measured]:
    """A worker in a process of its own, which is measured when it has stopped; *places* of its payloads."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.standins.lone_worker", address, queue, *places),
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
        *_, last = (
            (await process.stdout.read()).decode().strip().splitlines()
        )  # the library may have logged there too
        calls, memory = last.split()
        measured.calls, measured.memory = int(calls), int(memory)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def measure(
    address: str, text: str, input: Any, limits: Limits | None, queue: str, url: str
) -> Measured:
    """Run *text* on the worker of *queue*. ``URL`` in it is where the worker answers."""
    client = await connect(address, "default")
    runtime = TemporalRuntime(client, queue, search_attributes=False, limits=limits)
    measured = Measured()
    bounds = DocumentLimits(bytes=16 * 1024 * 1024, nodes=1_000_000, characters=16 * 1024 * 1024)
    bundle = Bundle.of(dsl.parse(text.replace("URL", url), limits=bounds), {})
    run_id, began = f"large-{uuid.uuid4()}", time.monotonic()
    await runtime.start(Start(run_id, bundle.graph().name, bundle, input))
    measured.run = await runtime.wait(run_id, LONGEST)
    measured.seconds = time.monotonic() - began
    handle = client.get_workflow_handle(run_id)
    execution: str | None = (await handle.describe()).raw_description.workflow_execution_info.first_run_id
    while execution:
        one = client.get_workflow_handle(run_id, run_id=execution)
        measured.histories += 1
        measured.longest = max(measured.longest, (await one.describe()).history_length)
        last = [event async for event in one.fetch_history_events(event_filter_type=CLOSING)][-1]
        execution = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return measured


COUNT = """
do:
  - sum:
      for: {each: row, in: '[range(.count)]'}
      do: [{cells: {for: {in: '[range(1000)]'}, do: [{add: {set: {n: '${ .n + $item }', count: 0}}}]}}]
"""


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


CALLS_MADE = 50_000 if FULL else 60
BRANCHES = 10_000 if FULL else 120


def call(number: int) -> dict[str, Any]:
    return {"call": "http", "with": {"method": "get", "endpoint": f"URL/{number}"}}


def forked() -> str:
    """A fork of many calls."""
    branches = [{f"b{number}": call(number)} for number in range(BRANCHES)]
    many: dict[str, Any] = {"fork": {"branches": branches}, "output": {"as": "map(.n)"}}
    if not FULL:
        many["metadata"] = {"parallelism": 20}
    header = {"dsl": "1.0.3", "namespace": "large", "name": "fork", "version": "1.0.0"}
    return json.dumps({"document": header, "do": [{"many": many}]})


SHAPES: dict[str, tuple[Any, Any, Limits, Any, int]] = {
    "pure": (
        workflow(COUNT),
        {"count": 1000 if FULL else 20, "n": 0},
        Limits(states=5_000),
        {"n": (1000 if FULL else 20) * 499_500, "count": 0},
        0,
    ),
    "calls": (
        workflow(CALLS),
        {"count": CALLS_MADE},
        Limits(events=100),
        {"sum": CALLS_MADE * (CALLS_MADE - 1) // 2},
        CALLS_MADE,
    ),
    "branches": (forked(), {}, Limits(events=100), [*range(BRANCHES)], BRANCHES),
}


@pytest.mark.parametrize("shapes", [[name] for name in SHAPES] if FULL else [[*SHAPES]], ids="+".join)
async def test_large_loops_and_forks_end_in_short_histories(
    temporal_address: str, shapes: list[str], tmp_path: Path
) -> None:
    """The large ones with an interim store, as `wfe dev` has it; the small ones would not go on in a new history."""
    queue = f"large-{uuid.uuid4()}"
    places = ("", "", f"sqlite:///{tmp_path}/interim.db?synchronous=normal") if FULL else ()
    async with alone(temporal_address, queue, *places) as worker:
        found = {}
        for name in shapes:
            text, input, limits, _, _ = SHAPES[name]
            bound = None if FULL else limits
            found[name] = await measure(temporal_address, text, input, bound, queue, worker.url)
    for name, measured in found.items():
        print(f"\n{name}: {measured}", flush=True)
        assert measured.run is not None
        assert (measured.run.status, measured.run.output) == ("completed", SHAPES[name][3])
        assert measured.histories > 2
        assert measured.longest < 10_000
    print(f"{worker.calls:,} calls, worker at most {worker.memory} MiB", flush=True)
    assert worker.calls == sum(SHAPES[name][4] for name in shapes)
    assert worker.memory < MEMORY
