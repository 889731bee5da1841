"""A web server as a broker: requests and sockets it is sent are kept, what it is given goes to those who listen."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

TOKEN = "let-me-in"


@dataclass
class Web:
    """*sent* is what it gives to listeners, from the first; *received* what it was given."""

    sent: list[bytes] = field(default_factory=list)
    received: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    led: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    breaks_after: int | None = None
    listeners: int = 0
    document: Any = None
    closed: bool = False
    offered: str | None = None
    sockets: list[web.WebSocketResponse] = field(default_factory=list)

    def give(self, body: bytes) -> None:
        self.sent.append(body)
        self.news.set()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/notes", self._post)
        app.router.add_get("/api/notes", self._stream)
        app.router.add_get("/ws/notes", self._socket)
        app.router.add_get("/ws/leads", self._lead)
        app.router.add_get("/documents/asyncapi.json", self._document)
        return app

    async def _lead(self, request: web.Request) -> web.Response:
        self.led += 1
        return web.Response(status=302, headers={"Location": f"http://{request.host}/ws/notes"})

    async def _post(self, request: web.Request) -> web.Response:
        self.received.append((await request.read(), dict(request.headers)))
        return web.Response(status=202)

    async def _document(self, request: web.Request) -> web.Response:
        known = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        return web.json_response(self.document) if known or not self.closed else web.Response(status=401)

    async def _after(self, at: int):
        while True:
            while at >= len(self.sent):
                self.news.clear()
                await self.news.wait()
            yield at, self.sent[at]
            at += 1

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.listeners += 1
        given = 0
        async for at, body in self._after(int(request.headers.get("Last-Event-ID", "-1")) + 1):
            await response.write(b"id: %d\ndata: %s\n\n" % (at, body))
            given += 1
            if self.breaks_after == given:
                break
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") not in (None, f"Bearer {TOKEN}"):
            return web.Response(status=401)
        socket = web.WebSocketResponse()
        self.offered = request.headers.get("Sec-WebSocket-Protocol")
        await socket.prepare(request)
        self.listeners += 1
        self.sockets.append(socket)

        async def give() -> None:
            async for _, body in self._after(0):
                await socket.send_str(body.decode())

        giving = asyncio.create_task(give())
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    body = message.data.encode() if message.type == WSMsgType.TEXT else message.data
                    self.received.append((body, {}))
        finally:
            giving.cancel()
        return socket
