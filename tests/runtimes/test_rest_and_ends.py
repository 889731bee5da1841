"""What ends while a run comes to rest is not done again, and what is done to it then is not lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from tests.running import TemporalRunner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_same_moment import NEVER, RUN, begun, waiting
from tests.semantics.v1.documents import event, workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal import resting
from workflow_engine.runtimes.temporal.resting import Limits

pytestmark = pytest.mark.temporal
LONG = ", metadata: {express: false}"


async def moving(runner: TemporalRunner, run_id: str, text: str) -> WorkflowHandle[Any, Any]:
    """Tell the run to go on as one of version 2 of *text*."""
    handle = runner.client.get_workflow_handle(run_id)
    await handle.signal("migrate", args=[Bundle.of(dsl.parse(text.replace("'1.0.0'", "'2.0.0'")), {}), {}])
    return handle


@pytest.mark.parametrize("what", ["output", "retry"])
async def test_a_call_is_not_made_again_whose_answer_is_looked_at_with_secrets(
    runner: TemporalRunner, far: FarSide, what: str
) -> None:
    """What looks at it is done by a worker: in the old history, for the answer is nowhere else."""
    far.held = {"a"}
    if what == "output":
        call = far.call(
            "a",
            ", metadata: {express: false}, output: {as: '${ if $secrets.KEY == \"\" then {} else . end }'}",
        )
    else:
        far.broken = {"a"}
        call = f"{{try: [{{c: {far.call('a', LONG)}}}], catch: {{when: '${{ $secrets.KEY == \"\" }}'}}}}"
    text = "use: {secrets: [KEY]}\n" + workflow(f"do: [{{a: {call}}}, {{b: {far.call('b')}}}]")
    run_id = await begun(runner, text)
    await far.asked_for("a")
    await moving(runner, run_id, text)
    await asyncio.sleep(0.2)
    far.held = set()
    run = await runner.runtime.wait(run_id, 20)
    assert len(far.keys("a")) == 1
    assert run.workflow is not None
    if what == "output":
        assert (run.status, run.workflow.version) == ("completed", "2.0.0")
        assert far.done == {"a": 1, "b": 1}
        assert far.bodies[-1] == {"did": "a"}
    else:
        assert run.status == "faulted"


async def test_a_run_that_waits_for_room_and_is_cancelled_takes_its_sub_flows_with_it(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resting, "LAST", 30)
    loop = "{for: {in: '[range(20)]'}, do: [{w: {wait: {milliseconds: 1}}}]}"
    text = workflow(f"""
    do:
      - big: {{set: {{n: 1}}, export: {{as: '{{text: ("x" * 2500000)}}'}}}}
      - f: {{fork: {{branches: [{{r: {RUN}}}, {{l: {loop}}}]}}}}
    """)
    run_id = await begun(runner, text, Limits(events=10))
    child = f"{run_id}.do.1.f.fork.branches.0.r"
    await waiting(runner, child, "w")
    async with asyncio.timeout(30):
        while "bytes" not in ((await runner.runtime.describe(run_id)).remark or ""):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await runner.runtime.cancel(run_id)
    assert (await runner.runtime.wait(run_id, 20)).status == "cancelled"
    assert (await runner.runtime.wait(child, 20)).status == "cancelled"


async def test_a_run_that_is_busy_with_one_event_goes_on_in_a_new_history_for_those_that_come(
    runner: TemporalRunner,
) -> None:
    """Temporal takes 10,000 signals in one history, and nothing of the run moves meanwhile."""
    text = workflow("""
    do:
      - hear:
          listen: {to: {any: [{with: {type: t}}], until: '(. | length) == 12'}}
          foreach: {item: t, do: [{w: {if: '$t == 0', wait: {hours: 1}}}, {o: {set: '${ $t }'}}]}
    """)
    run_id = await begun(runner, text, Limits(events=20))
    await waiting(runner, run_id, "hear")
    await runner.router.publish("default", [event("t", f"{run_id}-0", 0)])
    await waiting(runner, run_id, "w")
    first = (await runner.client.get_workflow_handle(run_id).describe()).run_id
    later = [event("t", f"{run_id}-{number}", number) for number in range(1, 12)]
    await runner.router.publish("default", later)
    async with asyncio.timeout(20):
        while (await runner.client.get_workflow_handle(run_id).describe()).run_id == first:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await waiting(runner, run_id, "w")
    await runner.runtime.skip(run_id, Wish("/do/0/hear/foreach/do/0/w", skip=True))
    assert (await runner.runtime.wait(run_id, 20)).output == [*range(12)]


async def test_a_state_is_skipped_though_its_run_begins_a_new_history_just_then(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = workflow(f"do: [{{w: {NEVER}}}, {{a: {{set: {{got: '${{ . }}'}}}}}}]")
    run_id = await begun(runner, text)
    await waiting(runner, run_id, "w")
    describe, moved = WorkflowHandle.describe, []

    async def and_then(self: WorkflowHandle[Any, Any], **given: Any) -> Any:
        found = await describe(self, **given)
        if not moved:
            moved.append(found.run_id)
            await moving(runner, run_id, text)
            async with asyncio.timeout(20):
                while (await describe(self)).run_id == found.run_id:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        return found

    monkeypatch.setattr(WorkflowHandle, "describe", and_then)
    await runner.runtime.skip(run_id, Wish(skip=True, output=7))
    run = await runner.runtime.wait(run_id, 20)
    assert (run.status, run.output) == ("completed", {"got": 7})
    assert moved


async def test_a_state_is_skipped_though_its_run_was_just_about_to_leave_its_history(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await begun(runner, workflow(f"do: [{{w: {NEVER}}}, {{a: {{set: {{got: '${{ . }}'}}}}}}]"))
    await waiting(runner, run_id, "w")
    update, refused = WorkflowHandle.execute_update, []

    async def busy(self: WorkflowHandle[Any, Any], *given: Any, **options: Any) -> Any:
        if len(refused) < 2:  # what the server says while a worker completes the last task of a history
            refused.append(options["id"])
            what = "workflow operation can not be applied because workflow is closing"
            raise RPCError(what, RPCStatusCode.RESOURCE_EXHAUSTED, b"")
        return await update(self, *given, **options)

    monkeypatch.setattr(WorkflowHandle, "execute_update", busy)
    await runner.runtime.skip(run_id, Wish(skip=True, output=7))
    run = await runner.runtime.wait(run_id, 20)
    assert (run.status, run.output, len(refused)) == ("completed", {"got": 7}, 2)
