"""A run that is terminated by Temporal's own means takes its sub-flows with it, and nothing else."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.running import TemporalRunner
from tests.semantics.v1.documents import workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal.orphans import Orphans

pytestmark = pytest.mark.temporal
NEVER = "{listen: {to: {one: {with: {type: never}}}}}"


def runs(name: str, more: str = "") -> str:
    return f"{{run: {{workflow: {{namespace: semantics, name: {name}, version: '1.0.0'}}{more}}}}}"


INNERMOST = workflow(f"do: [{{i: {NEVER}}}]", name="innermost")
INNER = workflow(f"do: [{{a: {runs('innermost')}}}]", name="inner")
OUTER = workflow(f"""
do:
  - free: {runs("innermost", ", await: false")}
  - f: {{fork: {{branches: [{{a: {runs("inner")}}}, {{b: {NEVER}}}]}}}}
""")


async def begun(runner: TemporalRunner, *, again: bool = False, run_id: str = "") -> tuple[str, list[str]]:
    """A run and those that it has begun: one that nobody waits for, one in a branch, and the one of that."""
    runner.deployed = [Bundle.of(dsl.parse(text), {}) for text in (INNERMOST, INNER)]
    bundle, run_id = Bundle.of(dsl.parse(OUTER), {}), run_id or f"orphans-{uuid.uuid4()}"
    assert await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, {}, again=again))
    identity = run_id
    if again:
        memo = await (await runner.client.get_workflow_handle(run_id).describe()).memo()
        identity = f"{run_id}~{memo['generation']}"
    inner = f"{identity}.do.1.f.fork.branches.0.a"
    ids = [f"{identity}.do.0.free", inner, f"{inner}.do.0.a"]
    async with asyncio.timeout(20):
        while {await status(runner, id) for id in ids} != {"waiting"}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return run_id, ids


async def status(runner: TemporalRunner, run_id: str) -> str:
    from workflow_engine.errors import NotFound

    try:
        run = await runner.runtime.describe(run_id)
    except NotFound:
        return "none"
    # The first waits for one state, those with a fork for two.
    return "waiting" if run.status in ("waiting", "running") and run.states else run.status


async def test_its_sub_flows_end_however_deep_and_those_of_others_go_on(runner: TemporalRunner) -> None:
    run_id, (free, inner, innermost) = await begun(runner)
    other, others = await begun(runner)
    events = len(await runner.history(other))
    orphans = Orphans(runner.client, runner.queue, every=0.2)
    assert await orphans.look() == []
    await runner.client.get_workflow_handle(run_id).terminate("in the UI")
    keeping = asyncio.create_task(orphans.keep())
    try:
        async with asyncio.timeout(20):
            while [await status(runner, id) for id in (inner, innermost)] != ["cancelled"] * 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        keeping.cancel()
    assert [await status(runner, id) for id in (free, other, *others)] == ["waiting"] * 5
    assert len(await runner.history(other)) == events
    description = await runner.client.get_workflow_handle(inner).describe()
    last = [event async for event in runner.client.get_workflow_handle(inner).fetch_history_events()][-1]
    assert description.status is not None
    assert "was terminated" in last.workflow_execution_terminated_event_attributes.reason
    for id in (free, other, *others):
        await runner.runtime.terminate(id, "enough")


async def test_one_that_was_begun_anew_under_its_id_keeps_its_own(runner: TemporalRunner) -> None:
    run_id, (_, old, _) = await begun(runner, again=True)
    await runner.client.get_workflow_handle(run_id).terminate("in the UI")
    await begun(runner, again=True, run_id=run_id)
    orphans = Orphans(runner.client, runner.queue)
    ended: list[str] = []
    async with asyncio.timeout(20):
        while not ended:
            ended = await orphans.look()
            await asyncio.sleep(0.1)
    assert ended == [old]
    assert await status(runner, run_id) == "waiting"
    await runner.runtime.terminate(run_id, "enough")
