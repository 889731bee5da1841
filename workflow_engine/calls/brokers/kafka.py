"""Kafka: the channel is a topic. A record is confirmed by all replicas; its offset tells it from all others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalArgumentError,
    InvalidTopicError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from workflow_engine.calls.brokers.link import (
    Hearing,
    Incoming,
    Link,
    Login,
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
from workflow_engine.values import Json, JsonObject

ID = "idempotency-key"
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_CONTENT_TYPE = "content-type"
_WAIT_MS = 5000
_ASKED_SECONDS = 15.0
_MOST = 64 * 1024 * 1024
"""What the client lets pass, in bytes: how large a record may be is for the broker to say."""
_MECHANISMS = {"scramSha256": "SCRAM-SHA-256", "scramSha512": "SCRAM-SHA-512"}
"""How a user logs in by the types of scheme of AsyncAPI; ``PLAIN`` where the server lists neither."""


async def publish(link: Link, message: Outgoing) -> None:
    """Send the message as one record; every replica that is in step has it when this returns."""
    async with sending(link) as send:
        await send(link.address, message)


@asynccontextmanager
async def sending(link: Link) -> AsyncIterator[Send]:
    """A connection to send messages over, as `publish` does."""
    options = await _options(link)
    async with _started(
        link, AIOKafkaProducer(acks="all", max_request_size=_MOST, **options), options
    ) as producer:

        async def send(address: str, message: Outgoing) -> None:
            kind = {_CONTENT_TYPE: message.content_type} if message.content_type else {}
            headers = {**message.headers, **kind, ID: message.id}
            key = message.key or _key(link, headers)
            try:
                await producer.send_and_wait(
                    _topic(link, address),
                    None if message.bare else message.body,  # as the binding of CloudEvents has it (3.2.2)
                    key=None if key is None else key.encode(),
                    headers=[(name, value.encode()) for name, value in headers.items()],
                )
            except (KafkaError, OSError) as error:
                raise _fault(link, error) from None

        yield send


async def receive(link: Link, reception: Reception) -> AsyncGenerator[Incoming | None, None]:
    """Records from the start of the run on; with the binding ``groupId``, what the group has not had yet."""
    group, topic = _constant(link.operation.get("groupId")), _topic(link, link.address)
    options = await _options(link)
    consumer = AIOKafkaConsumer(
        topic,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        **options,
    )
    async with _started(link, consumer, options):
        if group is None:
            await _go_to(consumer, reception)
        yield None
        while True:
            yield _incoming(consumer, await consumer.getone(), in_group=group is not None)


async def _go_to(consumer: Any, reception: Reception) -> None:
    """Go on where an earlier attempt was, or begin with the first record since the run started."""
    partitions = list(consumer.assignment())
    ends = await consumer.end_offsets(partitions)
    moment = int(reception.since * 1000)
    since = await consumer.offsets_for_times(dict.fromkeys(partitions, moment))
    for partition in partitions:
        known = reception.progress.get(_place(partition))
        found = since.get(partition)
        offset = ends[partition] if found is None else found.offset
        consumer.seek(partition, known if isinstance(known, int) else offset)


async def hear(link: Link, hearing: Hearing) -> AsyncGenerator[list[Incoming], None]:
    """Records for a source, by a consumer group. They are settled together: the last one of a batch moves the group."""
    options = await _options(link)
    consumer = AIOKafkaConsumer(
        _topic(link, link.address),
        group_id=hearing.group,
        group_instance_id=hearing.group
        if hearing.is_own
        else None,  # who comes back need not wait for who is dead
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        **options,
    )
    async with _started(link, consumer, options):
        await _begin(consumer, hearing)
        hearing.promise = "exactly-once"

        async def waiting() -> int:
            partitions = list(consumer.assignment())
            ends = await consumer.end_offsets(partitions)
            return sum([max(0, ends[each] - await consumer.position(each)) for each in partitions])

        hearing.ask = waiting
        yield []
        while True:
            found = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=hearing.most)
            batch = [_heard(record) for records in found.values() for record in records]
            if batch:
                ends = {place: records[-1].offset + 1 for place, records in found.items() if records}
                batch[-1] = replace(batch[-1], settle=partial(consumer.commit, ends))
                yield batch
            else:
                await _reached(link, consumer, hearing)


async def _reached(link: Link, consumer: Any, hearing: Hearing) -> None:
    """Raise what is wrong where the topic or its servers are gone: the client waits for ever, and says nothing."""
    partitions = list(consumer.assignment())
    topic = _topic(link, link.address)
    if not partitions and (hearing.is_own or not consumer.partitions_for_topic(topic)):
        raise _fault(link, UnknownTopicOrPartitionError())
    try:
        async with asyncio.timeout(_ASKED_SECONDS):
            await consumer.end_offsets(partitions)
    except TimeoutError:
        raise lost(link, f"no answer within {_ASKED_SECONDS:g} seconds") from None


async def forget(link: Link, hearing: Hearing) -> None:
    """Nothing: Kafka forgets a group that nobody is in."""


def group_of(operation: JsonObject) -> str | None:
    """The group that the bindings of an operation name."""
    return _constant(operation.get("groupId"))


async def _begin(consumer: Any, hearing: Hearing) -> None:
    """Let a new group begin where *hearing* says, and remember it: also should nothing come before it is left."""
    partitions = list(consumer.assignment())
    if not partitions or any([await consumer.committed(each) is not None for each in partitions]):
        return  # partitions that are newer than the group begin with their first record
    ends = await consumer.end_offsets(partitions)
    starts = dict(ends)
    if hearing.start == "earliest":
        starts = await consumer.beginning_offsets(partitions)
    elif hearing.start != "latest":
        since = await consumer.offsets_for_times(dict.fromkeys(partitions, int(hearing.start * 1000)))
        starts |= {each: found.offset for each, found in since.items() if found is not None}
    for each, offset in starts.items():
        known = hearing.at.get(_place(each))  # offsets of a group that nobody was in for a week are forgotten
        starts[each] = known if isinstance(known, int) and known <= ends[each] else offset
        consumer.seek(each, starts[each])
    await consumer.commit(starts)


def _heard(record: Any) -> Incoming:
    """A record for a source. Its time is part of its id: a topic of this name may be made anew."""
    key = None if record.key is None else record.key.decode(errors="replace")
    message = _read(record, _headers(record))
    moment = datetime.fromtimestamp(record.timestamp / 1000, UTC) if record.timestamp >= 0 else None
    place = _place(record)
    id = f"{place}/{record.offset}@{record.timestamp}"
    at: JsonObject = {place: record.offset + 1}
    return replace(message, id=id, key=key, moment=moment, address=record.topic, at=at)


def _headers(record: Any) -> JsonObject:
    """The headers that have a value."""
    return {name: value.decode(errors="replace") for name, value in record.headers if value is not None}


def _place(of: Any) -> str:
    """The partition of a record, or of what is a topic and a partition."""
    return f"{of.topic}/{of.partition}"


def _read(record: Any, headers: JsonObject) -> Incoming:
    return Incoming(record.value or b"", headers, named(headers, _CONTENT_TYPE))


def _incoming(consumer: Any, record: Any, *, in_group: bool) -> Incoming:
    headers: JsonObject = _headers(record)
    if record.key is not None:
        headers.setdefault("key", record.key.decode(errors="replace"))
    place = _place(record)

    async def settle() -> None:
        if in_group:
            await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})

    at: JsonObject = {place: record.offset + 1}
    return replace(_read(record, headers), id=f"{place}/{record.offset}", settle=settle, at=at)


def _topic(link: Link, address: str) -> str:
    topic = str(link.channel.get("topic") or address)
    if not _TOPIC.fullmatch(topic):
        raise fault(
            "configuration", f"{link.shown}: a topic of Kafka has a-z A-Z 0-9 . _ - only, not {topic[:200]!r}"
        )
    return topic


def _key(link: Link, headers: dict[str, str]) -> str | None:
    """The record's key, where the binding of the message has one: a constant, or else the header ``key``."""
    declared = link.message.get("key")
    if declared is None:
        return None
    return _constant(declared) or headers.pop("key", None)


def _constant(schema: Json) -> str | None:
    """The one value that a binding's *schema* allows, or its default; a text stands for itself."""
    if isinstance(schema, str):
        return schema
    if not isinstance(schema, dict):
        return None
    allowed = schema.get("enum")
    value = schema.get("const", schema.get("default"))
    if value is None and isinstance(allowed, list) and len(allowed) == 1:
        value = allowed[0]
    return None if value is None else str(value)


class _Token(AbstractTokenProvider):  # type: ignore[misc]
    def __init__(self, value: str) -> None:
        self._value = value

    async def token(self) -> str:
        return self._value


async def _options(link: Link) -> dict[str, Any]:
    """How to connect: where to, over TLS or not, and who as."""
    server, login, egress = link.server, link.login, link.context.egress
    for host, port in server.hosts:
        await egress.addresses(host, port)  # what the policy refuses is said in its own words
    options: dict[str, Any] = {
        "bootstrap_servers": [
            f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in server.hosts
        ],
        "client_id": _constant(link.operation.get("clientId")) or "wfe",
    }
    if server.secure:
        options["ssl_context"] = await egress.tls()
    if login == Login():
        return {**options, "security_protocol": "SSL" if server.secure else "PLAINTEXT"}
    options["security_protocol"] = "SASL_SSL" if server.secure else "SASL_PLAINTEXT"
    if login.token is not None:
        return {**options, "sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": _Token(login.token)}
    mechanism = next((_MECHANISMS[type] for type in server.security if type in _MECHANISMS), "PLAIN")
    options |= {"sasl_plain_username": login.user, "sasl_plain_password": login.password}
    return {**options, "sasl_mechanism": mechanism}


@asynccontextmanager
async def _started(link: Link, client: Any, options: dict[str, Any]) -> AsyncIterator[Any]:
    """*client* while it is connected; it is stopped also when it could not be started."""
    try:
        try:
            await client.start()
        except KafkaConnectionError as error:
            raise await _reason(link, options, error) from None
        yield client
    except (KafkaError, OSError) as error:
        raise _fault(link, error) from None
    finally:
        await closed(client.stop())


async def _reason(link: Link, options: dict[str, Any], error: Exception) -> Exception:
    """Why no server could be connected to: the client keeps that to itself."""
    given = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    host, port = link.server.hosts[0]
    try:
        connection = await create_conn(host, port, **given)
        connection.close()
    except (KafkaError, OSError, TimeoutError) as reason:
        return _fault(link, reason)
    return lost(link, error)


def _fault(link: Link, error: Exception) -> Exception:
    match error:
        case AuthenticationFailedError() | SaslAuthenticationFailed() | AuthenticationMethodNotSupported():
            return refused(link, str(error))
        case TopicAuthorizationFailedError():
            return fault("authorization", f"{link.shown}: {error}"[:500])
        case UnknownTopicOrPartitionError():
            return fault("communication", f"{link.shown}: there is no such topic", status=404)
        case MessageSizeTooLargeError():
            return too_large(link, error)
        case InvalidTopicError() | IllegalArgumentError():
            return fault("configuration", f"{link.shown}: {error}"[:500])
        case _:
            return lost(link, error)
