"""Who is measured: hand-written workflows in several ways, the engine, its express runs; each a process (`host`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client

from benchmarks.engine.shapes import Shape
from workflow_engine.processes.guarded import GuardedProcess
from workflow_engine.processes.output import Tail
from workflow_engine.processes.ports import free_ports
from workflow_engine.values import Json, JsonObject

READY_SECONDS = 60.0
LONGEST_LINE = 1 << 24
TITLES: Mapping[str, str] = {
    "a": "by hand, as the SDK ships it",
    "b": "by hand, unsandboxed",
    "c": "this engine",
    "d": "this engine, express",
    "e": "by hand, all in one file",
    "f": "by hand, unsandboxed, started eagerly",
}
"""The first four letters are those of the acceptance in the issue."""
ONLY: Mapping[str, Sequence[str]] = {"e": ("order",), "f": ("order", "tasks-20")}
"""The shapes of those that do not do all."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One of those that are measured: a process with its worker and its client, told what to do over a connection.

    *client* is ours, to look at what is kept of a run.
    """

    letter: str
    worker: str
    pid: int
    client: Client
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def does(self, shape: Shape) -> bool:
        """Whether it has that shape."""
        return shape.name in ONLY.get(self.letter, (shape.name,))

    async def run(self, shape: Shape, run_id: str) -> Json:
        """Run *shape* to its end; its output."""
        output: Json = (await self._asked({"shape": shape.name, "id": run_id}))["output"]
        return output

    async def crowd(self, shape: Shape, clients: int, seconds: float) -> tuple[list[float], float]:
        """How long each run took of those that *clients* at a time got done, and how long all of them took."""
        answer = await self._asked({"shape": shape.name, "clients": clients, "seconds": seconds})
        return answer["latencies"], answer["seconds"]

    async def _asked(self, request: JsonObject) -> dict[str, Any]:
        self.writer.write(json.dumps(request).encode() + b"\n")
        await self.writer.drain()
        answer: dict[str, Any] = json.loads(await self.reader.readline() or b'{"failed": "it has ended"}')
        if "failed" in answer:
            raise RuntimeError(f"({self.letter}) {TITLES[self.letter]}: {answer['failed']}")
        return answer


@asynccontextmanager
async def contenders(
    address: str, folder: Path, names: Sequence[str], *, profiled: bool = False
) -> AsyncIterator[dict[str, Contender]]:
    """The contenders called *names* (keys of `TITLES`), each a process that has Temporal at *address*.

    With *profiled*, they are run by `profiling`, which writes to ``{worker}.profile`` in *folder*.
    """
    async with AsyncExitStack() as stack:
        port, *ports = free_ports(len(names) + 1)
        services = f"http://127.0.0.1:{port}"
        start = _Starter(stack, folder)
        await start("services", ["benchmarks.engine.services", "--port", str(port)])
        client = await Client.connect(address)

        async def contender(letter: str, port: int) -> Contender:
            worker = f"contender-{letter}"
            line = ["benchmarks.engine.host", "--contender", letter, "--port", str(port)]
            line += ["--address", address, "--services", services, "--folder", str(folder / worker)]
            pid = await start(worker, line, profiled=profiled)
            streams = await asyncio.open_connection("127.0.0.1", port, limit=LONGEST_LINE)
            stack.callback(streams[1].close)
            return Contender(letter, worker, pid, client, *streams)

        yield {name: await contender(name, port) for name, port in zip(names, ports, strict=True)}


class _Starter:
    """Starts processes that end with the block, and waits until each says that it is ready."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder

    async def __call__(self, name: str, line: Sequence[str], *, profiled: bool = False) -> int:
        """Start the module and arguments of *line*; the pid of the process."""
        ready = self._folder / f"{name}.ready"
        tail = Tail(30)
        begin = [sys.executable, "-m"]
        if profiled:
            begin += ["benchmarks.engine.profiling", str(self._folder / f"{name}.profile")]
        process = await GuardedProcess.start(
            [*begin, *line, "--ready-file", str(ready)], output=[tail.write], cwd=_ROOT, grace=2.0
        )
        self._stack.push_async_callback(process.stop, 2.0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                while not ready.exists() and process.returncode is None:  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.05)
        if not ready.exists():
            raise RuntimeError(f"{name} did not start:\n" + "\n".join(tail.lines()))
        return process.pid


_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Kept:
    """What the server keeps of a run: events, bytes of them, and how often its state was written."""

    events: int
    bytes: int
    transitions: int


async def recorded(client: Client, run_id: str) -> Kept:
    """What is kept of a run that has ended."""
    info = (await client.get_workflow_handle(run_id).describe()).raw_info
    return Kept(info.history_length, info.history_size_bytes, info.state_transition_count)
