"""Clients that send nothing, or a little at a time, do not keep the connections of others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, Request
from starlette.types import Message

from workflow_engine.api import room, serving
from workflow_engine.api.answers import answer_problems
from workflow_engine.api.gate import Gate
from workflow_engine.api.metrics import Metrics


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(serving, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(room, "STALLED", 0.5)
    monkeypatch.setattr(room, "BODY_SECONDS", 1.0)
    app = FastAPI()
    app.state.closing = asyncio.Event()
    answer_problems(app)

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    @app.get("/slowly")
    async def slowly(request: Request) -> str:
        gone = asyncio.ensure_future(request.receive())
        await asyncio.wait({gone}, timeout=1.0)  # longer than a head, or a piece of a body, may take
        message: Message | None = gone.result() if gone.done() else None
        gone.cancel()
        return "here" if message is None or message["type"] == "http.request" else "gone"

    app.add_middleware(Gate, access=None, loopback_only=True, metrics=Metrics())
    ready, listening = asyncio.Event(), serving.listen("127.0.0.1", 0)
    task = asyncio.create_task(serving.serve(app, listening, ready.set))
    await ready.wait()
    try:
        yield listening.getsockname()[1]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


HEAD = b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"


async def sent(port: int, *pieces: bytes, pause: float = 0.1) -> bytes:
    """What comes until the server closes the connection, to which *pieces* are sent a while apart."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause)

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


def test_what_is_answered_goes_out_at_once_and_not_when_its_head_was_received() -> None:
    with serving.listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_head_that_does_not_come_closes_the_connection(port: int) -> None:
    assert await sent(port) == b""
    assert await sent(port, *(bytes([each]) for each in HEAD)) == b""  # however steadily it comes
    first = b"GET /absent HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = await sent(port, first, *(b"G", b"E", b"T", b" ", b"/", b" ", b"H"))
    assert answer.startswith(b"HTTP/1.1 404")  # the second head on that connection never comes


async def test_a_body_that_does_not_come_is_answered_with_408(port: int) -> None:
    stalled = await sent(port, HEAD + b"\r\n")
    assert stalled.startswith(b"HTTP/1.1 408"), stalled
    drip = await sent(port, HEAD + b"\r\n", *[b"x"] * 50)
    assert drip.startswith(b"HTTP/1.1 408"), drip


async def test_who_waits_for_an_answer_waits_as_long_as_it_takes(port: int) -> None:
    answer = await sent(port, b"GET /slowly HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert answer.endswith(b'"here"')
