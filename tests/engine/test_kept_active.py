"""A workflow of DSL 0.8 that is kept active has one run for the events that belong together (decision B19)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.semantics.v0_8.documents import event, workflow
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.dsl.needs import Need
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.runtime import RunQuery
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.engine.targets import RunTarget, WorkflowTarget
from workflow_engine.engine.triggers import Triggers
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.runtimes.temporal.activities import Activities
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.worker import worker

pytestmark = pytest.mark.temporal

ROOMS = workflow(
    """
    keepActive: true
    timeouts: {workflowExecTimeout: {duration: PT4S, runBefore: Report}}
    events: [{name: R, type: reading, source: tests, correlation: [{contextAttributeName: roomId}]}]
    states:
      - name: Read
        type: event
        onEvents: [{eventRefs: [R], eventDataFilter: {data: '${ [.] }', toStateData: .readings}}]
        end: true
      - {name: Report, type: inject, data: {reported: true}, end: {terminate: true}}
    """,
    id="rooms",
)


async def nothing(need: Need) -> Any:
    raise AssertionError(f"{need} is not needed")


@pytest.fixture
async def parts(temporal_address: str) -> AsyncIterator[tuple[Engine, Router]]:
    client = await connect(temporal_address, "default")
    queue = f"test-{uuid.uuid4()}"
    async with AsyncExitStack() as stack:
        egress = await stack.enter_async_context(Egress())
        runtime = TemporalRuntime(client, queue, search_attributes=False)
        engine = Engine(MemoryDefinitions(), runtime, resolve=nothing)
        router = Router(
            open_store("memory:"), targets={"run": RunTarget(runtime), "workflow": WorkflowTarget(engine)}
        )
        engine.triggers = Triggers(router)
        await router.start()
        stack.push_async_callback(router.stop)
        activities = Activities(CALLERS, router, engine.find_bundle, egress)
        await stack.enter_async_context(worker(client, queue, activities))
        yield engine, router


async def test_b19_events_with_one_correlation_go_to_one_run(parts: Any) -> None:
    engine, router = parts
    await engine.deploy(ROOMS)
    for number, room in enumerate(("kitchen", "bath", "kitchen", "kitchen", "bath")):
        reading = {**event("reading", str(number), number), "roomid": room}
        await router.publish("default", [reading])
        await asyncio.sleep(0.1)
    runs = [run.id for run in (await found(engine, 2)).runs]
    ended = [await engine.wait(id, 20) for id in runs]
    assert sorted(run.output["readings"] for run in ended) == [[0, 2, 3], [1, 4]]
    assert all(run.output["reported"] for run in ended)


async def test_b19_the_first_event_starts_the_run_though_its_start_is_the_slowest(
    parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, router = parts
    await engine.deploy(ROOMS)
    begin, asked = engine._runtime.start, []

    async def start(start: Any) -> bool:
        asked.append(start)
        await asyncio.sleep(1.0 if len(asked) == 1 else 0.0)
        return await begin(start)  # type: ignore[no-any-return]

    monkeypatch.setattr(engine._runtime, "start", start)
    await router.publish(
        "default", [{**event("reading", str(number), number), "roomid": "kitchen"} for number in range(4)]
    )
    [run] = (await found(engine, 1)).runs
    assert (await engine.wait(run.id, 20)).output["readings"] == [0, 1, 2, 3]


async def test_b19_a_run_that_follows_another_of_its_id_does_all_it_does_itself(parts: Any) -> None:
    """Its events and calls have identities of their own, so that nobody takes them for those of the first."""
    engine, router = parts
    document = ROOMS.replace("PT4S", "PT1S").replace(
        "end: {terminate: true}", "end: {terminate: true, produceEvents: [{eventRef: Done}]}"
    )
    document = document.replace("events: [", "events: [{name: Done, type: done, kind: produced}, ")
    await engine.deploy(document.replace("keepActive", "metadata: {lifecycleEvents: workflow}\nkeepActive"))
    for number in range(2):
        await router.publish("default", [{**event("reading", str(number), number), "roomid": "kitchen"}])
        [run] = (await found(engine, number + 1)).runs[:1]
        assert (await engine.wait(run.id, 20)).output["readings"] == [number]
    done = [entry["event"] for entry in (await router.events("default", type="done")).events]
    assert len({event["id"] for event in done}) == 2
    told = [entry["event"]["type"].split(".")[3] for entry in (await router.events("lifecycle")).events]
    assert (told.count("started"), told.count("completed")) == (2, 2)


async def found(engine: Engine, count: int) -> Any:
    for _ in range(400):
        page = await engine.runs(RunQuery(name="rooms"))
        if len(page.runs) >= count:
            return page
        await asyncio.sleep(0.1)
    raise AssertionError(f"there are {len(page.runs)} runs")
