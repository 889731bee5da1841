"""Messages that go to a broker itself, and come from it: for calls that name a server or a protocol.

Publishing is one call, with the confirmation that the protocol has. Receiving is a bridge: what the broker sends is put
into a channel of the router, where the run takes it as it takes every event, and only then acknowledged to the broker.
So a worker may die at any moment: what was not acknowledged is delivered again, and what was put into the channel twice
is there once, as far as the broker or the sender tell messages apart.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib
import importlib.util
import logging
import re
import uuid
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any

from catalog.errors import InvalidMessage
from catalog.messages import locate, validate
from workflow_engine.calls.brokers.link import Incoming, Link, Outgoing, login
from workflow_engine.calls.brokers.server import Server, bindings, choose
from workflow_engine.calls.connections import guarded
from workflow_engine.calls.content import JSON, decode, encode
from workflow_engine.calls.context import CallContext, Reception
from workflow_engine.calls.exchange import deadline
from workflow_engine.calls.retry_after import pause_after
from workflow_engine.calls.uri_template import scalar_text
from workflow_engine.errors import ERRORS, Fault, fault
from workflow_engine.filters import machine
from workflow_engine.telemetry.context import TraceContext
from workflow_engine.telemetry.spans import active, tracer
from workflow_engine.values import Json, JsonObject, rfc3339

_log = logging.getLogger(__name__)

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""How long to wait, in seconds, before the next try to reach a broker that is gone."""
SETTLING = 5.0
"""How long, in seconds, a bridge that is cancelled goes on with a message that it has begun to store."""
PACKAGES = {"nats": "nats", "kafka": "aiokafka", "amqp": "aio_pika", "mqtt": "paho"}
"""The library of a protocol, which the extra of the protocol's name installs."""


HEADED = frozenset({"nats", "kafka", "amqp"})
"""Whose messages always have headers; those of MQTT have from version 5 on, and those of HTTP are its own."""


async def publish(
    operation: JsonObject,
    arguments: JsonObject,
    context: CallContext,
    *,
    kind: str | None,
    address: str,
    payload: Json,
    headers: JsonObject,
) -> None:
    """Send a message of the *kind* that the operation declares to the *address* of its channel."""
    server = choose(operation, arguments.get("server"), arguments.get("protocol"))
    declared = _declared(operation, kind)
    body, content_type = encode(payload, str(declared.get("content_type") or JSON))
    correlation = _correlation([declared], payload, headers)
    texts = {name: header_text(name, value) for name, value in headers.items() if value is not None}
    if server.protocol in HEADED and (span := active()) is not None:
        span.inject(texts)
    message = Outgoing(body, content_type, texts, context.idempotency_key, correlation)
    with guarded(context.egress):
        async with deadline(context.timeout, f"publishing to {address!r} at {server}"):
            link = await link_to(operation, server, address, arguments, context, declared)
            await protocol_of(server).publish(link, message)


async def receive(arguments: JsonObject, context: CallContext) -> Json:
    """Put what the broker sends into the router's channel, until there is as much as was asked for, or it is cancelled.

    The first connection must succeed, or what is wrong is a fault; one that is lost later is made again. A message that
    the router refuses is a fault.
    """
    reception, operation = context.reception, next(iter(context.resources.values()), None)
    assert reception is not None
    assert isinstance(operation, dict)
    server = choose(operation, arguments.get("server"), arguments.get("protocol"))
    bridge = _Bridge(operation, reception, context)
    connected = bool(reception.progress)  # an earlier attempt was
    tries = 0
    with guarded(context.egress):
        while not bridge.has_enough:
            try:
                link = await link_to(operation, server, subscribed(operation, server), arguments, context)
                async with aclosing(protocol_of(server).receive(link, reception)) as messages:
                    async for message in messages:
                        connected, tries = True, 0
                        if message is None:
                            reception.progress = {"taken": bridge.taken, **reception.progress}
                        else:
                            await bridge.take(message)
                        if bridge.has_enough:
                            break
            except Fault as raised:
                if not connected or raised.error.type != ERRORS + "communication":
                    raise
                await asyncio.sleep(pause_after(raised, PAUSES[min(tries, len(PAUSES) - 1)]))
                tries += 1
    return None


class _Bridge:
    """Messages on their way into the router's channel. *taken* are those that the state's filter takes."""

    def __init__(self, operation: JsonObject, reception: Reception, context: CallContext) -> None:
        self._reception = reception
        self._context = context
        self._operation = operation
        self._declared = declared_of(operation)
        taken = reception.progress.get("taken")
        self.taken = taken if isinstance(taken, int) else 0

    @property
    def has_enough(self) -> bool:
        return self._reception.amount is not None and self.taken >= self._reception.amount

    async def take(self, message: Incoming) -> None:
        """Store the message where the run finds it, then let the broker forget it.

        A run that has enough cancels this at once; then too the broker still hears of what the router has.
        """
        taking = asyncio.create_task(self._take(message))
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait({taking}, timeout=SETTLING)
            raise

    async def _take(self, message: Incoming) -> None:
        reception = self._reception
        assert self._context.events is not None
        event: JsonObject = {
            "specversion": "1.0",
            "id": message.id or str(uuid.uuid4()),
            "source": reception.source,
            "type": "message",
            "time": rfc3339(datetime.now(UTC)),
            "datacontenttype": "application/json",
            "data": await self._read(message),
        }
        if tracer() is not None and (sender := TraceContext.of(message.headers)) is not None:
            event |= sender.headers()
        (stored,) = await self._context.events.publish(reception.channel, [event])
        await message.settle()
        if not stored.duplicate and (reception.spec is None or machine(reception.spec).matches(event)):
            self.taken += 1
        reception.progress = {**reception.progress, **message.at, "taken": self.taken}

    async def _read(self, message: Incoming) -> JsonObject:
        content_type = message.content_type or next(
            (str(item.get("content_type")) for item in self._declared if item.get("content_type")), JSON
        )
        payload = _payload(message.body, content_type)
        checked = await asyncio.to_thread(validate, self._operation, payload, message.headers)
        for problem in checked.problems[:1]:
            _log.warning(
                "%s: what came does not fit: %s: %s", self._context.state, problem.pointer, problem.message
            )
        correlation = message.correlation or _correlation(self._declared, payload, message.headers)
        return {"payload": payload, "headers": message.headers, "correlationId": correlation}


async def link_to(
    operation: JsonObject,
    server: Server,
    address: str,
    arguments: JsonObject,
    context: CallContext,
    message: JsonObject | None = None,
) -> Link:
    """What a protocol needs to know, with who connects."""
    policy = arguments.get("authentication")
    given = policy is not None and server.protocol not in ("http", "ws")
    return Link(
        server=server,
        address=address,
        context=context,
        policy=policy,
        login=await login(policy if given else None, context, server),
        channel=bindings(operation.get("channel_details"), server.protocol),
        operation=bindings(operation, server.protocol),
        message=bindings(message, server.protocol),
        client=hashlib.blake2b(context.idempotency_key.encode(), digest_size=16).hexdigest(),
        whole=any(
            str(each.get("content_type")).lower().startswith("application/cloudevents+json")
            for each in declared_of(operation)
        ),
    )


def protocol_of(server: Server) -> Any:
    package = PACKAGES.get(server.protocol)
    if package is not None and importlib.util.find_spec(package) is None:
        what = f"install serverless-workflow-engine[{server.protocol}] where the API and the workers run"
        raise fault(
            "configuration",
            f"{server} cannot be reached: the library for {server.protocol} is missing; {what}",
        )
    return importlib.import_module(f"workflow_engine.calls.brokers.{server.protocol}")


def subscribed(operation: JsonObject, server: Server) -> str:
    """The address to subscribe to: its parameters have their defaults, or are wildcards where the protocol has any."""
    address = operation.get("channel")
    if not isinstance(address, str):
        raise fault("configuration", "the channel has no address of its own: it is known only when running")
    details = operation.get("channel_details")
    listed = details.get("parameters") if isinstance(details, dict) else None
    wildcard = {"mqtt": "+", "nats": "*"}.get(server.protocol)
    exchange = bindings(details, server.protocol).get("exchange")
    if server.protocol == "amqp" and isinstance(exchange, dict) and exchange.get("type") == "topic":
        wildcard = "*"

    def value_of(match: re.Match[str]) -> str:
        for item in listed if isinstance(listed, list) else []:
            schema = item.get("schema") if isinstance(item, dict) and item.get("name") == match[1] else None
            if isinstance(schema, dict) and schema.get("default") is not None:
                return str(schema["default"])
        if wildcard is None:
            raise fault("configuration", f"nothing says which {match[1]!r} of {address!r} to subscribe to")
        return wildcard

    return re.sub(r"\{([^{}]*)\}", value_of, address)


def declared_of(operation: JsonObject) -> list[JsonObject]:
    """The messages that the operation declares."""
    listed = operation.get("messages")
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def correlation_of(operation: JsonObject, payload: Json, headers: JsonObject) -> str | None:
    """The correlation id of a message, where the document says that it is."""
    return _correlation(declared_of(operation), payload, headers)


def _declared(operation: JsonObject, kind: str | None) -> JsonObject:
    listed = operation.get("messages")
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and item.get("name") == kind:
            return item
    return {}


def _correlation(declared: list[JsonObject], payload: Json, headers: JsonObject) -> str | None:
    for message in declared:
        location = message.get("correlation_id")
        if isinstance(location, str):
            with suppress(InvalidMessage):
                found = locate(location, payload, headers)
                if found is not None and not isinstance(found, dict | list):
                    return scalar_text(found)
    return None


def header_text(name: str, value: Json) -> str:
    """The value of a header, which is a scalar without control characters; else a fault."""
    if isinstance(value, dict | list):
        raise fault("configuration", f"header {name!r} must be a scalar")
    text = scalar_text(value)
    if re.search(r"[\x00-\x1f\x7f]", name + text) or not name:
        raise fault("validation", f"header {name!r} has a character that a header cannot have")
    return text


def _payload(body: bytes, content_type: str) -> Json:
    """What *body* says, as far as it is what *content_type* promises; else its text, or base64 of what is no text."""
    try:
        return decode(body, content_type)
    except ValueError:
        pass
    try:
        return body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode()
