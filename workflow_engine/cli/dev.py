"""``wfe dev``: everything on one machine."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_engine.cli.options import (
    DEPLOYING,
    EGRESS,
    PAYLOADS,
    PROCESS,
    add_settings,
    forget_cluster,
    given,
    port,
    settings,
)
from workflow_engine.cli.terminal import USAGE, print_json, result, say
from workflow_engine.errors import Conflict
from workflow_engine.settings import Settings

if TYPE_CHECKING:
    from workflow_engine.cli.stack import Port, Stack

TEMPORAL_PORT = 7233
UI_PORT = 8233
_LEFTOVER_PATIENCE = 20.0
"""How long the programs of a `wfe dev` that was killed may take to end."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe dev`` takes."""
    parser.usage = "wfe dev [OPTIONS]"
    parser.description = (
        "Run everything on this machine: a Temporal server with its web UI, the API with event router and catalog,\n"
        "and a worker. All that they keep is in one folder; started again, everything goes on where it was.\n"
        "When all are ready, their URLs are printed. Ctrl-C stops all."
    )
    parser.add_argument(
        "--temporal-port",
        type=port,
        metavar="PORT",
        help=f"port of Temporal; 0 takes a free one (default {TEMPORAL_PORT}, or the next that is free)",
    )
    parser.add_argument(
        "--ui-port",
        type=port,
        metavar="PORT",
        help=f"port of its web UI, likewise (default {UI_PORT})",
    )
    parser.add_argument("--json", action="store_true", help="print the URLs as JSON")
    parser.add_argument("--verbose", action="store_true", help="show what the parts print, too")
    add_settings(
        parser, "data", "host", "port", "api_token", "api_worker", *EGRESS, *DEPLOYING, *PROCESS, *PAYLOADS
    )
    parser.set_defaults(work=_dev)


def _dev(arguments: argparse.Namespace) -> int:
    try:
        return asyncio.run(_supervise(arguments))
    except Conflict as error:
        say(f"wfe dev: error: {error}")
        return USAGE


async def _wait_for_folder(data: Path) -> None:
    """Until nobody uses the folder *data*; `Conflict` when somebody goes on to, or it cannot be used at all."""
    from workflow_engine.processes.lockfile import LockFile

    what = f"the data folder {data}"
    try:
        lock = await LockFile.acquire(data / "supervisor.lock", what, patience=_LEFTOVER_PATIENCE)
    except OSError as error:
        raise Conflict(f"{what} cannot be used: {error.strerror}; choose another with --data") from None
    lock.close()


async def _supervise(arguments: argparse.Namespace) -> int:
    from workflow_engine.cli.stack import Port, Stack, choose_ports
    from workflow_engine.cli.supervisor import Supervisor

    forget_cluster()
    chosen = settings(arguments)
    # Before ports are chosen: those that an earlier `wfe dev` leaves behind are not free yet.
    await _wait_for_folder(chosen.data)
    api_port, temporal_port, ui_port = choose_ports(
        [
            Port("--port", chosen.port, given(arguments, "port"), chosen.host),
            _wanted("--temporal-port", arguments.temporal_port, TEMPORAL_PORT),
            _wanted("--ui-port", arguments.ui_port, UI_PORT),
        ],
        say,
    )
    stack = Stack.of(replace(chosen, port=api_port), temporal_port=temporal_port, ui_port=ui_port)

    def ready() -> None:
        if arguments.json:
            print_json(dict(stack.urls))
        else:
            for title, name in (("API", "api"), ("API docs", "docs"), ("Temporal UI", "temporal_ui")):
                result(f"{title:<12} {stack.urls[name]}")
        _suggest(stack)

    return await Supervisor(stack.children(), stack.settings.data, echo=arguments.verbose).run(ready)


def _wanted(option: str, number: int | None, default: int) -> Port:
    from workflow_engine.cli.stack import Port

    return Port(option, default if number is None else number, explicit=number is not None)


def _suggest(stack: Stack) -> None:
    chosen = stack.settings
    say(
        f"\nEverything is kept in {chosen.data}, logs in {chosen.data / 'logs'}. Try this next, in another terminal:"
    )
    if chosen.api_url != Settings().api_url:
        say(f"  export WFE_API_URL={chosen.api_url}")
    if chosen.api_token:
        say("  export WFE_API_TOKEN=…    # the token that you gave")
    say("  wfe new hello.yaml && wfe deploy hello.yaml")
    say("""  wfe start hello --input '{"name": "Ann"}' --wait""")
    say("  wfe runs list")
