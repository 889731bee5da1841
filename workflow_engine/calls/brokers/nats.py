"""NATS: the channel is a subject. Where a JetStream stream has it, messages are confirmed, kept and acknowledged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import nats
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from workflow_engine.calls.brokers.inbox import Inbox
from workflow_engine.calls.brokers.link import (
    Hearing,
    Incoming,
    Link,
    Outgoing,
    Send,
    closed,
    lost,
    named,
    refused,
    too_large,
)
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
_HEARD_SECONDS = 60.0
"""As `_ACK_SECONDS`, for sources: the router's store may be away for a while."""
_AT_ONCE = 0.15
_ASKED_SECONDS = 25.0
"""How long what was asked for may come."""
_ASKED_BYTES = 72 * 1024 * 1024
"""How much is under way at a time; a message may have 64 MiB."""
_PENDING, _PENDING_BYTES = 10_000, 64 * 1024 * 1024
"""What is kept, of a subject without a stream, while the router's store is away; the rest is lost."""
_AT_HAND = 8 * 1024 * 1024
"""Of how many bytes that have come the library is let go, before it has to keep the rest, and to count it."""
_REMEMBERED = 1000
_BEATS, _NOBODY = "100", "503"


class _Client(Client):
    """A client that keeps what the server complains of, and calls *ended* once the connection is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []
        self.ended: Callable[[], None] = lambda: None
        self.slow: Callable[[], None] = lambda: None
        """Called for each message that there is no room for."""

    async def end(self) -> None:
        self.ended()

    async def note(self, error: Exception) -> None:
        if isinstance(error, nats.errors.SlowConsumerError):
            self.slow()
        self.errors = [*self.errors[-9:], error]


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
            kind = {_CONTENT_TYPE: message.content_type} if message.content_type else {}
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


async def hear(link: Link, hearing: Hearing) -> AsyncGenerator[list[Incoming], None]:
    """What is published, for a source: of a stream by a durable consumer, each until it is acknowledged; else live."""
    async with _connected(link) as client:
        stream = await _stream(client, link.address)
        batches = _live(link, client, hearing) if stream is None else _kept(link, client, stream, hearing)
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


async def _live(link: Link, client: _Client, hearing: Hearing) -> AsyncGenerator[list[Incoming], None]:
    if hearing.start != "latest":
        what = f"{link.shown}: no stream has this subject, so that there is nothing from before"
        raise fault("configuration", f"{what}; `start` can only be latest")
    hearing.promise = "at-most-once"
    group = str(link.operation.get("queue") or hearing.group)
    messages = _Messages(client, hearing.most)

    def drop() -> None:
        hearing.dropped += 1

    client.slow = drop
    most, size = _PENDING, _PENDING_BYTES - _AT_HAND
    await client.subscribe(
        link.address, group, cb=messages.put, pending_msgs_limit=most, pending_bytes_limit=size
    )
    await client.flush()
    yield []
    while True:
        if batch := await messages.next(hearing.most):
            yield [_incoming(message, None) for message in batch]
        elif client.is_closed:
            raise nats.errors.ConnectionClosedError


class _Messages:
    """What comes to a subscription, at most so many at a time: of a library whose own waiting may miss that it ends.

    What is taken off the library, which keeps count of the bytes that it has, is bounded too.
    """

    def __init__(self, client: _Client, most: int) -> None:
        self._inbox = Inbox[Any](most, _AT_HAND)
        client.ended = self._inbox.end

    async def put(self, message: Any) -> None:
        await self._inbox.put(message, len(message.data))

    async def next(self, most: int) -> list[Any]:
        """What has come, once there is anything; nothing after a while."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                found = await self._inbox.gathered(most)
        except TimeoutError:
            return []
        if not found:
            raise nats.errors.ConnectionClosedError
        return found


async def _kept(
    link: Link, client: _Client, stream: str, hearing: Hearing
) -> AsyncGenerator[list[Incoming], None]:
    """Messages as the server has them: asked for in portions, so that there are never more under way than that."""
    await _durable(link, client, stream, hearing)
    hearing.promise = "exactly-once"
    inbox = client.new_inbox()
    messages = _Messages(client, 2 * hearing.most)
    await client.subscribe(inbox, cb=messages.put, pending_bytes_limit=4 * _ASKED_BYTES)  # never reached
    seconds = {"expires": int(_ASKED_SECONDS * 1e9), "idle_heartbeat": int(_WAIT_SECONDS * 1e9 / 2)}
    wanted = json.dumps({"batch": hearing.most, "max_bytes": _ASKED_BYTES, **seconds}).encode()
    yield []
    left = 0
    while True:
        if left <= 0:
            await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{hearing.group}", wanted, reply=inbox)
            left = hearing.most
        found = await messages.next(hearing.most)
        batch = []
        for message in found:
            status = None if message.reply else (message.headers or {}).get("Status")
            if status is None:
                batch.append(message)
            elif status != _BEATS:  # what was asked for has ended: asked again, unless there is nobody to ask
                left = 0
                if status == _NOBODY or "deleted" in str(message.headers.get("Description")).lower():
                    raise lost(link, f"the consumer {hearing.group} is gone")
        if batch:
            left -= len(batch)
            yield [_numbered(message, stream) for message in batch]
        elif not found:
            if client.is_closed:
                raise nats.errors.ConnectionClosedError
            left = 0


async def _durable(link: Link, client: Client, stream: str, hearing: Hearing) -> None:
    """See to it that there is a consumer, which begins where *hearing* says if it is new."""
    jetstream = client.jetstream()

    async def waiting() -> int:
        found = await jetstream.consumer_info(stream, hearing.group)
        return int((found.num_pending or 0) + (found.num_ack_pending or 0))

    hearing.ask = waiting
    try:
        found = await jetstream.consumer_info(stream, hearing.group)
    except NotFoundError:
        config = ConsumerConfig(
            name=hearing.group,
            durable_name=hearing.group,
            filter_subject=link.address,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=_HEARD_SECONDS,
            max_ack_pending=4 * hearing.most,
            deliver_policy=DeliverPolicy.ALL,
        )
        info = await jetstream.stream_info(stream)
        known = hearing.at.get(stream)
        if info.config.retention == RetentionPolicy.WORK_QUEUE:
            pass  # it has only what nobody had yet
        elif isinstance(known, int) and known <= info.state.last_seq + 1:  # somebody has deleted the consumer
            config.deliver_policy = DeliverPolicy.BY_START_SEQUENCE
            config.opt_start_seq = known
        elif hearing.start == "earliest":
            pass
        elif hearing.start == "latest":
            config.deliver_policy = DeliverPolicy.NEW
        else:
            config.deliver_policy = DeliverPolicy.BY_START_TIME
            config.opt_start_time = datetime.fromtimestamp(hearing.start, UTC)
        await jetstream.add_consumer(stream, config=config)
    else:
        known_by = found.config.filter_subject if found.config is not None else None
        if known_by and known_by != link.address:
            what = f"{link.shown}: the consumer {hearing.group} hears {known_by!r}"
            raise fault("configuration", f"{what}; give the source another `group`")
        if found.num_ack_pending and found.config is not None:
            # What somebody had who is gone comes again before all else once its time is over: now, not in a minute.
            for seconds, pause in ((_AT_ONCE, 2 * _AT_ONCE), (_HEARD_SECONDS, 0.0)):
                await jetstream.add_consumer(stream, config=replace(found.config, ack_wait=seconds))
                await asyncio.sleep(pause)


def _numbered(message: Any, stream: str) -> Incoming:
    """A message of a stream. When it was stored is part of its id: a stream of this name may be made anew."""
    at, number = message.metadata.timestamp, message.metadata.sequence.stream
    moment = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    place = f"{stream}/{number}@{moment.timestamp():.6f}"
    return replace(_incoming(message, place), moment=moment, at={stream: number + 1})


def _incoming(message: Any, place: str | None) -> Incoming:
    headers = dict(message.headers or {})
    id = place or named(headers, ID)
    content_type = named(headers, _CONTENT_TYPE)
    if place is None:
        return Incoming(message.data, headers, content_type, id, address=message.subject)
    return Incoming(message.data, headers, content_type, id, settle=message.ack, address=message.subject)


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
