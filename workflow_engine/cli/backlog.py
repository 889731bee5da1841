"""``wfe events backlog``, ``listeners`` and ``repair``: what waits to be delivered, and to whom."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.options import add_limit
from workflow_engine.cli.remote import add_connection, with_api
from workflow_engine.cli.terminal import FAILED, FINE, counted, print_json, print_table, say, span

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
    listeners = commands.add_parser(
        "listeners",
        help="what runs listen for",
        description="List what runs listen for, by channel and run: how many events each got, and whether it has all.",
    )
    listeners.add_argument("--channel", help="only to this channel")
    listeners.add_argument("--run", metavar="ID", help="only of this run")
    add_limit(listeners)
    add_connection(listeners)
    listeners.set_defaults(work=_listeners)
    repair = commands.add_parser(
        "repair",
        help="have the router know what runs wait for",
        description=(
            "Ask every open run what it listens for, and have the router know it: for after a restoration from a\n"
            "backup. Needs a worker. Exit code 1 if runs could not be asked."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_connection(repair)
    repair.set_defaults(work=_repair)


def _repair(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        found: dict[str, Any] = await api.repair_listeners()
        if arguments.json:
            print_json(found)
        else:
            say(
                f"{counted(found['registered'], 'listener')} registered and {found['renewed']} renewed, of "
                f"{found['listeners']} of {counted(found['runs'], 'open run')}"
            )
            for run in found["unanswered"]:
                say(f"{run}: no worker could ask it")
        return FAILED if found["unanswered"] else FINE

    return with_api(arguments, work)


def _listeners(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        found: list[Any] = await api.listeners(
            channel=arguments.channel, run_id=arguments.run, limit=arguments.limit
        )
        if arguments.json:
            print_json(found)
            return FINE
        rows = [
            (
                each["channel"],
                each["run_id"],
                each["listen_id"],
                str(each["delivered"]),
                "complete" if each["complete"] else "",
            )
            for each in found
        ]
        print_table(("CHANNEL", "RUN", "LISTENER", "DELIVERED", ""), rows)
        if not found:
            say("No run listens.")
        return FINE

    return with_api(arguments, work)


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
