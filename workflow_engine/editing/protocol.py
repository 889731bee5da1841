"""The protocol between an editor and the server, where the library leaves something open: each request is answered.

What is no request of the protocol, or comes at a time when there is nothing to ask, is answered with the error that the
specification (3.17, "Base Protocol" and "Server lifecycle") names for it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from cattrs import transform_error
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol, lsp_method

if TYPE_CHECKING:
    from workflow_engine.editing.server import Server

_PARSE_ERROR = -32700
_INVALID_REQUEST = -32600
_INVALID_PARAMS = -32602
_NOT_INITIALIZED = -32002


class _Answered:
    """Stands for a message that has had its answer, an error."""


class Protocol(LanguageServerProtocol):
    """Keeps the texts of documents by lines as the protocol defines them; pygls takes those of `str.splitlines`."""

    _server: Server
    _greeted = False
    _ending = False

    def structure_message(self, data: dict[str, Any]) -> Any:
        """The message in *data*; one that is not as the protocol says is refused at once."""
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            cause = error.__cause__
            said = "; ".join(transform_error(cause)[:5]) if cause is not None else str(error)
            if "id" in data and "method" in data:
                self.refuse(data["id"], _INVALID_PARAMS, f"not what the protocol says: {said}")
            return _Answered()

    def handle_message(self, message: Any) -> None:
        """Do what *message* asks for, if it is the time for it."""
        if isinstance(message, _Answered):
            return
        method = getattr(message, "method", None)
        asked = method is not None and hasattr(message, "id")
        if getattr(message, "jsonrpc", None) != self.VERSION:
            id = message.get("id") if isinstance(message, dict) else getattr(message, "id", None)
            self.refuse(id, _INVALID_REQUEST, "a message of the protocol has `jsonrpc`, which is 2.0")
        elif method == types.EXIT or method is None:
            super().handle_message(message)
        elif self._ending:
            if asked:
                self.refuse(message.id, _INVALID_REQUEST, "the server has been shut down")
        elif not self._greeted and method != types.INITIALIZE:
            if asked:
                self.refuse(message.id, _NOT_INITIALIZED, "the server has not been initialized")
        elif self._greeted and method == types.INITIALIZE:
            if asked:
                self.refuse(message.id, _INVALID_REQUEST, "the server has been initialized")
        else:
            self._greeted = True
            self._ending = method == types.SHUTDOWN
            super().handle_message(message)

    def not_json(self) -> None:
        """What came was no JSON, so that nobody knows whether it was a request."""
        self.refuse(None, _PARSE_ERROR, "this is no JSON")

    def refuse(self, id: object, code: int, message: str) -> None:
        """Answer the request *id* with an error."""
        known = id if isinstance(id, (int, str)) else None
        self._send_data({"jsonrpc": self.VERSION, "id": known, "error": {"code": code, "message": message}})

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: Any) -> Generator[Any, Any, None]:
        """End what is at work, each request with an answer."""
        yield self.fm.features[types.SHUTDOWN], args, None
        for id, future in list(self._request_futures.items()):
            if id != self.msg_id and not future.done():
                future.cancel()
        self._shutdown = True

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
