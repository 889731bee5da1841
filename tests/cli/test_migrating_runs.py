"""`wfe runs migrate` as its users run it, against an API and runs on a real Temporal server."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.server import serve
from tests.cli.command import WFE, Ended, environment, wfe
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_migrating import FIRST, SECOND, UNSAFE, Shop, shop  # noqa: F401 - a fixture
from workflow_engine.api.app import create_app

pytestmark = pytest.mark.temporal


class Desk:
    """The command line of a shop."""

    def __init__(self, shop: Shop, url: str) -> None:  # noqa: F811
        self.shop, self.url = shop, url

    async def migrate(self, *arguments: str) -> Ended:
        return await asyncio.to_thread(wfe, "runs", "migrate", "--api-url", self.url, *arguments)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*WFE, "runs", "migrate", "--api-url", self.url, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    async def versions(self, ids: list[str]) -> list[str]:
        found = [(await self.shop.runtime.describe(id)).workflow for id in ids]
        return [each.version if each else "" for each in found]


@pytest.fixture
async def desk(shop: Shop) -> AsyncIterator[Desk]:  # noqa: F811
    async with serve(create_app(shop.engine, shop.runner.router)) as url:
        yield Desk(shop, url)


async def begun(shop: Shop, number: int) -> list[str]:  # noqa: F811
    await shop.deploy(FIRST)
    ids = await asyncio.gather(*(shop.start() for _ in range(number)))
    await shop.deploy(SECOND)
    return sorted(ids)


async def listed(shop: Shop, number: int) -> None:  # noqa: F811
    """Return once Temporal finds so many open runs."""
    from workflow_engine.engine.runtime import RunQuery

    async with asyncio.timeout(20):
        while len((await shop.engine.runs(RunQuery(name=shop.name, status="running"))).runs) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_all_runs_of_a_workflow_are_moved_side_by_side_with_a_result_for_each(desk: Desk) -> None:
    shop = desk.shop  # noqa: F811
    ids = await begun(shop, 5)
    await listed(shop, 5)
    dry = await desk.migrate("--workflow", f"test/{shop.name}", "--dry-run", "--parallel", "3")
    assert (dry.code, dry.out.count("could move")) == (0, 5), dry.err
    assert "5 runs: 5 could move" in dry.err
    assert await desk.versions(ids) == ["1.0.0"] * 5
    ended = await desk.migrate("--query", f"workflow={shop.name},after=1h", "--parallel", "3", "--json")
    assert ended.code == 0, ended.err
    answers: Any = {verdict["run"]: verdict["answer"] for verdict in ended.json}
    assert answers == dict.fromkeys(ids, "moved")
    assert await desk.versions(ids) == ["2.0.0"] * 5
    await shop.go()
    assert [(await shop.output(id))["version"] for id in ids] == [2] * 5
    late = await desk.migrate(ids[0], "no-such-run")
    assert (late.code, late.out.count("failed")) == (1, 2)
    assert "there is nothing to move" in late.out


async def test_those_that_cannot_move_are_told_and_the_others_moved(desk: Desk) -> None:
    shop = desk.shop  # noqa: F811
    ids = await begun(shop, 2)
    await listed(shop, 2)
    await shop.deploy(UNSAFE)
    refused = await desk.migrate("--query", f"workflow=test/{shop.name}/1.0.0", "--to", "3.0.0")
    assert (refused.code, refused.out.count("cannot")) == (1, 2), refused.err
    assert "its strategy is another now" in refused.out
    for id in ids:
        await shop.runtime.terminate(id, "enough")


async def test_it_stops_when_it_is_told_to_and_goes_on_when_it_is_run_again(desk: Desk, far: FarSide) -> None:
    shop = desk.shop  # noqa: F811
    far.held = {"a"}
    head = f"document: {{dsl: '1.0.3', namespace: test, name: {shop.name}, version: "
    body = f"do: [{{a: {far.call('a')}}}, {{w: {{listen: {{to: {{one: {{with: {{type: go}}}}}}}}}}}}]"
    await shop.deploy(f"{head}'1.0.0'}}\n{body}")
    ids = [await shop.engine.start("test", shop.name, None, {}) for _ in range(4)]
    await far.asked_for("a", 4)
    await shop.deploy(f"{head}'2.0.0'}}\n{body}")
    await listed(shop, 4)
    command = desk.begin("--workflow", f"test/{shop.name}", "--parallel", "2")
    try:
        handles = [shop.runner.client.get_workflow_handle(id) for id in ids]
        async with asyncio.timeout(60):  # another process, which has to begin
            while sum([(await handle.query("moving"))["moving"] for handle in handles]) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        command.send_signal(signal.SIGINT)
        _, err = await asyncio.to_thread(command.communicate, timeout=20)
    finally:
        command.kill()
    assert command.returncode == 130
    assert "Stopped: 4 runs of 4 not dealt with. Do it again for those." in err
    assert "Traceback" not in err
    far.held = set()
    for id in ids:
        await shop.at(id, "w")
    assert sorted(await desk.versions(ids)) == ["1.0.0", "1.0.0", "2.0.0", "2.0.0"]
    again = await desk.migrate("--workflow", f"test/{shop.name}")
    assert (again.code, again.out.count("moved")) == (0, 2), again.err
    assert await desk.versions(ids) == ["2.0.0"] * 4
    assert far.done == {"a": 4}
    await shop.go()
    for id in ids:
        assert (await shop.runtime.wait(id, 20)).status == "completed"


async def test_a_run_is_led_past_what_it_waits_for(desk: Desk) -> None:
    shop = desk.shop  # noqa: F811
    await shop.deploy(FIRST)
    run_id = await shop.start()
    skipped = await asyncio.to_thread(
        wfe, "runs", "skip", run_id, "--state", "/do/1/hear", "--output", '"by hand"', "--api-url", desk.url
    )
    assert (skipped.code, skipped.out.split()[0]) == (0, run_id), skipped.err
    assert await shop.output(run_id) == {"version": 1, "heard": "by hand", "seen": 1}


async def test_what_is_asked_must_make_sense(desk: Desk) -> None:
    assert (await desk.migrate("an-id", "--query", "all")).code == 2
    error = await desk.migrate("--query", "error=timeout")
    assert (error.code, "has no error yet" in error.err) == (2, True)
