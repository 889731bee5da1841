"""Something is done to many runs at once, on Temporal."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.semantics.v1.documents import workflow
from tests.semantics.v1.test_control import until
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.batches import Batch, BatchProgress
from workflow_engine.engine.runtime import RunQuery, Start
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal.batches import TemporalBatches

pytestmark = pytest.mark.temporal
MANY = 50


@pytest.fixture
def batches(runner: TemporalRunner) -> TemporalBatches:
    return TemporalBatches(runner.client, runner.queue, runner.runtime)


async def start(runner: TemporalRunner, text: str, count: int) -> list[str]:
    bundle = Bundle.of(dsl.parse(text), {})
    ids = [f"many-{uuid.uuid4()}" for _ in range(count)]
    for id in ids:
        await runner.runtime.start(Start(id, bundle.graph().name, bundle, {}))
    return ids


async def found(batches: TemporalBatches, batch: Batch, total: int) -> None:
    """Wait until Temporal can list the runs: it does so a little later."""
    async with asyncio.timeout(30):
        while len((await batches.count(batch)).runs) != total:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def done(batches: TemporalBatches, batch: Batch) -> BatchProgress:
    id = uuid.uuid4().hex
    await batches.start(id, batch)
    await batches.start(id, batch)
    async with asyncio.timeout(60):
        while True:
            progress = await batches.progress(id, 0, 1000)
            if progress.status not in ("finding", "running"):
                return progress
            await asyncio.sleep(0.1)


def batch(command: str, **members: Any) -> Batch:
    query = RunQuery(**{name: members.pop(name) for name in list(members) if name in RunQuery.__slots__})
    return Batch(command, query, rate=1000, **members).checked()


async def test_fifty_failed_runs_are_counted_and_retried_and_a_second_time_there_are_none(
    runner: TemporalRunner, batches: TemporalBatches, far: FarSide
) -> None:
    far.broken = {"b"}
    text = workflow(f"do: [{{a: {far.call('a')}}}, {{b: {far.call('b')}}}]", name="one")
    ids = await start(runner, text, MANY)
    other = workflow(
        "do: [{a: {raise: {error: {type: 'https://x.example/other', status: 400}}}}]", name="other"
    )
    (odd,) = await start(runner, other, 1)
    for id in [*ids, odd]:
        await runner.runtime.wait(id, 30)
    await found(batches, batch("retry"), MANY + 1)
    for wanted, count in (("other", 1), ("communication", MANY)):
        assert len((await batches.count(batch("retry", error=wanted))).runs) == count
    assert len((await batches.count(batch("retry", name="one", version="2.0.0"))).runs) == 0
    assert far.done == {"a": MANY}
    far.broken = set()
    progress = await done(batches, batch("retry", name="one"))
    assert (progress.total, progress.done, progress.refused, progress.failed) == (MANY, MANY, 0, 0)
    assert {result.run_id for result in progress.results} == set(ids)
    for id in ids:
        assert (await runner.runtime.wait(id, 30)).status == "completed"
    assert far.done == {"a": MANY, "b": MANY}
    await found(batches, batch("retry", name="one"), 0)  # what is over is not listed as faulted
    again = await done(batches, batch("retry", ids=(ids[0], odd, "nobody")))
    assert [(result.run_id, result.status) for result in again.results] == [
        (ids[0], "refused"),
        (odd, "done"),
        ("nobody", "refused"),
    ]
    await runner.runtime.wait(odd, 30)


async def test_runs_are_suspended_resumed_and_cancelled_together(
    runner: TemporalRunner, batches: TemporalBatches
) -> None:
    ids = await start(runner, workflow("do: [{w: {wait: PT1H}}]"), 5)
    await found(batches, batch("suspend"), 5)
    past = datetime.now(UTC) - timedelta(hours=1)
    await found(batches, batch("suspend", before=past), 0)
    await found(batches, batch("suspend", after=past), 5)
    assert (await done(batches, batch("suspend"))).done == 5
    assert [(await runner.runtime.describe(id)).status for id in ids] == ["suspended"] * 5
    assert (await done(batches, batch("resume"))).done == 5
    assert [(await runner.runtime.describe(id)).status for id in ids] == ["waiting"] * 5
    assert (await done(batches, batch("cancel", ids=tuple(ids[:3])))).done == 3
    assert [(await runner.runtime.wait(id, 20)).status for id in ids[:3]] == ["cancelled"] * 3
    assert (await done(batches, batch("terminate", name="test"))).done >= 2
    assert [(await runner.runtime.wait(id, 20)).status for id in ids] == ["cancelled"] * 5


async def test_failed_states_are_skipped_together(runner: TemporalRunner, batches: TemporalBatches) -> None:
    text = workflow("do: [{a: {raise: {error: {type: 'https://x.example/e', status: 400}}}}]")
    ids = await start(runner, text, 3)
    for id in ids:
        await runner.runtime.wait(id, 20)
    wanted = batch("skip", ids=tuple(ids), wish=Wish(skip=True, output={"by": "hand"}))
    assert (await done(batches, wanted)).done == 3
    assert [(await runner.runtime.wait(id, 20)).output for id in ids] == [{"by": "hand"}] * 3


async def test_states_at_which_runs_wait_are_skipped_together(
    runner: TemporalRunner, batches: TemporalBatches
) -> None:
    text = workflow("do: [{w: {wait: PT1H}}, {v: {wait: PT2H}}, {end: {set: {got: '${ . }'}}}]", name="led")
    ids = await start(runner, text, 3)
    for id in ids:
        await until(runner, id, "waiting")
    await found(batches, batch("skip", status="waiting", name="led"), 3)
    wanted = batch("skip", status="waiting", name="led", wish=Wish(skip=True, output=1))
    assert (await done(batches, wanted)).done == 3
    for id in ids:
        await runner.runtime.skip(id, Wish(skip=True, output=2))
    assert [(await runner.runtime.wait(id, 20)).output for id in ids] == [{"got": 2}] * 3


async def test_a_batch_goes_on_when_its_worker_is_another_one(temporal_address: str, internet: Any) -> None:
    async with temporal_runner(temporal_address, internet) as runner:
        queue, client = runner.queue, runner.client
        ids = await start(runner, workflow("do: [{w: {wait: PT1H}}]"), 12)
        wanted = Batch("terminate", RunQuery(), tuple(ids), rate=4).checked()
        batches = TemporalBatches(client, queue, runner.runtime)
        await batches.start(queue, wanted)
        async with asyncio.timeout(20):
            while (await runner.runtime.describe(ids[1])).status != "cancelled":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        async with asyncio.timeout(60):
            while (progress := await batches.progress(queue, 0, 100)).status != "completed":  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert (progress.total, progress.done) == (12, 12)
        assert [(await runner.runtime.describe(id)).status for id in ids] == ["cancelled"] * 12


@pytest.mark.parametrize(
    ("command", "members", "code"),
    [
        ("delete", {}, "unknown-command"),
        ("retry", {"status": "running"}, "not-for-status"),
        ("cancel", {"status": "completed"}, "not-for-status"),
        ("cancel", {"wish": Wish(data=1)}, "not-for-command"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(command: str, members: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as refused:
        batch(command, **members)
    assert refused.value.code == code


async def test_a_batch_that_is_not_there_is_not_found(batches: TemporalBatches) -> None:
    with pytest.raises(NotFound):
        await batches.progress("nobody", 0, 10)
    with pytest.raises(NotFound):
        await batches.cancel("nobody")
