"""Calls in a row within one workflow task: what each gave is kept by the worker before the next one is begun."""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_inline import HEADER, events, made, started
from tests.test_replay import replayer
from workflow_engine.errors import Unavailable
from workflow_engine.runtimes.temporal.converter import DATA_CONVERTER
from workflow_engine.runtimes.temporal.failures import UNSUITED
from workflow_engine.runtimes.temporal.interim import results
from workflow_engine.runtimes.temporal.interim.results import Interim
from workflow_engine.runtimes.temporal.interim.sqlite import SqliteInterim
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

temporal = pytest.mark.temporal


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/interim.db"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than a second for a file, and what a slow store means is told elsewhere."""
    monkeypatch.setattr(results, "ANSWERS", 30.0)


@pytest.fixture
async def keeping(temporal_address: str, internet: Any, tmp_path: Path) -> Any:
    """A runner whose worker keeps results in a file."""
    async with temporal_runner(temporal_address, internet, interim=url(tmp_path)) as runner:
        yield runner


def calls(far: FarSide, names: str) -> str:
    return "do: [" + ", ".join(f"{{{name}: {far.call(name)}}}" for name in names) + "]"


@temporal
async def test_calls_in_a_row_are_one_workflow_task(
    keeping: TemporalRunner, far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LONGEST", 60.0)
    ended = await keeping(HEADER + calls(far, "abcde"))
    assert (ended.status, ended.output) == ("completed", {"did": "e"}), ended.error
    counted = await events(keeping, ended.run_id)
    assert counted == {
        "WORKFLOW_EXECUTION_STARTED": 1,
        "WORKFLOW_TASK_SCHEDULED": 1,
        "WORKFLOW_TASK_STARTED": 1,
        "WORKFLOW_TASK_COMPLETED": 1,
        "MARKER_RECORDED": 5,
        "WORKFLOW_EXECUTION_COMPLETED": 1,
    }
    assert far.done == Counter("abcde")
    recorded = await keeping.client.get_workflow_handle(ended.run_id).fetch_history()
    assert (await replayer().replay_workflow(recorded)).replay_failure is None


@temporal
async def test_events_are_published_in_between(
    keeping: TemporalRunner, far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LONGEST", 60.0)
    emit = "{emit: {event: {with: {type: told, data: '${ . }'}}}}"
    text = (
        f"do: [{{a: {emit}}}, {{b: {far.call('b')}}}, {{c: {emit}}}, {{d: {far.call('d')}}}, {{e: {emit}}}]"
    )
    assert await made(keeping, text) == (5, 0)
    monkeypatch.setattr(results, "LONGEST", 0.0)
    assert await made(keeping, text) == (5, 2)


@temporal
async def test_what_a_call_gave_is_kept_before_the_router_is_told_what_to_listen_for(
    temporal_address: str, internet: Any, far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LONGEST", 60.0)
    store = Kept()
    about: list[set[str]] = []

    class Noting:
        def __init__(self, router: Any) -> None:
            self._router = router

        def __getattr__(self, name: str) -> Any:
            return getattr(self._router, name)

        async def listen(self, *given: Any, **named: Any) -> Any:
            about.append({key for kept in store.results.values() for key in kept})
            return await self._router.listen(*given, **named)

    interim = Interim(store.opened, DATA_CONVERTER)
    told = "{one: {with: {type: told, data: '${ .did == \"a\" }'}}}"
    text = f"do: [{{a: {far.call('a')}}}, {{l: {{listen: {{to: {told}}}}}}}]"
    async with temporal_runner(temporal_address, internet, wrap=Noting, interim=interim) as runner:
        run_id = await started(runner, text)
        event = {"specversion": "1.0", "id": "1", "source": "/t", "type": "told", "data": {"did": "a"}}
        await runner.router.publish("default", [event])
        assert (await runner.runtime.wait(run_id, 30)).status == "completed"
        assert "ACTIVITY_TASK_SCHEDULED" not in await events(runner, run_id)
    ((key,),) = about
    assert "/do/0/a" in key


@temporal
async def test_a_task_with_calls_in_a_row_ends_after_half_a_second(
    keeping: TemporalRunner, far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever signals the run need not wait for more than that: the activity carries what is done into the history."""
    monkeypatch.setattr(results, "LONGEST", 0.0)
    assert await made(keeping, calls(far, "abcd")) == (4, 2)
    monkeypatch.setattr(results, "LONGEST", 60.0)
    monkeypatch.setattr(results, "MOST", 3)
    assert await made(keeping, calls(far, "abcd")) == (4, 1)


@temporal
async def test_what_is_large_is_recorded_before_the_next_call(
    keeping: TemporalRunner, far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LONGEST", 60.0)
    monkeypatch.setattr(results, "LARGEST", 1)
    assert await made(keeping, calls(far, "abc")) == (3, 1)


@temporal
async def test_a_fault_is_recorded_before_the_next_call(
    keeping: TemporalRunner, far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LONGEST", 60.0)
    far.broken.add("a")
    tried = f"{{try: [{{a: {far.call('a')}}}], catch: {{errors: {{with: {{status: 503}}}}}}}}"
    assert await made(keeping, f"do: [{{t: {tried}}}, {{b: {far.call('b')}}}, {{c: {far.call('c')}}}]") == (
        2,
        1,
    )


@temporal
async def test_what_was_looked_up_in_between_is_recorded_before_the_next_call(
    keeping: TemporalRunner, far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LONGEST", 60.0)
    text = f"do: [{{a: {far.call('a')}}}, {{t: {{set: '${{ now }}'}}}}, {{b: {far.call('b')}}}, {{c: {far.call('c')}}}]"
    assert await made(keeping, text) == (2, 1)


async def killed_within(
    address: str, internet: Any, far: FarSide, store: str, keys: str = ""
) -> tuple[str, str]:
    """A worker that is killed in a workflow task in which it made the calls a and b and begins c; queue and run."""
    far.held.add("c")
    queue = f"test-{uuid.uuid4()}"
    module = (sys.executable, "-m", "tests.standins.lone_worker", address, queue, "", keys, store, "patient")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*module, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"ready")
    async with (
        open_payloads(keys=keys or None) as payloads,
        temporal_runner(address, internet, payloads=payloads) as elsewhere,
    ):
        elsewhere.runtime = TemporalRuntime(elsewhere.client, queue, search_attributes=False)
        run_id = await started(elsewhere, calls(far, "abcd"))
        await far.asked_for("c")
        process.kill()
        await process.wait()
        assert (await events(elsewhere, run_id))["MARKER_RECORDED"] == 0
    far.held.clear()
    return queue, run_id


@temporal
async def test_calls_of_a_worker_that_is_killed_are_not_made_again_but_the_last(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path
) -> None:
    queue, run_id = await killed_within(temporal_address, internet, far, url(tmp_path))
    async with temporal_runner(temporal_address, internet, queue=queue, interim=url(tmp_path)) as runner:
        assert (await runner.runtime.wait(run_id, 60)).output == {"did": "d"}
        assert "ACTIVITY_TASK_SCHEDULED" not in await events(runner, run_id)
    assert [what for what, _ in far.asked] == ["a", "b", "c", "c", "d"]
    assert far.keys("c") == [f"{run_id}/do/2/c"] * 2


@temporal
async def test_those_of_a_worker_with_another_store_are_made_again_by_the_same_keys(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path
) -> None:
    """So all workers that share runs have one store, as the setting says."""
    queue, run_id = await killed_within(temporal_address, internet, far, url(tmp_path))
    async with temporal_runner(
        temporal_address, internet, queue=queue, interim=url(tmp_path / "other")
    ) as runner:
        assert (await runner.runtime.wait(run_id, 60)).output == {"did": "d"}
    assert far.keys("a") == [f"{run_id}/do/0/a"] * 2


@temporal
async def test_results_are_encrypted_where_values_are(
    temporal_address: str,
    internet: Any,
    far: FarSide,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WFE_PAYLOAD_KEY_ONE", "00112233445566778899aabbccddeeff" * 2)
    queue, run_id = await killed_within(temporal_address, internet, far, url(tmp_path), "env:")
    store = await SqliteInterim.open(tmp_path / "interim.db")
    found = await store._db.read(lambda db: db.execute("SELECT key, result FROM interim").fetchall())
    await store.close()
    assert len(found) == 2
    assert not any(b"did" in result for _, result in found)
    async with (
        open_payloads(keys="env:") as payloads,
        temporal_runner(
            temporal_address, internet, queue=queue, interim=url(tmp_path), payloads=payloads
        ) as runner,
    ):
        assert (await runner.runtime.wait(run_id, 60)).output == {"did": "d"}
    assert [what for what, _ in far.asked] == ["a", "b", "c", "c", "d"]


@temporal
async def test_results_are_forgotten_once_their_run_has_ended(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LONGEST", 60.0)
    monkeypatch.setattr(results, "AFTER", 0.0)
    monkeypatch.setattr(results, "TIDY", 0.05)
    async with temporal_runner(temporal_address, internet, interim=url(tmp_path)) as runner:
        wait = "{wait: {milliseconds: 1}}"
        row = calls(far, "abc").removesuffix("]")
        ended = await runner(
            HEADER + f"{row}, {{w: {wait}}}, {{d: {far.call('d')}}}, {{e: {far.call('e')}}}]"
        )
        assert ended.status == "completed"
        store = await SqliteInterim.open(tmp_path / "interim.db")
        async with asyncio.timeout(20):
            while await store._db.read(lambda db: db.execute("SELECT 1 FROM interim").fetchall()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await store.close()


class Kept:
    """An `InterimStore` in memory, which can be away."""

    def __init__(self) -> None:
        self.away = False
        self.results: dict[str, dict[str, bytes]] = {}

    def _there(self) -> None:
        if self.away:
            raise Unavailable("the store is away")

    async def of(self, execution: str) -> Mapping[str, bytes]:
        self._there()
        return dict(self.results.get(execution, {}))

    async def keep(self, execution: str, results: Mapping[str, bytes]) -> None:
        self._there()
        self.results.setdefault(execution, {}).update(results)

    async def forget(self, executions: Collection[str], calls: Collection[tuple[str, str]]) -> None:
        self._there()
        for execution in executions:
            self.results.pop(execution, None)
        for execution, key in calls:
            self.results.get(execution, {}).pop(key, None)

    async def prune(self, before: float) -> int:
        return 0

    async def close(self) -> None:
        pass

    async def opened(self) -> Kept:
        return self


@asynccontextmanager
async def interim_of(store: Kept) -> Any:
    async with Interim(store.opened, DATA_CONVERTER).at_work() as interim:
        yield interim


def giving(made: list[str], what: str) -> Any:
    async def make() -> RawValue:
        made.append(what)
        return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=f'"{what}"'.encode()))

    return make


async def row(interim: Interim, made: list[str], names: str, execution: str = "one") -> list[bytes]:
    """The calls *names* of one workflow task."""
    found = [
        await interim.call(execution, name, giving(made, name), after=number > 0)
        for number, name in enumerate(names)
    ]
    return [each.payload.data for each in found]


async def test_a_task_that_is_done_again_has_what_was_kept_of_it() -> None:
    store, made = Kept(), list[str]()
    async with interim_of(store) as interim:
        assert await row(interim, made, "abc") == [b'"a"', b'"b"', b'"c"']
    async with interim_of(store) as another:
        assert await row(another, made, "abcd") == [b'"a"', b'"b"', b'"c"', b'"d"']
    assert made == [*"abc", *"cd"], "the last of a task is made again, as an activity would be"


async def test_what_was_kept_is_found_though_the_task_is_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise an activity would make the call again."""
    store, made = Kept(), list[str]()
    async with interim_of(store) as interim:
        await row(interim, made, "abcd")
    monkeypatch.setattr(results, "LONGEST", 0.0)
    monkeypatch.setattr(results, "MOST", 1)
    async with interim_of(store) as another:
        await row(another, made, "abc")
        assert await refused(another, "d", made)
    assert made == [*"abcd"]


async def test_one_call_alone_needs_no_store() -> None:
    store, made = Kept(), list[str]()
    async with interim_of(store) as interim:
        await row(interim, made, "a")
        await row(interim, made, "b")
    assert store.results == {}


async def test_what_is_done_again_is_not_forgotten_for_being_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(results, "AFTER", 0.0)
    monkeypatch.setattr(results, "TIDY", 0.01)
    store, made = Kept(), list[str]()
    async with interim_of(store) as interim:
        await row(interim, made, "abc")
        await row(interim, made, "a")  # again, and is given up after that
        await asyncio.sleep(0.1)
        assert set(store.results["one"]) == {"a", "b"}
        await row(interim, made, "d")  # another task: the one before is recorded
        async with asyncio.timeout(10):
            while "a" in store.results["one"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert set(store.results["one"]) == {"b"}, "nobody knows whether it is yet to be come to"
        interim.let_go("one", ended=True)
        async with asyncio.timeout(10):
            while store.results:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_what_a_task_that_is_done_again_does_not_come_to_is_there_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run was suspended meanwhile, and goes on with what had followed."""
    monkeypatch.setattr(results, "AFTER", 0.0)
    monkeypatch.setattr(results, "TIDY", 0.01)
    store, made = Kept(), list[str]()
    async with interim_of(store) as interim:
        await row(interim, made, "abcd")
    async with interim_of(store) as another:
        await row(another, made, "a")
        await row(another, made, "b")
        async with asyncio.timeout(10):
            while "a" in store.results["one"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await row(another, made, "c")
    assert made == [*"abcd"]


async def refused(interim: Interim, name: str, made: list[str]) -> bool:
    """Whether the call is to be an activity."""
    try:
        await interim.call("one", name, giving(made, name), after=True)
    except ApplicationError as error:
        return error.type == UNSUITED
    return False


async def test_while_the_store_is_away_each_call_is_recorded_first(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(results, "PAUSE", 0.0)
    store, made = Kept(), list[str]()
    async with interim_of(store) as interim:
        await row(interim, made, "a")
        store.away = True
        assert await refused(interim, "b", made)
        await row(interim, made, "c")
        assert await refused(interim, "d", made)
        store.away = False
        assert await refused(interim, "e", made), "nobody knows whether c had been made before"
        assert len(await row(interim, made, "fg")) == 2
    assert made == [*"acfg"]
    assert [record.message for record in caplog.records if "interim" in record.name] == [
        "meanwhile each call is recorded before the next one is made: the store is away",
        "the interim store works again",
    ]


async def test_a_store_that_is_away_is_asked_now_and_then_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PAUSE", 3600.0)
    store, made = Kept(), list[str]()
    store.away = True
    async with interim_of(store) as interim:
        await row(interim, made, "a")
        store.away = False
        await row(interim, made, "b")
        assert await refused(interim, "c", made)


async def test_a_worker_that_knows_nothing_of_what_was_done_before_leaves_it_to_an_activity() -> None:
    made: list[str] = []
    async with interim_of(Kept()) as interim:
        assert await refused(interim, "a", made)
        await row(interim, made, "b")
        interim.let_go("one", ended=False)
        assert await refused(interim, "c", made)


async def test_little_is_remembered_of_runs_that_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "TASKS", 3)
    monkeypatch.setattr(results, "HELD", 2)
    made: list[str] = []
    async with interim_of(Kept()) as interim:
        for number in range(9):
            await row(interim, made, "ab", execution=str(number))
        assert (len(interim._tasks), len(interim._holds)) == (3, 2)
