"""What programs print: the last lines in memory, all of it in a file that stays small."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

_CHUNK = 65536
_LINE_BOUND = 2000


class Lines:
    """Cuts a stream of bytes into lines for *take*; of a long line only the first 2,000 bytes."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._open = b""

    def write(self, data: bytes) -> None:
        *whole, rest = (self._open + data).split(b"\n")
        for line in whole:
            self._take(_text(line))
        self._open = rest[:_LINE_BOUND]

    @property
    def unfinished(self) -> str:
        """What came since the last line's end."""
        return _text(self._open)


class Tail:
    """The last *lines* lines of a stream of bytes."""

    def __init__(self, lines: int = 20) -> None:
        self._kept: deque[str] = deque(maxlen=lines)
        self._lines = Lines(self._kept.append)

    def write(self, data: bytes) -> None:
        self._lines.write(data)

    def lines(self) -> list[str]:
        rest = self._lines.unfinished
        return [*self._kept, rest] if rest else list(self._kept)


def _text(line: bytes) -> str:
    return line[:_LINE_BOUND].decode(errors="replace").rstrip()


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
