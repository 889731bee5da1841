"""What is shown of a run whose call is tried again: which attempt, why the last one failed, when the next begins."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime

import pytest

from tests.running import TemporalRunner
from tests.runtimes.far_side import FarSide
from tests.semantics.v1.documents import workflow
from workflow_engine import dsl
from workflow_engine.cli.runs import description
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import RunDescription, Start
from workflow_engine.errors import Unavailable

pytestmark = pytest.mark.temporal

POLICY = "catch: {errors: {with: {status: 503}}, retry: {delay: {milliseconds: 4000}, limit: {attempt: {count: 4}}}}"


async def shown(runner: TemporalRunner, text: str, attempt: int) -> RunDescription:
    """A run once it waits for its attempt number *attempt*, or for a later one where nobody looked in time."""
    bundle, run_id = Bundle.of(dsl.parse(text), {}), f"shown-{uuid.uuid4()}"
    assert await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    async with asyncio.timeout(30):
        while True:
            run = await runner.runtime.describe(run_id)
            if run.states and run.states[0].attempt >= attempt and run.states[0].next_attempt:
                return run
            await asyncio.sleep(0.05)


def lines(run: RunDescription) -> str:
    return "\n".join(description(run.to_json()))


async def test_of_a_call_that_is_tried_again_by_its_activity(runner: TemporalRunner, far: FarSide) -> None:
    far.broken = {"b"}
    before = datetime.now(UTC)
    run = await shown(runner, workflow(f"do: [{{t: {{try: [{{b: {far.call('b')}}}], {POLICY}}}}}]"), 2)
    (state,) = run.states
    assert (state.id, state.status) == ("/do/0/t/try/0/b", "running")
    assert "503 Service Unavailable" in str(state.failure)
    assert state.next_attempt is not None
    assert state.next_attempt > before
    assert "attempt 1 failed: " in lines(run)
    assert "; the next one begins " in lines(run)
    far.held = {"b"}
    await far.asked_for("b", 2)
    async with asyncio.timeout(20):
        while (state := (await runner.runtime.describe(run.id)).states[0]).next_attempt:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert state.attempt == 2
    assert len(far.keys("b")) == 2
    await runner.runtime.terminate(run.id, "enough")
    far.held = set()


async def test_of_a_call_that_is_tried_again_much_later(runner: TemporalRunner, far: FarSide) -> None:
    far.broken = {"b"}
    policy = POLICY.replace("{milliseconds: 4000}", "{minutes: 2}")
    assert policy != POLICY
    run = await shown(runner, workflow(f"do: [{{t: {{try: [{{b: {far.call('b')}}}], {policy}}}}}]"), 2)
    (state,) = run.states
    assert (state.id, state.status) == (
        "/do/0/t",
        "waiting",
    )  # the run waits itself: it can be moved meanwhile
    assert "503 Service Unavailable" in str(state.failure)
    await runner.runtime.terminate(run.id, "enough")


async def test_of_several_calls_that_the_run_tries_again(runner: TemporalRunner, far: FarSide) -> None:
    far.broken = {"b"}
    body = f"[{{a: {far.call('a')}}}, {{b: {far.call('b')}}}]"
    run = await shown(runner, workflow(f"do: [{{t: {{try: {body}, {POLICY}}}}}]"), 2)
    (state,) = run.states
    assert (state.id, state.status) == ("/do/0/t", "waiting")
    assert "503 Service Unavailable" in str(state.failure)
    assert "attempt 1 failed: " in lines(run)
    await runner.runtime.terminate(run.id, "enough")


async def test_of_an_event_that_cannot_be_published(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(channel: str, events: object) -> None:
        raise Unavailable("this is not the token of this server")

    monkeypatch.setattr(runner.router, "publish", away)
    run = await shown(runner, workflow("do: [{e: {emit: {event: {with: {type: x, source: /here}}}}}]"), 2)
    assert f"attempt {run.states[0].attempt - 1} failed: " in lines(run)
    assert "this is not the token of this server" in lines(run)
    await runner.runtime.terminate(run.id, "enough")
