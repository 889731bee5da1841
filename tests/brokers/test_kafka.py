"""Messages over Kafka, directly: a real broker of one node, on both runtimes."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from tests.brokers.bridge import received, sent
from tests.brokers.documents import BASE, asyncapi, pinned, publishing, subscribing
from tests.brokers.hearer import heard, hearing, killed_at_the_end
from tests.brokers.hearer import notes as numbers
from tests.brokers.sender import event, sending
from tests.brokers.servers import kafka
from tests.calls.faults import fault_of
from tests.events.conftest import eventually
from tests.semantics.v1.documents import kind
from workflow_engine.events.targets import Drop


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    with kafka(tmp_path_factory.mktemp("kafka")) as ports:
        yield ports


@pytest.fixture
def port(ports: tuple[int, int]) -> int:
    return ports[0]


@pytest.fixture
async def producer(port: int) -> AsyncIterator[Any]:
    made = AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{port}", acks="all")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def topic() -> str:
    return f"notes.{uuid.uuid4().hex[:8]}"


def notes(port: int, address: str, **more: Any) -> dict[str, Any]:
    return pinned(asyncapi("kafka", f"127.0.0.1:{port}", address=address, **more))


async def put(producer: Any, topic: str, *numbers: int) -> None:
    for n in numbers:
        await producer.send_and_wait(topic, json.dumps({"n": n}).encode(), key=b"k", headers=[("x", b"y")])


async def records(port: int, topic: str, count: int) -> list[Any]:
    """The first ones of the topic; the timeout of the test is the limit."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=f"127.0.0.1:{port}", auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


async def first(port: int, topic: str) -> Any:
    (record,) = await records(port, topic, 1)
    return record


@pytest.mark.parametrize("key", ["header", "constant", "none"])
async def test_a_message_is_a_record_with_headers_and_a_key(
    run: Any, port: int, topic: str, key: str
) -> None:
    declared = {"header": {"type": "string"}, "constant": {"const": "k-7"}}.get(key)
    binding = {} if declared is None else {"bindings": {"kafka": {"key": declared}}}
    headers = "{trace: t-1, key: k-7}" if key == "header" else "{trace: t-1}"
    text = publishing("{payload: {n: '${ .n }'}, headers: " + headers + "}")
    ended = await run(text, {"n": 7}, resources=notes(port, topic, message=binding))
    assert (ended.status, ended.output) == ("completed", {"n": 7}), ended.error
    record = await first(port, topic)
    assert (json.loads(record.value), record.key) == ({"n": 7}, None if key == "none" else b"k-7")
    assert {name: value.decode() for name, value in record.headers} == {
        "trace": "t-1",
        "content-type": "application/json",
        "idempotency-key": f"{ended.run_id}/do/0/send",
    }


async def test_a_subscription_takes_records_since_the_run_started(
    run: Any, port: int, producer: Any, topic: str
) -> None:
    await put(producer, topic, 1)
    await asyncio.sleep(0.05)

    async def send() -> None:
        for n in itertools.count(2):
            await put(producer, topic, n)
            await asyncio.sleep(0.05)

    subscription = "{filter: '${ .payload.n % 2 == 1 }', consume: {amount: 2}}"
    running = asyncio.create_task(run(subscribing(subscription), resources=notes(port, topic)))
    sending = asyncio.create_task(send())
    ended = await running
    sending.cancel()
    assert ended.status == "completed", ended.error
    first, second = (message["payload"]["n"] for message in ended.output)
    assert 1 < first == second - 2
    assert ended.output[0]["headers"] == {"x": "y", "key": "k"}


async def test_a_subscription_of_a_group_goes_on_where_the_group_was(
    run: Any, port: int, producer: Any, topic: str
) -> None:
    await put(producer, topic, 0, 1, 2)
    group = {"bindings": {"kafka": {"groupId": {"const": f"g-{topic}"}}}}
    for expected in ([0, 1], [2]):
        text = subscribing(f"{{consume: {{amount: {len(expected)}}}}}")
        ended = await run(text, resources=notes(port, topic, operation=group))
        assert ended.status == "completed", ended.error
        assert [message["payload"]["n"] for message in ended.output] == expected


async def test_a_worker_that_dies_loses_and_doubles_no_record(port: int, producer: Any, topic: str) -> None:
    since = datetime.now(UTC).timestamp()
    await put(producer, topic, *range(6))
    messages = await received(notes(port, topic)[f"{BASE}#noted"], 6, dies_after=(2, 5), since=since)
    assert [message["payload"]["n"] for message in messages] == [0, 1, 2, 3, 4, 5]


async def test_who_is_not_let_in_gets_an_authentication_fault(
    run: Any, ports: tuple[int, int], topic: str
) -> None:
    for password, status in (("secret", "completed"), ("wrong", "faulted")):
        rest = f", authentication: {{basic: {{username: leo, password: {password}}}}}"
        ended = await run(publishing(rest=rest), {"n": 1}, resources=notes(ports[1], topic))
        assert ended.status == status, ended.error
    assert (kind(ended.error), ended.error["status"]) == ("authentication", 401)


async def test_a_topic_that_cannot_be_is_a_fault(run: Any, port: int) -> None:
    ended = await run(publishing(), {"n": 1}, resources=notes(port, "a topic/with all"))
    assert kind(ended.error) == "configuration"


async def test_a_host_that_the_broker_names_is_held_to_the_rules_too(port: int, topic: str) -> None:
    """The document names a host that may be called; the broker says that the topic is at 127.0.0.1."""
    operation = pinned(asyncapi("kafka", "broker.example", address=topic))[f"{BASE}#note"]
    way = {"connect_to": {"broker.example:9092": f"127.0.0.1:{port}"}, "allowed_hosts": ["broker.example"]}
    await fault_of(sent(operation, {"n": 1}, timeout=2.0, **way), "communication")
    way["allowed_hosts"] = ["broker.example", "127.0.0.1"]
    await sent(operation, {"n": 1}, **way)


SCHEMA = json.dumps({"message": {"payload": {"type": "object", "required": ["n"]}}})


async def test_records_become_events_in_order_with_their_keys_and_what_does_not_fit_a_dead_letter(
    port: int, topic: str, producer: Any
) -> None:
    binary = {
        "ce_specversion": "1.0", "ce_id": "e-1", "ce_source": "/shop", "ce_type": "noted", "ce_shop": "50% café",
        "content-type": "application/json",
    }  # fmt: skip
    structured = {"specversion": "1.0", "id": "e-2", "source": "/shop", "type": "noted", "data": {"n": 3}}
    await put(producer, topic, 0)
    async with hearing("memory:", "kafka", port, topic, SCHEMA, start="earliest") as router:
        await put(producer, topic, 1)
        await producer.send_and_wait(topic, b'{"m": 1}', headers=[("none", None)])
        headers = [(name, value.encode()) for name, value in binary.items()]
        await producer.send_and_wait(topic, b'{"n": 2}', headers=headers)
        kind = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
        await producer.send_and_wait(topic, json.dumps(structured).encode(), headers=kind)
        events = await heard(router, 4)
        assert [event["data"]["n"] for event in events] == [0, 1, 2, 3]
        assert (events[1]["type"], events[1]["partitionkey"], events[1]["x"]) == ("note", "k", "y")
        assert events[1]["id"].startswith(f"{topic}/0/1@")
        assert (events[2]["id"], events[2]["source"], events[2]["shop"]) == ("e-1", "/shop", "50% café")
        assert events[3] == structured
        (letter,) = await heard(router, 1, "dead-letters")
        assert (letter["dlqcode"], letter["data"]) == ("schema", {"m": 1})


async def test_a_process_that_is_killed_loses_and_doubles_no_record(
    port: int, topic: str, producer: Any, tmp_path: Path
) -> None:
    where = (f"sqlite:///{tmp_path / 'events.db'}", "kafka", port, topic)
    await put(producer, topic, -1)

    async def send() -> None:
        for n in range(0, 1000, 50):
            await asyncio.gather(
                *(producer.send_and_wait(topic, json.dumps({"n": n + m}).encode()) for m in range(50))
            )

    async with killed_at_the_end(*where, "{}"):
        sending = asyncio.create_task(send())
        await asyncio.sleep(0.2)
    async with hearing(*where) as router:
        await sending
        await heard(router, 1000)
        assert await numbers(router) == list(range(1000))


async def test_an_event_is_sent_as_a_record_with_its_key_in_each_mode(port: int, topic: str) -> None:
    document = asyncapi("kafka", f"127.0.0.1:{port}", address=topic)
    sent = event(1, partitionkey="p-1", shop="50% café")
    async with sending(document, mode="binary") as deliver:
        await deliver("i-1", sent)
    async with sending(document, mode="structured", key="${ .id }") as deliver:
        await deliver("i-2", sent)
    binary, structured = await records(port, topic, 2)
    headers = dict(binary.headers)
    assert (binary.key, json.loads(binary.value)) == (b"p-1", {"n": 1})
    assert (headers["ce_id"], headers["ce_shop"].decode()) == (b"e-1", "50% café")
    assert headers["idempotency-key"] == b"i-1"
    assert (structured.key, json.loads(structured.value)) == (b"e-1", sent)


async def test_an_event_without_data_is_a_record_without_a_value_and_comes_back_as_it_was(
    port: int, topic: str
) -> None:
    """Binding of Kafka, 3.2.2: where a topic is compacted, that is what deletes."""
    gone = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "noted", "partitionkey": "k"}
    document = asyncapi("kafka", f"127.0.0.1:{port}", address=topic, message={"payload": {}})
    async with sending(document, mode="binary") as deliver:
        await deliver("i-1", gone)
    record = await first(port, topic)
    assert (record.key, record.value, dict(record.headers).get("content-type")) == (b"k", None, None)
    more = json.dumps({"message": {"payload": {}}})
    async with hearing("memory:", "kafka", port, topic, more, start="earliest") as router:
        (event,) = await heard(router, 1)
        assert event == gone


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_records_are_read_however_they_are_compressed(port: int, topic: str, codec: str) -> None:
    compressed = AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{port}", compression_type=codec)
    await compressed.start()
    await compressed.send_and_wait(topic, b'{"n": 1}')
    await compressed.stop()
    async with hearing("memory:", "kafka", port, topic, start="earliest") as router:
        assert [event["data"] for event in await heard(router, 1)] == [{"n": 1}]


async def test_a_record_that_the_broker_finds_too_large_is_given_up_at_once(port: int, topic: str) -> None:
    async with sending(asyncapi("kafka", f"127.0.0.1:{port}", address=topic)) as deliver:
        with pytest.raises(Drop, match="larger than the broker takes"):
            await deliver("i-1", event("x" * 1_100_000))


async def test_a_topic_that_is_deleted_is_told_of(port: int, topic: str, producer: Any) -> None:
    """The client would wait for one for ever."""
    await put(producer, topic, 0)
    administrator = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
    await administrator.start()
    try:
        async with hearing("memory:", "kafka", port, topic, start="earliest") as router:
            await heard(router, 1)
            await administrator.delete_topics([topic])

            async def is_told() -> bool:
                if "no such topic" in str((await router.source_note("notes")).get("last_error")):
                    return True
                await asyncio.sleep(0.5)
                await administrator.delete_topics([topic])  # who asks for it has the broker make it again
                return False

            await eventually(is_told)
    finally:
        await administrator.close()
