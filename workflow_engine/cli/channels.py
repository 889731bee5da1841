"""``wfe channels``: the logs that events are in."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.options import add_limit
from workflow_engine.cli.remote import add_connection, with_api
from workflow_engine.cli.terminal import FINE, print_json, print_table, printable, result, say

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

_MOST_NAMED = 100
"""How many subscriptions, and how many sources, the server names at most."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe channels`` takes."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    configure_list(commands, "list")
    show = commands.add_parser(
        "show",
        help="one channel",
        description="Show what is in a channel, where it is kept, who hears it, and which sources feed it.",
    )
    show.add_argument("name", metavar="NAME")
    add_connection(show)
    show.set_defaults(work=_show)


def configure_list(commands: Any, name: str) -> None:
    """Add the list of channels, as the command *name*."""
    listing = commands.add_parser(name, help="every channel", description="List the channels.")
    add_limit(listing)
    add_connection(listing)
    listing.set_defaults(work=_list)


def _list(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        channels: list[Any] = await api.channels(limit=arguments.limit)
        if arguments.json:
            print_json(channels)
            return FINE
        rows = [
            (
                each["name"],
                str(each["events"]),
                str(each["lag"]),
                str(each["subscriptions"]),
                each["oldest"] or "",
            )
            for each in channels
        ]
        print_table(("CHANNEL", "EVENTS", "NOT YET DELIVERED", "SUBSCRIPTIONS", "OLDEST"), rows)
        if not rows:
            say("There are no channels yet; publishing makes them.")
        return FINE

    return with_api(arguments, work)


def _show(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        found = await api.channel(arguments.name)
        if arguments.json:
            print_json(found)
        else:
            for line in description(found):
                result(printable(line))
        return FINE

    return with_api(arguments, work)


def description(channel: Mapping[str, Any]) -> list[str]:
    """*channel* for people."""
    store, seconds = channel["store"], channel["dedupe_seconds"]
    kept = "" if store["durable"] else ", not durable"
    lines = [
        f"channel        {channel['name']}",
        f"kept in        {store['kind']}{kept}, partitions: {channel['partitions']}",
        f"duplicates     found {'for ever' if seconds is None else f'for {seconds:g} s'}",
        f"events         {channel['events']} ({channel['bytes']} bytes), oldest {channel['oldest'] or '-'}",
        f"lag            {channel['lag']} not dispatched yet; {channel['catching_up']} catch up on older ones",
        f"subscriptions  {channel['subscriptions']}",
    ]
    lines += [
        f"               {each['id']}: {each['target']}{'' if each['enabled'] else ', paused'}"
        for each in channel["heard_by"]
    ]
    lines += _more("heard_by", channel, "wfe subscriptions list --channel")
    lines.append(f"listening      {channel['listeners']} waits of runs")
    if channel["fed_by"]:
        lines.append("sources")
    lines += [f"               {each['id']}: {each['from']}" for each in channel["fed_by"]]
    return lines + _more("fed_by", channel, "wfe sources list --channel")


def _more(member: str, channel: Mapping[str, Any], command: str) -> list[str]:
    if len(channel[member]) < _MOST_NAMED:
        return []
    return [f"               … `{command} {channel['name']}` shows all"]
