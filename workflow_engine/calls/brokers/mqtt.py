"""MQTT 3.1.1 and 5: the channel is a topic. A message is confirmed and acknowledged with a quality of service of 1."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

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
    refused,
    too_large,
)
from workflow_engine.calls.context import Reception
from workflow_engine.errors import fault
from workflow_engine.telemetry.spans import active
from workflow_engine.values import Json, JsonObject

_HEARD = "topic"
"""By what it is remembered of which topic messages were heard."""
ID = "idempotency-key"
"""The user property that tells a message from others; MQTT 3.1.1 has none."""
_SECONDS = 10.0
_KEEPALIVE = 30
_KEPT_SECONDS = 3600
"""How long the broker keeps messages for a subscriber whose workers are all gone (MQTT 5; before, it decides)."""
_FOR_EVER = 0xFFFFFFFF
_PENDING, _PENDING_BYTES = 10_000, 64 * 1024 * 1024
"""What is kept of messages that no broker keeps, while the router's store is away."""
_NOT_LET_IN = ("not authorized", "bad user name or password", "banned", "bad authentication method")


async def publish(link: Link, message: Outgoing) -> None:
    """Send the message; the broker has taken it over when this returns, unless the binding says ``qos: 0``."""
    async with sending(link) as send:
        await send(link.address, message)


@asynccontextmanager
async def sending(link: Link) -> AsyncIterator[Send]:
    """A connection to send messages over, as `publish` does."""
    async with _connected(link, f"wfep{link.client[:19]}", kept=False) as session:

        async def send(address: str, message: Outgoing) -> None:
            properties = _properties(link, message)
            retain = link.operation.get("retain") is True
            await session.publish(address, message.body, _quality(link), properties, retain=retain)

        yield send


def _properties(link: Link, message: Outgoing) -> Properties | None:
    """What MQTT 5 says of a message beside its body; None before."""
    if not _five(link):
        if message.headers:
            raise fault(
                "configuration", f"{link.shown}: MQTT has headers from version 5 on (`protocolVersion: 5`)"
            )
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    headers = dict(message.headers)
    if (span := active()) is not None:
        span.inject(headers)
    properties.UserProperty = [*headers.items(), (ID, message.id)]
    if message.content_type:
        properties.ContentType = message.content_type
    if message.correlation is not None:
        properties.CorrelationData = message.correlation.encode()
    expiry = link.operation.get("messageExpiryInterval")
    if isinstance(expiry, int):
        properties.MessageExpiryInterval = expiry
    return properties


async def receive(link: Link, reception: Reception) -> AsyncGenerator[Incoming | None, None]:
    """What is published to the topic, which the broker keeps for this subscriber while it is away."""
    name = f"wfe{link.client[:20]}"
    async with _connected(link, name, kept=True) as session:
        await session.subscribe(link.address, _heard_with(link), reception.progress)
        yield None
        try:
            while found := await session.gathered(1):
                yield _incoming(session, found[0])
        finally:
            if not reception.leaving:
                session.forget = True
    raise lost(link, "the connection is closed")


async def hear(link: Link, hearing: Hearing) -> AsyncGenerator[list[Incoming], None]:
    """Messages for a source, which the broker keeps for it while it is away, as long as it does."""
    name = f"wfe{hearing.client}"
    async with _connected(
        link, name, kept=True, seconds=_FOR_EVER, most=min(hearing.most, UNDER_WAY)
    ) as session:
        quality = _heard_with(link)
        hearing.promise = "at-least-once" if quality else "at-most-once"

        def drop() -> None:
            hearing.dropped += 1

        session.drop = drop
        await session.subscribe(link.address, quality, hearing.at)
        yield []
        while found := await session.gathered(hearing.most):
            yield [_incoming(session, message) for message in found]
    raise lost(link, "the connection is closed")


async def forget(link: Link, hearing: Hearing) -> None:
    """Let the broker forget who heard, and what it keeps for it."""
    async with _connected(link, f"wfe{hearing.client}", kept=True) as session:
        session.forget = True


def _incoming(session: _Session, message: MQTTMessage) -> Incoming:
    headers: JsonObject = {}
    content_type = correlation = None
    if message.properties is not None:
        given = message.properties.json()  # type: ignore[no-untyped-call]
        listed = given.get("UserProperty")
        for pair in listed if isinstance(listed, list) else []:
            headers[str(pair[0])] = str(pair[1])
        content_type = given.get("ContentType")
        data = getattr(message.properties, "CorrelationData", None)
        correlation = data.decode(errors="replace") if isinstance(data, bytes) else None
    id = headers.get(ID)

    async def settle() -> None:
        session.client.ack(message.mid, message.qos)

    return Incoming(
        bytes(message.payload),
        headers,
        content_type,
        id if isinstance(id, str) else None,
        correlation,
        settle,
        at={_HEARD: session.link.address},
        address=message.topic,
    )


def _heard_with(link: Link) -> int:
    """The quality of service to hear with: 1 instead of 2, with which the broker lets a message go before it is stored.

    The library tells it that it has the message, and keeps it in memory alone; with 1 it tells when we do.
    """
    return min(_quality(link), 1)


def _five(link: Link) -> bool:
    return link.server.version.startswith("5")


def _quality(link: Link) -> int:
    wanted = link.operation.get("qos")
    if wanted is None:
        return 1
    if wanted not in (0, 1, 2) or isinstance(wanted, bool):
        raise fault("configuration", f"{link.shown}: the binding `qos` is 0, 1 or 2, not {wanted!r}")
    return int(str(wanted))


class _Socket(Client):
    """A client that connects to addresses that were chosen for it; TLS is verified for the name of the host."""

    addresses: list[tuple[str, int]] = []  # noqa: RUF012 - set for each client

    def _create_socket_connection(self) -> socket.socket:
        failed: OSError | None = None
        for address in self.addresses:
            try:
                return socket.create_connection(address, timeout=_SECONDS)
            except OSError as error:
                failed = error
        raise failed or OSError("there is no address")


class _Session:
    """One connection: what the library's thread tells, as results for this event loop."""

    def __init__(self, link: Link, client: Client) -> None:
        self.link = link
        self.client = client
        self.forget = False
        self._loop = asyncio.get_running_loop()
        self._answers: dict[tuple[str, int], asyncio.Future[Any]] = {}
        self.drop: Callable[[], None] = lambda: None
        """Called for each message that there is no room for, and that the broker does not keep."""
        self.present = False
        """Whether the broker remembers what this client has subscribed to."""
        self.most: int | None = None
        """How large a packet the broker takes, if it says so."""
        self._messages: asyncio.Queue[MQTTMessage | None] = asyncio.Queue()
        self._bytes = 0
        client.on_connect = lambda c, u, flags, reason, p: self._soon(self._connected, flags, reason, p)
        client.on_publish = lambda c, u, mid, reason, p: self._tell("publish", mid, [reason])
        client.on_subscribe = lambda c, u, mid, reasons, p: self._tell("subscribe", mid, reasons)
        client.on_message = lambda c, u, message: self._soon(self._arrived, message)
        client.on_disconnect = lambda c, u, flags, reason, p: self._soon(self._gone, str(reason))

    def _soon(self, act: Any, *given: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(act, *given)

    def _tell(self, what: str, number: int, reasons: list[Any]) -> None:
        self._soon(self._answer, what, number, reasons)

    def _answer(self, what: str, number: int, reasons: list[Any]) -> None:
        waiting = self._waiting(what, number)
        if not waiting.done():
            waiting.set_result(reasons)

    def _connected(self, flags: Any, reason: Any, properties: Any) -> None:
        self.present = bool(flags.session_present)
        self.most = getattr(properties, "MaximumPacketSize", None)
        self._answer("connect", 0, [reason])

    def _arrived(self, message: MQTTMessage) -> None:
        """Keep a message. Of those that the broker keeps too it sends a bounded number (`ReceiveMaximum`)."""
        size = len(message.payload)
        waiting = self._messages.qsize()
        if not message.qos and waiting and (waiting >= _PENDING or self._bytes + size > _PENDING_BYTES):
            self.drop()
            return
        self._bytes += size
        self._messages.put_nowait(message)

    async def gathered(self, most: int) -> list[MQTTMessage]:
        """What has come, at most so much, once there is anything; nothing once the connection is closed."""
        found = await gathered(self._messages, most)
        self._bytes -= sum(len(message.payload) for message in found)
        return found

    def _gone(self, reason: str) -> None:
        self._messages.put_nowait(None)
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(lost(self.link, f"the connection is closed: {reason}"))
                waiting.exception()

    def _waiting(self, what: str, number: int) -> asyncio.Future[Any]:
        return self._answers.setdefault((what, number), self._loop.create_future())

    async def answered(self, what: str, number: int = 0) -> None:
        """Wait for what the broker says to a packet; a refusal is a fault."""
        try:
            async with asyncio.timeout(_SECONDS):
                reasons = await self._waiting(what, number)
        except TimeoutError:
            raise lost(self.link, f"no answer to {what} within {_SECONDS:g} seconds") from None
        for reason in reasons:
            if reason.is_failure:
                text = str(reason)
                if any(words in text.lower() for words in _NOT_LET_IN):
                    raise refused(self.link, text)
                raise fault("communication", f"{self.link.shown}: the broker refuses to {what}: {text}")

    async def publish(
        self, topic: str, body: bytes, quality: int, properties: Properties | None, *, retain: bool
    ) -> None:
        if self.most is not None and _size(topic, body, properties) > self.most:
            raise too_large(self.link, f"{len(body)} bytes, of packets of {self.most}")
        try:
            sent = self.client.publish(topic, body, quality, retain, properties)
        except ValueError as error:
            raise fault("configuration", f"{self.link.shown}: {error}") from None
        await self.answered("publish", sent.mid)

    async def subscribe(self, topic: str, quality: int, heard: JsonObject) -> None:
        """Subscribe, unless the broker remembers that: it would send what it retains again, of which MQTT 3.1.1 cannot
        tell it not to. *heard* says of which topic there were messages.
        """
        if self.present and not _five(self.link) and heard.get(_HEARD) == topic:
            return
        try:
            # Of MQTT 5, not again what the broker retains and has sent to this session already.
            wanted = SubscribeOptions(quality, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            if _five(self.link):
                _, number = self.client.subscribe(topic, options=wanted)
            else:
                _, number = self.client.subscribe(topic, quality)
        except ValueError as error:
            raise fault("configuration", f"{self.link.shown}: {error}") from None
        await self.answered("subscribe", number or 0)


def _size(topic: str, body: bytes, properties: Properties | None) -> int:
    """How large the packet is of a message, and a few bytes more."""
    packed = b"" if properties is None else properties.pack()  # type: ignore[no-untyped-call]
    return len(topic.encode()) + len(body) + len(packed) + 9


@asynccontextmanager
async def _connected(
    link: Link, name: str, *, kept: bool, seconds: int = _KEPT_SECONDS, most: int | None = None
) -> AsyncIterator[_Session]:
    """A session of the client *name*, which the broker keeps while it is away if *kept*, unless it is to forget it: for
    so many seconds. *most* messages are under way that were not acknowledged.
    """
    session = await _connect(link, name, kept=kept, seconds=seconds, most=most)
    try:
        yield session
    finally:
        await closed(_end(link, session, name))


async def _end(link: Link, session: _Session, name: str) -> None:
    with suppress(Exception):
        if session.forget and _five(link):
            ended = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
            ended.SessionExpiryInterval = 0
            session.client.disconnect(properties=ended)
        else:
            session.client.disconnect()
    await asyncio.to_thread(session.client.loop_stop)
    if session.forget and not _five(link):
        with suppress(Exception):  # to connect without a session is how MQTT 3.1.1 ends one
            again = await _connect(link, name, kept=False)
            again.client.disconnect()
            await asyncio.to_thread(again.client.loop_stop)


async def _connect(
    link: Link, name: str, *, kept: bool, seconds: int = _KEPT_SECONDS, most: int | None = None
) -> _Session:
    (host, port), login = link.server.hosts[0], link.login
    five = _five(link)
    protocol = MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311
    client = _Socket(
        CallbackAPIVersion.VERSION2,
        client_id=name,
        clean_session=None if five else not kept,
        protocol=protocol,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.addresses = await link.context.egress.addresses(host, port)
    if link.server.secure:
        client.tls_set_context(await link.context.egress.tls())
    if login.token is not None:
        client.username_pw_set("bearer", login.token)
    elif login.user is not None:
        client.username_pw_set(login.user, login.password)
    client.connect_timeout = _SECONDS
    session = _Session(link, client)
    options: dict[str, Json | Properties] = {}
    if five:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = seconds if kept else 0
        if most is not None:
            properties.ReceiveMaximum = most
        options = {"clean_start": not kept, "properties": properties}
    try:
        await asyncio.to_thread(client.connect, host, port, _KEEPALIVE, **options)  # type: ignore[arg-type]
    except OSError as error:
        raise lost(link, error) from None
    client.loop_start()
    try:
        await session.answered("connect")
    except BaseException:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
        raise
    return session
