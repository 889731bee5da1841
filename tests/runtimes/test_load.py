"""What an operator is told of workers and runs, by a real Temporal server."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from tests.running import temporal_runner
from tests.runtimes.test_parked import started, without_worker
from workflow_engine.api.metrics import Metrics
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = pytest.mark.temporal

GREET = """\
document: {dsl: '1.0.0', namespace: tests, name: greet, version: '1.0.0'}
do:
  - greeting: {set: {text: hello}}
"""
FAIL = """\
document: {dsl: '1.0.0', namespace: tests, name: fail, version: '1.0.0'}
do:
  - failing: {raise: {error: {type: 'https://example.com/e', status: 500}}}
"""


async def eventually(runtime: TemporalRuntime, fits: Any) -> Any:
    """The load once it *fits*: lists and statistics of Temporal are behind by a moment."""
    deadline = time.monotonic() + 60
    while not fits(load := await runtime.load()):
        assert time.monotonic() < deadline, load
        await asyncio.sleep(0.1)
    return load


async def test_tasks_that_no_worker_takes_are_counted_and_so_are_workers_and_how_runs_ended(
    temporal_address: str, internet: Any
) -> None:
    async with without_worker(temporal_address) as runner:
        runtime = TemporalRuntime(runner.client, runner.queue, search_attributes=False)
        for document in (GREET, FAIL):
            await started(runner, document)
        load = await eventually(runtime, lambda load: load.open == 2 and load.queues["workflow"].waiting == 2)
        assert (load.queues["workflow"].workers, load.queues["activity"].workers) == (0, 0)
        text = Metrics().render(load=load)
        assert 'wfe_workers{tasks="workflow"} 0' in text
        assert 'wfe_tasks_waiting{tasks="workflow"} 2' in text
        async with temporal_runner(temporal_address, internet, queue=runner.queue):
            ended = Counter(completed=1, faulted=1)
            await eventually(runtime, lambda load: load.open == 0 and Counter(load.ended) == ended)
            await eventually(runtime, lambda load: {each.workers for each in load.queues.values()} == {1})
