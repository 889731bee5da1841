"""The documents that the editor has open, each in its last state."""

from __future__ import annotations

import asyncio

from lsprotocol import types

from workflow_engine.editing.kinds import Kind, kind_of
from workflow_engine.editing.nodes import Node
from workflow_engine.editing.reading import read
from workflow_engine.editing.text import Text

AT_ONCE = 20_000
"""Characters up to which a text is read where it is asked for; a longer one in a thread."""


class Document:
    """An open document. Its tree is made when it is first asked for."""

    def __init__(self, uri: str, text: Text, language: str | None) -> None:
        self.uri = uri
        self.text = text
        self.language = language
        self._read: tuple[Text, Node] | None = None
        self._reading = asyncio.Lock()

    async def snapshot(self) -> Snapshot:
        """The document as it is now."""
        async with self._reading:
            text = self.text
            if self._read is None or self._read[0] is not text:
                short = len(text.source) <= AT_ONCE
                tree = read(text.source) if short else await asyncio.to_thread(read, text.source)
                self._read = text, tree
            root = self._read[1]
        return Snapshot(self.uri, text, root, kind_of(root, self.uri, self.language))


class Snapshot:
    """One state of a document: its *text*, its tree and its *kind*."""

    def __init__(self, uri: str, text: Text, root: Node, kind: Kind | None) -> None:
        self.uri = uri
        self.text = text
        self.root = root
        self.kind = kind


class Opened:
    """The open documents by URI, kept as the client tells of changes."""

    def __init__(self) -> None:
        self.encoding = "utf-16"
        self._documents: dict[str, Document] = {}

    def open(self, item: types.TextDocumentItem) -> None:
        text = Text(item.text, item.version, self.encoding)
        self._documents[item.uri] = Document(item.uri, text, item.language_id)

    def change(self, params: types.DidChangeTextDocumentParams) -> None:
        document = self._documents.get(params.text_document.uri)
        if document is not None:
            for change in params.content_changes:
                document.text = document.text.changed(change, params.text_document.version)

    def close(self, uri: str) -> None:
        self._documents.pop(uri, None)

    def get(self, uri: str) -> Document | None:
        return self._documents.get(uri)
