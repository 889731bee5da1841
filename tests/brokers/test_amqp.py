"""Messages over AMQP 0-9-1, directly: a real RabbitMQ, on both runtimes."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest
import trustme

from tests.brokers.bridge import received, sent
from tests.brokers.documents import BASE, asyncapi, pinned, publishing, subscribing
from tests.brokers.hearer import heard, hearing
from tests.brokers.sender import event, sending
from tests.brokers.servers import alarm, rabbitmq
from tests.semantics.v1.documents import kind, workflow
from workflow_engine.calls.brokers import amqp
from workflow_engine.events.targets import Retry


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("amqp")


@pytest.fixture(scope="module")
def ports(folder: Path) -> Iterator[tuple[int, int | None]]:
    ca = trustme.CA()
    certificate = ca.issue_cert("broker.example")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    with rabbitmq(folder, tls=(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")) as ports:
        yield ports


@pytest.fixture
def port(ports: tuple[int, int | None]) -> int:
    return ports[0]


@pytest.fixture
async def channel(port: int) -> AsyncIterator[Any]:
    connection = await aio_pika.connect(port=port)
    yield await connection.channel()
    await connection.close()


@pytest.fixture
async def queue(channel: Any) -> Any:
    return await channel.declare_queue(f"q-{uuid.uuid4().hex[:8]}", durable=True)


@pytest.fixture
async def exchange(channel: Any) -> Any:
    return await channel.declare_exchange(f"x-{uuid.uuid4().hex[:8]}", "topic", durable=True)


def notes(port: int, address: str, **more: Any) -> dict[str, Any]:
    return pinned(asyncapi("amqp", f"127.0.0.1:{port}", address=address, **more))


def of(exchange: Any) -> dict[str, Any]:
    binding = {"is": "routingKey", "exchange": {"name": exchange.name, "type": "topic"}}
    return {"bindings": {"amqp": binding}}


async def waited(queue: Any) -> Any:
    """The next message of *queue*, which may still have to come back to it."""
    messages: asyncio.Queue[Any] = asyncio.Queue()
    await queue.consume(messages.put, no_ack=True)
    return await asyncio.wait_for(messages.get(), 20)


async def put(channel: Any, queue: Any, *numbers: int) -> None:
    for n in numbers:
        message = aio_pika.Message(json.dumps({"n": n}).encode(), message_id=f"m-{n}", headers={"x": 1})
        await channel.default_exchange.publish(message, queue.name)


async def test_a_message_for_a_queue_is_there_with_its_headers(run: Any, port: int, queue: Any) -> None:
    text = publishing("{payload: {n: '${ .n }'}, headers: {trace: t-1}}")
    ended = await run(text, {"n": 7}, resources=notes(port, queue.name))
    assert (ended.status, ended.output) == ("completed", {"n": 7}), ended.error
    message = await queue.get(timeout=30)
    await message.ack()
    assert json.loads(message.body) == {"n": 7}
    assert (message.headers["trace"], message.content_type) == ("t-1", "application/json")
    assert message.message_id == f"{ended.run_id}/do/0/send"
    assert message.delivery_mode == 2


async def test_a_message_without_a_queue_is_a_fault(run: Any, port: int) -> None:
    ended = await run(publishing(), {"n": 7}, resources=notes(port, "nowhere"))
    assert (kind(ended.error), ended.error["status"]) == ("communication", 404)
    ended = await run(subscribing("{consume: {amount: 1}}"), resources=notes(port, "nowhere"))
    assert (kind(ended.error), ended.error["status"]) == ("communication", 404)


async def test_a_message_for_an_exchange_goes_by_its_routing_key(
    run: Any, port: int, queue: Any, exchange: Any
) -> None:
    await queue.bind(exchange, "notes.*")
    ended = await run(publishing(), {"n": 7}, resources=notes(port, "notes.new", channel=of(exchange)))
    assert ended.status == "completed", ended.error
    message = await queue.get(timeout=30)
    await message.ack()
    assert (json.loads(message.body), message.routing_key) == ({"n": 7}, "notes.new")


async def test_a_subscription_takes_what_it_wants_and_leaves_the_rest(
    run: Any, port: int, channel: Any, queue: Any
) -> None:
    await put(channel, queue, 0, 1, 2, 3)
    subscription = "{filter: '${ .payload.n != 1 }', consume: {amount: 2}}"
    ended = await run(subscribing(subscription), resources=notes(port, queue.name))
    assert ended.status == "completed", ended.error
    assert [message["payload"]["n"] for message in ended.output] == [0, 2]
    assert ended.output[0]["headers"] == {"x": 1}
    left = await waited(queue)
    assert json.loads(left.body) == {"n": 3}


async def test_a_subscription_to_an_exchange_has_a_queue_of_its_own(
    run: Any, port: int, exchange: Any
) -> None:
    async def send() -> None:
        for n in itertools.count():
            await exchange.publish(aio_pika.Message(json.dumps({"n": n}).encode()), "notes.lobby")
            await asyncio.sleep(0.05)

    sending = asyncio.create_task(send())
    document = notes(port, "notes.{room}", channel={**of(exchange), "parameters": {"room": {}}})
    ended = await run(subscribing("{consume: {while: '${ length < 3 }'}}"), resources=document)
    sending.cancel()
    assert ended.status == "completed", ended.error
    first = ended.output[0]["payload"]["n"]
    assert [message["payload"]["n"] for message in ended.output] == [first, first + 1, first + 2]


async def test_a_worker_that_dies_loses_and_doubles_no_message(port: int, channel: Any, queue: Any) -> None:
    await put(channel, queue, 0, 1, 2, 3, 4)
    messages = await received(notes(port, queue.name)[f"{BASE}#noted"], 5, dies_after=(2,))
    assert [message["payload"]["n"] for message in messages] == [0, 1, 2, 3, 4]


async def test_who_is_not_let_in_gets_an_authentication_fault(run: Any, port: int, queue: Any) -> None:
    rest = ", authentication: {basic: {username: guest, password: wrong}}"
    for text in (publishing(rest=rest), subscribing("{consume: {amount: 1}}", rest=rest)):
        ended = await run(text, {"n": 1}, resources=notes(port, queue.name))
        assert (kind(ended.error), ended.error["status"]) == ("authentication", 401)


async def test_tls_is_verified_for_the_host_that_the_document_names(
    ports: Any, folder: Path, queue: Any
) -> None:
    way = {"ca_file": folder / "ca.pem", "connect_to": {"broker.example:5671": f"127.0.0.1:{ports[1]}"}}
    operations = pinned(asyncapi("amqps", "broker.example", address=queue.name))
    await sent(operations[f"{BASE}#note"], {"n": 1}, **way)
    (message,) = await received(operations[f"{BASE}#noted"], 1, **way)
    assert message["payload"] == {"n": 1}
    with pytest.raises(Exception, match=r"(?i)certificate"):
        await sent(operations[f"{BASE}#note"], {"n": 1}, connect_to=way["connect_to"])


async def test_what_a_subscription_did_not_want_any_more_is_there_for_the_next_one(
    run: Any, port: int, channel: Any, queue: Any
) -> None:
    await put(channel, queue, *range(6))
    given = f"operation: '{BASE}#noted', server: {{name: here}}"
    some = f"call: asyncapi, with: {{{given}, subscription: {{consume: {{while: '${{ length < 2 }}'}}}}}}"
    rest = f"call: asyncapi, with: {{{given}, subscription: {{consume: {{amount: 4}}}}}}"
    text = workflow(f"do: [{{some: {{{some}}}}}, {{rest: {{{rest}, output: {{as: '[$input, .]'}}}}}}]")
    ended = await run(text, resources=notes(port, queue.name))
    assert ended.status == "completed", ended.error
    first, second = ([message["payload"]["n"] for message in each] for each in ended.output)
    assert first == [0, 1]
    assert sorted(second) == [2, 3, 4, 5]


SCHEMA = {"message": {"payload": {"type": "object", "required": ["n"]}}}


async def test_a_source_takes_a_queue_and_acknowledges_what_is_stored(
    port: int, channel: Any, queue: Any
) -> None:
    async def send(body: bytes, **properties: Any) -> None:
        await channel.default_exchange.publish(aio_pika.Message(body, **properties), queue.name)

    binary = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "noted"}
    await send(b'{"n": 0}', message_id="m-0", headers={"trace": "t"})
    async with hearing("memory:", "amqp", port, queue.name, json.dumps(SCHEMA)) as router:
        await send(b'{"n": 0}', message_id="m-0")
        await send(b'{"m": 1}', message_id="m-1")
        for prefix in ("cloudEvents_", "cloudEvents:", "ce-"):
            headers = {prefix + name: value for name, value in binary.items()}
            await send(b'{"n": 1}', headers=headers, content_type="application/json")
        await send(b'{"n": 2}')
        events = await heard(router, 3)
        assert [event["data"]["n"] for event in events] == [0, 1, 2], "m-0 and e-1 are one event each"
        assert (events[0]["id"], events[0]["trace"], events[1]["id"]) == ("m-0", "t", "e-1")
        (letter,) = await heard(router, 1, "dead-letters")
        assert letter["dlqcode"] == "schema"
    assert (await channel.get_queue(queue.name)).declaration_result.message_count == 0


async def test_a_source_of_an_exchange_has_a_queue_that_keeps_what_comes_while_nobody_hears(
    port: int, channel: Any, exchange: Any, tmp_path: Path
) -> None:
    store, more = f"sqlite:///{tmp_path / 'events.db'}", json.dumps({"channel": of(exchange)})
    async with hearing(store, "amqp", port, "notes", more):
        pass
    for n in range(300):
        await exchange.publish(aio_pika.Message(json.dumps({"n": n}).encode(), message_id=f"m-{n}"), "notes")
    async with hearing(store, "amqp", port, "notes", more) as router:
        assert [event["data"]["n"] for event in await heard(router, 300)] == list(range(300))


async def test_a_queue_that_is_deleted_is_told_of_and_heard_when_it_is_there_again(
    port: int, channel: Any, queue: Any
) -> None:
    """The broker ends the subscription alone, and the connection stays."""
    async with hearing("memory:", "amqp", port, queue.name) as router:
        await put(channel, queue, 0)
        await heard(router, 1)
        await channel.queue_delete(queue.name)
        again = await channel.declare_queue(queue.name, durable=True)
        await put(channel, again, 1)
        assert [each["data"]["n"] for each in await heard(router, 2)] == [0, 1]


async def test_a_broker_that_keeps_silent_over_a_channel_is_connected_to_anew(
    port: int, channel: Any, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp, "_SECONDS", 2.0)
    opened, asked = aio_pika.Connection.channel, itertools.count()

    async def silent_at_first(connection: Any, *given: Any, **named: Any) -> Any:
        if next(asked) == 0:
            await asyncio.Event().wait()
        return await opened(connection, *given, **named)

    monkeypatch.setattr(aio_pika.Connection, "channel", silent_at_first)
    async with hearing("memory:", "amqp", port, queue.name) as router:
        await put(channel, queue, 0)
        assert [each["data"]["n"] for each in await heard(router, 1)] == [0]


async def test_a_queue_that_somebody_made_for_the_group_stays_as_it_is(
    port: int, channel: Any, exchange: Any
) -> None:
    name = f"g-{uuid.uuid4().hex[:8]}"
    await channel.declare_queue(name, durable=True, arguments={"x-max-length": 10})
    more = json.dumps({"channel": of(exchange)})
    async with hearing("memory:", "amqp", port, "notes", more, group=name) as router:
        await exchange.publish(aio_pika.Message(b'{"n": 1}'), "notes")
        assert [each["data"] for each in await heard(router, 1)] == [{"n": 1}]


async def test_an_event_is_sent_to_a_queue_and_tried_again_while_there_is_none(
    port: int, channel: Any
) -> None:
    name = f"q-{uuid.uuid4().hex[:8]}"
    document = asyncapi("amqp", f"127.0.0.1:{port}", address=name)
    async with sending(document, mode="binary", headers={"who": "${ .source }"}) as deliver:
        with pytest.raises(Retry, match="no place"):
            await deliver("i-1", event(1))
        queue = await channel.declare_queue(name, durable=True)
        await deliver("i-1", event(1, correlationid="c"), event(2, "e-2"))
        first, second = [await queue.get(timeout=30, no_ack=True) for _ in range(2)]
    assert (first.message_id, first.correlation_id, json.loads(first.body)) == ("i-1-0", "c", {"n": 1})
    assert (first.headers["cloudEvents_id"], first.headers["who"]) == ("e-1", "/shop")
    assert (second.message_id, json.loads(second.body)) == ("i-1-1", {"n": 2})


async def again_and_again(deliver: Any, id: str) -> None:
    while True:
        await deliver(id, event(2))
        await asyncio.sleep(0.05)


async def test_a_broker_that_blocks_whoever_publishes_is_told_of_and_gets_the_event_when_it_goes_on(
    port: int, folder: Path, channel: Any, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is short of memory or disk: it reads no more of the connection, and nothing is confirmed."""
    monkeypatch.setattr(amqp, "CONFIRMING", 0.5)
    async with sending(asyncapi("amqp", f"127.0.0.1:{port}", address=queue.name)) as deliver:
        await deliver("i-1", event(1))
        alarm(folder, port, is_on=True)
        try:
            async with asyncio.timeout(
                20
            ):  # it hears of the alarm some moments later, and takes events until then
                with pytest.raises(Retry, match=r"short of memory or disk \(connection\.blocked\)"):
                    await again_and_again(deliver, "i-2")
            with pytest.raises(Retry, match=r"short of memory or disk \(connection\.blocked\)"):
                await deliver("i-3", event(2))
        finally:
            alarm(folder, port, is_on=False)
        await deliver("i-4", event(3))
    ids = set()
    while "i-4" not in ids:
        ids.add((await queue.get(timeout=30, no_ack=True)).message_id)
    assert "i-1" in ids
