"""``wfe events``: publish events, find them, and see what became of them."""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from workflow_engine.cli import backlog, channels
from workflow_engine.cli.inputs import read_events, read_json
from workflow_engine.cli.options import count
from workflow_engine.cli.remote import add_connection, with_api
from workflow_engine.cli.terminal import FINE, print_json, print_table, result, say
from workflow_engine.errors import Rejected
from workflow_engine.values import Duration, JsonObject

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

_ATTRIBUTES = {
    "type": "what happened, such as order.placed",
    "source": "where it happened, a URI such as /shop",
    "id": "with the source its identity; published again it is a duplicate (default: a new UUID)",
    "subject": "what it is about, in its source",
    "time": "when it happened, RFC 3339",
}
_SHOWN = 60


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe events`` takes."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _configure_publish(commands)

    listing = commands.add_parser(
        "list", help="events, newest first", description="List events, newest first."
    )
    for name in ("channel", "type", "source", "subject", "id"):
        listing.add_argument(f"--{name}", help=f"with this {name}")
    listing.add_argument(
        "--since",
        type=_moment,
        metavar="WHEN",
        help="received since: RFC 3339, or how long ago, such as PT1H",
    )
    listing.add_argument("--until", type=_moment, metavar="WHEN", help="received before, likewise")
    listing.add_argument(
        "--limit", type=count, default=20, metavar="N", help="at most N (default: %(default)s)"
    )
    add_connection(listing)
    listing.set_defaults(work=_list)

    trace = commands.add_parser(
        "trace",
        help="what became of an event",
        description="Show who wanted an event, and each attempt to deliver it.",
    )
    trace.add_argument("id", metavar="ID", help="id of the event")
    trace.add_argument("--channel", help="only in this channel")
    add_connection(trace)
    trace.set_defaults(work=_trace)

    channels.configure_list(commands, "channels")
    backlog.configure(commands)


def _configure_publish(commands: Any) -> None:
    publish = commands.add_parser(
        "publish",
        help="publish events",
        description=(
            "Publish CloudEvents, whole ones or one made of the options. When this returns they are stored durably.\n"
            "Prints `id channel position stored|duplicate` of each."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "examples:\n"
            """  wfe events publish --type order.placed --source /shop --data '{"order": 7}'\n"""
            "  wfe events publish @event.json"
        ),
    )
    publish.usage = "wfe events publish (JSON | @FILE | -)… | --type TYPE --source SOURCE [OPTIONS]"
    publish.add_argument(
        "event", nargs="*", metavar="JSON|@FILE|-", help="a CloudEvent in JSON, or a list of them"
    )
    publish.add_argument("--channel", default="default", help="where to (default: %(default)s)")
    for name, help in _ATTRIBUTES.items():
        publish.add_argument(f"--{name}", help=help)
    publish.add_argument("--data", metavar="JSON|@FILE|-", help="its data")
    publish.add_argument(
        "--attribute",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an extension attribute; may be repeated",
    )
    add_connection(publish)
    publish.set_defaults(work=_publish)


def _publish(arguments: argparse.Namespace) -> int:
    events = _events_of(arguments)

    async def work(api: HttpApi) -> int:
        accepted = await api.publish(arguments.channel, events)
        if arguments.json:
            print_json([each.to_json() for each in accepted])
            return FINE
        for each in accepted:
            outcome = "duplicate" if each.duplicate else "stored"
            result(f"{each.id} {arguments.channel} {each.position} {outcome}")
        return FINE

    return with_api(arguments, work)


def _events_of(arguments: argparse.Namespace) -> list[JsonObject]:
    """The events that *arguments* give whole, or the one whose attributes they give."""
    attributes: JsonObject = {
        name: getattr(arguments, name) for name in _ATTRIBUTES if getattr(arguments, name) is not None
    }
    for pair in arguments.attribute:
        name, mark, value = pair.partition("=")
        if not mark:
            raise Rejected("attribute", f"--attribute {pair!r} is not NAME=VALUE")
        attributes[name] = value
    if arguments.event:
        if attributes or arguments.data is not None:
            raise Rejected("event-twice", "give either whole events or the attributes of one, not both")
        return [event for text in arguments.event for event in read_events(text)]
    if "type" not in attributes or "source" not in attributes:
        raise Rejected("event-missing", "give an event (JSON, @FILE or -), or at least --type and --source")
    event: JsonObject = {"specversion": "1.0", "id": str(uuid.uuid4()), **attributes}
    if arguments.data is not None:
        event |= {"datacontenttype": "application/json", "data": read_json(arguments.data, "--data")}
    return [event]


def _moment(text: str) -> datetime:
    """An RFC 3339 timestamp, or an ISO 8601 duration before now."""
    try:
        if text.startswith("P"):
            return datetime.now(UTC) - timedelta(seconds=Duration.parse(text).seconds_from(datetime.now(UTC)))
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time such as 2026-01-31T12:00:00Z or PT1H"
        ) from None
    return moment if moment.tzinfo else moment.astimezone()


def _list(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        found: list[Any] = []
        cursor: str | None = None
        while len(found) < arguments.limit:
            page: dict[str, Any] = await api.events(
                channel=arguments.channel,
                type=arguments.type,
                source=arguments.source,
                subject=arguments.subject,
                id=arguments.id,
                since=arguments.since,
                until=arguments.until,
                limit=min(1000, arguments.limit - len(found)),
                cursor=cursor,
            )
            found += page["events"]
            cursor = page["cursor"]
            if cursor is None:
                break
        if arguments.json:
            print_json(found)
            return FINE
        print_table(("RECEIVED", "CHANNEL", "TYPE", "SOURCE", "ID", "DATA"), [_row(item) for item in found])
        if not found:
            say("There are no such events.")
        return FINE

    return with_api(arguments, work)


def _row(found: Mapping[str, Any]) -> tuple[str, ...]:
    event = found["event"]
    return (found["received"], found["channel"], event["type"], event["source"], event["id"], data_of(event))


def data_of(event: Mapping[str, Any]) -> str:
    """The data of *event*, cut where it is long."""
    if "data" not in event:
        return "(binary)" if "data_base64" in event else ""
    text = json.dumps(event["data"], ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _trace(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        traces: list[Any] = await api.trace(arguments.id, channel=arguments.channel)
        if arguments.json:
            print_json(traces)
            return FINE
        for trace in traces:
            _print_trace(trace)
        return FINE

    return with_api(arguments, work)


def _print_trace(trace: Mapping[str, Any]) -> None:
    event = trace["event"]
    result(f"{event['type']} {event['id']} from {event['source']}: {trace['state']}")
    result(f"  received {trace['received']} in channel {trace['channel']} at {trace['position']}")
    for recipient in trace["recipients"]:
        who = recipient.get("subscription")
        name = f"run {recipient['run_id']}" if who is None else f"subscription {who}"
        due = f", next attempt {recipient['due']}" if recipient.get("due") else ""
        result(f"  {name}: {recipient['state']}{due}")
        for attempt in recipient["attempts"]:
            what = " ".join(
                str(attempt[member])
                for member in ("status", "code", "detail", "reference")
                if attempt[member]
            )
            result(f"    {attempt['at']}  attempt {attempt['n']}: {what} ({attempt['ms']} ms)")
        for note in recipient["notes"]:
            result(f"    {note['at']}  {note['status']}: {note['detail'] or ''}".rstrip(": "))
    if not trace["recipients"]:
        result("  nobody wanted it")
