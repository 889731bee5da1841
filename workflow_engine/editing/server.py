"""The language server: one client's documents, and what checks them (Language Server Protocol 3.17)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, default_converter, lsp_method
from pygls.uris import to_fs_path

from workflow_engine.editing.checking import Checking
from workflow_engine.editing.diagnosing import Diagnosing
from workflow_engine.editing.opened import Opened, Snapshot

T = TypeVar("T")

_log = logging.getLogger(__name__)


class _Protocol(LanguageServerProtocol):
    """Keeps the texts of documents by lines as the protocol defines them; pygls takes those of `str.splitlines`."""

    _server: Server

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(
        self, params: types.DidOpenTextDocumentParams
    ) -> Generator[Any, Any, None]:
        self._server.opened.open(params.text_document)
        self._server.diagnosing.changed(params.text_document.uri, 0.0)
        yield from ()

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(
        self, params: types.DidChangeTextDocumentParams
    ) -> Generator[Any, Any, None]:
        self._server.opened.change(params)
        self._server.diagnosing.changed(params.text_document.uri)
        yield from ()

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(
        self, params: types.DidCloseTextDocumentParams
    ) -> Generator[Any, Any, None]:
        self._server.opened.close(params.text_document.uri)
        self._server.diagnosing.closed(params.text_document.uri)
        yield from ()


class Server(LanguageServer):
    """One client's server."""

    def __init__(self) -> None:
        self.opened = Opened()
        self.checking = Checking()
        self.diagnosing = Diagnosing(self.opened, self.checking, self.text_document_publish_diagnostics)
        self.snippets = False
        self.asked_to_end = False
        super().__init__(
            "wfe", _version(), protocol_cls=_Protocol, converter_factory=default_converter, max_workers=2
        )

    async def of(self, uri: str, work: Callable[[Snapshot], T], otherwise: T) -> T:
        """What *work* finds in the document, in a thread; *otherwise* where it is not open, or *work* fails."""
        document = self.opened.get(uri)
        if document is None:
            return otherwise
        try:
            return await asyncio.to_thread(work, await document.snapshot())
        except JsonRpcException:
            raise
        except Exception:  # noqa: BLE001 - a bug of ours with this document is no reason to trouble who types
            _log.exception("a request about %s failed", uri)
            return otherwise

    def folders(self) -> list[Path]:
        """The folders that the editor has open, in this file system."""
        uris = [folder.uri for folder in self.workspace.folders.values()] or [self.workspace.root_uri or ""]
        paths = [to_fs_path(uri) for uri in uris if uri.startswith("file:")]
        return [Path(path) for path in paths if path and path != "/"]

    def report_server_error(self, error: Exception, source: object) -> None:
        """What goes wrong here is for the log; the editor of a person who types is no place for it."""
        _log.error("%s: %s", type(error).__name__, error)


def _version() -> str:
    try:
        return version("serverless-workflow-engine")
    except PackageNotFoundError:
        return "0"
