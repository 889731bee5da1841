"""ASGI applications on loopback for tests: the servers of official SDKs, on a free port, with what they are asked."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from types import TracebackType
from typing import Any

import trustme
import uvicorn
from multidict import CIMultiDict, CIMultiDictProxy

from tests.standins.certificates import server_context
from tests.standins.server import Recorded, Server

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


class AsgiThread:
    """Serves an application from a thread of its own; with *tls*, over https with a certificate for *names*.

    Use it as a context manager, which gives the `Server`. *make_app* is called in that thread.
    """

    def __init__(
        self,
        make_app: Callable[[], App],
        *,
        tls: trustme.CA | None = None,
        names: tuple[str, ...] = ("localhost",),
    ) -> None:
        self._make_app, self._tls, self._names = make_app, tls, names
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._recorded: list[Recorded] = []

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(20), "the stand-in did not start"
        scheme = "http" if self._tls is None else "https"
        return Server(f"{scheme}://127.0.0.1:{self._port}", "127.0.0.1", self._port, self._recorded)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def _serve(self) -> None:
        config = uvicorn.Config(
            self._recording(self._make_app()),
            host="127.0.0.1",
            port=0,
            log_level="critical",
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        config.load()
        if self._tls is not None:
            config.ssl = server_context(self._tls, self._names)
        self._server = _Server(config, self._started)
        self._server.run()

    def _started(self) -> None:
        self._port = self._server.servers[0].sockets[0].getsockname()[1]
        self._ready.set()

    def _recording(self, app: App) -> App:
        async def record(scope: Message, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            parts: list[bytes] = []
            headers = CIMultiDict(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
            )
            target = scope["raw_path"].decode() + (
                f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
            )

            whole = Recorded(scope["method"], target, CIMultiDictProxy(headers), b"")
            if bodiless := scope["method"] in {"GET", "HEAD", "DELETE"}:
                self._recorded.append(whole)

            async def heard() -> Message:
                message = await receive()
                if message["type"] == "http.request" and not bodiless:
                    parts.append(message.get("body", b""))
                    if not message.get("more_body"):
                        self._recorded.append(replace(whole, body=b"".join(parts)))
                return message

            await app(scope, heard, send)

        return record


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()
