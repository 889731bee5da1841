"""NATS: the channel is a subject. Where a JetStream stream has it, messages are confirmed, kept and acknowledged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from workflow_engine.calls.brokers import nats_messages
from workflow_engine.calls.brokers.link import (
    Hearing,
    Incoming,
    Link,
    Outgoing,
    Send,
    closed,
    lost,
    refused,
    too_large,
)
from workflow_engine.calls.brokers.nats_messages import (
    CONTENT_TYPE,
    ID,
    WAIT_SECONDS,
    Client,
    Messages,
    incoming,
)
from workflow_engine.calls.brokers.nats_stream import kept
from workflow_engine.calls.context import Reception
from workflow_engine.errors import fault

_ACK_SECONDS = 10.0
"""After this time JetStream gives a message again that was not acknowledged."""
_KEPT_SECONDS = 3600.0
"""How long JetStream remembers a subscriber whose workers are all gone."""
_PENDING, _PENDING_BYTES = 10_000, 64 * 1024 * 1024
"""What is kept, of a subject without a stream, while the router's store is away; the rest is lost."""
_REMEMBERED = 1000


async def publish(link: Link, message: Outgoing) -> None:
    """Send the message: a stream has stored it when this returns, or else the server has it."""
    async with sending(link) as send:
        await send(link.address, message)


@asynccontextmanager
async def sending(link: Link) -> AsyncIterator[Send]:
    """A connection to send messages over, as `publish` does."""
    async with _connected(link) as client:
        stored: set[str] = set()

        async def send(address: str, message: Outgoing) -> None:
            kind = {CONTENT_TYPE: message.content_type} if message.content_type else {}
            headers = {**message.headers, ID: message.id, **kind}
            with _faults(link):
                if address in stored or await _stream(client, address) is not None:
                    await client.jetstream().publish(address, message.body, headers=headers)
                    stored.add(address) if len(stored) < _REMEMBERED else stored.clear()
                else:
                    await client.publish(address, message.body, headers=headers)
                    await client.flush()

        yield send


async def receive(link: Link, reception: Reception) -> AsyncGenerator[Incoming | None, None]:
    """What is published: of a stream from the start of the run on, else while this is connected."""
    async with _connected(link) as client:
        stream = await _stream(client, link.address)
        messages = _core(link, client) if stream is None else _stored(link, client, stream, reception)
        async for message in messages:
            yield message


async def _core(link: Link, client: Client) -> AsyncIterator[Incoming | None]:
    subscription = await client.subscribe(link.address, queue=str(link.operation.get("queue") or ""))
    await client.flush()
    yield None
    while True:
        try:
            message = await subscription.next_msg(timeout=WAIT_SECONDS)
        except nats.errors.TimeoutError:
            continue
        yield incoming(message, None)


async def _stored(
    link: Link, client: Client, stream: str, reception: Reception
) -> AsyncIterator[Incoming | None]:
    """Messages one by one, each when the one before it is acknowledged, so that their order is kept."""
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_TIME,
        opt_start_time=datetime.fromtimestamp(reception.since, UTC),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=_ACK_SECONDS,
        max_ack_pending=1,
        inactive_threshold=_KEPT_SECONDS,
    )
    durable = f"wfe-{link.client}"
    jetstream = client.jetstream()
    subscription = await jetstream.pull_subscribe(link.address, durable=durable, stream=stream, config=config)
    try:
        yield None
        while True:
            try:
                (message,) = await subscription.fetch(1, timeout=WAIT_SECONDS)
            except nats.errors.TimeoutError:
                if client.is_closed:
                    raise nats.errors.ConnectionClosedError from None
                continue
            yield incoming(message, f"{stream}/{message.metadata.sequence.stream}")
    finally:
        if not reception.leaving and client.is_connected:
            await closed(jetstream.delete_consumer(stream, durable))


async def hear(link: Link, hearing: Hearing) -> AsyncGenerator[list[Incoming], None]:
    """What is published, for a source: of a stream by a durable consumer, each until it is acknowledged; else live."""
    async with _connected(link) as client:
        stream = await _stream(client, link.address)
        batches = _live(link, client, hearing) if stream is None else kept(link, client, stream, hearing)
        async with aclosing(batches):
            async for batch in batches:
                yield batch


async def forget(link: Link, hearing: Hearing) -> None:
    """Let the server forget who heard."""
    async with _connected(link) as client:
        stream = await _stream(client, link.address)
        if stream is not None:
            with suppress(NotFoundError):
                await client.jetstream().delete_consumer(stream, hearing.group)


async def _live(link: Link, client: Client, hearing: Hearing) -> AsyncGenerator[list[Incoming], None]:
    if hearing.start != "latest":
        what = f"{link.shown}: no stream has this subject, so that there is nothing from before"
        raise fault("configuration", f"{what}; `start` can only be latest")
    hearing.promise = "at-most-once"
    group = str(link.operation.get("queue") or hearing.group)
    messages = Messages(client, hearing.most)

    def drop() -> None:
        hearing.dropped += 1

    client.slow = drop
    most, size = _PENDING, _PENDING_BYTES - nats_messages.AT_HAND
    await client.subscribe(
        link.address, group, cb=messages.put, pending_msgs_limit=most, pending_bytes_limit=size
    )
    await client.flush()
    yield []
    while True:
        if batch := await messages.next(hearing.most):
            yield [incoming(message, None) for message in batch]
        elif client.is_closed:
            raise nats.errors.ConnectionClosedError


async def _stream(client: Client, subject: str) -> str | None:
    """The stream that has *subject*; None where there is none, or no JetStream."""
    try:
        return await client.jetstream().find_stream_name_by_subject(subject)
    except (NotFoundError, ServiceUnavailableError, nats.errors.NoRespondersError):
        return None
    except nats.errors.TimeoutError:
        if any("permissions violation" in str(error).lower() for error in client.errors):
            return None  # who may not ask for streams is answered by nobody
        raise


@asynccontextmanager
async def _connected(link: Link) -> AsyncIterator[Client]:
    server, login = link.server, link.login
    for host, port in server.hosts:
        await link.context.egress.addresses(host, port)  # what the policy refuses is said in its own words
    options: dict[str, Any] = {"tls": await link.context.egress.tls()}
    if login.token is not None:
        options["token"] = login.token
    elif login.user is not None:
        options |= {"user": login.user, "password": login.password}
    scheme = "tls" if server.secure else "nats"
    client = Client()
    try:
        await client.connect(
            [f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host, port in server.hosts],
            name="wfe",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # else a server that is gone is tried for two minutes before that is told
            reconnect_time_wait=0,
            connect_timeout=10,
            error_cb=client.note,
            closed_cb=client.end,
            tls_hostname=server.hosts[0][0],
            **options,
        )
    except (nats.errors.Error, OSError) as error:
        await closed(client.close())
        reason = (
            client.errors[-1] if client.errors and isinstance(error, nats.errors.NoServersError) else error
        )
        raise _fault(link, reason) from None
    try:
        with _faults(link):
            yield client
    finally:
        await closed(client.close())


@contextmanager
def _faults(link: Link) -> Iterator[None]:
    """What the library raises inside of the block as faults."""
    try:
        yield
    except nats.errors.BadSubjectError:
        raise fault("configuration", f"{link.shown}: that is not a subject of NATS") from None
    except (nats.errors.Error, APIError, OSError) as error:
        raise _fault(link, error) from None


def _fault(link: Link, error: Exception) -> Exception:
    if isinstance(error, nats.errors.MaxPayloadError):
        return too_large(link, error)
    text = str(error)
    if "authorization" in text.lower() or "authentication" in text.lower():
        return refused(link, text)
    return lost(link, error)
