"""`wfe events backlog`, on a server whose deliveries fail."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.api.server import api
from tests.cli.command import wfe

ALL = {"mode": "any", "filters": [{"attributes": {"type": {"equals": "order.placed"}}}]}
NOWHERE = {"kind": "channel", "channel": "dead-letters"}
"""Only the router may write there, so that no delivery succeeds."""


@pytest.fixture
async def server():
    async with api() as running:
        yield running


async def cli(server, *arguments):
    return await asyncio.to_thread(partial(wfe, *arguments, "--api-url", server.url))


async def subscribe(server, id, **retry):
    body = {"strategy": ALL, "target": NOWHERE, "retry": retry}
    assert (await server.call("PUT", f"/v1/subscriptions/{id}", json=body)).status == 201


async def test_what_waits_is_shown_with_its_age_and_what_was_given_up_is_counted(server):
    await subscribe(server, "lost", max_attempts=1)
    await subscribe(server, "slow", max_attempts=None, initial=3600, jitter=False)
    await cli(server, "events", "publish", "--type", "order.placed", "--source", "/shop")
    found = {}
    while not (found and found["dead_letters"]["count"] and found["subscriptions"][1]["attempts"]):
        found = (await cli(server, "events", "backlog", "--json")).json
    shown = await cli(server, "events", "backlog")
    lost, slow, listeners = (line.split() for line in shown.out.splitlines()[1:])
    assert lost == ["lost", "default", "0", "0"]
    assert slow[:3] == ["slow", "default", "1"]
    assert slow[-1] == "1"
    assert listeners == ["(runs", "that", "listen)", "0", "0"]
    assert shown.err.startswith("1 dead letter, the last ")


async def test_what_runs_listen_for_is_listed(server):
    assert (await cli(server, "events", "listeners")).err == "No run listens.\n"
    for run in ("b", "a"):
        body = {"run_id": run, "listen_id": "/do/0", "spec": ALL, "since": "2026-01-01T00:00:00Z"}
        assert (await server.call("PUT", "/v1/listeners", json=body)).status == 204
    shown = await cli(server, "events", "listeners")
    assert [line.split() for line in shown.out.splitlines()[1:]] == [
        ["default", run, "/do/0", "0"] for run in "ab"
    ]
    some = (await cli(server, "events", "listeners", "--run", "b", "--channel", "default", "--json")).json
    assert [each["run_id"] for each in some] == ["b"]
    first = (await cli(server, "events", "listeners", "--limit", "1", "--json")).json
    assert [each["run_id"] for each in first] == ["a"]
