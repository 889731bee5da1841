"""Messages over HTTP and WebSocket, directly: a real server on loopback, on both runtimes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.web import Application, Response, StreamResponse, middleware
from aiohttp.web import Request as WebRequest

from tests.api.server import api
from tests.brokers import sources
from tests.brokers.documents import asyncapi, pinned, publishing, subscribing
from tests.brokers.hearer import heard, hearing, told
from tests.brokers.web import TOKEN, Web
from tests.events.conftest import eventually
from tests.running import PASSWORD
from tests.semantics.v1.documents import kind, workflow
from tests.standins.server import Server, serve
from workflow_engine.calls import retry_after
from workflow_engine.calls.brokers.inbox import Inbox
from workflow_engine.calls.retry_after import LEAST, MOST
from workflow_engine.errors import Unavailable, fault
from workflow_engine.events.router import Router
from workflow_engine.processes.ports import free_port

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""By which a server shows that it speaks WebSocket (RFC 6455, 1.3)."""


@pytest.fixture(autouse=True)
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_engine.calls.brokers.hearing.TELLING", 0.1)
    for name in ("PAUSE", "LEAST"):
        monkeypatch.setattr(f"workflow_engine.calls.brokers.http.{name}", 0.05)


@pytest.fixture
async def web() -> AsyncIterator[tuple[Web, Server]]:
    broker = Web()
    async with serve(broker.app()) as server:
        yield broker, server


def http(server: Server, **more: Any) -> dict[str, Any]:
    return pinned(asyncapi("http", server.address, path="/api", **more))


def ws(server: Server, **more: Any) -> dict[str, Any]:
    return pinned(asyncapi("ws", server.address, path="/ws", **more))


async def test_a_message_over_http_is_the_body_of_a_request(run: Any, web: Any) -> None:
    broker, server = web
    text = publishing("{payload: {n: '${ .n }'}, headers: {X-Trace: t-1}}")
    ended = await run(text, {"n": 7}, resources=http(server))
    assert (ended.status, ended.output) == ("completed", {"n": 7}), ended.error
    ((body, headers),) = broker.received
    assert json.loads(body) == {"n": 7}
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Trace"] == "t-1"
    assert headers["Idempotency-Key"] == f"{ended.run_id}/do/0/send"


async def test_what_does_not_fit_is_not_sent(run: Any, web: Any) -> None:
    broker, server = web
    resources = http(server, message={"payload": {"type": "object", "required": ["m"]}})
    ended = await run(publishing(), {"n": 1}, resources=resources)
    assert kind(ended.error) == "validation"
    assert "/payload" in ended.error["detail"]
    assert broker.received == []


async def test_a_refusal_over_http_is_a_fault_with_its_status(run: Any, web: Any) -> None:
    _, server = web
    ended = await run(publishing(), {"n": 1}, resources=http(server, address="nowhere"))
    assert (kind(ended.error), ended.error["status"]) == ("communication", 404)


async def test_the_binding_of_the_operation_names_the_method(run: Any, web: Any) -> None:
    _, server = web
    resources = http(server, operation={"bindings": {"http": {"method": "PUT"}}})
    ended = await run(publishing(), {"n": 1}, resources=resources)
    assert ended.error["status"] == 405
    assert server.last.method == "PUT"


async def test_server_sent_events_are_messages_and_go_on_where_they_broke(run: Any, web: Any) -> None:
    broker, server = web
    broker.breaks_after = 2
    for n in range(3):
        broker.give(json.dumps({"n": n}).encode())
    ended = await run(subscribing("{consume: {amount: 3}}"), resources=http(server))
    assert ended.status == "completed", ended.error
    assert [message["payload"]["n"] for message in ended.output] == [0, 1, 2]
    assert broker.listeners == 2


async def test_a_run_waits_for_a_stream_that_ended_as_long_as_its_server_says(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.calls.brokers.direct.PAUSES", (3600.0,))
    monkeypatch.setattr("workflow_engine.calls.brokers.http.PAUSE", 3600.0)
    asked: list[str | None] = []

    async def stream(request: WebRequest) -> StreamResponse:
        asked.append(request.headers.get("Last-Event-ID"))
        answer = StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        if len(asked) == 1:
            await answer.write(b'retry: 60\n\nid: a\ndata: {"n": 1}\n\ndata: {"n": 2}\n\n')
        else:
            await answer.write(b'data: {"n": 3}\n\n')
            await asyncio.sleep(0.5)
        return answer

    app = Application()
    app.router.add_get("/api/notes", stream)
    async with serve(app) as server, asyncio.timeout(30):
        ended = await run(subscribing("{consume: {amount: 3}}"), resources=http(server))
    assert ended.status == "completed", ended.error
    assert [message["payload"]["n"] for message in ended.output] == [1, 2, 3]
    assert asked == [None, "a"]


async def test_a_run_asks_a_busy_server_for_its_stream_again_when_that_says(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.calls.brokers.direct.PAUSES", (3600.0,))
    asked: list[str | None] = []

    async def stream(request: WebRequest) -> StreamResponse:
        asked.append(request.headers.get("Last-Event-ID"))
        if len(asked) in (2, 3):
            return Response(status=429 if len(asked) == 2 else 503, headers={"Retry-After": "0"})
        answer = StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b'id: %d\ndata: {"n": 1}\n\n' % len(asked))
        if len(asked) > 1:
            await asyncio.sleep(0.5)
        return answer

    app = Application()
    app.router.add_get("/api/notes", stream)
    async with serve(app) as server, asyncio.timeout(30):
        ended = await run(subscribing("{consume: {amount: 2}}"), resources=http(server))
    assert ended.status == "completed", ended.error
    assert asked == [None, "1", "1", "1"]


@pytest.mark.parametrize("protocol", ["http", "ws"])
async def test_a_source_asks_a_busy_server_again_when_that_says(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr("workflow_engine.calls.brokers.ear.PAUSES", (3600.0,))
    broker, asked = Web(), []
    broker.give(b'{"n": 1}')

    @middleware
    async def busy(request: WebRequest, handler: Any) -> Any:
        asked.append(request.path)
        return (
            await handler(request) if len(asked) > 2 else Response(status=503, headers={"Retry-After": "0"})
        )

    app = broker.app()
    app.middlewares.append(busy)
    path = "/api" if protocol == "http" else "/ws"
    async with serve(app) as server, asyncio.timeout(30):
        given = json.dumps({"path": path})
        async with hearing("memory:", protocol, server.port, "notes", given) as router:
            (event,) = await heard(router, 1)
            assert event["data"] == {"n": 1}
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("status", "told", "after"),
    [
        (503, "7", 7.0),
        (429, "0", LEAST),
        (429, "999999999999999", MOST),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", LEAST),
        (503, "soon", None),
        (503, None, None),
        (500, "7", None),
    ],
)
def test_how_long_a_busy_server_is_left_alone_is_bounded(
    status: int, told: str | None, after: float | None
) -> None:
    refusal = fault("communication", "no", status=status)
    found = retry_after.busy(refusal, status, None if told is None else {"Retry-After": told})
    assert retry_after.pause_after(found, -1.0) == (-1.0 if after is None else after)
    assert found.error == refusal.error


async def test_who_calls_may_be_a_secret_that_no_history_has(run: Any, web: Any) -> None:
    broker, server = web
    given = publishing(rest=", authentication: {basic: {use: LOGIN}}")
    header, _, body = given.partition("\n")
    ended = await run(f"{header}\nuse: {{secrets: [LOGIN]}}\n{body}", {"n": 1}, resources=http(server))
    assert ended.status == "completed", ended.error
    login = base64.b64encode(f"countess:{PASSWORD}".encode()).decode()
    assert broker.received[0][1]["Authorization"] == f"Basic {login}"
    if run.name == "temporal":
        history = "".join(map(str, await run.history(ended.run_id)))
        assert PASSWORD not in history
        assert login not in history


async def test_a_message_over_a_socket_is_sent_as_text(run: Any, web: Any) -> None:
    broker, server = web
    rest = f", authentication: {{bearer: {{token: {TOKEN}}}}}"
    ended = await run(publishing(rest=rest), {"n": 7}, resources=ws(server))
    assert ended.status == "completed", ended.error
    assert [json.loads(body) for body, _ in broker.received] == [{"n": 7}]


async def test_who_is_not_let_into_a_socket_gets_an_authentication_fault(run: Any, web: Any) -> None:
    _, server = web
    rest = ", authentication: {bearer: {token: wrong}}"
    for text in (publishing(rest=rest), subscribing("{consume: {amount: 1}}", rest=rest)):
        ended = await run(text, {"n": 7}, resources=ws(server))
        assert (kind(ended.error), ended.error["status"]) == ("authentication", 401)


async def test_a_socket_is_opened_where_the_document_says_and_not_where_a_redirect_leads(
    run: Any, web: Any
) -> None:
    """What follows a redirect by itself has asked nobody whether it may go there."""
    broker, server = web
    resources = pinned(asyncapi("ws", server.address, path="/ws", address="leads"))
    ended = await run(publishing(), {"n": 7}, resources=resources)
    assert kind(ended.error) == "communication"
    assert "redirect" in ended.error["detail"]
    assert (broker.led, broker.listeners, broker.received) == (1, 0, [])


async def test_what_a_socket_gives_is_taken_message_by_message(run: Any, web: Any) -> None:
    broker, server = web
    subscription = """{filter: '${ .payload.n > 0 }', consume: {while: '${ length < 2 }'},
      foreach: {item: m, do: [{twice: {set: {n: '${ $m.payload.n * 2 }'}}}]}}"""
    asyncio.get_running_loop().call_later(0.1, lambda: [broker.give(b'{"n": %d}' % n) for n in range(4)])
    ended = await run(subscribing(subscription), resources=ws(server))
    assert ended.status == "completed", ended.error
    assert ended.output == [{"n": 2}, {"n": 4}]


async def test_a_subscription_whose_time_is_up_ends_with_what_came(run: Any, web: Any) -> None:
    broker, server = web
    broker.give(b'{"n": 1}')
    ended = await run(subscribing("{consume: {for: PT2S, amount: 5}}"), resources=ws(server))
    assert ended.status == "completed", ended.error
    assert [message["payload"] for message in ended.output] == [{"n": 1}]


@pytest.mark.parametrize("named", ["operation: note", "channel: notes"])
@pytest.mark.parametrize(
    "endpoint",
    [
        "'${ .documents + \"asyncapi.json\" }'",
        "{uri: '%s/documents/{file}', authentication: {bearer: {token: '${ .token }'}}}",
    ],
)
async def test_a_document_that_only_the_call_can_find_or_open_is_fetched_by_it(
    run: Any, web: Any, endpoint: str, named: str
) -> None:
    broker, server = web
    broker.document = asyncapi("http", server.address, path="/api")
    broker.closed = "token" in endpoint
    where = endpoint.replace("%s", server.url)
    message = "message: {payload: {n: '${ .n }'}}"
    given = f"document: {{endpoint: {where}}}, {named}, server: {{name: here}}, {message}"
    data = {"n": 3, "documents": f"{server.url}/documents/", "file": "asyncapi.json", "token": TOKEN}
    ended = await run(workflow(f"do: [{{send: {{call: asyncapi, with: {{{given}}}}}}}]"), data)
    assert ended.status == "completed", ended.error
    assert [json.loads(body) for body, _ in broker.received] == [{"n": 3}]


async def test_a_document_without_the_operation_is_a_fault(run: Any, web: Any) -> None:
    broker, server = web
    broker.document = asyncapi("http", server.address)
    where = f"'${{ \"{server.url}/documents/asyncapi.json\" }}'"
    given = f"document: {{endpoint: {where}}}, operation: nope, message: {{}}"
    ended = await run(workflow(f"do: [{{send: {{call: asyncapi, with: {{{given}}}}}}}]"), {})
    assert kind(ended.error) == "configuration"
    assert "'nope'" in ended.error["detail"]


async def test_a_server_that_is_not_there_is_a_fault(run: Any) -> None:
    nobody = free_port()
    for protocol in ("http", "ws"):
        resources = pinned(asyncapi(protocol, f"127.0.0.1:{nobody}"))
        for text in (publishing(), subscribing("{consume: {amount: 1}}")):
            ended = await run(text, {"n": 1}, resources=resources)
            assert kind(ended.error) == "communication"


def note(n: int) -> bytes:
    return json.dumps({"n": n}).encode()


async def test_a_source_of_server_sent_events_goes_on_after_the_last_one_also_as_another_process(
    web: Any, tmp_path: Path
) -> None:
    broker, server = web
    broker.breaks_after = 2
    where = (
        f"sqlite:///{tmp_path / 'events.db'}",
        "http",
        server.port,
        "notes",
        json.dumps({"path": "/api"}),
    )
    for n in range(3):
        broker.give(note(n))
    async with hearing(*where) as router:
        events = await heard(router, 3)
        assert [event["data"]["n"] for event in events] == [0, 1, 2]
        assert [event["id"] for event in events] == ["0", "1", "2"]
        found = await told(router, lambda found: found.get("stored") == 3)
        assert (found["promise"], found["last_error"]) == ("exactly-once", None)
    broker.give(note(3))
    async with hearing(*where) as router:
        assert [event["data"]["n"] for event in await heard(router, 4)] == [0, 1, 2, 3]
        assert (await told(router, lambda found: found.get("stored") == 4))["duplicates"] == 0


async def test_a_source_of_server_sent_events_sees_what_kind_they_are_and_cloudevents_as_they_are() -> None:
    whole = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "noted", "data": {"n": 2}}

    async def stream(request: WebRequest) -> StreamResponse:
        answer = StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b'event: changed\ndata: {"n": 1}\n\ndata: %s\n\n' % json.dumps(whole).encode())
        await asyncio.sleep(60)
        return answer

    app = Application()
    app.router.add_get("/notes", stream)
    async with serve(app) as server:
        given = {"type": "${ $headers.event }"}
        async with hearing("memory:", "http", server.port, "notes", event=given) as router:
            first, second = await heard(router, 2)
            assert (first["type"], first["data"], second) == ("changed", {"n": 1}, whole)


async def test_a_stream_that_is_cut_off_goes_on_and_what_is_too_large_does_not_hold_it_up() -> None:
    """What stands between the two cuts a connection off in the middle; and what is asked for again comes again."""
    asked: list[str | None] = []

    async def stream(request: WebRequest) -> StreamResponse:
        asked.append(request.headers.get("Last-Event-ID"))
        answer = StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        if len(asked) == 1:
            await answer.write(
                'id: é-1\ndata: {"n": 1}\n\nid: é-2\ndata: '.encode() + b"x" * (9 * 1024 * 1024) + b"\n\n"
            )
        elif len(asked) == 2:
            await answer.write(b'data: {"n": 2}\n\ndata: cut')
        else:
            await answer.write('id: é-3\ndata: {"n": 3}\n\n'.encode())
            await asyncio.sleep(60)
        assert request.transport is not None
        request.transport.close()
        return answer

    app = Application()
    app.router.add_get("/notes", stream)
    async with serve(app) as server, hearing("memory:", "http", server.port, "notes") as router:
        assert [event["data"]["n"] for event in await heard(router, 3)] == [1, 2, 3]
        assert asked == [None, "é-2", "é-2"]
        found = await told(router, lambda found: found.get("stored") == 3)
        assert (found["dropped"], found["last_error"]) == (1, None)


async def test_a_source_tells_why_there_is_no_stream(web: Any) -> None:
    _, server = web
    async with api() as engine:
        document = asyncapi("http", server.address, address="nowhere", message={"payload": {}})
        await sources.put_document(engine, document)
        await sources.put(engine)
        found = await sources.status(engine, lambda found: found["state"] == "failing")
        assert "the answer is 404 text/plain, not a stream of events" in found["error"]
        assert (await engine.call("DELETE", "/v1/sources/notes")).status == 204


async def test_a_stream_that_is_silent_for_long_is_asked_for_again(
    web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.calls.brokers.http.SILENT", 0.2)
    _, server = web
    async with hearing("memory:", "http", server.port, "notes", json.dumps({"path": "/api"})) as router:
        found = await told(router, lambda found: found.get("last_error"))
        assert "nothing came for 0.2 seconds" in found["last_error"]
        await eventually(lambda: len(server.requests) > 1)


async def test_a_source_of_a_socket_hears_again_when_that_was_closed_and_each_cloudevent_once(
    web: Any,
) -> None:
    broker, server = web
    whole = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "noted", "data": {"n": 1}}
    envelope = {"message": {"contentType": "application/cloudevents+json", "payload": {}}, "path": "/ws"}
    broker.give(json.dumps(whole).encode())
    async with hearing("memory:", "ws", server.port, "notes", json.dumps(envelope)) as router:
        assert await heard(router, 1) == [whole]
        assert broker.offered == "cloudevents.json"
        await broker.sockets[0].close()
        broker.give(json.dumps({**whole, "id": "e-2"}).encode())
        assert [event["id"] for event in await heard(router, 2)] == ["e-1", "e-2"]
        found = await told(router, lambda found: found.get("duplicates") == 1)
        assert found["promise"] == "at-most-once"
        assert "closed the socket" in found["last_error"]


async def test_a_server_that_is_gone_now_and_then_is_heard_again_at_once(
    web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time is another trouble, if it was heard long enough in between; here that is any time."""
    monkeypatch.setattr("workflow_engine.calls.brokers.ear.PAUSES", (0.01, 3600.0))
    monkeypatch.setattr("workflow_engine.calls.brokers.ear.STEADY", 0.0)
    broker, server = web
    broker.give(b'{"n": 1}')
    async with hearing("memory:", "ws", server.port, "notes", json.dumps({"path": "/ws"})) as router:
        for n in range(4):
            await heard(router, n + 1)  # each socket gives it, once it is heard
            await broker.sockets[n].close()
        await eventually(lambda: len(broker.sockets) > 4)


async def test_a_socket_stays_open_while_nothing_can_be_stored_and_nothing_is_lost(
    web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes is not read then, and the answers to pings wait behind it: that is no reason to take it for dead."""
    monkeypatch.setattr("workflow_engine.calls.brokers.ws.PING_SECONDS", 0.2)
    broker, server = web
    for n in range(450):
        broker.give(json.dumps({"n": n, "pad": "x" * 40_000}).encode())
    away = asyncio.get_running_loop().time() + 1.0
    publish = Router.publish

    async def published(self: Router, *given: Any, **more: Any) -> Any:
        if asyncio.get_running_loop().time() < away:
            raise Unavailable("away")
        return await publish(self, *given, **more)

    monkeypatch.setattr(Router, "publish", published)
    async with hearing("memory:", "ws", server.port, "notes", json.dumps({"path": "/ws"})) as router:
        assert [event["data"]["n"] for event in await heard(router, 450)] == [*range(450)]
    assert broker.listeners == 1


async def test_a_socket_whose_server_is_silent_for_long_is_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be gone without a word, as behind a firewall that forgets connections."""
    monkeypatch.setattr("workflow_engine.calls.brokers.ws.PING_SECONDS", 0.1)
    asked = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        key = re.search(rb"(?i)sec-websocket-key: (\S+)", await reader.readuntil(b"\r\n\r\n"))
        assert key is not None
        accept = base64.b64encode(hashlib.sha1(key[1] + GUID, usedforsecurity=False).digest())
        writer.write(b"HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        asked += 1
        with contextlib.suppress(OSError):
            await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, hearing("memory:", "ws", server.sockets[0].getsockname()[1], "notes") as router:
        found = await told(router, lambda found: found.get("last_error"))
        assert "nothing came for 0.15 seconds, not even a pong" in found["last_error"]
        await eventually(lambda: asked > 1)


async def test_why_a_socket_was_closed_is_told(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_engine.calls.brokers.ear.PAUSES", (0.01,))
    broker, server = web
    async with hearing("memory:", "ws", server.port, "notes", json.dumps({"path": "/ws"})) as router:
        await eventually(lambda: broker.sockets)
        await broker.sockets[0].close(code=1008, message=b"the token\x1b[2J has\nexpired")
        found = await told(router, lambda found: found.get("last_error"))
        assert "the server has closed the socket (1008: the token?[2J has expired)" in found["last_error"]
        broker.give(b"x" * (9 * 1024 * 1024))
        found = await told(router, lambda found: "closed" not in found["last_error"])
        assert "exceeds limit" in found["last_error"]


async def test_what_waits_to_be_stored_is_bounded_and_who_sends_waits_too() -> None:
    inbox = Inbox[int](10, 100)
    await inbox.put(1, 200)
    waiting = asyncio.create_task(inbox.put(2, 1))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert await inbox.gathered(9) == [1]
    await waiting
    inbox.end()
    assert [await inbox.gathered(9), await inbox.gathered(9)] == [[2], []]
