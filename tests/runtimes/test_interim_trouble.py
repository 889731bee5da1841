"""The interim store beside what goes wrong: a store that fails as none should, tasks done again, workers that stop."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec
from temporalio.exceptions import ApplicationError

from tests.running import temporal_runner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_inline import HEADER, made, started
from tests.runtimes.test_inline_surroundings import replays
from tests.runtimes.test_interim import Kept, calls, interim_of, row, url
from tests.standins.postgresql import PostgresServer
from workflow_engine.errors import Unavailable
from workflow_engine.runtimes.temporal.converter import DATA_CONVERTER
from workflow_engine.runtimes.temporal.interim import results
from workflow_engine.runtimes.temporal.interim.opening import open_interim
from workflow_engine.runtimes.temporal.interim.results import Interim
from workflow_engine.runtimes.temporal.interim.sqlite import SqliteInterim
from workflow_engine.runtimes.temporal.resting import Limits

temporal = pytest.mark.temporal


class Odd(Kept):
    """Fails once as nobody expects, at each thing that is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: set[str] = set()

    def _once(self, what: str) -> None:
        if what not in self.failed:
            self.failed.add(what)
            raise RuntimeError(f"{what}: nobody expects this")

    async def keep(self, execution: str, results: Mapping[str, bytes]) -> None:
        self._once("keep")
        await super().keep(execution, results)

    async def forget(self, *given: Any) -> None:
        self._once("forget")
        await super().forget(*given)


async def test_a_store_that_fails_as_nobody_expects_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PAUSE", 0.0)
    monkeypatch.setattr(results, "AFTER", 0.0)
    monkeypatch.setattr(results, "TIDY", 0.01)
    store, made = Odd(), list[str]()
    async with interim_of(store) as interim:
        with pytest.raises(ApplicationError, match="recorded"):
            await row(interim, made, "ab")
        await row(interim, made, "cde")
        interim.let_go("one", ended=True)
        async with asyncio.timeout(10):
            while store.results:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert store.failed == {"keep", "forget"}


async def test_what_could_not_be_encrypted_is_not_taken_for_kept_when_it_is_tried_again() -> None:
    class Keyless(PayloadCodec):
        async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
            raise Unavailable("the key is not there")

        async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
            return [*payloads]

    store, made = Kept(), list[str]()
    converter = dataclasses.replace(DATA_CONVERTER, payload_codec=Keyless())
    async with Interim(store.opened, converter).at_work() as interim:
        await row(interim, made, "a")
        with pytest.raises(Unavailable, match="the key"):
            await interim.event("one", "event", after=True)
        with pytest.raises(ApplicationError, match="recorded"):
            await interim.event("one", "event", after=True)
    assert store.results == {}


async def test_a_worker_that_stops_forgets_what_is_recorded() -> None:
    store, made = Kept(), list[str]()
    async with interim_of(store) as interim:
        await row(interim, made, "abc", execution="ended")
        await row(interim, made, "abc", execution="goes on")
        interim.let_go("ended", ended=True)
    assert [*store.results] == ["goes on"]


async def test_a_database_that_was_emptied_is_used_again(
    own_postgresql_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "PAUSE", 0.0)
    place, made = own_postgresql_server.create_database(), list[str]()
    async with Interim(lambda: open_interim(place), DATA_CONVERTER).at_work() as interim:
        await row(interim, made, "ab")
        connection = await asyncpg.connect(place)
        await connection.execute("DROP SCHEMA wfe CASCADE")
        await connection.close()
        await row(interim, made, "c", execution="other")
        assert len(await row(interim, made, "de", execution="another")) == 2


async def test_nobody_waits_for_a_store_that_takes_long_to_be_opened_or_to_give_that_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(results, "ANSWERS", 0.01)
    monkeypatch.setattr(results, "CLOSES", 0.01)
    monkeypatch.setattr(results, "PAUSE", 0.0)
    store, made, reached, given_up = Kept(), list[str](), asyncio.Event(), asyncio.Event()
    opened = [store]

    async def slowly() -> Kept:
        if opened:
            return opened.pop()
        try:
            await reached.wait()
        finally:
            await given_up.wait()
        return store

    async with Interim(slowly, DATA_CONVERTER).at_work() as interim:
        store.away = True
        for _ in range(3):
            await row(interim, made, "a")
        assert interim._store is None
        store.away = False
        reached.set()
        given_up.set()
        async with asyncio.timeout(10):
            while interim._store is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(await row(interim, made, "bc")) == 2
    assert made == [*"aaabc"]


@temporal
async def test_a_file_that_another_program_has_locked_keeps_no_run_waiting(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path
) -> None:
    async with temporal_runner(temporal_address, internet, interim=url(tmp_path)) as runner:
        locking = sqlite3.connect(tmp_path / "interim.db", isolation_level=None)
        locking.execute("BEGIN IMMEDIATE")
        ended = await runner(HEADER + calls(far, "abcdef"))
        locking.execute("ROLLBACK")
        locking.close()
        assert ended.output == {"did": "f"}, ended.error
    assert [what for what, _ in far.asked] == [*"abcdef"]


@temporal
async def test_a_row_that_is_done_again_for_a_signal_makes_no_call_twice(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LONGEST", 60.0)
    far.held.add("c")
    async with temporal_runner(temporal_address, internet, interim=url(tmp_path)) as runner:
        run_id = await started(runner, calls(far, "abc"))
        await far.asked_for("c")
        await runner.client.get_workflow_handle(run_id).signal("resume")
        far.held.clear()
        assert (await runner.runtime.wait(run_id, 30)).output == {"did": "c"}
        assert await replays(runner, run_id)
    assert [what for what, _ in far.asked] == [*"abc"]


@temporal
async def test_a_worker_that_stops_in_a_row_leaves_the_rest_to_another(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LONGEST", 60.0)
    far.held.add("c")
    queue = f"test-{uuid.uuid4()}"
    async with temporal_runner(temporal_address, internet, queue=queue, interim=url(tmp_path)) as runner:
        run_id = await started(runner, calls(far, "abcdef"))
        await far.asked_for("c")
        asyncio.get_running_loop().call_later(0.2, far.held.clear)
    async with temporal_runner(temporal_address, internet, queue=queue, interim=url(tmp_path)) as runner:
        assert (await runner.runtime.wait(run_id, 60)).output == {"did": "f"}
        assert await replays(runner, run_id)
    assert [what for what, _ in far.asked] == [*"abcdef"]


@temporal
async def test_a_loop_goes_on_in_new_histories_and_makes_each_call_once(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "MOST", 4)
    async with temporal_runner(temporal_address, internet, interim=url(tmp_path)) as runner:
        runner.limits = Limits(events=12)
        loop = f"{{for: {{each: n, in: '${{ [range(30)] }}'}}, do: [{{a: {far.call('a')}}}]}}"
        ended = await runner(HEADER + f"do: [{{l: {loop}}}]")
        assert ended.status == "completed", ended.error
        assert await replays(runner, ended.run_id)
    assert len(set(far.keys("a"))) == len(far.keys("a")) == 30
    store = await SqliteInterim.open(tmp_path / "interim.db")
    assert not await store._db.read(lambda db: db.execute("SELECT 1 FROM interim").fetchall())
    await store.close()


@temporal
async def test_a_database_that_stands_still_keeps_no_run_waiting_and_is_used_again(
    temporal_address: str,
    internet: Any,
    far: FarSide,
    own_postgresql_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(results, "LONGEST", 60.0)
    monkeypatch.setattr(results, "PAUSE", 0.0)
    place = own_postgresql_server.create_database()
    async with temporal_runner(temporal_address, internet, interim=place) as runner:
        assert await made(runner, calls(far, "abc")) == (3, 0)
        with own_postgresql_server.frozen():
            assert await made(runner, calls(far, "abc")) == (3, 1)
        monkeypatch.setattr(results, "ANSWERS", 60.0)
        assert await made(runner, calls(far, "abc")) == (3, 0)
    assert [what for what, _ in far.asked] == [*"abc"] * 3
