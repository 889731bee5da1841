"""The router's store and Temporal, one of which is restored from an older backup: the real Temporal, real files."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.running import TemporalRunner, temporal_runner
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.restoring import Restoring, Stamp, StoreStamps
from workflow_engine.engine.runtime import Start
from workflow_engine.engine.targets import RunTarget
from workflow_engine.errors import Unavailable
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.events.targets import Delivered
from workflow_engine.runtimes.temporal import hearing
from workflow_engine.runtimes.temporal.stamps import TemporalStamps

pytestmark = pytest.mark.temporal
ONE = """
document: {dsl: '1.0.3', namespace: test, name: one, version: '1.0.0'}
do:
  - hear: {listen: {to: {one: {with: {type: go}}}}, output: {as: '[.[].n]'}}
"""
ALL = """
document: {dsl: '1.0.3', namespace: test, name: all, version: '1.0.0'}
do:
  - hear: {listen: {to: {all: [{with: {type: a}}, {with: {type: b}}]}}, output: {as: '[.[].n]'}}
"""


class Place:
    """Where the router is that the worker asks: it may be another one later."""

    router: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.router, name)


class Shop:
    """A worker, a router on a file, and what compares that file with Temporal."""

    def __init__(self, runner: TemporalRunner, place: Place, file: Path) -> None:
        self.runner, self.place, self.file = runner, place, file
        self.restoring: Restoring = None  # type: ignore[assignment]
        self.target: Any = RunTarget(runner.runtime)

    async def open(self) -> None:
        self.place.router = Router(open_store(f"sqlite:///{self.file}"), targets={"run": self.target})
        await self.place.router.start()
        self.temporal = TemporalStamps(self.runner.client, self.runner.queue)
        self.restoring = Restoring(
            self.place.router,
            partial(hearing.open_runs, self.runner.client, self.runner.queue),
            partial(hearing.heard, self.runner.client),
            store=StoreStamps(self.place.router),
            temporal=self.temporal,
        )

    async def close(self) -> None:
        await self.place.router.stop()

    async def start(self, text: str) -> str:
        bundle = Bundle.of(dsl.parse(text), {})
        name = bundle.graph().name
        run_id = f"{name.name}-{uuid.uuid4()}"
        await self.runner.runtime.start(Start(run_id, name, bundle, {}))
        await self.until(lambda: run_id in self.listening())
        return run_id

    def listening(self) -> dict[str, int]:
        return {str(each["run_id"]): int(str(each["delivered"])) for each in self.place.router.listeners()}

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110 - runs are elsewhere
                await asyncio.sleep(0.02)

    async def received(self, run_id: str, count: int) -> None:
        async with asyncio.timeout(20):
            while (await hearing.heard(self.runner.client, run_id) or [])[0].received != count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def publish(self, type: str, n: int) -> None:
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "t", "type": type, "data": {"n": n}}
        await self.place.router.publish("default", [event])


@asynccontextmanager
async def shop(address: str, internet: Any, folder: Path) -> AsyncIterator[Shop]:
    place = Place()
    async with temporal_runner(address, internet, wrap=lambda _: place) as runner:
        opened = Shop(runner, place, folder / "events.db")
        await opened.open()
        try:
            yield opened
        finally:
            async for run_id in hearing.open_runs(runner.client, runner.queue):
                await runner.runtime.terminate(run_id, "the test is over")
            await opened.close()


def copied(file: Path, to: Path) -> None:
    for part in file.parent.glob(f"{file.name}*"):
        shutil.copy(part, to.with_name(part.name.replace(file.name, to.name)))


def removed(file: Path) -> None:
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()


async def visible(shop: Shop, *runs: str) -> None:
    """Lists of runs come a moment later than the runs."""
    async with asyncio.timeout(20):
        while not set(runs) <= {id async for id in hearing.open_runs(shop.runner.client, shop.runner.queue)}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", ["deleted", "from a backup"])
async def test_a_store_that_is_lost_or_older_hears_again_for_the_runs_that_wait(
    temporal_address: str, internet: Any, tmp_path: Path, how: str
) -> None:
    backup = tmp_path / "backup.db"
    async with shop(temporal_address, internet, tmp_path) as here:
        await here.restoring.look()
        await here.close()
        copied(here.file, backup)
        await here.open()
        one, both = await here.start(ONE), await here.start(ALL)
        await here.publish("a", 1)
        await here.received(both, 1)
        time.sleep(0.01)  # noqa: ASYNC251 - stamps differ
        await here.restoring.look()
        assert here.restoring.warnings == {}
        await visible(here, one, both)
        await here.close()
        removed(here.file)
        if how == "from a backup":
            copied(backup, here.file)
        await here.open()
        await here.restoring.look()
        told = here.restoring.warnings["store"]
        assert ("is another one" if how == "deleted" else "the router's store is of") in told
        assert "asking" not in here.restoring.warnings
        assert set(here.listening()) == {one, both}
        await here.publish("go", 3)
        await here.publish("b", 2)
        assert (await here.runner.runtime.wait(one, 20)).output == [3]
        assert (await here.runner.runtime.wait(both, 20)).output == [1, 2]
        again = await here.restoring.asked()
        assert (again.registered, again.renewed, again.unanswered) == (0, 0, [])
        assert here.restoring.warnings == {}
        await here.restoring.look()  # the stamps are those of today
        assert await here.temporal.read() == await StoreStamps(here.place.router).read()


async def test_runs_that_lost_events_which_the_router_has_given_them_get_them_again(
    temporal_address: str, internet: Any, tmp_path: Path
) -> None:
    async with shop(temporal_address, internet, tmp_path) as here:

        async def lost(delivery: Any) -> Delivered:
            return Delivered("delivered")

        true, here.target.deliver = here.target.deliver, lost
        one, both = await here.start(ONE), await here.start(ALL)
        await here.publish("go", 4)
        await here.publish("a", 5)
        await here.until(lambda: here.listening() == {one: 1, both: 1})
        here.target.deliver = true
        await visible(here, one, both)
        repaired = await here.restoring.repair()
        assert (repaired.runs, repaired.listeners, repaired.renewed) == (2, 2, 2)
        assert (await here.runner.runtime.wait(one, 20)).output == [4]
        await here.publish("b", 6)
        assert (await here.runner.runtime.wait(both, 20)).output == [5, 6]


async def test_a_temporal_that_is_older_than_the_store_is_told(
    temporal_address: str, internet: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with shop(temporal_address, internet, tmp_path) as here:
        await here.restoring.look()
        stamp = await here.temporal.read()
        assert stamp is not None
        await here.temporal.write(Stamp(stamp.store, stamp.at - 3600))
        await here.close()
        await here.open()
        await here.restoring.look()
        told = here.restoring.warnings["temporal"]
        assert f"Temporal is of {Stamp('', stamp.at - 3600).moment()}" in told
        assert "seek their subscriptions back" in told
        assert any(told in message for message in caplog.messages)


async def test_what_cannot_be_asked_is_tried_again_and_the_stamps_stay(
    temporal_address: str, internet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(temporal_address, internet, tmp_path) as here:
        run_id = await here.start(ONE)
        await here.restoring.look()
        stamp = await here.temporal.read()
        assert stamp is not None
        await visible(here, run_id)
        await here.temporal.write(Stamp("of another store", stamp.at))
        ask = here.restoring._ask

        async def nobody(run_id: str) -> None:
            return None

        monkeypatch.setattr(here.restoring, "_ask", nobody)
        await here.restoring.look()
        assert "1 runs could not be asked" in here.restoring.warnings["asking"]
        assert await here.temporal.read() == Stamp("of another store", stamp.at)
        monkeypatch.setattr(here.restoring, "_ask", ask)
        await here.restoring.look()
        assert "asking" not in here.restoring.warnings
        assert (await here.temporal.read()).store == stamp.store  # type: ignore[union-attr]


async def test_a_temporal_that_takes_no_stamps_does_not_count_as_older(
    temporal_address: str, internet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(temporal_address, internet, tmp_path) as here:
        await here.restoring.look()
        write = here.temporal.write

        async def full(stamp: Stamp) -> None:
            raise Unavailable("its disk is full")

        monkeypatch.setattr(here.temporal, "write", full)
        with pytest.raises(Unavailable):
            await here.restoring.look()
        waiting = await StoreStamps(here.place.router).read()
        with pytest.raises(Unavailable):
            await here.restoring.look()
        assert await StoreStamps(here.place.router).read() == waiting
        monkeypatch.setattr(here.temporal, "write", write)
        await here.restoring.look()
        assert await here.temporal.read() == waiting
        assert here.restoring.warnings == {}
