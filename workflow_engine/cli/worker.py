"""``wfe worker``: one worker, or several."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from workflow_engine.cli.loading import loading
from workflow_engine.cli.logs import log_to_stderr
from workflow_engine.cli.options import (
    BUILD,
    CLIENT,
    EGRESS,
    PAYLOADS,
    PROCESS,
    TEMPORAL,
    add_settings,
    settings,
)
from workflow_engine.cli.serve import add_process_options, ready_file
from workflow_engine.cli.terminal import FINE
from workflow_engine.settings import PROCESSES

MOST_WORKERS = 256


def configure_worker(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe worker`` takes."""
    parser.usage = "wfe worker [OPTIONS]"
    parser.description = (
        "Run workflows and make their calls, until SIGTERM or Ctrl-C; then finish what is under way.\n"
        "Start as many as you need; they find the router at --api-url. One uses one core: --processes N keeps N of\n"
        "them running, and stops them together. Told to stop twice, all end at once."
    )
    add_process_options(parser)
    egress = [name for name in EGRESS if name != "processes"]
    add_settings(parser, *CLIENT, *TEMPORAL, *BUILD, *egress, *PROCESS, *PAYLOADS)
    parser.add_argument(
        "--processes",
        action=_Processes,
        dest="setting_processes",
        metavar="N|KIND,…",
        help="a number: how many worker processes there are; else as the setting (WFE_PROCESSES): what workflows may "
        "start; may be given for both",
    )
    parser.set_defaults(work=_worker)


class _Processes(argparse.Action):
    """A number of worker processes, or the kinds of processes that workflows may start."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        text = str(values)
        kinds = [kind.strip() for kind in text.split(",")]
        if text.isdecimal() and 1 <= int(text[:10]) <= MOST_WORKERS:
            namespace.workers = int(text)
        elif not text.isdecimal() and all(kind in ("", *PROCESSES, "all", "none") for kind in kinds):
            setattr(namespace, self.dest, text)
        else:
            allowed = f"{', '.join(PROCESSES)}, all or none"
            parser.error(
                f"--processes {text}: give a number from 1 to {MOST_WORKERS}, of worker processes; "
                f"or what workflows may start: {allowed}"
            )


def _worker(arguments: argparse.Namespace) -> int:
    with loading():
        from workflow_engine.assembly import serve_worker

    chosen = settings(arguments)
    if getattr(arguments, "workers", 1) > 1:
        from workflow_engine.cli.several import run_several

        grace, memory = chosen.grace_seconds, chosen.payload_memory
        return run_several(arguments.workers, sys.argv[1:], grace, arguments.ready_file, memory)
    log_to_stderr(arguments.log_level)
    with ready_file(arguments.ready_file) as tell:

        def ready() -> None:
            logging.getLogger("wfe").info(
                "worker of task queue %s at Temporal %s", chosen.task_queue, chosen.temporal_address
            )
            tell()

        asyncio.run(serve_worker(chosen, ready=ready))
    return FINE
