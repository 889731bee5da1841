"""Following runs on Temporal: what is told of each, also when no worker answers."""

from __future__ import annotations

import asyncio
import gc
import uuid
from typing import Any

import pytest

from tests.running import TemporalRunner, temporal_runner
from tests.semantics.v1.documents import event
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import RunDescription, RunQuery, Start
from workflow_engine.errors import Unavailable
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = pytest.mark.temporal
HEARS = """
document: {dsl: '1.0.3', namespace: test, name: hears, version: '1.0.0'}
do: [{hear: {listen: {to: {one: {with: {type: never}}}}}}]
"""
CALLS = """
document: {dsl: '1.0.3', namespace: test, name: parent, version: '1.0.0'}
do: [{sub: {run: {workflow: {namespace: test, name: hears, version: '1.0.0'}}}}]
"""


async def started(runtime: TemporalRuntime, text: str = HEARS) -> str:
    bundle = Bundle.of(dsl.parse(text), {})
    run_id = f"run-{uuid.uuid4()}"
    assert await runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    return run_id


async def until(runtime: TemporalRuntime, run_id: str, status: str) -> RunDescription:
    while (found := await runtime.describe(run_id)).status != status:
        assert not found.ended
        await asyncio.sleep(0.02)
    return found


async def listed(runtime: TemporalRuntime, status: str, expected: set[str]) -> Any:
    """The runs with *status*, once Temporal's list has caught up with what is *expected*."""
    while True:
        runs = (await runtime.list(RunQuery(status=status))).runs
        if {run.id for run in runs} == expected:
            return runs
        await asyncio.sleep(0.05)


async def test_waiting_and_suspended_runs_are_listed_apart(runner: TemporalRunner) -> None:
    runtime = runner.runtime
    waits, sleeps = await started(runtime), await started(runtime)
    await runtime.suspend(sleeps)
    await until(runtime, waits, "waiting")
    await until(runtime, sleeps, "suspended")
    await listed(runtime, "running", {waits, sleeps})
    [waiting] = await listed(runtime, "waiting", {waits})
    assert waiting.status == "waiting"
    assert [(state.name, state.status) for state in waiting.states] == [("hear", "waiting")]
    await listed(runtime, "suspended", {sleeps})
    assert (await runtime.list(RunQuery(status="pending"))).runs == []
    for run_id in (waits, sleeps):
        await runtime.terminate(run_id, "the test is over")
    await listed(runtime, "waiting", set())


async def test_a_run_that_no_worker_has_taken_up_is_pending(temporal_address: str) -> None:
    client = await connect(temporal_address, "default")
    runtime = TemporalRuntime(client, f"nobody-{uuid.uuid4()}", search_attributes=False)
    run_id = await started(runtime)
    found = await runtime.describe(run_id)
    assert (found.status, found.remark) == ("pending", "no worker has taken it up yet")
    await listed(runtime, "pending", {run_id})
    await runtime.terminate(run_id, "the test is over")


async def test_without_a_worker_a_run_is_told_with_a_remark_and_cannot_be_looked_at(
    temporal_address: str, internet: Any
) -> None:
    async with temporal_runner(temporal_address, internet) as runner:
        runtime = runner.runtime
        run_id = await started(runtime)
        assert (await until(runtime, run_id, "waiting")).remark is None
        await listed(runtime, "waiting", {run_id})
    gc.collect()  # what the worker has let go of, here rather than in a later test
    found = await runtime.describe(run_id)
    assert found.status == "running"
    assert found.remark is not None
    assert "no worker" in found.remark
    assert found.input == {}
    with pytest.raises(Unavailable, match="cannot be told"):
        await runtime.list(RunQuery(status="waiting"))
    await runtime.terminate(run_id, "the test is over")


async def test_a_sub_run_is_told_with_the_whole_name_of_its_workflow(runner: TemporalRunner) -> None:
    runner.deployed.append(Bundle.of(dsl.parse(HEARS), {}))
    run_id = await started(runner.runtime, CALLS)
    sub_run = f"{run_id}.do.0.sub"
    runs = await listed(runner.runtime, "running", {run_id, sub_run})
    [found] = [run.workflow for run in runs if run.id == sub_run]
    assert (found.namespace, found.name, found.version) == ("test", "hears", "1.0.0")
    await runner.runtime.terminate(run_id, "the test is over")


STAGES = """
document: {dsl: '1.0.3', namespace: test, name: stages, version: '1.0.0'}
do:
  - both:
      fork:
        branches:
          - nap: {do: [{rest: {listen: {to: {one: {with: {type: go}}}}}}, {stop: {set: done}}]}
          - call: {call: http, with: {method: get, endpoint: 'https://httpbin.org/delay/30'}}
"""


async def test_a48_a_run_and_its_tasks_have_the_status_phases_of_the_specification(
    runner: TemporalRunner,
) -> None:
    runtime = runner.runtime

    async def seen(run_id: str, expected: list[tuple[str, str]]) -> str:
        while True:
            found = await runtime.describe(run_id)
            if [(state.name, state.status) for state in found.states] == expected:
                return found.status
            assert not found.ended
            await asyncio.sleep(0.02)

    run_id = await started(runtime, STAGES)
    # One task waits while another works: the run is running.
    assert await seen(run_id, [("rest", "waiting"), ("call", "running")]) == "running"
    await runtime.suspend(run_id)
    await runner.router.publish("default", [event("go", run_id)])
    # Suspended by hand: what is under way goes on, what would come next is held up.
    assert await seen(run_id, [("stop", "suspended"), ("call", "running")]) == "suspended"
    await runtime.resume(run_id)
    assert await seen(run_id, [("call", "running")]) == "running"
    await runtime.cancel(run_id)
    assert (await until(runtime, run_id, "cancelled")).states == ()
    waits = await started(runtime)
    assert await seen(waits, [("hear", "waiting")]) == "waiting"
    await runtime.cancel(waits)
    assert (await until(runtime, waits, "cancelled")).states == ()
    ends = await started(runtime)
    await runtime.terminate(ends, "the test is over")
    await until(runtime, ends, "cancelled")
    fails = await started(runtime, HEARS.replace("do:", "timeout: {after: PT0.01S}\ndo:"))
    assert (await until(runtime, fails, "faulted")).states == ()
