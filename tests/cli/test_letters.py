"""`wfe events backlog`, `dead-letters` and `redrive`, on a server whose deliveries fail."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.api.server import api
from tests.cli.command import wfe

ALL = {"mode": "any", "filters": [{"attributes": {"type": {"equals": "order.placed"}}}]}
NOWHERE = {"kind": "channel", "channel": "dead-letters"}
"""Only the router may write there, so that no delivery succeeds."""


def subscription(**changes) -> dict:
    return {"strategy": ALL, "target": NOWHERE, "retry": {"max_attempts": 1}, **changes}


@pytest.fixture
async def server():
    async with api() as running:
        yield running


async def cli(server, *arguments):
    return await asyncio.to_thread(partial(wfe, *arguments, "--api-url", server.url))


async def test_a_server_without_dead_letters_says_so(server):
    none = await cli(server, "events", "dead-letters")
    assert (none.code, none.out, none.err) == (0, "", "There are no dead letters.\n")
    assert (await cli(server, "events", "redrive", "--all")).code == 0


async def test_dead_letters_are_listed_with_why_and_are_delivered_again_once_the_cause_is_gone(server):
    await server.call("PUT", "/v1/subscriptions/orders", json=subscription())
    published = await cli(
        server, "events", "publish", "--type", "order.placed", "--source", "/shop", "--id", "o-1"
    )
    assert published.code == 0, published.err
    listed = await cli(server, "events", "dead-letters")
    while not listed.out:
        listed = await cli(server, "events", "dead-letters")
    row = listed.out.splitlines()[1]
    assert "order.placed" in row
    assert "o-1" in row
    assert "orders" in row
    assert row.endswith("only the router writes to dead-letters")
    backlog = await cli(server, "events", "backlog")
    assert backlog.out.splitlines()[1].split() == ["orders", "default", "0", "0"]
    assert "1 dead letter, the last" in backlog.err

    mended = subscription(target={"kind": "channel", "channel": "copies"})
    await server.call("PUT", "/v1/subscriptions/orders", json=mended)
    other = await cli(server, "events", "redrive", "--all", "--subscription", "other")
    assert other.err == "0 delivered again, 0 refused\n"
    redriven = await cli(server, "events", "redrive", "0:0", "0:7")
    assert (redriven.code, redriven.out) == (1, "0:0\n")
    assert "0:7: no dead letter '0:7'" in redriven.err
    copies = (await server.get("/v1/events?channel=copies")).json
    while not copies["events"]:
        copies = (await server.get("/v1/events?channel=copies")).json
    assert copies["events"][0]["event"]["id"] == "o-1"


async def test_what_waits_is_shown_with_its_age(server):
    slow = subscription(retry={"max_attempts": None, "initial": 3600, "jitter": False})
    await server.call("PUT", "/v1/subscriptions/orders", json=slow)
    await cli(server, "events", "publish", "--type", "order.placed", "--source", "/shop")
    backlog = await cli(server, "events", "backlog", "--json")
    while not backlog.json["subscriptions"][0]["attempts"]:
        backlog = await cli(server, "events", "backlog", "--json")
    assert backlog.json["subscriptions"][0]["waiting"] == 1
    assert backlog.json["dead_letters"]["count"] == 0


async def test_redrive_wants_positions_or_all(server):
    assert (await cli(server, "events", "redrive")).code == 2
    assert (await cli(server, "events", "redrive", "0:0", "--all")).code == 2
