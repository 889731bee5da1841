"""The language server: one client's documents, and what checks them (Language Server Protocol 3.17)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInternalError
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from workflow_engine.editing.checking import Checking
from workflow_engine.editing.diagnosing import Diagnosing
from workflow_engine.editing.opened import Opened, Snapshot, file_at
from workflow_engine.editing.protocol import Protocol
from workflow_engine.editing.streams import Incoming, Outgoing

T = TypeVar("T")

_ANSWERING = ("completion", "colours", "elsewhere", "fixes", "hovers", "outline", "renaming")
_importing = threading.Lock()
_log = logging.getLogger(__name__)


class Server(LanguageServer):
    """One client's server."""

    protocol: Protocol

    def __init__(self) -> None:
        self.opened = Opened()
        self.checking = Checking()
        self.diagnosing = Diagnosing(self.opened, self.checking, self.text_document_publish_diagnostics)
        self.snippets = False
        self.by_version = False
        self.asked_to_end = False
        super().__init__(
            "wfe", _version(), protocol_cls=Protocol, converter_factory=default_converter, max_workers=2
        )

    def serve(self, stream: BinaryIO, send: Callable[[bytes], object]) -> None:
        """Answer what comes in *stream* until the client is done or gone."""
        self.start_io(cast("BinaryIO", Incoming(stream)), cast("BinaryIO", Outgoing(send)))

    async def of(self, uri: str, work: Callable[[Snapshot], T], otherwise: T) -> T:
        """What *work* finds in the document, in a thread; *otherwise* where it is not open, or *work* fails."""
        document = self.opened.get(uri)
        if document is None:
            return otherwise
        try:
            state = await document.snapshot()
            return await asyncio.to_thread(_answer, work, state)
        except JsonRpcException:
            raise
        except Exception:  # noqa: BLE001 - a bug of ours with this document is no reason to trouble who types
            _log.exception("a request about %s failed", uri)
            return otherwise

    def edit(self, of: Snapshot, edits: Sequence[types.TextEdit]) -> types.WorkspaceEdit:
        """*edits* of the document as it was looked at; an editor that knows of versions makes them to no other."""
        if not self.by_version:
            return types.WorkspaceEdit(changes={of.uri: edits})
        document = types.OptionalVersionedTextDocumentIdentifier(of.uri, of.text.version)
        return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(document, edits)])

    def folders(self) -> list[Path]:
        """The folders that the editor has open, in this file system."""
        uris = [folder.uri for folder in self.workspace.folders.values()] or [self.workspace.root_uri or ""]
        return [path for uri in uris if (path := file_at(uri)) is not None and path != Path("/")]

    def report_server_error(self, error: Exception, source: object) -> None:
        """What goes wrong here is for the log; the editor of a person who types is no place for it."""
        if isinstance(error, (ValueError, RecursionError)) and source is JsonRpcException:
            self.protocol.not_json()
        if not isinstance(error, JsonRpcException) or isinstance(error, JsonRpcInternalError):
            _log.error("%s: %s", type(error).__name__, error)


def prepare() -> None:
    """Import what answers. One thread at a time: two of them would get halves of modules that import each other."""
    with _importing:
        for name in _ANSWERING:
            import_module(f"workflow_engine.editing.{name}")


def _answer(work: Callable[[Snapshot], T], state: Snapshot) -> T:
    prepare()
    return work(state)


def _version() -> str:
    try:
        return version("serverless-workflow-engine")
    except PackageNotFoundError:
        return "0"
