"""What a run sends to a call is not parsed again where the same worker makes the call."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.running import temporal_runner
from tests.standins.internet import Internet
from tests.standins.server import Server, serve
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal import loans
from workflow_engine.runtimes.temporal.loans import BORROWS, LOANS, NOTHING, Loans
from workflow_engine.runtimes.temporal.payloads.driver import ClaimCheck
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads

VALUE = {"rows": [{"n": n, "text": "ä" * 20} for n in range(5_000)]}
DOCUMENT = """
document: {dsl: '1.0.3', namespace: tests, name: lending, version: '1.0.0'}
do:
  - send: {call: http, with: {method: post, endpoint: 'URL/rows', body: '${ . }'}, output: {as: '${ $workflow.input }'}}
  - more: {call: http, with: {method: post, endpoint: 'URL/rows', body: '${ {again: .} }'}, output: {as: .rows}}
  - same: {set: {rows: '${ . }', same: '${ $workflow.input.rows == . }'}}
"""


@pytest.fixture
async def rows() -> AsyncIterator[Server]:
    """Says what it was sent as `rows`, or as `again.rows`."""

    async def given(request: web.Request) -> web.Response:
        sent = await request.json()
        return web.json_response({"rows": len((sent.get("again") or sent)["rows"])})

    app = web.Application(client_max_size=10_000_000)
    app.router.add_post("/rows", given)
    async with serve(app) as server:
        yield server


@pytest.mark.temporal
@pytest.mark.parametrize("lent", [True, False], ids=["lent", "read"])
async def test_a_call_has_what_its_run_has_sent_without_reading_it(
    lent: bool,
    temporal_address: str,
    internet: Internet,
    rows: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes of it is the same; a call that comes too late for the loan reads the value from the store."""
    read: list[str] = []

    async def counted(self: ClaimCheck, key: str) -> Any:
        if BORROWS.get():
            read.append(key)
        return await object_of(self, key)

    object_of = ClaimCheck._object
    monkeypatch.setattr(ClaimCheck, "_object", counted)
    monkeypatch.setattr(loans, "SECONDS", 60.0 if lent else -1.0)
    async with (
        open_payloads(store=(tmp_path / "store").as_uri()) as payloads,
        temporal_runner(temporal_address, internet, payloads=payloads) as runner,
    ):
        bundle, id = Bundle.of(dsl.parse(DOCUMENT.replace("URL", rows.url)), {}), f"lending-{uuid.uuid4()}"
        await runner.runtime.start(Start(id, bundle.graph().name, bundle, VALUE))
        ended = await runner.runtime.wait(id, 30)
    assert ended.status == "completed", ended.error
    assert ended.output == {"rows": 5000, "same": False}
    assert len(read) == (0 if lent else 2)


async def test_a_loan_ends_with_its_run_and_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Loans()
    table.lend("a", [1], "one")
    table.lend("b", [2], "other")
    assert table.borrow("a") == [1]
    table.end("one")
    assert table.borrow("a") is NOTHING
    assert table.borrow("b") == [2]
    monkeypatch.setattr(loans, "SECONDS", 0.01)
    table.lend("c", [3], "other")
    await asyncio.sleep(0.2)
    assert "c" not in table._lent
    assert LOANS.borrow("never") is NOTHING
