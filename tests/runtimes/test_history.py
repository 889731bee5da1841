"""What a run leaves in its Temporal history: as little as can be, and named so that a person can read it."""

from __future__ import annotations

import json

import pytest
from temporalio.api.enums.v1 import EventType

from tests.running import TemporalRunner

pytestmark = pytest.mark.temporal
HEADER = "document: {dsl: '1.0.3', namespace: test, name: history, version: '1.0.0', title: A title}\n"


async def test_two_hundred_pure_states_make_five_events(runner: TemporalRunner) -> None:
    tasks = []
    for number in range(40):
        tasks += [
            f"  - set{number}: {{set: '${{ . + {{n: (.n + 1)}} }}'}}",
            f"  - switch{number}: {{switch: [{{big: {{when: .n > 1000, then: end}}}}]}}",
            f"  - do{number}: {{do: [{{in{number}: {{set: '${{ . }}'}}}}]}}",
            f"  - for{number}: {{for: {{in: '[1,2]'}}, do: [{{add{number}: {{set: '${{ . + {{m: $item}} }}'}}}}]}}",
            f"  - try{number}: {{try: [{{ok{number}: {{set: '${{ . }}'}}}}], catch: {{}}}}",
        ]
    assert len(tasks) == 200
    ended = await runner(HEADER + "do:\n" + "\n".join(tasks), {"n": 0})
    assert ended.output == {"n": 40, "m": 2}
    history = await runner.history(ended.run_id)
    assert [EventType.Name(event.event_type) for event in history] == [
        "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED",
        "EVENT_TYPE_WORKFLOW_TASK_SCHEDULED",
        "EVENT_TYPE_WORKFLOW_TASK_STARTED",
        "EVENT_TYPE_WORKFLOW_TASK_COMPLETED",
        "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED",
    ]


async def test_a_loop_of_hundreds_of_pure_iterations_makes_five_events(runner: TemporalRunner) -> None:
    ended = await runner(
        HEADER
        + """
do:
  - loop:
      for: {in: '[range(400)]'}
      do:
        - add: {set: {n: '${ .n + $item }'}}
        - look: {switch: [{never: {when: .n < 0, then: end}}]}
        - keep: {do: [{same: {set: '${ . }'}}], if: .n > 79000}
""",
        {"n": 0},
    )
    assert ended.output == {"n": 79800}
    assert len(await runner.history(ended.run_id)) == 5


async def test_everything_in_the_history_is_named_after_its_state(runner: TemporalRunner) -> None:
    ended = await runner(
        HEADER
        + """
do:
  - lookUp: {call: http, with: {method: get, endpoint: 'https://petstore.swagger.io/v2/pet/1'}}
  - again: {call: http, with: {method: get, endpoint: 'https://petstore.swagger.io/v2/pet/2'}}
  - breathe: {wait: {milliseconds: 20}}
  - tell: {emit: {event: {with: {type: com.example.told}}}}
  - loop: {for: {in: '[1, 2]'}, do: [{rest: {wait: {milliseconds: 10}}}]}
"""
    )
    assert ended.status == "completed", ended.error
    history = await runner.history(ended.run_id)
    said = {}
    for event in history:
        summary = event.user_metadata.summary.data.decode().strip('"')
        if event.HasField("activity_task_scheduled_event_attributes"):
            attributes = event.activity_task_scheduled_event_attributes
            said[attributes.activity_id] = (attributes.activity_type.name, summary)
        if event.HasField("marker_recorded_event_attributes"):
            details = event.marker_recorded_event_attributes.details["data"].payloads[0].data
            local = json.loads(details)
            said[local["activity_id"]] = (local["activity_type"], summary)
        if event.HasField("timer_started_event_attributes"):
            said[summary] = ("timer", summary)
    assert said == {
        "/do/0/lookUp": ("call.http", "lookUp"),
        "/do/1/again": ("call.http", "again"),
        "breathe": ("timer", "breathe"),
        "/do/3/tell": ("event.publish", "tell: com.example.told"),
        "rest[0]": ("timer", "rest[0]"),
        "rest[1]": ("timer", "rest[1]"),
    }
    assert history[0].workflow_execution_started_event_attributes.workflow_type.name == "history"


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        ("delay: PT0.02S", [0.02, 0.02, 0.02]),
        ("delay: PT0.02S, backoff: {linear: {}}", [0.02, 0.04, 0.06]),
        ("delay: PT0.02S, backoff: {exponential: {}}", [0.02, 0.04, 0.08]),
        ("delay: PT0.02S, backoff: {exponential: {multiplier: 3, maxDelay: PT0.1S}}", [0.02, 0.06, 0.1]),
    ],
)
async def test_a28_the_timers_of_retries_are_as_long_as_the_policy_says(
    runner: TemporalRunner, policy: str, waits: list[float]
) -> None:
    fail = "{fail: {raise: {error: {type: 'https://e.example/x', status: 503}}}}"
    limit = f"limit: {{attempt: {{count: {len(waits)}}}}}"
    ended = await runner(f"{HEADER}do: [{{a: {{try: [{fail}], catch: {{retry: {{{policy}, {limit}}}}}}}}}]")
    assert ended.status == "faulted"
    timers = [
        event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta().total_seconds()
        for event in await runner.history(ended.run_id)
        if event.HasField("timer_started_event_attributes")
    ]
    assert timers == pytest.approx(waits, abs=1e-4)
