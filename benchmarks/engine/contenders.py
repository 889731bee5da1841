"""Who is measured: the hand-written workflows with and without sandbox, the engine, and its express runs."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from benchmarks.engine.shapes import Shape
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.processes.guarded import GuardedProcess
from workflow_engine.processes.output import Tail
from workflow_engine.processes.ports import free_port
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.values import Json

READY_SECONDS = 60.0
ENGINE = "engine"
"""The task queue of the engine, and the name of its worker."""
TITLES: Mapping[str, str] = {
    "a": "by hand, as the SDK ships it",
    "b": "by hand, unsandboxed",
    "c": "this engine",
    "d": "this engine, express",
}
"""The letters are those of the acceptance in the issue."""


class ByHand:
    """Hand-written workflows, started with a client as `Client.connect` gives it."""

    def __init__(self, client: Client, queue: str, pid: int) -> None:
        self.client, self.worker, self.pid = client, queue, pid

    async def run(self, shape: Shape, run_id: str) -> Json:
        """Run *shape* to its end; its output."""
        return await self.client.execute_workflow(  # type: ignore[no-any-return]
            shape.name, shape.input, id=run_id, task_queue=self.worker
        )


class ThisEngine:
    """Documents, started as ``wfe api`` starts them."""

    def __init__(self, client: Client, queue: str, pid: int, services: str, *, express: bool) -> None:
        self.client, self.worker, self.pid = client, queue, pid
        self._runtime = TemporalRuntime(client, queue)
        self._services, self._express = services, express
        self._bundles: dict[str, Bundle] = {}

    async def run(self, shape: Shape, run_id: str) -> Json:
        """Run *shape* to its end; its output."""
        bundle = self._bundles.get(shape.name)
        if bundle is None:
            bundle = self._bundles[shape.name] = shape.bundle(self._services, express=self._express)
        await self._runtime.start(Start(run_id, bundle.graph().name, bundle, shape.input))
        return await self.client.get_workflow_handle(run_id).result()  # type: ignore[no-any-return]


Contender = ByHand | ThisEngine


@asynccontextmanager
async def contenders(
    address: str, folder: Path, names: Sequence[str], *, profiled: bool = False
) -> AsyncIterator[dict[str, Contender]]:
    """The contenders called *names* (keys of `TITLES`), each with a worker process at Temporal's *address*.

    Runs of the engine, express or not, are all done by one ``wfe worker``. With *profiled*, workers are run by
    `profiling`, which writes to ``{worker}.profile`` in *folder*.
    """
    async with AsyncExitStack() as stack:
        port = free_port("127.0.0.1")
        services = f"http://127.0.0.1:{port}"
        start = _Starter(stack, folder)
        lines: dict[str, Sequence[str]] = {}
        for name in ("a", "b"):
            if name in names:
                queue = f"by-hand-{name}"
                line = ["benchmarks.engine.by_hand.worker", "--address", address, "--queue", queue]
                lines[queue] = [*line, "--services", services, *(["--unsandboxed"] if name == "b" else [])]
        if not {"c", "d"}.isdisjoint(names):
            lines[ENGINE] = [
                "workflow_engine",
                "worker",
                "--temporal-address",
                address,
                "--log-level",
                "warning",
            ]
        env = {"WFE_TASK_QUEUE": ENGINE, "WFE_DATA": str(folder / ENGINE)}
        serving = start("services", ["benchmarks.engine.services", "--port", str(port)], {})
        working = [start(queue, line, env, profiled=profiled) for queue, line in lines.items()]
        _, *pids = await asyncio.gather(serving, *working)
        workers = dict(zip(lines, pids, strict=True))
        plain, client = await Client.connect(address), await connect(address, "default")
        found: dict[str, Contender] = {
            name: ByHand(plain, f"by-hand-{name}", workers[f"by-hand-{name}"])
            for name in ("a", "b")
            if name in names
        }
        for name in ("c", "d"):
            if name in names:
                found[name] = ThisEngine(client, ENGINE, workers[ENGINE], services, express=name == "d")
        yield found


class _Starter:
    """Starts processes that end with the block, and waits until each says that it is ready."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder

    async def __call__(
        self, name: str, line: Sequence[str], env: Mapping[str, str], *, profiled: bool = False
    ) -> int:
        """Start the module and arguments of *line*; the pid of the process."""
        ready = self._folder / f"{name}.ready"
        tail = Tail(30)
        begin = [sys.executable, "-m"]
        if profiled:
            begin += ["benchmarks.engine.profiling", str(self._folder / f"{name}.profile")]
        process = await GuardedProcess.start(
            [*begin, *line, "--ready-file", str(ready)], output=[tail.write], env=env, cwd=_ROOT, grace=2.0
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
