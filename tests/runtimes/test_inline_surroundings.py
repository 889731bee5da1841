"""Calls within the workflow task, and those that are taken over, beside all else that may happen to a run."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from tests.running import KEY, TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_inline import HEADER, scheduled, started
from tests.test_replay import replayer
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Retry, Start
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal.debugging import debugged
from workflow_engine.runtimes.temporal.payloads.keys import new_key
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.resting import Limits

pytestmark = pytest.mark.temporal


def row(far: FarSide, names: str) -> str:
    """Calls in a row."""
    return f"do: [{', '.join(f'{{{name}: {far.call(name)}}}' for name in names)}]"


async def replays(runner: TemporalRunner, run_id: str) -> bool:
    recorded = await runner.client.get_workflow_handle(run_id).fetch_history()
    result = await replayer().replay_workflow(recorded, raise_on_replay_failure=False)
    return result.replay_failure is None


async def stands_at(runner: TemporalRunner, run_id: str, state: str) -> None:
    async with asyncio.timeout(20):
        while [each.name for each in (await runner.runtime.describe(run_id)).states] != [state]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def tasks(runner: TemporalRunner, run_id: str, count: int) -> list[int]:
    """The events with which the workflow tasks of a run have ended, once there are so many."""
    async with asyncio.timeout(20):
        while True:
            ends = [
                event.event_id
                for event in await runner.history(run_id)
                if event.HasField("workflow_task_completed_event_attributes")
            ]
            if len(ends) >= count:
                return ends
            await asyncio.sleep(0.02)


async def reset(runner: TemporalRunner, run_id: str, event: int) -> None:
    """Have the run go on from the workflow task that ended with *event*."""
    description = await runner.client.get_workflow_handle(run_id).describe()
    request = ResetWorkflowExecutionRequest(
        namespace="default",
        workflow_execution=WorkflowExecution(workflow_id=run_id, run_id=description.run_id),
        workflow_task_finish_event_id=event,
        request_id=str(uuid.uuid4()),
        reason="a test",
    )
    await runner.client.workflow_service.reset_workflow_execution(request)


async def test_a_run_that_is_reset_to_before_its_call_makes_it_again(
    runner: TemporalRunner, far: FarSide
) -> None:
    text = f"do: [{{a: {far.call('a')}}}, {{w: {{wait: PT1H}}}}, {{b: {far.call('b')}}}]"
    run_id = await started(runner, text)
    await stands_at(runner, run_id, "w")
    await reset(runner, run_id, (await tasks(runner, run_id, 1))[0])
    await far.asked_for("a", 2)
    await stands_at(runner, run_id, "w")
    await runner.runtime.skip(run_id, Wish(skip=True))
    assert (await runner.runtime.wait(run_id, 30)).output == {"did": "b"}
    assert far.keys("a") == [f"{run_id}/do/0/a"] * 2
    assert await replays(runner, run_id)


@pytest.mark.parametrize("task", [0, 1], ids=["before", "within"])
async def test_a_run_that_is_reset_while_its_call_is_taken_over_makes_it_again(
    runner: TemporalRunner, far: FarSide, task: int
) -> None:
    far.held.add("a")
    run_id = await started(runner, row(far, "ab"))
    await scheduled(runner, run_id, 1)
    await runner.runtime.suspend(run_id)
    await runner.runtime.resume(run_id)
    await reset(runner, run_id, (await tasks(runner, run_id, 2))[task])
    await far.asked_for("a", 2)
    far.held.clear()
    assert (await runner.runtime.wait(run_id, 60)).output == {"did": "b"}
    assert far.keys("a") == [f"{run_id}/do/0/a"] * 2
    assert far.done["b"] == 1
    assert await replays(runner, run_id)


async def test_a_run_that_is_suspended_while_its_call_goes_on_is_held_before_the_next_one(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.held.add("a")
    run_id = await started(runner, row(far, "ab"))
    await scheduled(runner, run_id, 1)
    await runner.runtime.suspend(run_id)
    far.held.clear()
    await stands_at(runner, run_id, "b")
    await runner.runtime.edit(run_id, Wish(data={"n": 1}))
    assert not far.keys("b")
    await runner.runtime.resume(run_id)
    assert (await runner.runtime.wait(run_id, 30)).output == {"did": "b"}
    assert far.bodies[-1] == {"n": 1}
    assert await replays(runner, run_id)


async def test_a_state_is_skipped_while_its_call_goes_on(runner: TemporalRunner, far: FarSide) -> None:
    far.held.add("a")
    run_id = await started(runner, row(far, "ab"))
    await scheduled(runner, run_id, 1)
    await runner.runtime.skip(run_id, Wish(skip=True))
    assert (await runner.runtime.wait(run_id, 30)).output == {"did": "b"}
    far.held.clear()
    assert far.keys("a") == [f"{run_id}/do/0/a"]
    assert await replays(runner, run_id)


@pytest.mark.parametrize("how", ["cancel", "terminate"])
async def test_a_run_ends_when_it_is_told_to_as_its_call_is_made(
    runner: TemporalRunner, far: FarSide, how: str
) -> None:
    far.held.add("a")
    run_id = await started(runner, row(far, "ab"))
    await far.asked_for("a")
    await (runner.runtime.cancel(run_id) if how == "cancel" else runner.runtime.terminate(run_id, "test"))
    assert (await runner.runtime.wait(run_id, 30)).status == "cancelled"
    far.held.clear()
    assert [what for what, _ in far.asked] == ["a"]


async def test_a_branch_that_loses_does_not_wait_for_its_call_that_goes_on(
    temporal_address: str, internet: Any, far: FarSide
) -> None:
    far.held.add("a")
    express = HEADER.replace("version: '1.0.0'", "version: '1.0.0', metadata: {express: true}")
    other = f"{{do: [{{w: {{wait: PT1S}}}}, {{c: {far.call('c')}}}]}}"
    fork = f"{{fork: {{compete: true, branches: [{{a: {far.call('a')}}}, {{b: {other}}}]}}}}"
    async with temporal_runner(temporal_address, internet, express_seconds=0.3) as runner:
        ended = await runner(express + f"do: [{{f: {fork}}}]")
        assert (ended.status, ended.output) == ("completed", {"did": "c"}), ended.error
        assert await replays(runner, ended.run_id)
        far.held.clear()
    assert [what for what, _ in far.asked] == ["a", "c"]


async def test_a_run_that_failed_after_calls_is_retried_from_where_it_failed(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.broken.add("c")
    run_id = await started(runner, row(far, "abc"))
    assert (await runner.runtime.wait(run_id, 30)).status == "faulted"
    far.broken.clear()
    await runner.runtime.retry(run_id, Retry(Wish(), what="retry"))
    assert (await runner.runtime.wait(run_id, 30)).output == {"did": "c"}
    assert far.done == Counter("abc")
    assert set(far.keys("c")) == {f"{run_id}/do/2/c"}


async def test_a_history_explained_says_what_each_call_gave_and_cost(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.held.add("a")
    run_id = await started(runner, row(far, "abc"))
    await scheduled(runner, run_id, 1)
    far.held.clear()
    assert (await runner.runtime.wait(run_id, 30)).status == "completed"
    told: Any = await debugged(await runner.client.get_workflow_handle(run_id).fetch_history())
    assert told["failure"] is None
    events = {state["state"]: state["events"] for state in told["states"]}
    # One event more for c: its worker has no interim store, and says so.
    assert events == {"": 5, "/do/0/a": 7, "/do/1/b": 1, "/do/2/c": 7}
    asked = [step["asked"][0]["answer"] for step in told["steps"] if step["asked"]]
    assert asked == [{"did": "a"}, {"did": "b"}, {"did": "c"}]


async def test_a_run_goes_on_in_new_histories_between_its_calls(runner: TemporalRunner, far: FarSide) -> None:
    runner.limits = Limits(events=6)
    loop = f"do: [{{l: {{for: {{each: n, in: '${{ [range(9)] }}'}}, do: [{{a: {far.call('a')}}}]}}}}]"
    ended = await runner(HEADER + loop)
    assert ended.status == "completed", ended.error
    assert len(set(far.keys("a"))) == len(far.keys("a")) == 9
    assert await replays(runner, ended.run_id)


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "encrypted"])
async def test_what_is_large_is_given_to_calls_and_kept_of_them_once(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path, sealed: bool
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "k1").write_text(new_key())
    far.held.add("a")
    places = {"store": (tmp_path / "store").as_uri(), "keys": keys.as_uri() if sealed else None}
    async with (
        open_payloads(**places, largest=50_000_000) as payloads,
        temporal_runner(temporal_address, internet, payloads=payloads) as runner,
    ):
        echo = far.call("WHAT").replace("/WHAT", "/echo/WHAT")
        calls = ", ".join(f"{{{name}: {echo.replace('WHAT', name)}}}" for name in "abc")
        bundle = Bundle.of(dsl.parse(HEADER + f"do: [{calls}]"), {})
        run_id, given = f"inline-{uuid.uuid4()}", {"text": "countess" * 300_000}
        await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, given))
        await scheduled(runner, run_id, 1)
        far.held.clear()
        assert (await runner.runtime.wait(run_id, 40)).output == given
        history = [event.SerializeToString() for event in await runner.history(run_id)]
    assert [what for what, _ in far.asked] == ["a", "b", "c"]
    assert not any(b"countess" in event for event in history)


async def test_a_call_with_a_secret_is_taken_over_and_leaves_it_nowhere(
    temporal_address: str, internet: Any, far: FarSide
) -> None:
    call = far.call("a", more=", metadata: {express: true}").replace("'${ . }'", "{k: '${ $secrets.KEY }'}")
    far.held.add("a")
    text = HEADER + f"use: {{secrets: [KEY]}}\ndo: [{{a: {call}}}, {{b: {far.call('b')}}}]"
    run_id, bundle = f"inline-{uuid.uuid4()}", Bundle.of(dsl.parse(text), {})
    async with temporal_runner(temporal_address, internet, express_seconds=0.3) as runner:
        await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
        await scheduled(runner, run_id, 1)
        far.held.clear()
        assert (await runner.runtime.wait(run_id, 30)).output == {"did": "b"}
        history = [event.SerializeToString() for event in await runner.history(run_id)]
    assert (far.bodies[0], len(far.keys("a"))) == ({"k": KEY}, 1)
    assert not any(KEY.encode() in event for event in history)
