"""``wfe start`` and ``wfe runs``: start, follow and control runs on a server."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from workflow_engine.cli import control
from workflow_engine.cli.debug import configure_debug
from workflow_engine.cli.inputs import read_json
from workflow_engine.cli.moving import configure_migrate
from workflow_engine.cli.options import add_express, count, seconds
from workflow_engine.cli.remote import NAME, add_connection, find_workflow, with_api
from workflow_engine.cli.terminal import (
    FAILED,
    FINE,
    counted,
    print_error_json,
    print_json,
    print_table,
    printable,
    result,
    say,
    span,
)
from workflow_engine.engine.names import named
from workflow_engine.values import Json

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

STATUSES = ("pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed")
_PAGE = 200
_WANTS = re.compile(
    r"Failed encoding completion: |(KeyMissing|ValueLost|StoreUnavailable): |a payload |the payload store |the object "
)
"""How it begins why a run is held up, where that is no bug: a key or a value that is not there."""
_QUIET = 5.0
"""After how many seconds of waiting something is said."""


def configure_start(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe start`` takes."""
    parser.usage = f"wfe start {NAME} [OPTIONS]"
    parser.description = (
        "Start a run of a deployed workflow, the latest version unless one is named; prints the run."
    )
    parser.add_argument("workflow", metavar=NAME, help="NAME alone is enough where it is the only one")
    parser.add_argument("--input", metavar="JSON|@FILE|-", help="its input (default: {})")
    parser.add_argument("--id", metavar="ID", help="the id of the run; a second run with it is refused")
    add_express(parser)
    _add_wait(parser)
    add_connection(parser, json=False)
    parser.set_defaults(work=_start)


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        nargs="?",
        type=seconds,
        const=math.inf,
        default=0.0,
        metavar="S",
        help="wait until the run has ended, for S seconds at most; exit code 1 unless it completed",
    )


def _start(arguments: argparse.Namespace) -> int:
    given: Json = {} if arguments.input is None else read_json(arguments.input, "--input")

    async def work(api: HttpApi) -> int:
        namespace, name, version = await find_workflow(api, arguments.workflow)
        run = await api.start(
            namespace,
            name,
            version,
            given,
            run_id=arguments.id,
            wait=min(arguments.wait, _QUIET),
            express=arguments.express,
        )
        left = arguments.wait - _QUIET
        if left > 0 and run["status"] not in control.ENDED:
            say(f"The run {run['id']} goes on: {_at_work(run)}.")
            run = await api.run(str(run["id"]), wait=left)
        print_json(run)
        return _judged(run, arguments.wait)

    return with_api(arguments, work)


def _at_work(run: Mapping[str, Any]) -> str:
    """What a run does that takes long, or why nobody does it."""
    if run["remark"]:
        return f"{run['remark']}; workers are started by `wfe worker`, or `wfe dev`"
    states = [f"{state['name']} is {state['doing'] or state['status']}" for state in run["states"]]
    return "; ".join(states[:3]) or str(run["status"])


def _judged(run: Mapping[str, Json], waited: float) -> int:
    """The exit code for a run that was waited for; what is wrong with it goes to stderr."""
    if not waited or run["status"] == "completed":
        return FINE
    if run["status"] == "faulted":
        print_error_json(run["error"])
    elif run["status"] == "cancelled":
        say(f"The run {run['id']} was cancelled.")
    else:
        say(f"The run {run['id']} has not ended after {waited:g} s; it is {run['status']}.")
    return FAILED


def configure_runs(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe runs`` takes."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = commands.add_parser(
        "list",
        help="runs, newest first",
        description="List runs, newest first. Without --status, one that goes on is `running`, also while it waits.",
    )
    listing.add_argument("--workflow", metavar=NAME, help="of this workflow; NAME alone is any namespace's")
    listing.add_argument("--status", choices=STATUSES, help="with this status")
    listing.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="with this key of their input, or of the events that started them; may be repeated",
    )
    listing.add_argument("--parked", action="store_true", help="that a bug of the engine holds up")
    listing.add_argument(
        "--limit", type=count, default=20, metavar="N", help="at most N (default: %(default)s)"
    )
    add_connection(listing)
    listing.set_defaults(work=_list)

    show = commands.add_parser(
        "show",
        help="one run",
        description="Show where a run is, what it waits for, its input, output and error.",
    )
    show.add_argument("id", metavar="ID")
    show.add_argument(
        "--data",
        action="store_true",
        help="also the data of the states at which it stands, or stood when it ended",
    )
    add_connection(show)
    show.set_defaults(work=_show)

    wait = commands.add_parser(
        "wait",
        help="wait until a run has ended",
        description="Wait until a run has ended; prints its output.",
    )
    wait.add_argument("id", metavar="ID")
    wait.add_argument(
        "--timeout", type=seconds, default=math.inf, metavar="S", help="give up after S seconds"
    )
    add_connection(wait)
    wait.set_defaults(work=_wait)

    configure_debug(commands)
    configure_migrate(commands)
    control.configure(commands)


def _list(arguments: argparse.Namespace) -> int:
    from workflow_engine.engine.runtime import RunQuery

    namespace, name, version = named(arguments.workflow) if arguments.workflow else (None, None, None)

    async def work(api: HttpApi) -> int:
        runs: list[Any] = []
        cursor: str | None = None
        while len(runs) < arguments.limit:
            limit = min(_PAGE, arguments.limit - len(runs))
            page: dict[str, Any] = await api.runs(
                RunQuery(
                    namespace,
                    name,
                    version,
                    arguments.status,
                    limit,
                    cursor,
                    arguments.parked,
                    keys=arguments.key,
                )
            )
            runs += page["runs"]
            cursor = page["cursor"]
            if cursor is None:
                break
        if arguments.json:
            print_json(runs)
        else:
            print_table(
                ("RUN", "WORKFLOW", "STATUS", "STARTED", "TOOK"),
                [
                    (run["id"], workflow_of(run), _status(run), run["started_at"] or "", _took(run))
                    for run in runs
                ],
            )
            if not runs:
                say("There are no such runs.")
        return FINE

    return with_api(arguments, work)


def workflow_of(run: Mapping[str, Any]) -> str:
    """``namespace/name/version`` of a run, as far as it is known."""
    name = run["workflow"] or {}
    return "/".join(name[part] for part in ("namespace", "name", "version") if name.get(part))


def _took(run: Mapping[str, Any]) -> str:
    if not run["started_at"]:
        return ""
    ended = datetime.fromisoformat(run["ended_at"]) if run["ended_at"] else datetime.now(UTC)
    passed = (ended - datetime.fromisoformat(run["started_at"])).total_seconds()
    return span(max(0.0, passed)) + ("" if run["ended_at"] else " so far")


def _show(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        run = await api.run(arguments.id)
        standing = await api.standing(arguments.id) if arguments.data else []
        if arguments.json:
            print_json({**run, "standing": standing} if arguments.data else run)
        else:
            for line in [*description(run), *_standing(standing, ended=bool(run["ended_at"]))]:
                result(line)
        return FINE

    return with_api(arguments, work)


def description(run: Mapping[str, Any]) -> list[str]:
    """*run* for people."""
    lines = [
        f"run       {run['id']}",
        f"workflow  {workflow_of(run)}",
        f"status    {_status(run)}",
        f"started   {run['started_at'] or '-'}",
        f"ended     {run['ended_at'] or '-'}  ({_took(run)})",
        *([f"keys      {', '.join(run['keys'])}"] if run.get("keys") else []),
    ]
    label = "at"
    for state in run["states"]:
        since = f", since {state['since']}" if state["since"] else ""
        lines.append(
            f"{label:<9} {state['name']}: {state['doing'] or state['status']}{since}  ({state['id']})"
        )
        label = ""
        if state.get("attempt", 1) > 1:
            why = f" failed: {state['failure']}" if state.get("failure") else " failed"
            due = f"; the next one begins {state['next_attempt']}" if state.get("next_attempt") else ""
            lines.append(f"{'':<9} attempt {state['attempt'] - 1}{why}{due}")
    if parked := run.get("parked"):
        lines += _parked(parked)
    elif run.get("remark"):
        lines.append(
            f"{'held':<9} {run['remark']}" if run["states"] else f"{label:<9} unknown: {run['remark']}"
        )
    for number, attempt in enumerate(run.get("attempts") or (), 1):
        error = attempt["error"] or {}
        why = f" at {error.get('instance')}: {error.get('detail') or error.get('type')}" if error else ""
        lines.append(
            f"attempt {number:<2}{attempt['status']}{why}; then {attempt['then']}, {attempt['ended_at']}"
        )
    for member in ("input", "output", "error"):
        if run[member] is not None or (member == "output" and run["status"] == "completed"):
            lines += _block(member, run[member])
    if run["temporal_url"]:
        lines.append(f"Temporal  {run['temporal_url']}")
    return [printable(line, keep="\n") for line in lines]


def _status(run: Mapping[str, Any]) -> str:
    return f"{run['status']}, parked" if run.get("parked") else str(run["status"])


def _parked(parked: Mapping[str, Any]) -> list[str]:
    """What holds up a run, and what to do."""
    at = f"  ({parked['state']})" if parked["state"] else ""
    wants = _WANTS.match(parked["exception"])
    lines = [
        f"parked    {parked['exception'].removeprefix('Failed encoding completion: ')}{at}",
        f"          since {parked['since']}, {counted(parked['attempts'], 'failure')} in a row",
    ]
    if wants:
        return [*lines, "          No bug: the run goes on from here by itself once that is mended."]
    last = [line.strip() for line in str(parked["trace"]).splitlines() if line.strip()][-2:]
    lines += [f"          | {line}" for line in last]
    if parked["exception"].startswith("PositionTooLarge"):
        return [
            *lines,
            "          Not a bug: the run goes on from here once the workers have a payload store.",
        ]
    return [*lines, "          A bug of the engine. The run goes on from here once a fixed worker runs."]


def _standing(states: Sequence[Mapping[str, Any]], *, ended: bool) -> list[str]:
    stands = "stood" if ended else "stands"
    lines: list[str] = []
    for state in states:
        lines.append(f"{'failed' if state['failed'] else stands:<9} at {state['id']}")
        lines += [*_block("data", state["data"]), *_block("context", state["context"])]
    return [printable(line, keep="\n") for line in lines]


def _block(label: str, value: Json) -> Sequence[str]:
    """JSON beside its *label*: on one line if it fits."""
    short = json.dumps(value, ensure_ascii=False)
    if len(short) <= 90:
        return [f"{label:<9} {short}"]
    first, *others = json.dumps(value, indent=2, ensure_ascii=False).splitlines()
    return [f"{label:<9} {first}", *(f"{'':<9} {line}" for line in others)]


def _wait(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        run = await api.run(arguments.id, wait=arguments.timeout)
        if arguments.json:
            print_json(run)
        elif run["status"] == "completed":
            print_json(run["output"])
        return _judged(run, arguments.timeout)

    return with_api(arguments, work)
