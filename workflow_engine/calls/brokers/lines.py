"""Connections to brokers that are kept while there is something to send: one for all who send alike."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from workflow_engine.calls.brokers.direct import protocol_of
from workflow_engine.calls.brokers.link import Link, Send
from workflow_engine.calls.connections import guarded
from workflow_engine.calls.egress import Egress

IDLE = 60.0
"""How many seconds a connection is kept over which nothing is sent."""
CLOSING = 5.0


class _Line:
    """A connection that one task opens, holds and closes, whoever sends over it. It ends when nobody does any more:
    what goes wrong for one who sends is not to go wrong for all.
    """

    def __init__(self, egress: Egress, connect: Callable[[], Awaitable[Link]]) -> None:
        self._egress, self._connect = egress, connect
        self._ready: asyncio.Future[Send] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._used = asyncio.Event()
        self._free = asyncio.Event()
        self._users = 0
        self.task = asyncio.create_task(self._hold(), name="line to a broker")

    @asynccontextmanager
    async def used(self) -> AsyncIterator[Send]:
        """What sends over it, once it is open; or the reason why it cannot be opened."""
        self._used.set()
        self._users += 1
        try:
            yield await asyncio.shield(self._ready)
        finally:
            self._users -= 1
            if not self._users:
                self._free.set()

    def end(self) -> None:
        """Let nobody begin to use it."""
        self._over.set()

    async def _hold(self) -> None:
        try:
            with guarded(self._egress):
                link = await self._connect()
                async with protocol_of(link.server).sending(link) as send:
                    self._ready.set_result(send)
                    await self._while_used()
        except Exception as error:  # noqa: BLE001  whoever wants to send is told, or was
            if not self._ready.done():
                self._ready.set_exception(error)
                self._ready.exception()

    async def _while_used(self) -> None:
        while not self._over.is_set():
            self._used.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE):
                    await self._over.wait()
            if not self._used.is_set() and not self._users:
                return
        while self._users:
            self._free.clear()
            await self._free.wait()


class Lines:
    """The connections of this process, by what they are known by."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        """Those of all that are open, also those that are to end."""

    @asynccontextmanager
    async def line(
        self, key: str, egress: Egress, connect: Callable[[], Awaitable[Link]]
    ) -> AsyncIterator[Send]:
        """The connection known by *key*, or one to what *connect* gives, by way of *egress*. After what goes wrong in
        the block nobody begins to use it; who does already goes on.
        """
        line = self._lines.get(key)
        if line is None or line.task.done():
            line = self._lines[key] = _Line(egress, connect)
            self._tasks.add(line.task)
            line.task.add_done_callback(partial(self._ended, key, line))
        try:
            with guarded(egress):
                async with line.used() as send:
                    yield send
        except BaseException:
            line.end()
            if self._lines.get(key) is line:
                del self._lines[key]
            raise

    def _ended(self, key: str, line: _Line, _: object) -> None:
        self._tasks.discard(line.task)
        if self._lines.get(key) is line:
            del self._lines[key]

    async def close(self) -> None:
        """Close them all."""
        for line in list(self._lines.values()):
            line.end()
        tasks = list(self._tasks)
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=CLOSING)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
