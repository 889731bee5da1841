"""Bodies of HTTP messages: from JSON values to bytes and back, by media type (decision A52)."""

from __future__ import annotations

import base64
import binascii
import codecs
import gc
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from urllib.parse import urlencode

import orjson

from workflow_engine.calls.uri_template import scalar_text
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject, unicode

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
_LARGE = 1024 * 1024
_PIECES, _PIECE = 16, 8192
_WIDE, _WIDEST = 0xC4, 0xF0
"""The first bytes in UTF-8 of characters that make a string have two, or four, bytes for each."""
_PART, _ARRAY, _OBJECT = 72, 64, 150
"""What the members of arrays and objects take once they are parsed, in bytes beyond their text; an array; an object."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """A ``Content-Type``: *name* is ``type/subtype`` in lower case, *charset* None where none is given."""

    name: str
    charset: str | None = None

    @staticmethod
    @lru_cache(maxsize=256)
    def parse(header: str) -> MediaType:
        message = Message()
        message["content-type"] = header
        charset = message.get_param("charset")
        return MediaType(
            header.partition(";")[0].strip().lower(), charset if isinstance(charset, str) else None
        )

    @property
    def is_json(self) -> bool:
        return self.name == JSON or self.name.endswith("+json")

    @property
    def is_text(self) -> bool:
        """Text, XML, and any other type that names a charset."""
        return (
            self.name.startswith("text/")
            or self.name == "application/xml"
            or self.name.endswith("+xml")
            or self.charset is not None
        )


def decode(body: bytes, content_type: str) -> Json:
    """What *body* says: JSON parsed, text and XML as a string, anything else as base64; empty is null.

    Raises `ValueError` where the body is not what its type promises.
    """
    if not body:
        return None
    media_type = MediaType.parse(content_type)
    if media_type.is_json:
        return parse_json(_text(body, media_type.charset) if media_type.charset else body)
    if media_type.is_text:
        return _text(body, media_type.charset)
    return base64.b64encode(body).decode()


def parse_json(body: bytes | str) -> Json:
    """Parse JSON text; a byte order mark is skipped. `ValueError` says what is wrong and where."""
    if isinstance(body, bytes):
        body = body.removeprefix(codecs.BOM_UTF8)
    return loads(body)


def loads(body: bytes | bytearray | memoryview | str) -> Json:
    """Parse JSON of any size. What is parsed has no cycles, and the search for them takes most of the time."""
    searched = len(body) >= _LARGE and gc.isenabled()
    if searched:
        gc.disable()
    try:
        parsed: Json = orjson.loads(body)
    finally:
        if searched:
            gc.enable()
    return parsed


_LARGEST = 1.7976931348623157e308


def loads_any(body: bytes | bytearray | memoryview) -> Json:
    """Like `loads`, of what any writer of JSON may have written: what could not be written again is made fit.

    Half a surrogate pair is a replacement character, NaN is null, and a number beyond the doubles the largest one. It
    may be nested some thousands of levels deep.
    """
    try:
        return loads(body)
    except orjson.JSONDecodeError as problem:
        text = bytes(body)
        try:
            parsed: Json = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_constant)
            return unicode(parsed) if b"\\u" in text else parsed
        except (ValueError, RecursionError):
            raise problem from None


def _number(text: str) -> int | float:
    if len(text) < 300 and text.lstrip("-").isdecimal():
        return int(text)
    return max(-_LARGEST, min(_LARGEST, float(text)))


def _constant(name: str) -> float | None:
    return None if name == "NaN" else -_LARGEST if name.startswith("-") else _LARGEST


def in_memory(content: bytes | bytearray | memoryview) -> int:
    """About how many bytes of memory the JSON *content* takes when it is parsed: many small parts take many times
    their text, and text with a character beyond Latin has two or four bytes for each. It looks at pieces of it.
    """
    size = len(content)
    step = max(_PIECE, size // _PIECES)
    pieces = [bytes(content[start : start + _PIECE]) for start in range(0, size, step)]
    seen = sum(map(len, pieces)) or 1
    parts = sum(piece.count(b",") for piece in pieces)
    arrays, objects = (sum(piece.count(mark) for piece in pieces) for mark in (b"[", b"{"))
    text = sum(map(_text_in_memory, pieces))
    return (text + parts * _PART + arrays * _ARRAY + objects * _OBJECT) * size // seen


def _text_in_memory(piece: bytes) -> int:
    highest = max(piece, default=0)
    if highest < _WIDE:
        return len(piece)
    return len(piece.decode(errors="ignore")) * (4 if highest >= _WIDEST else 2)


def encode(
    body: Json, content_type: str, *, files: Collection[str] = (), types: Mapping[str, str] | None = None
) -> tuple[bytes, str]:
    """The bytes of *body* under *content_type*, and the header to send with them.

    It mirrors `decode`: a JSON type (the default, where *content_type* is empty) takes any value, text and
    XML take a string, other types take base64 in a string. Forms take an object: a member that is an array
    repeats its name, an object in it is sent as JSON. *files* are the members of a multipart form that are
    sent as files, from base64; *types* are the media types of its parts, where they have one. The boundary
    of such a form is made of its content, so that a retry sends the same bytes. A value that does not fit is
    a validation fault.
    """
    media_type = MediaType.parse(content_type or JSON)
    header = content_type or JSON
    if media_type.is_json:
        return _json(body), header
    if media_type.name == FORM:
        return urlencode(_fields(body, media_type.name)).encode(), header
    if media_type.name == MULTIPART:
        written, boundary = _multipart(_fields(body, media_type.name), files, types or {})
        return written, f"{MULTIPART}; boundary={boundary}"
    if not isinstance(body, str):
        raise fault("validation", f"a body of type {media_type.name} must be a string, not {kind(body)}")
    if media_type.is_text:
        try:
            return body.encode(media_type.charset or "utf-8"), header
        except (LookupError, UnicodeEncodeError) as error:
            raise fault("validation", f"the body cannot be written as {content_type}: {error}") from None
    hint = f"for text, say so with a charset, as in '{media_type.name}; charset=utf-8'"
    return _from_base64(body, f"a body of type {media_type.name}", hint), header


def kind(value: Json) -> str:
    """The JSON name of what *value* is, with its article, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else "a number"


def scalars(value: Json, what: str) -> list[str]:
    """*value* as strings: none for null, one for a scalar, several for an array (decision A51)."""
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, dict | list):
            raise fault("validation", f"{what} must be a scalar or an array of scalars, not {kind(item)}")
    return [scalar_text(item) for item in items if item is not None]


def json_text(value: Json) -> str:
    """Compact JSON, for a field of a form or a URL."""
    return _json(value).decode()


def _json(value: Json) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits, or nesting beyond its limit
        pass
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise fault("validation", f"the body cannot be written as JSON: {error}") from None


def _text(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", errors="replace").removeprefix("\ufeff")
    except LookupError:
        raise ValueError(f"its charset {charset!r} is not known") from None


def _fields(body: Json, media_type: str) -> list[tuple[str, str]]:
    if not isinstance(body, dict):
        raise fault("validation", f"a body of type {media_type} must be an object, not {kind(body)}")
    members: JsonObject = body
    return [
        (name, json_text(item) if isinstance(item, dict | list) else scalar_text(item))
        for name, value in members.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]


def _multipart(
    fields: list[tuple[str, str]], files: Collection[str], types: Mapping[str, str]
) -> tuple[bytes, str]:
    parts: list[bytes] = []
    for name, value in fields:
        quoted = name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
        head = f'Content-Disposition: form-data; name="{quoted}"'
        if name in files:
            data = _from_base64(value, f"the file {name!r}", "encode its content")
            head += f'; filename="{quoted}"\r\nContent-Type: {types.get(name, "application/octet-stream")}'
        else:
            data = value.encode()
            if name in types:
                head += f"\r\nContent-Type: {types[name]}"
        parts.append(head.encode() + b"\r\n\r\n" + data + b"\r\n")
    boundary = hashlib.sha256(b"".join(parts)).hexdigest()[:40]
    line = f"--{boundary}".encode()
    return b"".join(line + b"\r\n" + part for part in parts) + line + b"--\r\n", boundary


def _from_base64(text: str, what: str, hint: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise fault("validation", f"{what} must be base64; {hint}") from None
