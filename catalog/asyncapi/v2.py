"""AsyncAPI 2.0.0 to 2.6.0: channels, each with what others may publish to it and subscribe to."""

from __future__ import annotations

import re
from collections.abc import Iterator

from catalog.asyncapi import parts
from catalog.asyncapi.pinning import check_format, pin_schema
from catalog.asyncapi.reading import Cursor
from catalog.description import Description
from catalog.model import Channel, Message, Operation, Parameter, Security, Server, Service
from catalog.values import merge_patch

_URL = re.compile(r"(?:[^:/?#{}]+://)?([^/]*)(/.*)?", re.DOTALL)


def describe(document: Cursor, service_name: str | None, digest: str) -> Description:
    """Read a document whose shape may be wrong; what is, is told as problems of the reading."""
    info = document.get("info")
    title, version = info.text("title") or "", info.text("version") or ""
    asyncapi = document.text("asyncapi") or ""
    servers = {name: _server(name, server) for name, server in document.get("servers").members()}
    channels: list[Channel] = []
    operations: list[Operation] = []
    ids: set[str] = set()
    for address, item in document.get("channels").members():
        channel = _channel(address, item)
        channels.append(channel)
        reachable = _servers_of(item, servers)
        for keyword in ("publish", "subscribe"):
            if keyword not in item:
                continue
            cursor = _with_traits(item.get(keyword))
            id = cursor.text("operationId")
            if id is None:
                text = (
                    f"{keyword!r} of {address!r} has no operationId, so it can only be found by its channel"
                )
                cursor.problem("missing-operation-id", text, severity="warning")
            elif id in ids:
                cursor.problem(
                    "duplicate-operation", f"the operationId {id!r} is already there", at="operationId"
                )
            if id is not None:
                ids.add(id)
            operations.append(
                Operation(
                    id=id,
                    action="receive" if keyword == "publish" else "send",
                    keyword=keyword,
                    channel=channel,
                    service=service_name or title,
                    version=version,
                    asyncapi=asyncapi,
                    digest=digest,
                    servers=reachable,
                    messages=tuple(_messages(document, cursor, id or address)),
                    summary=cursor.text("summary"),
                    description=cursor.text("description"),
                    tags=parts.tags(cursor),
                    security=_security(cursor),
                    bindings=parts.bindings(cursor),
                )
            )
    service = Service(
        service_name or title, title, version, info.text("description"), tuple(servers.values())
    )
    return Description(asyncapi, digest, service, tuple(channels), tuple(operations))


def _with_traits(cursor: Cursor) -> Cursor:
    """Merge traits as AsyncAPI 2 does: each is a JSON merge patch over what is there, so the trait wins."""
    for trait in parts.traits(cursor):
        ours, theirs = parts.mergeable(cursor, trait)
        merged = merge_patch(ours, theirs)
        cursor = cursor.replaced(merged if isinstance(merged, dict) else {})
    return cursor


def _server(name: str, cursor: Cursor) -> Server:
    url = cursor.text("url") or ""
    match = _URL.fullmatch(url)
    return Server(
        name=name,
        url=url,
        host=match[1] if match else url,
        pathname=(match[2] or "") if match else "",
        protocol=cursor.text("protocol") or "",
        protocol_version=cursor.text("protocolVersion"),
        description=cursor.text("description"),
        variables=cursor.get("variables").plain(),
        security=_security(cursor),
        bindings=parts.bindings(cursor),
    )


def _security(cursor: Cursor) -> tuple[Security, ...]:
    schemes = cursor.reading.cursor().get("components").get("securitySchemes")
    found: list[Security] = []
    for requirement in cursor.get("security").elements():
        for name, scopes in requirement.members():
            if name not in schemes:
                text = f"no security scheme {name!r} is in components"
                requirement.problem("unknown-security-scheme", text, at=name)
            else:
                granted = scopes.value if isinstance(scopes.value, list) else ()
                found.append(parts.security_scheme(name, schemes.get(name), granted))
    return tuple(found)


def _channel(address: str, cursor: Cursor) -> Channel:
    parameters = tuple(
        Parameter(name, item.text("description"), item.text("location"), pin_schema(item.written("schema")))
        for name, item in cursor.get("parameters").members()
    )
    parts.check_parameters(address, parameters, cursor)
    return Channel(address, address, parameters, cursor.text("description"), parts.bindings(cursor))


def _servers_of(channel: Cursor, servers: dict[str, Server]) -> tuple[Server, ...]:
    """Those the channel names; all of them if it names none."""
    wanted = list(channel.get("servers").elements())
    for item in wanted:
        if isinstance(item.value, str) and item.value not in servers:
            item.problem("unknown-server", f"no server {item.value!r} is in the document")
    chosen = tuple(
        servers[item.value] for item in wanted if isinstance(item.value, str) and item.value in servers
    )
    return chosen if wanted else tuple(servers.values())


def _messages(document: Cursor, operation: Cursor, name: str) -> Iterator[Message]:
    """The one message, or each of ``oneOf``, however they are nested."""
    waiting, seen = [operation.get("message")], set[str]()
    while waiting:
        cursor = waiting.pop(0)
        if cursor.value is None or cursor.pointer in seen:
            continue
        seen.add(cursor.pointer)
        if "oneOf" in cursor:
            waiting[:0] = cursor.get("oneOf").elements()
        else:
            yield _message(document, cursor, name)


def _message(document: Cursor, written: Cursor, name: str) -> Message:
    cursor = _with_traits(written)
    supported = check_format(cursor.text("schemaFormat"), cursor)
    payload = pin_schema(cursor.written("payload")) if supported else None
    in_components = re.fullmatch(r"/components/messages/([^/]+)", cursor.pointer)
    own_name = cursor.text("messageId") or (in_components[1] if in_components else name)
    return parts.message(cursor, own_name, payload, document.text("defaultContentType"))
