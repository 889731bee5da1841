"""A run ends, is retried or is deleted between what is looked at and what is done: what is said then is right."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from temporalio import workflow as temporal
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionAsyncIterator, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from tests.running import TemporalRunner, temporal_runner
from tests.semantics.v0_8 import documents as old
from tests.semantics.v1.documents import event, workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Retry, RunQuery, Start
from workflow_engine.errors import Conflict, NotFound
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.temporal import judging, outcomes
from workflow_engine.runtimes.temporal.resting import RestingEffects
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = pytest.mark.temporal
WAITS = workflow("do: [{w: {listen: {to: {one: {with: {type: never}}}}}}]")
FAILS = workflow("do: [{f: {raise: {error: {type: 'https://tests.example/no', status: 400}}}}]")
PASSES = workflow("""
do:
  - f: {if: '${ false }', raise: {error: {type: 'https://tests.example/no', status: 400}}}
  - w: {listen: {to: {one: {with: {type: never}}}}}
""")
PARKS = workflow("do: [{parks: {set: {n: 1}}}]")


async def begun(runner: TemporalRunner, text: str) -> str:
    bundle, run_id = Bundle.of(dsl.parse(text), {}), f"meanwhile-{uuid.uuid4()}"
    await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    return run_id


async def until(look: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(20):
        while not await look():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def terminated_once_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = TemporalRuntime._runs

    async def runs(self: TemporalRuntime, run_id: str) -> bool:
        there = await looks(self, run_id)
        await self._client.get_workflow_handle(run_id).terminate()
        return there

    monkeypatch.setattr(TemporalRuntime, "_runs", runs)


async def test_a_run_that_ends_as_a_command_comes_has_ended_and_is_not_unknown(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await begun(runner, WAITS) for _ in range(4)]
    terminated_once_looked_at(monkeypatch)
    for run_id, command in zip(ids, ("suspend", "resume"), strict=False):
        with pytest.raises(Conflict, match=f"has ended; there is nothing to {command}"):
            await getattr(runner.runtime, command)(run_id)
    await runner.runtime.cancel(ids[2])  # as one that has ended before
    monkeypatch.undo()
    await runner.runtime.terminate(ids[3], "no more")
    await runner.runtime.terminate(ids[3], "no more")
    for run_id in ids:
        assert (await runner.runtime.describe(run_id)).status == "cancelled"


async def test_a_run_that_is_retried_as_it_is_described_is_not_waited_for(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await begun(runner, FAILS)
    assert (await runner.runtime.wait(run_id, 20)).status == "faulted"
    later = Bundle.of(dsl.parse(PASSES), {})
    asked = outcomes.result

    async def result(handle: Any) -> Any:
        await runner.runtime.retry(run_id, Retry(bundle=later))
        monkeypatch.undo()
        return await asked(handle)

    monkeypatch.setattr(outcomes, "result", result)
    described = await asyncio.wait_for(runner.runtime.describe(run_id), 10)
    assert described.status == "faulted"
    assert described.error is not None
    assert (await runner.runtime.describe(run_id)).status in ("running", "waiting", "pending")
    await runner.runtime.terminate(run_id, "enough")


async def test_a_retry_that_would_begin_where_another_one_has_gone_on_from_is_refused(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await begun(runner, FAILS)
    await runner.runtime.wait(run_id, 20)
    stood = TemporalRuntime._stood

    async def retried_meanwhile(self: TemporalRuntime, id: str, description: Any) -> Any:
        found = await stood(self, id, description)
        monkeypatch.undo()
        await runner.runtime.retry(run_id, Retry())
        await runner.runtime.wait(run_id, 20)
        return found

    monkeypatch.setattr(TemporalRuntime, "_stood", retried_meanwhile)
    with pytest.raises(Conflict, match="has been retried meanwhile"):
        await runner.runtime.retry(run_id, Retry())
    assert len((await runner.runtime.describe(run_id)).attempts) == 1


async def listed_and_deleted(runner: TemporalRunner, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have *run_id* deleted after the next page has been listed."""
    fetch = WorkflowExecutionAsyncIterator.fetch_next_page

    async def deleted_since(self: Any) -> None:
        await fetch(self)
        monkeypatch.undo()
        execution = WorkflowExecution(workflow_id=run_id)
        await runner.client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(namespace="default", workflow_execution=execution)
        )

        async def away() -> bool:
            try:
                await runner.client.get_workflow_handle(run_id).describe()
            except RPCError as error:
                return error.status == RPCStatusCode.NOT_FOUND
            return False

        await until(away)

    monkeypatch.setattr(WorkflowExecutionAsyncIterator, "fetch_next_page", deleted_since)


async def test_a_run_that_is_listed_and_has_been_deleted_hides_no_other(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can be listed is some moments late, and by then the server may not know a run any more."""
    gone, failed, stays = [await begun(runner, text) for text in (WAITS, FAILS, WAITS)]
    await runner.runtime.wait(failed, 20)
    for run_id in (gone, stays):

        async def waits(id: str = run_id) -> bool:
            return (await runner.runtime.describe(id)).status == "waiting"

        await until(waits)

    async def all_listed() -> bool:
        return {run.id for run in (await runner.runtime.list(RunQuery())).runs} == {gone, failed, stays}

    await until(all_listed)
    await listed_and_deleted(runner, gone, monkeypatch)
    assert [run.id for run in (await runner.runtime.list(RunQuery(status="waiting"))).runs] == [stays]
    ended = [run async for run in runner.client.list_workflows(f"WorkflowId = '{failed}'")]
    unknown = [replace(run, id=gone) for run in ended]
    assert await runner.runtime.last_attempts([*unknown, *ended]) == [*unknown, *ended]
    for work in (
        runner.runtime.describe(gone),
        runner.runtime.cancel(gone),
        runner.runtime.retry(gone, Retry()),
    ):
        with pytest.raises(
            NotFound, match="it ended longer ago than the retention of its namespace, or the server"
        ):
            await work
    await runner.runtime.terminate(stays, "enough")


async def test_a_run_that_is_parked_does_not_keep_others_from_being_listed_by_where_they_are(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("a bug")

    stays = await begun(runner, WAITS)

    async def waits() -> bool:
        return (await runner.runtime.describe(stays)).status == "waiting"

    await until(waits)
    monkeypatch.setattr(Run, "_act", broken)
    parked = await begun(runner, PARKS)

    async def is_parked() -> bool:
        found = await runner.client.get_workflow_handle(parked).describe()
        return found.raw_description.pending_workflow_task.attempt > 1

    await until(is_parked)

    async def is_listed() -> bool:
        page = await runner.runtime.list(RunQuery(status="waiting"))
        return [run.id for run in page.runs] == [stays]

    try:
        await until(is_listed)
    finally:
        monkeypatch.undo()
        await runner.runtime.terminate(parked, "enough")
        await runner.runtime.terminate(stays, "enough")


async def test_a_run_that_ends_while_it_is_to_move_is_not_told_to_be_moving(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = WAITS
    later = Bundle.of(dsl.parse(text.replace("'1.0.0'", "'2.0.0'", 1)), {})
    run_id = await begun(runner, text)

    async def there() -> bool:
        return (await runner.runtime.describe(run_id)).status == "waiting"

    await until(there)
    judged = judging.judged

    async def ended_since(*args: Any) -> Any:
        found = await judged(*args)
        await runner.runtime.terminate(run_id, "enough")
        return found

    monkeypatch.setattr(judging, "judged", ended_since)
    verdict = await runner.runtime.move(run_id, later, {}, 20)
    assert (verdict.answer, verdict.reasons) == ("cannot", [{"state": "", "why": "it has ended meanwhile"}])


CONTINUES = """
events: [{name: Go, type: never, kind: consumed}]
states:
  - {name: w, type: event, onEvents: [{eventRefs: [Go]}], end: {continueAs: {workflowId: other, version: '1.0'}}}
"""
OTHER = "states: [{name: S, type: sleep, duration: PT0.1S, end: true}]"


@pytest.mark.parametrize(("command", "becomes"), [("cancel", "cancelled"), ("suspend", "suspended")])
async def test_what_is_asked_of_a_run_as_it_goes_on_as_another_one_is_done(
    command: str, becomes: str, temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has left its last state, and tells the router so: which may take its time."""
    ends = RestingEffects._finish

    async def slow(self: RestingEffects, over: bool) -> None:
        await temporal.sleep(1)
        await ends(self, over)

    monkeypatch.setattr(RestingEffects, "_finish", slow)
    async with temporal_runner(temporal_address, internet) as runner:
        run_id = await begun(runner, old.workflow(CONTINUES))
        runner.deployed = [Bundle.of(dsl.parse(old.workflow(OTHER, id="other")), {})]

        async def waits() -> bool:
            return bool(runner.router.listeners())

        await until(waits)
        await runner.router.publish("default", [event("never", f"{uuid.uuid4()}")])
        handle = runner.client.get_workflow_handle(run_id)

        async def leaves() -> bool:
            kinds = [each.WhichOneof("attributes") async for each in handle.fetch_history_events()]
            return "timer_started_event_attributes" in kinds

        await until(leaves)
        await getattr(runner.runtime, command)(run_id)
        monkeypatch.undo()

        async def done() -> bool:
            run = await runner.runtime.describe(run_id)
            assert run.status != "completed"
            return run.status == becomes and (command == "cancel" or run.workflow.name == "other")  # type: ignore[union-attr]

        await until(done)
        if command == "suspend":
            await runner.runtime.resume(run_id)
            assert (await runner.runtime.wait(run_id, 20)).status == "completed"


@pytest.mark.parametrize("command", ["cancel", "terminate", "suspend"])
async def test_a_run_that_goes_on_in_a_new_history_as_it_is_told_something_is_told_there(
    command: str, runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server looks for its present history first, and says then of the old one that it has ended."""
    run_id, lost = await begun(runner, WAITS), list[str]()
    method = {"suspend": "signal"}.get(command, command)
    tells = getattr(WorkflowHandle, method)

    async def tell(self: Any, *args: Any, **options: Any) -> Any:
        if not lost:
            lost.append(self.id)
            raise RPCError("workflow execution already completed", RPCStatusCode.NOT_FOUND, b"")
        return await tells(self, *args, **options)

    monkeypatch.setattr(WorkflowHandle, method, tell)
    await getattr(runner.runtime, command)(run_id, *(["no more"] if command == "terminate" else []))
    monkeypatch.undo()
    assert lost == [run_id]

    async def done() -> bool:
        status = (await runner.runtime.describe(run_id)).status
        return status == ("suspended" if command == "suspend" else "cancelled")

    await until(done)
    await runner.runtime.terminate(run_id, "enough")
