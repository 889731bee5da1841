"""A run's position is data: stopped at any state boundary and gone on with from JSON, it ends the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from workflow_engine import dsl
from workflow_engine.interpreter.moving import moved
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.runtimes.scheduler import Scheduler
from workflow_engine.values import JsonObject

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
    "a loop whose iterations are side by side": """
do:
  - all:
      metadata: {mode: parallel, parallelism: 2}
      for: {each: row, at: i, in: .rows}
      do:
        - pause: {wait: '${ "PT\\(5 - $i)S" }'}
        - keep: {set: '${ [$i, $row] }', export: {as: '$context + {last: $i, ("k\\($i)"): $row}'}}
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
    "extensions around tasks": """
use:
  extensions:
    - log:
        extend: all
        before:
          - b: {set: '${ . }', export: {as: '$context + {log: ($context.log + [$task.reference])}'}}
          - bb: {do: [{x: {set: {lost: 1}}}, {y: {set: {lost: 2}}}]}
        after: [{a: {set: '${ . }', export: {as: '$context + {log: ($context.log + [$task.output])}'}}}]
    - mock:
        extend: switch
        when: .n > 2
        before: [{one: {set: {x: 1}}}, {two: {set: '${ . + {mocked: $task.name} }', then: exit}}]
        after: [{m: {set: {lost: 3}}}, {n: {set: {lost: 4}}}]
do:
  - loop: {for: {in: '[1, 2]'}, do: [{add: {set: '${ {n: (.n + $item)} }'}}]}
  - choose: {switch: [{low: {when: .n < 3, then: last}}]}
  - more: {set: '${ . + {more: true} }'}
  - last: {set: '${ . + {log: $context.log} }'}
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
    "a fork one branch of which waits for its next attempt": """
do:
  - both:
      fork:
        branches:
          - retried:
              timeout: {after: PT1H}
              try:
                - count: {set: '${ . }', export: {as: '$context + {tries: (($context.tries // 0) + 1)}'}}
                - fail: {if: $context.tries < 3, raise: {error: {type: 'https://example.com/boom', status: 503}}}
                - tell: {set: {tries: '${ $context.tries }'}}
              catch: {retry: {delay: PT10S, limit: {attempt: {count: 5, duration: PT1M}}}}
          - ticking:
              for: {in: '[range(8)]'}
              do: [{tick: {wait: PT4S}}, {tock: {set: '${ . + {ticks: ((.ticks // 0) + 1)} }'}}]
""",
    "a workflow with a timeout that does not pass": """
timeout: {after: PT1M}
do:
  - slow: {timeout: {after: PT20S}, do: [{a: {wait: PT15S}}, {b: {set: {b: 1}}}]}
  - c: {wait: PT30S}
""",
    "a workflow with a timeout that passes": """
timeout: {after: PT1M}
do:
  - caught: {try: [{a: {timeout: {after: PT20S}, do: [{b: {wait: PT15S}}, {c: {wait: PT15S}}]}}], catch: {}}
  - d: {for: {in: '[1, 2, 3, 4]'}, do: [{e: {wait: PT12S}}]}
""",
    "an end in a branch": """
do:
  - both:
      fork:
        branches:
          - a: {do: [{b: {wait: PT5S}}, {c: {set: {c: 1}, export: {as: '{c: 1}'}}}, {d: {set: {d: 1}, then: end}}]}
          - e: {do: [{f: {wait: PT3S}}, {g: {set: {g: 1}, export: {as: '{g: 1}'}}}, {h: {wait: PT9S}}]}
output: {as: '{data: ., context: $context}'}
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
    def __init__(self, position: str, at: datetime) -> None:
        self.position, self.at = position, at


async def run(
    graph: Any, *, position: Any = None, stop_at: int | None = None, start: Any = None, events: Any = ()
) -> Any:
    """Run to the end, or to a `Stop` with the position and the time; the outcome, and how many states that took."""
    gates = 0

    def gate(run: Run) -> None:
        nonlocal gates
        gates += 1
        if gates == stop_at:
            raise Stop(json.dumps(run.position()), local.now())

    local = LocalRun(graph, run_id="r", at_gate=gate, scheduler=Scheduler(start=start))
    outcome = await local.execute(INPUT, events, position=position)
    return outcome, gates


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_run_stopped_at_any_boundary_goes_on_to_the_same_end(name: str) -> None:
    graph = dsl.compile(dsl.parse(HEADER + DOCUMENTS[name]))
    whole, gates = await run(graph)
    assert gates > 1
    for boundary in range(1, gates + 1):
        with pytest.raises(Stop) as stopped:
            await run(graph, stop_at=boundary)
        resumed, _ = await run(graph, position=json.loads(stopped.value.position), start=stopped.value.at)
        assert (resumed.status, resumed.error) == (whole.status, whole.error), boundary
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


async def test_the_months_that_a_run_may_take_are_those_from_its_beginning() -> None:
    text = HEADER + "timeout: {after: P1M}\ndo: [{a: {wait: P23D}}, {b: {wait: P6D}}]"
    graph, start = dsl.compile(dsl.parse(text)), datetime(2027, 2, 10, tzinfo=UTC)
    whole, _ = await run(graph, start=start)
    with pytest.raises(Stop) as stopped:
        await run(graph, start=start, stop_at=2)
    resumed, _ = await run(graph, position=json.loads(stopped.value.position), start=stopped.value.at)
    assert whole.error.detail == "the workflow took longer than 2419200 s"
    assert resumed.error == whole.error


LISTENING = """
do:
  - all:
      listen: {to: {any: [{with: {type: t}}], until: '$context.seen >= 4'}}
      foreach:
        item: t
        at: i
        do:
          - pause: {wait: PT1S}
          - inner: {do: [{scale: {set: {v: '${ $t * 10 }', i: '${ $i }'}}}]}
          - enough: {switch: [{yes: {when: $i == 5, then: exit}}]}
        output: {as: '[.v, .i]'}
        export: {as: '{seen: (($context.seen // 0) + 1)}'}
  - tell: {set: {all: '${ . }', seen: '${ $context.seen }'}}
"""


SUBSCRIBED = """
do:
  - all:
      call: asyncapi
      with:
        operation: file://a.yaml#sent
        subscription:
          filter: ${ .payload > 0 }
          consume: {for: PT10S, CONDITION}
          foreach:
            item: m
            at: i
            do:
              - pause: {wait: PT1S}
              - inner: {do: [{scale: {set: {v: '${ $m.payload * 10 }', i: '${ $i }'}}}]}
            output: {as: '[.v, .i]'}
            export: {as: '{seen: (($context.seen // 0) + 1)}'}
  - tell: {set: {all: '${ . }', seen: '${ $context.seen }'}}
"""
OPERATION: JsonObject = {
    "operation": "sent",
    "service": "a",
    "channel": "default",
    "workflow_may": "subscribe",
}


def arrived(position: Any) -> Iterator[int]:
    """How many events each listener of *position* has been given."""
    if isinstance(position, dict):
        if isinstance(position.get("arrived"), list):
            yield len(position["arrived"])
        for value in position.values():
            yield from arrived(value)


async def test_no_event_is_lost_or_taken_twice_when_a_run_goes_on_from_its_position() -> None:
    graph = dsl.compile(dsl.parse(HEADER + LISTENING))
    await stopped_anywhere(graph, {"all": [[10, 0], [20, 1], [30, 2], [40, 3]], "seen": 4})


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ("amount: 3", [1, 2, 3]),
        ("while: '${ length < 3 }'", [1, 2, 3]),
        ("until: '${ any(.[]; .payload == 4) }'", [1, 2, 3, 4]),
        ("amount: 9", [1, 2, 3, 4, 5, 6]),
    ],
)
async def test_no_message_is_lost_or_taken_twice_when_a_run_goes_on_from_its_position(
    condition: str, numbers: list[int]
) -> None:
    text = HEADER + SUBSCRIBED.replace("CONDITION", condition)
    graph = dsl.compile(dsl.parse(text), {"file://a.yaml#sent": OPERATION})
    seen = [[10 * number, at] for at, number in enumerate(numbers)]
    await stopped_anywhere(graph, {"all": seen, "seen": len(seen)})


async def stopped_anywhere(graph: Any, expected: Any) -> None:
    """Six events give *expected*, also when the run is stopped at any boundary and goes on from there."""
    events: list[JsonObject] = [
        {"specversion": "1.0", "id": str(n), "source": "s", "type": "t", "data": n} for n in range(1, 7)
    ]
    whole, gates = await run(graph, events=events)
    assert whole.output == expected
    for boundary in range(1, gates + 1):
        with pytest.raises(Stop) as stopped:
            await run(graph, stop_at=boundary, events=events)
        position = json.loads(stopped.value.position)
        left = events[sum(arrived(position)) :]
        resumed, _ = await run(graph, position=position, start=stopped.value.at, events=left)
        assert resumed.output == whole.output, boundary


async def test_the_leaves_of_the_position_say_where_a_run_is() -> None:
    text = HEADER + "do: [{outer: {do: [{inner: {wait: PT1H}}]}}]"
    seen: list[list[str | None]] = []

    def gate(run: Run) -> None:
        seen.append([leaf.state for leaf in run.root.leaves()])

    await LocalRun(dsl.compile(dsl.parse(text)), at_gate=gate).execute({})
    assert seen == [["/do/0/outer"], ["/do/0/outer/do/0/inner"]]


def padded(text: str) -> str:
    """The document *text* in another version, with a state that changes nothing around each one in its lists."""
    count = 0

    def noop() -> JsonObject:
        nonlocal count
        count += 1
        return {f"noop{count}": {"set": "${ . }"}}

    def padding(value: Any) -> Any:
        if isinstance(value, list):
            return [padding(item) for item in value]
        if not isinstance(value, dict):
            return value
        made = {key: padding(item) for key, item in value.items()}
        for key in ("do", "try"):
            if isinstance(made.get(key), list):
                made[key] = [noop(), *(each for state in made[key] for each in (state, noop()))]
        return made

    return yaml.safe_dump(padding(yaml.safe_load(text)), sort_keys=False)


TELLING = {"extensions around tasks", "a jump back"}
"""They tell the pointers of their states."""


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name not in TELLING])
async def test_a_run_stopped_at_any_boundary_goes_on_in_another_version(name: str) -> None:
    old, text = dsl.compile(dsl.parse(HEADER + DOCUMENTS[name])), padded(HEADER + DOCUMENTS[name])
    new = dsl.compile(dsl.parse(text.replace("version: 1.0.0", "version: 2.0.0")))
    assert new.name.version == "2.0.0"
    whole, gates = await run(old)
    for boundary in range(1, gates + 1):
        with pytest.raises(Stop) as stopped:
            await run(old, stop_at=boundary)
        there = moved(json.loads(stopped.value.position), old, new, {})
        assert there.hindrances == [], boundary
        position = json.loads(json.dumps(there.position))
        resumed, _ = await run(new, position=position, start=stopped.value.at)
        assert (resumed.status, resumed.output) == (whole.status, whole.output), boundary
