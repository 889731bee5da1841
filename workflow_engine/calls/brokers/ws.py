"""WebSocket: the channel is an address of the server; each message is one of the socket's. Nothing is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress

import aiohttp

from workflow_engine.calls.brokers.http import constants, target
from workflow_engine.calls.brokers.inbox import Inbox, read_aside
from workflow_engine.calls.brokers.link import Hearing, Incoming, Link, Outgoing, lost, refused
from workflow_engine.calls.content import MediaType
from workflow_engine.calls.context import Reception
from workflow_engine.calls.http import merge_headers
from workflow_engine.calls.retry_after import busy
from workflow_engine.errors import fault
from workflow_engine.values import JsonObject

PING_SECONDS = 20.0
"""So often a server is asked whether it is there, which also keeps those between from closing a silent connection."""


async def publish(link: Link, message: Outgoing) -> None:
    """Send the message and close the socket: the server has read it when it answers that."""
    if message.headers:
        raise fault("configuration", f"{link.shown}: a message of a WebSocket has no headers")
    media_type = MediaType.parse(message.content_type)
    async with _socket(link) as socket:
        if media_type.is_json or media_type.is_text:
            await socket.send_str(message.body.decode(media_type.charset or "utf-8", errors="replace"))
        else:
            await socket.send_bytes(message.body)
        await socket.close()
        if socket.close_code not in (aiohttp.WSCloseCode.OK, aiohttp.WSCloseCode.GOING_AWAY):
            raise lost(link, f"the socket was closed with {socket.close_code}, not as it should be")


async def receive(link: Link, reception: Reception) -> AsyncGenerator[Incoming | None, None]:
    """What the server sends while the socket is open."""
    async with _socket(link) as socket, aclosing(_messages(link, socket)) as messages:
        yield None
        async for message in messages:
            yield Incoming(message, {})


async def hear(link: Link, hearing: Hearing) -> AsyncGenerator[list[Incoming], None]:
    """What the server sends, for a source, while the socket is open. Nothing says what was sent while it was not."""
    hearing.promise = "at-most-once"

    async def read(inbox: Inbox[Incoming], connected: Callable[[], None]) -> None:
        async with _socket(link) as socket, aclosing(_messages(link, socket)) as messages:
            connected()
            async for message in messages:
                await inbox.put(Incoming(message, {}), len(message))

    async with aclosing(read_aside(hearing, read)) as batches:
        async for batch in batches:
            yield batch


async def forget(link: Link, hearing: Hearing) -> None:
    """Nothing: a server knows nobody who does not hear."""


async def _messages(link: Link, socket: aiohttp.ClientWebSocketResponse) -> AsyncGenerator[bytes, None]:
    """What the server sends, until it closes the socket, which is a fault; and so is that it answers no ping.

    Time counts only while something is waited for: where there is no room for what comes it is not read, and the
    answers to pings wait behind it. (The heartbeat of the library takes such a server for dead.)
    """
    pinging = asyncio.create_task(_ping(socket), name="pings")
    try:
        while True:
            try:
                message = await socket.receive(timeout=PING_SECONDS * 1.5)
            except TimeoutError:
                raise lost(
                    link, f"nothing came for {PING_SECONDS * 1.5:g} seconds, not even a pong"
                ) from None
            if message.type == aiohttp.WSMsgType.TEXT:
                yield message.data.encode()
            elif message.type == aiohttp.WSMsgType.BINARY:
                yield message.data
            elif message.type == aiohttp.WSMsgType.ERROR:
                raise lost(link, message.data)
            else:
                said = message.extra if message.type == aiohttp.WSMsgType.CLOSE else None
                why = ": ".join(str(each) for each in (socket.close_code, said) if each)
                raise lost(link, f"the server has closed the socket ({why or 'without a word'})")
    finally:
        pinging.cancel()


async def _ping(socket: aiohttp.ClientWebSocketResponse) -> None:
    with suppress(aiohttp.ClientError, OSError):  # who reads hears of it, too
        while not socket.closed:
            await asyncio.sleep(PING_SECONDS)
            await socket.ping()


@asynccontextmanager
async def _socket(link: Link) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    egress = link.context.egress
    url, credentials = await target(link, link.channel.get("query"))
    if credentials.digest is not None:
        raise fault("configuration", f"{link.shown}: digest authentication is not there for a WebSocket")
    declared: JsonObject = constants(link.channel.get("headers"))
    headers = merge_headers(credentials.headers, declared, egress)
    await egress.addresses(*link.server.hosts[0])  # what the policy refuses is said in its own words
    try:
        async with (
            egress.unled() as session,
            session.ws_connect(
                url,
                headers=headers,
                max_msg_size=egress.max_response,
                protocols=("cloudevents.json",) if link.whole else (),
            ) as socket,
        ):
            yield socket
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (401, 403):
            raise refused(link, f"the server answered {error.status}") from None
        told = f"{link.shown}: the server answered {error.status}"
        refusal = fault("communication", told, status=error.status)
        raise busy(refusal, error.status, error.headers) from None
    except (aiohttp.ClientError, OSError) as error:
        raise lost(link, error) from None
