"""A real, tuned Temporal dev server for tests: a pytest plugin (`pytest_plugins = ["tests.temporal_server"]`).

One server in memory for each process that runs tests, started by the first test that asks. Tests share its default
namespace, so each needs task queues and workflow ids of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from workflow_engine.runtimes.temporal.server import DevServer, ServerOptions, dev_server


@pytest.fixture(scope="session")
def temporal_server() -> Iterator[DevServer]:
    with server_in_thread(ServerOptions(headless=True, log_level="error")) as server:
        yield server


@pytest.fixture(scope="session")
def temporal_address(temporal_server: DevServer) -> str:
    """`host:port` of the session's server."""
    return temporal_server.address


@contextmanager
def server_in_thread(options: ServerOptions) -> Iterator[DevServer]:
    """As `dev_server`, with an event loop of its own: for code without one, or with one for each test."""
    started = threading.Event()
    outcome: list[DevServer | BaseException] = []
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        ended = asyncio.Event()
        stop.append((asyncio.get_running_loop(), ended))
        async with dev_server(options) as server:
            outcome.append(server)
            started.set()
            await ended.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            outcome.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="temporal-dev-server", daemon=True)
    thread.start()
    started.wait()
    if isinstance(outcome[0], BaseException):
        thread.join()
        raise outcome[0]
    try:
        yield outcome[0]
    finally:
        loop, ended = stop[0]
        loop.call_soon_threadsafe(ended.set)
        thread.join()
