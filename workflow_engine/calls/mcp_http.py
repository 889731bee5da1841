"""The HTTP transport of MCP (streamable HTTP): each message is a POST, what comes back is JSON or a stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from workflow_engine.calls import json_rpc
from workflow_engine.calls.content import JSON, MediaType, encode
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.credentials import Credentials
from workflow_engine.calls.event_stream import MEDIA_TYPE, server_events
from workflow_engine.calls.exchange import Request, deadline, header_safe, read_answer, refusal
from workflow_engine.calls.exchange import opened as sent
from workflow_engine.calls.http import endpoint, merge_headers, target
from workflow_engine.calls.uri_template import address
from workflow_engine.calls.url import shown_url
from workflow_engine.errors import Fault, fault
from workflow_engine.values import JsonObject

SESSION = "Mcp-Session-Id"
VERSION = "MCP-Protocol-Version"
_OWN = ("Accept", "Content-Type", "Last-Event-ID", SESSION, VERSION)
_ARGUMENTS = frozenset({"endpoint", "headers"})
_GOODBYE = 2.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 60.0
_MAX_SESSION_ID = 1000


@asynccontextmanager
async def opened(
    given: JsonObject, arguments: JsonObject, context: CallContext
) -> AsyncIterator[HttpChannel]:
    """A channel to the server at ``endpoint``; when the block is left the server is told that its session is over."""
    unknown = sorted(given.keys() - _ARGUMENTS)
    if unknown:
        raise fault("configuration", f"the http transport of call mcp has no argument {unknown[0]!r}")
    uri, policy = endpoint(given.get("endpoint"))
    uri = address(uri, arguments)
    url, credentials = await target(uri, policy, context.egress)
    headers = merge_headers(credentials.headers, given.get("headers"), context.egress)
    for name in _OWN:
        if name in headers:
            raise fault("configuration", f"header {name} is set by the engine; leave it out")
    channel = HttpChannel(url, headers, credentials, context)
    try:
        yield channel
    finally:
        await channel.close()


class HttpChannel:
    """Messages to and from one URL, and the session that the server has opened for them."""

    def __init__(
        self, url: URL, headers: CIMultiDict[str], credentials: Credentials, context: CallContext
    ) -> None:
        self._url, self._headers, self._credentials, self._context = url, headers, credentials, context
        self._what = f"POST {shown_url(url)}"

    def agree(self, version: str) -> None:
        self._headers[VERSION] = version

    async def tell(self, message: JsonObject) -> None:
        async with self._posted(message):
            pass

    async def exchange(self, message: JsonObject) -> AsyncGenerator[JsonObject, None]:
        """Send *message* and give what the server says until its answer, even if the stream breaks before."""
        going_on = _GoingOn()
        async with self._posted(message) as answer:
            if message["method"] == "initialize":
                self._begin(answer)
            if MediaType.parse(answer.headers.get("Content-Type", "")).name != MEDIA_TYPE:
                limit = self._context.egress.max_response
                body = await read_answer(answer, self._what, limit)
                for found in json_rpc.messages(body, self._what, self._context.redact) if body else ():
                    yield found
                return
            try:
                async with aclosing(self._streamed(answer, going_on)) as stream:
                    async for found in stream:
                        yield found
            except aiohttp.ClientError:
                if going_on.last is None:
                    raise
        while going_on.last is not None:  # the server lets a stream end early that can be gone on with
            await asyncio.sleep(going_on.pause)
            before = going_on.last
            async with (
                self._resumed(going_on.last) as answer,
                aclosing(self._streamed(answer, going_on)) as stream,
            ):
                with contextlib.suppress(aiohttp.ClientError):
                    async for found in stream:
                        yield found
            if going_on.last == before:
                going_on.pause = min(going_on.pause * 2, _LONGEST_PAUSE)

    async def close(self) -> None:
        """End the session, if the server has begun one; whether it understands that is its own affair."""
        if SESSION not in self._headers:
            return
        request = Request("DELETE", self._url, self._headers, credentials=self._credentials)
        with contextlib.suppress(Fault):
            async with (
                deadline(_GOODBYE, "the end of the session"),
                sent(request, self._context.egress, redirect=True, leave=False),
            ):
                pass

    def _begin(self, answer: aiohttp.ClientResponse) -> None:
        session = answer.headers.get(SESSION)
        if session is not None:
            if not session or len(session) > _MAX_SESSION_ID or not session.isprintable():
                raise fault("communication", f"{self._what}: the id of the session cannot be sent back")
            self._headers[SESSION] = session

    @asynccontextmanager
    async def _posted(self, message: JsonObject) -> AsyncIterator[aiohttp.ClientResponse]:
        body, _ = encode(message, JSON)
        headers = self._with({"Accept": f"{JSON}, {MEDIA_TYPE}", "Content-Type": JSON})
        if "method" in message and "id" in message:
            headers["Idempotency-Key"] = header_safe(f"{self._context.idempotency_key}/{message['id']}")
        async with self._opened(Request("POST", self._url, headers, body, self._credentials)) as answer:
            yield answer

    @asynccontextmanager
    async def _resumed(self, last: str) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = self._with({"Accept": MEDIA_TYPE, "Last-Event-ID": last})
        async with self._opened(Request("GET", self._url, headers, credentials=self._credentials)) as answer:
            if MediaType.parse(answer.headers.get("Content-Type", "")).name != MEDIA_TYPE:
                raise fault("communication", f"GET {shown_url(self._url)}: the answer is no event stream")
            yield answer

    @asynccontextmanager
    async def _opened(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        egress = self._context.egress
        async with sent(request, egress, redirect=True, leave=False) as (answer, asked):
            if answer.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT):
                raise await refusal(answer, asked, self._context.redact)
            for name in self._credentials.headers:  # a token may have been renewed
                if name in asked.headers:
                    self._headers[name] = asked.headers[name]
            yield answer

    def _with(self, added: Mapping[str, str]) -> CIMultiDict[str]:
        headers = CIMultiDict(self._headers)
        headers.update(added)
        return headers

    async def _streamed(
        self, answer: aiohttp.ClientResponse, going_on: _GoingOn
    ) -> AsyncGenerator[JsonObject, None]:
        limit = self._context.egress.max_response
        async with aclosing(server_events(answer.content, self._what, limit)) as events:
            async for event in events:
                if event.id is not None:
                    going_on.last = event.id or None
                if event.retry is not None:
                    going_on.pause = min(max(event.retry / 1000, _SHORTEST_PAUSE), _LONGEST_PAUSE)
                if event.data.strip():
                    for found in json_rpc.messages(event.data, self._what, self._context.redact):
                        yield found


@dataclass(slots=True)
class _GoingOn:
    """Where a stream can be gone on with: after the event *last*, and not before *pause* seconds have passed."""

    last: str | None = None
    pause: float = 1.0
