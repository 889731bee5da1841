"""A service that keeps a ledger of what it was asked to do, and fails where a test says so."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.standins.server import serve
from workflow_engine.values import Json


class FarSide:
    """``POST /WHAT`` does WHAT: answers ``{"did": WHAT}``, unless WHAT is *broken*, and then 503.

    While WHAT is *held* its answer waits, and so does what it does.
    """

    def __init__(self) -> None:
        self.url = ""
        self.broken: set[str] = set()
        self.held: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        """What was asked, with the idempotency key."""
        self.bodies: list[Json] = []
        self.done: Counter[str] = Counter()

    async def _work(self, request: web.Request) -> web.Response:
        what = request.match_info["what"]
        self.asked.append((what, request.headers.get("Idempotency-Key", "")))
        body = await request.read()
        self.bodies.append(json.loads(body) if body else None)
        while what in self.held:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        if what in self.broken:
            return web.Response(status=503)
        self.done[what] += 1
        return web.json_response({"did": what})

    async def _echo(self, request: web.Request) -> web.Response:
        """As `_work`, and gives back what it was sent."""
        answer = await self._work(request)
        return web.json_response(self.bodies[-1]) if answer.status == 200 else answer

    def keys(self, what: str) -> list[str]:
        """The keys with which *what* was asked for."""
        return [key for asked, key in self.asked if asked == what]

    async def asked_for(self, what: str, times: int = 1, within: float = 20) -> None:
        """Return once *what* was asked for so many times."""
        async with asyncio.timeout(within):
            while len(self.keys(what)) < times:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def call(self, what: str, more: str = "") -> str:
        """A task of DSL 1.0 that asks for *what*, in flow style."""
        return (
            f"{{call: http, with: {{method: post, endpoint: '{self.url}/{what}', body: '${{ . }}'}}{more}}}"
        )


@asynccontextmanager
async def far_side() -> AsyncIterator[FarSide]:
    far, app = FarSide(), web.Application(client_max_size=50_000_000)
    app.router.add_post("/{what}", far._work)
    app.router.add_post("/echo/{what}", far._echo)
    async with serve(app) as server:
        far.url = f"http://{server.address}"
        yield far


@pytest.fixture
async def far() -> AsyncIterator[FarSide]:
    async with far_side() as started:
        yield started
