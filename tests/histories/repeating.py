"""Record the history of the workflow behind ``schedule.after``: ``python -m tests.histories.repeating``.

It goes through all that it can: runs that complete and fault, another version, a pause, a run by hand, a run that
somebody cancels; and a second execution, which begins with what the first one kept.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from temporalio.client import WorkflowHistory

from tests.histories.record import plain
from tests.running import TemporalRunner, temporal_runner
from tests.semantics.v1.documents import workflow
from tests.standins.internet import internet_thread
from tests.temporal_server import server_in_thread
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.schedules import Plan, ScheduleState
from workflow_engine.runtimes.temporal import repetitions
from workflow_engine.runtimes.temporal.schedules import TemporalSchedules
from workflow_engine.runtimes.temporal.server import ServerOptions

FOLDER = Path(__file__).parent / "schedules"
SHORT = "schedule: {after: PT0.05S}\n"
GOOD = SHORT + "do: [{a: {set: {n: 1}}}]"
FAULTY = SHORT + "do: [{a: {raise: {error: {type: 'https://e.example/x', status: 418}}}}]"
LONG = SHORT + "do: [{a: {wait: PT1H}}]"


def plan(body: str, version: str) -> Plan:
    bundle = Bundle.of(dsl.parse(workflow(body, name="repeated", version=version)), {})
    graph = bundle.graph()
    assert graph.schedule is not None
    return Plan(graph.name, graph.schedule, bundle, datetime.now(UTC), "Repeated")


async def record(runner: TemporalRunner) -> list[WorkflowHistory]:
    """The histories of both executions."""
    schedules = TemporalSchedules(runner.client, runner.queue, search_attributes=False)
    good, faulty, long = plan(GOOD, "1.0.0"), plan(FAULTY, "2.0.0"), plan(LONG, "3.0.0")

    async def until(what: Callable[[ScheduleState], bool]) -> ScheduleState:
        deadline = asyncio.get_running_loop().time() + 30
        while not what(state := await schedules.state(good)):
            assert asyncio.get_running_loop().time() < deadline, state
            await asyncio.sleep(0.01)
        return state

    async def more(count: Callable[[], Awaitable[None]]) -> None:
        before = (await schedules.state(good)).started
        await count()
        await until(lambda state: state.started > before and not state.running)

    await schedules.set(good)
    await until(lambda state: state.started >= 2)
    await more(lambda: schedules.set(faulty))
    await schedules.pause(good, "for a while")
    await until(lambda state: state.paused and not state.running)
    await more(lambda: schedules.trigger(faulty))
    await schedules.set(long)
    await schedules.resume(long)
    running = (await until(lambda state: bool(state.running))).running[0]
    await runner.runtime.cancel(running)
    await until(lambda state: state.paused)
    id = f"{runner.queue}/{good.workflow.namespace}/{good.workflow.name}"
    first = await runner.client.get_workflow_handle(id).fetch_history()
    repetitions.LONG_HISTORY = 1
    last = plan(GOOD, "4.0.0")
    await schedules.set(last)
    await more(lambda: schedules.trigger(last))
    execution = (await runner.client.get_workflow_handle(id).describe()).run_id
    await more(lambda: schedules.trigger(last))
    second = await runner.client.get_workflow_handle(id, run_id=execution).fetch_history()
    await schedules.remove(good.workflow.namespace, good.workflow.name)
    return [first, second]


async def main() -> None:
    with internet_thread() as internet, server_in_thread(ServerOptions(headless=True)) as server:
        async with temporal_runner(server.address, internet) as runner:
            for name, history in zip(("after", "after-continued"), await record(runner), strict=True):
                recorded = json.loads(history.to_json())
                path = FOLDER / f"{name}.json"
                path.parent.mkdir(exist_ok=True)
                path.write_text(json.dumps(plain({"id": history.workflow_id, **recorded}), indent=1) + "\n")
                print(f"recorded {name}: {path.stat().st_size:,} bytes, {len(history.events)} events")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main())
