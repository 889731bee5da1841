"""``wfe subscriptions``: who gets which events, and ``wfe dead-letters``: what could not be delivered."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.inputs import read_bytes, read_events, shown
from workflow_engine.cli.options import add_limit, count
from workflow_engine.cli.remote import add_connection, with_api
from workflow_engine.cli.terminal import FINE, counted, print_json, print_table, result, say
from workflow_engine.dsl.source import load
from workflow_engine.errors import Rejected
from workflow_engine.values import JsonObject

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe subscriptions`` takes."""
    parser.epilog = "docs/events.md says what a subscription may have."
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="every subscription", description="List the subscriptions.")
    listing.add_argument("--channel", metavar="NAME", help="of this channel")
    add_limit(listing)
    add_connection(listing)
    listing.set_defaults(work=_list)
    put = commands.add_parser(
        "put",
        help="make or change one",
        description="Make a subscription, or change one, which keeps its place in the channel.",
    )
    put.add_argument("id", metavar="ID")
    put.add_argument("file", metavar="FILE", help="YAML or JSON; - is standard input")
    add_connection(put)
    put.set_defaults(work=_put)
    test = commands.add_parser(
        "test",
        help="whether it would take an event",
        description="Say whether a subscription would take an event, and what its transform makes of it.",
    )
    test.add_argument("file", metavar="FILE", help="the subscription, YAML or JSON; - is standard input")
    test.add_argument(
        "event", metavar="EVENT", help="JSON, or @FILE; what it lacks to be a CloudEvent is filled in"
    )
    add_connection(test)
    test.set_defaults(work=_test)
    for name, help, work in (
        ("show", "one subscription", _show),
        ("delete", "delete one, with what it has not delivered", _delete),
        ("pause", "deliver nothing more, and keep its place", _enable),
        ("resume", "go on where it stopped", _enable),
    ):
        each = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        each.add_argument("id", metavar="ID")
        add_connection(each)
        each.set_defaults(work=work, enabled=name == "resume")
    seek = commands.add_parser(
        "seek",
        help="begin anew elsewhere in the channel",
        description="Let a subscription begin anew; what it has not delivered is let go.",
    )
    seek.add_argument("id", metavar="ID")
    seek.add_argument("start", metavar="earliest|latest|TIME")
    add_connection(seek)
    seek.set_defaults(work=_seek)


def configure_dead_letters(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe dead-letters`` takes."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = commands.add_parser(
        "list", help="the newest", description="List deliveries that were given up, newest first."
    )
    listing.add_argument("--limit", type=count, default=20, metavar="N", help="(default: %(default)s)")
    add_connection(listing)
    listing.set_defaults(work=_letters)
    redrive = commands.add_parser(
        "redrive",
        help="try them again",
        description="Try deliveries that were given up again, as if they were new.",
    )
    redrive.add_argument("position", nargs="*", metavar="POSITION", help="as `list` shows it")
    redrive.add_argument("--all", action="store_true", help="all that were not tried again yet")
    redrive.add_argument("--subscription", metavar="ID", help="all of this subscription, likewise")
    add_connection(redrive)
    redrive.set_defaults(work=_redrive)


def _list(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        found = await api.subscriptions(channel=arguments.channel, limit=arguments.limit)
        if arguments.json:
            print_json(found)
            return FINE
        rows = [(str(each["id"]), str(each["channel"]), _target(each), _state(each)) for each in found]
        print_table(("ID", "CHANNEL", "TARGET", "STATE"), rows)
        if not rows:
            say("There are no subscriptions.")
        return FINE

    return with_api(arguments, work)


def _target(subscription: Mapping[str, Any]) -> str:
    target = subscription["target"]
    match target.get("kind"):
        case "workflow":
            return f"{target['namespace']}/{target['name']}"
        case "webhook":
            return str(target["url"])
        case "asyncapi":
            return str(target["operation"])
        case kind:
            return f"{kind} {target.get('channel', '')}".rstrip()


def _state(subscription: Mapping[str, Any]) -> str:
    return "enabled" if subscription["enabled"] else "paused"


def _show(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        print_json(await api.subscription(arguments.id))
        return FINE

    return with_api(arguments, work)


def _read(file: str) -> JsonObject:
    data = load(read_bytes(file), name=shown(file)).data
    if not isinstance(data, dict):
        raise Rejected("subscription-invalid", f"{shown(file)}: a subscription is an object")
    return data


def _test(arguments: argparse.Namespace) -> int:
    data = _read(arguments.file)
    strategy = data.get("strategy")
    more = {name: data[name] for name in ("filters", "transform") if data.get(name) is not None}
    events = read_events(arguments.event)

    async def work(api: HttpApi) -> int:
        for event in events:
            print_json(await api.test_filters(strategy, event, **more))
        return FINE

    return _with_place(arguments, work)


def _put(arguments: argparse.Namespace) -> int:
    data = _read(arguments.file)

    async def work(api: HttpApi) -> int:
        print_json(await api.put_subscription(arguments.id, data))
        return FINE

    return _with_place(arguments, work)


def _with_place(arguments: argparse.Namespace, work: Callable[[HttpApi], Awaitable[int]]) -> int:
    """Do *work*; what is refused of the file is told with its place in it."""
    try:
        return with_api(arguments, work)
    except Rejected as error:
        if not error.pointer:
            raise
        message = f"{shown(arguments.file)}: {error.pointer}: {error}"
        raise Rejected(error.code, message, pointer=error.pointer, status=error.status) from None


def _delete(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        await api.delete_subscription(arguments.id)
        return FINE

    return with_api(arguments, work)


def _enable(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        there = await api.subscription(arguments.id)
        await api.put_subscription(arguments.id, {**there, "enabled": arguments.enabled})
        result(f"{arguments.id} {'enabled' if arguments.enabled else 'paused'}")
        return FINE

    return with_api(arguments, work)


def _seek(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        await api.seek(arguments.id, arguments.start)
        result(f"{arguments.id} begins at {arguments.start}")
        return FINE

    return with_api(arguments, work)


_PAGE = 1000
"""How many letters are asked for at a time."""


def _letters(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        found: list[Any] = []
        cursor: str | None = None
        while (left := arguments.limit - len(found)) > 0:
            page: dict[str, Any] = await api.events(
                channel="dead-letters", limit=min(left, _PAGE), cursor=cursor
            )
            found += page["events"]
            if (cursor := page["cursor"]) is None:
                break
        if arguments.json:
            print_json(found)
            return FINE
        rows = [
            (
                each["position"],
                each["event"]["dlqlast"],
                each["event"]["dlqsubscription"],
                each["event"]["id"],
                str(each["event"]["dlqattempts"]),
                each.get("redriven") or "",
                f"{each['event']['dlqcode']}: {each['event']['dlqreason']}"[:80],
            )
            for each in found
        ]
        print_table(("POSITION", "GIVEN UP", "FOR", "EVENT", "ATTEMPTS", "REDRIVEN", "WHY"), rows)
        if not rows:
            say("There are no dead letters.")
        return FINE

    return with_api(arguments, work)


def _redrive(arguments: argparse.Namespace) -> int:
    several = arguments.all or arguments.subscription is not None
    if several == bool(arguments.position):
        raise Rejected("redrive-what", "name positions, or --all, or --subscription")

    async def work(api: HttpApi) -> int:
        if several:
            number = await api.redrive_all(arguments.subscription)
        else:
            for position in arguments.position:
                await api.redrive(position)
            number = len(arguments.position)
        result(f"{counted(number, 'dead letter')} redriven")
        return FINE

    return with_api(arguments, work)
