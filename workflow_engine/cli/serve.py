"""``wfe api``: the API by itself, and what it has in common with ``wfe worker``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from workflow_engine.cli.loading import loading
from workflow_engine.cli.logs import LEVELS, log_to_stderr
from workflow_engine.cli.options import (
    BUILD,
    DEPLOYING,
    EGRESS,
    PAYLOADS,
    PROCESS,
    SERVER,
    STARTING,
    TEMPORAL,
    add_settings,
    settings,
)
from workflow_engine.cli.terminal import FINE, USAGE, say
from workflow_engine.settings import LOOPBACK, Settings


def configure_api(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe api`` takes."""
    parser.usage = "wfe api [OPTIONS]"
    parser.description = (
        "Serve the HTTP API, with the event router and the catalog, until SIGTERM or Ctrl-C.\n"
        "Only one process at a time may use a SQLite store. What limits calls, and the build, count with --api-worker."
    )
    add_process_options(parser)
    starting = (*STARTING, *DEPLOYING, *EGRESS, *PAYLOADS, "codec_origins")
    add_settings(parser, *SERVER, *TEMPORAL, *starting, *BUILD, *PROCESS)
    parser.set_defaults(work=_api)


def add_process_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="(default: %(default)s)")
    parser.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="write the process id to FILE once ready, and remove it at the end: for supervisors and probes",
    )


def _api(arguments: argparse.Namespace) -> int:
    from workflow_engine.processes.ports import free_port, port_in_use

    chosen = settings(arguments)
    if chosen.port == 0:
        chosen = replace(chosen, port=free_port(chosen.host))
    elif user := port_in_use(chosen.host, chosen.port):
        say(f"wfe api: error: port {chosen.port} is in use by {user}: stop it, or choose another with --port")
        return USAGE

    with loading():
        from workflow_engine.assembly import serve_api
    from workflow_engine.errors import Conflict

    log_to_stderr(arguments.log_level)
    answering = asyncio.Event()

    async def serving() -> None:
        with _ended_before(answering):
            await serve_api(chosen, ready=ready)

    with ready_file(arguments.ready_file) as tell:

        def ready() -> None:
            answering.set()
            logging.getLogger("wfe").info(
                "API at %s, documentation at %s/docs", url_of(chosen), url_of(chosen)
            )
            tell()

        try:
            asyncio.run(serving())
        except Conflict as error:  # another process has a store
            say(f"wfe api: error: {error}")
            return USAGE
    return FINE


@contextlib.contextmanager
def _ended_before(answering: asyncio.Event) -> Iterator[None]:
    """End the block at SIGINT and SIGTERM, as long as it is not *answering*: what is being opened may take long.

    Then the server itself ends on these signals, and raises them again for whoever was there before it: for us, who
    have nothing more to do.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    told = False

    def stop(*_: object) -> None:
        nonlocal told
        if not answering.is_set() and not told:
            told = True
            loop.call_soon_threadsafe(task.cancel)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise


def url_of(chosen: Settings) -> str:
    """Where the API that listens as *chosen* says is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(chosen.host, chosen.host)  # noqa: S104 - only compared
    if host in LOOPBACK and host != "::1":
        host = "127.0.0.1"
    scheme = "http" if chosen.tls_cert is None else "https"
    return f"{scheme}://[{host}]:{chosen.port}" if ":" in host else f"{scheme}://{host}:{chosen.port}"


@contextlib.contextmanager
def ready_file(path: Path | None) -> Iterator[Callable[[], None]]:
    """A function that writes *path*, which is not there before it is called and after the block."""
    if path is None:
        yield lambda: None
        return
    path.unlink(missing_ok=True)

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(f"{os.getpid()}\n")
        fresh.replace(path)

    try:
        yield write
    finally:
        path.unlink(missing_ok=True)
