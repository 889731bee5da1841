"""What comes over a connection to NATS, and the connection itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from typing import Any

import nats
from nats.aio.client import Client as Connection

from workflow_engine.calls.brokers.inbox import Inbox
from workflow_engine.calls.brokers.link import Incoming, named

ID = "Nats-Msg-Id"
"""The header by which JetStream knows a message that it has already."""
CONTENT_TYPE = "Content-Type"
WAIT_SECONDS = 5.0
AT_HAND = 8 * 1024 * 1024
"""Of how many bytes that have come the library is let go, before it has to keep the rest, and to count it."""


class Client(Connection):
    """A client that keeps what the server complains of, and calls *ended* once the connection is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []
        self.ended: Callable[[], None] = lambda: None
        self.slow: Callable[[], None] = lambda: None
        """Called for each message that there is no room for."""

    async def end(self) -> None:
        self.ended()

    async def note(self, error: Exception) -> None:
        if isinstance(error, nats.errors.SlowConsumerError):
            self.slow()
        self.errors = [*self.errors[-9:], error]


class Messages:
    """What comes to a subscription, at most so many at a time: of a library whose own waiting may miss that it ends.

    What is taken off the library, which keeps count of the bytes that it has, is bounded too.
    """

    def __init__(self, client: Client, most: int) -> None:
        self._inbox = Inbox[Any](most, AT_HAND)
        client.ended = self._inbox.end

    async def put(self, message: Any) -> None:
        await self._inbox.put(message, len(message.data))

    async def next(self, most: int) -> list[Any]:
        """What has come, once there is anything; nothing after a while."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                found = await self._inbox.gathered(most)
        except TimeoutError:
            return []
        if not found:
            raise nats.errors.ConnectionClosedError
        return found


def numbered(message: Any, stream: str) -> Incoming:
    """A message of a stream. When it was stored is part of its id: a stream of this name may be made anew."""
    at, number = message.metadata.timestamp, message.metadata.sequence.stream
    moment = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    place = f"{stream}/{number}@{moment.timestamp():.6f}"
    return replace(incoming(message, place), moment=moment, at={stream: number + 1})


def incoming(message: Any, place: str | None) -> Incoming:
    headers = dict(message.headers or {})
    id = place or named(headers, ID)
    content_type = named(headers, CONTENT_TYPE)
    if place is None:
        return Incoming(message.data, headers, content_type, id, address=message.subject)
    return Incoming(message.data, headers, content_type, id, settle=message.ack, address=message.subject)
