"""Runs that are suspended, resumed, cancelled and looked at while they go, on Temporal."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest

from tests.running import TemporalRunner
from tests.semantics.v1.documents import event, workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import RunDescription, Start
from workflow_engine.values import Json, rfc3339

pytestmark = pytest.mark.temporal

ASKING = """
do:
  - before: {set: {n: 1}}
  - ask: {listen: {to: {one: {with: {type: go}}}}}
  - after: {set: {answer: '${ .[0] }'}}
"""


async def start(runner: TemporalRunner, body: str, input: Json = None) -> str:
    bundle = Bundle.of(dsl.parse(workflow(body)), {})
    run_id = f"control-{uuid.uuid4()}"
    assert await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, input or {}))
    return run_id


async def until(runner: TemporalRunner, run_id: str, status: str) -> RunDescription:
    """The run once it has *status*; fails after a while."""
    async with asyncio.timeout(20):
        while True:
            described = await runner.runtime.describe(run_id)
            if described.status == status:
                return described
            assert described.status not in {"completed", "faulted"}, described.error
            await asyncio.sleep(0.05)


async def go(runner: TemporalRunner) -> None:
    await runner.router.publish("default", [event("go", str(uuid.uuid4()), "gone")])


async def test_a48_a_run_that_listens_is_waiting_and_says_where(runner: TemporalRunner) -> None:
    run_id = await start(runner, ASKING)
    waiting = await until(runner, run_id, "waiting")
    assert [(state.id, state.name, state.doing) for state in waiting.states] == [
        ("/do/1/ask", "ask", "listening for go")
    ]
    await go(runner)
    assert (await runner.runtime.wait(run_id, 20)).output == {"answer": "gone"}


async def test_a_run_that_waits_says_until_when(runner: TemporalRunner) -> None:
    run_id = await start(runner, "do: [{pause: {wait: {days: 400}}}]")
    state = (await until(runner, run_id, "waiting")).states[0]
    assert state.since is not None
    ends = state.since + timedelta(days=400)
    assert (state.name, state.doing) == ("pause", f"waiting until {rfc3339(ends)}")
    await runner.runtime.terminate(run_id, "seen")


async def test_a48_a_suspended_run_does_no_further_state_until_it_is_resumed(runner: TemporalRunner) -> None:
    run_id = await start(runner, ASKING)
    await until(runner, run_id, "waiting")
    await runner.runtime.suspend(run_id)
    assert (await until(runner, run_id, "suspended")).states[0].id == "/do/1/ask"
    await go(runner)
    handle = runner.client.get_workflow_handle(run_id)
    async with asyncio.timeout(20):
        while True:
            done = [step["name"] for step in await handle.query("recent") if step["phase"] == "completed"]
            if "ask" in done:
                break
            await asyncio.sleep(0.05)
    assert (await runner.runtime.describe(run_id)).status == "suspended"
    await runner.runtime.resume(run_id)
    assert (await runner.runtime.wait(run_id, 20)).output == {"answer": "gone"}


async def test_a_run_may_be_suspended_before_it_has_done_anything(runner: TemporalRunner) -> None:
    bundle = Bundle.of(dsl.parse(workflow("do: [{a: {set: {x: 1}}}]")), {})
    run_id = f"control-{uuid.uuid4()}"
    await runner.client.start_workflow(
        "test", args=[{}, bundle], id=run_id, task_queue=runner.queue, start_signal="suspend"
    )
    await until(runner, run_id, "suspended")
    await runner.runtime.resume(run_id)
    assert (await runner.runtime.wait(run_id, 20)).output == {"x": 1}


async def test_a_cancelled_run_is_caught_by_no_try(runner: TemporalRunner) -> None:
    body = """
    do:
      - a:
          try: [{b: {wait: PT60S}}]
          catch: {retry: {limit: {attempt: {count: 5}}}, do: [{never: {set: lost}}]}
      - c: {set: lost}
    """
    run_id = await start(runner, body)
    await until(runner, run_id, "waiting")
    await runner.runtime.cancel(run_id)
    assert (await until(runner, run_id, "cancelled")).output is None


async def test_a_cancelled_run_cancels_the_workflows_that_it_waits_for(runner: TemporalRunner) -> None:
    child = workflow("do: [{a: {wait: PT60S}}]", name="child")
    runner.deployed = [Bundle.of(dsl.parse(child), {})]
    run_id = await start(runner, "do: [{a: {run: {workflow: {namespace: semantics, name: child}}}}]")
    async with asyncio.timeout(20):
        while True:
            if [step.doing for step in (await runner.runtime.describe(run_id)).states] == [
                "running semantics/child"
            ]:
                break
            await asyncio.sleep(0.05)
    await until(runner, f"{run_id}.do.0.a", "waiting")
    await runner.runtime.cancel(run_id)
    await until(runner, run_id, "cancelled")
    await until(runner, f"{run_id}.do.0.a", "cancelled")


async def test_pure_states_write_nothing_to_the_history(runner: TemporalRunner) -> None:
    body = """
    do:
      - loop: {for: {in: '[range(20)]'}, do: [{add: {set: '${ . + 1 }'}}]}
      - fork: {fork: {branches: [{a: {set: 1}}, {b: {set: 2}}]}}
      - try: {try: [{fail: {raise: {error: {type: 'https://e.example/x', status: 400}}}}], catch: {}}
      - pick: {switch: [{on: {then: continue}}]}
    """.replace("set: 1", "set: '1'").replace("set: 2", "set: '2'")
    ended = await runner(workflow(body), 0)
    assert ended.status == "completed"
    assert len(await runner.history(ended.run_id)) == 5  # started, one workflow task, completed
