"""What servers may answer, and what is made of it: heads, empty bodies, headers, and bodies without end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from tests.standins.server import RawServer
from workflow_engine.calls import CALLERS, Egress

call = CALLERS["http"]
MIB = 1024 * 1024


def get(uri: str, **more):
    return {"method": "get", "endpoint": uri, **more}


async def answer(context, *head: str, body: bytes = b"", **more):
    text = "\r\n".join(["HTTP/1.1 200 OK", *head, f"Content-Length: {len(body)}"])
    async with RawServer(text.encode() + b"\r\n\r\n" + body) as server:
        return await call(get(server.url, output="response") | more, context)


async def test_a_head_has_headers_and_no_content(bin_server, context):
    for output, expected in (("content", None), ("raw", "")):
        arguments = {"method": "head", "endpoint": f"{bin_server.url}/bytes/300", "output": output}
        assert await call(arguments, context) == expected
    found = await call(
        {"method": "HEAD", "endpoint": f"{bin_server.url}/bytes/300", "output": "response"}, context
    )
    assert (found["content"], found["headers"]["content-length"]) == (None, "300")
    assert "Idempotency-Key" not in bin_server.last.headers


@pytest.mark.parametrize("status", [204, 205])
async def test_an_answer_without_content_is_null_whatever_its_type(context, status):
    raw = f"HTTP/1.1 {status} Nothing\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"
    async with RawServer(raw.encode()) as server:
        assert await call(get(server.url), context) is None
        assert await call(get(server.url, output="raw"), context) == ""


async def test_values_of_one_header_are_joined_and_those_of_cookies_are_an_array(context):
    found = await answer(
        context, "X-A: 1", "X-A: 2", "Set-Cookie: a=1; Expires=Thu, 01 Jan 2026", "Set-Cookie: b=2"
    )
    assert found["headers"]["x-a"] == "1, 2"
    assert found["headers"]["set-cookie"] == ["a=1; Expires=Thu, 01 Jan 2026", "b=2"]
    assert (await answer(context, "Set-Cookie: a=1"))["headers"]["set-cookie"] == "a=1"


async def test_a_folded_header_is_one_line(context):
    assert (await answer(context, "X-A: one", "  two"))["headers"]["x-a"].split() == ["one", "two"]


@pytest.mark.parametrize(
    ("charset", "text"), [("utf-16", "ä€"), ('"ISO-8859-1"', "ä"), ("windows-1252", "€"), ("UTF-8", "ä€")]
)
async def test_text_is_read_in_its_charset(context, charset, text):
    body = text.encode(charset.strip('"'))
    found = await answer(context, f"Content-Type: text/plain; charset={charset}", body=body)
    assert found["content"] == text


async def test_an_answer_before_the_answer_is_passed_over(context):
    raw = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    raw += b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
    async with RawServer(raw) as server:
        assert await call(get(server.url), context) == "ok"


async def test_headers_without_end_are_cut_off(context):
    for head in ("X-A: " + "x" * 20_000, "\r\n".join(f"X-{number}: 1" for number in range(300))):
        async with RawServer(f"HTTP/1.1 200 OK\r\n{head}\r\nContent-Length: 0\r\n\r\n".encode()) as server:
            await fault_of(call(get(server.url), context), "communication", 500)


# --- without end ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def endless(head: bytes, chunks: Iterator[bytes]) -> AsyncIterator[str]:
    """A server that sends chunks for as long as somebody reads them."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + head + b"\r\n\r\n")
            for chunk in chunks:
                if chunk:
                    writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                    await writer.drain()
                    await asyncio.sleep(0)  # draining alone lets nobody else on
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def compressed() -> Iterator[bytes]:
    """Zeros for ever, gzipped: the second block, which depends on nothing before it, over and over."""
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    blocks = [packing.compress(bytes(MIB)) + packing.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]
    return itertools.chain(blocks, itertools.repeat(blocks[1]))


@pytest.mark.parametrize(
    ("head", "chunks"),
    [
        (b"Content-Type: text/plain", lambda: itertools.repeat(b"x" * 65_536)),
        (b"Content-Type: text/event-stream", lambda: itertools.repeat(b"data: x\n\n" * 1000)),
        (b"Content-Encoding: gzip", compressed),
    ],
    ids=["plain", "events", "compressed 1000 to 1"],
)
async def test_an_answer_without_end_is_cut_off_and_takes_little_memory(head, chunks):
    async with Egress(max_response=2 * MIB) as egress, endless(head, chunks()) as url:
        tracemalloc.start()
        try:
            detail = await fault_of(call(get(url), make_context(egress, timeout=60)), "communication", 500)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert f"larger than {2 * MIB} bytes" in detail
    assert peak < 16 * MIB


async def test_an_answer_that_trickles_ends_with_the_time_of_the_call(egress):
    pieces = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"]
    async with RawServer(*pieces, hold=True) as server:
        detail = await fault_of(
            call(get(server.url), make_context(egress, timeout=0.3)), "communication", 500
        )
    assert "no complete answer within 0.3 seconds" in detail
