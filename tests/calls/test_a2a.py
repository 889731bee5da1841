"""``call: a2a`` against agents of the official SDK, and against agents that break the protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from tests.standins import agent
from tests.standins.asgi import AsgiThread
from tests.standins.server import Server, serve
from workflow_engine.calls import Egress, a2a


@contextmanager
def served(*versions: str, **options: Any) -> Iterator[Server]:
    where: list[str] = []
    with AsgiThread(lambda: agent.app(lambda: where[0], *versions, **options)) as server:
        where.append(server.url)
        yield server


@pytest.fixture(scope="module")
def older() -> Iterator[Server]:
    with served("0.3") as server:
        yield server


@pytest.fixture(scope="module")
def newer() -> Iterator[Server]:
    with served("1.0") as server:
        yield server


def text(words: str) -> dict[str, Any]:
    return {"message": {"parts": [{"kind": "text", "text": words}]}}


async def ask(agent_server, context, method: str, parameters=None, **instead):
    whom = instead or {"agentCard": {"endpoint": agent_server.url}}
    given = {} if parameters is None else {"parameters": parameters}
    return await a2a.call({"method": method, **given, **whom}, context)


def asked(server: Server) -> list[Any]:
    return [json.loads(request.body) for request in server.requests if request.method == "POST"]


async def test_the_output_is_the_result_of_json_rpc(older, context):
    answer = await ask(older, context, "message/send", text("hello"))
    assert answer == {
        "kind": "message",
        "messageId": "answer",
        "role": "agent",
        "parts": [{"kind": "text", "text": "you said hello"}],
    }


async def test_a_message_without_an_id_and_a_role_has_the_same_ones_at_every_attempt(older, egress):
    older.requests.clear()
    for key in ("run/do/0/a", "run/do/0/a", "run/do/0/b"):
        await ask(older, make_context(egress, idempotency_key=key), "message/send", text("hi"))
    messages = [message["params"]["message"] for message in asked(older)]
    assert [message["role"] for message in messages] == ["user"] * 3
    first, again, other = (message["messageId"] for message in messages)
    assert first == again != other
    keys = [request.headers["Idempotency-Key"] for request in older.requests if request.method == "POST"]
    assert keys == ["run/do/0/a", "run/do/0/a", "run/do/0/b"]


async def test_what_the_author_says_of_a_message_is_kept(older, context):
    older.requests.clear()
    own = {"messageId": "m-1", "role": "agent", "kind": "message"}
    parameters = {"message": {**own, **text("hi")["message"]}, "metadata": {"a": 1}}
    await ask(older, context, "message/send", parameters)
    assert asked(older)[-1]["params"] == parameters


async def test_a_stream_gives_all_results_in_their_order(older, context):
    task, working, *artifacts, completed = await ask(older, context, "message/stream", text("count 3"))
    assert (task["kind"], task["status"]["state"]) == ("task", "submitted")
    assert working["status"]["state"] == "working"
    assert [update["artifact"]["name"] for update in artifacts] == ["n3", "n2", "n1"]
    assert (completed["status"]["state"], completed["final"]) == ("completed", True)


async def test_a_stream_of_one_answer_is_a_list_too(older, context):
    [answer] = await ask(older, context, "message/stream", text("hello"))
    assert answer["kind"] == "message"


async def test_every_method_of_the_language_is_one_of_the_protocol(older, context):
    task = await ask(older, context, "message/send", text("count 2"))
    named, config = {"id": task["id"]}, {"id": "c", "url": "https://hook.example"}
    kept = {"taskId": task["id"], "pushNotificationConfig": config}
    assert await ask(older, context, "tasks/get", named) == task
    assert await ask(older, context, "tasks/pushNotificationConfig/set", kept) == kept
    one = {**named, "pushNotificationConfigId": "c"}
    assert await ask(older, context, "tasks/pushNotificationConfig/get", one) == kept
    assert await ask(older, context, "tasks/pushNotificationConfig/list", named) == [kept]
    assert await ask(older, context, "tasks/pushNotificationConfig/delete", one) is None
    assert await ask(older, context, "tasks/pushNotificationConfig/list", named) == []
    card = await ask(older, context, "agent/getAuthenticatedExtendedCard")
    assert card["description"] == "counts, for those who are known"


async def test_a_task_can_be_followed_and_cancelled(older, context):
    at_once = {"configuration": {"blocking": False}}
    task = await ask(older, context, "message/send", {**text("wait 1"), **at_once})
    assert task["status"]["state"] in {"submitted", "working"}
    following = asyncio.create_task(ask(older, context, "tasks/resubscribe", {"id": task["id"]}))
    while task["id"] not in agent.FOLLOWED:  # noqa: ASYNC110 - another thread
        await asyncio.sleep(0.02)
    cancelled = await ask(older, context, "tasks/cancel", {"id": task["id"]})
    assert cancelled["status"]["state"] == "canceled"
    assert (await following)[-1]["status"]["state"] == "canceled"


@pytest.mark.parametrize(
    ("method", "parameters", "status", "words"),
    [
        ("tasks/get", {"id": "nowhere"}, 404, "a2a tasks/get: error -32001: Task not found"),
        ("tasks/list", {"pageSize": 3}, 404, "error -32601"),
        ("tasks/get", {"name": "x"}, 400, "error -32600"),
        ("tasks/resubscribe", {"id": "nowhere"}, 404, "error -32001"),
    ],
)
async def test_a59_an_error_of_json_rpc_is_a_runtime_fault(older, context, method, parameters, status, words):
    assert words in await fault_of(ask(older, context, method, parameters), "runtime", status)


async def test_the_failure_of_a_task_is_a_result(newer, context):
    found = await ask(newer, context, "message/send", {"message": {"parts": [{"text": "count x"}]}})
    assert found["task"]["status"]["state"] == "TASK_STATE_FAILED"


async def test_an_agent_of_1_0_is_asked_by_the_names_of_1_0(newer, context):
    newer.requests.clear()
    sent = await ask(newer, context, "message/send", {"message": {"parts": [{"text": "count 1"}]}})
    assert sent["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    streamed = await ask(newer, context, "message/stream", {"message": {"parts": [{"text": "count 1"}]}})
    assert list(streamed[-1]) == ["statusUpdate"]
    id = sent["task"]["id"]
    assert (await ask(newer, context, "tasks/get", {"id": id}))["id"] == id
    assert len((await ask(newer, context, "tasks/list", {"pageSize": 1}))["tasks"]) == 1
    await fault_of(ask(newer, context, "tasks/cancel", {"id": id}), "runtime", 409)
    config = {"taskId": id, "id": "c", "url": "https://hook.example"}
    assert await ask(newer, context, "tasks/pushNotificationConfig/set", config) == config
    one = {"taskId": id, "id": "c"}
    assert await ask(newer, context, "tasks/pushNotificationConfig/get", one) == config
    listed = await ask(newer, context, "tasks/pushNotificationConfig/list", {"taskId": id})
    assert listed["configs"] == [config]
    assert await ask(newer, context, "tasks/pushNotificationConfig/delete", one) is None
    assert (await ask(newer, context, "agent/getAuthenticatedExtendedCard"))["name"] == "Countdown"
    assert {message["method"] for message in asked(newer)} == set(a2a.MODERN_NAMES.values()) - {
        "SubscribeToTask"
    }
    posts = [request for request in newer.requests if request.method == "POST"]
    assert {request.headers["A2A-Version"] for request in posts} == {"1.0"}
    assert asked(newer)[0]["params"]["message"]["role"] == "ROLE_USER"


async def test_of_two_versions_the_older_is_spoken_but_for_what_only_the_newer_has(context):
    with served("1.0", "0.3") as server:
        assert (await ask(server, context, "message/send", text("hello")))["kind"] == "message"
        assert (await ask(server, context, "tasks/list", {"pageSize": 1}))["tasks"] == []


async def test_an_agent_can_be_called_without_its_card(older, context):
    older.requests.clear()
    answer = await ask(older, context, "message/send", text("hello"), server=f"{older.url}/a2a")
    assert answer["messageId"] == "answer"
    assert [request.method for request in older.requests] == ["POST"]


async def test_a_card_is_fetched_once_for_calls_shortly_after_each_other(older, context):
    older.requests.clear()
    for _ in range(3):
        await ask(older, context, "message/send", text("hello"))
    fetched = [request.target for request in older.requests if request.method == "GET"]
    assert fetched == ["/.well-known/agent-card.json"]


async def test_an_agent_that_is_not_there_is_a_communication_fault(context):
    for whom in ({"server": "http://127.0.0.1:9"}, {"agentCard": {"endpoint": "http://127.0.0.1:9"}}):
        assert "cannot connect" in await fault_of(
            ask(None, context, "tasks/get", {"id": "x"}, **whom), "communication"
        )


async def test_an_agent_that_takes_too_long_is_a_communication_fault(older, egress):
    call = ask(older, make_context(egress, timeout=0.4), "message/send", text("wait 1"))
    assert await fault_of(call, "communication") == "a2a message/send: no complete answer within 0.4 seconds"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "message/sent"}, "method must be one of"),
        ({"parameters": "x"}, "parameters must be an object"),
        ({"parameters": {"message": "x"}}, "the message must be an object"),
        ({"server": "nowhere"}, "cannot be called"),
        ({"server": None}, "must be a string"),
        ({"agent": "x"}, "no argument 'agent'"),
    ],
)
async def test_arguments_that_cannot_be_are_refused(context, changes, words):
    arguments = {"method": "message/send", "server": "http://127.0.0.1:9", "parameters": text("x"), **changes}
    assert words in await fault_of(a2a.call(arguments, context), "configuration")


def answering(body: str, *, type: str = "application/json", status: int = 200):
    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=body, status=status, content_type=type)

    app = web.Application()
    app.router.add_post("/", handle)
    return app


RESULT = '{"jsonrpc": "2.0", "id": 1, "result": {"kind": "task"}}'


@pytest.mark.parametrize(
    ("body", "options", "words"),
    [
        ("<html>", {}, "the answer is not JSON"),
        ('{"id": 1, "result": {}}', {}, "no message of JSON-RPC 2.0"),
        ('{"jsonrpc": "2.0", "id": 7, "result": {}}', {}, "not the one to this request"),
        (f"[{RESULT}, {RESULT}]", {}, "not the one to this request"),
        ("who are you?", {"status": 401}, "401 Unauthorized: who are you?"),
        ("data: x\n\n", {"type": "text/event-stream"}, "the answer is not JSON"),
        (f"data: {RESULT}\n\n" * 10_001, {"type": "text/event-stream"}, "more than 10000 results"),
    ],
)
async def test_an_answer_that_is_none_is_a_communication_fault(context, body, options, words):
    async with serve(answering(body, **options)) as server:
        call = ask(server, context, "message/stream", text("x"), server=server.url)
        assert words in await fault_of(call, "communication")


async def test_a_stream_where_none_was_asked_for_is_a_communication_fault(context):
    async with serve(answering(f"data: {RESULT}\n\n", type="text/event-stream")) as server:
        call = ask(server, context, "message/send", text("x"), server=server.url)
        assert "is an event stream" in await fault_of(call, "communication")


async def test_an_error_in_a_stream_is_the_outcome(context):
    failed = '{"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "boom"}}'
    async with serve(answering(f"data: {RESULT}\n\ndata: {failed}\n\n", type="text/event-stream")) as server:
        call = ask(server, context, "message/stream", text("x"), server=server.url)
        assert await fault_of(call, "runtime", 500) == "a2a message/stream: error -32603: boom"


async def streaming(piece: bytes, context, *, pause: float = 0.0, then_break: bool = False):
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(piece)
        while not then_break:
            await asyncio.sleep(pause)
            await response.write(piece if not pause else b": here\n\n")
        request.transport.abort()
        return response

    app = web.Application()
    app.router.add_post("/", handle)
    async with serve(app) as server:
        return await ask(server, context, "message/stream", text("x"), server=server.url)


async def test_a_stream_without_end_is_not_read_to_its_end():
    async with Egress(max_response=100_000) as egress:
        call = streaming(f"data: {RESULT}\n\n".encode() * 10, make_context(egress))
        assert "larger than 100000 bytes" in await fault_of(call, "communication")


async def test_a_stream_that_breaks_is_a_communication_fault(context):
    await fault_of(streaming(f"data: {RESULT}\n\n".encode(), context, then_break=True), "communication")


async def test_a_stream_is_over_with_its_final_event_even_if_the_agent_leaves_it_open(context):
    final = {"kind": "status-update", "final": True, "status": {"state": "completed"}}
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "result": final})
    found = await streaming(f"data: {RESULT}\n\ndata: {message}\n\n".encode(), context, pause=0.05)
    assert found == [{"kind": "task"}, final]
