"""The AsyncAPI documents and workflows in the folders that the editor has open: what a workflow can name in others.

One that is open itself is read as it stands in the editor, saved or not.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_engine.editing.kinds import flow_of, kind_of
from workflow_engine.editing.reading import MOST, read
from workflow_engine.editing.text import Text

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
    """Looks through folders, and remembers each file until it changes. *opened* gives what the editor has open."""

    def __init__(self, opened: Callable[[], Mapping[Path, Text]] = dict) -> None:
        self._opened = opened
        self._known: dict[Path, tuple[int, Neighbour | Workflow | None]] = {}
        self._typed: dict[Path, tuple[Text, Neighbour | Workflow | None]] = {}
        self._listed: tuple[float, tuple[Path, ...], dict[Path, Neighbour | Workflow | None]] | None = None
        self._looking = threading.Lock()

    def find(self, folders: Sequence[Path]) -> Found:
        """What is below *folders*; it reads files, so it is for a thread. Others that ask wait for what one finds."""
        with self._looking:
            return self._find(folders)

    def _find(self, folders: Sequence[Path]) -> Found:
        opened = {file: text for file, text in self._opened().items() if _is_below(file, folders)}
        there = dict(self._saved(folders))
        self._typed = {file: known for file, known in self._typed.items() if file in opened}
        for file, text in opened.items():
            there[file] = self._open(file, text, there.get(file))
        found = list(there.values())
        return Found(
            [each for each in found if isinstance(each, Neighbour)],
            [each for each in found if isinstance(each, Workflow)],
        )

    def _saved(self, folders: Sequence[Path]) -> Mapping[Path, Neighbour | Workflow | None]:
        """What is in the files."""
        now, key = time.monotonic(), tuple(folders)
        if self._listed is not None and self._listed[1] == key and now - self._listed[0] < _AGAIN:
            return self._listed[2]
        there: dict[Path, Neighbour | Workflow | None] = {}
        for file in _files(folders):
            if (known := self._of(file)) is not None:
                there[file] = known
            if len(there) >= MOST_DOCUMENTS:
                break
        self._listed = time.monotonic(), key, there
        return there

    def _of(self, file: Path) -> Neighbour | Workflow | None:
        try:
            status = file.stat()
            known = self._known.get(file)
            if known is not None and known[0] == status.st_mtime_ns:
                return known[1]
            fits = stat.S_ISREG(status.st_mode) and status.st_size <= MOST
            found = _read(file, None) if fits else None
        except OSError:
            return None
        except ValueError:
            found = None  # and it is not read again until it changes
        self._known[file] = status.st_mtime_ns, found
        return found

    def _open(
        self, file: Path, text: Text, saved: Neighbour | Workflow | None
    ) -> Neighbour | Workflow | None:
        """What stands in the editor; while that is in the middle of a change, what it was before."""
        known = self._typed.get(file)
        if known is not None and known[0] is text:
            return known[1]
        try:
            found = _read(file, text.source) if len(text.source) <= MOST else None
        except (OSError, ValueError):
            found = known[1] if known is not None else saved
        self._typed[file] = text, found
        return found


def _is_below(file: Path, folders: Sequence[Path]) -> bool:
    """Whether *file* is one of those that are looked for in *folders*."""
    for folder in folders:
        if file.name.endswith(ENDINGS) and file.is_relative_to(folder):
            return not any(
                part in _LEFT_OUT or part.startswith(".") for part in file.relative_to(folder).parts[:-1]
            )
    return False


def _read(file: Path, text: str | None) -> Neighbour | Workflow | None:
    """*file*, if it is a valid AsyncAPI document or a workflow. `OSError` or `ValueError` if it is not to be read.

    *text* is what the editor has of it; None where it is not open.
    """
    if text is not None:
        head = text[:_HEAD]
    else:
        with file.open("rb") as stream:
            head = stream.read(_HEAD).decode(errors="replace")
    if not any(word in head for word in ("document", "specVersion", "sonataflow.org", "asyncapi")):
        return None
    root = read(head)
    kind = kind_of(root, file.as_uri(), None)
    if "asyncapi" in head and kind in ("asyncapi", None):  # a workflow that calls some has the word, too
        return _asyncapi(file, file.read_text("utf-8") if text is None else text)
    named = root.at(("metadata", "name"))
    if flow_of(root) is not None:
        version = root.at(("metadata", "annotations", "sonataflow.org/version"))
        return (
            None if named is None else Workflow(file, "", named.text, "" if version is None else version.text)
        )
    if kind == "1.0":
        parts = (root.at(("document", name)) for name in ("namespace", "name", "version"))
        return Workflow(file, *("" if part is None else part.text for part in parts))
    id, version = root.child("id"), root.child("version")
    if kind != "0.8" or id is None:
        return None
    return Workflow(file, "", id.text, "" if version is None else version.text)


def _asyncapi(file: Path, text: str) -> Neighbour:
    import catalog

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
            count += 1
            inner[:] = sorted(name for name in inner if name not in _LEFT_OUT and not name.startswith("."))
            for name in sorted(files):
                count += 1
                if count > MOST_FILES:
                    return
                if name.endswith(ENDINGS):
                    yield Path(home, name)
