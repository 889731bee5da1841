from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest

from tests.calls.openapi_documents import URI
from tests.standins import httpbin
from tests.standins.internet import Internet, internet_thread
from tests.standins.server import Server, serve
from workflow_engine.calls import CallContext, Egress


@pytest.fixture(scope="session")
def internet() -> Iterator[Internet]:
    with internet_thread() as running:
        yield running


@pytest.fixture
async def bin_server() -> AsyncIterator[Server]:
    async with serve(httpbin.app()) as server:
        yield server


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with Egress() as made:
        yield made


@pytest.fixture
def context(egress):
    return make_context(egress)


def make_context(egress, **changes) -> CallContext:
    values = {
        "idempotency_key": "run-1/do/0/call/0",
        "run_id": "run-1",
        "state": "/do/0/call",
        "source": "/default/order/1.0.0",
        "resources": {},
        "events": None,
        "egress": egress,
        "now": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "timeout": 20.0,
    }
    return CallContext(**{**values, **changes})


@pytest.fixture
def pinned(egress, bin_server):
    """A context whose bundle pins *document* under URI, with the stand-in as its only server."""

    def make(document: dict | str):
        if isinstance(document, dict) and "openapi" in document:
            document.setdefault("servers", [{"url": f"{bin_server.url}/anything"}])
        if isinstance(document, dict) and "swagger" in document:
            document = {"host": bin_server.address, "schemes": ["http"], "basePath": "/anything"} | document
        text = document if isinstance(document, str) else json.dumps(document)
        return make_context(egress, resources={URI: {"uri": URI, "content": text}})

    return make
