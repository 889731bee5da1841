"""JSON text of values, and jq's ``@formats``."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any

from workflow_engine.expressions.errors import EvaluationError
from workflow_engine.expressions.limits import Machine, finite, weigh
from workflow_engine.expressions.ordering import type_name

_EXCERPT = 30
_CLOSING = {'"': '"', "[": "]", "{": "}"}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def to_json(machine: Machine, value: Any) -> str:
    """*value* as compact JSON, its keys in their order; NaN is null."""
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is list or kind is dict:
        machine.text(weigh(value))
        text = _encode(finite(value) if machine.nonfinite else value)
    elif kind is float:
        return _encode(finite(value))
    else:
        text = _encode(value)
    machine.text(len(text))
    return text.replace("\x7f", "\\u007f")


def to_text(machine: Machine, value: Any) -> str:
    """A string as it is, anything else as JSON."""
    kind = type(value)
    return value if kind is str else str(value) if kind is int else to_json(machine, value)


def excerpt(value: Any) -> str:
    """The first characters of *value* as JSON, for a message; looks at no more of it than it shows."""
    pieces: list[str] = []
    _excerpt(value, pieces, [_EXCERPT])
    text = "".join(pieces)
    if len(text) <= _EXCERPT:
        return text
    closing = _CLOSING.get(text[0], "")
    return text[: _EXCERPT - 4 - len(closing)] + "..." + closing


def _excerpt(value: Any, pieces: list[str], room: list[int]) -> None:
    if room[0] < 0:
        return
    if isinstance(value, dict):
        _piece("{", pieces, room)
        for index, (key, item) in enumerate(value.items()):
            _piece("," * (index > 0) + _encode(key[:_EXCERPT]) + ":", pieces, room)
            _excerpt(item, pieces, room)
            if room[0] < 0:
                return
        _piece("}", pieces, room)
    elif isinstance(value, list):
        _piece("[", pieces, room)
        for index, item in enumerate(value):
            _piece("," * (index > 0), pieces, room)
            _excerpt(item, pieces, room)
            if room[0] < 0:
                return
        _piece("]", pieces, room)
    elif isinstance(value, str):
        _piece(_encode(value[: _EXCERPT + 1]), pieces, room)
    else:
        _piece(_encode(finite(value)), pieces, room)


def _piece(text: str, pieces: list[str], room: list[int]) -> None:
    pieces.append(text)
    room[0] -= len(text)


def _cannot(value: Any, done: str) -> EvaluationError:
    return EvaluationError(f"{type_name(value)} ({excerpt(value)}) {done}")


_HTML = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;", "'": "&apos;", '"': "&quot;"})
_TSV = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\", "\0": "\\0"})
_URI = tuple(
    chr(byte) if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "-_.~") else f"%{byte:02X}"
    for byte in range(256)
)
_URI_TEXT = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})*", re.DOTALL)
_URI_BYTE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BASE64_TEXT = re.compile(r"[A-Za-z0-9+/]*")


def _bytes(machine: Machine, value: Any) -> bytes:
    text = to_text(machine, value)
    machine.text(3 * len(text))
    return text.encode("utf-8", "replace")


def _html(machine: Machine, value: Any) -> str:
    text = to_text(machine, value)
    machine.text(2 * len(text))
    return text.translate(_HTML)


def _uri(machine: Machine, value: Any) -> str:
    return "".join(map(_URI.__getitem__, _bytes(machine, value)))


def _from_uri(machine: Machine, value: Any) -> str:
    data = _bytes(machine, value)
    if not _URI_TEXT.fullmatch(data):
        raise _cannot(value, "is not a valid uri encoding")
    try:
        return _URI_BYTE.sub(lambda match: bytes([int(match[1], 16)]), data).decode()
    except UnicodeDecodeError:
        raise _cannot(value, "is not a valid uri encoding") from None


def _row(machine: Machine, value: Any, name: str, quote: Callable[[str], str], separator: str) -> str:
    if type(value) is not list:
        raise _cannot(value, f"cannot be {name}-formatted, only an array can be")
    cells = []
    machine.spend(len(value))
    for item in value:
        kind = type(item)
        if kind is str:
            cells.append(quote(item))
        elif item is None or (kind is float and item != item):
            cells.append("")
        elif kind is list or kind is dict:
            raise _cannot(item, f"is not valid in a {name} row")
        else:
            cells.append(to_json(machine, item))
    machine.text(sum(map(len, cells)) + len(cells))
    return separator.join(cells)


def _csv(machine: Machine, value: Any) -> str:
    return _row(machine, value, "csv", lambda text: '"' + text.replace('"', '""') + '"', ",")


def _tsv(machine: Machine, value: Any) -> str:
    return _row(machine, value, "tsv", lambda text: text.translate(_TSV), "\t")


def _sh(machine: Machine, value: Any) -> str:
    words = []
    for item in value if type(value) is list else [value]:
        if type(item) is str:
            words.append("'" + item.replace("'", "'\\''") + "'")
        elif type(item) in {list, dict}:
            raise _cannot(item, "can not be escaped for shell")
        else:
            words.append(to_json(machine, item))
    machine.spend(len(words))
    machine.text(sum(map(len, words)) + len(words))
    return " ".join(words)


def _base64(machine: Machine, value: Any) -> str:
    return base64.b64encode(_bytes(machine, value)).decode()


def _from_base64(machine: Machine, value: Any) -> str:
    text = to_text(machine, value)
    machine.text(len(text))
    data = text.split("=", 1)[0]
    if not _BASE64_TEXT.fullmatch(data):
        raise _cannot(text, "is not valid base64 data")
    if len(data) % 4 == 1:
        raise _cannot(text, "trailing base64 byte found")
    return base64.b64decode(data + "=" * (-len(data) % 4)).decode("utf-8", "replace")


def _base32(machine: Machine, value: Any) -> str:
    return base64.b32encode(_bytes(machine, value)).decode()


def _from_base32(machine: Machine, value: Any) -> str:
    text = to_text(machine, value)
    data = text.rstrip("=")
    try:
        return base64.b32decode(data + "=" * (-len(data) % 8)).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise _cannot(text, "is not valid base32 data") from None


FORMATS: dict[str, Callable[[Machine, Any], str]] = {
    "text": to_text,
    "json": to_json,
    "html": _html,
    "uri": _uri,
    "urid": _from_uri,
    "csv": _csv,
    "tsv": _tsv,
    "sh": _sh,
    "base64": _base64,
    "base64d": _from_base64,
    "base32": _base32,
    "base32d": _from_base32,
}
"""What each ``@name`` does to a value."""
