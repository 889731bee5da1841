"""A real NATS server with JetStream for tests: a pytest plugin (`pytest_plugins = ["tests.standins.nats"]`).

One server for each process that runs tests, started by the first test that asks, in a folder of its own on a free
port of loopback; each test gets a stream of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.brokers.servers import free_port, wait_for
from tests.standins.guarded import Guarded

PROGRAM = Path(sys.executable).parent / "nats-server"


class NatsServer:
    """A server whose streams are in a folder; it can be killed and started again on the same port."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self._arguments = folder, arguments
        self._names = count()
        self._process: Guarded | None = None
        self.port = free_port()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        log = (self.folder / "log").open("ab")
        with log:
            self._process = Guarded(
                [
                    PROGRAM, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", self.folder / "streams",
                    *self._arguments,
                ],
                scratch=self.folder,
                stdout=log,
                stderr=log,
            )  # fmt: skip
        wait_for(self.port, self._process)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it end; without effect if it does not run."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """It stays connected, and answers nothing."""
        assert self._process is not None
        os.kill(self._process.program, signal.SIGSTOP)
        while Path(f"/proc/{self._process.program}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)

    def thaw(self) -> None:
        """The end of `freeze`."""
        assert self._process is not None
        os.kill(self._process.program, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(process.program, how)
                os.kill(process.program, signal.SIGCONT)
            process.wait(30)

    def url(self) -> str:
        """The URL of a store that is not there yet."""
        return f"nats://127.0.0.1:{self.port}/test-{next(self._names)}"


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """The server that tests share; whoever kills one needs `own_nats_server`."""
    yield from _served()


@pytest.fixture
def own_nats_server() -> Iterator[NatsServer]:
    """A server that the test may kill."""
    yield from _served()


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    """The URL of an empty store that is the test's own."""
    return nats_server.url()


def _served() -> Iterator[NatsServer]:
    folder = Path(tempfile.mkdtemp(prefix="wfe-nats-"))
    try:
        server = NatsServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
