"""Runs that wait for runs which they have begun go on in new histories, and move to other versions, all the while."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from tests.runtimes.far_side import FarSide
from tests.runtimes.test_migrating import Shop, shop  # noqa: F401 - a fixture
from tests.runtimes.test_moving_at_work import moved, version_of
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal import sub_flows

pytestmark = pytest.mark.temporal


def text(name: str, version: str, states: str) -> str:
    return f"document: {{dsl: '1.0.3', namespace: test, name: {name}, version: '{version}'}}\ndo:\n{states}"


def running(name: str, version: str = "latest", more: str = "") -> str:
    return f"{{run: {{workflow: {{namespace: test, name: {name}, version: '{version}'}}{more}}}}}"


async def standing_at(shop: Shop, run_id: str, state: str) -> None:  # noqa: F811
    from workflow_engine.errors import NotFound

    async with asyncio.timeout(20):
        while True:
            try:
                if [each.name for each in (await shop.runtime.describe(run_id)).states] == [state]:
                    return
            except NotFound:
                pass
            await asyncio.sleep(0.05)


async def go(shop: Shop, type: str) -> None:  # noqa: F811
    event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "t", "type": type}
    await shop.runner.router.publish("default", [event])


async def test_a_run_moves_while_it_waits_for_another_one_and_so_does_that_however_deep(
    shop: Shop,  # noqa: F811
    far: FarSide,
) -> None:
    """In a plain list, in a loop, and in a `try`: nothing goes on beside any of them."""
    event = f"go-{uuid.uuid4()}"
    inner, middle, outer = (f"{shop.name}-{name}" for name in ("inner", "middle", "outer"))
    hear = f"{{listen: {{to: {{one: {{with: {{type: {event}}}}}}}}}}}"

    async def deploy(version: str, mark: str) -> None:
        await shop.engine.deploy(
            text(inner, version, f"- a: {far.call('a')}\n- hear: {hear}\n- b: {far.call('b' + mark)}")
        )
        body = f"[{{t: {{try: [{{r: {running(inner, version)}}}], catch: {{}}}}}}, {{m: {far.call('m' + mark)}}}]"
        await shop.engine.deploy(
            text(middle, version, f"- l: {{for: {{each: item, in: '[1, 2]'}}, do: {body}}}")
        )
        states = f"- o: {far.call('o')}\n- r: {running(middle, version)}\n- last: {far.call('last' + mark)}"
        await shop.engine.deploy(text(outer, version, states))

    await deploy("1.0.0", "")
    run_id = await shop.engine.start("test", outer, None, {})
    child = f"{run_id}.do.1.r"
    grandchild = f"{child}.do.0.l.do.0.t.try.0.r"
    await standing_at(shop, grandchild, "hear")
    await deploy("2.0.0", "2")
    for id in (run_id, grandchild, child):
        verdict = await moved(shop, id)
        assert verdict.answer == "moved", (id, verdict)
        assert await version_of(shop, id) == "2.0.0"
    assert any(
        f"runs {inner} 2.0.0 now: the run of it that is under way goes on" in told for told in verdict.remarks
    )
    await go(shop, event)
    await standing_at(shop, f"{grandchild}#2", "hear")
    await go(shop, event)
    assert await shop.output(run_id) == {"did": "last2"}
    assert far.done == {"o": 1, "a": 2, "b2": 2, "m2": 2, "last2": 1}
    assert await shop.output(child) == {"did": "m2"}


async def moved_around(shop: Shop, wait: str) -> tuple[str, str]:  # noqa: F811
    """A run of version 2 that waits for one which it began in version 1, and which does *wait*; both ids."""
    inner, outer = f"{shop.name}-inner", f"{shop.name}-outer"
    await shop.engine.deploy(text(inner, "1.0.0", f"- w: {wait}\n- b: {{set: {{n: 7}}}}"))
    await shop.engine.deploy(text(outer, "1.0.0", f"- r: {running(inner)}"))
    run_id = await shop.engine.start("test", outer, None, {})
    await standing_at(shop, f"{run_id}.do.0.r", "w")
    await shop.engine.deploy(text(outer, "2.0.0", f"- r: {running(inner)}\n- c: {{set: '${{ .n + 1 }}'}}"))
    assert (await moved(shop, run_id)).answer == "moved"
    return run_id, f"{run_id}.do.0.r"


async def test_the_sub_flow_tells_the_run_when_it_ends_which_does_not_ask_all_the_time(
    shop: Shop,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rarely = replace(sub_flows.UNTIL_TOLD, initial_interval=timedelta(hours=1), maximum_interval=None)
    monkeypatch.setattr(sub_flows, "UNTIL_TOLD", rarely)
    event = f"go-{uuid.uuid4()}"
    run_id, child = await moved_around(shop, f"{{listen: {{to: {{one: {{with: {{type: {event}}}}}}}}}}}")
    handle = shop.runner.client.get_workflow_handle(run_id)
    async with asyncio.timeout(20):  # it has looked, and found that it goes on
        while [  # noqa: ASYNC110
            pending.attempt for pending in (await handle.describe()).raw_description.pending_activities
        ] != [2]:
            await asyncio.sleep(0.05)
    inner, version = f"{shop.name}-inner", "2.0.0"
    hear = f"{{listen: {{to: {{one: {{with: {{type: {event}}}}}}}}}}}"
    await shop.engine.deploy(text(inner, version, f"- w: {hear}\n- b: {{set: {{n: 70}}}}"))
    assert (await moved(shop, child)).answer == "moved"  # and still knows whom to tell
    monkeypatch.undo()
    await go(shop, event)
    assert await shop.output(run_id) == 71


@pytest.mark.parametrize("command", ["cancel", "terminate", "terminate the sub-flow", "skip"])
async def test_what_ends_the_run_ends_the_sub_flow_of_an_earlier_history_and_what_ends_that_is_noticed(
    shop: Shop,  # noqa: F811
    command: str,
) -> None:
    run_id, child = await moved_around(shop, "{wait: PT1H}")
    if command == "cancel":
        await shop.runtime.cancel(run_id)
    elif command == "terminate":
        await shop.runtime.terminate(run_id, "enough")
    elif command == "skip":
        await shop.runtime.skip(run_id, Wish(skip=True, output={"n": 1}))
    else:
        await shop.runtime.terminate(child, "enough")
    wanted = {"skip": "completed", "terminate the sub-flow": "faulted"}.get(command, "cancelled")
    assert (await shop.runtime.wait(run_id, 20)).status == wanted
    assert (await shop.runtime.wait(child, 20)).status == "cancelled"


@pytest.mark.parametrize("command", ["cancel", "terminate"])
async def test_what_ends_a_run_ends_the_sub_flow_that_it_only_waits_for(shop: Shop, command: str) -> None:  # noqa: F811
    inner, outer = f"{shop.name}-inner", f"{shop.name}-outer"
    await shop.engine.deploy(text(inner, "1.0.0", "- w: {wait: PT1H}"))
    await shop.engine.deploy(text(outer, "1.0.0", f"- t: {{try: [{{r: {running(inner)}}}], catch: {{}}}}"))
    run_id = await shop.engine.start("test", outer, None, {})
    child = f"{run_id}.do.0.t.try.0.r"
    await standing_at(shop, child, "w")
    if command == "cancel":
        await shop.runtime.cancel(run_id)
    else:
        await shop.runtime.terminate(run_id, "enough")
    for id in (run_id, child):
        assert (await shop.runtime.wait(id, 20)).status == "cancelled"


async def test_a_run_that_is_reset_to_before_its_sub_flow_began_waits_for_that(shop: Shop) -> None:  # noqa: F811
    event = f"go-{uuid.uuid4()}"
    inner, outer = f"{shop.name}-inner", f"{shop.name}-outer"
    hear = f"{{listen: {{to: {{one: {{with: {{type: {event}}}}}}}}}}}"
    await shop.engine.deploy(text(inner, "1.0.0", f"- w: {hear}\n- b: {{set: {{n: 7}}}}"))
    await shop.engine.deploy(text(outer, "1.0.0", f"- r: {running(inner)}"))
    run_id = await shop.engine.start("test", outer, None, {})
    await standing_at(shop, f"{run_id}.do.0.r", "w")
    client = shop.runner.client
    handle = client.get_workflow_handle(run_id)
    before = (await handle.describe()).run_id
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=run_id, run_id=before),
            workflow_task_finish_event_id=4,
            request_id=str(uuid.uuid4()),
        )
    )
    assert (await handle.describe()).run_id != before
    async with asyncio.timeout(20):
        while not (await handle.describe()).raw_description.pending_activities:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await go(shop, event)
    assert await shop.output(run_id) == {"n": 7}
