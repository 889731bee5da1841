"""How many bytes are worked on at a time: many large values that arrive together are taken one after another."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from contextvars import ContextVar

AT_ONCE = 128 * 1024 * 1024
"""How many bytes of one kind are worked on at a time: of arguments of calls, of their answers, of what is stored."""
FEW = 4 * 1024 * 1024
"""An answer of so many bytes is read without asking for room."""


class Flow:
    """Room for *most* bytes, by itself `AT_ONCE`. Who comes first goes first; what is larger than all goes alone."""

    def __init__(self, most: int | None = None) -> None:
        self._most = AT_ONCE if most is None else most
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def of(self, size: int) -> AsyncIterator[None]:
        """Do something with *size* bytes, as soon as there is room for them."""
        if self._waiting or not self._fits(size):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave(size)
                else:
                    self._waiting.remove((size, turn))
                    self._next()
                raise
        else:
            self._taken += size
        try:
            yield
        finally:
            self._leave(size)

    def _fits(self, size: int) -> bool:
        return self._taken == 0 or self._taken + size <= self._most

    def _leave(self, size: int) -> None:
        self._taken -= size
        self._next()

    def _next(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            self._taken += size
            turn.set_result(None)


class Room:
    """What one call takes of a *flow* for its answer, once it is known to be large, until the call is over."""

    def __init__(self, flow: Flow, held: contextlib.AsyncExitStack) -> None:
        self._flow, self._held = flow, held
        self._taken = False

    async def take(self, size: int) -> None:
        """Wait for room for *size* bytes; a second time is nothing, for who has room must not wait for more."""
        if not self._taken:
            self._taken = True
            await self._held.enter_async_context(self._flow.of(size))


ROOM: ContextVar[Room | None] = ContextVar("room", default=None)
"""The room of the call that is made."""
