"""The bodies of requests: read within bounds, decoded, and refused with the place where they are wrong."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection
from io import BytesIO
from typing import TypeAlias

import orjson
from starlette.requests import ClientDisconnect, Request

from workflow_engine.calls.content import in_memory, loads
from workflow_engine.calls.flow import SHARE
from workflow_engine.errors import Rejected
from workflow_engine.values import Json, JsonObject, pointer

MAX_DOCUMENT = 1024 * 1024
"""The largest workflow document, in bytes, and the largest input of a run, unless the server takes larger ones."""
MAX_PACKAGE = 8 * 1024 * 1024
"""The largest document with its resources, and the largest batch of events."""
MAX_DEPTH = 100
"""How deep arrays and objects may be nested: as deep as in a document."""
JSON_TYPES = frozenset({"application/json", "text/json"})

_PARSED_HERE = 1024 * 1024
_DISCARDED = 32 * 1024 * 1024
_LONG_NUMBER = re.compile(rb"\d{19}")
_Trail: TypeAlias = "tuple[_Trail, str | int] | None"
CURL = "application/x-www-form-urlencoded"
"""What curl says of any body, unless it is told; browsers, which mean it, send their origin with it."""


def media_type(request: Request) -> str:
    """The media type of the body in lower case without parameters; empty where there is none.

    `Rejected` for a charset other than UTF-8 and for a compressed body.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Rejected(
            "unsupported-encoding", f"Content-Encoding {encoding!r}: send the body uncompressed", status=415
        )
    kind, *parameters = request.headers.get("content-type", "").lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('" ') not in ("utf-8", "utf8", "us-ascii"):
            raise Rejected("unsupported-charset", f"charset {value}: send the body in UTF-8", status=415)
    return kind.strip()


def check_type(request: Request, known: Collection[str]) -> str:
    """`media_type`, if it is one of *known* or absent; else `Rejected` with status 415."""
    kind = media_type(request)
    if kind == CURL and "origin" not in request.headers:
        return ""
    if kind and kind not in known:
        raise Rejected(
            "unsupported-media-type", f"{kind[:100]!r}: send {' or '.join(sorted(known))}", status=415
        )
    return kind


async def read(request: Request, most: int) -> bytes:
    """The body; `Rejected` with status 413 as soon as it has, or says that it will have, over *most* bytes."""
    length = request.headers.get("content-length", "0")
    body = BytesIO()  # which gives what it has without a copy
    received = 0
    too_large = length.isdecimal() and int(length) > most
    if too_large and request.headers.get("expect", "").lower() == "100-continue":
        raise _too_large(most)  # the caller waits for leave to send, and is not given it
    async for chunk in request.stream():
        received += len(chunk)
        if received > max(_DISCARDED, most):
            break
        if too_large or received > most:  # read on, for an answer to a caller who is still sending is lost
            too_large = True
            body = BytesIO()
        else:
            body.write(chunk)
    if too_large:
        raise _too_large(most)
    return body.getvalue()


def _too_large(most: int) -> Rejected:
    return Rejected("too-large", f"the body has more than {most:,} bytes, which is the most", status=413)


async def read_text(request: Request, most: int = MAX_DOCUMENT) -> str:
    """The body as text; `Rejected` with line and column of the first byte that is not UTF-8."""
    return decode(await read(request, most))


def decode(body: bytes) -> str:
    """*body* from UTF-8, without a byte order mark; `Rejected` says where it is something else."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = body[: error.start]
        line, column = good.count(b"\n") + 1, error.start - good.rfind(b"\n")
        raise Rejected(
            "not-utf-8", f"line {line}, byte {column} is not UTF-8; send the text as UTF-8"
        ) from None


async def read_json(request: Request, most: int = MAX_DOCUMENT, *, empty: Json = None) -> Json:
    """The body as JSON, as `parse` reads it; *empty* stands for a body without a character, of any type."""
    body = await read(request, most)
    if not body or body.isspace():
        return empty
    check_type(request, JSON_TYPES)
    if len(body) <= _PARSED_HERE:
        return parse(body)
    share, more = SHARE.get(), in_memory(body) - len(body)  # its text is in the room for bodies
    if share is not None and more > _PARSED_HERE:
        await share.take(more)
    return await asyncio.to_thread(parse, body)


async def read_object(request: Request, most: int, known: Collection[str]) -> JsonObject:
    """The body as a JSON object that has members of the names *known* alone."""
    body = await read_json(request, most)
    if not isinstance(body, dict):
        raise Rejected("wrong-type", "the body must be a JSON object")
    unknown_members(body, known)
    return body


def unknown_members(body: JsonObject, known: Collection[str]) -> None:
    """`Rejected` for a member of *body* that is not *known*."""
    for name in body:
        if name not in known:
            expected = ", ".join(sorted(known))
            raise Rejected("unknown-member", f"expected one of {expected}", pointer=pointer(name[:200]))


def parse(body: bytes) -> Json:
    """Read JSON (RFC 8259) strictly: no NaN, no half surrogates, integers of 64 bits, bounded depth."""
    try:
        value = loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        decode(body)
        message = error.msg.partition(": line ")[0]
        raise Rejected("invalid-json", f"line {error.lineno}, column {error.colno}: {message}") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if _LONG_NUMBER.search(body):
        json.loads(body.removeprefix(b"\xef\xbb\xbf"), parse_int=_integer)
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**64:
        raise Rejected("number-too-large", f"{text[:40]}: integers have 64 bits; send larger ones as text")
    return int(text)


def _check_depth(value: Json) -> None:
    level: list[tuple[Json, _Trail]] = [(value, None)]
    for _ in range(MAX_DEPTH):
        level = [
            (child, (trail, name))
            for parent, trail in level
            for name, child in _children(parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    trail, path = level[0][1], []
    while trail is not None:
        trail, name = trail
        path.append(name)
    place = pointer(*reversed(path))[:1000]
    raise Rejected("too-deep", f"nested deeper than {MAX_DEPTH} levels", pointer=place)


def _children(parent: Json) -> list[tuple[str | int, Json]]:
    if isinstance(parent, dict):
        return list(parent.items())
    return list(enumerate(parent)) if isinstance(parent, list) else []


__all__ = [
    "CURL",
    "JSON_TYPES",
    "MAX_DEPTH",
    "MAX_DOCUMENT",
    "MAX_PACKAGE",
    "ClientDisconnect",
    "check_type",
    "decode",
    "media_type",
    "parse",
    "read",
    "read_json",
    "read_object",
    "read_text",
    "unknown_members",
]
