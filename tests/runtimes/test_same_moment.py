"""What ends a run, or a part of it, and what it waits for come in the same moment: nothing is lost, or done in vain.

Both stand in the history of the run before a worker looks at it, for there is none meanwhile.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_killed_while_continuing import chain
from tests.semantics.v0_8 import documents as old
from tests.semantics.v1.documents import event, workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.errors import NotFound
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal.followers import ENDED
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = pytest.mark.temporal
NEVER = "{listen: {to: {one: {with: {type: never}}}}}"
CHILD = workflow(f"do: [{{w: {NEVER}}}]", name="child")
SLEEPS = "states: [{name: S, type: sleep, duration: PT1H, end: true}]"
RUN = "{run: {workflow: {namespace: semantics, name: child, version: '1.0.0'}}}"


async def begun(runner: TemporalRunner, text: str, limits: Limits | None = None, child: str = CHILD) -> str:
    bundle, run_id = Bundle.of(dsl.parse(text), {}), f"moment-{uuid.uuid4()}"
    runner.deployed = [Bundle.of(dsl.parse(child), {})]
    runtime = TemporalRuntime(runner.client, runner.queue, search_attributes=False, limits=limits)
    await runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    return run_id


async def waiting(runner: TemporalRunner, run_id: str, *names: str) -> None:
    """Return once the run stands at states of these names."""
    async with asyncio.timeout(20):
        while True:
            try:
                states = (await runner.runtime.describe(run_id)).states
            except NotFound:
                states = ()
            if sorted(state.name for state in states if state.doing) == sorted(names):
                return
            await asyncio.sleep(0.05)


async def meanwhile(
    address: str, internet: Any, text: str, child: str, do: Callable[[TemporalRunner, str], Awaitable[None]]
) -> str:
    """How the run of *text* ends to which *do* is done while it has no worker, once its sub-flow, *child* by the end of
    its id, waits.
    """
    queue = f"moment-{uuid.uuid4()}"
    async with temporal_runner(address, internet, queue=queue) as runner:
        run_id = await begun(runner, text)
        await waiting(runner, run_id + child, "w")
    await do(runner, run_id)
    async with temporal_runner(address, internet, queue=queue) as runner:
        return (await runner.runtime.wait(run_id, 20)).status


async def test_a_run_that_is_cancelled_as_its_sub_flow_ends_does_not_go_on(
    temporal_address: str, internet: Any, far: FarSide
) -> None:
    text = workflow(f"do: [{{t: {{try: [{{r: {RUN}}}], catch: {{do: [{{a: {far.call('a')}}}]}}}}}}]")

    async def do(runner: TemporalRunner, run_id: str) -> None:
        await runner.runtime.cancel(run_id)
        await runner.client.get_workflow_handle(f"{run_id}.do.0.t.try.0.r").terminate()
        await asyncio.sleep(0.3)

    assert await meanwhile(temporal_address, internet, text, ".do.0.t.try.0.r", do) == "cancelled"
    assert far.done == {}


async def test_what_has_lost_a_race_as_its_sub_flow_ends_does_not_go_on(
    temporal_address: str, internet: Any, far: FarSide
) -> None:
    """The event that decides the race comes first; the sub-flow, which is to be cancelled, has just ended by itself."""
    after = f"{{try: [{{r: {RUN}}}], catch: {{do: [{{a: {far.call('a')}}}]}}}}"
    text = workflow(f"do: [{{f: {{fork: {{compete: true, branches: [{{t: {after}}}, {{s: {NEVER}}}]}}}}}}]")
    child = ".do.0.f.fork.branches.0.t.try.0.r"

    async def do(runner: TemporalRunner, run_id: str) -> None:
        message = {"seq": 0, "event": event("never", "1"), "index": 0, "complete": True}
        await runner.runtime.deliver(run_id, "/do/0/f/fork/branches/1/s", message)
        await runner.client.get_workflow_handle(run_id + child).terminate()
        await asyncio.sleep(0.3)

    assert await meanwhile(temporal_address, internet, text, child, do) == "completed"
    assert far.done == {}


async def test_a_run_that_is_cancelled_as_it_ends_has_ended_and_leaves_nothing_behind(
    temporal_address: str, internet: Any
) -> None:
    text = old.workflow("""
    events: [{name: Go, type: never, kind: consumed}]
    states:
      - name: A
        type: operation
        actions: [{subFlowRef: {workflowId: child, invoke: async}}]
        transition: w
      - {name: w, type: event, onEvents: [{eventRefs: [Go]}], end: true}
    """)
    queue = f"moment-{uuid.uuid4()}"
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        run_id = await begun(runner, text, child=old.workflow(SLEEPS, id="child"))
        await waiting(runner, run_id, "w")
        [listener] = [each for each in runner.router.listeners() if each["run_id"] == run_id]
        handle = runner.client.get_workflow_handle(run_id)
        [child] = (await handle.describe()).raw_description.pending_children
    message = {"seq": 0, "event": event("never", "1"), "index": 0, "complete": True}
    await runner.runtime.deliver(run_id, listener["listen_id"], message)
    await runner.runtime.cancel(run_id)
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        assert (await runner.runtime.wait(run_id, 20)).status == "completed"
        assert (await runner.runtime.wait(child.workflow_id, 20)).status == "cancelled"


async def test_a_run_that_goes_on_in_a_new_history_as_its_sub_flow_tells_that_it_ends_asks_there(
    temporal_address: str, internet: Any
) -> None:
    """What it would ask for in the old one, after it has left that, Temporal refuses with the whole task."""
    text, queue = workflow(f"do: [{{r: {RUN}}}, {{a: {{set: {{n: 1}}}}}}]"), f"moment-{uuid.uuid4()}"
    later = [Bundle.of(dsl.parse(text.replace("'1.0.0'", f"'{n}.0.0'", 1)), {}) for n in (2, 3)]
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        run_id = await begun(runner, text)
        await waiting(runner, f"{run_id}.do.0.r", "w")
        assert (await runner.runtime.move(run_id, later[0], {}, 20)).answer == "moved"
        handle = runner.client.get_workflow_handle(run_id)
        async with asyncio.timeout(20):  # it waits to ask once more
            while not (await handle.describe()).raw_description.pending_activities:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    await handle.signal(ENDED, "/do/0/r")
    await handle.signal("migrate", args=[later[1], {}])
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        async with asyncio.timeout(20):
            while (await (await handle.describe()).memo())["version"] != "3.0.0":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        kinds = [
            EventType.Name(event.event_type)
            for history in await chain(runner.client, run_id)
            for event in history.events
        ]
        assert "EVENT_TYPE_WORKFLOW_TASK_FAILED" not in kinds
        await runner.runtime.skip(f"{run_id}.do.0.r", Wish(skip=True))
        assert (await runner.runtime.wait(run_id, 20)).output == {"n": 1}


async def test_a_run_that_is_cancelled_as_it_is_to_go_on_in_a_new_history_does_not_go_on(
    temporal_address: str, internet: Any
) -> None:
    """The library tells a run of the signal first, and it would have left by the time it hears of the cancel."""
    text, queue = workflow(f"do: [{{w: {NEVER}}}]"), f"moment-{uuid.uuid4()}"
    later = Bundle.of(dsl.parse(text.replace("'1.0.0'", "'2.0.0'", 1)), {})
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        run_id = await begun(runner, text)
        await waiting(runner, run_id, "w")
    await runner.client.get_workflow_handle(run_id).signal("migrate", args=[later, {}])
    await runner.runtime.cancel(run_id)
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        assert (await runner.runtime.wait(run_id, 20)).status == "cancelled"
