"""Runs under way and new versions of their workflow: untouched, judged, and moved where that is safe."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.running import TemporalRunner, temporal_runner
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.moving import Moving
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.errors import Conflict, NotFound, Rejected

pytestmark = pytest.mark.temporal

FIRST = """
document: {dsl: '1.0.3', namespace: test, name: NAME, version: '1.0.0'}
do:
  - begin: {set: {n: 1}, export: {as: '${ {seen: .n} }'}}
  - hear: {listen: {to: {one: {with: {type: go}}}, read: data}, output: {as: '${ .[0] }'}}
  - finish: {set: {version: 1, heard: '${ . }', seen: '${ $context.seen }'}}
"""
SECOND = """
document: {dsl: '1.0.3', namespace: test, name: NAME, version: '2.0.0'}
do:
  - begin: {set: {n: 1}, export: {as: '${ {seen: .n} }'}}
  - extra: {set: {added: true}}
  - hear: {listen: {to: {one: {with: {type: go}}}, read: data}, output: {as: '${ .[0] }'}}
  - finish: {set: {version: 2, heard: '${ . }', seen: '${ $context.seen }'}}
"""
SAME = FIRST.replace("'1.0.0'", "'1.1.0'").replace("version: 1,", "version: 1.1,")
UNSAFE = SECOND.replace("'2.0.0'", "'3.0.0'").replace("type: go", "type: gone")
LEAVING = """
document: {dsl: '1.0.3', namespace: test, name: NAME, version: '4.0.0'}
do:
  - begin: {set: {n: 1}}
"""
AROUND = """
document: {dsl: '1.0.3', namespace: test, name: NAME-around, version: '1.0.0'}
do:
  - child: {run: {workflow: {namespace: test, name: NAME, version: 'latest'}}}
"""


class Shop:
    """An engine on Temporal, with one workflow of this test's own."""

    def __init__(self, runner: TemporalRunner) -> None:
        async def resolve(need: Any) -> Any:
            raise NotFound("thing", str(need))

        self.runner, self.runtime = runner, runner.runtime
        self.engine = Engine(MemoryDefinitions(), runner.runtime, resolve=resolve)
        self.moving = Moving(self.engine)
        self.name = f"moving-{uuid.uuid4().hex[:8]}"

    def text(self, text: str) -> str:
        return text.replace("NAME", self.name)

    async def deploy(self, text: str) -> None:
        await self.engine.deploy(self.text(text))

    async def start(self, version: str | None = None) -> str:
        run_id = await self.engine.start("test", self.name, version, {})
        await self.at(run_id, "hear")
        return run_id

    async def at(self, run_id: str, state: str) -> None:
        async with asyncio.timeout(20):
            while [each.name for each in (await self.runtime.describe(run_id)).states] != [state]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            while run_id not in [each["run_id"] for each in self.runner.router.listeners()]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def go(self) -> None:
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "t", "type": "go", "data": "news"}
        await self.runner.router.publish("default", [event])

    async def output(self, run_id: str) -> Any:
        run = await self.runtime.wait(run_id, 20)
        assert run.status == "completed", run
        return run.output


@pytest.fixture
async def shop(temporal_address: str, internet: Any) -> AsyncIterator[Shop]:
    made: list[Shop] = []

    async def find(namespace: str | None, name: str, version: str | None) -> Bundle:
        return await made[0].engine.find_bundle(namespace, name, version)

    async with temporal_runner(temporal_address, internet, find=find) as runner:
        made.append(Shop(runner))
        yield made[0]


async def test_a_redeployed_version_never_touches_a_run_in_flight(shop: Shop) -> None:
    await shop.deploy(FIRST)
    await shop.deploy(AROUND)
    direct = await shop.start()
    outer = await shop.engine.start("test", f"{shop.name}-around", None, {})
    async with asyncio.timeout(20):
        while len({each["run_id"] for each in shop.runner.router.listeners()}) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    with pytest.raises(Conflict):
        await shop.deploy(FIRST.replace("version: 1,", "version: 9,"))
    await shop.deploy(SECOND)
    latest = await shop.start()
    pinned = await shop.start("1.0.0")
    await shop.go()
    assert (await shop.output(direct))["version"] == 1
    assert (await shop.output(outer))["version"] == 1
    assert (await shop.output(pinned))["version"] == 1
    assert (await shop.output(latest))["version"] == 2


async def test_open_runs_are_judged_by_a_candidate_that_is_not_deployed(shop: Shop) -> None:
    await shop.deploy(FIRST)
    run_id = await shop.start()
    answers = {}
    async with asyncio.timeout(20):  # what can be listed is some moments late
        while not (await shop.moving.check(shop.text(SAME)))["checked"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    for text in (SAME, SECOND, UNSAFE, LEAVING):
        checked: Any = await shop.moving.check(shop.text(text))
        [answers[checked["version"]]] = checked["runs"]
        assert (checked["checked"], checked["more"]) == (1, False)
    assert {version: verdict["answer"] for version, verdict in answers.items()} == {
        "1.1.0": "same",
        "2.0.0": "could move",
        "3.0.0": "cannot",
        "4.0.0": "cannot",
    }
    assert all((verdict["run"], verdict["version"]) == (run_id, "1.0.0") for verdict in answers.values())
    assert answers["2.0.0"]["at"] == ["/do/1/hear"]
    assert answers["2.0.0"]["remarks"] == ["/do/1/extra is new and stands before /do/1/hear: it is not done"]
    assert answers["3.0.0"]["reasons"] == [
        {"state": "/do/1/hear", "why": "it has begun, and its strategy is another now"}
    ]
    assert answers["4.0.0"]["reasons"][0]["state"] == "/do/1/hear"
    assert len(await shop.engine.versions("test", shop.name)) == 1
    await shop.runtime.terminate(run_id, "the test is over")


async def test_a_run_moves_to_another_version_and_goes_on_from_where_it_stood(shop: Shop) -> None:
    await shop.deploy(FIRST)
    run_id = await shop.start()
    await shop.deploy(SECOND)
    dry = await shop.moving.migrate(run_id, "2.0.0", {}, seconds=10, dry=True)
    assert dry.answer == "could move"
    described = await shop.runtime.describe(run_id)
    assert described.workflow is not None
    assert described.workflow.version == "1.0.0"

    verdict = await shop.moving.migrate(run_id, "latest", {}, seconds=20, dry=False)
    assert (verdict.answer, verdict.version) == ("moved", "1.0.0")
    again = await shop.moving.migrate(run_id, "latest", {}, seconds=20, dry=False)
    assert (again.answer, again.remarks) == ("same", ["it is of that version"])
    described = await shop.runtime.describe(run_id)
    assert described.workflow is not None
    assert described.workflow.version == "2.0.0"
    await shop.at(run_id, "hear")
    await shop.go()
    assert await shop.output(run_id) == {"version": 2, "heard": "news", "seen": 1}
    with pytest.raises(Conflict, match="has ended"):
        await shop.moving.migrate(run_id, "latest", {}, seconds=1, dry=False)


async def test_a_suspended_run_moves_and_stays_so(shop: Shop) -> None:
    await shop.deploy(FIRST)
    run_id = await shop.start()
    await shop.runtime.suspend(run_id)
    await shop.deploy(SECOND)
    assert (await shop.moving.migrate(run_id, "latest", {}, seconds=20, dry=False)).answer == "moved"
    await shop.go()
    await asyncio.sleep(0.3)
    described = await shop.runtime.describe(run_id)
    assert described.workflow is not None
    assert (described.status, described.workflow.version) == ("suspended", "2.0.0")
    assert [(state.name, state.status) for state in described.states] == [("hear", "suspended")]
    await shop.runtime.resume(run_id)
    assert (await shop.output(run_id))["version"] == 2


async def test_a_run_that_cannot_move_is_left_as_it_is(shop: Shop) -> None:
    await shop.deploy(FIRST)
    run_id = await shop.start()
    await shop.deploy(UNSAFE)
    before = (await shop.runtime.history(run_id, None))["execution"]
    verdict = await shop.moving.migrate(run_id, None, {}, seconds=10, dry=False)
    assert verdict.answer == "cannot"
    assert verdict.reasons[0]["state"] == "/do/1/hear"
    # The run itself refuses too, should it have gone on since it was judged.
    bundle = (await shop.engine.definition("test", shop.name, "3.0.0")).bundle
    handle = shop.runner.client.get_workflow_handle(run_id)
    await handle.signal("migrate", args=[bundle, {}])
    asked: Any = await handle.query("moving")
    assert (asked["moving"], asked["refused"]) == (False, verdict.reasons)
    assert (await shop.runtime.history(run_id, None))["execution"] == before
    await shop.go()
    assert (await shop.output(run_id))["version"] == 1


async def test_a_state_that_is_called_otherwise_is_mapped(shop: Shop) -> None:
    await shop.deploy(FIRST)
    run_id = await shop.start()
    await shop.deploy(SECOND.replace("hear:", "listen-now:"))
    refused = await shop.moving.migrate(run_id, None, {}, seconds=10, dry=False)
    assert refused.answer == "cannot"
    names = {"/do/1/hear": "/do/2/listen-now"}
    assert (await shop.moving.migrate(run_id, None, names, seconds=20, dry=False)).answer == "moved"
    await shop.at(run_id, "listen-now")
    await shop.go()
    assert (await shop.output(run_id))["version"] == 2


def test_a_mapping_is_of_pointers() -> None:
    from workflow_engine.engine.moving import names_of

    with pytest.raises(Rejected, match="is not /pointer/now=/pointer/then"):
        names_of(["hear=listen"])
