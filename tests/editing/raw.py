"""A client that says what it likes: bytes to the server's process, and messages from it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 60.0
Message = dict[str, Any]


class Raw:
    """One server, and both ends of its pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def send(self, body: bytes | Message | list[Any], *, head: str = "Content-Length: {}\r\n\r\n") -> None:
        """A message; it fails if the server does not take it."""
        raw = (
            body
            if isinstance(body, bytes)
            else json.dumps({"jsonrpc": "2.0", **body} if isinstance(body, dict) else body).encode()
        )
        data = memoryview(head.format(len(raw)).encode() + raw)
        assert self.process.stdin is not None
        while data:
            _, ready, _ = select.select([], [self.process.stdin], [], PATIENCE)
            assert ready, "the server reads no more"
            data = data[self.process.stdin.raw.write(data[:4096]) :]  # type: ignore[attr-defined]

    def ask(self, id: Any, method: str, params: Any = None) -> None:
        self.send({"id": id, "method": method, "params": params})

    def tell(self, method: str, params: Any = None) -> None:
        self.send({"method": method, "params": params})

    def next(self) -> Message | None:
        """The next message; None if the server has ended."""
        assert self.process.stdout is not None
        length = 0
        while (line := self.process.stdout.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return json.loads(self.process.stdout.read(length)) if length else None

    def answer(self) -> Message:
        """The next message that is an answer."""
        while (message := self.next()) is not None:
            if "method" not in message:
                return message
        raise AssertionError("the server has ended")


@contextmanager
def raw() -> Iterator[Raw]:
    """A server that nobody has greeted."""
    command = (sys.executable, "-m", "workflow_engine", "lsp")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=-1) as process:
        try:
            yield Raw(process)
        finally:
            process.kill()
