"""``wfe runs cancel|terminate|suspend|resume|retry|skip|edit``: change runs, one by one or all that a query finds."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.inputs import read_json
from workflow_engine.cli.remote import add_connection, with_api
from workflow_engine.cli.terminal import FAILED, FINE, counted, print_json, printable, result, say
from workflow_engine.engine.names import named
from workflow_engine.errors import Rejected
from workflow_engine.values import JsonObject, rfc3339

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

_COMMANDS = {
    "cancel": "ask runs to end; states that wait or call are interrupted",
    "terminate": "end runs at once",
    "suspend": "let runs stop before their next state",
    "resume": "let suspended runs go on",
    "retry": "let runs that faulted or were cancelled go on from the failed state",
    "skip": "let runs leave out a state: the failed one, or one at which they wait or call",
    "edit": "give a suspended run other data before its next state",
}
_GONE_ON = frozenset({"retry", "skip", "edit"})
ENDED = ("cancelled", "faulted", "completed")
"""Statuses of runs that have ended."""
QUERY = "NAME=VALUE[,…]"
_NAMES = ("namespace", "workflow", "version", "status", "error", "after", "before", "key")
KEYS = "WfeCorrelation"
"""The search attribute that has the keys of a run, each ``name=value``."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_POLL = 0.5


def configure(commands: Any) -> None:
    """Add the commands to those of ``wfe runs``."""
    for command, help in _COMMANDS.items():
        each = commands.add_parser(command, help=help, description=help[0].upper() + help[1:] + ".")
        each.add_argument("ids", nargs="*" if command != "edit" else "+", metavar="ID")
        if command == "terminate":
            each.add_argument("--reason", default="", help="for who looks at the run later")
        if command in _GONE_ON:
            _add_wish(each, command)
        if command != "edit":
            _add_query(each)
        add_connection(each)
        each.set_defaults(work=_control, command=command)


def _add_wish(parser: argparse.ArgumentParser, command: str) -> None:
    json = "JSON|@FILE|-"
    if command == "retry":
        parser.add_argument(
            "--from",
            dest="state",
            metavar="STATE",
            help="a state around the failed one, or with --data another one of its list: /do/1/pay",
        )
        parser.add_argument("--input", metavar=json, help="another input of the run")
        parser.add_argument(
            "--version", metavar="VERSION", help="go on with this version of the workflow, or `latest`"
        )
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="OLD=NEW",
            help="what a state is in that version, where its name is another: /do/1/pay=/do/2/charge; repeatable",
        )
        parser.add_argument(
            "--new-keys",
            action="store_true",
            help="calls get new idempotency keys, as they do with other data",
        )
    else:
        parser.add_argument("--state", metavar="STATE", help="which one, if a run stands at several")
    what = "what comes of the state (default: its input)" if command == "skip" else "what the state gets"
    parser.add_argument(
        *(["--output"] if command == "skip" else []), "--data", dest="data", metavar=json, help=what
    )
    parser.add_argument("--context", metavar=json, help="another $context")


def _add_query(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--query",
        metavar=QUERY,
        help=f"all runs of which this holds instead of IDs: {', '.join(_NAMES)}, or a search attribute; "
        "times are RFC 3339, or such as 2h for two hours ago; `all` is every run",
    )
    parser.add_argument(
        "--rate", type=float, default=20.0, metavar="N", help="so many runs a second (default: 20)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only tell how many runs it would be")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _control(arguments: argparse.Namespace) -> int:
    query = getattr(arguments, "query", None)
    if (query is None) == (not arguments.ids):
        raise Rejected("usage", "name runs, or give --query, and not both")
    if query is not None or getattr(arguments, "dry_run", False):
        return _batch(arguments, query)
    wish = _wish(arguments)

    async def work(api: HttpApi) -> int:
        done: list[JsonObject] = []
        for id in arguments.ids:
            run = await _one(api, arguments, id, wish)
            done.append(run)
            if not arguments.json:
                asked = arguments.command == "cancel" and run["status"] not in ENDED
                result(f"{run['id']} {run['status']}{', asked to end' if asked else ''}")
        if arguments.json:
            print_json(done)
        return FINE

    return with_api(arguments, work)


async def _one(api: HttpApi, arguments: argparse.Namespace, id: str, wish: JsonObject) -> JsonObject:
    match arguments.command:
        case "retry":
            return await api.retry(id, wish)
        case "skip":
            return await api.skip(id, wish)
        case "edit":
            return await api.edit(id, wish)
        case command:
            return await api.control(id, command, getattr(arguments, "reason", ""))


def _wish(arguments: argparse.Namespace) -> JsonObject:
    """The body of the request for one run."""
    wish: JsonObject = {}
    for name in ("state", "version"):
        value = getattr(arguments, name, None)
        if value is not None:
            wish[name] = value
    for name in ("data", "context", "input"):
        given = getattr(arguments, name, None)
        if given is not None:
            wish["output" if name == "data" and arguments.command == "skip" else name] = read_json(
                given, "--output" if arguments.command == "skip" and name == "data" else f"--{name}"
            )
    if getattr(arguments, "map", []):
        wish["map"] = list(arguments.map)
    if getattr(arguments, "new_keys", False):
        wish["new_keys"] = True
    return wish


def _batch(arguments: argparse.Namespace, query: str | None) -> int:
    wish = _wish(arguments)
    if "input" in wish or "map" in wish:
        raise Rejected("usage", f"{'--input' if 'input' in wish else '--map'} is for one run; give its ID")
    wanted: JsonObject = {**wish, "command": arguments.command, "rate": arguments.rate}
    if query is None:
        wanted["ids"] = list(arguments.ids)
    else:
        wanted["query"] = parse_query(query, datetime.now(UTC))
    if getattr(arguments, "reason", ""):
        wanted["reason"] = arguments.reason

    async def work(api: HttpApi) -> int:
        counted_ = await api.batch({**wanted, "dry_run": True})
        total = counted_["total"]
        assert isinstance(total, int)
        if arguments.dry_run:
            if arguments.json:
                print_json(counted_)
            else:
                _tell_count(counted_, total)
            return FINE
        more = " (and there are more)" if counted_["more"] else ""
        if not total:
            say("There are no such runs.")
            return FINE
        if not (arguments.yes or _agreed(f"{arguments.command} {counted(total, 'run')}{more}?")):
            return FAILED
        progress = await api.batch(wanted)
        progress = await _followed(api, str(progress["id"]))
        if arguments.json:
            print_json(progress)
        else:
            result(
                f"{progress['done']} done, {progress['refused']} refused, {progress['failed']} failed{more}"
            )
        return FINE if progress["done"] == progress["total"] else FAILED

    return with_api(arguments, work)


def _tell_count(counted_: JsonObject, total: int) -> None:
    runs = counted_["runs"]
    assert isinstance(runs, list)
    for id in runs:
        result(printable(str(id)))
    left = total - len(runs)
    hidden = f", {left} of them not shown" if left else ""
    say(f"{counted(total, 'run')}{hidden}" + ("; there are more" if counted_["more"] else ""))


async def _followed(api: HttpApi, id: str) -> JsonObject:
    """The batch once it has ended, with every result; those that are not done are told as they come."""
    offset = 0
    results: list[Any] = []
    while True:
        progress = await api.batch_progress(id, offset=offset, limit=1000)
        new = progress["results"]
        assert isinstance(new, list)
        for each in new:
            assert isinstance(each, dict)
            if each["status"] != "done":
                say(printable(f"{each['run']}: {each['status']}: {each['detail']}"))
        results += new
        offset += len(new)
        if progress["status"] not in ("finding", "running") and not new:
            return {**progress, "results": results}
        if not new:
            await asyncio.sleep(_POLL)


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise Rejected("usage", f"{question} Say --yes, or --dry-run to see which")
    say(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def parse_query(text: str, now: datetime) -> JsonObject:
    """``workflow=shop/order,status=faulted,after=2h`` as the API wants it; `all` is everything."""
    query: JsonObject = {}
    attributes: JsonObject = {}
    for part in [] if text.strip() == "all" else text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not value:
            raise Rejected(
                "usage", f"--query: {part.strip()!r} is not {QUERY}; known are {', '.join(_NAMES)}"
            )
        match name:
            case "workflow":
                namespace, local, version = named(value)
                parts = {"namespace": namespace, "workflow": local, "version": version}
                query |= {each: given for each, given in parts.items() if given is not None}
            case "after" | "before":
                query[f"started_{name}"] = _moment(value, now)
            case "namespace" | "version" | "status" | "error":
                query[name] = value
            case "key":
                attributes[KEYS] = value
            case _:
                attributes[name] = value
    return {**query, "attributes": attributes} if attributes else query


def _moment(text: str, now: datetime) -> str:
    if text[-1] in _UNITS and text[:-1].isdecimal() and len(text) < 9:
        return rfc3339(now - timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]]))
    return text
