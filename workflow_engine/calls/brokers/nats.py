"""NATS: the channel is a subject. Where a JetStream stream has it, messages are confirmed, kept and acknowledged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import nats
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from workflow_engine.calls.brokers.link import Incoming, Link, Outgoing, closed, lost, refused
from workflow_engine.calls.context import Reception
from workflow_engine.errors import fault

ID = "Nats-Msg-Id"
"""The header by which JetStream knows a message that it has already."""
_CONTENT_TYPE = "Content-Type"
_ACK_SECONDS = 10.0
"""After this time JetStream gives a message again that was not acknowledged."""
_KEPT_SECONDS = 3600.0
"""How long JetStream remembers a subscriber whose workers are all gone."""
_WAIT_SECONDS = 5.0


class _Client(Client):
    """A client that keeps what the server complains of."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    async def note(self, error: Exception) -> None:
        self.errors = [*self.errors[-9:], error]


async def publish(link: Link, message: Outgoing) -> None:
    """Send the message: a stream has stored it when this returns, or else the server has it."""
    headers = {**message.headers, ID: message.id, _CONTENT_TYPE: message.content_type}
    async with _connected(link) as client:
        if await _stream(client, link.address) is not None:
            await client.jetstream().publish(link.address, message.body, headers=headers)
        else:
            await client.publish(link.address, message.body, headers=headers)
            await client.flush()


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
            message = await subscription.next_msg(timeout=_WAIT_SECONDS)
        except nats.errors.TimeoutError:
            continue
        yield _incoming(message, None)


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
                (message,) = await subscription.fetch(1, timeout=_WAIT_SECONDS)
            except nats.errors.TimeoutError:
                if client.is_closed:
                    raise nats.errors.ConnectionClosedError from None
                continue
            yield _incoming(message, f"{stream}/{message.metadata.sequence.stream}")
    finally:
        if not reception.leaving and client.is_connected:
            await closed(jetstream.delete_consumer(stream, durable))


def _incoming(message: Any, place: str | None) -> Incoming:
    headers = dict(message.headers or {})
    id = place or headers.get(ID)
    content_type = headers.get(_CONTENT_TYPE)
    if place is None:
        return Incoming(message.data, headers, content_type, id)
    return Incoming(message.data, headers, content_type, id, settle=message.ack)


async def _stream(client: _Client, subject: str) -> str | None:
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
async def _connected(link: Link) -> AsyncIterator[_Client]:
    server, login = link.server, link.login
    for host, port in server.hosts:
        await link.context.egress.addresses(host, port)  # what the policy refuses is said in its own words
    options: dict[str, Any] = {"tls": await link.context.egress.tls()}
    if login.token is not None:
        options["token"] = login.token
    elif login.user is not None:
        options |= {"user": login.user, "password": login.password}
    scheme = "tls" if server.secure else "nats"
    client = _Client()
    try:
        await client.connect(
            [f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host, port in server.hosts],
            name="wfe",
            allow_reconnect=False,
            connect_timeout=10,
            error_cb=client.note,
            tls_hostname=server.hosts[0][0],
            **options,
        )
    except (nats.errors.Error, OSError) as error:
        await closed(client.close())
        raise _fault(link, error) from None
    try:
        yield client
    except nats.errors.BadSubjectError:
        raise fault("configuration", f"{link.shown}: that is not a subject of NATS") from None
    except (nats.errors.Error, APIError, OSError) as error:
        raise _fault(link, error) from None
    finally:
        await closed(client.close())


def _fault(link: Link, error: Exception) -> Exception:
    text = str(error)
    if "authorization" in text.lower() or "authentication" in text.lower():
        return refused(link, text)
    return lost(link, error)
