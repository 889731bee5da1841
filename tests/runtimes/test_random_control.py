"""Whatever is asked of runs of all kinds of states, and whenever: none gets stuck, nothing is done twice, and each is
as was asked last. Who is refused is told why.

Small here; three hundred runs by

    WFE_SIZE=full .venv/bin/python -m pytest -n 0 -s tests/runtimes/test_random_control.py
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from tests.running import TemporalRunner
from tests.semantics.v1.documents import event, workflow
from tests.standins.server import serve
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Retry, RunDescription, Start
from workflow_engine.errors import Conflict, Rejected
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

FULL = os.environ.get("WFE_SIZE") == "full"
SEED = int(os.environ.get("WFE_SEED", "1"))
RUNS, AT_ONCE = (300, 6) if FULL else (8, 8)
PATIENCE = 60.0
pytestmark = [pytest.mark.temporal, pytest.mark.timeout(3600 if FULL else 120)]

CHILD = """
do:
  - one: CALL(one)
  - nap: {wait: {milliseconds: 20}}
  - two: CALL(two)
"""
DOCUMENTS = {
    "sequence": """
do:
  - a: CALL(a)
  - set: {set: {n: 1}}
  - w: {wait: {milliseconds: 50}}
  - b: CALL(b)
  - emit: {emit: {event: {with: {type: told, source: /tests}}}}
  - c: CALL(c)
""",
    "loops": """
do:
  - each:
      for: {each: i, in: '[range(4)]'}
      do:
        - call: CALL(each-${ $i })
        - set: {set: {n: '${ $i }'}}
        - w: {wait: {milliseconds: 10}}
  - b: CALL(b)
""",
    "branches": """
do:
  - fork:
      fork:
        branches:
          - x: {do: [{xa: CALL(xa)}, {xw: {wait: {milliseconds: 40}}}, {xb: CALL(xb)}]}
          - y: HEAR
          - z: {do: [{set: {set: {n: 1}}}, {zb: CALL(zb)}]}
  - after: CALL(after)
""",
    "tries": """
do:
  - a: CALL(a)
  - t:
      try:
        - set: {set: {n: 1}}
        - bad: {raise: {error: {type: 'https://tests.example/bad', status: 500}}}
      catch:
        errors: {with: {type: 'https://tests.example/bad'}}
        retry: {delay: {milliseconds: 20}, limit: {attempt: {count: 2}}}
        do: [{caught: CALL(caught)}]
  - b: CALL(b)
""",
    "hears": """
do:
  - a: CALL(a)
  - hear: HEAR
  - b: CALL(b)
  - again: HEAR
  - c: CALL(c)
""",
    "runs another": """
do:
  - a: CALL(a)
  - sub: {run: {workflow: {namespace: semantics, name: child, version: '1.0.0'}}}
  - b: CALL(b)
""",
    "faults": """
do:
  - a: CALL(a)
  - w: {wait: {milliseconds: 20}}
  - bad: {raise: {error: {type: 'https://tests.example/bad', status: 500}}}
  - b: CALL(b)
""",
}
HEAR = "{listen: {to: {one: {with: {type: go, subject: '${ $workflow.input.self }'}}}}}"
COMMANDS = {
    "suspend": 4,
    "resume": 5,
    "cancel": 1,
    "terminate": 1,
    "retry": 4,
    "skip": 3,
    "edit": 2,
    "move": 2,
    "publish": 4,
}


@dataclass
class Asked:
    """One command: *began* and *ended* are moments of the event loop; *refused* why it was, if it was."""

    command: str
    began: float
    ended: float = 0.0
    refused: str | None = None
    status: int = 409


@dataclass
class Life:
    """A run, and what was asked of it."""

    id: str
    kind: str
    bundle: Bundle
    runtime: TemporalRuntime
    asked: list[Asked] = field(default_factory=list)

    def last(self, *commands: str) -> Asked | None:
        """The last of *commands* that was accepted, where it is certain which one that is."""
        accepted = [each for each in self.asked if each.command in commands and each.refused is None]
        if not accepted:
            return None
        last = max(accepted, key=lambda each: each.began)
        overlapping = [each for each in accepted if each is not last and each.ended > last.began]
        return None if any(each.command != last.command for each in overlapping) else last


class Ledger:
    """Which keys each effect of each run was asked for with."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[tuple[str, str], set[str]] = defaultdict(set)

    async def take(self, request: web.Request) -> web.Response:
        place = request.match_info["run"], request.match_info["what"]
        self.keys[place].add(request.headers["Idempotency-Key"])
        await asyncio.sleep(0.01)
        return web.json_response({"did": place[1]})

    def document(self, text: str, name: str, version: str = "1.0.0") -> Bundle:
        parts = text.replace("HEAR", HEAR).split("CALL(")
        for number, part in enumerate(parts[1:], 1):
            what, rest = part.split(")", 1)
            before, _, expression = what.partition("${")
            called = f'"{before}"'
            if expression:
                called += f" + ({expression.strip(' }')} | tostring)"
            endpoint = f'${{ "{self.url}/" + $workflow.id + "/" + {called} }}'
            parts[number] = f"{{call: http, with: {{method: post, endpoint: '{endpoint}'}}}}{rest}"
        return Bundle.of(dsl.parse(workflow("".join(parts), name=name, version=version)), {})


async def command(runner: TemporalRunner, life: Life, chance: random.Random, later: Bundle) -> None:
    """Ask something of the run; that it is refused must have a reason that can be told."""
    what = chance.choices([*COMMANDS], [*COMMANDS.values()])[0]
    asked = Asked(what, asyncio.get_running_loop().time())
    runtime, id = life.runtime, life.id
    try:
        match what:
            case "suspend" | "resume" | "cancel":
                await getattr(runtime, what)(id)
            case "terminate":
                await runtime.terminate(id, "by chance")
            case "retry":
                await runtime.retry(id, Retry(Wish(skip=chance.random() < 0.5)))
            case "skip":
                await runtime.skip(id, Wish(skip=True))
            case "edit":
                await runtime.edit(id, Wish(data={"edited": chance.randint(0, 9)}, state=_set(life.kind)))
            case "move":
                verdict = await runtime.move(id, later, {}, 0.2)
                asked.refused = None if verdict.answer in ("moved", "moving") else str(verdict.reasons)
            case "publish":
                await publish(runner, life)
    except (Rejected, Conflict) as refused:
        asked.refused, asked.status = str(refused), getattr(refused, "status", 409)
    assert asked.refused != ""
    assert 400 <= asked.status < 500
    asked.ended = asyncio.get_running_loop().time()
    life.asked.append(asked)


_SETS = {
    "loops": "/do/0/each/do/1/set",
    "branches": "/do/0/fork/fork/branches/2/z/do/0/set",
    "tries": "/do/1/t/try/0/set",
}


def _set(kind: str) -> str:
    """A state that has no effect, whatever it is given."""
    return _SETS.get(kind, "/do/1/set")


async def publish(runner: TemporalRunner, life: Life) -> None:
    await runner.router.publish("default", [event("go", str(uuid.uuid4()), subject=life.id)])


async def described(life: Life, *, until: Sequence[str], seconds: float = 20.0) -> RunDescription:
    """The run, once it has one of these statuses; or how it is after so many seconds."""
    loop = asyncio.get_running_loop()
    patience = loop.time() + seconds
    while True:
        run = await life.runtime.describe(life.id)
        if run.status in until or loop.time() > patience:
            return run
        await asyncio.sleep(0.05)


ENDED = ("completed", "faulted", "cancelled")


async def settled(runner: TemporalRunner, life: Life) -> None:
    """Hold that the run is as it was asked to be; then let it go on, and hold that it ends."""
    loop, history = asyncio.get_running_loop(), [(each.command, each.refused) for each in life.asked]
    ending, ended = life.last("cancel", "terminate", "retry"), False
    if ending is not None and ending.command != "retry":
        run = await described(life, until=ENDED)
        assert run.status in ENDED, (life.kind, run, history)
        ended = True
    held = life.last("suspend", "resume", "retry")
    if not ended and held is not None and held.command == "suspend":
        run = await described(life, until=("suspended", *ENDED))
        assert run.status in ("suspended", *ENDED), (life.kind, run, history)
    patience = loop.time() + PATIENCE
    while (run := await life.runtime.describe(life.id)).status not in ENDED:
        assert loop.time() < patience, ("stuck", life.kind, run, history)
        assert run.parked is None, (life.kind, run, history)
        if run.status == "suspended":
            try:
                await life.runtime.resume(life.id)
            except Conflict:
                continue
        if run.status == "waiting":
            await publish(runner, life)
        await asyncio.sleep(0.1)


async def test_whatever_is_asked_of_runs_none_gets_stuck_and_nothing_is_done_twice(
    runner: TemporalRunner,
) -> None:
    ledger, counted, app = Ledger(), Counter[str](), web.Application()
    app.router.add_post("/{run}/{what}", ledger.take)
    async with serve(app) as server:
        ledger.url = server.url
        runner.deployed = [ledger.document(CHILD, "child")]
        kinds = [*DOCUMENTS]

        async def live(number: int) -> None:
            chance = random.Random(SEED * 100_000 + number)
            kind, id = kinds[number % len(kinds)], f"chance-{number}-{uuid.uuid4()}"
            limits = Limits(events=chance.choice([8, 15, 40, None]), drain=chance.choice([0.5, 60.0]))
            runtime = TemporalRuntime(runner.client, runner.queue, search_attributes=False, limits=limits)
            bundle, later = (
                ledger.document(DOCUMENTS[kind], "chance", version) for version in ("1.0.0", "2.0.0")
            )
            life = Life(id, kind, bundle, runtime)
            await runtime.start(Start(id, bundle.graph().name, bundle, {"self": id}))

            async def hand(commands: int) -> None:
                for _ in range(commands):
                    await asyncio.sleep(chance.choice([0.0, 0.02, 0.1, 0.3]) * chance.random())
                    await command(runner, life, chance, later)

            await asyncio.gather(*(hand(chance.randint(2, 5)) for _ in range(chance.choice([1, 2, 3]))))
            await settled(runner, life)
            counted.update(f"{each.command}{' refused' if each.refused else ''}" for each in life.asked)

        async def hands(first: int) -> None:
            for number in range(first, RUNS, AT_ONCE):
                await live(number)

        await asyncio.gather(*(hands(first) for first in range(AT_ONCE)))
    print(f"\nseed {SEED}, {RUNS} runs, {dict(sorted(counted.items()))}")
    twice = {place: keys for place, keys in ledger.keys.items() if len(keys) > 1}
    assert twice == {}
