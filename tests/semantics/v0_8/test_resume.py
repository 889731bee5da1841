"""A run of DSL 0.8 that is stopped at any state boundary goes on from its position to the same end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.semantics.v0_8.documents import event, workflow
from workflow_engine import dsl
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.local import LocalRun

COUNT = "functions: [{name: count, type: expression, operation: '{n: ((.n // 0) + 1)}'}]\n"
HEAR = """
    onEvents:
      - {eventRefs: [A], actions: [{functionRef: count}, {functionRef: count}]}
      - {eventRefs: [B], eventDataFilter: {toStateData: .b}, actions: [{functionRef: count}]}
      - eventRefs: [A, B]
        actionMode: parallel
        actions: [{functionRef: count, actionDataFilter: {toStateData: .x}}, {functionRef: count}]
"""
EVENTS = "events: [{name: A, type: a, source: tests}, {name: B, type: b, source: tests}]\n"
DOCUMENTS = {
    "started by all of its events": f"""{EVENTS}{COUNT}
states:
  - name: Hear
    type: event
    exclusive: false{HEAR}
    end: true
""",
    "waits for all of its events": f"""{EVENTS}{COUNT}
states:
  - {{name: Go, type: inject, data: {{}}, transition: Hear}}
  - name: Hear
    type: event
    exclusive: false
    timeouts: {{eventTimeout: PT1H}}{HEAR}
    end: true
""",
    "loops and branches": f"""{COUNT}
states:
  - name: Loop
    type: foreach
    inputCollection: '[1, 2, 3]'
    batchSize: 2
    outputCollection: .out
    actions:
      - {{functionRef: count, condition: '.item != 2', sleep: {{before: PT1S, after: PT2S}}}}
      - {{functionRef: count, actionDataFilter: {{fromStateData: '{{n: .item}}', results: .n}}}}
    transition: Fork
  - name: Fork
    type: parallel
    branches:
      - {{name: a, actions: [{{functionRef: count}}, {{functionRef: count, sleep: {{before: PT3S}}}}]}}
      - {{name: b, actions: [{{functionRef: count, actionDataFilter: {{toStateData: .b}}}}]}}
    end: true
""",
}
GIVEN = [event("b", "1", {"from": "b"}), event("a", "2", {"from": "a"})]


async def run(text: str, *, position: Any = None, stop_at: int | None = None) -> tuple[Any, int]:
    gates = 0

    def gate(run: Run) -> None:
        nonlocal gates
        gates += 1
        if gates == stop_at:
            raise Stop(json.dumps(run.position()))

    local = LocalRun(dsl.compile(dsl.parse(workflow(text))), run_id="r", at_gate=gate)
    return await local.execute({"n": 0}, GIVEN, position=position), gates


class Stop(BaseException):
    def __init__(self, position: str) -> None:
        self.position = position


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_run_stopped_at_any_boundary_goes_on_to_the_same_end(name: str) -> None:
    whole, gates = await run(DOCUMENTS[name])
    assert whole.status == "completed", whole.error
    assert gates > 3
    for boundary in range(1, gates + 1):
        with pytest.raises(Stop) as stopped:
            await run(DOCUMENTS[name], stop_at=boundary)
        resumed, _ = await run(DOCUMENTS[name], position=json.loads(stopped.value.position))
        assert resumed.status == "completed", (boundary, resumed.error)
        assert resumed.output == whole.output, boundary
