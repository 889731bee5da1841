"""The AsyncAPI documents and workflows in the folders that the editor has open: what a workflow can name in others."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_engine.editing.kinds import flow_of, kind_of
from workflow_engine.editing.reading import MOST, read

ENDINGS = (".yaml", ".yml", ".json")
MOST_FILES = 2_000
"""Files and folders that are looked at."""
MOST_DOCUMENTS = 500
_LEFT_OUT = {"node_modules", "__pycache__", "target", "build", "dist"}
_HEAD = 4_000
_AGAIN = 5.0
"""Seconds for which the folders are taken not to have changed."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An AsyncAPI document, by the name of its file: its operations and channels, each with what it is."""

    file: Path
    operations: tuple[tuple[str, str], ...]
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow; of one in DSL 0.8 the *name* is its id, and there is no namespace."""

    file: Path
    namespace: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Found:
    """What is in the folders, in the order of their files."""

    asyncapi: list[Neighbour]
    workflows: list[Workflow]


class Beside:
    """As `Found`, looked for when it is first asked for: most of what is typed names nothing of other files."""

    def __init__(self, known: Neighbours, folders: Sequence[Path]) -> None:
        self._known = known
        self._folders = folders

    @property
    def asyncapi(self) -> list[Neighbour]:
        return self._known.find(self._folders).asyncapi

    @property
    def workflows(self) -> list[Workflow]:
        return self._known.find(self._folders).workflows


class Neighbours:
    """Looks through folders, and remembers each file until it changes."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, Neighbour | Workflow | None]] = {}
        self._listed: tuple[float, tuple[Path, ...], Found] | None = None
        self._looking = threading.Lock()

    def find(self, folders: Sequence[Path]) -> Found:
        """What is below *folders*; it reads files, so it is for a thread. Others that ask wait for what one finds."""
        with self._looking:
            return self._find(folders)

    def _find(self, folders: Sequence[Path]) -> Found:
        now, key = time.monotonic(), tuple(folders)
        if self._listed is not None and self._listed[1] == key and now - self._listed[0] < _AGAIN:
            return self._listed[2]
        found = Found([], [])
        for file in _files(folders):
            known = self._of(file)
            if isinstance(known, Neighbour):
                found.asyncapi.append(known)
            elif known is not None:
                found.workflows.append(known)
            if len(found.asyncapi) + len(found.workflows) >= MOST_DOCUMENTS:
                break
        self._listed = time.monotonic(), key, found
        return found

    def _of(self, file: Path) -> Neighbour | Workflow | None:
        try:
            status = file.stat()
            known = self._known.get(file)
            if known is not None and known[0] == status.st_mtime_ns:
                return known[1]
            fits = stat.S_ISREG(status.st_mode) and status.st_size <= MOST
            found = _read(file) if fits else None
        except (OSError, ValueError):
            return None
        self._known[file] = status.st_mtime_ns, found
        return found


def _read(file: Path) -> Neighbour | Workflow | None:
    """*file*, if it is a valid AsyncAPI document or a workflow. `OSError` or `ValueError` if it is not to be read."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD).decode(errors="replace")
    if "asyncapi" in head:
        return _asyncapi(file)
    if not any(word in head for word in ("document", "specVersion", "sonataflow.org")):
        return None
    root = read(head)
    named = root.at(("metadata", "name"))
    if flow_of(root) is not None:
        version = root.at(("metadata", "annotations", "sonataflow.org/version"))
        return (
            None if named is None else Workflow(file, "", named.text, "" if version is None else version.text)
        )
    kind = kind_of(root, file.as_uri(), None)
    if kind == "1.0":
        parts = (root.at(("document", name)) for name in ("namespace", "name", "version"))
        return Workflow(file, *("" if part is None else part.text for part in parts))
    id, version = root.child("id"), root.child("version")
    if kind != "0.8" or id is None:
        return None
    return Workflow(file, "", id.text, "" if version is None else version.text)


def _asyncapi(file: Path) -> Neighbour:
    import catalog

    description = catalog.describe_document(file.read_text("utf-8"), name=file.name)
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
            count += 1
            inner[:] = sorted(name for name in inner if name not in _LEFT_OUT and not name.startswith("."))
            for name in sorted(files):
                count += 1
                if count > MOST_FILES:
                    return
                if name.endswith(ENDINGS):
                    yield Path(home, name)
