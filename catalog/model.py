r"""What services can send and receive, whatever the version of AsyncAPI it was written in.

Two words tell the direction of an operation. `Operation.action` is the application's own: it ``send``\ s or
``receive``\ s (AsyncAPI 3). `Operation.workflow_may` is ours, from the other side: a workflow may ``publish``
to what the application receives, and ``subscribe`` to what it sends. AsyncAPI 2 writes the second: its
``publish`` means that others may publish to the channel. `Operation.keyword` is the word of the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from catalog.errors import Problem
from catalog.values import Json, JsonObject, as_object

Action = Literal["send", "receive"]
Direction = Literal["publish", "subscribe"]


@dataclass(frozen=True, slots=True)
class Security:
    """One way to authenticate: *type* as in AsyncAPI (``http``, ``oauth2``, ``scramSha256`` …), *details* the
    rest of the scheme, *scopes* what must be granted. *name* is empty for a scheme written in place.
    """

    name: str
    type: str
    scopes: tuple[str, ...] = ()
    details: Json = None


@dataclass(frozen=True, slots=True)
class Server:
    """A broker or host. *url*, *host* and *pathname* may hold ``{variables}``; *variables* has, for each,
    its ``default`` and ``enum`` as written. Any one of *security* is enough; none means none is needed.
    """

    name: str
    url: str
    host: str
    pathname: str
    protocol: str
    protocol_version: str | None = None
    description: str | None = None
    variables: Json = None
    security: tuple[Security, ...] = ()
    bindings: Json = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A ``{name}`` in a channel's address. *schema* is draft-07 JSON Schema (version 2) or made of ``enum``
    and ``default`` (version 3); *location* is a runtime expression saying where a message carries the value.
    """

    name: str
    description: str | None = None
    location: str | None = None
    schema: Json = None


@dataclass(frozen=True, slots=True)
class Channel:
    """Where messages flow. *address* is None in version 3 if it is known only when running; *name* is the
    channel's key in version 3, its address in version 2.
    """

    name: str
    address: str | None
    parameters: tuple[Parameter, ...] = ()
    description: str | None = None
    bindings: Json = None


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel carries. *payload* and *headers* are draft-07 JSON Schemas that need no other document
    (what they refer to is in their ``$defs``), or None where the document says nothing about them.
    *correlation_id* is a runtime expression such as ``$message.header#/correlationId``.
    """

    name: str
    title: str | None = None
    content_type: str = "application/json"
    payload: Json = None
    headers: Json = None
    correlation_id: str | None = None
    summary: str | None = None
    bindings: Json = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Where answers come (AsyncAPI 3): to *channel*, or to the address that the request carries at
    *address_location*, a runtime expression.
    """

    channel: Channel | None = None
    address_location: str | None = None
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """Something a service sends or receives, with all that a caller needs and no reference to elsewhere.

    *id* is None for an AsyncAPI 2 operation without an ``operationId``: it is found by its channel. *service*
    is the name its document is registered under (the title, if it is not registered), *digest* that of the
    document's text.
    """

    id: str | None
    action: Action
    keyword: str
    channel: Channel
    service: str
    version: str
    asyncapi: str
    digest: str
    servers: tuple[Server, ...] = ()
    messages: tuple[Message, ...] = ()
    reply: Reply | None = None
    title: str | None = None
    summary: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    security: tuple[Security, ...] = ()
    bindings: Json = None

    @property
    def workflow_may(self) -> Direction:
        """What others, a workflow among them, may do: publish what the service receives, or subscribe."""
        return "publish" if self.action == "receive" else "subscribe"

    def to_json(self) -> JsonObject:
        """All of it as plain JSON, to be pinned; `from_json` reads it back. *channel* is the address there,
        and what else is known of the channel is in *channel_details*.
        """
        return {
            "service": self.service,
            "operation": self.id,
            "title": self.title,
            "summary": self.summary,
            "description": self.description,
            "tags": list(self.tags),
            "action": self.action,
            "keyword": self.keyword,
            "workflow_may": self.workflow_may,
            "channel": self.channel.address,
            "channel_details": _plain(self.channel),
            "servers": _plain(self.servers),
            "security": _plain(self.security),
            "messages": _plain(self.messages),
            "reply": _plain(self.reply),
            "bindings": self.bindings,
            "asyncapi": self.asyncapi,
            "version": self.version,
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Operation:
        """Read what `to_json` wrote; `ValueError` if it is something else."""
        try:
            reply = data["reply"]
            return cls(
                id=_text_or_none(data["operation"]),
                action="send" if data["action"] == "send" else "receive",
                keyword=str(data["keyword"]),
                channel=_channel_from_json(as_object(data["channel_details"])),
                service=str(data["service"]),
                version=str(data["version"]),
                asyncapi=str(data["asyncapi"]),
                digest=str(data["digest"]),
                servers=tuple(_server_from_json(item) for item in _objects(data["servers"])),
                messages=tuple(_message_from_json(item) for item in _objects(data["messages"])),
                reply=None if reply is None else _reply_from_json(as_object(reply)),
                title=_text_or_none(data["title"]),
                summary=_text_or_none(data["summary"]),
                description=_text_or_none(data["description"]),
                tags=_texts(data["tags"]),
                security=tuple(_security_from_json(item) for item in _objects(data["security"])),
                bindings=data["bindings"],
            )
        except KeyError as error:
            raise ValueError(f"not an operation of the catalog: {error.args[0]!r} is missing") from error


@dataclass(frozen=True, slots=True)
class Service:
    """The application that a document describes."""

    name: str
    title: str
    version: str
    description: str | None = None
    servers: tuple[Server, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """One AsyncAPI document. *version* is its ``info.version``, *asyncapi* that of the specification, *digest*
    is ``sha256:`` of *text*, which is empty in listings; *operation_count* counts those without an id too.
    """

    name: str
    version: str
    title: str
    asyncapi: str
    description: str | None
    digest: str
    registered_at: datetime
    operation_count: int
    text: str = ""

    def to_json(self) -> JsonObject:
        """Everything but the text, which has its own address."""
        return {
            "name": self.name,
            "version": self.version,
            "title": self.title,
            "asyncapi": self.asyncapi,
            "description": self.description,
            "digest": self.digest,
            "registered_at": self.registered_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "operation_count": self.operation_count,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json], text: str = "") -> Spec:
        """Read what `to_json` wrote."""
        count = data["operation_count"]
        return cls(
            name=str(data["name"]),
            version=str(data["version"]),
            title=str(data["title"]),
            asyncapi=str(data["asyncapi"]),
            description=_text_or_none(data["description"]),
            digest=str(data["digest"]),
            registered_at=datetime.fromisoformat(str(data["registered_at"])),
            operation_count=count if isinstance(count, int) else 0,
            text=text,
        )


@dataclass(frozen=True, slots=True)
class Registration:
    """What came of registering a document: ``created``, ``unchanged`` or ``replaced``; and its warnings."""

    spec: Spec
    outcome: Literal["created", "unchanged", "replaced"]
    warnings: tuple[Problem, ...] = ()


_SEMVER = re.compile(
    r"v?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)


def latest(specs: Sequence[Spec]) -> Spec:
    """The newest of *specs*, which must not be empty.

    Releases before pre-releases, those before versions that are not numbers; then by the precedence of
    Semantic Versioning 2.0.0 section 11 (missing parts count as 0); then the one registered last.
    """
    return max(specs, key=lambda spec: (*_precedence(spec.version), spec.registered_at))


def latest_of_each(specs: Iterable[Spec]) -> list[Spec]:
    """The latest version of each document, in the order in which they first occur."""
    by_name: dict[str, list[Spec]] = {}
    for spec in specs:
        by_name.setdefault(spec.name, []).append(spec)
    return [latest(versions) for versions in by_name.values()]


def _precedence(version: str) -> tuple[int, tuple[int, ...], tuple[tuple[int, int, str], ...]]:
    match = _SEMVER.fullmatch(version)
    if match is None:
        return (0, (), ())
    numbers = tuple(int(part or 0) for part in match.group(1, 2, 3))
    if match[4] is None:
        return (2, numbers, ())
    parts = (
        (0, int(part), "") if part.isdecimal() and part.isascii() and len(part) < 19 else (1, 0, part)
        for part in match[4].split(".")
    )
    return (1, numbers, tuple(parts))


def _plain(value: Any) -> Json:
    """Dataclasses as objects, tuples as arrays; the JSON inside them as it is."""
    if is_dataclass(value):
        return {member.name: _plain(getattr(value, member.name)) for member in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    json: Json = value
    return json


def _text_or_none(value: Json) -> str | None:
    return None if value is None else str(value)


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _objects(value: Json) -> list[JsonObject]:
    return [as_object(item) for item in value] if isinstance(value, list) else []


def _security_from_json(data: JsonObject) -> Security:
    return Security(str(data["name"]), str(data["type"]), _texts(data["scopes"]), data["details"])


def _server_from_json(data: JsonObject) -> Server:
    return Server(
        name=str(data["name"]),
        url=str(data["url"]),
        host=str(data["host"]),
        pathname=str(data["pathname"]),
        protocol=str(data["protocol"]),
        protocol_version=_text_or_none(data["protocol_version"]),
        description=_text_or_none(data["description"]),
        variables=data["variables"],
        security=tuple(_security_from_json(item) for item in _objects(data["security"])),
        bindings=data["bindings"],
    )


def _channel_from_json(data: JsonObject) -> Channel:
    parameters = tuple(
        Parameter(
            str(item["name"]),
            _text_or_none(item["description"]),
            _text_or_none(item["location"]),
            item["schema"],
        )
        for item in _objects(data["parameters"])
    )
    return Channel(
        name=str(data["name"]),
        address=_text_or_none(data["address"]),
        parameters=parameters,
        description=_text_or_none(data["description"]),
        bindings=data["bindings"],
    )


def _message_from_json(data: JsonObject) -> Message:
    return Message(
        name=str(data["name"]),
        title=_text_or_none(data["title"]),
        content_type=str(data["content_type"]),
        payload=data["payload"],
        headers=data["headers"],
        correlation_id=_text_or_none(data["correlation_id"]),
        summary=_text_or_none(data["summary"]),
        bindings=data["bindings"],
    )


def _reply_from_json(data: JsonObject) -> Reply:
    channel = data["channel"]
    return Reply(
        channel=None if channel is None else _channel_from_json(as_object(channel)),
        address_location=_text_or_none(data["address_location"]),
        messages=tuple(_message_from_json(item) for item in _objects(data["messages"])),
    )
