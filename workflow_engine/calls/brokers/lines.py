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
    """A connection that one task opens, holds and closes, whoever sends over it."""

    def __init__(self, egress: Egress, connect: Callable[[], Awaitable[Link]]) -> None:
        self._egress, self._connect = egress, connect
        self._ready: asyncio.Future[Send] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._used = asyncio.Event()
        self.users = 0
        self.task = asyncio.create_task(self._hold(), name="line to a broker")

    async def send(self) -> Send:
        """What sends over it, once it is open; or the reason why it cannot be opened."""
        self._used.set()
        return await asyncio.shield(self._ready)

    def end(self) -> None:
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
                await asyncio.wait_for(self._over.wait(), IDLE)
            if not self._used.is_set() and not self.users:
                return


class Lines:
    """The connections of this process, by what they are known by."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def line(self, key: str, connect: Callable[[], Awaitable[Link]]) -> AsyncIterator[Send]:
        """The connection known by *key*, or one to what *connect* gives. What goes wrong in the block ends it."""
        line = self._lines.get(key)
        if line is None or line.task.done():
            line = self._lines[key] = _Line(self._egress, connect)
            line.task.add_done_callback(partial(self._ended, key, line))
        line.users += 1
        try:
            with guarded(self._egress):
                yield await line.send()
        except BaseException:
            line.end()
            if self._lines.get(key) is line:
                del self._lines[key]
            raise
        finally:
            line.users -= 1

    def _ended(self, key: str, line: _Line, _: object) -> None:
        if self._lines.get(key) is line:
            del self._lines[key]

    async def close(self) -> None:
        """Close them all."""
        tasks = [line.task for line in self._lines.values()]
        for line in list(self._lines.values()):
            line.end()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=CLOSING)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
