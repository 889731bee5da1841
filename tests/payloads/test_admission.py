"""Many runs that take up large values at the same moment do so one after another.

Small here; forty runs with 60 MB each on a worker that may have 512 MiB by

    WFE_SIZE=full .venv/bin/python -m pytest -n 0 -s tests/payloads/test_admission.py
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
import uuid
import weakref
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from temporalio.common import RawValue

from tests.running import temporal_runner
from tests.runtimes.test_large import alone
from tests.standins.internet import Internet
from workflow_engine import dsl
from workflow_engine.calls.content import in_memory
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal import admission
from workflow_engine.runtimes.temporal.admission import Admission, Garbage
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.held import HELD
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.weights import Weights

FULL = os.environ.get("WFE_SIZE") == "full"
RUNS, SIZE, ROOM = (40, 60_000_000, 512) if FULL else (14, 16_000_000, 32)
MIB = 1024 * 1024
EMPTY = 150
"""MiB that a worker has when it has done nothing."""

DOCUMENT = """
document: {dsl: '1.0.3', namespace: tests, name: many, version: '1.0.0'}
do:
  - get: {call: http, with: {method: get, endpoint: 'URL/7'}, output: {as: '{n: .n}'}}
  - answer: {set: {n: '${ .n }', length: '${ $workflow.input.given | length }'}}
"""


@pytest.mark.temporal
@pytest.mark.timeout(600 if FULL else 60)
async def test_many_runs_that_start_at_once_with_large_inputs_do_not_fill_the_memory(
    temporal_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a bound the worker has all inputs at once; with it, what it may have, and one value on its way."""
    monkeypatch.setenv("WFE_PAYLOAD_MEMORY", str(ROOM))
    queue, store, began = f"many-{uuid.uuid4()}", (tmp_path / "store").as_uri(), time.monotonic()
    async with (
        alone(temporal_address, queue, store) as measured,
        open_payloads(store=store, largest=2 * SIZE) as payloads,
    ):
        client = await connect(temporal_address, "default", payloads=payloads)
        runtime = TemporalRuntime(client, queue, search_attributes=False)
        bundle = Bundle.of(dsl.parse(DOCUMENT.replace("URL", measured.url)), {})
        ids, given = [f"many-{uuid.uuid4()}" for _ in range(RUNS)], {"given": "x" * SIZE}
        await asyncio.gather(*(runtime.start(Start(id, bundle.graph().name, bundle, given)) for id in ids))
        outputs = await asyncio.gather(*(client.get_workflow_handle(id).result() for id in ids))
    assert outputs == [{"n": 7, "length": SIZE}] * RUNS
    seconds = time.monotonic() - began
    print(f"\n{RUNS} times {SIZE:,} bytes, {seconds:.1f} s, worker at most {measured.memory} MiB")
    assert measured.memory < EMPTY + 2 * ROOM + 6 * SIZE / MIB < EMPTY + RUNS * SIZE / MIB


class Worker:
    """What an admission asks of one: which runs it has, and which of them have something under way."""

    def __init__(self) -> None:
        self.let_go: list[str] = []
        self.busy: set[str] = set()
        self.settling: set[str] = set()
        self.runs: dict[str, object] = {}

    def admission(self, most: int, **runs: int) -> Admission:
        table = Weights(most)
        for id, weight in runs.items():
            kept = self.runs[id] = Worker()
            table._runs[id] = (weakref.ref(kept), weight, time.monotonic())
        return Admission(table, lambda: self.let_go.append, self.rests)

    def rests(self, run: str) -> bool | None:
        return None if run in self.settling else run not in self.busy


async def entered(admission: Admission, id: str, size: int, inside: list[str], ends: asyncio.Event) -> bool:
    async with admission.place(id, size) as admitted:
        if admitted:
            inside.append(id)
            await ends.wait()
    return admitted


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_who_comes_first_is_admitted_first_and_the_largest_passes_alone() -> None:
    inside: list[str] = []
    ends = {id: asyncio.Event() for id in "abcd"}
    room = Worker().admission(100)
    sizes = {"a": 60, "b": 500, "c": 10, "d": 90}
    tasks = [asyncio.create_task(entered(room, id, size, inside, ends[id])) for id, size in sizes.items()]
    await settled()
    assert inside == ["a"]  # c would fit, and does not overtake b
    ends["a"].set()
    await settled()
    assert inside == ["a", "b"]
    ends["b"].set()
    await settled()
    assert inside == ["a", "b", "c", "d"]
    for end in ends.values():
        end.set()
    assert await asyncio.gather(*tasks) == [True] * 4


async def test_runs_that_rest_make_room_oldest_first_and_are_waited_for() -> None:
    worker, inside, ends = Worker(), list[str](), asyncio.Event()
    room = worker.admission(100, old=40, busy=30, young=30)
    worker.busy.add("busy")
    task = asyncio.create_task(entered(room, "new", 60, inside, ends))
    await settled()
    assert (worker.let_go, inside) == (["old", "young"], [])
    assert room.gone("old")
    await settled()
    assert inside == []
    assert room.gone("young")
    await settled()
    assert inside == ["new"]
    assert not room.gone("unknown")
    ends.set()
    assert await task


async def test_a_run_that_has_just_done_a_part_of_its_task_is_waited_for() -> None:
    worker, inside, ends = Worker(), list[str](), asyncio.Event()
    room = worker.admission(100, one=90)
    worker.settling.add("one")
    task = asyncio.create_task(entered(room, "new", 60, inside, ends))
    await settled()
    assert (worker.let_go, inside) == ([], [])
    worker.settling.clear()
    async with asyncio.timeout(10):
        while not worker.let_go:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert room.gone("one")
    ends.set()
    assert await task
    assert inside == ["new"]


async def test_runs_that_hold_values_and_want_more_do_not_wait_for_each_other() -> None:
    worker, inside, ends = Worker(), list[str](), asyncio.Event()
    room = worker.admission(100, one=50, other=50)
    worker.busy |= {"one", "other"}  # each has a task, with which it waits
    tasks = [asyncio.create_task(entered(room, id, 20, inside, ends)) for id in ("one", "other")]
    await settled()
    assert inside == ["one"]
    ends.set()
    assert await asyncio.gather(*tasks) == [True, True]


async def test_who_waits_too_long_is_told_and_who_is_cancelled_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "PATIENCE", 0.05)
    monkeypatch.setattr(admission, "_LOOKS", 0.02)
    inside, ends, room = list[str](), asyncio.Event(), Worker().admission(100)
    first = asyncio.create_task(entered(room, "first", 100, inside, ends))
    await settled()
    gone = asyncio.create_task(entered(room, "gone", 100, inside, ends))
    late = asyncio.create_task(entered(room, "late", 100, inside, ends))
    await settled()
    gone.cancel()
    assert await late is False
    assert await asyncio.gather(gone, return_exceptions=True) != [True]
    ends.set()
    assert await first
    async with AsyncExitStack() as stack:
        assert await stack.enter_async_context(room.place("next", 100))
    assert inside == ["first"]


def test_what_runs_leave_behind_is_collected_once_it_comes_to_a_part_of_what_they_may_have() -> None:
    class Left:
        def __init__(self) -> None:
            self.itself = self  # as the frames of a run are

    weights = Weights(800)
    garbage, left = Garbage(weights), Left()
    gone = weakref.ref(left)
    gc.disable()
    try:
        del left
        garbage.left(60)
        assert gone() is not None
        garbage.left(60)
        assert gone() is None
    finally:
        gc.enable()


def test_a_run_that_rested_and_is_let_go_of_leaves_something_behind_too() -> None:
    table, kept = Weights(100), Worker()
    table.rests = 0
    table._runs["rests"] = (weakref.ref(kept), 150, time.monotonic() - 1)
    assert table.too_many() == ["rests"]
    assert (table.gone("rests"), table.gone("rests"), table.gone("unknown")) == (150, 0, 0)


@pytest.mark.parametrize(
    "value",
    [
        [{"id": n, "name": f"thing {n}", "price": n / 2, "tags": ["a", "b"]} for n in range(20_000)],
        {"text": "x, y and [z] {" * 50_000},
        [[n, n + 1] for n in range(50_000)],
        ["of 元 and 気 " * 10_000, "and 😀 " * 100_000],
    ],
    ids=["objects", "text", "arrays", "wide text"],
)
def test_what_json_takes_in_memory_is_known_before_it_is_parsed(value: Any) -> None:
    content = orjson.dumps(value)
    found = in_memory(content)
    assert found >= len(content) * 0.9
    if isinstance(value, list):
        import tracemalloc

        tracemalloc.start()
        kept = orjson.loads(content)
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept == value
        assert taken / 2 < found < taken * 2


@pytest.mark.temporal
async def test_a_task_that_fails_since_a_value_is_lost_does_not_keep_the_others(
    temporal_address: str, internet: Internet, tmp_path: Path
) -> None:
    """Its input is there, and is read each time that the server gives the task out; the event that began it is not."""
    event = {"id": "1", "source": "/x", "type": "t", "specversion": "1.0", "data": "y" * 2_000_000}
    store, before = (tmp_path / "store").as_uri(), {*HELD._entries}
    async with open_payloads(store=store) as other:
        lost = await other.converter().encode([[event]])
    [file] = (tmp_path / "store").rglob("?" * 64)
    file.unlink()
    async with (
        open_payloads(store=store) as payloads,
        temporal_runner(temporal_address, internet, payloads=payloads) as runner,
    ):
        bundle, id = (
            Bundle.of(dsl.parse(DOCUMENT.replace("URL", "http://127.0.0.1:1")), {}),
            f"lost-{uuid.uuid4()}",
        )
        args = [{"given": "x" * 2_000_000}, bundle, RawValue(lost[0])]
        handle = await runner.client.start_workflow("many", args=args, id=id, task_queue=runner.queue)
        async with asyncio.timeout(40):
            while (await runner.runtime.describe(id)).parked is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await asyncio.sleep(2)  # it is being tried a second time, or has been
        held = sum(
            len(entry.content or b"") for number, entry in HELD._entries.items() if number not in before
        )
        assert held < 3_000_000
        await handle.terminate()
