"""`schedule.on` end to end: events go through the real router and start runs on real Temporal."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.semantics.v1.documents import event, workflow
from tests.standins.internet import Internet
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.runtime import RunQuery
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.engine.targets import RunTarget, WorkflowTarget
from workflow_engine.engine.triggers import Triggers
from workflow_engine.errors import NotFound
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.runtimes.temporal.activities import Activities
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.worker import worker
from workflow_engine.values import Json, JsonObject

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(60)]


@dataclass
class World:
    engine: Engine
    runtime: TemporalRuntime
    router: Router
    store: str

    async def deploy(self, body: str, *, name: str = "test", version: str = "1.0.0") -> None:
        await self.engine.deploy(workflow(body, name=name, version=version))

    async def publish(self, *events: JsonObject, channel: str = "default") -> None:
        await self.router.publish(channel, list(events))

    async def outputs(self, count: int, name: str = "test") -> list[Json]:
        """Those of the runs that were started, the oldest first, once there are *count*; there may be no more."""
        deadline = asyncio.get_running_loop().time() + 30
        while True:
            runs = (await self.engine.runs(RunQuery(name=name, limit=200))).runs
            if len(runs) >= count and all(run.ended for run in runs):
                break
            assert asyncio.get_running_loop().time() < deadline, [run.status for run in runs]
            await asyncio.sleep(0.05)
        assert len(runs) == count
        described = [await self.engine.describe(run.id) for run in reversed(runs)]
        assert [run.error for run in described] == [None] * count
        return [run.output for run in described]


async def nothing(need: Any) -> Any:
    raise NotFound("resource", str(need))


async def restart_router(world: World) -> None:
    """As after the end of the API: another router on the same store."""
    await world.router.stop()
    targets = {"run": RunTarget(world.runtime), "workflow": WorkflowTarget(world.engine)}
    world.router = Router(open_store(world.store), targets=targets)
    world.engine.triggers = Triggers(world.router)
    await world.router.start()
    await world.engine.restore_triggers()


@pytest.fixture
async def world(temporal_address: str, tmp_path: Path, internet: Internet) -> AsyncIterator[World]:
    client = await connect(temporal_address, "default")
    queue, store = f"test-{uuid.uuid4()}", f"sqlite:///{tmp_path / 'events.db'}"
    runtime = TemporalRuntime(client, queue, search_attributes=False)
    engine = Engine(MemoryDefinitions(), runtime, resolve=nothing)
    targets = {"run": RunTarget(runtime), "workflow": WorkflowTarget(engine)}
    router = Router(open_store(store), targets=targets)
    engine.triggers = Triggers(router)
    await router.start()
    made = World(engine, runtime, router, store)
    async with AsyncExitStack() as stack:
        egress = await stack.enter_async_context(Egress(**internet.egress))
        activities = Activities(CALLERS, router, engine.find_bundle, egress)
        await stack.enter_async_context(worker(client, queue, activities))
        yield made
    await made.router.stop()


GOT = "do: [{a: {set: {got: '${ . }'}}}]"


def fresh(*events: JsonObject) -> list[JsonObject]:
    """With ids that no other test has: runs are named after the identity of what started them."""
    return [{**item, "id": f"{item['id']}-{uuid.uuid4()}"} for item in events]


async def test_a44_one_and_any_start_a_run_for_each_event_with_a_list_of_it(world: World) -> None:
    await world.deploy("schedule: {read: data, on: {one: {with: {type: a}}}}\n" + GOT, name="one")
    await world.deploy(
        "schedule: {read: data, on: {any: [{with: {type: a}}, {with: {type: b}}]}}\n" + GOT, name="any"
    )
    await world.publish(
        *fresh(event("a", "1", 1), event("c", "2", 2), event("b", "3", 3), event("a", "4", 4))
    )
    assert sorted(output["got"] for output in await world.outputs(2, "one")) == [[1], [4]]
    assert sorted(output["got"] for output in await world.outputs(3, "any")) == [[1], [3], [4]]


async def test_a38_all_starts_a_run_for_one_event_of_each_in_the_order_of_arrival(world: World) -> None:
    await world.deploy("schedule: {read: data, on: {all: [{with: {type: a}}, {with: {type: b}}]}}\n" + GOT)
    await world.publish(*fresh(event("b", "1", 1), event("b", "2", 2), event("a", "3", 3)))
    assert await world.outputs(1) == [{"got": [1, 3]}]
    await world.publish(*fresh(event("a", "4", 4), event("b", "5", 5)))
    outputs = await world.outputs(2)
    assert {"got": [4, 5]} in outputs


async def test_a42_events_that_belong_together_start_one_run(world: World) -> None:
    body = """
    schedule:
      read: data
      on:
        all:
          - {with: {type: paid}, correlate: {order: {from: .data.order}}}
          - {with: {type: packed}, correlate: {order: {from: .data.order}}}
    do: [{a: {set: {orders: '${ map(.order) }'}}}]
    """
    await world.deploy(body)
    await world.publish(
        *fresh(
            event("paid", "1", {"order": 1}),
            event("packed", "2", {"order": 2}),
            event("paid", "3", {"order": 3}),
            event("paid", "4", {"order": 2}),
        )
    )
    assert await world.outputs(1) == [{"orders": [2, 2]}]
    await restart_router(world)
    await world.publish(*fresh(event("packed", "5", {"order": 3}), event("packed", "6", {"order": 1})))
    outputs = await world.outputs(3)
    assert sorted(output["orders"] for output in outputs) == [[1, 1], [2, 2], [3, 3]]


async def test_what_is_expected_of_a_correlation_is_a_constant(world: World) -> None:
    body = """
    schedule:
      read: data
      on: {one: {with: {type: t}, correlate: {kind: {from: .kind, expect: good}}}}
    do: [{a: {set: {got: '${ . }'}}}]
    """
    await world.deploy(body)
    await world.publish(*fresh(event("t", "1", 1, kind="bad"), event("t", "2", 2, kind="good")))
    assert await world.outputs(1) == [{"got": [2]}]


@pytest.mark.parametrize("read", ["", "read: envelope", "read: data", "read: raw"])
async def test_a44_read_says_what_a_run_sees_of_an_event(world: World, read: str) -> None:
    await world.deploy(f"schedule: {{{read}{', ' if read else ''}on: {{one: {{with: {{type: t}}}}}}}}\n{GOT}")
    [json_event, binary] = fresh(event("t", "1", {"n": 1}), event("t", "2"))
    binary = {key: value for key, value in binary.items() if key != "data"}
    binary |= {"data_base64": "AAEC", "datacontenttype": "application/octet-stream"}
    await world.publish(json_event, binary)
    outputs = [output["got"] for output in await world.outputs(2)]
    if read in ("", "read: envelope"):
        assert sorted(item[0]["id"] for item in outputs) == sorted([json_event["id"], binary["id"]])
        assert {len(item) for item in outputs} == {1}
    else:
        assert [{"n": 1}] in outputs
        assert ["AAEC"] in outputs


async def test_a_workflow_hears_the_channel_that_its_metadata_name(world: World) -> None:
    header = "document: {dsl: '1.0.3', namespace: semantics, name: %s, version: '1.0.0', metadata: {channel: %s}}\n"
    body = f"schedule: {{read: data, on: {{one: {{with: {{type: t}}}}}}}}\n{GOT}"
    for name in ("orders", "payments"):
        await world.engine.deploy(header % (name, f"shop/{name}") + body)
    await world.deploy(body, name="default")
    await world.publish(*fresh(event("t", "1", 1)), channel="shop/orders")
    await world.publish(*fresh(event("t", "2", 2)), channel="shop/payments")
    await world.publish(*fresh(event("t", "3", 3)))
    for number, name in enumerate(("orders", "payments", "default"), start=1):
        assert await world.outputs(1, name) == [{"got": [number]}]


async def test_until_a_condition_holds_events_are_gathered_also_through_a_restart(world: World) -> None:
    body = """
    schedule: {read: data, on: {any: [{with: {type: t}}], until: '(. | add) >= 10'}}
    do: [{a: {set: {got: '${ . }'}}}]
    """
    await world.deploy(body)
    await world.publish(*fresh(event("t", "1", 3), event("u", "2", 50), event("t", "3", 4)))
    await restart_router(world)
    await world.publish(*fresh(event("t", "4", 5), event("t", "5", 6), event("t", "6", 4)))
    outputs = await world.outputs(2)
    assert sorted(output["got"] for output in outputs) == [[3, 4, 5], [6, 4]]


async def test_until_an_event_comes_those_before_it_are_gathered(world: World) -> None:
    body = """
    schedule:
      read: data
      on: {any: [{with: {type: reading}}], until: {one: {with: {type: done}}}}
    do: [{a: {set: {got: '${ . }'}}}]
    """
    await world.deploy(body)
    await world.publish(
        *fresh(event("done", "0"), event("reading", "1", 1), event("reading", "2", 2), event("done", "3"))
    )
    assert await world.outputs(1) == [{"got": [1, 2]}]


async def test_the_specifications_example_calls_the_nurse_when_a_heartbeat_is_low(
    world: World, spec: Path
) -> None:
    text = (spec / "1.0" / "examples" / "schedule-event-driven.yaml").read_text()
    await world.engine.deploy(text)
    patient = {"id": 7, "name": "Ann", "room": {"number": 3}, "vitals": {"bpm": 20}}
    low = "com.example.hospital.events.patients.heartbeat.low"
    await world.publish(*fresh(event(low, "1", {"patient": patient, "timestamp": 5})))
    [called] = await world.outputs(1, "event-driven-schedule")
    assert called["path"] == "/api/v1/notify"
    assert called["body"]["patientName"] == "Ann"


async def test_a_new_version_starts_runs_and_one_without_a_trigger_starts_none(world: World) -> None:
    body = "schedule: {on: {one: {with: {type: t}}}}\ndo: [{a: {set: {version: %s}}}]"
    await world.deploy(body % 1)
    await world.publish(*fresh(event("t", "1")))
    assert await world.outputs(1) == [{"version": 1}]
    await world.deploy(body % 2, version="2.0.0")
    await world.publish(*fresh(event("t", "2")))
    assert {"version": 2} in await world.outputs(2)
    await world.deploy("do: [{a: {set: {version: 3}}}]", version="3.0.0")
    await world.publish(*fresh(event("t", "3")))
    await asyncio.sleep(0.5)  # time in which another run would show
    assert len(await world.outputs(2)) == 2
