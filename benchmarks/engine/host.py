"""One contender: its worker, and a client that starts its runs, in one process which does what it is told to.

``python -m benchmarks.engine.host``. It listens on a port of loopback. A line of JSON asks for something, a line
answers: ``{"shape", "id"}`` for one run, answered with its ``output``; ``{"shape", "clients", "seconds"}`` for as many
runs as so many clients get done, each of which starts the next when its last one has ended, answered with ``latencies``
and ``seconds``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from temporalio.client import Client

from benchmarks.engine.by_hand import one_file
from benchmarks.engine.by_hand.worker import at_work
from benchmarks.engine.shapes import SHAPES, TIMER, Shape
from workflow_engine.assembly import open_app
from workflow_engine.engine.engine import Engine
from workflow_engine.graph.model import WorkflowName
from workflow_engine.settings import Settings
from workflow_engine.values import Json

PATIENCE = 60.0
LONGEST_LINE = 1 << 24
_SHAPES = {shape.name: shape for shape in (*SHAPES, TIMER)}

RunOne = Callable[[Shape, str], Awaitable[Json]]


@asynccontextmanager
async def by_hand(
    address: str, services: str, *, one: bool, sandbox: bool, eager: bool
) -> AsyncIterator[RunOne]:
    """Hand-written workflows, with a client as `Client.connect` gives it."""
    client = await Client.connect(address)
    queue = f"by-hand-{uuid.uuid4()}"
    working = one_file.at_work(client, queue, services) if one else at_work(client, queue, services, sandbox)

    async def run(shape: Shape, run_id: str) -> Json:
        return await client.execute_workflow(  # type: ignore[no-any-return]
            shape.name, shape.input, id=run_id, task_queue=queue, request_eager_start=eager
        )

    async with working:
        yield run


@asynccontextmanager
async def this_engine(address: str, services: str, folder: Path, *, express: bool) -> AsyncIterator[RunOne]:
    """Documents, in the process that ``wfe api --api-worker`` is, and started as it starts them."""
    settings = Settings(
        data=folder,
        port=0,
        temporal_address=address,
        task_queue=f"engine-{uuid.uuid4()}",
        api_worker=True,
        interim_store=f"sqlite:///{folder}/interim.db?synchronous=normal",  # as `wfe dev` has it
    )
    deployed: dict[str, WorkflowName] = {}
    async with open_app(settings) as app:
        engine: Engine = app.state.engine

        async def run(shape: Shape, run_id: str) -> Json:
            if shape.name not in deployed:
                found = await engine.deploy(shape.document(services, express=express), name=shape.name)
                deployed[shape.name] = found.definition.bundle.graph().name
            name = deployed[shape.name]
            await engine.start(name.namespace, name.name, None, shape.input, run_id=run_id, awaited=PATIENCE)
            return await engine.output(run_id, PATIENCE)

        yield run


async def cell(run: RunOne, shape: Shape, clients: int, seconds: float) -> dict[str, Any]:
    """Run *shape* for so many *seconds*, and until what is under way then has ended."""
    latencies: list[float] = []
    began = time.monotonic()

    async def one() -> None:
        while time.monotonic() - began < seconds:
            started = time.monotonic()
            output = await asyncio.wait_for(run(shape, f"{shape.name}-{uuid.uuid4()}"), PATIENCE)
            latencies.append(time.monotonic() - started)
            if output != shape.output:
                raise AssertionError(f"{shape.name}: expected {shape.output}, got {output}")

    await asyncio.gather(*(one() for _ in range(clients)))
    return {"latencies": latencies, "seconds": time.monotonic() - began}


async def _serve(run: RunOne, port: int, ready: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            asked = json.loads(line)
            shape = _SHAPES[asked["shape"]]
            try:
                if "id" in asked:
                    answer = {"output": await asyncio.wait_for(run(shape, asked["id"]), PATIENCE)}
                else:
                    answer = await cell(run, shape, asked["clients"], asked["seconds"])
            except Exception:  # noqa: BLE001 - whoever asked is told
                answer = {"failed": traceback.format_exc()}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(told, "127.0.0.1", port, limit=LONGEST_LINE):
        await asyncio.to_thread(ready.touch)
        await stop.wait()


async def main(given: argparse.Namespace) -> None:
    """Work until SIGTERM."""
    letter = given.contender
    async with AsyncExitStack() as stack:
        if letter in "cd":
            at = this_engine(given.address, given.services, given.folder, express=letter == "d")
        else:
            at = by_hand(
                given.address, given.services, one=letter == "e", sandbox=letter in "ae", eager=letter == "f"
            )
        await _serve(await stack.enter_async_context(at), given.port, given.ready_file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--contender", choices="abcdef", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--services", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ready-file", type=Path, required=True)
    asyncio.run(main(parser.parse_args()))
