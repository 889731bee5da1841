"""HTTP: a message is the body of a request; what a server sends comes as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from multidict import CIMultiDict
from yarl import URL

from workflow_engine.calls.authentication import authenticate
from workflow_engine.calls.brokers.link import Incoming, Link, Outgoing, lost
from workflow_engine.calls.context import Reception
from workflow_engine.calls.credentials import NOBODY, Credentials
from workflow_engine.calls.event_stream import MEDIA_TYPE, server_events
from workflow_engine.calls.exchange import Request, exchange, opened
from workflow_engine.calls.http import merge_headers
from workflow_engine.calls.url import add_query, parse_url, query_piece, shown_url
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject


async def publish(link: Link, message: Outgoing) -> None:
    """Send the message as a request: ``POST``, or what the binding ``method`` of the operation says."""
    url, credentials = await target(link, link.operation.get("query"))
    given: JsonObject = {"Idempotency-Key": message.id, **message.headers}
    headers = merge_headers(credentials.headers, given, link.context.egress)
    headers["Content-Type"] = message.content_type
    method = str(link.operation.get("method") or "POST").upper()
    request = Request(method, url, headers, message.body, credentials)
    await exchange(request, link.context, output="raw", redirect=False)


async def receive(link: Link, reception: Reception) -> AsyncGenerator[Incoming | None, None]:
    """The server-sent events of the channel; after a break the server is told which one was the last."""
    url, credentials = await target(link, link.operation.get("query"))
    headers = CIMultiDict(credentials.headers)
    headers["Accept"] = MEDIA_TYPE
    last = reception.progress.get("id")
    if isinstance(last, str) and last:
        headers["Last-Event-ID"] = last
    shown = f"GET {shown_url(url)}"
    request = Request("GET", url, headers, None, credentials)
    async with opened(request, link.context.egress, redirect=False) as (answer, _):
        if answer.status != 200 or answer.content_type != MEDIA_TYPE:
            what = f"the answer is {answer.status} {answer.content_type}, not a stream of events"
            raise fault(
                "communication", f"{shown}: {what}", status=answer.status if answer.status >= 400 else 500
            )
        yield None
        async with aclosing(server_events(answer.content, shown, link.context.egress.max_response)) as events:
            async for event in events:
                if event.data:
                    at: JsonObject = {"id": event.id} if event.id else {}
                    yield Incoming(event.data, {}, id=event.id or None, at=at)
    raise lost(link, "the server has ended the stream")


async def target(link: Link, query: Json) -> tuple[URL, Credentials]:
    """The URL of the channel, with the constants of the *query* that a binding declares, and who calls it."""
    server = link.server
    (host, port) = server.hosts[0]
    shown = f"[{host}]" if ":" in host else host
    path = f"{server.path.rstrip('/')}/{link.address.lstrip('/')}"
    try:
        url = parse_url(f"{'https' if server.secure else 'http'}://{shown}:{port}{path}")
    except ValueError as error:
        raise fault("configuration", f"{link.shown}: {error}") from None
    url = link.context.egress.admit(url)
    url = add_query(url, [query_piece(name, str(value)) for name, value in constants(query).items()])
    credentials = NOBODY
    if link.policy is not None:
        credentials = await authenticate(link.policy, link.context.egress, url)
    return url, credentials


def constants(schema: Json) -> JsonObject:
    """The properties of *schema* that can have but one value, or have a default."""
    found: JsonObject = {}
    properties = schema.get("properties") if isinstance(schema, dict) else None
    for name, item in (properties if isinstance(properties, dict) else {}).items():
        value = item.get("const", item.get("default")) if isinstance(item, dict) else None
        if isinstance(value, str | int | float):
            found[name] = value
    return found
