"""HTTP: a message is the body of a request; what a server sends comes as server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from http import HTTPStatus

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from workflow_engine.calls.authentication import authenticate
from workflow_engine.calls.brokers.inbox import Inbox, read_aside
from workflow_engine.calls.brokers.link import Hearing, Incoming, Link, Outgoing
from workflow_engine.calls.context import Reception
from workflow_engine.calls.credentials import NOBODY, Credentials
from workflow_engine.calls.event_stream import MEDIA_TYPE, ServerEvent, server_events
from workflow_engine.calls.exchange import Request, exchange, opened
from workflow_engine.calls.http import merge_headers
from workflow_engine.calls.retry_after import busy
from workflow_engine.calls.url import add_query, parse_url, query_piece, shown_url
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

PAUSE, LEAST, MOST = 2.0, 0.5, 30.0
"""How many seconds after its end a stream is asked for again, unless the server says it: then no fewer, and no more."""
SILENT = 600.0
"""After how many seconds without a byte a stream is taken for broken."""

_log = logging.getLogger(__name__)


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
    """The server-sent events of the channel. A stream that the server ends is asked for again, from the last event on
    that had an id.
    """
    last, pause = reception.progress.get("id"), PAUSE
    while True:
        async with _stream(link, last, partial(_left_out, link)) as events:
            yield None
            async for event in events:
                last = last if event.id is None else event.id
                pause = pause if event.retry is None else event.retry / 1000
                if event.data:
                    at: JsonObject = {"id": last} if isinstance(last, str) else {}
                    yield Incoming(event.data, {}, id=event.id or None, at=at)
        await asyncio.sleep(min(max(pause, LEAST), MOST))


async def hear(link: Link, hearing: Hearing) -> AsyncGenerator[list[Incoming], None]:
    """The server-sent events of the channel, for a source. A stream that the server ends is asked for again, from the
    last event on that had an id.
    """
    hearing.promise = "at-most-once"

    def left_out() -> None:
        hearing.dropped += 1
        _left_out(link)

    async def read(inbox: Inbox[Incoming], connected: Callable[[], None]) -> None:
        last, pause = hearing.at.get("id"), PAUSE
        while True:
            async with _stream(link, last, left_out) as events:
                connected()
                async for event in events:
                    last = last if event.id is None else event.id
                    pause = pause if event.retry is None else event.retry / 1000
                    if event.data:
                        hearing.promise = "exactly-once" if event.id else hearing.promise
                        await inbox.put(_incoming(event, last), len(event.data))
            await asyncio.sleep(min(max(pause, LEAST), MOST))

    async with aclosing(read_aside(hearing, read)) as batches:
        async for batch in batches:
            yield batch


async def forget(link: Link, hearing: Hearing) -> None:
    """Nothing: a server knows nobody who does not hear."""


def _left_out(link: Link) -> None:
    most = link.context.egress.max_response
    _log.warning("%s: an event that is larger than %d bytes is left out", link.shown, most)


def _incoming(event: ServerEvent, last: Json) -> Incoming:
    headers: JsonObject = {} if event.kind is None else {"event": event.kind}
    at: JsonObject = {"id": last} if isinstance(last, str) else {}
    return Incoming(event.data, headers, id=event.id or None, at=at)


@asynccontextmanager
async def _stream(
    link: Link, last: Json, left_out: Callable[[], None]
) -> AsyncIterator[AsyncGenerator[ServerEvent, None]]:
    """The events of the channel after the one whose id was *last*; *left_out* is told of what is too large for one."""
    url, credentials = await target(link, link.operation.get("query"))
    headers = CIMultiDict(credentials.headers)
    headers["Accept"] = MEDIA_TYPE
    if isinstance(last, str) and last:
        headers["Last-Event-ID"] = last
    shown = f"GET {shown_url(url)}"
    request = Request("GET", url, headers, None, credentials)
    async with opened(request, link.context.egress, redirect=False) as (answer, _):
        if answer.status != HTTPStatus.OK or answer.content_type != MEDIA_TYPE:
            what = f"the answer is {answer.status} {answer.content_type}, not a stream of events"
            refusal = fault(
                "communication",
                f"{shown}: {what}",
                status=answer.status if answer.status >= HTTPStatus.BAD_REQUEST else 500,
            )
            raise busy(refusal, answer.status, answer.headers)
        content = _Watched(answer.content, shown)
        most = link.context.egress.max_response
        async with aclosing(server_events(content, shown, most, left_out=left_out)) as events:
            yield events


class _Watched:
    """The bytes of a stream; where none come for long, not even a comment, it is taken for broken.

    What is cut off after something came, as those between do that hold no connection for longer than a minute, is at
    its end, as the standard has it.
    """

    def __init__(self, content: aiohttp.StreamReader, shown: str) -> None:
        self._content, self._shown = content, shown

    async def iter_chunked(self, n: int) -> AsyncGenerator[bytes, None]:
        came = False
        while True:
            try:
                async with asyncio.timeout(SILENT):
                    chunk = await self._content.read(n)
            except TimeoutError:
                raise fault("communication", f"{self._shown}: nothing came for {SILENT:g} seconds") from None
            except (aiohttp.ClientError, OSError):
                if not came:
                    raise
                return
            if not chunk:
                return
            came = True
            yield chunk


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
