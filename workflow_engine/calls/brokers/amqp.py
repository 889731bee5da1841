"""AMQP 0-9-1: the channel is a queue, or the routing key of an exchange, as its binding says."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ConnectionNotAllowed,
    DeliveryError,
    ProbableAuthenticationError,
)

from workflow_engine.calls.brokers.link import (
    UNDER_WAY,
    Hearing,
    Incoming,
    Link,
    Outgoing,
    Send,
    closed,
    gathered,
    lost,
    nothing,
    refused,
)
from workflow_engine.calls.context import Reception
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject, rfc3339

_SECONDS = 10.0
_OVER = "the connection is closed, or the broker has ended the subscription"
CONFIRMING = 20.0
"""How many seconds a broker has to confirm a message: less than an attempt has, so that the reason can be told."""
_KEPT_MS = 3_600_000
"""How long a queue of our own outlives the workers that read it."""


async def publish(link: Link, message: Outgoing) -> None:
    """Send the message and wait for the broker's confirmation. A message for a queue must find one."""
    async with sending(link) as send:
        await send(link.address, message)


@asynccontextmanager
async def sending(link: Link) -> AsyncIterator[Send]:
    """A connection to send messages over, as `publish` does."""
    operation = link.operation
    exchange, _ = _place(link, link.address)
    mandatory = operation.get("mandatory")
    async with _connected(link) as connection:
        channel = await connection.channel(on_return_raises=True)
        to = channel.default_exchange if not exchange else await channel.get_exchange(exchange, ensure=True)

        async def send(address: str, message: Outgoing) -> None:
            sent = aio_pika.Message(
                message.body,
                headers=dict(message.headers),
                content_type=message.content_type or None,
                message_id=message.id,
                correlation_id=message.correlation,
                delivery_mode=1 if operation.get("deliveryMode") == 1 else 2,
                priority=_number(operation, "priority"),
                expiration=None if (expiry := _number(operation, "expiration")) is None else expiry / 1000,
            )
            must = mandatory if isinstance(mandatory, bool) else not exchange
            with _faults(link):
                try:
                    async with asyncio.timeout(CONFIRMING):
                        await to.publish(sent, _place(link, address)[1], mandatory=must)
                except TimeoutError:
                    raise lost(link, await _silence(connection)) from None

        yield send


async def _silence(connection: AbstractConnection) -> str:
    """Why nothing was confirmed for so long, as far as the broker says."""
    try:
        async with asyncio.timeout(0):
            if connection.transport is not None:
                await connection.transport.connection.ready()
    except TimeoutError:
        return "the broker blocks whoever publishes, for it is short of memory or disk (connection.blocked)"
    return f"the broker did not confirm the message within {CONFIRMING:g} s"


async def receive(link: Link, reception: Reception) -> AsyncGenerator[Incoming | None, None]:
    """Messages one by one, each when the one before it is acknowledged.

    Of an exchange they come by a queue of this subscription's own, which the broker keeps while nobody reads it.
    """
    exchange, key = _place(link, link.address)
    messages: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
    async with _connected(link) as connection:
        async with _answered(link):
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=1)
            queue = await _queue(link, channel, exchange, key)
            await _consume(connection, channel, queue, messages)
        yield None
        try:
            while (message := await messages.get()) is not None:
                yield _incoming(message)
        finally:
            if exchange and not reception.leaving:
                await closed(queue.delete(if_unused=False, if_empty=False))
    raise lost(link, _OVER)


async def hear(link: Link, hearing: Hearing) -> AsyncGenerator[list[Incoming], None]:
    """Messages for a source, of the queue, or of one of its own that the exchange sends to. They are settled together:
    the last one of a batch acknowledges them all.
    """
    exchange, key = _place(link, link.address)
    messages: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
    async with _connected(link) as connection:
        async with _answered(link):
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=min(hearing.most, UNDER_WAY))
            if exchange:
                queue = await _queue_of(connection, channel, hearing)
                await queue.bind(await channel.get_exchange(exchange, ensure=True), key)
            else:
                queue = await channel.get_queue(key, ensure=True)

        async def waiting() -> int:
            async with await connection.channel() as asking:
                found = await asking.get_queue(queue.name, ensure=True)
                return int(found.declaration_result.message_count or 0)

        hearing.ask = waiting
        async with _answered(link):
            await _consume(connection, channel, queue, messages)
        yield []
        while found := await gathered(messages, hearing.most):
            yield [
                *(replace(_incoming(message), settle=nothing) for message in found[:-1]),
                replace(_incoming(found[-1]), settle=partial(found[-1].ack, multiple=True)),
            ]
    raise lost(link, _OVER)


@asynccontextmanager
async def _answered(link: Link) -> AsyncIterator[None]:
    """What is asked of the broker before anything comes; one that keeps silent over it is connected to anew."""
    try:
        async with asyncio.timeout(_SECONDS) as timer:
            yield
    except TimeoutError as error:
        silent = TimeoutError(f"the broker does not answer within {_SECONDS:g} s")
        raise _fault(link, silent if timer.expired() else error) from None


async def _queue_of(
    connection: AbstractConnection, channel: AbstractChannel, hearing: Hearing
) -> AbstractQueue:
    """The queue of the group; one that somebody has made may be of any kind, and stays as it is."""
    if not hearing.is_own:
        asking = await connection.channel()
        with suppress(ChannelNotFoundEntity):
            await asking.get_queue(hearing.group, ensure=True)
            return await channel.get_queue(hearing.group, ensure=True)
    return await channel.declare_queue(hearing.group, durable=True)


async def _consume(
    connection: AbstractConnection,
    channel: AbstractChannel,
    queue: AbstractQueue,
    messages: asyncio.Queue[AbstractIncomingMessage | None],
) -> None:
    """Let what comes to *queue* come to *messages*, and None where no more will: also once the queue is deleted, or is
    elsewhere, of which the broker tells by ending the subscription alone.
    """

    def end(*_: object) -> None:
        messages.put_nowait(None)

    for closing in (connection.close_callbacks, channel.close_callbacks):
        closing.add(end)
    (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(end)
    await queue.consume(messages.put)


async def forget(link: Link, hearing: Hearing) -> None:
    """Let the broker forget the queue, if it is of the source's own."""
    exchange, _ = _place(link, link.address)
    if exchange:
        async with _connected(link) as connection:
            channel = await connection.channel()
            await channel.queue_delete(hearing.group)


async def _queue(link: Link, channel: AbstractChannel, exchange: str, key: str) -> AbstractQueue:
    if not exchange:
        return await channel.get_queue(key, ensure=True)
    kept: Any = {"x-expires": _KEPT_MS}
    queue = await channel.declare_queue(f"wfe-{link.client}", durable=True, arguments=kept)
    await queue.bind(await channel.get_exchange(exchange, ensure=True), key)
    return queue


def _place(link: Link, address: str) -> tuple[str, str]:
    """The exchange and the routing key; of the default exchange, which is ``""``, that is the name of a queue."""
    queue, exchange = link.channel.get("queue"), link.channel.get("exchange")
    named = exchange.get("name") if isinstance(exchange, dict) else None
    if link.channel.get("is") == "queue" or not named:
        name = queue.get("name") if isinstance(queue, dict) else None
        return "", str(name or address)
    return str(named), address


def _incoming(message: AbstractIncomingMessage) -> Incoming:
    headers: JsonObject = {name: _plain(value) for name, value in (message.headers or {}).items()}
    return Incoming(
        message.body,
        headers,
        message.content_type,
        message.message_id or None,
        None if message.correlation_id is None else str(message.correlation_id),
        settle=message.ack,
        address=message.routing_key,
        moment=message.timestamp,
    )


def _plain(value: Any) -> Json:
    """What a field of AMQP is as JSON: times as RFC 3339 has them, bytes as the text that they are, or Base64."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes() | bytearray():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return base64.b64encode(value).decode()
        case datetime():
            return rfc3339(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
        case _:
            return str(value)


def _number(bindings: JsonObject, name: str) -> int | None:
    value = bindings.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


@asynccontextmanager
async def _connected(link: Link) -> AsyncIterator[AbstractConnection]:
    server, login, egress = link.server, link.login, link.context.egress
    (host, port) = server.hosts[0]
    await egress.addresses(host, port)  # what the policy refuses is said in its own words
    user, password = ("", login.token) if login.token is not None else (login.user, login.password)
    try:
        connection = await aio_pika.connect(
            host=host,
            port=port,
            login="guest" if user is None else user,
            password="guest" if password is None else password,
            virtualhost=server.path.removeprefix("/") or "/",
            ssl=server.secure,
            ssl_context=await egress.tls() if server.secure else None,
            timeout=_SECONDS,
        )
    except (AMQPError, OSError, TimeoutError) as error:
        raise _fault(link, error) from None
    try:
        with _faults(link):
            yield connection
    finally:
        await closed(connection.close())


@contextmanager
def _faults(link: Link) -> Iterator[None]:
    """What the library raises inside of the block as faults."""
    try:
        yield
    except (AMQPError, ChannelInvalidStateError, OSError) as error:
        raise _fault(link, error) from None


def _fault(link: Link, error: Exception) -> Exception:
    match error:
        case AuthenticationError() | ProbableAuthenticationError():
            return refused(link, str(error))
        case ChannelAccessRefused() | ConnectionNotAllowed():
            return fault("authorization", f"{link.shown}: {error}"[:500])
        case ChannelNotFoundEntity():
            return fault("communication", f"{link.shown}: {error}"[:500], status=404)
        case DeliveryError():
            return fault(
                "communication", f"{link.shown}: the broker has no place for the message", status=404
            )
        case _:
            return lost(link, error)
