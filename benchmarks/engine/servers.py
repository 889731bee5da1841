"""The dev server as it comes, and as this project starts it, under the same runs: in memory and with a file."""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine.contenders import Contender, contenders
from benchmarks.engine.rounds import Cell, cell, warmed_up
from benchmarks.engine.shapes import ORDER, TIMER
from workflow_engine.processes.guarded import GuardedProcess
from workflow_engine.processes.ports import free_port
from workflow_engine.runtimes.temporal.server import (
    SEARCH_ATTRIBUTES,
    ServerOptions,
    dev_server,
    executable,
    wait_ready,
)

SERVERS: Sequence[tuple[str, bool, bool]] = (
    ("stock, in memory", False, False),
    ("stock, a file", False, True),
    ("tuned, in memory", True, False),
    ("tuned, a file", True, True),
)
"""What each is called, whether it is tuned, and whether it keeps its data in a file."""


@dataclass(frozen=True, slots=True)
class Served:
    """How one server did: order runs a second with many clients, and milliseconds that a run takes with one: the order,
    and a timer of 1 ms. *cpu* is what the server needs for an order.
    """

    title: str
    rate: float
    order_p50: float
    timer_p50: float
    cpu: float | None


async def measure(rounds: int, seconds: float, say: Callable[[str], None]) -> list[Served]:
    """All `SERVERS`, in a random order in each round, with this engine's runs."""
    cells: dict[str, list[tuple[Cell, Cell, Cell]]] = {title: [] for title, _, _ in SERVERS}
    async with AsyncExitStack() as stack:
        engines: dict[str, tuple[Contender, int]] = {}
        for title, tuned, kept in SERVERS:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wfe-benchmark-")))
            file = folder / "temporal.db" if kept else None
            server = _tuned(file) if tuned else _stock(file)
            address, pid = await stack.enter_async_context(server)
            engine = (await stack.enter_async_context(contenders(address, folder, "c")))["c"]
            engines[title] = engine, pid
            for shape in (ORDER, TIMER):
                await warmed_up(shape, engine)
        order = random.Random(1)
        for number in range(rounds):
            for title in order.sample(list(engines), len(engines)):
                engine, pid = engines[title]
                cells[title].append(
                    (
                        await cell(ORDER, engine, pid, 10, seconds),
                        await cell(ORDER, engine, pid, 1, seconds),
                        await cell(TIMER, engine, pid, 1, seconds),
                    )
                )
            say(f"servers: round {number + 1} of {rounds}")
    return [_served(title, found) for title, found in cells.items()]


def _served(title: str, found: Sequence[tuple[Cell, Cell, Cell]]) -> Served:
    median = statistics.median
    cpu = [crowd.server_cpu / crowd.runs * 1e3 for crowd, _, _ in found if crowd.server_cpu is not None]
    return Served(
        title,
        median(crowd.rate for crowd, _, _ in found),
        median(median(alone.latencies) for _, alone, _ in found) * 1e3,
        median(median(timer.latencies) for _, _, timer in found) * 1e3,
        median(cpu) if cpu else None,
    )


@asynccontextmanager
async def _tuned(file: Path | None) -> AsyncIterator[tuple[str, int]]:
    async with dev_server(ServerOptions(headless=True, log_level="error", data_file=file)) as server:
        yield server.address, server.process.pid


@asynccontextmanager
async def _stock(file: Path | None) -> AsyncIterator[tuple[str, int]]:
    """``temporal server start-dev``, with the search attributes that the engine needs and nothing else."""
    port = free_port("127.0.0.1")
    line = [executable(), "server", "start-dev", "--headless", "--port", str(port), "--log-level", "error"]
    line += [] if file is None else ["--db-filename", str(file)]
    for name, type in SEARCH_ATTRIBUTES.items():
        line += ["--search-attribute", f"{name}={type}"]
    process = await GuardedProcess.start(line)
    try:
        address = f"127.0.0.1:{port}"
        await wait_ready(address)
        yield address, process.pid
    finally:
        await process.stop(0)
