"""Who waits for a run that this process works at learns its end from here, and it is the end that the server has."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import (
    Client,
    FetchWorkflowHistoryEventsInput,
    Interceptor,
    OutboundInterceptor,
    WorkflowHistoryEventAsyncIterator,
)

from tests.running import TemporalRunner
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.errors import Conflict, NotFound
from workflow_engine.runtimes.temporal import endings
from workflow_engine.runtimes.temporal.endings import AT_ONCE, ENDINGS, MOST, UNKNOWN, Endings
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

HEAD = "document: {dsl: '1.0.3', namespace: test, name: ending, version: '1.0.0'}\n"


class Asked(Interceptor):
    """Counts how often a client asks for the history of a run, and so how it ended."""

    def __init__(self) -> None:
        self.times = 0

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        asked = self

        class Counting(OutboundInterceptor):
            def fetch_workflow_history_events(
                self, input: FetchWorkflowHistoryEventsInput
            ) -> WorkflowHistoryEventAsyncIterator:
                asked.times += 1
                return super().fetch_workflow_history_events(input)

        return Counting(next)


class Eager:
    """Starts runs as the API does that works too, with *asked* between it and the server."""

    def __init__(self, runner: TemporalRunner) -> None:
        client = runner.client
        self.asked = Asked()
        between = Client(
            client.service_client, data_converter=client.data_converter, interceptors=[self.asked]
        )
        self.runtime = TemporalRuntime(between, runner.queue, search_attributes=False, eager=True)

    async def start(self, run_id: str, tasks: str, *, awaited: float = 30.0, input: Any = None) -> None:
        bundle = Bundle.of(dsl.parse(HEAD + tasks), {})
        assert await self.runtime.start(
            Start(run_id, bundle.graph().name, bundle, input or {}, awaited=awaited)
        )


@pytest.fixture
async def eager(runner: TemporalRunner) -> AsyncIterator[Eager]:
    yield Eager(runner)
    assert not ENDINGS._returned


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends at once may take its time here: the machine may be busy."""
    monkeypatch.setattr(endings, "BEGUN_WITHIN", 20.0)
    monkeypatch.setattr(endings, "AT_ONCE", 20.0)


@pytest.mark.temporal
@pytest.mark.usefixtures("patient")
async def test_the_output_of_a_run_that_ends_here_is_known_without_asking_the_server(eager: Eager) -> None:
    await eager.start("here-1", "do: [{a: {set: {b: '${ [1, 2.0, nan, 12345678901234567890123] }', a: 1}}}]")
    output = await eager.runtime.output("here-1", 30)
    assert eager.asked.times == 0
    assert output == await eager.runtime.output("here-1", 30)  # which nobody was expecting
    assert eager.asked.times == 1
    assert list(output) == ["b", "a"]  # type: ignore[arg-type]


@pytest.mark.temporal
async def test_a_run_whose_first_task_came_with_its_start_is_not_asked_of_the_server_while_it_is_not_begun(
    eager: Eager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "BEGUN_WITHIN", 0.0)
    monkeypatch.setattr(endings, "AT_ONCE", 20.0)
    await eager.start("here-6", "do: [{a: {set: {x: 1}}}]")
    assert await eager.runtime.output("here-6", 30) == {"x": 1}
    assert eager.asked.times == 0


@pytest.mark.temporal
async def test_a_run_that_is_waited_for_is_described_as_one_that_is_looked_at_later(eager: Eager) -> None:
    await eager.start("here-2", "do: [{a: {set: {x: '${ .n + 1 }'}}}]", input={"n": 1})
    waited = await eager.runtime.wait("here-2", 30)
    assert (waited.status, waited.output) == ("completed", {"x": 2})
    assert waited == await eager.runtime.describe("here-2")


@pytest.mark.temporal
async def test_a_run_that_faults_here_is_described_with_its_error(eager: Eager) -> None:
    fault = "{raise: {error: {type: 'https://example.com/no', status: 418, title: No}}}"
    await eager.start("here-3", f"do: [{{a: {fault}}}]")
    began = time.monotonic()
    waited = await eager.runtime.wait("here-3", 30)
    assert waited.status == "faulted"
    assert waited.error is not None
    assert waited.error["status"] == 418
    assert time.monotonic() - began < 30
    with pytest.raises(Conflict, match="it is faulted"):
        await eager.runtime.output("here-3", 30)


@pytest.mark.temporal
async def test_a_run_that_takes_its_time_is_asked_of_the_server(eager: Eager) -> None:
    tasks = f"do: [{{a: {{wait: {{milliseconds: {int(AT_ONCE * 1000) + 300}}}}}}}, {{b: {{set: {{x: 1}}}}}}]"
    await eager.start("here-4", tasks)
    assert await eager.runtime.output("here-4", 30) == {"x": 1}
    assert eager.asked.times == 1


@pytest.mark.temporal
async def test_a_run_that_has_not_ended_in_time_has_no_output(eager: Eager) -> None:
    await eager.start("here-5", "do: [{a: {wait: {seconds: 60}}}]")
    with pytest.raises(Conflict, match=r"no output; it is (running|waiting)"):
        await eager.runtime.output("here-5", 0.1)
    with pytest.raises(NotFound):
        await eager.runtime.output("never-started", 0.1)
    await eager.runtime.terminate("here-5", "the test is over")


@pytest.mark.temporal
async def test_an_end_that_the_server_refuses_since_an_event_comes_is_not_told(eager: Eager) -> None:
    """Events come all the time, so many of the first attempts to end are refused."""

    async def disturbed(run_id: str) -> None:
        while await eager.runtime.deliver(run_id, "nobody", {"events": []}):  # noqa: ASYNC110
            await asyncio.sleep(0)

    for number in range(10):
        run_id = f"here-6-{number}"
        await eager.start(run_id, "do: [{a: {wait: {milliseconds: 30}}}, {b: {set: {x: 1}}}]")
        disturbing = asyncio.ensure_future(disturbed(run_id))
        assert await eager.runtime.output(run_id, 30) == {"x": 1}
        assert (await eager.runtime.describe(run_id)).status == "completed"
        disturbing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await disturbing


async def test_a_run_that_this_process_does_not_begin_with_is_asked_of_the_server_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endings, "AT_ONCE", 60.0)
    table = Endings()
    table.expect("elsewhere", 30)
    began = time.monotonic()
    with table.waiting("elsewhere") as expected:
        assert expected is not None
        assert await expected.output(30) is UNKNOWN
    assert time.monotonic() - began < 20
    with table.waiting("elsewhere") as expected:
        assert expected is None


async def test_runs_that_nobody_comes_to_wait_for_are_forgotten() -> None:
    table = Endings()
    for number in range(3):
        table.expect(f"gone-{number}", -10)
    table.expect("there", 10)
    assert list(table._expected) == ["there"]
    for number in range(MOST + 5):
        table.expect(f"many-{number}", 10)
    assert len(table._expected) == MOST
