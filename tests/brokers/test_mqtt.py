"""Messages over MQTT 3.1.1 and 5, directly: a real broker, on both runtimes."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import trustme
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.brokers.bridge import received, sent
from tests.brokers.documents import BASE, asyncapi, pinned, publishing, subscribing
from tests.brokers.hearer import heard, hearing, told
from tests.brokers.sender import event, sending
from tests.brokers.servers import mosquitto
from tests.semantics.v1.documents import kind
from workflow_engine.errors import Rejected, Unavailable
from workflow_engine.events.targets import Drop

VERSIONS = ["3.1.1", "5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mqtt")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    with mosquitto(folder) as port:
        yield port


class Peer:
    """Another client of the broker: it keeps what it hears."""

    def __init__(self, port: int) -> None:
        self.heard: list[Any] = []
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.arrived = threading.Event()
        self.client.on_message = lambda c, u, message: (self.heard.append(message), self.arrived.set())
        subscribed = threading.Event()
        self.client.on_subscribe = lambda *given: subscribed.set()
        self.subscribed = subscribed
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def listen(self, topic: str) -> None:
        self.client.subscribe(topic, 1)
        assert self.subscribed.wait(20)

    def send(self, topic: str, n: int, id: str | None = None) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("trace", f"t-{n}"), *([("idempotency-key", id)] if id else [])]
        self.client.publish(topic, json.dumps({"n": n}).encode(), 1, properties=properties).wait_for_publish(
            20
        )


@pytest.fixture
def peer(port: int) -> Iterator[Peer]:
    connected = Peer(port)
    yield connected
    connected.client.disconnect()
    connected.client.loop_stop()


@pytest.fixture
def topic() -> str:
    return f"notes/{uuid.uuid4().hex[:8]}"


def notes(port: int, address: str, version: str = "5", **more: Any) -> dict[str, Any]:
    more.setdefault("protocolVersion", version)
    return pinned(asyncapi("mqtt", f"127.0.0.1:{port}", address=address, **more))


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_message_is_published(run: Any, port: int, peer: Peer, topic: str, version: str) -> None:
    peer.listen(topic)
    headers = ", headers: {trace: t-1}" if version == "5" else ""
    text = publishing("{payload: {n: '${ .n }'}" + headers + "}")
    ended = await run(text, {"n": 7}, resources=notes(port, topic, version))
    assert (ended.status, ended.output) == ("completed", {"n": 7}), ended.error
    await asyncio.to_thread(peer.arrived.wait, 20)
    (message,) = peer.heard
    assert json.loads(message.payload) == {"n": 7}
    assert message.qos == 1
    if version == "5":
        properties = dict(message.properties.UserProperty)
        assert properties == {"trace": "t-1", "idempotency-key": f"{ended.run_id}/do/0/send"}
        assert message.properties.ContentType == "application/json"


async def test_headers_without_version_5_are_a_fault(run: Any, port: int, topic: str) -> None:
    ended = await run(publishing("{headers: {a: b}, payload: {n: 1}}"), resources=notes(port, topic, "3.1.1"))
    assert kind(ended.error) == "configuration"
    assert "version 5" in ended.error["detail"]


async def test_the_bindings_say_how_a_message_is_published(
    run: Any, port: int, peer: Peer, topic: str
) -> None:
    bindings = {"bindings": {"mqtt": {"qos": 2, "retain": True}}}
    ended = await run(publishing(), {"n": 7}, resources=notes(port, topic, operation=bindings))
    assert ended.status == "completed", ended.error
    peer.listen(topic)
    await asyncio.to_thread(peer.arrived.wait, 20)
    assert peer.heard[0].retain


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_subscription_takes_messages_as_they_come(
    run: Any, port: int, peer: Peer, topic: str, version: str
) -> None:
    async def send() -> None:
        for n in itertools.count():
            await asyncio.sleep(0.05)
            peer.send(f"{topic}/x", n)

    sending = asyncio.create_task(send())
    document = notes(port, topic + "/{room}", version, channel={"parameters": {"room": {}}})
    ended = await run(subscribing("{consume: {amount: 3}}"), resources=document)
    sending.cancel()
    assert ended.status == "completed", ended.error
    first = ended.output[0]["payload"]["n"]
    assert [message["payload"]["n"] for message in ended.output] == [first, first + 1, first + 2]
    assert ended.output[0]["headers"] == ({"trace": f"t-{first}"} if version == "5" else {})


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_worker_that_dies_loses_no_message_and_doubles_none_that_has_an_id(
    folder: Path, port: int, peer: Peer, topic: str, version: str
) -> None:
    operation = notes(port, topic, version)[f"{BASE}#noted"]

    async def send() -> None:
        while topic not in (folder / "log").read_text():  # noqa: ASYNC110 - of what is subscribed to
            await asyncio.sleep(0.02)
        for n in range(6):
            peer.send(topic, n, id=f"{topic}-{n}")

    sending = asyncio.create_task(send())
    wanted = 6 if version == "5" else 7  # without an id, the message that was on its way comes as another one
    messages = await received(operation, wanted, dies_after=(2,))
    await sending
    found = [message["payload"]["n"] for message in messages]
    assert found == ([0, 1, 2, 3, 4, 5] if version == "5" else [0, 1, 1, 2, 3, 4, 5])


async def test_who_is_not_let_in_gets_an_authentication_fault(run: Any, tmp_path: Path) -> None:
    with mosquitto(tmp_path, password=("leo", "secret")) as port:
        for password, version, status in (
            ("secret", "5", "completed"),
            ("no", "5", "faulted"),
            ("no", "3", "faulted"),
        ):
            rest = f", authentication: {{basic: {{username: leo, password: {password}}}}}"
            ended = await run(publishing(rest=rest), {"n": 1}, resources=notes(port, "a", version))
            assert ended.status == status, ended.error
            if status == "faulted":
                assert (kind(ended.error), ended.error["status"]) == ("authentication", 401)


@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
async def test_tls_is_verified_for_the_host_that_the_document_names(tmp_path: Path) -> None:
    ca = trustme.CA()
    certificate = ca.issue_cert("broker.example")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    with mosquitto(tmp_path, tls=(tmp_path / "cert.pem", tmp_path / "key.pem")) as port:
        connect_to = {"broker.example:8883": f"127.0.0.1:{port}"}
        retained = {"bindings": {"mqtt": {"retain": True}}}
        document = asyncapi("mqtts", "broker.example", address="a", operation=retained, protocolVersion="5")
        operations = pinned(document)
        way = {"ca_file": tmp_path / "ca.pem", "connect_to": connect_to}
        await sent(operations[f"{BASE}#note"], {"n": 1}, **way)
        (message,) = await received(operations[f"{BASE}#noted"], 1, **way)
        assert message["payload"] == {"n": 1}
        with pytest.raises(Exception, match="certificate verify failed"):
            await received(operations[f"{BASE}#noted"], 1, connect_to=connect_to)
        gc.collect()  # the library leaves the socket to the garbage collector


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_source_hears_what_is_published_also_while_it_was_away(
    port: int, peer: Peer, version: str, tmp_path: Path
) -> None:
    topic, store = f"t-{uuid.uuid4().hex[:8]}", f"sqlite:///{tmp_path / 'events.db'}"
    schema = {"message": {"payload": {"type": "object", "required": ["n"]}}}
    more = json.dumps({"protocolVersion": version, **schema})

    def send(body: bytes, content_type: str | None = None, **properties: str) -> None:
        given = Properties(PacketTypes.PUBLISH)
        given.UserProperty = list(properties.items())
        if content_type is not None:
            given.ContentType = content_type
        peer.client.publish(topic, body, 1, properties=given).wait_for_publish(5)

    given = event(2, "e-2")
    async with hearing(store, "mqtt", port, topic, more) as router:
        peer.send(topic, 0, "i-0")
        (first,) = await heard(router, 1)
        assert (first["data"], first["type"]) == ({"n": 0}, "note")
        assert (first["id"], first.get("trace")) == ("i-0", "t-0") if version == "5" else first["id"] != "i-0"
    peer.send(topic, 1, "i-1")
    async with hearing(store, "mqtt", port, topic, more) as router:
        send(json.dumps(given).encode())
        binary = {"specversion": "1.0", "id": "e-3", "source": "/shop", "type": "noted"}
        send(b'{"n": 3}', "application/json", **binary, **{"idempotency-key": "i-3"})
        send(b'{"m": 4}')
        events = await heard(router, 4)
        assert [each["data"]["n"] for each in events] == [0, 1, 2, 3]
        assert events[2] == given
        assert version != "5" or events[3]["id"] == "e-3"
        (letter,) = await heard(router, 1, "dead-letters")
        assert letter["data"] == {"m": 4}


async def test_an_event_is_sent_with_properties_or_before_mqtt_5_whole(
    port: int, peer: Peer, topic: str
) -> None:
    peer.listen(topic)
    new, old = (
        asyncapi("mqtt", f"127.0.0.1:{port}", address=topic, protocolVersion=each) for each in ("5", "3.1.1")
    )
    async with sending(new, mode="binary") as deliver:
        await deliver("i-1", event(1))
    async with sending(old, mode="structured") as deliver:
        await deliver("i-2", event(2))
    async with asyncio.timeout(10):
        while len(peer.heard) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    first, second = peer.heard
    properties = dict(first.properties.UserProperty)
    assert (json.loads(first.payload), properties["id"], properties["idempotency-key"]) == (
        {"n": 1},
        "e-1",
        "i-1",
    )
    assert json.loads(second.payload) == event(2)
    with pytest.raises(Rejected, match="from version 5 on"):
        async with sending(old, mode="binary"):
            pass


def quick_to_end(router: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store be away, and who hears not wait for it when it is to end."""

    async def away(channel: str, events: Any) -> Any:
        raise Unavailable("the disk is full")

    monkeypatch.setattr("workflow_engine.calls.brokers.ear.SETTLING", 0.1)
    monkeypatch.setattr(router, "publish", away)


async def test_what_is_sent_exactly_once_is_not_lost_that_came_and_could_not_be_stored(
    port: int, peer: Peer, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a quality of service of 2 the broker would let it go when the library has it, in memory."""
    store = f"sqlite:///{tmp_path / 'events.db'}"
    more = json.dumps({"protocolVersion": "5", "operation": {"bindings": {"mqtt": {"qos": 2}}}})
    async with hearing(store, "mqtt", port, topic, more) as router:
        quick_to_end(router, monkeypatch)
        peer.client.publish(topic, b'{"n": 1}', 2).wait_for_publish(20)
        await told(router, lambda found: found.get("state") == "held")
    async with hearing(store, "mqtt", port, topic, more) as router:
        assert [each["data"] for each in await heard(router, 1)] == [{"n": 1}]


@pytest.mark.parametrize("quality", [0, 1])
async def test_what_comes_is_bounded_while_the_store_is_away_and_only_what_no_broker_keeps_is_lost(
    port: int, peer: Peer, topic: str, monkeypatch: pytest.MonkeyPatch, quality: int
) -> None:
    monkeypatch.setattr("workflow_engine.calls.brokers.mqtt._PENDING", 5)
    monkeypatch.setattr("workflow_engine.calls.brokers.hearing.TELLING", 0.2)
    more = {"protocolVersion": "5", "operation": {"bindings": {"mqtt": {"qos": quality}}}}
    async with hearing("memory:", "mqtt", port, topic, json.dumps(more)) as router:
        with monkeypatch.context() as patched:
            quick_to_end(router, patched)
            peer.send(topic, 0, "i-0")
            await told(router, lambda found: found.get("state") == "held")
            for n in range(1, 16):
                message = json.dumps({"n": n}).encode()
                peer.client.publish(topic, message, quality).wait_for_publish(20)
            if quality == 0:
                await told(router, lambda found: found.get("dropped") == 10)
        events = await heard(router, 16 if quality else 6)
        assert [each["data"]["n"] for each in events] == list(range(16 if quality else 6))


async def test_what_an_old_broker_retains_is_one_event_however_often_it_is_connected_to(
    port: int, peer: Peer, topic: str, tmp_path: Path
) -> None:
    peer.client.publish(topic, b'{"n": 1}', 1, retain=True).wait_for_publish(20)
    store = f"sqlite:///{tmp_path / 'events.db'}"
    more = json.dumps({"protocolVersion": "3.1.1"})
    async with hearing(store, "mqtt", port, topic, more) as router:
        await heard(router, 1)
    async with hearing(store, "mqtt", port, topic, more) as router:
        peer.send(topic, 2)
        assert [each["data"]["n"] for each in await heard(router, 2)] == [1, 2]


async def test_a_message_that_the_broker_finds_too_large_is_given_up_at_once(tmp_path: Path) -> None:
    with mosquitto(tmp_path, "max_packet_size 2000") as port:
        document = asyncapi("mqtt", f"127.0.0.1:{port}", address="a", protocolVersion="5")
        async with sending(document) as deliver:
            with pytest.raises(Drop, match="larger than the broker takes"):
                await deliver("i-1", event("x" * 3000))
            await deliver("i-2", event("x" * 1000))
