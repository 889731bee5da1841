"""A worker in a process of its own, to be killed or to be measured.

    python -m tests.standins.lone_worker ADDRESS QUEUE [STORE [KEYS [INTERIM [patient]]]]

It serves ``GET /N`` on loopback, which answers ``{"n": N}``, and prints where: ``ready http://127.0.0.1:PORT``. When
its standard input ends it stops, and prints how many calls it had, and the most memory that it used in MiB. With the
URLs of a store, and of keys, large values are kept there; of ``WFE_PAYLOAD_MEMORY`` MiB at a time. Empty ones are
none. With that of an interim store, calls in a row are one workflow task; one that is patient has it last nine seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from aiohttp import web

from tests.standins.server import serve
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.engine.targets import RunTarget
from workflow_engine.errors import NotFound
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.runtimes.temporal import activities as activity_times
from workflow_engine.runtimes.temporal.activities import Activities
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.interim import results
from workflow_engine.runtimes.temporal.interim.opening import open_interim
from workflow_engine.runtimes.temporal.interim.results import Interim
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.worker import worker

LARGEST = 1_000_000_000


async def main(
    address: str, queue: str, store: str = "", keys: str = "", interim: str = "", patient: str = ""
) -> None:
    calls = 0
    memory = os.environ.get("WFE_PAYLOAD_MEMORY")
    most = None if memory is None else int(float(memory) * 1024 * 1024)

    async def answer(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return web.json_response({"n": int(request.match_info["n"])})

    async def find(namespace: str | None, name: str, version: str | None) -> object:
        raise NotFound("workflow", name)

    app = web.Application()
    app.router.add_get("/{n}", answer)
    async with (
        open_payloads(store=store or None, keys=keys or None, largest=LARGEST, memory=most) as payloads,
        serve(app) as server,
        Egress(max_response=LARGEST) as egress,
    ):
        client = await connect(address, "default", payloads=payloads)
        router = Router(open_store("memory:"), targets={"run": RunTarget(TemporalRuntime(client, queue))})
        await router.start()
        activities = Activities(CALLERS, router, find, egress, keep=payloads.keeper(client.data_converter))  # type: ignore[arg-type]
        async with contextlib.AsyncExitStack() as stack:
            if patient:
                results.LONGEST = activity_times.INLINE_SECONDS = 9.0
            if interim:
                keeping = Interim(partial(open_interim, interim), client.data_converter)
                activities = replace(activities, interim=await stack.enter_async_context(keeping.at_work()))
            await stack.enter_async_context(worker(client, queue, activities))
            print(f"ready {server.url}", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print(f"{calls} {most_memory()}", flush=True)


def most_memory() -> int:
    """In MiB. Not `ru_maxrss`, which begins with that of the process that started this one."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
