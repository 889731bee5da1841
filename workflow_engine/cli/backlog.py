"""``wfe events backlog``: what waits to be delivered."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.remote import add_connection, with_api
from workflow_engine.cli.terminal import FINE, counted, print_json, print_table, say, span

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi


def configure(commands: Any) -> None:
    """Add what the command takes."""
    backlog = commands.add_parser(
        "backlog",
        help="what waits to be delivered",
        description="Show how many deliveries wait for each subscription, and since when; and what was given up.",
    )
    add_connection(backlog)
    backlog.set_defaults(work=_backlog)


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
            say(f"{counted(letters['count'], 'dead letter')}{since}; `wfe dead-letters list` shows them.")
        return FINE

    return with_api(arguments, work)
