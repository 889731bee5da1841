"""WebSocket: the channel is an address of the server; each message is one of the socket's. Nothing is acknowledged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import aiohttp

from workflow_engine.calls.brokers.http import constants, target
from workflow_engine.calls.brokers.inbox import Inbox, read_aside
from workflow_engine.calls.brokers.link import Hearing, Incoming, Link, Outgoing, lost, refused
from workflow_engine.calls.content import MediaType
from workflow_engine.calls.context import Reception
from workflow_engine.calls.http import merge_headers
from workflow_engine.errors import fault
from workflow_engine.values import JsonObject

_PING_SECONDS = 20.0


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
    async with _socket(link) as socket:
        yield None
        async for message in socket:
            if message.type == aiohttp.WSMsgType.TEXT:
                yield Incoming(message.data.encode(), {})
            elif message.type == aiohttp.WSMsgType.BINARY:
                yield Incoming(message.data, {})
    raise lost(link, socket.exception() or "the server has closed the socket")


async def hear(link: Link, hearing: Hearing) -> AsyncGenerator[list[Incoming], None]:
    """What the server sends, for a source, while the socket is open. Nothing says what was sent while it was not."""
    hearing.promise = "at-most-once"

    async def read(inbox: Inbox[Incoming], connected: Callable[[], None]) -> None:
        async with _socket(link) as socket:
            connected()
            async for message in socket:
                if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    text = message.type == aiohttp.WSMsgType.TEXT
                    body = message.data.encode() if text else message.data
                    await inbox.put(Incoming(body, {}), len(body))
        raise lost(link, socket.exception() or "the server has closed the socket")

    async with aclosing(read_aside(hearing, read)) as batches:
        async for batch in batches:
            yield batch


async def forget(link: Link, hearing: Hearing) -> None:
    """Nothing: a server knows nobody who does not hear."""


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
                heartbeat=_PING_SECONDS,
                max_msg_size=egress.max_response,
                protocols=("cloudevents.json",) if link.whole else (),
            ) as socket,
        ):
            yield socket
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (401, 403):
            raise refused(link, f"the server answered {error.status}") from None
        raise fault(
            "communication", f"{link.shown}: the server answered {error.status}", status=error.status
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        raise lost(link, error) from None
