"""The rounds: in each, every shape is run by every contender for a moment, in a random order.

What disturbs the machine disturbs all of them alike, and medians are of the rounds. One cell is a number of
clients, each of which starts the next run when its last one has ended.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.engine.contenders import Contender, Kept, recorded
from benchmarks.engine.cpu import cpu_seconds
from benchmarks.engine.shapes import Shape
from workflow_engine.values import Json

WARM_UP = 5
"""Runs before the first cell: connections are open, what is compiled once is compiled."""
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Cell:
    """What one contender did with one shape in one round. CPU is in seconds, None where it cannot be told."""

    runs: int
    seconds: float
    latencies: Sequence[float]
    server_cpu: float | None
    worker_cpu: float | None

    @property
    def rate(self) -> float:
        """Runs a second."""
        return self.runs / self.seconds


@dataclass(slots=True)
class Measured:
    """All cells of one shape and contender, a round each: *crowd* with many clients at a time, *alone* with one."""

    kept: Kept
    crowd: list[Cell] = field(default_factory=list)
    alone: list[Cell] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long is measured: seconds of each cell with many *clients*, and *alone* seconds of each with one."""

    rounds: int
    seconds: float
    alone: float
    clients: int = 10
    seed: int = 1


Results = dict[tuple[str, str], Measured]
"""By the name of the shape and the letter of the contender."""


async def measure(
    shapes: Sequence[Shape],
    found: Mapping[str, Contender],
    server: int,
    plan: Plan,
    say: Callable[[str], None],
) -> Results:
    """All rounds of *plan*; *server* is the process of the Temporal server."""
    results: Results = {}
    for shape in shapes:
        for letter, contender in found.items():
            if contender.does(shape):
                results[shape.name, letter] = Measured(await warmed_up(shape, contender))
    order = random.Random(plan.seed)
    for number in range(plan.rounds):
        began = time.monotonic()
        for shape in order.sample(list(shapes), len(shapes)):
            for letter in order.sample(list(found), len(found)):
                if not found[letter].does(shape):
                    continue
                contender, measured = found[letter], results[shape.name, letter]
                measured.crowd.append(await cell(shape, contender, server, plan.clients, plan.seconds))
                measured.alone.append(await cell(shape, contender, server, 1, plan.alone))
        say(f"runs: round {number + 1} of {plan.rounds}, {time.monotonic() - began:.0f} s")
    return results


async def warmed_up(shape: Shape, contender: Contender) -> Kept:
    """The first runs: each must yield what the shape says, and the last one tells what is kept of it."""
    for _ in range(WARM_UP):
        run_id = f"{shape.name}-{uuid.uuid4()}"
        _check(shape, await asyncio.wait_for(contender.run(shape, run_id), PATIENCE))
    return await recorded(contender.client, run_id)


async def cell(shape: Shape, contender: Contender, server: int, clients: int, seconds: float) -> Cell:
    """Run *shape* for so many *seconds*, and until what is under way then has ended."""
    processes = (server, contender.pid)
    before = [cpu_seconds(pid) for pid in processes]
    latencies, took = await contender.crowd(shape, clients, seconds)
    after = [cpu_seconds(pid) for pid in processes]
    used = [
        None if one is None or other is None else other - one
        for one, other in zip(before, after, strict=True)
    ]
    return Cell(len(latencies), took, latencies, *used)


def _check(shape: Shape, output: Json) -> None:
    if output != shape.output:
        raise AssertionError(f"{shape.name}: expected {shape.output}, got {output}")
