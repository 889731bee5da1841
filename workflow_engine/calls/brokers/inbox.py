"""What comes over a connection and waits to be stored: bounded in number and bytes, so that who sends has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeAlias, TypeVar

from workflow_engine.calls.brokers.link import Hearing, Incoming, gathered

MOST_BYTES = 16 * 1024 * 1024
"""How much waits that was read from a stream or a socket."""

_T = TypeVar("_T")


class Inbox(Generic[_T]):
    """Holds *most* items, and *size* bytes; one of any size where there is no other."""

    def __init__(self, most: int, size: int) -> None:
        self._queue: asyncio.Queue[tuple[_T, int] | None] = asyncio.Queue(most)
        self._most, self._size = size, 0
        self._room = asyncio.Event()

    async def put(self, item: _T, size: int) -> None:
        """Add what has *size* bytes, once there is room for it."""
        while self._size and self._size + size > self._most:
            self._room.clear()
            await self._room.wait()
        self._size += size
        await self._queue.put((item, size))

    def end(self) -> None:
        """There is nothing more to come."""
        with suppress(asyncio.QueueFull):  # then there is no end of what waits until it is looked for
            self._queue.put_nowait(None)

    @property
    def empty(self) -> bool:
        return self._queue.empty()

    async def gathered(self, most: int) -> list[_T]:
        """What is there, at most so much, once there is anything; nothing at the end."""
        found = await gathered(self._queue, most)
        self._size -= sum(size for _, size in found)
        self._room.set()
        return [item for item, _ in found]


Read: TypeAlias = Callable[[Inbox[Incoming], Callable[[], None]], Awaitable[None]]
"""Puts what comes into the inbox, from when it calls the other one: it is connected."""


async def read_aside(hearing: Hearing, read: Read) -> AsyncGenerator[list[Incoming], None]:
    """What *read* reads until it ends or fails, while what came before is stored."""
    inbox = Inbox[Incoming](hearing.most, MOST_BYTES)
    connected = asyncio.Event()
    ended = False

    async def reading() -> None:
        nonlocal ended
        try:
            await read(inbox, connected.set)
        finally:
            ended = True
            connected.set()
            inbox.end()

    task = asyncio.ensure_future(reading())
    try:
        await connected.wait()
        if not ended:
            yield []
        while not (ended and inbox.empty):
            if found := await inbox.gathered(hearing.most):
                yield found
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
