"""Real HTTP servers on loopback for tests: started on a free port, they record what they are asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import trustme
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from tests.standins.certificates import server_context


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived; *target* is path and query as they were on the wire."""

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes


@dataclass
class Server:
    """Where a stand-in listens, and every request it has been sent so far."""

    url: str
    host: str
    port: int
    requests: list[Recorded] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def last(self) -> Recorded:
        return self.requests[-1]


@asynccontextmanager
async def serve(
    app: web.Application,
    *,
    tls: trustme.CA | None = None,
    names: tuple[str, ...] = ("localhost", "127.0.0.1"),
) -> AsyncIterator[Server]:
    """Serve *app* on 127.0.0.1 on a free port; with *tls*, over https with a certificate for *names*.

    An application can be served once: make one for each server.
    """
    recorded: list[Recorded] = []

    @web.middleware
    async def record(request: web.Request, handler) -> web.StreamResponse:
        body = await request.read()
        headers = CIMultiDictProxy(CIMultiDict(request.headers))
        recorded.append(Recorded(request.method, request.raw_path, headers, body))
        return await handler(request)

    app.middlewares.append(record)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        context = None if tls is None else server_context(tls, names)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        port = runner.addresses[0][1]
        scheme = "http" if tls is None else "https"
        yield Server(f"{scheme}://127.0.0.1:{port}", "127.0.0.1", port, recorded)
    finally:
        await runner.cleanup()


class ServerThread:
    """Serves an application from a thread of its own, for tests and fixtures that are not async.

    Use it as a context manager, which gives the `Server`. *make_app* is called in that thread.
    """

    def __init__(
        self,
        make_app: Callable[[], web.Application],
        *,
        tls: trustme.CA | None = None,
        names: tuple[str, ...] = ("localhost", "127.0.0.1"),
    ) -> None:
        self._make_app, self._tls, self._names = make_app, tls, names
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()

    def __enter__(self) -> Server:
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        await self._stack.aclose()
        # Answers that nobody waits for any more: the server lets them go on when a client has gone.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _start(self) -> Server:
        return await self._stack.enter_async_context(
            serve(self._make_app(), tls=self._tls, names=self._names)
        )


class RawServer:
    """Answers every connection with the same bytes and closes it, or holds it open: for broken servers.

    *pieces* are sent in order once the head of a request has arrived; with *hold* the connection then
    stays open until the server is stopped.
    """

    def __init__(self, *pieces: bytes, hold: bool = False) -> None:
        self._pieces, self._hold = pieces, hold
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._stopping.set()
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
            if self._hold:
                await self._stopping.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
