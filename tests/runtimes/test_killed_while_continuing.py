"""A worker that is killed while a run goes on in a new history loses nothing of it.

    WFE_SIZE=full .venv/bin/python -m pytest -n 0 tests/runtimes/test_killed_while_continuing.py

kills it twenty times. Temporal notices after ten seconds that a worker was killed, so that this takes minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import uuid
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client, WorkflowHistory

from tests.semantics.v1.documents import workflow
from tests.test_replay import replayer
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

FULL = os.environ.get("WFE_SIZE") == "full"
KILLS = int(os.environ.get("WFE_KILLS", "20"))
ROUNDS = 30 * KILLS
SEED = 20261126
pytestmark = [
    pytest.mark.temporal,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not FULL, reason="takes minutes: WFE_SIZE=full"),
]

LOOPS = """
do:
  - all:
      fork:
        branches:
          - ticks:
              for: {in: '[range(.rounds)]'}
              do:
                - add: {set: {n: '${ (.n // 0) + $item }', rounds: 0}}
                - tick: {wait: PT0.02S}
          - tocks:
              for: {in: '[range(.rounds)]'}
              do:
                - guarded:
                    try: [{no: {raise: {error: {type: 'https://e.example/x', status: 503}}}}]
                    catch:
                      retry: {delay: PT0.01S, limit: {attempt: {count: 1}}}
                      do: [{yes: {set: {m: '${ (.m // 0) + 1 }'}}}]
          - slow: {do: [{pause: {wait: PT2S}}, {late: {set: {late: true}}}]}
"""


@contextlib.asynccontextmanager
async def working(address: str, queue: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process of its own, which is killed in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.standins.lone_worker", address, queue),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield process
    finally:
        process.kill()
        await process.wait()


async def chain(client: Client, run_id: str) -> list[WorkflowHistory]:
    """The histories of a run, the first one first."""
    found: list[WorkflowHistory] = []
    description = await client.get_workflow_handle(run_id).describe()
    execution: str | None = description.raw_description.workflow_execution_info.first_run_id
    while execution:
        history = await client.get_workflow_handle(run_id, run_id=execution).fetch_history()
        found.append(history)
        attributes = history.events[-1].workflow_execution_continued_as_new_event_attributes
        execution = attributes.new_execution_run_id
    return found


async def test_a_run_survives_its_worker_wherever_it_goes_on(temporal_address: str) -> None:
    queue, run_id = f"killed-{uuid.uuid4()}", f"killed-{uuid.uuid4()}"
    client = await connect(temporal_address, "default")
    runtime = TemporalRuntime(client, queue, search_attributes=False, limits=Limits(events=15))
    bundle = Bundle.of(dsl.parse(workflow(LOOPS)), {})
    await runtime.start(Start(run_id, bundle.graph().name, bundle, {"rounds": ROUNDS}))
    moments = random.Random(SEED)
    for _ in range(KILLS):
        async with working(temporal_address, queue):
            await asyncio.sleep(moments.uniform(0.3, 1.5))
    async with working(temporal_address, queue):
        ended = await runtime.wait(run_id, 1500)
    total = ROUNDS * (ROUNDS - 1) // 2
    assert (ended.status, ended.error) == ("completed", None)
    assert ended.output == [{"n": total, "rounds": 0}, {"m": ROUNDS}, {"late": True}]
    histories = await chain(client, run_id)
    assert len(histories) > 3
    for history in histories:
        await replayer().replay_workflow(history)
