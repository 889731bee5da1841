"""``call: mcp`` over HTTP, against a server of the official SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from tests.standins import mcp_server
from tests.standins.asgi import AsgiThread
from tests.standins.server import Server
from workflow_engine.calls import mcp
from workflow_engine.calls.mcp import METHODS
from workflow_engine.dsl.v1.mcp import VERSIONS


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with AsgiThread(mcp_server.app) as running:
        yield running


@pytest.fixture
def ask(server: Server, context):
    """Call one method of the stand-in; the list of its requests begins anew."""
    server.requests.clear()

    async def call(method: str, parameters=None, *, headers=None, **arguments):
        http = {"endpoint": f"{server.url}/mcp", **({} if headers is None else {"headers": headers})}
        given = {"method": method, "transport": {"http": http}, **arguments}
        if parameters is not None:
            given["parameters"] = parameters
        return await mcp.call(given, context)

    return call


def said(server: Server) -> list[str]:
    """What the server has been told, in order: the methods of messages, and of other requests."""
    return [
        json.loads(request.body)["method"] if request.method == "POST" else request.method
        for request in server.requests
    ]


async def test_a_session_begins_with_initialize_and_is_ended_with_the_call(ask, server):
    await ask("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
    assert said(server) == ["initialize", "notifications/initialized", "tools/call", "DELETE"]
    first, *others = server.requests
    opening = json.loads(first.body)["params"]
    assert opening["protocolVersion"] == "2025-06-18"
    assert opening["capabilities"] == {}
    assert opening["clientInfo"]["name"] == "wfe"
    assert "Mcp-Session-Id" not in first.headers
    assert len({request.headers["Mcp-Session-Id"] for request in others}) == 1
    assert {request.headers["MCP-Protocol-Version"] for request in others} == {"2025-06-18"}


async def test_the_output_is_the_result(ask):
    result = await ask("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
    assert result == {
        "content": [{"type": "text", "text": "3"}],
        "structuredContent": {"result": 3},
        "isError": False,
    }


async def test_every_method_has_its_result(ask):
    given = {
        "tools/call": {"name": "words"},
        "prompts/get": {"name": "greet", "arguments": {"name": "Ada"}},
        "resources/read": {"uri": "memo://monday"},
    }
    results = {method: await ask(method, given.get(method)) for method in METHODS}
    assert {tool["name"] for tool in results["tools/list"]["tools"]} >= {"add", "slow"}
    assert [prompt["name"] for prompt in results["prompts/list"]["prompts"]] == ["greet"]
    assert [item["uri"] for item in results["resources/list"]["resources"]] == ["memo://today"]
    templates = results["resources/templates/list"]["resourceTemplates"]
    assert [item["uriTemplate"] for item in templates] == ["memo://{day}"]
    assert results["prompts/get"]["messages"][0]["content"]["text"] == "Say hello to Ada."
    assert results["resources/read"]["contents"][0]["text"] == "memo of monday"
    assert results["tools/call"]["isError"] is False


async def test_a_tool_that_says_that_it_failed_has_a_result(ask):
    result = await ask("tools/call", {"name": "fail"})
    assert result["isError"] is True
    assert "fail" in result["content"][0]["text"]


async def test_a59_an_error_of_json_rpc_is_a_runtime_fault(ask):
    detail = await fault_of(ask("resources/read", {"uri": "nowhere://x"}), "runtime", 400)
    assert detail.startswith("mcp resources/read: error -32602: Unknown resource: nowhere://x")


async def test_a59_a_server_that_cannot_be_reached_is_a_communication_fault(ask, context):
    arguments = {"method": "tools/list", "transport": {"http": {"endpoint": "http://127.0.0.1:9/mcp"}}}
    assert "cannot connect" in await fault_of(mcp.call(arguments, context), "communication", 500)


async def test_a59_a_refusal_by_http_is_a_communication_fault_with_its_status(server, context):
    arguments = {"method": "tools/list", "transport": {"http": {"endpoint": f"{server.url}/elsewhere"}}}
    assert "404 Not Found" in await fault_of(mcp.call(arguments, context), "communication", 404)


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_version_of_the_protocol_is_the_authors(ask, server, version):
    assert await ask("tools/list", protocolVersion=version)
    assert json.loads(server.requests[0].body)["params"]["protocolVersion"] == version
    assert server.last.headers["MCP-Protocol-Version"] == version


async def test_the_client_is_called_what_the_author_calls_it(ask, server):
    await ask("tools/list", client={"name": "me", "version": "9"})
    assert json.loads(server.requests[0].body)["params"]["clientInfo"] == {"name": "me", "version": "9"}


async def test_headers_go_with_every_request(ask, server):
    await ask("tools/list", headers={"X-Tenant": "blue"})
    assert {request.headers["X-Tenant"] for request in server.requests} == {"blue"}


@pytest.mark.parametrize("name", ["Mcp-Session-Id", "accept", "MCP-Protocol-Version"])
async def test_headers_of_the_protocol_are_the_engines(ask, name):
    assert name.title() in (await fault_of(ask("tools/list", headers={name: "x"}), "configuration")).title()


async def test_credentials_go_with_every_request(server, context):
    server.requests.clear()
    endpoint = {"uri": f"{server.url}/mcp", "authentication": {"bearer": {"token": "t0ken"}}}
    await mcp.call({"method": "tools/list", "transport": {"http": {"endpoint": endpoint}}}, context)
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer t0ken"}


async def test_a_tool_is_told_what_makes_a_second_attempt_known(ask, server, context):
    result = await ask("tools/call", {"name": "meta"})
    assert result["structuredContent"] == {"idempotencyKey": context.idempotency_key}
    posted = next(request for request in server.requests if b"tools/call" in request.body)
    assert posted.headers["Idempotency-Key"] == f"{context.idempotency_key}/2"


async def test_what_the_author_says_about_a_request_is_kept(ask):
    result = await ask("tools/call", {"name": "meta", "_meta": {"idempotencyKey": "mine", "trace": "1"}})
    assert result["structuredContent"] == {"idempotencyKey": "mine", "trace": "1"}


async def test_progress_is_no_answer(ask):
    result = await ask(
        "tools/call", {"name": "slow", "arguments": {"seconds": 0.2}, "_meta": {"progressToken": 1}}
    )
    assert result["structuredContent"] == {"result": "done"}


async def test_a_call_that_takes_too_long_is_withdrawn_and_its_session_ended(server, egress):
    server.requests.clear()
    arguments = {
        "method": "tools/call",
        "parameters": {"name": "slow", "arguments": {"seconds": 30}},
        "transport": {"http": {"endpoint": f"{server.url}/mcp"}},
    }
    call = mcp.call(arguments, make_context(egress, timeout=0.5))
    assert "within 0.5 seconds" in await fault_of(call, "communication")
    assert said(server)[2:] == ["tools/call", "notifications/cancelled", "DELETE"]


@pytest.mark.parametrize("options", [{"json_response": True}, {"stateless": True}])
async def test_servers_answer_as_json_and_without_sessions_too(context, options):
    with AsgiThread(partial(mcp_server.app, **options)) as server:
        arguments = {
            "method": "tools/call",
            "parameters": {"name": "add", "arguments": {"a": 2, "b": 2}},
            "transport": {"http": {"endpoint": f"{server.url}/mcp"}},
        }
        result = await mcp.call(arguments, context)
        assert result["structuredContent"] == {"result": 4}
        assert ("DELETE" in said(server)) is ("json_response" in options)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "tools/run"}, "method must be one of"),
        ({"protocolVersion": "2099-01-01"}, "protocolVersion must be one of"),
        ({"parameters": [1]}, "parameters must be an object, not an array"),
        ({"client": {"name": "me"}}, "client: version must be a string, not null"),
        ({"transport": {}}, "the transport must be http or stdio"),
        ({"transport": {"http": {"endpoint": "nowhere"}}}, "cannot be called"),
        ({"transport": {"http": {"endpoint": "http://x.example", "verb": 1}}}, "no argument 'verb'"),
        ({"tool": "x"}, "no argument 'tool'"),
    ],
)
async def test_arguments_that_cannot_be_are_refused(context, changes, words):
    transport = {"http": {"endpoint": "http://127.0.0.1:9"}}
    arguments = {"method": "tools/list", "transport": transport, **changes}
    assert words in await fault_of(mcp.call(arguments, context), "configuration")


async def test_a_server_may_not_be_called_where_the_operator_does_not_let_workflows(context):
    arguments = {"method": "tools/list", "transport": {"http": {"endpoint": "http://169.254.169.254/mcp"}}}
    await fault_of(mcp.call(arguments, context), "authorization", 403)
