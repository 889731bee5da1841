"""What it costs to tell the lifecycle of a run on Temporal, and that it is told whatever happens to the router."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.test_following import until
from tests.semantics.v1.documents import event
from tests.semantics.v1.test_lifecycle import audience, check, short, told, wishing
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.engine.schedules import Plan
from workflow_engine.errors import NotFound, Rejected, Unavailable
from workflow_engine.runtimes.temporal.effects import MOST_UNTOLD
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.schedules import TemporalSchedules
from workflow_engine.values import Json

pytestmark = pytest.mark.temporal
HEADER = "document: {dsl: '1.0.3', namespace: test, name: told, version: '1.0.0'}\n"


async def batches(runner: TemporalRunner, run_id: str) -> int:
    """How many events of the history tell of the lifecycle."""
    history = await runner.history(run_id)
    assert EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED not in [event.event_type for event in history]
    return sum(event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED for event in history)


async def test_two_hundred_pure_states_and_all_that_is_told_of_them_make_six_events(
    runner: TemporalRunner,
) -> None:
    tasks = "\n".join(f"  - set{number}: {{set: {{n: '${{ .n + 1 }}'}}}}" for number in range(200))
    ended = await runner(HEADER + f"do:\n{tasks}\n", {"n": 0}, audience=audience())
    assert ended.output == {"n": 200}
    assert len(ended.told) == 602
    check(ended)
    history = await runner.history(ended.run_id)
    assert [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history] == [
        "WORKFLOW_EXECUTION_STARTED",
        "WORKFLOW_TASK_SCHEDULED",
        "WORKFLOW_TASK_STARTED",
        "WORKFLOW_TASK_COMPLETED",
        "MARKER_RECORDED",
        "WORKFLOW_EXECUTION_COMPLETED",
    ]


async def test_a_run_tells_in_one_batch_each_time_it_waits(runner: TemporalRunner) -> None:
    body = """
do:
  - lookUp:
      call: http
      with: {method: get, endpoint: 'https://petstore.swagger.io/v2/pet/1'}
      metadata: {express: false}
  - one: {set: {x: 1}}
  - breathe: {wait: {milliseconds: 20}}
  - two: {set: {x: 2}}
  - three: {set: {x: 3}}
"""
    ended = await runner(HEADER + body, audience=audience())
    silent = await runner(HEADER + body)
    assert (ended.status, silent.status) == ("completed", "completed")
    assert len(ended.told) == 17
    assert await batches(runner, ended.run_id) == 3
    assert await batches(runner, silent.run_id) == 0
    difference = len(await runner.history(ended.run_id)) - len(await runner.history(silent.run_id))
    assert difference == 3


async def test_who_wants_to_hear_of_workflows_alone_costs_two_batches(runner: TemporalRunner) -> None:
    body = "do: [{loop: {for: {in: '[range(5)]'}, do: [{nap: {wait: {milliseconds: 5}}}]}}]"
    ended = await runner(HEADER + body, audience=audience("workflow"))
    assert told(ended) == ["started", "completed"]
    assert await batches(runner, ended.run_id) == 2


async def test_a_long_loop_tells_everything_and_keeps_little(runner: TemporalRunner) -> None:
    body = "do: [{loop: {for: {in: '[range(1500)]'}, do: [{add: {set: '${ . + 1 }'}}]}}]"
    ended = await runner(HEADER + body, 0, audience=audience())
    assert ended.output == 1500
    count = await runner.router.events("lifecycle", limit=1000)
    assert len(count.events) == 1000
    found, cursor = 0, None
    while True:
        page = await runner.router.events("lifecycle", limit=1000, cursor=cursor)
        found, cursor = found + len(page.events), page.cursor
        if cursor is None:
            break
    assert found == 2 + 3 + 1500 * 3
    assert await batches(runner, ended.run_id) <= found // MOST_UNTOLD + 2


class Broken:
    """The router, which cannot be reached until it has been asked *times* for what is told; then it refuses *also*."""

    def __init__(self, router: Any, times: int, also: str = "") -> None:
        self._router, self._times, self._also = router, times, also
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)

    async def publish(self, channel: str, events: Sequence[Json]) -> Any:
        if channel == "lifecycle":
            self.asked += 1
            if self.asked <= self._times:
                if self.asked == 2:
                    await self._router.publish(channel, events)  # stored, but the answer is lost
                raise Unavailable("the router cannot be reached")
            if self._also:
                raise Rejected(self._also, "it is refused")
        return await self._router.publish(channel, events)


async def started(client: Any, queue: str, text: str) -> str:
    bundle = Bundle.of(dsl.parse(text), {})
    runtime = TemporalRuntime(client, queue, search_attributes=False, audience=audience())
    assert await runtime.start(Start(f"run-{queue}", bundle.graph().name, bundle, {}))
    return f"run-{queue}"


async def test_a_router_that_is_down_holds_up_no_work_and_hears_everything_later(
    temporal_address: str, internet: Any
) -> None:
    async with temporal_runner(temporal_address, internet, wrap=lambda router: Broken(router, 2)) as runner:
        run_id = await started(
            runner.client, runner.queue, HEADER + "do: [{a: {set: {x: 1}}}, {b: {wait: {milliseconds: 10}}}]"
        )
        async with asyncio.timeout(60):
            run = await runner.runtime.wait(run_id, 60)
        assert run.status == "completed"
        events = await runner.told("lifecycle", run_id)
        assert [event["type"].split(".", 2)[2] for event in events] == [
            "workflow.started.v1",
            "task.created.v1",
            "task.started.v1",
            "task.completed.v1",
            "task.created.v1",
            "task.started.v1",
            "task.completed.v1",
            "workflow.completed.v1",
        ]


async def test_a_run_goes_on_with_its_work_while_nothing_can_be_told(
    temporal_address: str, internet: Any
) -> None:
    body = """
do:
  - one: {wait: {milliseconds: 10}}
  - call: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}}
  - two: {wait: PT60S}
"""
    wrap = lambda router: Broken(router, 10**6)  # noqa: E731
    async with temporal_runner(temporal_address, internet, wrap=wrap) as runner:
        run_id = await started(runner.client, runner.queue, HEADER + body)
        async with asyncio.timeout(30):
            while [state.name for state in (await runner.runtime.describe(run_id)).states] != ["two"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await runner.runtime.terminate(run_id, "the test is over")


async def test_what_the_router_refuses_for_ever_is_left_out_and_the_run_completes(
    temporal_address: str, internet: Any
) -> None:
    wrap = lambda router: Broken(router, 0, also="event-too-large")  # noqa: E731
    async with temporal_runner(temporal_address, internet, wrap=wrap) as runner:
        run_id = await started(runner.client, runner.queue, HEADER + "do: [{a: {set: {x: 1}}}]")
        assert (await runner.runtime.wait(run_id, 30)).status == "completed"
        assert await runner.told("lifecycle", run_id) == []


async def test_a_run_that_is_cancelled_while_the_router_is_down_tells_so_later(
    temporal_address: str, internet: Any
) -> None:
    async with temporal_runner(temporal_address, internet, wrap=lambda router: Broken(router, 2)) as runner:
        run_id = await started(runner.client, runner.queue, HEADER + "do: [{nap: {wait: PT60S}}]")
        await until(runner.runtime, run_id, "waiting")
        await runner.runtime.cancel(run_id)
        assert (await runner.runtime.wait(run_id, 60)).status == "cancelled"
        assert [short(event) for event in await runner.told("lifecycle", run_id)] == [
            "started", "nap created", "nap started", "nap cancelled", "cancelled",
        ]  # fmt: skip


async def test_a_run_that_is_suspended_before_it_begins_tells_both(runner: TemporalRunner) -> None:
    bundle = Bundle.of(dsl.parse(HEADER + "do: [{a: {set: {x: 1}}}]"), {})
    run_id = f"run-{runner.queue}"
    await runner.client.start_workflow(
        "told",
        args=[{}, bundle],
        id=run_id,
        task_queue=runner.queue,
        memo={"lifecycle": audience().to_json()},
        start_signal="suspend",
    )
    await until(runner.runtime, run_id, "suspended")
    await runner.runtime.resume(run_id)
    assert (await runner.runtime.wait(run_id, 30)).status == "completed"
    assert [short(event) for event in await runner.told("lifecycle", run_id)] == [
        "started", "suspended", "resumed", "a created", "a started", "a completed", "completed",
    ]  # fmt: skip


async def test_a_run_that_is_reset_tells_only_what_is_new(runner: TemporalRunner) -> None:
    body = """
do:
  - first: {set: {x: 1}}
  - nap: {wait: {milliseconds: 10}}
  - step: {set: {x: 2}}
  - rest: {wait: {milliseconds: 10}}
"""
    ended = await runner(HEADER + body, audience=audience())
    before = [event["id"] for event in ended.told]
    history = await runner.history(ended.run_id)
    tasks = [
        event.event_id for event in history if event.HasField("workflow_task_completed_event_attributes")
    ]
    await runner.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace="default",
            workflow_execution=WorkflowExecution(workflow_id=ended.run_id),
            workflow_task_finish_event_id=tasks[1],
            request_id=ended.run_id,
        )
    )
    assert (await runner.runtime.wait(ended.run_id, 30)).status == "completed"
    again = await runner.told("lifecycle", ended.run_id)
    assert [event["id"] for event in again] == before
    assert any(
        event.HasField("workflow_task_failed_event_attributes")
        for event in await runner.history(ended.run_id)
    )


async def test_a_run_that_is_started_by_name_does_as_its_document_says(runner: TemporalRunner) -> None:
    document = wishing("task", "do: [{a: {set: {x: 1}}}]")
    runner.deployed = [Bundle.of(dsl.parse(document), {})]
    run_id = f"by-hand-{runner.queue}"
    handle = await runner.client.start_workflow("test", id=run_id, task_queue=runner.queue)
    assert await handle.result() == {"x": 1}
    events = await runner.told("lifecycle", run_id)
    assert [short(event) for event in events] == [
        "started", "a created", "a started", "a completed", "completed",
    ]  # fmt: skip
    assert events[0]["source"] == "/"
    assert events[-1]["data"]["outputUri"] == f"/v1/runs/{run_id}/output"


@pytest.mark.parametrize("when", ["every: {minutes: 60}", "after: {minutes: 60}"])
async def test_a_run_that_the_clock_starts_is_told_of_too(runner: TemporalRunner, when: str) -> None:
    document = f"{HEADER}schedule: {{{when}}}\ndo: [{{a: {{set: {{x: 1}}}}}}]"
    bundle = Bundle.of(dsl.parse(document), {})
    graph = bundle.graph()
    assert graph.schedule is not None
    plan = Plan(graph.name, graph.schedule, bundle, datetime.now(UTC))
    schedules = TemporalSchedules(
        runner.client, runner.queue, search_attributes=False, audience=audience("workflow")
    )
    await schedules.set(plan)
    try:
        if when.startswith("every"):
            await schedules.trigger(plan)
        while not (recent := (await schedules.state(plan)).recent):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        [run] = recent
        assert (await runner.runtime.wait(run.run_id, 30)).status == "completed"
        events = await runner.told("lifecycle", run.run_id)
        assert [short(event) for event in events] == ["started", "completed"]
        assert events[0]["source"] == "https://api.example"
    finally:
        await schedules.remove(graph.name.namespace, graph.name.name)


async def test_a_worker_that_stops_lets_go_of_what_is_not_told_yet_without_a_complaint(
    temporal_address: str, internet: Any, caplog: pytest.LogCaptureFixture
) -> None:
    wrap = lambda router: Broken(router, 10**6)  # noqa: E731
    gc.collect()  # what other tests have left may complain, too
    caplog.clear()
    async with temporal_runner(temporal_address, internet, wrap=wrap) as runner:
        run_id = await started(runner.client, runner.queue, HEADER + "do: [{nap: {wait: PT60S}}]")
        await until(runner.runtime, run_id, "waiting")
    gc.collect()
    said = [record for record in caplog.records if not record.name.startswith("temporalio.activity")]
    assert [record.getMessage() for record in said if record.levelname in {"ERROR", "CRITICAL"}] == []
    await runner.runtime.terminate(run_id, "the test is over")


async def test_of_a_batch_with_an_event_that_is_refused_the_others_are_told(
    temporal_address: str, internet: Any
) -> None:
    class Picky(Broken):
        async def publish(self, channel: str, events: Sequence[Json]) -> Any:
            if any(str(event["id"]).endswith("/b#1/started") for event in events):  # type: ignore[index,call-overload]
                raise Rejected("event-too-large", "one is refused", status=413)
            return await super().publish(channel, events)

    async with temporal_runner(temporal_address, internet, wrap=lambda router: Picky(router, 0)) as runner:
        text = HEADER + "do: [{a: {set: {x: 1}}}, {b: {set: {x: 1}}}]"
        run_id = await started(runner.client, runner.queue, text)
        assert (await runner.runtime.wait(run_id, 30)).status == "completed"
        assert [short(event) for event in await runner.told("lifecycle", run_id)] == [
            "started", "a created", "a started", "a completed", "b created", "b completed", "completed",
        ]  # fmt: skip


async def test_of_a_run_that_is_cancelled_the_workflow_that_it_runs_tells_so_first(
    runner: TemporalRunner,
) -> None:
    child = HEADER.replace("told", "child") + "do: [{nap: {wait: PT60S}}]"
    runner.deployed = [Bundle.of(dsl.parse(child), {})]
    body = "do: [{sub: {run: {workflow: {namespace: test, name: child, version: '1.0.0'}}}}]"
    run_id = await started(runner.client, runner.queue, HEADER + body)
    while True:
        with contextlib.suppress(NotFound):
            await until(runner.runtime, f"{run_id}.do.0.sub", "waiting")
            break
    await runner.runtime.cancel(run_id)
    assert (await runner.runtime.wait(run_id, 30)).status == "cancelled"
    events = await runner.told("lifecycle", run_id)
    assert [f"{event['subject'].partition('-')[0]} {short(event)}" for event in events] == [
        *("told started", "told sub created", "told sub started"),
        *("child started", "child nap created", "child nap started"),
        *("child nap cancelled", "child cancelled", "told sub cancelled", "told cancelled"),
    ]


async def test_a_suspended_run_can_be_cancelled(runner: TemporalRunner) -> None:
    body = "do: [{outer: {do: [{nap: {listen: {to: {one: {with: {type: up}}}}}}, {never: {set: lost}}]}}]"
    run_id = await started(runner.client, runner.queue, HEADER + body)
    await until(runner.runtime, run_id, "waiting")
    await runner.runtime.suspend(run_id)
    found = await until(runner.runtime, run_id, "suspended")
    await runner.router.publish("default", [event("up", run_id)])
    while [state.name for state in found.states] != ["never"]:
        await asyncio.sleep(0.02)
        found = await runner.runtime.describe(run_id)
    await runner.runtime.cancel(run_id)
    assert (await runner.runtime.wait(run_id, 30)).status == "cancelled"
    events = [short(event) for event in await runner.told("lifecycle", run_id)]
    assert events[-3:] == ["outer suspended", "outer cancelled", "cancelled"]
    assert events.count("suspended") == 1
