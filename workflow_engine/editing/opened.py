"""The documents that the editor has open, each in its last state."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.uris import to_fs_path

from workflow_engine.editing.kinds import Kind, flow_of, kind_of
from workflow_engine.editing.nodes import Node
from workflow_engine.editing.reading import MOST, read
from workflow_engine.editing.text import Text

if TYPE_CHECKING:
    from workflow_engine.editing.names import Name

_BEGINNING = 10_000
_OF_OURS = ("document", "specVersion", "states", "asyncapi", "sonataflow.org/")
"""Words of which each document of ours has one."""
_NOTHING = Node("nothing", 0, 0)


class Snapshot:
    """One state of a document: its *text*, its tree and its *kind*.

    *whole* is the tree of the text, *root* that of the workflow in it, which is another in a manifest only. *others*
    gives the text of a file that is open, too.
    """

    def __init__(
        self,
        uri: str,
        text: Text,
        language: str | None,
        others: Callable[[Path], Text | None] = lambda _: None,
    ) -> None:
        self.uri = uri
        self.others = others
        self.text = text
        # Most large files of YAML and JSON are none of ours, and need not be read to know that.
        ours = any(word in text.source for word in _OF_OURS) or kind_of(_NOTHING, uri, language) is not None
        self.whole: Node = read(text.source) if ours else _NOTHING
        flow = flow_of(self.whole)
        self.manifest = flow is not None
        self.root = self.whole if flow is None else flow
        # Of a text that is longer than a document may be, the beginning says what it is; it is only checked.
        beginning = self.whole if len(text.source) <= MOST else read(text.source[:_BEGINNING])
        self.kind: Kind | None = "0.8" if self.manifest else kind_of(beginning, uri, language)

    @cached_property
    def names(self) -> list[Name]:
        """Every name that it defines and uses."""
        from workflow_engine.editing.names import names

        return [] if self.kind is None else names(self.kind, self.root)

    def taken_for(self, kind: Kind) -> Snapshot:
        """The same, of this *kind*."""
        other = copy(self)
        other.kind = kind
        return other

    @property
    def json(self) -> bool:
        """Whether it is written as JSON, where keys are quoted."""
        return self.whole.flow

    def typed(self, text: str) -> Node | None:
        """The tree of the workflow if the document had this *text*; None if it had none."""
        root = read(text)
        return flow_of(root) if self.manifest else root


class Document:
    """An open document. Its snapshot is made when it is first asked for, in a thread."""

    def __init__(
        self, uri: str, text: Text, language: str | None, others: Callable[[Path], Text | None]
    ) -> None:
        self.uri = uri
        self.text = text
        self.language = language
        self._others = others
        self._last: Snapshot | None = None
        self._reading = asyncio.Lock()

    async def snapshot(self) -> Snapshot:
        """The document as it is now."""
        async with self._reading:
            if self._last is None or self._last.text is not self.text:
                self._last = await asyncio.to_thread(
                    Snapshot, self.uri, self.text, self.language, self._others
                )
            return self._last


class Opened:
    """The open documents by URI, kept as the client tells of changes."""

    def __init__(self) -> None:
        self.encoding = "utf-16"
        self._documents: dict[str, Document] = {}
        self._files: dict[Path, Document] = {}

    def open(self, item: types.TextDocumentItem) -> None:
        text = Text(item.text, item.version, self.encoding)
        document = Document(item.uri, text, item.language_id, self.text_of)
        self._documents[item.uri] = document
        if (file := file_at(item.uri)) is not None:
            self._files[file] = document

    def change(self, params: types.DidChangeTextDocumentParams) -> None:
        document = self._documents.get(params.text_document.uri)
        if document is not None:
            document.text = document.text.changed(params.content_changes, params.text_document.version)

    def close(self, uri: str) -> None:
        document, file = self._documents.pop(uri, None), file_at(uri)
        if file is not None and self._files.get(file) is document:
            del self._files[file]

    def get(self, uri: str) -> Document | None:
        return self._documents.get(uri)

    def text_of(self, file: Path) -> Text | None:
        """What stands in the editor of *file*, if it is open."""
        document = self._files.get(Path(os.path.normpath(file)))
        return None if document is None else document.text

    def files(self) -> dict[Path, Text]:
        """All that is open and has a file, or will have one; also for a thread."""
        return {file: document.text for file, document in self._files.copy().items()}


def file_at(uri: str) -> Path | None:
    """The file of *uri*, as it is called without ``..``; None where it has none."""
    try:
        path = to_fs_path(uri) if uri.startswith("file:") else None
    except ValueError:
        return None
    return Path(os.path.normpath(path)) if path else None
