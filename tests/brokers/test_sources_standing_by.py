"""Sources of a process whose event store another one took: a real NATS server has it, a web server is heard."""

from __future__ import annotations

import json

import pytest

from tests.brokers.hearer import heard, hearing
from tests.brokers.web import Web
from tests.events.conftest import eventually
from tests.standins.server import serve
from workflow_engine.events import standing_by
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store


async def test_who_stands_by_hears_no_source_and_goes_on_when_it_has_the_store_again(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would hold what the broker gave it, which the process that has the store never gets."""
    monkeypatch.setattr(standing_by, "EVERY", 0.05)
    monkeypatch.setattr("workflow_engine.calls.brokers.ear.SETTLING", 0.2)
    broker = Web()
    async with (
        serve(broker.app()) as server,
        hearing(nats_url, "ws", server.port, "notes", json.dumps({"path": "/ws"})) as first,
    ):
        await eventually(lambda: len(broker.sockets) == 1)
        second = Router(open_store(nats_url), targets={})

        async def nobody() -> None:
            return None

        with monkeypatch.context() as cut_off:
            cut_off.setattr(second._store._journal, "holder", nobody)  # type: ignore[attr-defined]
            await second.start()
        assert await second.sources() != []
        broker.give(b'{"n": 1}')  # of which there is no saying who stores it
        await eventually(lambda: broker.sockets[0].closed)
        broker.sent.clear()
        await second.stop()
        await eventually(lambda: len(broker.sockets) == 2)
        broker.give(b'{"n": 2}')
        assert [event["data"] for event in await heard(first, 1)] == [{"n": 2}]
