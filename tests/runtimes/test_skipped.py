"""States of runs under way are skipped, on Temporal: carried over, replayed, and refused where they cannot be."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from tests.running import TemporalRunner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_continuing import histories
from tests.semantics.v1.documents import workflow
from tests.semantics.v1.test_control import until
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.errors import Conflict, Rejected
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = pytest.mark.temporal
NEVER = "{listen: {to: {one: {with: {type: never}}}}}"


async def begun(runner: TemporalRunner, text: str, limits: Limits | None = None) -> str:
    runtime = TemporalRuntime(runner.client, runner.queue, search_attributes=False, limits=limits)
    bundle, run_id = Bundle.of(dsl.parse(text), {}), f"skipped-{uuid.uuid4()}"
    await runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    return run_id


async def at(runner: TemporalRunner, run_id: str, *names: str) -> None:
    async with asyncio.timeout(20):
        while [state.name for state in (await runner.runtime.describe(run_id)).states] != [*names]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_run_that_goes_on_in_new_histories_is_led_through_its_waits(
    runner: TemporalRunner, far: FarSide
) -> None:
    body = f"[{{w: {NEVER}}}, {{s: {{wait: {{hours: 1}}}}}}, {{a: {far.call('a')}}}]"
    run_id = await begun(
        runner, workflow(f"do: [{{l: {{for: {{in: '[1, 2, 3]'}}, do: {body}}}}}]"), Limits(events=10)
    )
    for number in range(3):
        await at(runner, run_id, "w")
        await runner.runtime.skip(run_id, Wish(skip=True, output={"heard": number}))
        await at(runner, run_id, "s")
        await runner.runtime.skip(run_id, Wish(skip=True))
    run = await runner.runtime.wait(run_id, 20)
    assert (run.status, run.output) == ("completed", {"did": "a"})
    assert far.bodies == [{"heard": 0}, {"heard": 1}, {"heard": 2}]
    assert len(await histories(runner, run_id)) > 1


async def test_one_that_is_skipped_while_the_run_comes_to_rest_is_left_out_in_the_next_history(
    runner: TemporalRunner, far: FarSide
) -> None:
    """A call in the other branch holds up the new history; the skipped sub-flow goes on in between."""
    far.held = {"a"}
    inner = workflow(f"do: [{{i: {NEVER}}}]", name="inner")
    runner.deployed = [Bundle.of(dsl.parse(inner), {})]
    runs = "{run: {workflow: {namespace: semantics, name: inner}}}"
    fork = f"{{fork: {{branches: [{{x: {{do: [{{r: {runs}}}, {{b: {far.call('b')}}}]}}}}, {{y: {far.call('a')}}}]}}}}"
    run_id = await begun(runner, workflow(f"do: [{{both: {fork}}}]"))
    await at(runner, run_id, "r", "y")
    await far.asked_for("a")
    handle = runner.client.get_workflow_handle(run_id)
    bundle = Bundle.of(dsl.parse(workflow(f"do: [{{both: {fork}}}]").replace("'1.0.0'", "'2.0.0'")), {})
    await handle.signal("migrate", args=[bundle, {}])
    await runner.runtime.skip(run_id, Wish("/do/0/both/fork/branches/0/x/do/0/r", skip=True, output={"n": 1}))
    far.held = set()
    run = await runner.runtime.wait(run_id, 20)
    assert run.output == [{"did": "b"}, {"did": "a"}]
    assert run.workflow is not None
    assert run.workflow.version == "2.0.0"
    assert {"n": 1} in far.bodies
    assert (
        await runner.runtime.wait(f"{run_id}.do.0.both.fork.branches.0.x.do.0.r", 20)
    ).status == "cancelled"
    assert len(await histories(runner, run_id)) == 2


async def test_a_suspended_run_stays_so_when_its_state_is_skipped(
    runner: TemporalRunner, far: FarSide
) -> None:
    run_id = await begun(runner, workflow(f"do: [{{w: {NEVER}}}, {{a: {far.call('a')}}}]"))
    await until(runner, run_id, "waiting")
    await runner.runtime.suspend(run_id)
    await runner.runtime.skip(run_id, Wish(skip=True, output=1))
    await at(runner, run_id, "a")
    assert (await runner.runtime.describe(run_id)).status == "suspended"
    assert far.asked == []
    await runner.runtime.resume(run_id)
    assert (await runner.runtime.wait(run_id, 20)).output == {"did": "a"}


async def test_what_cannot_be_skipped_is_refused_and_changes_nothing(runner: TemporalRunner) -> None:
    fork = f"{{fork: {{branches: [{{a: {NEVER}}}, {{b: {NEVER}}}]}}}}"
    run_id = await begun(runner, workflow(f"do: [{{both: {fork}}}, {{c: {{set: {{x: 1}}}}}}]"))
    await at(runner, run_id, "a", "b")

    async def code(wish: Wish) -> Any:
        with pytest.raises(Rejected) as refused:
            await runner.runtime.skip(run_id, wish)
        assert refused.value.status == 409
        return refused.value.code

    assert await code(Wish(skip=True)) == "several-states"
    assert await code(Wish("/do/1/c", skip=True)) == "unknown-state"
    assert (await runner.runtime.describe(run_id)).status == "waiting"
    await runner.runtime.skip(run_id, Wish("/do/0/both", skip=True, output=None))
    assert (await runner.runtime.wait(run_id, 20)).status == "completed"
    with pytest.raises(Conflict):
        await runner.runtime.skip(run_id, Wish(skip=True))


async def test_it_is_done_once_however_often_it_is_asked_with_the_same_key(runner: TemporalRunner) -> None:
    run_id = await begun(runner, workflow(f"do: [{{w: {NEVER}}}, {{v: {NEVER}}}]"))
    await at(runner, run_id, "w")
    for _ in range(2):
        await runner.runtime.skip(run_id, Wish(skip=True, output=1), "key")
    await at(runner, run_id, "v")
    await runner.runtime.terminate(run_id, "enough")


async def test_a_run_that_is_cancelled_at_the_same_time_is_cancelled(runner: TemporalRunner) -> None:
    run_id = await begun(runner, workflow(f"do: [{{w: {NEVER}}}, {{v: {NEVER}}}]"))
    await until(runner, run_id, "waiting")
    await asyncio.gather(
        runner.runtime.cancel(run_id), runner.runtime.skip(run_id, Wish(skip=True)), return_exceptions=True
    )
    assert (await runner.runtime.wait(run_id, 20)).status == "cancelled"
    await histories(runner, run_id)
