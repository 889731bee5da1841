"""How much memory and time large values cost, of a worker in a process of its own.

Small here; with values of 100 MB, plain and encrypted, by

    WFE_SIZE=full .venv/bin/python -m pytest -n 0 -s tests/payloads/test_weight.py
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.running import temporal_runner
from tests.runtimes.test_large import alone
from tests.standins.internet import Internet
from tests.standins.lone_worker import LARGEST
from tests.standins.server import Server, serve
from workflow_engine import dsl
from workflow_engine.calls import flow
from workflow_engine.calls.flow import AT_ONCE
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.dsl.collecting import settle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal import weights
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.payloads.keys import new_key
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

FULL = os.environ.get("WFE_SIZE") == "full"
SIZE = 100_000_000 if FULL else 10_000_000
MIB = 1024 * 1024
EMPTY = 150
"""MiB that a worker has when it has done nothing."""
TIMES = 4
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

    async def many(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        await answer.write(b'{"text": [')
        part = b'{"id": 1234567, "name": "of a thing", "price": 12.5, "tags": ["a", "b"]},'
        for _ in range(int(request.match_info["size"]) // (1000 * len(part))):
            await answer.write(part * 1000)
        await answer.write(b"null]}")
        return answer

    app = web.Application(client_max_size=LARGEST)
    app.router.add_get("/large/{size}", large)
    app.router.add_get("/many/{size}", many)
    app.router.add_post("/size", size)
    async with serve(app) as server:
        yield server


@pytest.mark.skipif(not FULL, reason="takes gigabytes: WFE_SIZE=full")
async def test_a_value_of_a_million_parts_goes_the_same_way(
    temporal_address: str, heavy: Server, tmp_path: Path
) -> None:
    queue, store = f"weight-{uuid.uuid4()}", (tmp_path / "store").as_uri()
    async with (
        alone(temporal_address, queue, store) as measured,
        open_payloads(store=store, largest=LARGEST) as payloads,
    ):
        client = await connect(temporal_address, "default", payloads=payloads)
        runtime = TemporalRuntime(client, queue, search_attributes=False)
        document = (
            RUN.replace("URL/large", f"{heavy.url}/many").replace("URL", heavy.url).replace("SIZE", str(SIZE))
        )
        bundle, run_id, began = Bundle.of(dsl.parse(document), {}), f"weight-{uuid.uuid4()}", time.monotonic()
        await runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
        ended = await runtime.wait(run_id, 600)
        assert ended.status == "completed", ended.error
        parts = len(ended.output["text"])
    seconds = time.monotonic() - began
    print(f"\n{parts:,} parts, {SIZE:,} bytes, {seconds:.1f} s, worker at most {measured.memory} MiB")
    assert measured.memory < EMPTY + 3.5 * TIMES * SIZE / MIB


SENT = """
document: {dsl: '1.0.3', namespace: tests, name: sent, version: '1.0.0'}
do:
  - all:
      for: {in: '[range(2)]'}
      do:
        - many:
            fork:
              branches:
BRANCHES
            output: {as: '{}'}
"""
BRANCH = "                - b: {call: http, with: {method: post, endpoint: 'URL/size', body: '${ $workflow.input }'}}\n"


def sending(url: str, branches: int) -> Bundle:
    listed = "".join(BRANCH.replace("b:", f"b{number}:") for number in range(branches)).rstrip()
    return Bundle.of(dsl.parse(SENT.replace("BRANCHES", listed).replace("URL", url)), {})


@pytest.mark.skipif(not FULL, reason="takes gigabytes: WFE_SIZE=full")
async def test_many_large_values_that_are_sent_at_once_do_not_fill_the_memory(
    temporal_address: str, heavy: Server, tmp_path: Path
) -> None:
    """Six branches send the input at the same time, twice."""
    queue, store = f"weight-{uuid.uuid4()}", (tmp_path / "store").as_uri()
    async with (
        alone(temporal_address, queue, store) as measured,
        open_payloads(store=store, largest=LARGEST) as payloads,
    ):
        client = await connect(temporal_address, "default", payloads=payloads)
        runtime = TemporalRuntime(client, queue, search_attributes=False)
        bundle, run_id, began = sending(heavy.url, 6), f"weight-{uuid.uuid4()}", time.monotonic()
        await runtime.start(Start(run_id, bundle.graph().name, bundle, {"given": "x" * SIZE}))
        ended = await runtime.wait(run_id, 600)
        assert ended.status == "completed", ended.error
    print(
        f"\n12 times {SIZE:,} bytes, {time.monotonic() - began:.1f} s, worker at most {measured.memory} MiB"
    )
    assert measured.memory < EMPTY + TIMES * (AT_ONCE + SIZE) / MIB


async def test_many_large_values_that_are_sent_at_once_are_sent_one_after_another(
    temporal_address: str, internet: Internet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six branches send 1 MB at the same time, and a worker works on 2.5 MB at once."""
    monkeypatch.setattr(flow, "AT_ONCE", 2_500_000)
    now, most = 0, 0

    async def size(request: web.Request) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(now, most)
        for _ in range(100):  # a second one is sent meanwhile, sooner or later
            await asyncio.sleep(0.05 if most < 2 else 0)
        await asyncio.sleep(0.05)
        now -= 1
        return web.json_response({"bytes": len(await request.read())})

    app = web.Application(client_max_size=LARGEST)
    app.router.add_post("/size", size)
    async with (
        serve(app) as server,
        open_payloads(store=(tmp_path / "store").as_uri()) as payloads,
        temporal_runner(temporal_address, internet, payloads=payloads) as runner,
    ):
        bundle, id = sending(server.url, 6), f"weight-{uuid.uuid4()}"
        await runner.runtime.start(Start(id, bundle.graph().name, bundle, {"given": "x" * 1_000_000}))
        ended = await runner.runtime.wait(id, 60)
        assert ended.status == "completed", ended.error
    assert len(server.requests) == 12
    assert most == 2


RESTS = """
document: {dsl: '1.0.3', namespace: tests, name: rests, version: '1.0.0'}
do:
  - heard: {listen: {to: {one: {with: {type: com.example.go}}}}}
  - answer: {set: {given: '${ $workflow.input.given | length }'}}
"""


async def test_runs_that_rest_are_let_go_of_where_their_values_are_too_many(
    temporal_address: str, internet: Internet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six runs with 1 MB each wait for an event, and a worker may keep 3 MB; all end as they should."""
    monkeypatch.setattr(weights.WEIGHTS, "most", 3_500_000)
    monkeypatch.setattr(weights.WEIGHTS, "rests", 0.3)
    settle()
    async with (
        open_payloads(store=(tmp_path / "store").as_uri()) as payloads,
        temporal_runner(temporal_address, internet, payloads=payloads) as runner,
    ):
        bundle = Bundle.of(dsl.parse(RESTS), {})
        ids = [f"rests-{uuid.uuid4()}" for _ in range(6)]
        for id in ids:
            await runner.runtime.start(Start(id, bundle.graph().name, bundle, {"given": "x" * 1_000_000}))
        while {(await runner.runtime.describe(id)).status for id in ids} != {"waiting"}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        while not 1 <= len(weights.WEIGHTS.runs()) <= 3:
            await asyncio.sleep(0.1)
            gc.collect()  # quick, for what was there before is not looked through
        event = {"specversion": "1.0", "id": "1", "source": "/x", "type": "com.example.go"}
        await runner.router.publish("default", [event])
        ended = [await runner.runtime.wait(id, 30) for id in ids]
        assert [run.output for run in ended] == [{"given": 1_000_000}] * 6


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
