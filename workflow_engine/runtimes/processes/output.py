"""What programs print: the last lines in memory, all of it in a file that stays small."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

_CHUNK = 65536
_LINE_BOUND = 2000


class Tail:
    """The last *lines* lines of a stream of bytes, each at most 2,000 bytes long."""

    def __init__(self, lines: int = 20) -> None:
        self._lines: deque[str] = deque(maxlen=lines)
        self._open = b""

    def write(self, data: bytes) -> None:
        *whole, rest = (self._open + data).split(b"\n")
        self._lines.extend(line[:_LINE_BOUND].decode(errors="replace").rstrip() for line in whole)
        self._open = rest[:_LINE_BOUND]

    def lines(self) -> list[str]:
        unfinished = [self._open.decode(errors="replace").rstrip()] if self._open else []
        return [*self._lines, *unfinished]


class RotatingLog:
    """A file appended to; one of *size* bytes becomes `NAME.1` (older ones `NAME.2`…), of which *backups* are
    kept.
    """

    def __init__(self, path: Path, *, size: int = 10_000_000, backups: int = 3) -> None:
        self.path = path
        self._bound = size
        self._backups = backups
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def write(self, data: bytes) -> None:
        """Append *data*. What a full disk refuses is lost: a log must not stop the program that writes it."""
        with contextlib.suppress(OSError):
            self._append(data)

    def _append(self, data: bytes) -> None:
        if self._file.tell() and self._file.tell() + len(data) > self._bound:
            self._rotate()
        self._file.write(data)

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._backups, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._file = self.path.open("wb", buffering=0)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path


async def pump(source: asyncio.StreamReader, *sinks: Callable[[bytes], None]) -> None:
    """Hand *source* to every sink, as it comes, until it ends."""
    while data := await source.read(_CHUNK):
        for sink in sinks:
            sink(data)
