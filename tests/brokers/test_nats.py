"""Messages over NATS, directly: a real server, with and without a stream."""

from __future__ import annotations

import asyncio
import base64
import gc
import itertools
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats
import pytest
import trustme

from tests.brokers.bridge import received
from tests.brokers.documents import BASE, asyncapi, pinned, publishing, subscribing
from tests.brokers.servers import nats_server
from tests.semantics.v1.documents import kind

pytest_plugins = ["tests.brokers.streams"]


def notes(port: int, address: str, **more: Any) -> dict[str, Any]:
    return pinned(asyncapi("nats", f"127.0.0.1:{port}", address=address, **more))


async def test_a_message_of_a_stream_is_stored_once_with_its_headers(
    run: Any, port: int, client: Any, stored: str
) -> None:
    text = publishing("{payload: {n: '${ .n }'}, headers: {Trace: t-1}}")
    ended = await run(text, {"n": 7}, resources=notes(port, stored))
    assert (ended.status, ended.output) == ("completed", {"n": 7}), ended.error
    subscription = await client.jetstream().subscribe(stored)
    message = await subscription.next_msg(timeout=20)
    assert json.loads(message.data) == {"n": 7}
    assert message.headers["Trace"] == "t-1"
    assert message.headers["Nats-Msg-Id"] == f"{ended.run_id}/do/0/send"
    assert (await client.jetstream().stream_info(stored.partition(".")[0])).state.messages == 1


async def test_a_message_without_a_stream_reaches_who_listens(run: Any, port: int, client: Any) -> None:
    subscription = await client.subscribe("plain.notes")
    await client.flush()
    ended = await run(publishing(), {"n": 7}, resources=notes(port, "plain.notes"))
    assert ended.status == "completed", ended.error
    assert json.loads((await subscription.next_msg(timeout=20)).data) == {"n": 7}


async def test_a_subscription_takes_as_many_messages_of_a_stream_as_it_wants(
    run: Any, port: int, client: Any, stored: str
) -> None:
    async def send() -> None:
        stream = stored.partition(".")[0]
        while not await client.jetstream().consumers_info(stream):  # noqa: ASYNC110 - the server does not tell
            await asyncio.sleep(0.02)
        for n in range(4):
            await client.jetstream().publish(stored, json.dumps({"n": n}).encode(), headers={"thread": "t"})

    sending = asyncio.create_task(send())
    resources = notes(port, stored, message={"correlationId": {"location": "$message.header#/thread"}})
    ended = await run(
        subscribing("{filter: '${ .payload.n != 1 }', consume: {amount: 2}}"), resources=resources
    )
    await sending
    assert ended.status == "completed", ended.error
    assert [message["payload"]["n"] for message in ended.output] == [0, 2]
    assert ended.output[0]["correlationId"] == ended.output[0]["headers"]["thread"] == "t"


async def test_a_subscription_without_a_stream_hears_what_is_published_meanwhile(
    run: Any, port: int, client: Any
) -> None:
    async def send() -> None:
        for n in itertools.count():
            await client.publish("live.notes.a", json.dumps({"n": n}).encode())
            await asyncio.sleep(0.05)

    sending = asyncio.create_task(send())
    document = notes(port, "live.notes.{room}", channel={"parameters": {"room": {}}})
    ended = await run(subscribing("{consume: {while: '${ length < 3 }'}}"), resources=document)
    sending.cancel()
    assert ended.status == "completed", ended.error
    first = ended.output[0]["payload"]["n"]
    assert [message["payload"]["n"] for message in ended.output] == [first, first + 1, first + 2]


async def test_a_worker_that_dies_loses_and_doubles_no_message_of_a_stream(
    port: int, client: Any, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.calls.brokers.nats._ACK_SECONDS", 1.0)
    for n in range(6):
        await client.jetstream().publish(stored, json.dumps({"n": n}).encode())
    operation = notes(port, stored)[f"{BASE}#noted"]
    messages = await received(operation, 6, dies_after=(2,))
    assert [message["payload"]["n"] for message in messages] == [0, 1, 2, 3, 4, 5]


async def test_what_is_in_a_stream_from_before_the_run_is_not_heard(
    port: int, client: Any, stored: str
) -> None:
    await client.jetstream().publish(stored, b'{"n": 0}')
    await asyncio.sleep(0.1)
    since = datetime.now(UTC).timestamp()
    await client.jetstream().publish(stored, b'{"n": 1}')
    (message,) = await received(notes(port, stored)[f"{BASE}#noted"], 1, since=since)
    assert message["payload"] == {"n": 1}


async def test_who_is_not_let_in_gets_an_authentication_fault(run: Any, tmp_path: Path) -> None:
    with nats_server(tmp_path, "--user", "leo", "--pass", "secret") as port:
        for password, status in (("secret", "completed"), ("wrong", "faulted")):
            rest = f", authentication: {{basic: {{username: leo, password: {password}}}}}"
            ended = await run(publishing(rest=rest), {"n": 1}, resources=notes(port, "a"))
            assert ended.status == status, ended.error
        assert (kind(ended.error), ended.error["status"]) == ("authentication", 401)


@pytest.mark.filterwarnings("ignore:Exception ignored in. <function StreamWriter")
async def test_tls_is_verified_for_the_host_that_the_document_names(tmp_path: Path) -> None:
    ca = trustme.CA()
    certificate = ca.issue_cert("broker.example")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ["--tls", "--tlscert", str(tmp_path / "cert.pem"), "--tlskey", str(tmp_path / "key.pem")]
    with nats_server(tmp_path / "data", *tls) as port:
        connect_to = {"broker.example:4222": f"127.0.0.1:{port}"}
        there = await nats.connect(
            f"tls://127.0.0.1:{port}", tls=_trusting(tmp_path), tls_hostname="broker.example"
        )
        await there.jetstream().add_stream(name="s", subjects=["s"])
        await there.jetstream().publish("s", b'{"n": 1}')
        operation = pinned(asyncapi("nats", "broker.example", address="s"))[f"{BASE}#noted"]
        (message,) = await received(operation, 1, ca_file=tmp_path / "ca.pem", connect_to=connect_to)
        assert message["payload"] == {"n": 1}
        await there.close()
        del there
        await asyncio.sleep(0.1)
        gc.collect()  # the library leaves streams of before TLS behind, which close themselves while there is a loop


def _trusting(folder: Path) -> Any:
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))


async def test_what_does_not_fit_is_heard_and_told_in_the_log(
    port: int, client: Any, stored: str, caplog: pytest.LogCaptureFixture
) -> None:
    await client.jetstream().publish(stored, b'{"n": "one"}')
    await client.jetstream().publish(stored, b"\xff\xfe no JSON")
    schema = {"type": "object", "properties": {"n": {"type": "number"}}}
    operation = notes(port, stored, message={"payload": schema})[f"{BASE}#noted"]
    first, second = await received(operation, 2)
    assert first["payload"] == {"n": "one"}
    assert second["payload"] == base64.b64encode(b"\xff\xfe no JSON").decode()
    assert "/do/0/hear: what came does not fit: /payload/n" in caplog.text


async def consumed(client: Any, number: int) -> None:
    """Return when a consumer of the stream is there and has acknowledged *number* messages."""
    async with asyncio.timeout(60):
        while True:
            consumers = await client.jetstream().consumers_info("s")
            if consumers and consumers[0].ack_floor.stream_seq >= number:
                return
            await asyncio.sleep(0.05)


async def test_a_broker_that_comes_back_is_connected_to_again(run: Any, tmp_path: Path) -> None:
    with nats_server(tmp_path) as port:
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        await client.jetstream().add_stream(name="s", subjects=["s"])
        text = subscribing("{filter: '${ .payload.n > 0 }', consume: {amount: 2}}")
        running = asyncio.create_task(run(text, resources=notes(port, "s")))
        await consumed(client, 0)
        await client.jetstream().publish("s", b'{"n": 0}')
        await client.jetstream().publish("s", b'{"n": 1}')
        await consumed(client, 2)
        await client.close()
    with nats_server(tmp_path, port=port):
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        await client.jetstream().publish("s", b'{"n": 2}')
        ended = await running
        await client.close()
    assert ended.status == "completed", ended.error
    assert [message["payload"]["n"] for message in ended.output] == [1, 2]
