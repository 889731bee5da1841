"""Runs whose position is larger than Temporal takes, where no payload store is set: none is lost."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_continuing import histories
from tests.semantics.v1.documents import workflow
from workflow_engine import dsl
from workflow_engine.cli.runs import description
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Retry, Start
from workflow_engine.errors import Rejected, Unavailable
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal import resting
from workflow_engine.runtimes.temporal import workflow as following
from workflow_engine.runtimes.temporal.debugging import debugged
from workflow_engine.runtimes.temporal.histories import parsed
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = pytest.mark.temporal
WAITS = "{{for: {{in: '[range({number})]'}}, do: [{{w: {{wait: {{milliseconds: 1}}}}}}]}}"
TEXT = workflow(f"""
do:
  - big: {{set: {{n: 1}}, export: {{as: '{{text: ("x" * 2500000)}}'}}}}
  - large: {WAITS.format(number=12)}
  - hear: {{listen: {{to: {{one: {{with: {{type: never}}}}}}}}}}
  - small: {{set: {{n: '${{ $context.text | length }}'}}, export: {{as: '{{}}'}}}}
  - after: {WAITS.format(number=8)}
""")


async def begun(runner: TemporalRunner, text: str = TEXT) -> str:
    limits = Limits(events=12)
    runtime = TemporalRuntime(runner.client, runner.queue, search_attributes=False, limits=limits)
    bundle, run_id = Bundle.of(dsl.parse(text), {}), f"heavy-{uuid.uuid4()}"
    await runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    return run_id


async def at(runner: TemporalRunner, run_id: str, name: str) -> None:
    async with asyncio.timeout(30):
        while [state.name for state in (await runner.runtime.describe(run_id)).states] != [name]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def asked(events: list[Any]) -> int:
    """How often a worker was asked in a history whether there is room."""
    return sum(b"payload.room" in event.SerializeToString() for event in events)


async def test_it_goes_on_in_the_history_that_it_has_until_it_is_smaller(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resting, "PATIENCE", 20)
    run_id = await begun(runner)
    await at(runner, run_id, "hear")
    first = (await histories(runner, run_id))[0]
    assert len(first) > 40
    assert 1 <= asked(first) <= 4
    bundle = Bundle.of(dsl.parse(TEXT.replace("'1.0.0'", "'2.0.0'")), {})
    verdict = await runner.runtime.move(run_id, bundle, {}, 20)
    assert verdict.answer == "cannot"
    assert "WFE_PAYLOAD_STORE gives them a place" in str(verdict.reasons[0]["why"])
    await runner.runtime.skip(run_id, Wish(skip=True))
    run = await runner.runtime.wait(run_id, 30)
    assert (run.status, run.output) == ("completed", {"n": 2_500_000})
    assert len(await histories(runner, run_id)) > 1


async def test_it_waits_before_temporal_would_end_it_and_goes_on_once_there_is_a_store(
    temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(resting, "LAST", 40)
    queue = f"heavy-{uuid.uuid4()}"
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        run_id = await begun(runner)
        async with asyncio.timeout(30):
            remark = ""
            while "bytes" not in remark:
                await asyncio.sleep(0.1)
                run = await runner.runtime.describe(run_id)
                remark = run.remark or ""
        assert str(run.remark).startswith("it has 2,5")
        assert "Set WFE_PAYLOAD_STORE" in str(run.remark)
        assert "\nheld      it has 2,5" in "\n".join(description(run.to_json()))
        length = len(await runner.history(run_id))
        await asyncio.sleep(0.5)
        assert len(await runner.history(run_id)) == length < 60
    async with (
        open_payloads(store=tmp_path.as_uri()) as payloads,
        temporal_runner(temporal_address, internet, queue=queue, payloads=payloads) as runner,
    ):
        await at(runner, run_id, "hear")
        await runner.runtime.skip(run_id, Wish(skip=True))
        run = await runner.runtime.wait(run_id, 30)
    assert (run.status, run.output) == ("completed", {"n": 2_500_000})


async def test_a_history_of_a_version_that_did_not_ask_for_room_can_be_followed(
    temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Earlier versions went on in a new history with whatever they had, without a question in the history."""
    monkeypatch.setattr(following, "MOST", 10**9)
    async with (
        open_payloads(store=tmp_path.as_uri()) as payloads,
        temporal_runner(temporal_address, internet, payloads=payloads) as runner,
    ):
        run_id = await begun(runner)
        await at(runner, run_id, "hear")
        last = await runner.runtime.history(run_id, None)
        before = await runner.runtime.history(run_id, str(last["previous"]))
        await runner.runtime.terminate(run_id, "seen")
    monkeypatch.undo()
    told = await debugged(parsed(before))
    assert (told["failure"], told["status"]) == (None, "continued as new")


async def test_one_that_has_failed_is_retried_once_there_is_a_store(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path
) -> None:
    far.broken = {"a"}
    call = f"{{call: http, with: {{method: post, endpoint: '{far.url}/a'}}}}"
    big = "{set: {n: 1}, export: {as: '{text: (\"x\" * 2500000)}'}}"
    queue = f"heavy-{uuid.uuid4()}"
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        run_id = await begun(runner, workflow(f"do: [{{big: {big}}}, {{a: {call}}}]"))
        assert (await runner.runtime.wait(run_id, 20)).status == "faulted"
        with pytest.raises((Rejected, Unavailable), match="WFE_PAYLOAD_STORE"):
            await runner.runtime.retry(run_id, Retry())
    far.broken = set()
    async with (
        open_payloads(store=tmp_path.as_uri()) as payloads,
        temporal_runner(temporal_address, internet, queue=queue, payloads=payloads) as runner,
    ):
        await runner.runtime.retry(run_id, Retry())
        run = await runner.runtime.wait(run_id, 30)
    assert (run.status, run.output) == ("completed", {"did": "a"})
