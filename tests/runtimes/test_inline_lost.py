"""What a call gave, and the call that goes on, are not lost where a worker or a queue is."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import PendingActivityState

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_inline import events, scheduled, started
from tests.runtimes.test_inline_surroundings import replays
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal import calling, going_on
from workflow_engine.runtimes.temporal.failures import goes_on

pytestmark = pytest.mark.temporal
BEGUN = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED


async def test_what_a_call_gave_is_recorded_before_the_router_is_told_what_to_listen_for(
    runner: TemporalRunner, far: FarSide
) -> None:
    told = "{one: {with: {type: told, subject: '${ $input.did }'}}}"
    listen = f"{{listen: {{to: {told}}}, output: {{as: '${{ .[0].n }}'}}}}"
    run_id = await started(runner, f"do: [{{a: {far.call('a')}}}, {{l: {listen}}}]")
    event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/test", "type": "told"}
    await runner.router.publish("default", [{**event, "subject": "a", "data": {"n": 1}}])
    assert (await runner.runtime.wait(run_id, 30)).output == 1
    order = [str(event.WhichOneof("attributes")) for event in await runner.history(run_id)]
    recorded = order.index("marker_recorded_event_attributes")
    assert recorded < order.index("activity_task_started_event_attributes")
    assert await replays(runner, run_id)


async def test_what_an_event_tells_need_not_be_recorded_before_the_router_is_told_what_to_listen_for(
    runner: TemporalRunner,
) -> None:
    emit = "{emit: {event: {with: {type: told}}}}"
    listen = "{listen: {to: {one: {with: {type: told}}}}}"
    run_id = await started(runner, f"do: [{{a: {emit}}}, {{l: {listen}}}]")
    assert (await runner.runtime.wait(run_id, 30)).status == "completed"
    assert (await events(runner, run_id))["ACTIVITY_TASK_SCHEDULED"] == 0


@pytest.mark.parametrize("failing", [False, True])
async def test_a_call_for_which_nobody_came_is_found_where_it_still_goes_on(
    runner: TemporalRunner, far: FarSide, monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    monkeypatch.setattr(calling, "TAKEN_WITHIN", timedelta(seconds=1))
    monkeypatch.setattr(going_on, "goes_on", lambda queue: goes_on(f"{queue}-of-nobody"))
    far.held.add("a")
    far.broken.update("a" if failing else "")
    catch = "{errors: {with: {status: 503}}, retry: {delay: PT0.1S, limit: {attempt: {count: 500}}}}"
    tried = f"{{try: [{{a: {far.call('a')}}}], catch: {catch}}}"
    run_id = await started(runner, f"do: [{{t: {tried}}}, {{b: {far.call('b')}}}]")
    assert (await scheduled(runner, run_id, 2))[1].task_queue.name == runner.queue
    await begun(runner, run_id)
    far.held.clear()
    await far.asked_for("a", 1 + failing)
    far.broken.clear()
    assert (await runner.runtime.wait(run_id, 30)).output == {"did": "b"}
    assert set(far.keys("a")) == {f"{run_id}/do/0/t/try/0/a"}
    assert (len(far.keys("a")) == 1) is not failing


async def begun(runner: TemporalRunner, run_id: str) -> None:
    """Return once a worker has the activity for which the run waits."""
    handle = runner.client.get_workflow_handle(run_id)
    async with asyncio.timeout(20):
        while True:
            waiting = (await handle.describe()).raw_description.pending_activities
            if [each.state for each in waiting] == [BEGUN]:
                return
            await asyncio.sleep(0.02)


async def test_a_run_that_is_edited_before_a_call_that_is_made_again_makes_it_with_what_it_was_given(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.held.add("a")
    run_id = await started(runner, f"do: [{{a: {far.call('a')}}}]")
    await far.asked_for("a")
    await runner.runtime.suspend(
        run_id
    )  # while the task goes on: it is done again, and then held before the call
    far.held.clear()
    async with asyncio.timeout(20):
        while (await runner.runtime.describe(run_id)).status != "suspended":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await runner.runtime.edit(run_id, Wish(data={"n": 1}))
    await runner.runtime.resume(run_id)
    assert (await runner.runtime.wait(run_id, 30)).status == "completed"
    assert far.bodies == [{}, {"n": 1}]


async def test_a_listener_that_follows_a_fault_is_told_to_the_router_once_that_is_recorded(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path
) -> None:
    far.broken.add("a")
    catch = "{errors: {with: {status: 503}}, as: e}"
    tried = f"{{try: [{{a: {far.call('a')}}}], catch: {catch}, output: {{as: '${{ {{did: 503}} }}'}}}}"
    listen = "{listen: {to: {one: {with: {type: told}}}}}"
    interim = f"sqlite:///{tmp_path}/interim.db"
    async with temporal_runner(temporal_address, internet, interim=interim) as runner:
        run_id = await started(runner, f"do: [{{t: {tried}}}, {{l: {listen}}}]")
        await scheduled(runner, run_id, 1)
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/test", "type": "told"}
        await runner.router.publish("default", [event])
        assert (await runner.runtime.wait(run_id, 30)).status == "completed"
