"""Serve the application on a port until the process is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from workflow_engine.errors import Unavailable


async def serve(app: FastAPI, listening: socket.socket, ready: Callable[[], None] | None) -> None:
    """Serve *app* on what `listen` gave; *ready* is told when it answers."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=64 * 1024,
        limit_concurrency=1000,
    )
    await _Server(config, ready, app.state.closing).serve(sockets=[listening])


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
    """A listening socket, so that a taken port is known before anything is opened."""
    try:
        return socket.create_server((host, port), backlog=512, reuse_port=False)
    except OSError as error:
        raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
