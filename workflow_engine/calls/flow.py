"""How many bytes are worked on at a time: many large values that arrive together are taken one after another."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from contextvars import ContextVar

from workflow_engine.errors import Unavailable

AT_ONCE = 128 * 1024 * 1024
"""How many bytes of one kind are worked on at a time: of arguments of calls, of their answers, of what is stored."""
PATIENCE = 20.0
"""So many seconds a request waits for room."""
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
        await self.enter(size)
        try:
            yield
        finally:
            self.leave(size)

    async def enter(self, size: int) -> None:
        """Take room for *size* bytes, as soon as there is so much; until `leave`."""
        if not self._waiting and self._fits(size):
            self._taken += size
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(size)
            else:
                with contextlib.suppress(ValueError):  # `_next` may have passed it over meanwhile
                    self._waiting.remove((size, turn))
                self._next()
            raise

    def add(self, size: int) -> None:
        """Take room for *size* bytes more, whether or not there is any: who has room must not wait for more."""
        self._taken += size

    def leave(self, size: int) -> None:
        """Give back *size* bytes of what was taken."""
        self._taken -= size
        self._next()

    def _fits(self, size: int) -> bool:
        return self._taken == 0 or self._taken + size <= self._most

    def _next(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.cancelled():
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

    def add(self, size: int) -> None:
        """Have *size* bytes more, if it has any: those who come later wait for them too."""
        if self._taken:
            self._flow.add(size)
            self._held.callback(self._flow.leave, size)


class Share:
    """What one request has of a *flow* for all the large values that it reads, until it has been answered."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._taken = 0
        self._over = False

    async def take(self, size: int) -> None:
        """Have *size* bytes more; `Unavailable` where there is no room for the first ones within `PATIENCE` seconds."""
        if self._over:
            return
        if self._taken:
            self._flow.add(size)
        else:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._flow.enter(size)
            except TimeoutError:
                raise Unavailable("too many large values are being read; ask again later") from None
        self._taken += size

    def leave(self) -> None:
        """Give it all back; nothing is taken any more."""
        self._over = True
        if self._taken:
            self._flow.leave(self._taken)
            self._taken = 0


SHARE: ContextVar[Share | None] = ContextVar("share", default=None)
"""The share of the request that is answered."""
ROOM: ContextVar[Room | None] = ContextVar("room", default=None)
"""The room of the call that is made."""
