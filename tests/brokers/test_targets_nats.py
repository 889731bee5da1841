"""Subscriptions whose target is an operation: a real NATS server, over the API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.api.server import Api
from tests.api.server import api as serving
from tests.brokers import sources
from tests.brokers.documents import BASE, asyncapi, pinned
from tests.brokers.sender import event, sending
from tests.brokers.servers import nats_server
from workflow_engine.calls import Egress
from workflow_engine.calls.brokers.admission import around
from workflow_engine.calls.brokers.direct import link_to
from workflow_engine.calls.brokers.lines import Lines
from workflow_engine.calls.brokers.link import Link, Outgoing
from workflow_engine.calls.brokers.server import choose
from workflow_engine.errors import Fault
from workflow_engine.events.targets import Drop

pytest_plugins = ["tests.brokers.streams"]

QUICK = {"initial": 0.05, "jitter": False, "max_attempts": 200, "max_delay": 0.1}


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with serving() as running:
        yield running


async def subscribe(api: Api, id: str = "out", **target: Any) -> Any:
    body = {
        "filters": [], "retry": QUICK, "in_order": True,
        "target": {"kind": "asyncapi", "operation": f"{BASE}#note", **target},
    }  # fmt: skip
    return await api.call("PUT", f"/v1/subscriptions/{id}", json=body)


async def publish(server: Api, *events: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    assert (await server.post("/v1/events", json=list(events), headers=headers)).status == 202


async def got(client: Any, subject: str, count: int) -> list[Any]:
    """The messages that the stream of *subject* has, once there are so many."""
    subscription = await client.jetstream().subscribe(subject)
    found = [await subscription.next_msg(timeout=30) for _ in range(count)]
    await subscription.unsubscribe()
    return found


async def test_events_are_sent_in_each_mode_and_each_once(
    server: Api, port: int, client: Any, stored: str
) -> None:
    await sources.described(server, "nats", port, f"{stored.rpartition('.')[0]}.{{mode}}", channel={
        "parameters": {"mode": {"location": "$message.header#/mode"}},
    })  # fmt: skip
    for mode in ("payload", "structured", "binary"):
        headers = {"mode": mode, "Who": "${ .shop }"}
        assert (await subscribe(server, mode, mode=mode, headers=headers)).status == 201
    sent = event(1, shop="café", datacontenttype="application/json")
    await publish(server, sent, sent)
    subject = stored.rpartition(".")[0]
    found = {message.subject.rpartition(".")[2]: message for message in await got(client, f"{subject}.>", 3)}
    assert json.loads(found["payload"].data) == {"n": 1}
    assert found["payload"].headers["Who"] == "café"
    assert json.loads(found["structured"].data) == sent
    assert found["structured"].headers["Content-Type"].startswith("application/cloudevents+json")
    assert json.loads(found["binary"].data) == {"n": 1}
    assert (found["binary"].headers["ce-id"], found["binary"].headers["ce-shop"]) == ("e-1", "caf%C3%A9")
    assert len({message.headers["Nats-Msg-Id"] for message in found.values()}) == 3
    trace = (await server.get("/v1/events/e-1/trace")).json["traces"][0]
    assert {each["attempts"][0]["code"] for each in trace["recipients"]} == {"sent"}


async def test_what_does_not_fit_is_a_dead_letter_and_the_rest_goes_on(
    server: Api, port: int, client: Any, stored: str
) -> None:
    await sources.described(server, "nats", port, stored)
    assert (await subscribe(server)).status == 201
    await publish(server, event("one", "e-1"), event(2, "e-2"))
    (message,) = await got(client, stored, 1)
    assert json.loads(message.data) == {"n": 2}
    (letter,) = await sources.until(server, 1, "dead-letters")
    assert (letter["id"], letter["dlqcode"]) == ("e-1", "schema")
    assert "/payload/n" in letter["dlqreason"]


async def test_a_broker_that_is_away_gets_everything_in_order_when_it_is_back(
    server: Api, tmp_path: Path
) -> None:
    with nats_server(tmp_path) as port:
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        await client.jetstream().add_stream(name="s", subjects=["s"])
        await client.close()
    await sources.described(server, "nats", port, "s")
    assert (await subscribe(server)).status == 201
    await publish(server, *(event(n, f"e-{n}") for n in range(20)))
    await asyncio.sleep(0.2)
    with nats_server(tmp_path, port=port):
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        assert [json.loads(each.data)["n"] for each in await got(client, "s", 20)] == list(range(20))
        await client.close()


async def test_a_message_that_is_too_large_is_given_up_at_once_and_ends_no_connection_for_the_others(
    tmp_path: Path,
) -> None:
    settings = tmp_path / "nats.conf"
    settings.write_text("max_payload: 2048")
    with nats_server(tmp_path, "-c", str(settings)) as port:
        document = asyncapi("nats", f"127.0.0.1:{port}", address="a")
        large = event("x" * 3000)
        async with sending(document) as deliver:
            with pytest.raises(Drop, match="larger than the broker takes"):
                await deliver("i-1", large)
        operation = pinned(document)[f"{BASE}#note"]
        server = choose(operation, None, None)
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        heard = await client.subscribe("a")
        async with Egress() as egress:
            lines = Lines()

            async def connect() -> Link:
                return await link_to(operation, server, "a", {}, around(egress, "key", "/subscriptions"))

            async with lines.line("key", egress, connect) as send:
                with pytest.raises(Fault):
                    async with lines.line("key", egress, connect) as other:
                        await other("a", Outgoing(b"x" * 3000, "text/plain", {}, "i-2"))
                await asyncio.sleep(0.2)
                await send("a", Outgoing(b"small", "text/plain", {}, "i-3"))
            assert (await heard.next_msg(timeout=20)).data == b"small"
            await lines.close()
        await client.close()


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"operation": f"{BASE}#noted"}, "/target/operation", "its service sends here: it is for a source"),
    ({"operation": f"{BASE}#gone"}, "/target/operation", "gone"),
    ({"server": {"name": "there"}}, "/target/server", "no server 'there'"),
    ({"mode": "batch"}, "/target/mode", "payload, structured, binary"),
    ({"key": "k"}, "/target/key", "only records of Kafka"),
    ({"headers": {"a": "${ $x }"}}, "/target/headers", "x"),
    ({"authentication": {"basic": {"username": "a"}}}, "/target/authentication", "secret"),
    ({"url": "https://a.example"}, "/target/url", "expected one of"),
]


async def test_an_operation_of_cloudevents_gets_them_whole(
    server: Api, port: int, client: Any, stored: str
) -> None:
    envelope = {"type": "object", "required": ["id", "data"]}
    message = {"contentType": "application/cloudevents+json", "payload": envelope}
    await sources.described(server, "nats", port, stored, message=message)
    assert (await subscribe(server)).status == 201
    await publish(server, event(1))
    (sent,) = await got(client, stored, 1)
    assert json.loads(sent.data) == event(1)


async def test_what_cannot_be_sent_to_is_refused_with_its_place(server: Api) -> None:
    await sources.described(server, "nats", 4222, "a")
    for changes, pointer, words in REFUSED:
        answer = await subscribe(server, **changes)
        assert answer.status == 400, (changes, answer.json)
        assert answer.json["pointer"].startswith(pointer), (changes, answer.json)
        assert words in answer.json["detail"], (changes, answer.json)
