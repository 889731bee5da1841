"""Calls within the workflow task: what they were made upon is recorded, replays decide alike, and little is kept."""

from __future__ import annotations

import asyncio
import gc
import uuid
import weakref
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_inline import HEADER, events, started
from tests.test_replay import replayer
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.errors import Fault, fault
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal.failures import failure_of
from workflow_engine.runtimes.temporal.going_on import GoingOn

temporal = pytest.mark.temporal


@temporal
async def test_a_state_is_recorded_as_skipped_before_the_next_call_is_made(
    runner: TemporalRunner, far: FarSide
) -> None:
    run_id = await started(runner, f"do: [{{w: {{wait: PT1H}}}}, {{a: {far.call('a')}}}]")
    while not (await runner.runtime.describe(run_id)).states:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await runner.runtime.skip(run_id, Wish(skip=True))
    assert (await runner.runtime.wait(run_id, 30)).output == {"did": "a"}
    counted = await events(runner, run_id)
    assert (counted["MARKER_RECORDED"], counted["ACTIVITY_TASK_COMPLETED"]) == (0, 1)
    recorded = await runner.client.get_workflow_handle(run_id).fetch_history()
    assert (await replayer().replay_workflow(recorded)).replay_failure is None


class SlowToForget:
    """A router that takes a while to end a listener."""

    def __init__(self, router: Any) -> None:
        self._router = router

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)

    async def unlisten(self, *given: Any, **named: Any) -> Any:
        await asyncio.sleep(1.4)
        return await self._router.unlisten(*given, **named)


@temporal
async def test_a_replay_decides_alike_where_the_workflow_task_was_prolonged(
    temporal_address: str, internet: Any, far: FarSide
) -> None:
    until = "{to: {any: [{with: {type: told}}], until: '${ true }'}}"
    listen = f"{{listen: {until}, foreach: {{item: e, do: [{{s: {{set: '${{ now }}'}}}}]}}}}"
    text = HEADER + f"do: [{{l: {listen}}}, {{a: {far.call('a')}}}]"
    async with temporal_runner(temporal_address, internet, wrap=SlowToForget) as runner:
        bundle = Bundle.of(dsl.parse(text), {})
        handle = await runner.client.start_workflow(
            bundle.graph().name.name,
            args=[{}, bundle],
            id=f"inline-{uuid.uuid4()}",
            task_queue=runner.queue,
            task_timeout=timedelta(seconds=1),
        )
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/test", "type": "told", "data": 1}
        await runner.router.publish("default", [event])
        await asyncio.wait_for(handle.result(), 30)
        recorded = await handle.fetch_history()
    result = await replayer().replay_workflow(recorded, raise_on_replay_failure=False)
    assert result.replay_failure is None


@pytest.mark.parametrize(("size", "times"), [(100, 1), (1_000_000, 2)])
async def test_what_a_call_gave_is_kept_only_while_it_is_small(size: int, times: int) -> None:
    made = 0

    async def work() -> RawValue:
        nonlocal made
        made += 1
        return RawValue(Payload(data=b"1" * size))

    going_on = GoingOn()
    for _ in range(2):
        assert len((await going_on.briefly("k", work, 0.5)).payload.data) == size
    assert made == times


class Body:
    pass


async def test_a_fault_that_is_kept_keeps_nothing_of_the_call() -> None:
    bodies: list[weakref.ref[Body]] = []
    times = 0

    async def work() -> None:
        nonlocal times
        times += 1
        body = Body()
        bodies.append(weakref.ref(body))
        try:
            raise fault("communication", "no")
        except Fault as raised:
            raise failure_of(raised, of_call=True, told={"retries": 1}) from None

    async def asked(arguments: Body) -> None:
        bodies.append(weakref.ref(arguments))
        with pytest.raises(ApplicationError, match="no") as caught:
            await going_on.briefly("k", work, 0.5)
        assert caught.value.details[2] == {"retries": 1}

    going_on = GoingOn()
    for _ in range(3):
        await asked(Body())
    gc.collect()
    assert times == 1
    assert [body() for body in bodies] == [None] * 4


@temporal
async def test_no_workflow_task_waits_long_for_an_event_to_be_published(
    temporal_address: str, internet: Any
) -> None:
    published: list[float] = []

    class Slow:
        def __init__(self, router: Any) -> None:
            self._router = router

        def __getattr__(self, name: str) -> Any:
            return getattr(self._router, name)

        async def publish(self, *given: Any) -> Any:
            published.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1.0)
            return await self._router.publish(*given)

    async with temporal_runner(temporal_address, internet, wrap=Slow) as runner:
        ended = await runner(HEADER + "do: [{a: {emit: {event: {with: {type: told}}}}}]")
        assert ended.status == "completed"
        assert (await events(runner, ended.run_id))["ACTIVITY_TASK_COMPLETED"] == 1
    assert len(published) == 2
