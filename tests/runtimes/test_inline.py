"""Calls that are made within the workflow task though nobody has said that they are short: nothing is lost by that."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections import Counter
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal import going_on
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = pytest.mark.temporal
HEADER = "document: {dsl: '1.0.3', namespace: test, name: inline, version: '1.0.0'}\n"


async def events(runner: TemporalRunner, run_id: str) -> Counter[str]:
    return Counter(
        EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in await runner.history(run_id)
    )


async def made(runner: TemporalRunner, text: str) -> tuple[int, int]:
    """How many calls of a run of *text* were made within workflow tasks, and how many were activities."""
    ended = await runner(HEADER + text)
    assert ended.status == "completed", ended.error
    counted = await events(runner, ended.run_id)
    return counted["MARKER_RECORDED"], counted["ACTIVITY_TASK_COMPLETED"]


async def started(runner: TemporalRunner, text: str) -> str:
    bundle = Bundle.of(dsl.parse(HEADER + text), {})
    run_id = f"inline-{uuid.uuid4()}"
    await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    return run_id


async def test_a_run_of_one_call_is_one_workflow_task(runner: TemporalRunner, far: FarSide) -> None:
    ended = await runner(HEADER + f"do: [{{a: {far.call('a')}}}, {{b: {{set: '${{ .did }}'}}}}]")
    assert (ended.status, ended.output) == ("completed", "a"), ended.error
    assert await events(runner, ended.run_id) == {
        "WORKFLOW_EXECUTION_STARTED": 1,
        "WORKFLOW_TASK_SCHEDULED": 1,
        "WORKFLOW_TASK_STARTED": 1,
        "WORKFLOW_TASK_COMPLETED": 1,
        "MARKER_RECORDED": 1,
        "WORKFLOW_EXECUTION_COMPLETED": 1,
    }
    assert far.keys("a") == [f"{ended.run_id}/do/0/a"]


async def test_a_call_is_begun_only_once_what_the_one_before_gave_is_recorded(
    runner: TemporalRunner, far: FarSide
) -> None:
    calls = ", ".join(f"{{{name}: {far.call(name)}}}" for name in "abcde")
    ended = await runner(HEADER + f"do: [{calls}]")
    order = [
        event.marker_recorded_event_attributes.marker_name
        or event.activity_task_scheduled_event_attributes.activity_id
        for event in await runner.history(ended.run_id)
    ]
    local = "core_local_activity"
    # The first time the worker says that it keeps nothing: after that it is not asked again.
    assert [each for each in order if each] == [local, local, "/do/1/b", local, "/do/3/d", local]
    assert far.done == Counter("abcde")


async def test_in_a_loop_every_other_call_is_made_so(runner: TemporalRunner, far: FarSide) -> None:
    loop = f"do: [{{l: {{for: {{each: n, in: '${{ [range(5)] }}'}}, do: [{{a: {far.call('a')}}}]}}}}]"
    assert await made(runner, loop) == (3 + 1, 2)
    assert len(set(far.keys("a"))) == 5


async def test_nothing_has_to_wait_for_it(runner: TemporalRunner, far: FarSide) -> None:
    pair = f"[{{a: {far.call('a')}}}, {{b: {far.call('b')}}}]"
    assert await made(runner, f"do: [{{f: {{fork: {{branches: {pair}}}}}}}]") == (0, 2)
    within = f"{{do: [{{a: {far.call('a')}}}], timeout: {{after: PT%sS}}}}"
    assert await made(runner, f"do: [{{t: {within % 5}}}]") == (0, 1)
    assert await made(runner, f"do: [{{t: {within % 60}}}]") == (1, 0)
    timed = far.call("a", more=", timeout: {after: PT60S}")
    assert await made(runner, f"do: [{{a: {timed}}}]") == (0, 1)


async def test_what_says_that_it_is_not_short_is_an_activity(runner: TemporalRunner, far: FarSide) -> None:
    long = far.call("a", more=", metadata: {express: false}")
    assert await made(runner, f"do: [{{a: {long}}}, {{b: {far.call('b')}}}]") == (1, 1)
    text = HEADER.replace("version: '1.0.0'", "version: '1.0.0', metadata: {express: false}")
    ended = await runner(text + f"do: [{{a: {far.call('a')}}}]")
    assert (await events(runner, ended.run_id))["MARKER_RECORDED"] == 0


@pytest.mark.parametrize(
    "body",
    ["${ now }", "${ $task.startedAt.epoch.seconds }", "${ $workflow.startedAt.iso8601 }"],
)
async def test_what_depends_on_the_time_is_recorded_before_it_is_sent(
    runner: TemporalRunner, far: FarSide, body: str
) -> None:
    call = far.call("a").replace("'${ . }'", f"'{body}'")
    assert await made(runner, f"do: [{{a: {call}}}]") == (0, 1)
    far.bodies.clear()
    before = f"{{set: '{body}'}}" if "$task" not in body else "{set: '${ now }'}"
    assert await made(runner, f"do: [{{s: {before}}}, {{a: {far.call('a')}}}]") == (0, 1)
    waited = f"do: [{{s: {before}}}, {{w: {{wait: PT0.01S}}}}, {{a: {far.call('a')}}}]"
    assert await made(runner, waited) == (1, 0)


async def test_an_event_is_published_so_too(runner: TemporalRunner, far: FarSide) -> None:
    emit = "{emit: {event: {with: {type: told, data: '${ . }'}}}}"
    assert await made(runner, f"do: [{{a: {emit}}}, {{b: {far.call('b')}}}, {{c: {emit}}}]") == (2 + 1, 1)


async def test_an_attempt_that_fails_is_followed_by_those_of_an_activity(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.broken.add("a")
    catch = "{errors: {with: {status: 503}}, retry: {delay: PT0.1S, limit: {attempt: {count: 50}}}}"
    run_id = await started(runner, f"do: [{{t: {{try: [{{a: {far.call('a')}}}], catch: {catch}}}}}]")
    await far.asked_for("a", 3)
    far.broken.clear()
    assert (await runner.runtime.wait(run_id, 30)).output == {"did": "a"}
    counted = await events(runner, run_id)
    assert (counted["MARKER_RECORDED"], counted["ACTIVITY_TASK_SCHEDULED"]) == (1, 1)
    assert set(far.keys("a")) == {f"{run_id}/do/0/t/try/0/a"}


async def test_attempts_that_the_run_makes_are_each_made(runner: TemporalRunner, far: FarSide) -> None:
    far.broken.add("a")
    catch = "{when: '${ $task.name != null }', retry: {delay: PT0.05S, limit: {attempt: {count: 50}}}}"
    run_id = await started(runner, f"do: [{{t: {{try: [{{a: {far.call('a')}}}], catch: {catch}}}}}]")
    await far.asked_for("a", 3)
    far.broken.clear()
    assert (await runner.runtime.wait(run_id, 30)).output == {"did": "a"}
    assert set(far.keys("a")) == {f"{run_id}/do/0/t/try/0/a"}


async def test_a_call_is_an_activity_from_the_beginning_while_too_many_go_on(
    runner: TemporalRunner, far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(going_on, "MOST", 1)
    far.held.update("ab")
    first = await started(runner, f"do: [{{a: {far.call('a')}}}]")
    await scheduled(runner, first, 1)
    second = await started(runner, f"do: [{{b: {far.call('b')}}}]")
    (activity,) = await scheduled(runner, second, 1)
    assert activity.task_queue.name == runner.queue
    far.held.clear()
    for run_id in (first, second):
        assert (await runner.runtime.wait(run_id, 30)).status == "completed"
    assert [what for what, _ in far.asked] == ["a", "b"]


async def test_a_call_that_takes_long_is_taken_over_and_not_made_again(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.held.add("a")
    run_id = await started(runner, f"do: [{{a: {far.call('a')}}}, {{b: {far.call('b')}}}]")
    taken = await scheduled(runner, run_id, 1)
    assert taken[0].task_queue.name.startswith(f"{runner.queue}/")
    far.held.clear()
    assert (await runner.runtime.wait(run_id, 30)).output == {"did": "b"}
    assert (far.keys("a"), far.done) == ([f"{run_id}/do/0/a"], Counter("ab"))


async def test_a_fault_of_a_call_that_takes_long_is_that_of_the_run(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.held.add("a")
    far.broken.add("a")
    catch = "{errors: {with: {status: 503}}, do: [{c: {set: caught}}]}"
    run_id = await started(runner, f"do: [{{t: {{try: [{{a: {far.call('a')}}}], catch: {catch}}}}}]")
    await scheduled(runner, run_id, 1)
    far.held.clear()
    assert (await runner.runtime.wait(run_id, 30)).output == "caught"
    assert len(far.keys("a")) == 1


async def test_a_run_is_cancelled_while_its_call_goes_on(runner: TemporalRunner, far: FarSide) -> None:
    far.held.add("a")
    run_id = await started(runner, f"do: [{{a: {far.call('a')}}}]")
    await scheduled(runner, run_id, 1)
    await runner.runtime.cancel(run_id)
    assert (await runner.runtime.wait(run_id, 30)).status == "cancelled"
    far.held.clear()
    assert far.keys("a") == [f"{run_id}/do/0/a"]


async def test_a_worker_that_stops_finishes_what_goes_on(
    temporal_address: str, internet: Any, far: FarSide
) -> None:
    far.held.add("a")
    queue = f"test-{uuid.uuid4()}"
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        run_id = await started(runner, f"do: [{{a: {far.call('a')}}}, {{b: {far.call('b')}}}]")
        await scheduled(runner, run_id, 1)
        asyncio.get_running_loop().call_later(0.5, far.held.clear)
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        assert (await runner.runtime.wait(run_id, 30)).output == {"did": "b"}
    assert far.done == Counter("ab")


async def test_a_worker_that_stops_hands_back_what_takes_too_long(
    temporal_address: str, internet: Any, far: FarSide, caplog: pytest.LogCaptureFixture
) -> None:
    far.held.add("a")
    queue = f"test-{uuid.uuid4()}"
    async with temporal_runner(temporal_address, internet, queue=queue, drain=0.3) as runner:
        run_id = await started(runner, f"do: [{{a: {far.call('a')}}}, {{b: {far.call('b')}}}]")
        await scheduled(runner, run_id, 1)
    far.held.clear()
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        assert (await runner.runtime.wait(run_id, 30)).output == {"did": "b"}
    assert far.keys("a") == [f"{run_id}/do/0/a"] * 2
    assert "Traceback" not in caplog.text


async def test_a_call_that_goes_on_is_made_again_when_its_worker_is_killed(
    temporal_address: str, internet: Any, far: FarSide
) -> None:
    far.held.add("a")
    queue = f"test-{uuid.uuid4()}"
    module = (sys.executable, "-m", "tests.standins.lone_worker", temporal_address, queue)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*module, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"ready")
    async with temporal_runner(temporal_address, internet) as elsewhere:
        elsewhere.runtime = TemporalRuntime(elsewhere.client, queue, search_attributes=False)
        run_id = await started(elsewhere, f"do: [{{a: {far.call('a')}}}, {{b: {far.call('b')}}}]")
        await scheduled(elsewhere, run_id, 1)
    process.kill()
    await process.wait()
    far.held.clear()
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        assert (await runner.runtime.wait(run_id, 60)).output == {"did": "b"}
    assert far.keys("a") == [f"{run_id}/do/0/a"] * 2


async def test_a_call_is_not_made_again_for_a_signal_that_came_as_the_run_was_to_end(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.held.add("a")
    run_id = await started(runner, f"do: [{{a: {far.call('a')}}}]")
    await far.asked_for("a")
    handle = runner.client.get_workflow_handle(run_id)
    await handle.signal("resume")
    far.held.clear()
    assert (await runner.runtime.wait(run_id, 30)).output == {"did": "a"}
    assert len(far.keys("a")) == 1
    failed = [
        event
        for event in await runner.history(run_id)
        if event.HasField("workflow_task_failed_event_attributes")
    ]
    assert len(failed) <= 1


async def scheduled(runner: TemporalRunner, run_id: str, count: int) -> list[Any]:
    """The activities of a run, once there are so many."""
    async with asyncio.timeout(20):
        while True:
            found = [
                event.activity_task_scheduled_event_attributes
                for event in await runner.history(run_id)
                if event.HasField("activity_task_scheduled_event_attributes")
            ]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.02)
