"""The stack of `wfe dev`, its processes started again however often they are killed: `wfe dev` itself gives up at five
deaths a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from workflow_engine.cli.child import Child
from workflow_engine.cli.stack import Stack, appears
from workflow_engine.processes.guarded import GuardedProcess
from workflow_engine.processes.output import RotatingLog
from workflow_engine.processes.ports import free_ports
from workflow_engine.settings import Settings

AGAIN = 0.1
"""Seconds until a process that was killed is started again."""
OFTEN = {
    f"history.{queue}ProcessorUpdateAckInterval": '"1s"' for queue in ("transfer", "timer", "visibility")
}
"""Temporal writes down every second how far it has come with its queues, and not every 30 s: one that never lives that
long would do all that it has ever done again at each start, until it does nothing else.
"""
EARLY = 4
STUCK = 90.0
"""Seconds within which a process that nobody kills must be ready."""


class Process:
    """One program of the stack: *ready* while it is; *starting* is how many seconds it last took to be."""

    def __init__(self, child: Child, log: RotatingLog) -> None:
        self.child = child
        self.ready = asyncio.Event()
        self.starting = 0.0
        self._log = log
        self._running: GuardedProcess | None = None

    async def keep(self) -> None:
        """Run it again and again, until cancelled."""
        while True:
            self._running = await GuardedProcess.start(
                self.child.command, output=(self._log.write,), env=self.child.env
            )
            probe = asyncio.create_task(self._probe())
            try:
                code = await self._running.wait()
            finally:
                self.ready.clear()
                probe.cancel()
                await asyncio.gather(probe, return_exceptions=True)
                await self._running.stop(0)
            self._log.write(f"--- ended: {code}\n".encode())
            await asyncio.sleep(AGAIN)

    async def _probe(self) -> None:
        assert callable(self.child.ready)
        began = time.monotonic()
        await self.child.ready()
        self.starting = time.monotonic() - began
        self.ready.set()

    def kill(self) -> bool:
        """SIGKILL to the program itself; False where none runs just now."""
        running = self._running
        if running is None or running.returncode is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGKILL)
            return True
        return False


@dataclass
class Chaos:
    """Who is killed when, drawn from *seed*: the processes in turn, in another order each time, so that each is killed
    as often as the others.

    Between one and the next is a random time, such that a process lives about *life* seconds; on a machine so busy that
    it takes longer than that to start, as much longer. One that is not ready when it is its turn is killed as it is one
    time in `EARLY`, and else as soon as it is ready and the next one would be: the others go on being killed meanwhile.
    *kills* counts them by the name of the process, *unready* those who were just starting.
    """

    seed: int
    wanted: int
    life: float
    kills: Counter[str] = field(default_factory=Counter)
    unready: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def torment(self, processes: Sequence[Process]) -> None:
        """Kill *processes* again and again, until as many have been killed in all as are *wanted*."""
        random_ = random.Random(f"{self.seed}/kills")
        turns: list[tuple[Process, bool]] = []
        while not self.over.is_set():
            starting = max(process.starting for process in processes)
            lives = max(self.life, 1.5 * starting)
            await asyncio.sleep(random_.uniform(0.0, 2.0) * lives / len(processes))
            if not turns:
                order = random_.sample(processes, len(processes))
                turns = [(process, random_.random() * EARLY < 1) for process in order]
            for turn in turns:
                process, early = turn
                if (early or process.ready.is_set()) and self._kill(process):
                    turns.remove(turn)
                    break

    def _kill(self, process: Process) -> bool:
        was_ready = process.ready.is_set()
        if self.over.is_set() or not process.kill():
            return False
        self.kills[process.child.name] += 1
        self.unready += not was_ready
        process.ready.clear()
        if self.kills.total() >= self.wanted:
            self.over.set()
        return True


@dataclass(frozen=True)
class Running:
    """*processes* by name; *api* is the address of the API."""

    processes: dict[str, Process]
    api: str

    async def ready(self, seconds: float = STUCK) -> None:
        """Until every process is."""
        for name, process in self.processes.items():
            try:
                async with asyncio.timeout(seconds):
                    await process.ready.wait()
            except TimeoutError:
                raise AssertionError(f"{name} is not ready within {seconds:g} s") from None


@asynccontextmanager
async def running(data: Path, *, workers: int, api_worker: bool = False) -> AsyncIterator[Running]:
    """Temporal on its file, the API with router and catalog, and *workers* workers, as `wfe dev` lays them out.

    *api_worker*: the API works too, and begins the runs that it starts.
    """
    api_port, temporal_port, ui_port = free_ports(3, "127.0.0.1")
    chosen = replace(Settings(), data=data, port=api_port)
    stack = Stack.of(chosen, temporal_port=temporal_port, ui_port=ui_port)
    stack = replace(stack, temporal=replace(stack.temporal, dynamic_config=OFTEN))
    worker = next(child for child in stack.children() if child.name == "worker")
    stack = replace(stack, settings=replace(stack.settings, api_worker=api_worker))
    children = [child for child in stack.children() if child.name != "worker"]
    children += [_numbered(worker, number, data) for number in range(1, workers + 1)]
    async with contextlib.AsyncExitStack() as exits:
        processes = {}
        for child in children:
            log = RotatingLog(data / "logs" / f"{child.name}.log")
            exits.callback(log.close)
            processes[child.name] = process = Process(child, log)
            keeping = asyncio.create_task(process.keep())
            exits.push_async_callback(_ended, keeping)
            if child.name == "temporal":
                await process.ready.wait()
        yield Running(processes, stack.urls["api"])


def _numbered(worker: Child, number: int, data: Path) -> Child:
    """Another worker, with a file of its own that tells when it is ready."""
    file = data / f"worker-{number}.ready"
    command = [*worker.command[: worker.command.index("--ready-file")], "--ready-file", str(file)]
    ready: Callable[[], object] = appears(file)
    return replace(worker, name=f"worker-{number}", command=command, ready=ready)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
