"""The two directions of the connection with an editor: what is read is bounded, what is written waits for nobody."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

LONGEST_HEADER = 1_024
LONGEST = 128 * 2**20
"""Bytes of one message; an editor sends the text of a file in one, and opens none that is longer."""
MOST_WAITING = 64 * 2**20
"""Bytes that wait for a client that does not read them; then the server waits for it."""
LAST_SECONDS = 5.0
"""How long the end waits for a client that does not read its last messages."""

_HEADER = re.compile(rb"(?i:content-(length|type))[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?\n")
_log = logging.getLogger(__name__)


class Incoming:
    """Messages of the protocol from a *stream*. What is no message ends it, as if the client had gone.

    So a browser that is led to the port by a page of somebody else's says nothing here, though HTTP has headers too.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readline(self, _most: int = -1, /) -> bytes:
        """A line of a message's head, as the protocol writes it; empty at the end."""
        line = self._stream.readline(LONGEST_HEADER)
        if not line or line in (b"\r\n", b"\n"):
            return line and b"\r\n"
        header = _HEADER.fullmatch(line)
        if header is None:
            _log.error("what comes is no message of the Language Server Protocol")
            return b""
        if header[1].lower() == b"type":
            return b"Content-Type: " + header[2] + b"\r\n"
        if not header[2].isdigit() or len(header[2]) > 12 or not 0 < int(header[2]) <= LONGEST:
            _log.error(
                "a message has from 1 to %d bytes, not %s", LONGEST, header[2][:40].decode(errors="replace")
            )
            return b""
        return b"Content-Length: " + header[2] + b"\r\n"

    def read(self, most: int = -1, /) -> bytes:
        """The *most* bytes of a message; nothing if the client is gone before it has sent them."""
        body = self._stream.read(most)
        return body if len(body) == most else b""


class Outgoing:
    """Writes in a thread of its own, by *send*, so that a client that reads late or never stops nothing else."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._write, name="to the editor", daemon=True)
        self._thread.start()

    def write(self, data: bytes, /) -> int:
        """Take *data*; waits only where too much has been taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._size <= MOST_WAITING or self._ended)
            if not self._ended:
                self._waiting.append(data)
                self._size += len(data)
                self._changed.notify_all()
        return len(data)

    def flush(self) -> None:
        """Nothing: what was taken is written as soon as the client reads."""

    def close(self) -> None:
        """Write what was taken, if the client reads it soon."""
        with self._changed:
            self._changed.wait_for(lambda: not self._size or self._ended, LAST_SECONDS)
            self._ended = True
            self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                data = self._waiting.popleft()
            with contextlib.suppress(OSError):  # it is gone, which the end of what it sends says too
                self._send(data)
            with self._changed:
                self._size -= len(data)
                self._changed.notify_all()
