"""Serve the application on a port until the process is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from workflow_engine.api.certificates import Served
from workflow_engine.errors import Unavailable

HEAD_SECONDS = 30.0
"""How long the head of a request may take to come."""


async def serve(
    app: FastAPI,
    listening: socket.socket,
    ready: Callable[[], None] | None,
    certificates: Served | None = None,
) -> None:
    """Serve *app* on what `listen` gave; *ready* is told when it answers. With *certificates* it speaks TLS."""
    tls = None if certificates is None else certificates.context
    config = uvicorn.Config(
        app,
        http=Patient,
        ssl_context_factory=None if tls is None else lambda *_: tls,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=64 * 1024,
        limit_concurrency=1000,
    )
    server = _Server(config, ready, app.state.closing)
    if certificates is None:
        await server.serve(sockets=[listening])
        return
    app.state.certificates = certificates
    keeping = asyncio.create_task(certificates.keep(), name="certificates")
    try:
        await server.serve(sockets=[listening])
    finally:
        keeping.cancel()


class Patient(H11Protocol):
    """HTTP of a client that has `HEAD_SECONDS` for the head of each request, however little of it comes at a time.

    uvicorn waits for ever for it, and takes so many connections: a few idle clients would keep all others out.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._no_more()  # there is a request: its body is waited for by who reads it
        elif self._late is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()


class _Server(uvicorn.Server):
    """uvicorn, saying when it is ready, and when those who wait for runs must be let go."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None] | None, closing: asyncio.Event
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._closing = closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready is not None and self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing.set()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that a taken port is known before anything is opened.

    What is sent over its connections goes out at once. asyncio sees to that for sockets that say they are of TCP, which
    those of `socket.create_server` do not: the body of an answer would wait 40 ms for the receipt of its head.
    """
    try:
        listening = socket.create_server((host, port), backlog=512, reuse_port=False)
    except OSError as error:
        raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
