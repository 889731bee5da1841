"""Express runs: short calls are made within the workflow task, and as activities of their own where they are not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from tests.running import TemporalRunner, temporal_runner
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.errors import InvalidDocument
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = pytest.mark.temporal
PET = "{call: http, with: {method: get, endpoint: 'https://petstore.swagger.io/v2/pet/1'}}"


def header(metadata: str = "{express: true}") -> str:
    name = "dsl: '1.0.3', namespace: test, name: express, version: '1.0.0'"
    return f"document: {{{name}, metadata: {metadata}}}\n"


async def events(runner: TemporalRunner, run_id: str) -> Counter[str]:
    """How many events of each type the run has in its history."""
    return Counter(
        EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in await runner.history(run_id)
    )


async def test_each_call_and_emit_of_an_express_run_is_one_event(runner: TemporalRunner) -> None:
    tasks = f"do: [{{a: {PET}}}, {{b: {PET}}}, {{c: {{emit: {{event: {{with: {{type: told}}}}}}}}}}]"
    ended = await runner(header() + tasks)
    assert ended.status == "completed", ended.error
    assert await events(runner, ended.run_id) == {
        "WORKFLOW_EXECUTION_STARTED": 1,
        "WORKFLOW_TASK_SCHEDULED": 1,
        "WORKFLOW_TASK_STARTED": 1,
        "WORKFLOW_TASK_COMPLETED": 1,
        "MARKER_RECORDED": 3,
        "WORKFLOW_EXECUTION_COMPLETED": 1,
    }
    ordinary = await runner(header("{express: false}") + tasks)
    assert ordinary.status == "completed"
    assert sum((await events(runner, ordinary.run_id)).values()) == 5 + 3 * 6


async def test_a_call_that_takes_longer_goes_on_and_an_activity_takes_it_over(
    temporal_address: str, internet: Any
) -> None:
    async with temporal_runner(temporal_address, internet, express_seconds=2) as runner:
        slow = "{call: http, with: {method: get, endpoint: 'https://httpbin.org/delay/4'}}"
        ended = await runner(header() + f"do: [{{a: {PET}}}, {{b: {slow}}}]")
        assert ended.status == "completed", ended.error
        counted = await events(runner, ended.run_id)
    assert (counted["MARKER_RECORDED"], counted["ACTIVITY_TASK_COMPLETED"]) == (2, 1)


async def test_what_a_task_says_of_itself_goes_before_what_its_workflow_says(runner: TemporalRunner) -> None:
    aside = PET[:-1] + ", metadata: {express: false}}"
    ended = await runner(header() + f"do: [{{a: {PET}}}, {{b: {aside}}}]")
    counted = await events(runner, ended.run_id)
    assert (counted["MARKER_RECORDED"], counted["ACTIVITY_TASK_COMPLETED"]) == (1, 1)
    short = PET[:-1] + ", metadata: {express: true}}"
    ended = await runner(header("{express: false}") + f"do: [{{a: {PET}}}, {{b: {short}}}]")
    counted = await events(runner, ended.run_id)
    assert (counted["MARKER_RECORDED"], counted["ACTIVITY_TASK_COMPLETED"]) == (1, 1)


async def test_a_fault_of_a_call_is_caught_and_costs_one_event_too(runner: TemporalRunner) -> None:
    missing = "{call: http, with: {method: get, endpoint: 'https://petstore.swagger.io/v2/pet/nobody'}}"
    tried = f"{{try: [{{b: {missing}}}], catch: {{do: [{{c: {{set: '${{ $error.status }}'}}}}]}}}}"
    ended = await runner(header() + f"do: [{{a: {tried}}}]")
    assert (ended.status, ended.output) == ("completed", 404), ended.error
    assert sum((await events(runner, ended.run_id)).values()) == 6


async def test_a_call_with_a_timeout_of_its_own_is_an_activity_that_ends_in_time(
    runner: TemporalRunner,
) -> None:
    slow = (
        "{call: http, with: {method: get, endpoint: 'https://httpbin.org/delay/5'}, timeout: {after: PT0.2S}}"
    )
    ended = await runner(header() + f"do: [{{a: {slow}}}]")
    assert ended.status == "faulted"
    assert ended.error is not None
    assert (ended.error["status"], ended.error["instance"]) == (408, "/do/0/a")
    assert (await events(runner, ended.run_id))["MARKER_RECORDED"] == 0


async def test_processes_are_never_started_within_a_workflow_task(runner: TemporalRunner) -> None:
    ended = await runner(header() + "do: [{a: {run: {shell: {command: echo hello}}}}]")
    assert ended.status == "completed", ended.error
    assert (await events(runner, ended.run_id))["MARKER_RECORDED"] == 0


async def test_a_run_of_dsl_0_8_is_express_too(runner: TemporalRunner) -> None:
    text = """
id: short
version: '1.0.0'
specVersion: '0.8'
metadata: {express: true}
functions: [{name: log, type: custom, operation: sysout}]
states:
  - name: Say
    type: operation
    actions: [{functionRef: {refName: log, arguments: {message: hello}}}]
    end: true
"""
    ended = await runner(text)
    assert ended.status == "completed", ended.error
    assert sum((await events(runner, ended.run_id)).values()) == 6


async def test_a_bundle_knows_what_its_deployer_wants(runner: TemporalRunner) -> None:
    document = dsl.parse(header("{}") + f"do: [{{a: {PET}}}]")
    plain, express = Bundle.of(document, {}), Bundle.of(document, {}, express=True)
    assert (plain.express, plain.graph().express) == (None, None)
    assert (express.express, express.graph().express) == (True, True)
    assert plain.expressed(True) == express
    assert plain.expressed(None) is plain
    assert express.expressed(False).graph().express is False
    assert len({plain.digest, express.digest, express.expressed(False).digest}) == 3


def test_express_is_true_or_false() -> None:
    with pytest.raises(InvalidDocument) as refused:
        dsl.compile(dsl.parse(header("{express: often}") + f"do: [{{a: {PET}}}]"))
    assert [(problem.code, problem.pointer) for problem in refused.value.problems] == [
        ("invalid-value", "/document/metadata/express")
    ]


async def test_a_run_is_started_eagerly_where_a_worker_has_the_same_client(runner: TemporalRunner) -> None:
    bundle = Bundle.of(dsl.parse(header() + "do: [{a: {set: {x: 1}}}]"), {})
    runtime = TemporalRuntime(runner.client, runner.queue, search_attributes=False, eager=True)
    await runtime.start(Start("eager-1", bundle.graph().name, bundle, {}))
    assert (await runtime.wait("eager-1", 30)).output == {"x": 1}
    started = (await runner.history("eager-1"))[0].workflow_execution_started_event_attributes
    assert started.eager_execution_accepted
