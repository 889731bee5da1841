"""``call: mcp`` against servers that break the protocol, break down, or make use of all that it allows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from tests.standins.server import Server, serve
from workflow_engine.calls import Egress, mcp

OPENED = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}


class Scripted:
    """A server that opens sessions as it should, and answers everything else as a test says."""

    def __init__(self, answer: Callable[..., Any], opened: Any = OPENED, session: str | None = "abc") -> None:
        self._answer, self._opened, self._session = answer, opened, session

    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_route("*", "/mcp", self._handle)
        return made

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE":
            return web.Response(status=405)
        message = json.loads(await request.read()) if request.method == "POST" else None
        if message is not None and message.get("method") == "initialize":
            headers = {} if self._session is None else {"Mcp-Session-Id": self._session}
            return web.json_response(result(message, self._opened), headers=headers)
        if message is not None and "id" not in message:
            return web.Response(status=202)
        return await self._answer(request, message)


def result(message, value) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message["id"], "result": value}


@asynccontextmanager
async def stream(request: web.Request):
    """An event stream to write to: ``await say(message, id=…)``."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)

    async def say(message=None, *, raw: str | None = None, id: str | None = None) -> None:
        head = "" if id is None else f"id: {id}\n"
        await response.write((raw if raw is not None else f"{head}data: {json.dumps(message)}\n\n").encode())

    response.say = say  # type: ignore[attr-defined]
    yield response


async def ask(server: Server, context, method="tools/call", parameters=None):
    http = {"endpoint": f"{server.url}/mcp"}
    given = {"name": "x"} if parameters is None and method == "tools/call" else parameters
    return await mcp.call({"method": method, "parameters": given, "transport": {"http": http}}, context)


@pytest.fixture
def scripted(context):
    """Call a server that is scripted by *answer*."""

    @asynccontextmanager
    async def start(answer, **options):
        async with serve(Scripted(answer, **options).app()) as server:
            yield server

    return start


def replies(value: Any = None, *, text: str | None = None, status: int = 200, type: str = "application/json"):
    async def answer(request, message):
        body = text if text is not None else json.dumps(value(message) if callable(value) else value)
        return web.Response(text=body, status=status, content_type=type)

    return answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (replies(text="<html>"), "the answer is not JSON"),
        (
            replies(text='{"jsonrpc": "2.0", "id": 2, "result": {}', type="application/json"),
            "the answer is not JSON",
        ),
        (replies(text="[" * 100_000), "the answer is not JSON"),
        (replies([]), "no message of JSON-RPC 2.0"),
        (replies({"id": 2, "result": {}}), "no message of JSON-RPC 2.0"),
        (replies(lambda m: result(m, "text")), "the result must be an object"),
        (replies(lambda m: {"jsonrpc": "2.0", "id": m["id"], "error": "no"}), "no message of JSON-RPC 2.0"),
        (replies({"jsonrpc": "2.0", "id": 99, "result": {}}), "without an answer"),
        (replies(text="", status=202), "without an answer"),
        (replies({"jsonrpc": "2.0", "id": None, "error": {"code": -32600}}, status=400), "400 Bad Request"),
        (replies(text="gone", status=404), "404 Not Found: gone"),
        (replies(text="data: nonsense\n\n", type="text/event-stream"), "the answer is not JSON"),
        (replies(text="data: [1]\n\n", type="text/event-stream"), "no message of JSON-RPC 2.0"),
        (replies(text="event: x\n\n: nothing\n\n", type="text/event-stream"), "without an answer"),
    ],
)
async def test_an_answer_that_is_none_is_a_communication_fault(scripted, context, answer, words):
    async with scripted(answer) as server:
        assert words in await fault_of(ask(server, context), "communication")


async def test_an_error_without_an_id_is_the_answer(scripted, context):
    error = {"code": -32700, "message": "what?", "data": {"at": 3}}
    async with scripted(replies({"jsonrpc": "2.0", "id": None, "error": error})) as server:
        detail = await fault_of(ask(server, context), "runtime", 400)
        assert detail == 'mcp tools/call: error -32700: what?: {"at":3}'


async def test_a_long_error_is_cut(scripted, context):
    error = {"code": 1, "message": "x" * 100_000}
    async with scripted(replies(lambda m: {"jsonrpc": "2.0", "id": m["id"], "error": error})) as server:
        assert len(await fault_of(ask(server, context), "runtime", 500)) == 500


async def test_a_server_that_never_answers_is_left(scripted, egress):
    async def never(request, message):
        async with stream(request) as response:
            while True:
                await response.say(raw=": still here\n\n")
                await asyncio.sleep(0.05)

    async with scripted(never) as server:
        call = ask(server, make_context(egress, timeout=1.2))
        assert "within 1.2 seconds" in await fault_of(call, "communication")
        sent = [json.loads(request.body).get("method") for request in server.requests if request.body]
        assert sent[-1] == "notifications/cancelled"
        assert server.last.method == "DELETE"


@pytest.mark.parametrize("piece", ["data: " + "x" * 4000 + "\n", "x" * 4000, "data: {}\n" * 500])
async def test_an_event_without_end_is_not_read_to_its_end(scripted, piece):
    async def endless(request, message):
        async with stream(request) as response:
            while True:
                await response.say(raw=piece)

    async with Egress(max_response=100_000) as egress, scripted(endless) as server:
        detail = await fault_of(ask(server, make_context(egress)), "communication")
        assert "larger than 100000 bytes" in detail


async def test_an_answer_without_end_is_not_read_to_its_end(scripted):
    async def endless(request, message):
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b'"xxxxxxxxx' * 1000)

    async with Egress(max_response=100_000) as egress, scripted(endless) as server:
        detail = await fault_of(ask(server, make_context(egress)), "communication")
        assert "larger than 100000 bytes" in detail


async def test_a_stream_of_many_small_events_is_no_large_answer(scripted):
    async def chatty(request, message):
        async with stream(request) as response:
            for _ in range(2000):
                await response.say(
                    {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * 50}}
                )
            await response.say(result(message, {"content": []}))
            return response

    async with Egress(max_response=100_000) as egress, scripted(chatty) as server:
        assert await ask(server, make_context(egress)) == {"content": []}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_lines_of_events_end_in_any_of_three_ways(scripted, context, end):
    async def spoken(request, message):
        text = json.dumps(result(message, {"content": ["ü"]}), ensure_ascii=False)
        cut = text.index(",") + 1
        lines = f": hello\nid:1\nretry: soon\nevent: message\ndata: {text[:cut]}\ndata:{text[cut:]}\nwhat: else\n\n"
        async with stream(request) as response:
            for byte in ("\ufeff" + lines.replace("\n", end)).encode():
                await response.write(bytes([byte]))
            await asyncio.sleep(5)
            return response

    async with scripted(spoken) as server:
        assert await ask(server, context) == {"content": ["ü"]}


async def test_requests_of_the_server_are_declined_but_for_a_ping(scripted, context):
    answers = asyncio.Queue()

    async def asking(request, message):
        if "method" not in message:
            await answers.put(message)
            return web.Response(status=202)
        async with stream(request) as response:
            for number, method in enumerate(
                ("ping", "sampling/createMessage", "roots/list", "elicitation/create")
            ):
                await response.say({"jsonrpc": "2.0", "id": f"s{number}", "method": method, "params": {}})
            got = [await answers.get() for _ in range(4)]
            await response.say(result(message, {"content": got}))
            return response

    async with scripted(asking) as server:
        ping, *others = (await ask(server, context))["content"]
        assert ping == {"jsonrpc": "2.0", "id": "s0", "result": {}}
        assert [answer["id"] for answer in others] == ["s1", "s2", "s3"]
        assert {answer["error"]["code"] for answer in others} == {-32601}


async def test_a_stream_that_ends_early_is_gone_on_with_after_its_last_event(scripted, context):
    async def ending(request, message):
        async with stream(request) as response:
            if request.method == "POST":
                await response.say(raw="id: e1\nretry: 60\ndata:\n\n")
            elif request.headers["Last-Event-ID"] == "e1":
                await response.say({"jsonrpc": "2.0", "method": "notifications/progress"}, id="e2")
            else:
                await response.say(result({"id": 2}, {"content": [request.headers["Last-Event-ID"]]}))
            return response

    async with scripted(ending) as server:
        assert await ask(server, context) == {"content": ["e2"]}
        assert [request.method for request in server.requests if request.method == "GET"] == ["GET"] * 2


async def test_a_stream_that_breaks_is_gone_on_with_too(scripted, context):
    async def breaking(request, message):
        async with stream(request) as response:
            if request.method == "POST":
                await response.say(raw="id: e1\nretry: 60\ndata:\n\n")
                request.transport.abort()
            else:
                await response.say(result({"id": 2}, {"content": []}))
            return response

    async with scripted(breaking) as server:
        assert await ask(server, context) == {"content": []}


async def test_a_stream_that_breaks_without_a_place_to_go_on_from_is_a_communication_fault(scripted, context):
    async def breaking(request, message):
        async with stream(request) as response:
            await response.say({"jsonrpc": "2.0", "method": "notifications/progress"})
            request.transport.abort()
            return response

    async with scripted(breaking) as server:
        await fault_of(ask(server, context), "communication")


async def test_a_stream_that_nobody_goes_on_with_is_a_communication_fault(scripted, context):
    async def forgetful(request, message):
        if request.method == "GET":
            return web.Response(status=405)
        async with stream(request) as response:
            await response.say(raw="id: e1\nretry: 60\ndata:\n\n")
            return response

    async with scripted(forgetful) as server:
        await fault_of(ask(server, context), "communication", 405)


def pages(number: int):
    """A list of *number* pages with two tools each; the cursor is the number of the page."""

    async def answer(request, message):
        page = int(message["params"].get("cursor", 0))
        found = {"tools": [{"name": f"t{page}a"}, {"name": f"t{page}b"}], "_meta": {"page": page}}
        more = {"nextCursor": str(page + 1)} if page + 1 < number else {}
        return web.json_response(result(message, {**found, **more}))

    return answer


async def test_all_pages_of_a_list_are_one_result(scripted, context):
    async with scripted(pages(3)) as server:
        found = await ask(server, context, "tools/list")
        assert [tool["name"] for tool in found["tools"]] == ["t0a", "t0b", "t1a", "t1b", "t2a", "t2b"]
        assert "nextCursor" not in found


async def test_with_a_cursor_a_list_is_that_page(scripted, context):
    async with scripted(pages(3)) as server:
        found = await ask(server, context, "tools/list", {"cursor": "1"})
        assert found == {"tools": [{"name": "t1a"}, {"name": "t1b"}], "_meta": {"page": 1}, "nextCursor": "2"}


async def test_a_list_without_end_is_a_communication_fault(scripted, context):
    async with scripted(pages(10**9)) as server:
        assert "more than 100 pages" in await fault_of(ask(server, context, "tools/list"), "communication")


async def test_a_list_that_is_too_large_is_a_communication_fault(scripted):
    async with Egress(max_response=400) as egress, scripted(pages(10**9)) as server:
        detail = await fault_of(ask(server, make_context(egress), "tools/list"), "communication")
        assert "the list is larger than 400 bytes" in detail


async def test_a_list_that_is_none_is_a_communication_fault(scripted, context):
    async with scripted(replies(lambda m: result(m, {"tools": {}}))) as server:
        assert "has no list of tools" in await fault_of(ask(server, context, "tools/list"), "communication")


@pytest.mark.parametrize("version", ["2099-01-01", None, 7])
async def test_a_server_of_another_version_is_not_asked(scripted, context, version):
    async with scripted(replies({}), opened={**OPENED, "protocolVersion": version}) as server:
        assert "the server speaks version" in await fault_of(ask(server, context), "communication")
        assert [request.method for request in server.requests] == ["POST", "DELETE"]


async def test_a_server_may_speak_an_older_version_than_it_was_asked_for(scripted, context):
    older = {**OPENED, "protocolVersion": "2025-03-26"}
    batch = replies(lambda m: [{"jsonrpc": "2.0", "method": "notifications/x"}, result(m, {"content": []})])
    async with scripted(batch, opened=older) as server:
        assert await ask(server, context) == {"content": []}
        assert server.last.headers["MCP-Protocol-Version"] == "2025-03-26"


@pytest.mark.parametrize("session", ["x" * 1001, "a\tb"])
async def test_the_id_of_a_session_is_bounded(scripted, context, session):
    async with scripted(replies({}), session=session) as server:
        assert "id of the session" in await fault_of(ask(server, context), "communication")


async def test_a_server_that_keeps_no_session_is_not_told_of_its_end(scripted, context):
    async with scripted(replies(lambda m: result(m, {"content": []})), session=None) as server:
        await ask(server, context)
        assert {request.method for request in server.requests} == {"POST"}


async def test_redirects_that_keep_the_method_are_followed(scripted, context):
    async def moved(request):
        raise web.HTTPTemporaryRedirect("/mcp")

    app = Scripted(replies(lambda m: result(m, {"content": []}))).app()
    app.router.add_route("*", "/", moved)
    async with serve(app) as server:
        given = {
            "method": "tools/call",
            "transport": {"http": {"endpoint": server.url}},
            "parameters": {"name": "x"},
        }
        assert await mcp.call(given, context) == {"content": []}


async def test_a_redirect_to_another_server_is_not_followed(context):
    async with serve(Scripted(replies({})).app()) as other:

        async def moved(request):
            raise web.HTTPTemporaryRedirect(f"{other.url}/mcp")

        app = web.Application()
        app.router.add_route("*", "/", moved)
        async with serve(app) as server:
            http = {"endpoint": server.url, "headers": {"X-Api-Key": "k"}}
            call = mcp.call({"method": "tools/list", "transport": {"http": http}}, context)
            assert "leads to another server" in await fault_of(call, "communication", 307)
            assert other.requests == []
