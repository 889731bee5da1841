"""Server-sent events (WHATWG HTML, 9.2), read as they come and within bounds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from workflow_engine.errors import fault

MEDIA_TYPE = "text/event-stream"
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its *data*, the *id* to go on from after it, and how long to wait before that, in milliseconds; and
    what *kind* of event it is, if it says so.
    """

    data: bytes
    id: str | None = None
    retry: int | None = None
    kind: str | None = None


class Chunks(Protocol):
    """Bytes as they come, such as those of an answer."""

    def iter_chunked(self, n: int) -> AsyncIterator[bytes]:
        """Each at most *n* bytes."""


async def server_events(
    content: Chunks,
    what: str,
    limit: int,
    *,
    in_all: int | None = None,
    left_out: Callable[[], None] | None = None,
) -> AsyncGenerator[ServerEvent, None]:
    """Every event of *content*; an event without data is given too, for its id.

    An event larger than *limit* bytes, or more than *in_all* bytes together, are a communication fault, in which *what*
    names the stream. With *left_out*, which is told of it, such an event is given without its data instead: who asks
    again from the one before it on would get it again, for ever.
    """
    data: list[bytes] = []
    size = total = 0
    id: str | None = None
    retry: int | None = None
    kind: str | None = None
    async with aclosing(_lines(content, what, limit, cut=left_out is not None)) as lines:
        async for line in lines:
            size += len(line)
            total += len(line)
            if in_all is not None and total > in_all:
                raise _too_large(what, in_all)
            if size > limit:
                if left_out is None:
                    raise _too_large(what, limit)
                data = []
            if not line:
                if size > limit and left_out is not None:
                    left_out()
                if data or id is not None or retry is not None:
                    yield ServerEvent(b"\n".join(data), id, retry, kind)
                data, size, id, retry, kind = [], 0, None, None, None
                continue
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                if size <= limit:
                    data.append(value)
            elif name == b"id" and len(value) <= 1000 and (given := _sendable(value)) is not None:
                id = given
            elif name == b"event" and len(value) <= 1000:
                kind = value.decode("utf-8", errors="replace") or None
            elif name == b"retry" and value.isdigit():
                retry = int(value[:10])


async def _lines(content: Chunks, what: str, limit: int, *, cut: bool) -> AsyncGenerator[bytes, None]:
    """Lines as they come, without their end: LF, CR LF or CR. An unfinished one is dropped, as the standard says.

    One that is longer than *limit* is a fault, or *cut* off behind one byte more.
    """
    line = bytearray()
    after_cr = False
    mark = b"\xef\xbb\xbf"
    async for chunk in content.iter_chunked(_CHUNK):
        if after_cr and chunk:
            chunk, after_cr = chunk.removeprefix(b"\n"), False
        after_cr = chunk.endswith(b"\r") or (after_cr and not chunk)
        pieces = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for number, piece in enumerate(pieces):
            if number:
                yield bytes(line.removeprefix(mark))
                mark = b""
                line.clear()
            line += piece
            if len(line) > limit:
                if not cut:
                    raise _too_large(what, limit)
                del line[limit + 1 :]


def _sendable(id: bytes) -> str | None:
    """The text of *id*, if it can stand in a header, where it is sent to go on from its event."""
    try:
        text = id.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _too_large(what: str, limit: int) -> Exception:
    return fault(
        "communication", f"{what}: the answer is larger than {limit} bytes, the limit for one response"
    )
