"""How many bytes are worked on at a time: many large values that arrive together are taken one after another."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

AT_ONCE = 128 * 1024 * 1024


class Flow:
    """Room for *most* bytes; who comes first is served first. What is larger than all of it goes alone."""

    def __init__(self, most: int = AT_ONCE) -> None:
        self._most = most
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
