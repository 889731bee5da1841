"""The language server: what it can do, and what is done for each request (Language Server Protocol 3.17)."""

from __future__ import annotations

import logging
from collections.abc import Generator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, default_converter, lsp_method

from workflow_engine.editing.checking import Checking
from workflow_engine.editing.diagnosing import Diagnosing
from workflow_engine.editing.opened import Opened

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
        self.asked_to_end = False
        super().__init__(
            "wfe", _version(), protocol_cls=_Protocol, converter_factory=default_converter, max_workers=2
        )

    def report_server_error(self, error: Exception, source: object) -> None:
        """What goes wrong here is for the log; the editor of a person who types is no place for it."""
        _log.error("%s: %s", type(error).__name__, error)


def _version() -> str:
    try:
        return version("serverless-workflow-engine")
    except PackageNotFoundError:
        return "0"


def create() -> Server:
    """A server that has not begun to speak."""
    server = Server()

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.opened.encoding = server.workspace.position_encoding or "utf-16"

    @server.feature(types.SHUTDOWN)
    async def shutdown(_params: None) -> None:
        server.asked_to_end = True
        server.diagnosing.stop()
        await server.checking.close()

    return server
