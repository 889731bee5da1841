"""A run that its worker has let go of does nothing more, whatever becomes of what is left of it."""

from __future__ import annotations

import asyncio
import gc
import uuid
import weakref
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from tests.running import temporal_runner
from tests.semantics.v1.documents import workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.dsl.collecting import settle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal.attempts import heartbeat
from workflow_engine.runtimes.temporal.resting import RestingEffects

pytestmark = pytest.mark.temporal
LISTENING = workflow("do: [{hear: {listen: {to: {one: {with: {type: never}}}}}}]")
PURE = workflow("do: [{a: {set: {n: 1}}}, {b: {set: {n: 2}}}]")


@pytest.fixture
def no_collection() -> Any:
    """What is garbage is collected where the test says, and not before; and only what is made from now on is looked
    through, for all that a thousand tests have left takes longer than a task of a run may.
    """
    settle()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
async def test_a_run_that_is_collected_within_the_task_of_another_leaves_nothing_in_its_history(
    temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = RestingEffects.gate

    async with temporal_runner(temporal_address, internet) as runner:
        bundle = Bundle.of(dsl.parse(LISTENING), {})
        left = f"left-{uuid.uuid4()}"
        await runner.runtime.start(Start(left, bundle.graph().name, bundle, {}))
        handle = runner.client.get_workflow_handle(left)
        while not any(  # noqa: ASYNC110
            state["doing"] for state in (await handle.query("state"))["states"]
        ):
            await asyncio.sleep(0.02)

    async def collecting(self: RestingEffects) -> None:
        gc.collect()
        await gate(self)

    monkeypatch.setattr(RestingEffects, "gate", collecting)
    async with temporal_runner(temporal_address, internet) as runner:
        ended = await runner(PURE)
        assert ended.output == {"n": 2}
        kinds = [EventType.Name(event.event_type) for event in await runner.history(ended.run_id)]
        await handle.terminate()
    assert len(kinds) == 5, kinds


@pytest.mark.usefixtures("no_collection")
async def test_what_a_run_has_is_gone_without_a_collection_once_it_has_completed(
    temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore, made = RestingEffects.restore, list[weakref.ref[Any]]()

    def seen(self: RestingEffects, *given: Any, **named: Any) -> None:
        made.extend(map(weakref.ref, (self, asyncio.get_running_loop())))
        restore(self, *given, **named)

    monkeypatch.setattr(RestingEffects, "restore", seen)
    async with temporal_runner(temporal_address, internet) as runner:
        assert (await runner(PURE)).output == {"n": 2}
        async with asyncio.timeout(20):
            while any(each() is not None for each in made):  # noqa: ASYNC110 - Temporal tells the worker to let go
                await asyncio.sleep(0.02)
    assert made


@pytest.mark.usefixtures("no_collection")
async def test_what_tells_that_a_worker_lives_is_gone_without_a_collection_once_the_call_is_over() -> None:
    class Details:
        def __call__(self) -> None: ...

    details = Details()
    told = weakref.ref(details)
    with heartbeat(details):
        del details
    assert told() is None
