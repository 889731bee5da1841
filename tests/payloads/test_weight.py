"""How much memory and time large values cost, of a worker in a process of its own.

Small here; with values of 100 MB, plain and encrypted, by

    WFE_SIZE=full .venv/bin/python -m pytest -n 0 -s tests/payloads/test_weight.py
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.runtimes.test_large import alone
from tests.standins.lone_worker import LARGEST
from tests.standins.server import Server, serve
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.payloads.keys import new_key
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

FULL = os.environ.get("WFE_SIZE") == "full"
SIZE = 100_000_000 if FULL else 10_000_000
MIB = 1024 * 1024
EMPTY = 150
"""MiB that a worker has when it has done nothing."""
TIMES = 6
"""How many times the values that a run has at once a worker may use, besides."""
pytestmark = [pytest.mark.temporal, pytest.mark.timeout(900 if FULL else 120)]


@pytest.fixture
async def heavy() -> AsyncIterator[Server]:
    """Gives large answers piece by piece, and says how much it was sent."""

    async def large(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        await answer.write(b'{"text": "')
        for _ in range(int(request.match_info["size"]) // 100_000):
            await answer.write(b"what was read " * 7_142 + b"............")
        await answer.write(b'"}')
        return answer

    async def size(request: web.Request) -> web.Response:
        return web.json_response({"bytes": len(await request.read())})

    app = web.Application(client_max_size=LARGEST)
    app.router.add_get("/large/{size}", large)
    app.router.add_post("/size", size)
    async with serve(app) as server:
        yield server


RUN = """
document: {dsl: '1.0.3', namespace: tests, name: weight, version: '1.0.0'}
do:
  - fetch: {call: http, with: {method: get, endpoint: 'URL/large/SIZE'}, export: {as: .}}
  - hand: {call: http, with: {method: post, endpoint: 'URL/size', body: '${ $context }'}}
  - answer: {set: {sent: '${ .bytes }', text: '${ $context.text }'}}
"""


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "encrypted"])
async def test_a_worker_needs_a_small_multiple_of_what_it_is_given(
    sealed: bool, temporal_address: str, heavy: Server, tmp_path: Path
) -> None:
    """An input and an answer are at hand at once; the answer is sent on, and is the output."""
    queue, keys = f"weight-{uuid.uuid4()}", tmp_path / "keys"
    keys.mkdir()
    (keys / "k1").write_text(new_key())
    places = [(tmp_path / "store").as_uri(), *([keys.as_uri()] if sealed else [])]
    began = time.monotonic()
    async with (
        alone(temporal_address, queue, *places) as measured,
        open_payloads(store=places[0], keys=keys.as_uri() if sealed else None, largest=LARGEST) as payloads,
    ):
        client = await connect(temporal_address, "default", payloads=payloads)
        runtime = TemporalRuntime(client, queue, search_attributes=False)
        document = RUN.replace("URL", heavy.url).replace("SIZE", str(SIZE))
        bundle, run_id = Bundle.of(dsl.parse(document), {}), f"weight-{uuid.uuid4()}"
        await runtime.start(
            Start(run_id, bundle.graph().name, bundle, {"given": "what is given " * (SIZE // 14)})
        )
        ended = await runtime.wait(run_id, 600)
        assert ended.status == "completed", ended.error
        assert ended.output["sent"] == SIZE + 11
        assert len(ended.output["text"]) == SIZE
    seconds = time.monotonic() - began
    at_once = 2 * SIZE / MIB
    print(
        f"\n{(places[1:] and 'encrypted') or 'plain'}: two values of {SIZE:,} bytes, {seconds:.1f} s, worker at most "
        f"{measured.memory} MiB: {(measured.memory - EMPTY) / at_once:.1f} times what the run has at once"
    )
    assert measured.memory < EMPTY + TIMES * at_once
