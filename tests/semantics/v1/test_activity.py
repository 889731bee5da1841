"""``call: activity``: activities of other workers of Temporal, or functions that stand in for them locally."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.semantics.v1.documents import error, kind, output, problems, workflow
from tests.standins.activities import QUEUE, cancelled, somebody_else, tries
from workflow_engine import dsl
from workflow_engine.calls import CALLERS
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.graph.captions import summary
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.runtimes.local_calls import real_calls


@pytest_asyncio.fixture(loop_scope="module")
async def run(run: Any, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """The fixture of all, with the worker of somebody else beside it."""
    if run.name == "local":
        yield run
        return
    async with somebody_else(request.getfixturevalue("temporal_address")):
        yield run


def calling(type: str, more: str = "", rest: str = "") -> str:
    return f"do: [{{a: {{call: activity, with: {{type: {type}, taskQueue: {QUEUE}{more}}}{rest}}}}}]"


async def test_an_activity_gets_its_arguments_and_gives_the_output(run: Any) -> None:
    body = calling("charge", ", arguments: ['${ {id: .order} }', '${ .cents }']", ", output: {as: .charged}")
    assert await output(run, body, {"order": "o-1", "cents": 1250}) == 1250


async def test_without_arguments_an_activity_gets_the_input_of_the_task(run: Any) -> None:
    assert await output(run, calling("greet"), {"name": "Ada"}) == "Hello, Ada!"


async def test_the_arguments_may_be_computed_as_a_whole_and_be_none(run: Any) -> None:
    assert await output(run, calling("nothing", ", arguments: []")) is None
    body = calling("charge", ", arguments: '${ [{id: 1}, .cents] }'")
    assert await output(run, body, {"cents": 5}) == {"charged": 5, "order": 1}
    fault = await error(run, body.replace("[{id: 1}, .cents]", ".cents"), {"cents": 5})
    assert (kind(fault), fault["instance"]) == ("validation", "/do/0/a")


async def test_the_type_of_an_activity_may_be_computed(run: Any) -> None:
    assert await output(run, calling("'${ .do }'"), {"do": "greet", "name": "Ada"}) == "Hello, Ada!"


async def test_a_failure_is_a_runtime_error_that_has_the_type_of_the_failure_as_title(run: Any) -> None:
    fault = await error(run, calling("decline", ", arguments: []"))
    assert (kind(fault), fault["status"], fault["title"]) == ("runtime", 500, "CardDeclined")
    assert fault["detail"] == "the activity decline failed: insufficient funds"
    assert fault["instance"] == "/do/0/a"
    fault = await error(run, calling("broken", ", arguments: []"))
    assert (fault["title"], fault["detail"]) == ("ValueError", "the activity broken failed: boom")


async def test_an_activity_may_say_itself_which_error_it_is(run: Any) -> None:
    fault = await error(run, calling("precise", ", arguments: []"))
    assert fault == {
        "type": "https://payments.example/declined",
        "status": 402,
        "title": "Declined",
        "detail": "insufficient funds",
        "instance": "/do/0/a",
    }


async def test_a_failure_can_be_caught_by_its_title_and_retried_by_the_workflow(run: Any) -> None:
    key = str(uuid.uuid4())
    body = f"""
    do:
      - t:
          try: [{{a: {{call: activity, with: {{type: flaky, taskQueue: {QUEUE}, arguments: ['{key}', 2]}}}}}}]
          catch: {{errors: {{with: {{title: ConnectionError}}}}, retry: {{limit: {{attempt: {{count: 3}}}}}}}}
    """
    assert await output(run, body) == 3


async def test_without_a_retry_policy_an_activity_is_tried_once_and_with_one_by_temporal(run: Any) -> None:
    once, often = str(uuid.uuid4()), str(uuid.uuid4())
    assert kind(await error(run, calling("flaky", f", arguments: ['{once}', 2]"))) == "runtime"
    assert tries[once] == 1
    retry = ", retry: {initialInterval: PT0.01S, maximumAttempts: 5}"
    assert await output(run, calling("flaky", f", arguments: ['{often}', 2]{retry}")) == 3
    final = str(uuid.uuid4())
    retry = ", retry: {initialInterval: PT0.01S, nonRetryableErrorTypes: [ConnectionError]}"
    assert kind(await error(run, calling("flaky", f", arguments: ['{final}', 2]{retry}"))) == "runtime"
    assert tries[final] == 1


async def test_an_attempt_that_takes_too_long_is_a_timeout(run: Any) -> None:
    fault = await error(run, calling("silent", ", arguments: [20], timeouts: {startToClose: PT0.2S}"))
    assert (kind(fault), fault["status"]) == ("timeout", 408)
    assert "startToClose" in fault["detail"]


async def test_the_timeout_of_the_task_bounds_the_activity(run: Any) -> None:
    body = calling(
        "silent", ", arguments: [20], timeouts: {startToClose: PT1M}", ", timeout: {after: PT0.2S}"
    )
    fault = await error(run, body)
    assert (kind(fault), fault["instance"]) == ("timeout", "/do/0/a")
    assert "'a' took longer than its timeout allows" in fault["detail"]


async def test_an_activity_that_is_no_longer_wanted_is_cancelled(run: Any) -> None:
    key = str(uuid.uuid4())
    body = f"""
    do:
      - f:
          fork:
            compete: true
            branches:
              - slow:
                  call: activity
                  with:
                    type: slow
                    taskQueue: {QUEUE}
                    arguments: ['{key}', 20]
                    timeouts: {{startToClose: PT1M, heartbeat: PT2S}}
              - fast: {{do: [{{w: {{wait: PT0.5S}}}}, {{s: {{set: fast}}}}]}}
    """
    if run.name == "local":
        silent = f"call: activity, with: {{type: silent, taskQueue: {QUEUE}, arguments: [0.5]}}"
        body = body.replace("wait: PT0.5S", silent)  # the clock of this runtime does not wait for calls
    assert await output(run, body) == "fast"
    while key not in cancelled:  # noqa: ASYNC110 - an activity in another thread
        await asyncio.sleep(0.05)


async def test_secrets_are_refused_as_arguments_and_what_stands_for_them_too(run: Any) -> None:
    use = "use: {secrets: [key]}\n"
    [found] = problems(use + calling("greet", ", arguments: ['${ $secrets.key }']"))
    assert (found.code, found.pointer) == ("invalid-expression", "/do/0/a/with/arguments/0")
    assert "history" in found.message
    body = use + calling("greet").replace("do: [", "do: [{s: {set: {name: '${ $secrets.key }'}}}, ")
    fault = await error(run, body)
    assert (kind(fault), fault["instance"]) == ("configuration", "/do/1/a")


async def test_an_activity_that_is_not_registered_is_refused_by_the_local_runtime_with_what_to_do() -> None:
    graph = dsl.compile(dsl.parse(workflow(calling("greet"))))
    local = LocalRun(graph, perform=real_calls(None, CALLERS))  # type: ignore[arg-type]
    outcome = await local.execute({})
    assert outcome.error is not None
    assert kind(outcome.error.to_json()) == "configuration"
    assert "the task queue payments" in str(outcome.error.detail)
    assert "run the workflow on Temporal" in str(outcome.error.detail)


async def test_a_function_of_the_document_that_is_called_activity_is_its_own(run: Any) -> None:
    body = "use: {functions: {activity: {set: '${ .n + 1 }'}}}\ndo: [{a: {call: activity, with: {n: 1}}}]"
    assert await output(run, body) == 2


@pytest.mark.parametrize(
    ("more", "code", "pointer"),
    [
        (", taskqueue: x", "unknown-property", "/do/0/a/with/taskqueue"),
        (", timeouts: {startToClose: 5}", "wrong-type", "/do/0/a/with/timeouts/startToClose"),
        (", timeouts: {heartbeat: 5 minutes}", "invalid-duration", "/do/0/a/with/timeouts/heartbeat"),
        (", retry: {maximumAttempts: -1}", "invalid-value", "/do/0/a/with/retry/maximumAttempts"),
    ],
)
def test_what_an_activity_cannot_be_given_is_a_problem_where_it_stands(
    more: str, code: str, pointer: str
) -> None:
    [found] = problems(calling("greet", more))
    assert (found.code, found.pointer) == (code, pointer)


def test_an_activity_needs_its_type_and_its_task_queue() -> None:
    found = problems("do: [{a: {call: activity, with: {}}}]")
    assert [problem.code for problem in found] == ["missing-property"]
    assert "`taskQueue`" in found[0].message
    [queue] = problems(calling("greet").replace(QUEUE, "'${ .queue }'"))
    assert (queue.code, queue.pointer) == ("unsupported", "/do/0/a/with/taskQueue")


def test_an_activity_is_drawn_by_its_type_and_task_queue() -> None:
    graph = dsl.compile(dsl.parse(workflow(calling("greet"))))
    assert summary(graph.root.states["/do/0/a"].action) == "activity greet on payments"


# --- on Temporal alone ------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def durable(temporal_address: str, internet: Any) -> AsyncIterator[Any]:
    from tests.running import temporal_runner

    async with temporal_runner(temporal_address, internet) as runner, somebody_else(temporal_address):
        yield runner


@pytest.mark.temporal
async def test_the_id_of_an_activity_is_its_place_in_the_document(durable: Any) -> None:
    once = calling("whoami", ", arguments: []").removeprefix("do: ")
    body = f"do: [{{l: {{for: {{in: '[1, 2]'}}, do: {once}}}}}]"
    ended = await durable(workflow(body))
    assert ended.output == [ended.run_id, "/do/0/l/do/0/a#2", QUEUE]


@pytest.mark.temporal
async def test_bytes_are_base64(durable: Any) -> None:
    assert (await durable(workflow(calling("bytes", ", arguments: []")))).output == "AP8="


@pytest.mark.temporal
async def test_an_activity_whose_worker_is_silent_is_given_up(durable: Any) -> None:
    timeouts = ", arguments: [20], timeouts: {startToClose: PT1M, heartbeat: PT0.3S}"
    ended = await durable(workflow(calling("silent", timeouts)))
    assert kind(ended.error) == "timeout"
    assert "timeouts.heartbeat" in ended.error["detail"]


@pytest.mark.temporal
async def test_an_activity_that_nobody_takes_is_a_timeout_or_waited_for(durable: Any) -> None:
    body = calling("greet", ", timeouts: {scheduleToStart: PT0.3S}").replace(QUEUE, "nobody-listens-here")
    ended = await durable(workflow(body))
    assert kind(ended.error) == "timeout"
    assert "taken by no worker" in ended.error["detail"]
    whole = calling("silent", ", arguments: [20], timeouts: {scheduleToClose: PT0.3S}")
    ended = await durable(workflow(whole))
    assert kind(ended.error) == "timeout"


@pytest.mark.temporal
async def test_a_run_that_is_cancelled_cancels_its_activity(durable: Any) -> None:
    key = str(uuid.uuid4())
    more = f", arguments: ['{key}', 20], timeouts: {{startToClose: PT1M, heartbeat: PT2S}}"
    bundle = Bundle.of(dsl.parse(workflow(calling("slow", more))), {})
    run_id = f"cancelled-{key}"
    await durable.runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    while not tries[key]:  # noqa: ASYNC110 - it counts in another task
        await asyncio.sleep(0.02)
    await durable.runtime.cancel(run_id)
    assert (await durable.runtime.wait(run_id, 30)).status == "cancelled"
    while key not in cancelled:  # noqa: ASYNC110 - an activity in another thread
        await asyncio.sleep(0.05)
