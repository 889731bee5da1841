"""What a command reads: documents and JSON, from files, stdin or the command line itself; all bounded."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import orjson

from workflow_engine.errors import Rejected
from workflow_engine.values import Json, JsonObject

MAX_BYTES = 64 * 1024 * 1024
STDIN = "-"


def read_bytes(file: str, most: int = MAX_BYTES) -> bytes:
    """What *file* holds (``-`` is stdin), but no more than one byte over *most*; `Rejected` if it cannot be read."""
    try:
        if file == STDIN:
            return sys.stdin.buffer.read(most + 1)
        with Path(file).open("rb") as stream:
            return stream.read(most + 1)
    except IsADirectoryError:
        raise Rejected(
            "not-a-file", f"{file} is a folder; name the files in it, such as {file}/*.yaml"
        ) from None
    except OSError as error:
        raise Rejected("unreadable", f"{file}: {error.strerror or error}") from None
    except ValueError as error:  # a null character in the name
        raise Rejected("unreadable", f"{file!r}: {error}") from None


def shown(file: str) -> str:
    """What problems call *file*."""
    return "<stdin>" if file == STDIN else file


def read_json(text: str, what: str) -> Json:
    """The JSON that *text* is, that the file after an ``@`` has, or, for ``-``, stdin; *what* is for errors."""
    inline = text != STDIN and not text.startswith("@")
    if inline:
        content, place = text.encode(errors="surrogateescape"), what
    else:
        file = text.removeprefix("@")
        content, place = read_bytes(file), shown(file)
        if len(content) > MAX_BYTES:
            raise Rejected("too-large", f"{what}: {place} has more than {MAX_BYTES:,} bytes")
    try:
        value: Json = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        hint = "; a file is written @FILE" if inline else ""
        message = f"{place}:{error.lineno}:{error.colno}: this is not JSON: {error.msg}{hint}"
        raise Rejected("not-json", message) from None
    return value


def read_events(text: str) -> list[JsonObject]:
    """One CloudEvent or a list of them, as `read_json` reads it; ``specversion`` and ``id`` are filled in."""
    value = read_json(text, "the event")
    events = value if isinstance(value, list) else [value]
    return [_completed(event) for event in events]


def _completed(event: Json) -> JsonObject:
    if not isinstance(event, dict):
        raise Rejected(
            "event-not-object", 'a CloudEvent is an object such as {"type": …, "source": …, "data": …}'
        )
    for name in ("type", "source"):
        if name not in event:
            raise Rejected("attribute-missing", f"the event has no {name!r}, which every CloudEvent needs")
    return {"specversion": "1.0", "id": str(uuid.uuid4()), **event}
