"""``wfe sources``: which services events come from, by webhooks and by brokers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.inputs import read_bytes, read_json, shown
from workflow_engine.cli.options import add_limit
from workflow_engine.cli.remote import add_connection, with_api
from workflow_engine.cli.terminal import FINE, print_json, print_table, result, say
from workflow_engine.dsl.source import load
from workflow_engine.errors import Rejected
from workflow_engine.values import JsonObject

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

_SCHEMES = ("basic", "bearer", "oauth2", "oidc")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe sources`` takes."""
    parser.epilog = "docs/brokers.md says what is heard at brokers, docs/events.md what webhooks bring."
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = commands.add_parser(
        "list", help="every source", description="List the sources, and how they are."
    )
    listing.add_argument("--channel", metavar="NAME", help="of this channel")
    add_limit(listing)
    add_connection(listing)
    listing.set_defaults(work=_list)
    _configure_add(commands)
    put = commands.add_parser(
        "put",
        help="make or change one, by a file",
        description="Make a source, or change one, as a file says; of webhooks, too.",
    )
    put.add_argument("id", metavar="ID")
    put.add_argument("file", metavar="FILE", help="YAML or JSON; - is standard input")
    add_connection(put)
    put.set_defaults(work=_put)
    for name, help, work in (
        ("show", "one source, and how it is", _show),
        ("delete", "delete one, with its place at the broker; its events stay", _delete),
        ("pause", "hear nothing more for now; the broker keeps what it keeps", _hold),
        ("resume", "go on where it was paused", _hold),
    ):
        each = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        each.add_argument("id", metavar="ID")
        add_connection(each)
        each.set_defaults(work=work, command=name)


def _configure_add(commands: Any) -> None:
    add = commands.add_parser(
        "add",
        help="hear what a service publishes to its broker",
        description=(
            "Make a source of an operation of the catalog whose service sends, or change it. What the service\n"
            "publishes to its broker becomes events."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "examples:\n"
            "  wfe catalog add orders.yaml\n"
            "  wfe sources add orders --operation file://orders.yaml#orderPlaced --server production"
        ),
    )
    add.add_argument("id", metavar="ID")
    add.add_argument(
        "--operation", required=True, metavar="REFERENCE", help="such as file://orders.yaml#orderPlaced"
    )
    add.add_argument("--server", metavar="NAME", help="which one of the document, if it has several")
    add.add_argument(
        "--variable",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the server; may be repeated",
    )
    add.add_argument("--protocol", help="or its first server that speaks it: nats, kafka, amqp, mqtt, mqtt5")
    add.add_argument(
        "--authentication",
        metavar="SCHEME=SECRET",
        help=f"who connects: {', '.join(_SCHEMES)}, and the name of a secret",
    )
    add.add_argument("--channel", help="of the router (default: the operation's address)")
    add.add_argument(
        "--event",
        metavar="JSON|@FILE|-",
        help="template of attributes and data, of messages that are no CloudEvents",
    )
    add.add_argument("--filters", metavar="JSON|@FILE|-", help="which events, as subscriptions have them")
    add.add_argument("--start", metavar="latest|earliest|TIME", help="where to begin (default: latest)")
    add.add_argument("--group", help="by what the broker knows who hears (default: one of its own)")
    add_connection(add)
    add.set_defaults(work=_add)


def _add(arguments: argparse.Namespace) -> int:
    given: JsonObject = {
        name: getattr(arguments, name)
        for name in ("operation", "protocol", "channel", "start", "group")
        if getattr(arguments, name) is not None
    }
    if arguments.server is not None:
        variables: JsonObject = dict(_pair(text, "--variable") for text in arguments.variable)
        given["server"] = {"name": arguments.server, **({"variables": variables} if variables else {})}
    elif arguments.variable:
        raise Rejected("server-missing", "--variable is for a --server")
    if arguments.authentication is not None:
        scheme, secret = _pair(arguments.authentication, "--authentication")
        given["authentication"] = {scheme: {"use": secret}}
    for name in ("event", "filters"):
        if getattr(arguments, name) is not None:
            given[name] = read_json(getattr(arguments, name), f"--{name}")

    async def work(api: HttpApi) -> int:
        made = await api.put_source(arguments.id, given)
        if arguments.json:
            print_json(made)
        else:
            result(f"{made['id']} hears {made['address']} into channel {made['channel']}")
        return FINE

    return with_api(arguments, work)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name or not value:
        raise Rejected("pair", f"{option} {text!r} is not NAME=VALUE")
    return name, value


def _put(arguments: argparse.Namespace) -> int:
    data = load(read_bytes(arguments.file), name=shown(arguments.file)).data
    if not isinstance(data, dict):
        raise Rejected("source-invalid", f"{shown(arguments.file)}: a source is an object")

    async def work(api: HttpApi) -> int:
        print_json(await api.put_source(arguments.id, data))
        return FINE

    return with_api(arguments, work)


def _list(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        found = await api.sources(channel=arguments.channel, limit=arguments.limit)
        if arguments.json:
            print_json(found)
            return FINE
        rows = [(str(each["id"]), str(each["channel"]), *_how(each)) for each in found]
        print_table(("ID", "CHANNEL", "FROM", "STATE", "EVENTS", "WAITING", "REFUSED"), rows)
        if not rows:
            say("There are no sources.")
        return FINE

    return with_api(arguments, work)


def _how(source: Mapping[str, Any]) -> tuple[str, ...]:
    """What is shown of one: where it is from, how it is, and how many messages became events, wait, or were refused."""
    if "operation" not in source:
        return f"webhooks ({source['verify']['scheme']})", "called", "", "", ""
    status: Mapping[str, Any] = source.get("status") or {}
    lag = status.get("lag")
    return (
        str(source["operation"]),
        str(status.get("state", "")),
        str(status.get("stored", "")),
        "" if lag is None else str(lag),
        str(status.get("refused", "")),
    )


def _show(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        print_json(await api.source(arguments.id))
        return FINE

    return with_api(arguments, work)


def _delete(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        await api.delete_source(arguments.id)
        return FINE

    return with_api(arguments, work)


def _hold(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        made = await api.hold_source(arguments.id, arguments.command)
        result(f"{made['id']} {'goes on' if made['enabled'] else 'paused'}")
        return FINE

    return with_api(arguments, work)
