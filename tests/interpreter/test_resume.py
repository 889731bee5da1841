"""A run's position is data: stopped at any state boundary and gone on with from JSON, it ends the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workflow_engine import dsl
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.local import LocalRun

HEADER = "document: {dsl: '1.0.3', namespace: test, name: resumed, version: '1.0.0'}\n"

DOCUMENTS = {
    "nested loops": """
do:
  - rows:
      for: {each: row, in: .rows}
      do:
        - cells:
            for: {each: cell, at: i, in: $row}
            do:
              - add:
                  set: {rows: '${ .rows }', sum: '${ .sum + $cell }', seen: '${ .seen + [$i] }'}
              - after:
                  set: '${ . + {last: $cell} }'
""",
    "a fork whose branches export": """
do:
  - both:
      fork:
        branches:
          - left:
              do:
                - a: {set: {n: '${ .n + 1 }'}, export: {as: '$context + {left: .n}'}}
                - b: {set: {n: '${ .n * 2 }'}, export: {as: '$context + {b: .n}'}}
          - right:
              do:
                - c: {wait: PT5S}
                - d: {set: {n: '${ .n - 1 }'}, export: {as: '$context + {right: .n}'}}
  - sum: {set: {out: '${ . }', context: '${ $context }'}}
""",
    "a try that is retried and then handled": """
do:
  - attempt:
      try:
        - count: {set: '${ . }', export: {as: '$context + {tries: (($context.tries // 0) + 1)}'}}
        - fail:
            raise:
              error: {type: 'https://example.com/boom', status: 503, detail: '${ "try \\($context.tries)" }'}
      catch:
        as: problem
        retry: {delay: PT1S, backoff: {exponential: {}}, limit: {attempt: {count: 2}}}
        do:
          - handle: {set: {caught: '${ $problem.detail }', tries: '${ $context.tries }'}}
  - end: {set: '${ . + {done: true} }'}
""",
    "a function called twice": """
use:
  functions:
    double:
      input: {from: .value}
      set: '${ . * 2 }'
do:
  - once: {call: double, with: {value: '${ .n }'}}
  - again: {call: double, with: {value: '${ . + 1 }'}}
""",
    "a jump back": """
do:
  - count: {set: {n: '${ .n + 1 }'}}
  - enough: {switch: [{more: {when: .n < 5, then: count}}, {done: {then: continue}}]}
  - last: {set: {n: '${ .n }', at: '${ $task.reference }'}}
""",
}
INPUT: dict[str, Any] = {"n": 1, "rows": [[1, 2], [], [3]], "sum": 0, "seen": []}


class Stop(BaseException):
    def __init__(self, position: str) -> None:
        self.position = position


async def run(graph: Any, *, position: Any = None, stop_at: int | None = None) -> Any:
    gates = 0

    def gate(run: Run) -> None:
        nonlocal gates
        gates += 1
        if gates == stop_at:
            raise Stop(json.dumps(run.position()))

    local = LocalRun(graph, run_id="r", at_gate=gate)
    outcome = await local.execute(INPUT, position=position)
    return outcome, gates


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_run_stopped_at_any_boundary_goes_on_to_the_same_end(name: str) -> None:
    graph = dsl.compile(dsl.parse(HEADER + DOCUMENTS[name]))
    whole, gates = await run(graph)
    assert whole.status == "completed"
    assert gates > 1
    for boundary in range(1, gates + 1):
        with pytest.raises(Stop) as stopped:
            await run(graph, stop_at=boundary)
        resumed, _ = await run(graph, position=json.loads(stopped.value.position))
        assert resumed.status == "completed", (boundary, resumed.error)
        assert resumed.output == whole.output, boundary


async def test_a_run_may_be_stopped_at_every_boundary_one_after_the_other() -> None:
    graph = dsl.compile(dsl.parse(HEADER + DOCUMENTS["nested loops"]))
    whole, gates = await run(graph)
    position: Any = None
    for _ in range(gates + 5):
        try:
            resumed, _ = await run(graph, position=position, stop_at=5)  # three to get back in
        except Stop as stopped:
            position = json.loads(stopped.position)
            continue
        assert resumed.output == whole.output
        return
    pytest.fail("the run never ended")


async def test_the_leaves_of_the_position_say_where_a_run_is() -> None:
    text = HEADER + "do: [{outer: {do: [{inner: {wait: PT1H}}]}}]"
    seen: list[list[str | None]] = []

    def gate(run: Run) -> None:
        seen.append([leaf.state for leaf in run.root.leaves()])

    await LocalRun(dsl.compile(dsl.parse(text)), at_gate=gate).execute({})
    assert seen == [["/do/0/outer"], ["/do/0/outer/do/0/inner"]]
