"""What is done is done once, wherever a run is stopped, and goes on with as it would have."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from workflow_engine import dsl
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.runtimes.scheduler import Scheduler
from workflow_engine.values import Json, JsonObject

HEADER = "document: {dsl: '1.0.3', namespace: test, name: once, version: '1.0.0'}\n"
CALL = "call: http, with: {method: post, endpoint: 'http://x.example/EACH', body: '${ . }'}"


def call(what: str, more: str = "") -> str:
    return "{" + CALL.replace("EACH", what) + more + "}"


BATCHES = """
id: once
version: '1.0.0'
specVersion: '0.8'
functions:
  - {name: first, type: custom, operation: 'rest:post:http://x.example/first'}
  - {name: then, type: custom, operation: 'rest:post:http://x.example/then'}
states:
  - name: Loop
    type: foreach
    inputCollection: .items
    outputCollection: .out
    batchSize: 3
    actions:
      - functionRef: {refName: first, arguments: {body: '${ .item.n }'}}
        sleep: {after: '${ .item.nap }'}
        actionDataFilter: {toStateData: .first}
      - {functionRef: {refName: then, arguments: {body: '${ .item.n }'}}}
    end: true
"""
ITEMS = {"items": [{"n": n, "nap": f"PT{nap}S"} for n, nap in enumerate([1, 2, 9, 1, 5, 1])]}
WHILE = f"""
do:
  - loop:
      for: {{each: n, in: '[1, 2, 3]'}}
      while: '$context.open != false'
      do:
        - a: {call("a", ", export: {as: '{open: ($n < 2)}'}, output: {as: $n}")}
        - nap: {{wait: PT1S}}
        - b: {call("b", ", output: {as: '{b: $n}'}")}
"""
ALL = f"""
do:
  - hear:
      listen: {{to: {{all: [{{with: {{type: t.a}}}}, {{with: {{type: t.b}}}}, {{with: {{type: t.c}}}}]}}, read: data}}
      foreach:
        item: it
        do: [{{a: {call("a", ", output: {as: $it}")}}}, {{nap: {{wait: PT1S}}}}]
"""
BESIDE = """
do:
  - both:
      fork:
        branches:
          - slow: {WORK}
          - quick:
              timeout: {after: PT1H}
              do: [{a: {timeout: {after: PT1H}, do: [{b: {set: {b: 1}}}]}}, {c: {set: {c: 1}}}]
"""
ONE = f"[{{one: {call('one')}}}]"
RAISED = "[{r: {raise: {error: {type: 'https://e.example', status: 400}}}}]"
WITHIN = {
    "a list": f"timeout: {{after: PT1H}}, do: {ONE}",
    "what is tried": f"timeout: {{after: PT1H}}, try: {ONE}, catch: {{}}",
    "what handles an error": f"timeout: {{after: PT1H}}, try: {RAISED}, catch: {{do: {ONE}}}",
    "an attempt": f"try: [{{both: {{do: {ONE}}}}}], "
    "catch: {retry: {limit: {attempt: {count: 1, duration: PT1H}}}}",
}
"""What ends within a time when something else goes on at that moment: its output is there, and not taken yet."""
LISTEN = "listen: {to: {any: [{with: {type: t.a}}], until: length >= 2}}"
UNTIL = f"timeout: {{after: PT1H}}, {LISTEN}, foreach: {{do: [{{a: {call('a', ', input: {from: $item}')}}}]}}"
DOCUMENTS: dict[str, tuple[str, Json, int]] = {
    **{
        f"{what} within a time": (HEADER + BESIDE.replace("WORK", work), {}, 1)
        for what, work in WITHIN.items()
    },
    "events until there are enough, within a time": (HEADER + BESIDE.replace("WORK", UNTIL), {}, 2),
    "batches of iterations": (BATCHES, ITEMS, 12),
    "a loop whose condition does not hold any more": (HEADER + WHILE, {}, 4),
    "events of which each filter takes one": (HEADER + ALL, {}, 3),
}
EVENTS: list[JsonObject] = [
    {"specversion": "1.0", "id": f"{number}", "source": "s", "type": f"t.{type}", "data": number}
    for number, type in enumerate("abbaac", 1)
]


class Stop(BaseException):
    def __init__(self, position: str, at: Any) -> None:
        self.position, self.at = position, at


class World:
    """The executions in which each thing was asked for; an execution that was lost is the same one again."""

    def __init__(self) -> None:
        self.asked: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self.stopped = False
        self.consumed: set[tuple[str, int]] = set()

    def call(self, run: LocalRun, call: Any, place: Any) -> Any:
        """The answer of a call, which takes no time."""
        what = str(call.arguments["endpoint"]).rpartition("/")[2]
        body = call.arguments.get("body")
        if not self.stopped:  # what other branches do until they are told to is of no run that goes on
            self.asked[what, json.dumps(body)].add(place.id)

        async def answer() -> Json:
            return {"did": what}

        return answer

    async def go(
        self, text: str, input: Json, *, stop_at: int = 0, position: Any = None, start: Any = None
    ) -> Any:
        gates = 0

        def gate(run: Run) -> None:
            nonlocal gates
            gates += 1
            if gates == stop_at:
                self.stopped = True
                ears = local._ears
                free = {(ear.channel, number) for ear in ears._ears.values() for number, _ in ear.arrivals}
                self.consumed = ears.consumed - free
                raise Stop(json.dumps(run.position()), local.now())

        self.stopped = False
        graph = dsl.compile(dsl.parse(text))
        scheduler = Scheduler(start=start)
        answers: Any = self
        local = LocalRun(graph, run_id="r", answers=answers, at_gate=gate, scheduler=scheduler)
        local._ears.consumed = {*self.consumed}
        return await local.execute(input, EVENTS, position=position), gates


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_run_stopped_at_any_boundary_does_nothing_again_and_leaves_nothing_out(name: str) -> None:
    text, input, calls = DOCUMENTS[name]
    calm = World()
    whole, gates = await calm.go(text, input)
    assert whole.status == "completed", whole.error
    assert sum(map(len, calm.asked.values())) == calls
    for boundary in range(1, gates + 1):
        world = World()
        with pytest.raises(Stop) as stopped:
            await world.go(text, input, stop_at=boundary)
        position = json.loads(stopped.value.position)
        resumed, _ = await world.go(text, input, position=position, start=stopped.value.at)
        assert (resumed.status, resumed.output) == ("completed", whole.output), boundary
        assert world.asked == calm.asked, boundary
