"""The router's target that is an operation of the catalog: what its service receives is sent by its broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

import orjson

from catalog.errors import InvalidMessage
from catalog.messages import address, validate
from workflow_engine.calls.authentication import with_secret
from workflow_engine.calls.brokers.admission import Resolve, around, check_login, operation_of, server_of
from workflow_engine.calls.brokers.cloudevents import message_of
from workflow_engine.calls.brokers.direct import HEADED, correlation_of, declared_of, header_text, link_to
from workflow_engine.calls.brokers.lines import Lines
from workflow_engine.calls.brokers.link import Link, Outgoing
from workflow_engine.calls.brokers.server import Server
from workflow_engine.calls.content import JSON, encode
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.reach import UNLIMITED, Reaches
from workflow_engine.calls.secrets import Secrets
from workflow_engine.errors import Fault, NotFound, Rejected
from workflow_engine.events.http import body_of
from workflow_engine.events.targets import Delivered, Delivery, Drop, Retry
from workflow_engine.events.transforms import NotTransformed, check_template, filled
from workflow_engine.telemetry.spans import active
from workflow_engine.values import Json, JsonObject, pointer

KIND = "asyncapi"
MODES = ("payload", "structured", "binary")
_TYPES: Mapping[str, type] = {
    "kind": str,
    "operation": str,
    "server": dict,
    "protocol": str,
    "authentication": dict,
    "mode": str,
    "headers": dict,
    "key": str,
}
_LATER = ("/communication", "/authentication", "/authorization", "/timeout")
_FRESH = 10.0
"""For how many seconds an operation is taken as the catalog had it."""
_MOST = 1000
_SHOWN = 3


class OperationTarget:
    """``{"kind": "asyncapi", "operation": reference}``: one message for each event, confirmed by the broker.

    * ``server``, ``protocol``, ``authentication`` as calls have them, but that a secret names who connects.
    * ``mode``: ``payload``, the data alone, or the event, ``structured`` or ``binary``, as CloudEvents are; as the
      operation's messages are, where it says nothing.
    * ``headers``: further ones; ``key``: of the record of Kafka, or else ``partitionkey``. Both are templates.

    What does not fit the operation's messages is a dead letter; what the network or the broker does is tried again. The
    latest version of the document is meant, unless the reference names one.
    """

    def __init__(
        self, egress: Egress, secrets: Secrets, resolve: Resolve, reach: Reaches = UNLIMITED
    ) -> None:
        self._egress, self._secrets, self._resolve, self._reach = egress, secrets, resolve, reach
        self._lines = Lines()
        self._known: dict[str, tuple[float, JsonObject]] = {}

    async def close(self) -> None:
        """End its connections."""
        await self._lines.close()

    async def admit(self, target: JsonObject, *path: str) -> None:
        """Raise `Rejected`, with the place below *path*, for what cannot be sent, whatever the events are."""
        for name, value in target.items():
            if name not in _TYPES or not isinstance(value, _TYPES[name]):
                wanted = f"expected one of {', '.join(_TYPES)}" if name not in _TYPES else "of another type"
                raise Rejected("target-invalid", wanted, pointer=pointer(*path, name))
        mode = target.get("mode")
        if mode is not None and mode not in MODES:
            message = f"expected one of {', '.join(MODES)}"
            raise Rejected("target-invalid", message, pointer=pointer(*path, "mode"))
        if "operation" not in target:
            message = "an operation of the catalog is required"
            raise Rejected("target-invalid", message, pointer=pointer(*path, "operation"))
        for name in ("headers", "key"):
            if name in target:
                check_template(target[name], *path, name)
        check_login(target.get("authentication"), *path, "authentication")
        operation = await operation_of(self._resolve, str(target["operation"]), "publish", *path, "operation")
        server = self._server(target, operation, self._egress, *path)
        if "key" in target and server.protocol != "kafka":
            raise Rejected(
                "target-invalid", "only records of Kafka have a key", pointer=pointer(*path, "key")
            )
        if server.protocol == "mqtt" and not server.version.startswith("5"):
            for name in [each for each in ("headers", "mode") if each in target]:
                if name == "headers" or mode == "binary":
                    message = "MQTT has headers from version 5 on (`protocolVersion: 5`)"
                    raise Rejected("target-invalid", message, pointer=pointer(*path, name))

    def _server(self, target: JsonObject, operation: JsonObject, egress: Egress, *path: str) -> Server:
        return server_of(operation, target.get("server"), target.get("protocol"), egress, *path, "server")

    async def deliver(self, delivery: Delivery) -> Delivered:
        target = delivery.target
        operation = await self._operation(str(target.get("operation")))
        own = self._reach.of_channel(delivery.channel)
        egress = own.egress(self._egress)
        try:
            self._reach.check_target(delivery.channel, target)  # others have connections with the same secret
            server = self._server(target, operation, egress, "target")
        except Rejected as error:
            raise Drop(str(error), code="refused") from None
        made = []
        for number, event in enumerate(delivery.events):
            id = delivery.identity if len(delivery.events) == 1 else f"{delivery.identity}-{number}"
            made.append(await asyncio.to_thread(_message, target, operation, server, event, id))
        known_by = {name: target.get(name) for name in ("operation", "server", "protocol", "authentication")}
        key = orjson.dumps([known_by, operation.get("digest"), own.hosts]).decode()

        async def connect() -> Link:
            return await self._link(target, operation, server, egress)

        try:
            async with self._lines.line(key, egress, connect) as send:
                for to, message in made:
                    await send(to, _traced(message, server))
        except NotFound as error:
            raise Retry(str(error), code="no-secret") from None
        except Fault as failed:
            detail = failed.error.detail or str(failed)
            if failed.error.type.endswith(_LATER):
                raise Retry(detail, code="no-answer") from None
            raise Drop(detail, code="refused") from None
        return Delivered("sent", reference=", ".join(to for to, _ in made)[:1000])

    async def _operation(self, reference: str) -> JsonObject:
        now = time.monotonic()
        at, operation = self._known.get(reference, (-_FRESH, {}))
        if now - at >= _FRESH:
            try:
                operation = await operation_of(self._resolve, reference, "publish", "target", "operation")
            except Rejected as error:
                raise Retry(str(error), code="no-operation") from None
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[reference] = (now, operation)
        return operation

    async def _link(self, target: JsonObject, operation: JsonObject, server: Server, egress: Egress) -> Link:
        given: JsonObject = {}
        if target.get("authentication") is not None:
            given["authentication"] = await with_secret(target["authentication"], self._secrets)
        context = around(egress, uuid4().hex, "/subscriptions")
        declared = declared_of(operation)
        channel = str(operation.get("channel"))
        return await link_to(operation, server, channel, given, context, declared[0] if declared else None)


def _traced(message: Outgoing, server: Server) -> Outgoing:
    """*message* with the trace that this delivery is part of; with MQTT that is for the protocol to do."""
    span = active()
    if span is None or server.protocol not in HEADED:
        return message
    headers = dict(message.headers)
    span.inject(headers)
    return replace(message, headers=headers)


def _message(
    target: JsonObject, operation: JsonObject, server: Server, event: JsonObject, id: str
) -> tuple[str, Outgoing]:
    """Where *event* is sent to, and as what; `Drop` for what does not fit."""
    mode = _mode(target, operation)
    payload: Json = event.get("data", event.get("data_base64"))
    try:
        headers = filled(target["headers"], event) if "headers" in target else {}
        key = filled(target["key"], event) if "key" in target else event.get("partitionkey")
    except NotTransformed as error:
        raise Drop(str(error), code="not-transformed") from None
    assert isinstance(headers, dict)
    fits = validate(operation, payload, headers)
    if not fits.valid and (mode == "payload" or not validate(operation, event, headers).valid):
        problems = "; ".join(f"{each.pointer or '/'}: {each.message}" for each in fits.problems[:_SHOWN])
        raise Drop(problems, code="schema")
    try:
        to = address(operation, payload=payload, headers=headers)
        texts = {name: header_text(name, value) for name, value in headers.items() if value is not None}
    except InvalidMessage as error:
        raise Drop(str(error), code="no-address") from None
    except Fault as refused:
        raise Drop(refused.error.detail or str(refused), code="bad-header") from None
    body: bytes | None
    if mode == "payload":
        body, content_type = _payload(operation, fits.message, event)
    else:
        body, content_type, own = message_of(server.protocol, mode, event)
        texts = {**own, **texts}
    correlation = event.get("correlationid") or correlation_of(operation, payload, headers)
    return to, Outgoing(
        body or b"",
        content_type,
        texts,
        id,
        None if correlation is None else str(correlation),
        None if key is None or key == "" else str(key),
        bare=body is None,
    )


def _mode(target: JsonObject, operation: JsonObject) -> str:
    """As the target says, or else as the messages of the operation are: CloudEvents, or only their data."""
    types = [str(each.get("content_type")).lower() for each in declared_of(operation)]
    events = bool(types) and all(each.startswith("application/cloudevents") for each in types)
    return str(target.get("mode") or ("structured" if events else "payload"))


def _payload(operation: JsonObject, kind: str | None, event: JsonObject) -> tuple[bytes, str]:
    """The data of *event* as the operation's message of this *kind* is written, or the bytes that it is."""
    if "data_base64" in event:
        body, media_type = body_of(event)
        return body, media_type or "application/octet-stream"
    declared = next((each for each in declared_of(operation) if each.get("name") == kind), {})
    try:
        return encode(event.get("data"), str(declared.get("content_type") or JSON))
    except Fault as refused:
        raise Drop(refused.error.detail or str(refused), code="not-written") from None
