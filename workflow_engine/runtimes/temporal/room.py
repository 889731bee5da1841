"""How much of a run is under way on the server: it takes 2,000 calls and 2,000 sub-flows of one run, and no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

MOST_PENDING = 1500
"""At so many the next one waits for another to end."""


class Room:
    """Lets in what comes in its order; nothing while it is closed."""

    def __init__(self, most: int = MOST_PENDING) -> None:
        self.inside = 0
        self._most = most
        self._closed = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Be inside, once there is room."""
        if self._closed or self._waiting or self.inside >= self._most:
            await self._turn()
        else:
            self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._let_in()

    async def _turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.inside -= 1
                self._let_in()
            raise

    def close(self) -> None:
        """Let nothing in from now on."""
        self._closed = True

    def open(self) -> None:
        """Let in again what waits, and what comes."""
        self._closed = False
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and not self._closed and self.inside < self._most:
            turn = self._waiting.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(None)
