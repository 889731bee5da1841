"""On Temporal a run goes on in a new history wherever it is, and nothing of it is lost or done twice."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import WorkflowHistory

from tests.histories.documents import RUNS
from tests.running import TemporalRunner, temporal_runner
from tests.semantics.v0_8 import documents as old
from tests.semantics.v1.documents import event, workflow
from tests.semantics.v1.test_control import until
from tests.semantics.v1.test_lifecycle import audience, short
from tests.test_replay import replayer
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import RunQuery, Start
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.values import Json

pytestmark = pytest.mark.temporal
FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED


@pytest.fixture
async def runner(temporal_address: str, internet: Any) -> AsyncIterator[TemporalRunner]:
    async with temporal_runner(temporal_address, internet) as started:
        started.limits = Limits(events=12)
        yield started


async def histories(runner: TemporalRunner, run_id: str) -> list[list[Any]]:
    """The histories of a run, the first one first; none of them has a workflow task that failed, and all replay."""
    found: list[list[Any]] = []
    handle = runner.client.get_workflow_handle(run_id)
    description = await handle.describe()
    execution: str | None = description.raw_description.workflow_execution_info.first_run_id
    while execution:
        one = runner.client.get_workflow_handle(run_id, run_id=execution)
        events = [event async for event in one.fetch_history_events()]
        failed = [
            event.workflow_task_failed_event_attributes for event in events if event.event_type == FAILED
        ]
        # An event that comes while the run is about to go on is first taken.
        assert {attributes.cause for attributes in failed} <= {
            WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
        }
        await replayer().replay_workflow(WorkflowHistory(run_id, events))
        found.append(events)
        last = events[-1].workflow_execution_continued_as_new_event_attributes
        execution = last.new_execution_run_id
    return found


LOOP = """
do:
  - rows:
      for: {each: row, in: .rows}
      do:
        - guarded:
            try:
              - cells:
                  for: {each: cell, in: $row}
                  do:
                    - say: {emit: {event: {with: {type: said, data: '${ $cell }'}}}}
                    - back: {set: '${ $context.last }', if: '$context.last != null'}
                    - add:
                        set: {sum: '${ (.sum // 0) + $cell }', rows: []}
                        export: {as: '$context + {last: .}'}
              - odd: {if: '(.sum % 2) == 1', raise: {error: {type: 'https://e.example/odd', status: 400}}}
            catch:
              do: [{note: {set: '${ $context.last }', export: {as: '$context + {odd: (($context.odd // 0) + 1)}'}}}]
  - tell: {set: {sum: '${ .sum }', odd: '${ $context.odd }'}}
"""


async def test_in_nested_loops_and_tries_with_calls(runner: TemporalRunner) -> None:
    rows = [[1, 2, 3], [], [4, 5], [6, 7, 8, 9]]
    ended = await runner(workflow(LOOP), {"rows": rows})
    assert ended.output == {"sum": 45, "odd": 2}
    assert len(await histories(runner, ended.run_id)) > 2
    said = await runner.told("default", ended.run_id)
    assert [event["data"] for event in said] == [*range(1, 10)]
    assert len({event["id"] for event in said}) == 9
    assert [step.name for step in ended.progress if step.phase == "completed"][-2:] == ["rows", "tell"]


FORK = """
do:
  - all:
      fork:
        branches:
          - slow: {do: [{pause: {wait: PT1S}}, {late: {set: {slow: '${ $workflow.startedAt.epoch.milliseconds }'}}}]}
          - ticks:
              for: {in: '[range(8)]'}
              do: [{tick: {wait: PT0.01S}}, {tock: {emit: {event: {with: {type: tick, data: '${ $item }'}}}}}]
              output: {as: .data}
              export: {as: '$context + {ticks: .}'}
          - bounded:
              timeout: {after: PT20S}
              do: [{a: {wait: PT0.5S}}, {b: {set: {n: '${ .n + 1 }'}, export: {as: '$context + {bounded: .n}'}}}]
          - late:
              try: [{slow: {timeout: {after: PT0.7S}, do: [{c: {wait: PT60S}}]}}]
              catch: {errors: {with: {status: 408}}, do: [{d: {set: {late: true}}}]}
  - tell: {set: {all: '${ . }', context: '${ $context }', started: '${ $workflow.startedAt.epoch.milliseconds }'}}
"""


async def test_in_a_fork_with_timers_and_timeouts_under_way(runner: TemporalRunner) -> None:
    ended = await runner(workflow(FORK), {"n": 1})
    assert ended.status == "completed", ended.error
    output: Any = ended.output
    found = await histories(runner, ended.run_id)
    assert len(found) > 2
    assert output["started"] == found[0][2].event_time.ToMilliseconds()  # as the first workflow task begins
    description = await runner.runtime.describe(ended.run_id)
    began = found[0][0].event_time.ToDatetime(UTC)
    assert description.started_at == began
    async with asyncio.timeout(10):  # lists are a moment behind
        while not (listed := await _listed(runner, ended.run_id, "completed")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert listed == [began]
    assert output["all"] == [{"slow": output["started"]}, 7, {"n": 2}, {"late": True}]
    assert output["context"] == {"ticks": 7, "bounded": 2}


LISTEN = """
do:
  - both:
      fork:
        branches:
          - hear:
              listen: {to: {any: [{with: {type: t}}], until: '(. | length) == 12'}}
              foreach:
                item: t
                do: [{say: {emit: {event: {with: {type: heard, data: '${ $t }'}}}}}]
                output: {as: .data}
          - more:
              do:
                - all: {listen: {to: {all: [{with: {type: a}}, {with: {type: b}}]}}}
                - later: {listen: {to: {one: {with: {type: a}}}}}
"""


async def test_in_a_listen_with_events_that_come_all_the_time(runner: TemporalRunner) -> None:
    events = [event("t", str(number), number) for number in range(6)]
    events += [event("b", "b", "b"), event("a", "a1", "a1"), event("a", "a2", "a2")]
    events += [event("t", str(number), number) for number in range(6, 12)]
    ended = await runner(workflow(LISTEN), events=events)
    assert ended.status == "completed", ended.error
    output: Any = ended.output
    assert output == [[*range(12)], ["a2"]]
    assert len(await histories(runner, ended.run_id)) > 2
    heard = await runner.told("default", ended.run_id)
    assert [event["data"] for event in heard] == [*range(12)]
    assert runner.router.listeners() == []


COMPENSATION = old.workflow(
    """
    events: [{name: Did, type: did, kind: produced}]
    functions: [{name: inc, type: expression, operation: '.n + 1'}]
    states:
      - name: A
        type: sleep
        duration: PT0.01S
        compensatedBy: UndoA
        transition: {nextState: B, produceEvents: [{eventRef: Did, data: '"a"'}]}
      - name: B
        type: sleep
        duration: PT0.01S
        compensatedBy: UndoB
        transition: {nextState: C, produceEvents: [{eventRef: Did, data: '"b"'}]}
      - name: C
        type: switch
        dataConditions: [{condition: '.n < 2', transition: More}]
        defaultCondition: {transition: {nextState: End, compensate: true}}
      - name: More
        type: operation
        actions: [{functionRef: inc, actionDataFilter: {toStateData: .n}}]
        transition: A
      - {name: End, type: inject, data: {done: true}, end: {produceEvents: [{eventRef: Did, data: '"end"'}]}}
      - name: UndoA
        type: inject
        data: {}
        usedForCompensation: true
        transition: {nextState: Undone, produceEvents: [{eventRef: Did, data: '"undo a"'}]}
      - name: UndoB
        type: inject
        data: {}
        usedForCompensation: true
        transition: {nextState: Undone, produceEvents: [{eventRef: Did, data: '"undo b"'}]}
      - {name: Undone, type: inject, data: {}, usedForCompensation: true}
    """
)


async def test_with_open_compensations_and_while_they_are_done(runner: TemporalRunner) -> None:
    ended = await runner(COMPENSATION, {"n": 1})
    assert ended.status == "completed", ended.error
    assert len(await histories(runner, ended.run_id)) > 2
    did = [event["data"] for event in await runner.told("default", ended.run_id)]
    assert did == [*["a", "b"] * 2, *["undo b", "undo a"] * 2, "end"]


CHILD = workflow("do: [{pause: {wait: '${ .wait }'}}, {double: {set: {n: '${ .n * 2 }'}}}]", name="child")
FAILING = workflow(
    "do: [{pause: {wait: PT1S}}, {no: {raise: {error: {type: 'https://e.example/x', status: 418}}}}]",
    name="failing",
)
SUB_FLOWS = """
do:
  - all:
      fork:
        branches:
          - quick: {run: {workflow: {namespace: semantics, name: child, version: 1.0.0, input: {n: 1, wait: PT0.01S}}}}
          - slow: {run: {workflow: {namespace: semantics, name: child, version: 1.0.0, input: {n: 2, wait: PT1.5S}}}}
          - failing:
              try: [{fail: {run: {workflow: {namespace: semantics, name: failing, version: 1.0.0}}}}]
              catch: {errors: {with: {status: 418}}, as: e, do: [{caught: {set: {caught: '${ $e.type }'}}}]}
          - ticks:
              for: {in: '[range(8)]'}
              do: [{tick: {emit: {event: {with: {type: tick, data: '${ $item }'}}}}}]
              output: {as: .data}
"""


async def test_with_sub_flows_under_way_which_go_on(runner: TemporalRunner) -> None:
    ended = await runner(workflow(SUB_FLOWS), others=[CHILD, FAILING])
    assert ended.status == "completed", ended.error
    assert ended.output == [{"n": 2}, {"n": 4}, {"caught": "https://e.example/x"}, 7]
    assert len(await histories(runner, ended.run_id)) > 2


async def begun(
    runner: TemporalRunner, text: str, *, others: list[str] | None = None, input: Json = None
) -> str:
    """A run of *text* that is under way, in its second history at least."""
    bundle = Bundle.of(dsl.parse(text), {})
    runner.deployed = [Bundle.of(dsl.parse(other), {}) for other in others or []]
    runtime = TemporalRuntime(runner.client, runner.queue, search_attributes=False, limits=runner.limits)
    run_id = f"continuing-{uuid.uuid4()}"
    await runtime.start(Start(run_id, bundle.graph().name, bundle, {} if input is None else input))
    while await runs(runner, run_id) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return run_id


async def runs(runner: TemporalRunner, run_id: str) -> int:
    """How many histories it has so far."""
    handle = runner.client.get_workflow_handle(run_id)
    info = (await handle.describe()).raw_description.workflow_execution_info
    return 1 if info.first_run_id == info.execution.run_id else 2


HOLDING = """
do:
  - all:
      fork:
        branches:
          - held: {run: {workflow: {namespace: semantics, name: child, version: 1.0.0, input: {n: 2, wait: PT1H}}}}
          - ticks:
              do:
                - some:
                    for: {in: '[range(5)]'}
                    do: [{tick: {emit: {event: {with: {type: tick}}}}}]
                - rest: {wait: PT1H}
"""


@pytest.mark.parametrize("command", ["cancel", "terminate"])
async def test_who_ends_a_run_ends_its_sub_flows_wherever_they_began(
    runner: TemporalRunner, command: str
) -> None:
    run_id = await begun(runner, workflow(HOLDING), others=[CHILD])
    child = f"{run_id}.do.0.all.fork.branches.0.held"
    await until(runner, child, "waiting")
    if command == "cancel":
        await runner.runtime.cancel(run_id)
    else:
        await runner.runtime.terminate(run_id, "enough")
    for id in (run_id, child):
        assert (await runner.runtime.wait(id, 20)).status == "cancelled", id


async def test_a_suspended_run_stays_suspended_and_resumes(runner: TemporalRunner) -> None:
    text = workflow(
        """
        do:
          - loop:
              for: {in: '[range(8)]'}
              do: [{tick: {emit: {event: {with: {type: tick, data: '${ $item }'}}}}}, {pause: {wait: PT0.2S}}]
          - tell: {set: {done: true}}
        """
    )
    run_id = await begun(runner, text)
    await runner.runtime.suspend(run_id)
    await until(runner, run_id, "suspended")
    await runner.runtime.resume(run_id)
    ended = await runner.runtime.wait(run_id, 30)
    assert (ended.status, ended.output) == ("completed", {"done": True})


TOLD = """
do:
  - all:
      fork:
        branches:
          - slow: {do: [{pause: {wait: PT1S}}, {late: {set: {slow: true}}}]}
          - ticks:
              for: {in: '[range(5)]'}
              do:
                - guarded:
                    try: [{no: {raise: {error: {type: 'https://e.example/x', status: 503}}}}]
                    catch: {retry: {delay: PT0.01S, limit: {attempt: {count: 2}}}, do: [{tock: {wait: PT0.01S}}]}
          - hear: {listen: {to: {one: {with: {type: t}}}}}
"""


async def test_its_lifecycle_is_told_once_and_in_order(runner: TemporalRunner) -> None:
    async def told(limits: Limits | None) -> list[tuple[str, str]]:
        runner.limits = limits
        ended = await runner(workflow(TOLD), audience=audience("task,status"), events=[event("t", "1")])
        assert ended.status == "completed", ended.error
        ids = [str(event["id"]).removeprefix(ended.run_id) for event in ended.told]
        assert len(ids) == len(set(ids))
        assert (len(await histories(runner, ended.run_id)) > 2) == (limits is not None)
        told = sorted((id, short(event)) for id, event in zip(ids, ended.told, strict=True))
        # Whether all of its branches wait at once, which is its status, depends on the pace of the machine.
        return [(id, what) for id, what in told if not what.startswith("status-changed")]

    assert await told(Limits(events=10)) == await told(None)


async def test_a_call_that_takes_too_long_is_not_cut_short(runner: TemporalRunner) -> None:
    runner.limits = Limits(events=12, drain=0.2)
    ended = await runner(
        workflow(
            """
            do:
              - both:
                  fork:
                    branches:
                      - long: {run: {shell: {command: 'sleep 1.5; echo over'}}, output: {as: '. | rtrimstr("\\n")'}}
                      - ticks:
                          for: {in: '[range(6)]'}
                          do: [{tick: {emit: {event: {with: {type: tick}}}}}]
                          output: {as: .type}
            """
        )
    )
    assert (ended.status, ended.output) == ("completed", ["over", "tick"]), ended.error


async def test_a_run_without_a_reason_keeps_its_history(runner: TemporalRunner) -> None:
    runner.limits = None
    ended = await runner(workflow(LOOP), {"rows": [[1, 2, 3]]})
    (only,) = await histories(runner, ended.run_id)
    assert len(only) > 10


async def test_many_pure_states_make_no_long_history_to_go_through(runner: TemporalRunner) -> None:
    runner.limits = Limits(states=3000)
    ended = await runner(
        workflow("do: [{sum: {for: {in: '[range(10000)]'}, do: [{add: {set: {n: '${ .n + $item }'}}}]}}]"),
        {"n": 0},
    )
    assert ended.output == {"n": 49995000}
    found = await histories(runner, ended.run_id)
    assert 3 <= len(found) <= 5
    assert all(history[0].ByteSize() < 20_000 for history in found)


async def test_while_messages_are_received_from_a_broker(runner: TemporalRunner) -> None:
    runner.limits = Limits(events=14)
    received = RUNS["receive"]
    ended = await runner(received.text, {}, resources=received.resources)
    assert ended.status == "completed", ended.error
    assert len(await histories(runner, ended.run_id)) > 1
    heard = [event["data"] for event in await runner.told("default", ended.run_id)]
    assert len(heard) == len({str(data) for data in heard}) == 3


async def _listed(runner: TemporalRunner, run_id: str, status: str) -> list[datetime | None]:
    """When the run began, if it is listed with that status."""
    page = await runner.runtime.list(RunQuery(status=status, limit=200))
    return [run.started_at for run in page.runs if run.id == run_id]
