"""``wfe events backlog``, ``dead-letters`` and ``redrive``: what was not delivered, and what to do about it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.options import count
from workflow_engine.cli.remote import add_connection, with_api
from workflow_engine.cli.terminal import FAILED, FINE, counted, print_json, print_table, result, say, span
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.values import JsonObject

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

_CHANNEL = "dead-letters"
_PAGE = 1000


def configure(commands: Any) -> None:
    """Add what the commands take."""
    backlog = commands.add_parser(
        "backlog",
        help="what waits to be delivered",
        description="Show how many deliveries wait for each subscription, and since when; and what was given up.",
    )
    add_connection(backlog)
    backlog.set_defaults(work=_backlog)

    letters = commands.add_parser(
        "dead-letters",
        help="deliveries that were given up",
        description="List the deliveries that were given up, newest first, and why. They stay until they are trimmed.",
    )
    letters.add_argument(
        "--limit", type=count, default=20, metavar="N", help="at most N (default: %(default)s)"
    )
    add_connection(letters)
    letters.set_defaults(work=_letters)

    redrive = commands.add_parser(
        "redrive",
        help="deliver dead letters again",
        description="Deliver dead letters again, as if they were new. What has got them already notices.",
    )
    redrive.add_argument(
        "positions",
        nargs="*",
        metavar="POSITION",
        help="of the letter, as `wfe events dead-letters` shows it",
    )
    redrive.add_argument("--all", action="store_true", help="all of them, oldest first")
    redrive.add_argument("--subscription", metavar="ID", help="with --all: those of this subscription")
    add_connection(redrive, json=False)
    redrive.set_defaults(work=_redrive)


def _backlog(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        found: dict[str, Any] = await api.backlog()
        if arguments.json:
            print_json(found)
            return FINE
        listed = [(each["id"], each["channel"], each, each["enabled"]) for each in found["subscriptions"]]
        listed.append(("(runs that listen)", "", found["listeners"], True))
        rows = [
            (
                name,
                channel,
                str(item["waiting"]),
                span(item["oldest_seconds"]) if item["waiting"] else "",
                str(item["attempts"]),
                "" if enabled else "not enabled",
            )
            for name, channel, item, enabled in listed
        ]
        print_table(("SUBSCRIPTION", "CHANNEL", "WAITING", "SINCE", "ATTEMPTS", ""), rows)
        letters = found["dead_letters"]
        if letters["count"]:
            newest = letters["newest_seconds"]
            since = "" if newest is None else f", the last {span(newest)} ago"
            say(f"{counted(letters['count'], 'dead letter')}{since}; `wfe events dead-letters` lists them.")
        return FINE

    return with_api(arguments, work)


def _letters(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        found = await _all(api, arguments.limit)
        if arguments.json:
            print_json(found)
            return FINE
        rows = [_row(item) for item in found]
        print_table(("POSITION", "GIVEN UP", "TYPE", "ID", "FOR", "ATTEMPTS", "WHY"), rows)
        say("`wfe events redrive POSITION` delivers one again." if rows else "There are no dead letters.")
        return FINE

    return with_api(arguments, work)


def _row(item: Any) -> tuple[str, ...]:
    event: dict[str, Any] = item["event"]
    why = f"{event['dlqcode']}: {event['dlqreason']}"
    attempts = str(event["dlqattempts"])
    return (
        item["position"],
        item["received"],
        event["type"],
        event["id"],
        event["dlqsubscription"],
        attempts,
        why,
    )


async def _all(api: HttpApi, limit: int) -> list[Any]:
    """The newest letters, *limit* at most: none where there is no such channel yet."""
    found: list[Any] = []
    cursor: str | None = None
    try:
        while len(found) < limit:
            page: dict[str, Any] = await api.events(
                channel=_CHANNEL, limit=min(_PAGE, limit - len(found)), cursor=cursor
            )
            found += page["events"]
            cursor = page["cursor"]
            if cursor is None:
                break
    except NotFound:
        pass
    return found


def _redrive(arguments: argparse.Namespace) -> int:
    if bool(arguments.positions) == arguments.all:
        raise Rejected("positions", "name the POSITIONs of dead letters, or give --all")

    async def work(api: HttpApi) -> int:
        positions: list[str] = arguments.positions
        if arguments.all:
            letters: list[JsonObject] = await _all(api, 100_000)
            wanted = arguments.subscription
            positions = [
                str(item["position"])
                for item in reversed(letters)
                if wanted is None or _subscription(item) == wanted
            ]
        failed = 0
        for position in positions:
            try:
                await api.redrive(position)
            except (NotFound, Rejected) as error:
                failed += 1
                say(f"{position}: {error}")
            else:
                result(position)
        say(f"{len(positions) - failed} delivered again, {failed} refused")
        return FAILED if failed else FINE

    return with_api(arguments, work)


def _subscription(item: Any) -> str:
    return str(item["event"]["dlqsubscription"])
