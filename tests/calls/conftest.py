from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest

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
