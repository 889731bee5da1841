"""The AsyncAPI documents in the folders that the editor has open: what they let a workflow send and receive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_engine.editing.reading import MOST

ENDINGS = (".yaml", ".yml", ".json")
MOST_FILES = 2_000
MOST_DOCUMENTS = 200
_LEFT_OUT = {"node_modules", "__pycache__", "target", "build", "dist"}
_AGAIN = 5.0
"""Seconds for which the folders are taken not to have changed."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An AsyncAPI document, by the name of its file: its operations and channels, each with what it is."""

    file: Path
    operations: tuple[tuple[str, str], ...]
    channels: tuple[str, ...]


class Neighbours:
    """Looks through folders, and remembers each file until it changes."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, Neighbour | None]] = {}
        self._listed: tuple[float, tuple[Path, ...], list[Neighbour]] | None = None

    def find(self, folders: Sequence[Path]) -> list[Neighbour]:
        """The AsyncAPI documents below *folders*; it reads files, so it is for a thread."""
        now, key = time.monotonic(), tuple(folders)
        if self._listed is not None and self._listed[1] == key and now - self._listed[0] < _AGAIN:
            return self._listed[2]
        found: list[Neighbour] = []
        for file in _files(folders):
            neighbour = self._of(file)
            if neighbour is not None:
                found.append(neighbour)
            if len(found) >= MOST_DOCUMENTS:
                break
        self._listed = now, key, found
        return found

    def _of(self, file: Path) -> Neighbour | None:
        try:
            status = file.stat()
            known = self._known.get(file)
            if known is not None and known[0] == status.st_mtime_ns:
                return known[1]
            neighbour = None if status.st_size > MOST else _read(file)
        except (OSError, ValueError):
            return None
        self._known[file] = status.st_mtime_ns, neighbour
        return neighbour


def _read(file: Path) -> Neighbour | None:
    """*file*, if it is a valid AsyncAPI document. `OSError` or `ValueError` if it is not to be read."""
    import catalog

    text = file.read_text("utf-8")
    if "asyncapi" not in text[:2_000]:
        return None
    description = catalog.describe_document(text, name=file.name)
    operations = [
        (each.id, f"{each.workflow_may} on {each.channel.address}") for each in description.operations
    ]
    channels = [each.address or each.name for each in description.channels]
    named = tuple((id, text) for id, text in operations if id)
    return Neighbour(file, named, tuple(str(each) for each in channels if each))


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    count = 0
    for folder in folders:
        for home, inner, files in os.walk(folder):
            inner[:] = sorted(name for name in inner if name not in _LEFT_OUT and not name.startswith("."))
            for name in sorted(files):
                count += 1
                if count > MOST_FILES:
                    return
                if name.endswith(ENDINGS):
                    yield Path(home, name)
