"""AsyncAPI 3.0.0 and 3.1.0: channels with their messages, and operations that send or receive them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from catalog.asyncapi import parts
from catalog.asyncapi.pinning import pin_schema
from catalog.asyncapi.reading import Cursor
from catalog.description import Description
from catalog.model import Action, Channel, Message, Operation, Parameter, Reply, Security, Server, Service
from catalog.values import JsonObject, merge_patch, unescape


def describe(document: Cursor, service_name: str | None, digest: str) -> Description:
    """Read a document whose shape may be wrong; what is, is told as problems of the reading."""
    info = document.get("info")
    title, version = info.text("title") or "", info.text("version") or ""
    asyncapi = document.text("asyncapi") or ""
    servers = tuple(_server(name, cursor) for name, cursor in document.get("servers").members())
    by_place = {
        cursor.pointer: server for server, cursor in zip(servers, _values(document, "servers"), strict=True)
    }
    channels = _Channels(document, by_place)
    for _, cursor in document.get("channels").members():
        channels.at(cursor)
    operations: list[Operation] = []
    for id, written in document.get("operations").members():
        cursor = _with_traits(written)
        channel, reachable = channels.of(cursor)
        action: Action = "send" if cursor.text("action") == "send" else "receive"
        operations.append(
            Operation(
                id=id,
                action=action,
                keyword=action,
                channel=channel,
                service=service_name or title,
                version=version,
                asyncapi=asyncapi,
                digest=digest,
                servers=reachable,
                messages=tuple(_messages(document, cursor)),
                reply=_reply(document, cursor.get("reply"), channels),
                title=cursor.text("title"),
                summary=cursor.text("summary"),
                description=cursor.text("description"),
                tags=parts.tags(cursor),
                security=_security(cursor),
                bindings=parts.bindings(cursor),
            )
        )
    service = Service(service_name or title, title, version, info.text("description"), servers)
    return Description(asyncapi, digest, service, channels.all(), tuple(operations))


def _values(cursor: Cursor, name: str) -> Iterator[Cursor]:
    return (value for _, value in cursor.get(name).members())


def _with_traits(cursor: Cursor) -> Cursor:
    """Merge traits as AsyncAPI 3 does: a later trait over an earlier one, the target over them all."""
    traits: JsonObject = {}
    for trait in parts.traits(cursor):
        _, theirs = parts.mergeable(cursor, trait)
        merged = merge_patch(traits, theirs)
        traits = merged if isinstance(merged, dict) else {}
    if not traits:
        return cursor
    ours, _ = parts.mergeable(cursor, cursor.replaced(traits))
    return cursor.replaced(_filled(ours, traits))


def _filled(target: JsonObject, defaults: JsonObject) -> JsonObject:
    filled: JsonObject = dict(target)
    for name, value in defaults.items():
        present = filled.get(name)
        if name not in filled:
            filled[name] = value
        elif isinstance(present, dict) and isinstance(value, dict):
            filled[name] = _filled(present, value)
    return filled


def _server(name: str, cursor: Cursor) -> Server:
    host, pathname = cursor.text("host") or "", cursor.text("pathname") or ""
    protocol = cursor.text("protocol") or ""
    return Server(
        name=name,
        url=f"{protocol}://{host}{pathname}",
        host=host,
        pathname=pathname,
        protocol=protocol,
        protocol_version=cursor.text("protocolVersion"),
        description=cursor.text("description"),
        variables=cursor.get("variables").plain(),
        security=_security(cursor),
        bindings=parts.bindings(cursor),
    )


def _security(cursor: Cursor) -> tuple[Security, ...]:
    found: list[Security] = []
    for scheme in cursor.get("security").elements():
        _, _, last = scheme.pointer.rpartition("/securitySchemes/")
        scopes = scheme.object.get("scopes")
        name = unescape(last) if "/securitySchemes/" in scheme.pointer else ""
        found.append(parts.security_scheme(name, scheme, scopes if isinstance(scopes, list) else ()))
    return tuple(found)


@dataclass(slots=True)
class _Channels:
    """The document's channels by their place, each read once."""

    document: Cursor
    servers: dict[str, Server]
    read: dict[str, tuple[Channel, tuple[Server, ...]]]

    def __init__(self, document: Cursor, servers: dict[str, Server]) -> None:
        self.document, self.servers, self.read = document, servers, {}

    def all(self) -> tuple[Channel, ...]:
        return tuple(channel for channel, _ in self.read.values())

    def of(self, owner: Cursor) -> tuple[Channel, tuple[Server, ...]]:
        """The channel that *owner*, an operation or a reply, refers to."""
        return self.at(owner.get("channel"))

    def at(self, cursor: Cursor) -> tuple[Channel, tuple[Server, ...]]:
        if cursor.pointer not in self.read:
            self.read[cursor.pointer] = (_channel(cursor), self._servers_of(cursor))
        return self.read[cursor.pointer]

    def _servers_of(self, channel: Cursor) -> tuple[Server, ...]:
        """Those the channel refers to; all of the document if it refers to none."""
        wanted = list(channel.get("servers").elements())
        for cursor in wanted:
            if cursor.pointer not in self.servers:
                text = "a channel's servers must be among the servers of the document"
                channel.problem("unknown-server", text, at="servers")
        chosen = tuple(self.servers[cursor.pointer] for cursor in wanted if cursor.pointer in self.servers)
        return chosen if wanted else tuple(self.servers.values())


def _channel(cursor: Cursor) -> Channel:
    name = unescape(cursor.pointer.rsplit("/", 1)[-1])
    parameters = tuple(_parameter(name, item) for name, item in cursor.get("parameters").members())
    address = cursor.text("address")
    parts.check_parameters(address, parameters, cursor)
    description = cursor.text("description") or cursor.text("summary")
    return Channel(name, address, parameters, description, parts.bindings(cursor))


def _parameter(name: str, cursor: Cursor) -> Parameter:
    schema: JsonObject = {"type": "string"}
    for keyword in ("enum", "default", "examples"):
        if keyword in cursor:
            schema[keyword] = cursor.object[keyword]
    return Parameter(name, cursor.text("description"), cursor.text("location"), schema)


def _messages(document: Cursor, owner: Cursor) -> Iterator[Message]:
    """Those that the operation or reply refers to; all of its channel if it has no list."""
    of_channel = dict(owner.get("channel").get("messages").members())
    if "messages" not in owner:
        for name, cursor in of_channel.items():
            yield _message(document, cursor, name)
        return
    names = {cursor.pointer: name for name, cursor in of_channel.items()}
    listed = owner.get("messages")
    for index, cursor in enumerate(listed.elements()):
        if cursor.pointer in names:
            yield _message(document, cursor, names[cursor.pointer])
        elif cursor.pointer != f"{listed.pointer}/{index}":  # a reference that leads somewhere
            text = "the message is not one of the messages of the operation's channel"
            listed.problem("message-not-in-channel", text, at=str(index))


def _message(document: Cursor, written: Cursor, name: str) -> Message:
    cursor = _with_traits(written)
    return parts.message(
        cursor, name, pin_schema(cursor.written("payload")), document.text("defaultContentType")
    )


def _reply(document: Cursor, cursor: Cursor, channels: _Channels) -> Reply | None:
    if cursor.value is None:
        return None
    channel = channels.of(cursor)[0] if "channel" in cursor else None
    messages = tuple(_messages(document, cursor)) if channel else ()
    return Reply(channel, cursor.get("address").text("location"), messages)
