"""How many bytes of large bodies the server has in hand at a time, whoever sends them."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from workflow_engine.errors import Unavailable

AT_ONCE = 256 * 1024 * 1024
"""Of all requests together; at least two of the largest are taken."""
STALLED, BODY_SECONDS = 60.0, 900.0
"""How many seconds may go by without anything of a body, and until all of it is there."""
FREE = 1024 * 1024
"""So much of each body is not counted: what is small is taken however many large ones there are."""


class Room:
    """Room for the bodies of all requests, each of which may have *most* bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = max(AT_ONCE, 2 * most)

    def share(self, receive: Receive) -> Share:
        """That of one request, whose messages *receive* gives."""
        return Share(self, receive)


class Share:
    """What one request has of a `Room`, from when its body comes until it has been answered."""

    def __init__(self, room: Room, receive: Receive) -> None:
        self._room, self._from = room, receive
        self._received = self._taken = 0
        self._until: float | None = None
        self._more = True

    async def receive(self) -> Message:
        """The next message; status 413 when the body has too many bytes, `Unavailable` when all have."""
        message = await (self._in_time() if self._more else self._from())
        if message["type"] != "http.request":
            return message
        self._more = bool(message.get("more_body"))
        self._received += len(message.get("body", b""))
        if self._received > self._room._most:
            raise HTTPException(413, f"the body has more than {self._room._most:,} bytes")
        more = max(0, self._received - FREE) - self._taken
        if more > self._room._left:
            await self._rest(message)
            raise Unavailable(
                "too many large bodies are on their way to the server; send this one again later"
            )
        self._room._left -= more
        self._taken += more
        return message

    async def _in_time(self) -> Message:
        """The next message of a body; status 408 when it, or the whole body, takes too long to come."""
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + BODY_SECONDS
        try:
            async with asyncio.timeout_at(min(now + STALLED, self._until)):
                return await self._from()
        except TimeoutError:
            self._more = False
            raise HTTPException(408, "the body of the request did not come in time") from None

    async def _rest(self, message: Message) -> None:
        """Let go of what has come, and of what is still to come: an answer to who is sending is lost."""
        self.leave()
        while message.get("more_body") and self._received <= self._room._most:
            message = await self._in_time()
            self._received += len(message.get("body", b""))

    def leave(self) -> None:
        self._room._left += self._taken
        self._taken = 0
