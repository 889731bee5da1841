"""Requests as spans: the trace of the caller goes on here, or one begins."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workflow_engine.telemetry.context import TraceContext
from workflow_engine.telemetry.spans import tracer

_UNSEEN = frozenset({"/livez", "/readyz", "/metrics"})
"""What is asked every few seconds, and tells of itself nothing that anyone would look for in a trace."""
_OWN = ("/v1/listeners", "/v1/bundles")
"""What workers ask for themselves: it begins no trace."""
_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"})
_ERROR = 500


class Spans:
    """ASGI middleware around the application, while tracing is on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        made = tracer()
        if made is None or scope["type"] != "http" or scope["path"] in _UNSEEN:
            await self._app(scope, receive, send)
            return
        parent = TraceContext.of(Headers(scope=scope))
        if parent is None and scope["path"].startswith(_OWN):
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        about = {"http.request.method": method, "url.path": scope["path"], "url.scheme": scope["scheme"]}
        with made.span(method, "server", parent, about) as span:

            async def answer(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set("http.response.status_code", message["status"])
                    if message["status"] >= _ERROR:
                        span.error = str(message["status"])
                await send(message)

            await self._app(scope, receive, answer)
            route = getattr(scope.get("route"), "path", None)
            if route is not None:
                route = str(route).replace(":path}", "}")
                span.name = f"{method} {route}"
                span.set("http.route", route)
