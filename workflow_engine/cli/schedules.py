"""``wfe schedules``: see and hold what the clock starts on a server."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.options import add_limit
from workflow_engine.cli.remote import add_connection, find_workflow, with_api
from workflow_engine.cli.terminal import FINE, print_json, print_table, printable, result, say
from workflow_engine.values import JsonObject

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

NAME = "NAMESPACE/NAME"
_COMMANDS = {
    "pause": "start no more runs; those under way go on",
    "resume": "start runs again",
    "trigger": "start a run now, paused or not",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe schedules`` takes."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = commands.add_parser(
        "list", help="every schedule", description="List the workflows that the clock starts."
    )
    add_limit(listing)
    add_connection(listing)
    listing.set_defaults(work=_list)
    show = commands.add_parser(
        "show", help="one schedule", description="Show when a workflow is run next, and its last runs."
    )
    _add_name(show)
    add_connection(show)
    show.set_defaults(work=_show)
    for command, help in _COMMANDS.items():
        each = commands.add_parser(command, help=help, description=help[0].upper() + help[1:] + ".")
        _add_name(each)
        if command == "pause":
            each.add_argument("--reason", default="", help="for who looks at the schedule later")
        add_connection(each)
        each.set_defaults(work=_control, command=command, reason="")


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workflow", metavar=NAME, help="NAME alone is enough where it is the only one")


def _list(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        schedules = await api.schedules(limit=arguments.limit)
        if arguments.json:
            print_json(schedules)
            return FINE
        rows = [(_name(item), rule(item), _next(item), _last(item)) for item in schedules]
        print_table(("WORKFLOW", "RUNS", "NEXT", "LAST"), rows)
        if not rows:
            say("The clock starts no workflow.")
        return FINE

    return with_api(arguments, work)


def _name(schedule: Mapping[str, Any]) -> str:
    return f"{schedule['namespace']}/{schedule['name']}/{schedule['version']}"


def rule(schedule: Mapping[str, Any]) -> str:
    """``every PT1H``, ``at 0 6 * * * (UTC)``, ``PT5M after each run``."""
    if schedule["every"]:
        return f"every {schedule['every']}"
    if schedule["cron"]:
        return f"at {schedule['cron']} ({schedule['timezone']})"
    return f"{schedule['after']} after each run"


def _next(schedule: Mapping[str, Any]) -> str:
    if schedule["paused"]:
        return "paused"
    if schedule["next"]:
        return str(schedule["next"][0])
    return "after the run" if schedule["running"] else "unknown"


def _last(schedule: Mapping[str, Any]) -> str:
    return str(schedule["recent"][0]["started_at"]) if schedule["recent"] else "never"


def _show(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        namespace, name, _ = await find_workflow(api, arguments.workflow)
        _print(await api.schedule(namespace, name), as_json=arguments.json)
        return FINE

    return with_api(arguments, work)


def _control(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        namespace, name, _ = await find_workflow(api, arguments.workflow)
        done = await api.control_schedule(namespace, name, arguments.command, arguments.reason)
        _print(done, as_json=arguments.json)
        return FINE

    return with_api(arguments, work)


def _print(schedule: JsonObject, *, as_json: bool) -> None:
    if as_json:
        print_json(schedule)
        return
    for line in description(schedule):
        result(printable(line))


def description(schedule: Mapping[str, Any]) -> list[str]:
    """*schedule* for people."""
    lines = [f"workflow  {_name(schedule)}", f"runs      {rule(schedule)}"]
    if schedule["paused"]:
        lines.append(f"paused    {schedule['note']}")
    lines += _block("next", schedule["next"])
    lines += _block("running", schedule["running"])
    lines += _block("last", [f"{run['started_at']}  {run['id']}" for run in schedule["recent"]])
    counts = f"{schedule['started']} started"
    for count in ("skipped", "missed"):
        if schedule[count]:
            counts += f", {schedule[count]} {count}"
    lines.append(f"so far    {counts}")
    if schedule["remark"]:
        lines.append(f"remark    {schedule['remark']}")
    return lines


def _block(label: str, values: list[str]) -> list[str]:
    return [f"{label if number == 0 else '':<9} {value}" for number, value in enumerate(values)]
