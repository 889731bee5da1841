"""What others do to a run through Temporal itself: signals that are none of ours, ids that are taken."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from tests.running import TemporalRunner, temporal_runner
from tests.semantics.v1.documents import workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.errors import Fault
from workflow_engine.runtimes.temporal.converter import EngineConverter
from workflow_engine.runtimes.temporal.failures import LONGEST_TEXT
from workflow_engine.runtimes.temporal.foreign import _json
from workflow_engine.runtimes.temporal.held import ENCODING, NotHeld
from workflow_engine.runtimes.temporal.leaving import MOST, Leaving

pytestmark = pytest.mark.temporal
HEARS = "do: [{hear: {listen: {to: {one: {with: {type: t.heard}}}, read: data}}}]"
WAITS = "do: [{long: {wait: PT1H}}]"


async def started(runner: TemporalRunner, text: str, run_id: str = "") -> str:
    bundle = Bundle.of(dsl.parse(text), {})
    run_id = run_id or f"outside-{uuid.uuid4()}"
    await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    return run_id


async def at(runner: TemporalRunner, run_id: str, name: str) -> None:
    async with asyncio.timeout(20):
        while name not in [state.name for state in (await runner.runtime.describe(run_id)).states]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_signal_that_is_none_of_ours_holds_no_run_up(runner: TemporalRunner) -> None:
    run_id = await started(runner, workflow(HEARS))
    await at(runner, run_id, "hear")
    handle = runner.client.get_workflow_handle(run_id)
    for name in ("/do/0/hear", "hello"):
        for given in (
            [],
            ["text"],
            [{"seq": "0"}],
            [{"seq": 0, "event": "text"}],
            [{"seq": 0, "event": {}, "index": "x"}],
        ):
            await handle.signal(name, args=given)
    await handle.signal("migrate", args=["no bundle", {}])
    await runner.router.publish(
        "default", [{"specversion": "1.0", "id": run_id, "source": "t", "type": "t.heard", "data": 7}]
    )
    run = await runner.runtime.wait(run_id, 20)
    assert (run.status, run.output) == ("completed", [7])


async def test_an_event_that_is_signalled_again_is_taken_once(runner: TemporalRunner) -> None:
    text = HEARS.replace(
        "one: {with: {type: t.heard}}", "any: [{with: {type: t.heard}}], until: 'length == 2'"
    )
    run_id = await started(runner, workflow(text))
    await at(runner, run_id, "hear")

    async def publish(number: int) -> None:
        event = {
            "specversion": "1.0",
            "id": f"{run_id}-{number}",
            "source": "t",
            "type": "t.heard",
            "data": number,
        }
        await runner.router.publish("default", [event])

    async def signals() -> list[Any]:
        happened = await runner.history(run_id)
        return [each for each in happened if each.HasField("workflow_execution_signaled_event_attributes")]

    await publish(1)
    async with asyncio.timeout(20):
        while not (found := await signals()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    signal = found[0].workflow_execution_signaled_event_attributes
    (message,) = await runner.client.data_converter.decode(signal.input.payloads)
    await runner.client.get_workflow_handle(run_id).signal(signal.signal_name, message)
    await publish(2)
    run = await runner.runtime.wait(run_id, 20)
    assert (run.status, run.output) == ("completed", [1, 2])


async def test_a_sub_flow_whose_id_another_run_has_is_a_fault_that_can_be_caught(
    runner: TemporalRunner,
) -> None:
    inner = workflow(WAITS, name="inner")
    runner.deployed = [Bundle.of(dsl.parse(inner), {})]
    run_id = f"outside-{uuid.uuid4()}"
    await started(runner, inner, f"{run_id}.do.0.tried.try.0.a")
    runs = "{run: {workflow: {namespace: semantics, name: inner, version: '1.0.0'}}}"
    caught = "{as: e, do: [{b: {set: {detail: '${ $e.detail }'}}}]}"
    await started(runner, workflow(f"do: [{{tried: {{try: [{{a: {runs}}}], catch: {caught}}}}}]"), run_id)
    run = await runner.runtime.wait(run_id, 20)
    assert run.status == "completed"
    assert "goes on already" in str(run.output)


async def test_what_a_run_has_taken_is_kept_when_it_cannot_go_on_as_another_workflow(
    temporal_address: str, internet: Any
) -> None:
    text = """
id: first
version: '1.0.0'
specVersion: '0.8'
events: [{name: E, source: t, type: t.heard}]
states:
  - {name: First, type: inject, data: {a: 1}, transition: Hear}
  - {name: Hear, type: event, onEvents: [{eventRefs: [E]}], end: {continueAs: {workflowId: missing, version: '1.0'}}}
"""
    forgotten = []

    class Noting:
        def __init__(self, router: Any) -> None:
            self._router = router

        def __getattr__(self, name: str) -> Any:
            return getattr(self._router, name)

        async def forget_run(self, run_id: str, *, keep: bool = False) -> None:
            forgotten.append(keep)
            await self._router.forget_run(run_id, keep=keep)

    async with temporal_runner(temporal_address, internet, wrap=Noting) as runner:
        ended = await runner(
            text,
            events=[{"specversion": "1.0", "id": "1", "source": "t", "type": "t.heard", "data": {}}],
        )
    assert ended.status == "faulted"
    assert forgotten == [True]


def test_what_orjson_cannot_write_counts_where_a_run_goes_on_in_a_new_history() -> None:
    assert Leaving([["x" * MOST, 1 << 70]], {}, None).size > MOST


@pytest.mark.parametrize(
    "error",
    [
        "{type: 'https://x.example/e', status: 500, detail: '${ \"x\" * 5000000 }'}",
        '{type: \'${ "https://x.example/" + "x" * 3000000 }\', status: 500}',
    ],
)
async def test_a_fault_with_more_text_than_temporal_takes_ends_the_run_with_the_beginning_of_it(
    runner: TemporalRunner, error: str
) -> None:
    ended = await runner(workflow(f"do: [{{a: {{raise: {{error: {error}}}}}}}]"))
    assert ended.status == "faulted"
    assert ended.error is not None
    assert ended.error["status"] == 500
    text = max(map(str, ended.error.values()), key=len)
    assert text.endswith("xx…")
    assert len(text) == LONGEST_TEXT


@pytest.mark.parametrize(
    ("payload", "raised"),
    [
        (Payload(metadata={"encoding": b"json/plain"}, data=b"{"), Fault),
        (Payload(metadata={"encoding": b"binary/of-others"}, data=b"1"), Fault),
        (Payload(metadata={"encoding": ENCODING}, data=b"let go of"), NotHeld),
    ],
)
def test_only_what_is_no_json_is_a_fault_of_the_activity_that_gave_it(
    monkeypatch: pytest.MonkeyPatch, payload: Payload, raised: type[Exception]
) -> None:
    monkeypatch.setattr(
        "workflow_engine.runtimes.temporal.foreign.workflow.payload_converter", EngineConverter
    )
    monkeypatch.setattr("workflow_engine.runtimes.temporal.converter.workflow.in_workflow", lambda: True)
    with pytest.raises(raised):
        _json(RawValue(payload), "theirs")
