"""A bug of the engine parks a run: it is not over, who looks for it finds it, and a fixed worker goes on with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.running import TemporalRunner, temporal_runner
from tests.standins import httpbin
from tests.standins.broken_worker import break_it
from tests.standins.server import ServerThread
from workflow_engine import dsl
from workflow_engine.api.metrics import Metrics
from workflow_engine.cli.runs import description
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import RunQuery
from workflow_engine.errors import Unavailable
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = pytest.mark.temporal
QUICK = timedelta(seconds=1)
"""How long a failed workflow task is left alone before it is tried again."""

CALLING = """
document: {{dsl: '1.0.3', namespace: test, name: calling, version: '1.0.0'}}
do:
  - before: {{call: http, with: {{method: post, endpoint: '{url}/anything/before'}}, output: {{as: {{n: 1}}}}}}
  - around:
      do:
        - broken: {{set: {{n: '${{ .n + 1 }}'}}}}
  - after: {{call: http, with: {{method: post, endpoint: '{url}/anything/after'}}, output: {{as: $input}}}}
"""
LISTENING = """
document: {dsl: '1.0.3', namespace: test, name: listening, version: '1.0.0'}
do:
  - both:
      fork:
        branches:
          - hear:
              do:
                - hearing: {listen: {to: {one: {with: {type: t.heard}}}, read: data}}
          - work:
              do:
                - nap: {wait: {milliseconds: 50}}
                - broken: {set: {done: true}}
"""

BROKEN = "do: [{broken: {set: {done: true}}}]"

FAULTING = """
document: {dsl: '1.0.3', namespace: test, name: faulting, version: '1.0.0'}
do:
  - caught:
      try: [{bad: {set: '${ error("no") }'}}]
      catch: {as: e, do: [{fine: {set: {was: '${ $e.type | split("/") | last }'}}}]}
  - ends:
      raise: {error: {type: https://example.com/spent, status: 418, detail: '${ "after " + .was }'}}
"""


async def started(runner: TemporalRunner, text: str) -> str:
    """Start a run whose failed workflow tasks are tried again soon."""
    bundle = Bundle.of(dsl.parse(text), {})
    name = bundle.graph().name
    run_id = f"{name.name}-{uuid.uuid4()}"
    await runner.client.start_workflow(
        name.name, args=[{}, bundle], id=run_id, task_queue=runner.queue, task_timeout=QUICK
    )
    return run_id


async def parked(runtime: TemporalRuntime, run_id: str) -> Any:
    async with asyncio.timeout(20):
        while True:
            run = await runtime.describe(run_id)
            if run.parked is not None:
                return run
            assert not run.ended
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def broken_worker(address: str, queue: str, folder: Path) -> AsyncIterator[Path]:
    """A worker process with the bug; its log."""
    log, ready = folder / "log", folder / "ready"
    command = [sys.executable, "-m", "tests.standins.broken_worker", "worker", "--temporal-address", address]
    command += ["--task-queue", queue, "--api-url", "http://127.0.0.1:9", "--ready-file", str(ready)]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stderr=output, env={**os.environ, "WFE_DATA": str(folder)}
        )
        try:
            async with asyncio.timeout(30):
                while not ready.exists():  # noqa: ASYNC110 - written by another process
                    await asyncio.sleep(0.05)
            yield log
        finally:
            process.terminate()
            await process.wait()


@contextlib.asynccontextmanager
async def without_worker(address: str) -> AsyncIterator[TemporalRunner]:
    """A queue that nobody serves yet."""
    from workflow_engine.runtimes.temporal.connection import connect

    client = await connect(address, "default")
    yield TemporalRunner(client, f"test-{uuid.uuid4()}", None, None)  # type: ignore[arg-type]


async def test_a_run_parked_by_a_bug_goes_on_after_a_fixed_worker_starts(
    temporal_address: str, tmp_path: Path, internet: Any
) -> None:
    with ServerThread(httpbin.app()) as server:
        async with without_worker(temporal_address) as runner:
            runtime = TemporalRuntime(runner.client, runner.queue, search_attributes=False)
            async with broken_worker(temporal_address, runner.queue, tmp_path) as log:
                run_id = await started(runner, CALLING.format(url=server.url))
                run = await parked(runtime, run_id)
                while (later := await parked(runtime, run_id)).parked.attempts < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert run.status == "running"
            assert run.parked.exception == "KeyError: 'what to do'"
            assert run.parked.state == "/do/1/around/do/0/broken"
            assert "in broken" in run.parked.trace
            told = "\n".join(description(run.to_json()))
            assert "status    running, parked" in told
            assert "parked    KeyError: 'what to do'  (/do/1/around/do/0/broken)" in told
            assert later.parked.exception == run.parked.exception
            assert log.read_text().count("parked by a bug: at /do/1/around/do/0/broken: KeyError") == 1
            assert log.read_text().count("Failing workflow task") == 0

            async with asyncio.timeout(20):  # lists are a moment behind
                while not (found := await runtime.list(RunQuery(parked=True))).runs:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert [(each.id, each.parked.state) for each in found.runs if each.parked] == [
                (run_id, "/do/1/around/do/0/broken")
            ]
            assert [bool(each.parked) for each in (await runtime.list(RunQuery())).runs] == [True]
            assert await runtime.parked() == 1
            assert "wfe_runs_parked 1" in Metrics().render(parked=await runtime.parked())

        async with temporal_runner(temporal_address, internet, queue=runner.queue):
            ended = await runtime.wait(run_id, 30)
        assert (ended.status, ended.output) == ("completed", {"n": 2})
        assert ended.parked is None
        assert [request.target for request in server.requests] == ["/anything/before", "/anything/after"]
        async with asyncio.timeout(10):  # lists are a moment behind
            while (await runtime.list(RunQuery(parked=True))).runs:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_parked_run_still_hears_the_events_that_it_waits_for(
    temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "_act", Run._act)
    async with temporal_runner(temporal_address, internet) as runner:
        break_it()
        run_id = await started(runner, LISTENING)
        await parked(runner.runtime, run_id)
        assert [listener["run_id"] for listener in runner.router.listeners()] == [run_id]
        await runner.router.publish(
            "default", [{"specversion": "1.0", "id": run_id, "source": "t", "type": "t.heard", "data": 7}]
        )
        monkeypatch.undo()
        run = await runner.runtime.wait(run_id, 30)
        assert (run.status, run.output) == ("completed", [[7], {"done": True}])
        assert runner.router.listeners() == []


async def test_a_bug_parks_a_run_also_where_it_raises_what_others_end_runs_by(
    temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "_act", Run._act)
    async with temporal_runner(temporal_address, internet) as runner:
        break_it(TimeoutError("none of ours"))
        run_id = await started(
            runner, "document: {dsl: '1.0.3', namespace: t, name: t, version: '1.0.0'}\n" + BROKEN
        )
        run = await parked(runner.runtime, run_id)
        assert run.parked.exception == "TimeoutError: none of ours"
        monkeypatch.undo()
        assert (await runner.runtime.wait(run_id, 30)).output == {"done": True}


async def test_a_fault_ends_the_run_as_the_document_says_and_parks_nothing(
    temporal_address: str, internet: Any
) -> None:
    async with temporal_runner(temporal_address, internet) as runner:
        ended = await runner(FAULTING)
        run = await runner.runtime.describe(ended.run_id)
        assert run.parked is None
        assert await runner.runtime.parked() == 0
    assert ended.status == "faulted"
    assert ended.error is not None
    assert (ended.error["type"], ended.error["instance"]) == ("https://example.com/spent", "/do/1/ends")
    assert ended.error["detail"] == "after expression"


async def test_a_server_that_cannot_tell_which_runs_are_parked_is_named(temporal_address: str) -> None:
    async with without_worker(temporal_address) as runner:
        runtime = TemporalRuntime(runner.client, runner.queue, search_attributes=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("workflow_engine.runtimes.temporal.parked.FAILING", "NoSuchAttribute = 'x'")
            with pytest.raises(Unavailable, match="does not tell which runs are parked"):
                await runtime.parked()
