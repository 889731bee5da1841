"""What sources and targets say of an operation, a server and who connects: found in the catalog, or refused."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import uuid4

from workflow_engine.calls.authentication import SCHEMES, names_a_secret
from workflow_engine.calls.brokers.direct import protocol_of, subscribed
from workflow_engine.calls.brokers.link import OURS
from workflow_engine.calls.brokers.server import Server, bindings, choose
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.egress import Egress
from workflow_engine.dsl.needs import Need
from workflow_engine.errors import Fault, NotFound, Rejected
from workflow_engine.events.broker_sources import BrokerSource
from workflow_engine.events.subscriptions import check_channel
from workflow_engine.values import Json, JsonObject, pointer

Resolve: TypeAlias = Callable[[Need], Awaitable[Json]]
"""Finds operations: see `calls.resolution`."""
SPOKEN = ("nats", "kafka", "amqp", "mqtt")
HEARD = (*SPOKEN, "http", "ws")
"""What sources may speak: server-sent events, and sockets, too."""
_KEPT = ("nats", "kafka")
"""Whose brokers may have messages from before."""
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,200}")
_GROUP_OF_KAFKA = re.compile(r"[A-Za-z0-9._-]{1,200}")
_ELSEWHERE = {
    "http": "over HTTP events are sent to a target of kind webhook",
    "ws": "over WebSocket nothing says what has arrived",
}


async def operation_of(resolve: Resolve, reference: str, direction: str, *path: str) -> JsonObject:
    """The operation of the catalog that *reference* names, with which a workflow may *direction*; else `Rejected`."""
    place = pointer(*path)
    try:
        found = await resolve(Need("asyncapi", reference, place, reference))
    except (NotFound, Rejected) as error:
        raise Rejected("operation-unknown", str(error), pointer=place) from None
    assert isinstance(found, dict)
    if found.get("workflow_may") != direction:
        does, so = ("receives", "a target") if direction == "subscribe" else ("sends", "a source")
        raise Rejected(
            "operation-direction", f"{reference}: its service {does} here: it is for {so}", pointer=place
        )
    return found


def server_of(
    operation: JsonObject,
    server: Json,
    protocol: Json,
    egress: Egress,
    *path: str,
    spoken: Sequence[str] = SPOKEN,
) -> Server:
    """The server of *operation* that is meant, which can be spoken to; else `Rejected` with the place below *path*."""
    listed = operation.get("servers")
    if server is None and protocol is None and isinstance(listed, list) and len(listed) > 1:
        names = ", ".join(f"{each.get('name')}" for each in listed if isinstance(each, dict))
        raise Rejected("server", f"the document has several: name one of {names}", pointer=pointer(*path))
    try:
        chosen = choose(operation, server, protocol)
        if chosen.protocol not in spoken:
            why = _ELSEWHERE.get(chosen.protocol, f"spoken are {', '.join(spoken)}")
            message = f"{chosen} speaks {chosen.protocol}: {why}"
            raise Rejected("protocol-unsupported", message, pointer=pointer(*path))
        protocol_of(chosen)
        for host, _ in chosen.hosts:
            egress.policy.check_host(host)
    except Fault as refused:
        raise Rejected("server", refused.error.detail or str(refused), pointer=pointer(*path)) from None
    return chosen


def check_login(policy: Json, *path: str) -> None:
    """Raise `Rejected` for who connects unless a secret says it, in a way that brokers know."""
    if policy is None:
        return
    schemes = ", ".join(scheme for scheme in SCHEMES if scheme != "digest")
    if not isinstance(policy, dict) or not names_a_secret(policy) or "digest" in policy:
        message = f'expected {{scheme: {{"use": secret}}}}, the scheme one of {schemes}'
        raise Rejected("authentication", message, pointer=pointer(*path))


async def admitted(
    source: BrokerSource, before: BrokerSource | None, resolve: Resolve, egress: Egress
) -> BrokerSource:
    """*source* with what it hears, as the catalog has it now. It keeps its place at the broker if it hears the same as
    *before*. `Rejected` with the place of what cannot be heard.
    """
    check_login(source.authentication, "authentication")
    operation = await operation_of(resolve, source.operation, "subscribe", "operation")
    server = server_of(operation, source.server, source.protocol, egress, "server", spoken=HEARD)
    method = bindings(operation, "http").get("method") if server.protocol == "http" else None
    if method is not None and str(method).upper() != "GET":
        message = f"{server}: by {method} its service calls others, so it comes to a source with `verify`"
        raise Rejected("protocol-unsupported", message, pointer=pointer("operation"))
    try:
        address = subscribed(operation, server)
    except Fault as refused:
        raise Rejected(
            "address", refused.error.detail or str(refused), pointer=pointer("operation")
        ) from None
    if source.start != "latest" and server.protocol not in _KEPT:
        message = f"{server.protocol} keeps nothing from before: it can only be latest"
        raise Rejected("start-invalid", message, pointer=pointer("start"))
    source = replace(source, pinned=operation, address=address, channel=_channel(source, operation))
    known = None if before is None or not source.goes_on_from(before) else before.group
    if source.group and source.group != known:
        group = _GROUP_OF_KAFKA if server.protocol == "kafka" else _GROUP
        if source.group.startswith(OURS) or not group.fullmatch(source.group):
            message = f"1 to 200 of A-Z a-z 0-9 _ -, and not {OURS!r} at its beginning"
            raise Rejected("group", message, pointer=pointer("group"))
    if not source.group and server.protocol == "kafka":
        declared = protocol_of(server).group_of(bindings(operation, "kafka"))
        source = source if declared is None else replace(source, group=declared)
    name = re.sub(r"[^A-Za-z0-9_-]", "-", source.id)[:100]
    return replace(source, group=source.group or known or f"{OURS}{name}-{uuid4().hex[:8]}")


def _channel(source: BrokerSource, operation: JsonObject) -> str:
    """The channel that the source names, or that of the operation's address."""
    if source.channel:
        return source.channel
    address = str(operation.get("channel"))
    try:
        check_channel(address, "channel")
    except Rejected:
        message = f"the address {address[:200]!r} is not the name of a channel: give one"
        raise Rejected("channel-name", message, pointer=pointer("channel")) from None
    return address


def around(egress: Egress, key: str, source: str) -> CallContext:
    """What a connection is given that is not made for a call."""
    return CallContext(
        idempotency_key=key,
        run_id="",
        state="",
        source=source,
        resources={},
        events=None,
        egress=egress,
        now=datetime.now(UTC),
    )
