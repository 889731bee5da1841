"""`wfe mcp` as an assistant uses it: with the client of the official SDK, over standard input and output."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client

from tests.api.documents import ON_EVENT, event
from tests.api.server import api
from tests.cli.command import WFE, environment
from workflow_engine.api.client import HttpApi
from workflow_engine.cli.mcp import MAX_LINE, Server
from workflow_engine.cli.mcp_tools import Tools, tool_name

SHOP = """
document: {dsl: '1.0.3', namespace: shop, name: double, version: '1.0.0', title: Double a number, summary: It is quick.}
input: {schema: {document: {type: object, properties: {n: {type: integer}}, required: [n]}}}
do: [{double: {set: {n: '${ .n * 2 }'}}}]
"""
WRAPPED = """
document: {dsl: '1.0.3', namespace: shop, name: first, version: '1.0.0'}
input: {schema: {document: {type: array, items: {type: string}}}}
do: [{take: {set: '${ .[0] }'}}]
"""
FAULTY = """
document: {dsl: '1.0.3', namespace: shop, name: 'faulty', version: '1.0.0'}
do: [{no: {raise: {error: {type: 'https://e.example/no', status: 418}}}}]
"""
CALLS = """
document: {dsl: '1.0.3', namespace: shop, name: calls, version: '1.0.0'}
do: [{ask: {call: http, with: {method: get, endpoint: 'https://x.invalid/'}}}]
"""


BATCH = b"""[{"jsonrpc": "2.0", "id": 7, "method": "ping"}, {"jsonrpc": "2.0", "method": "x"}, 8,
 {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "nobody"}}]"""


@asynccontextmanager
async def assistant(*options: str) -> AsyncIterator[ClientSession]:
    program, *arguments = WFE
    server = StdioServerParameters(command=program, args=[*arguments, "mcp", *options], env=environment())
    async with (
        stdio_client(server, errlog=sys.stderr) as (read, write),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        yield session


async def tool(session: ClientSession, tool: str, /, **arguments: Any) -> Any:
    """What a tool gives, as data."""
    result = await session.call_tool(tool, arguments)
    [content] = result.content
    told = json.loads(content.text) if content.text[:1] in "[{" else content.text  # type: ignore[union-attr]
    return (told, "error") if result.is_error else told


async def test_an_assistant_runs_workflows_follows_runs_and_publishes_events() -> None:
    async with api() as server:
        for text in (SHOP, WRAPPED, FAULTY, ON_EVENT):
            assert (await server.deploy(text)).status == 201
        async with assistant("--api-url", server.url) as session:
            tools = {each.name: each for each in (await session.list_tools()).tools}
            assert {"run_shop_double", "run_shop_first", "show_run", "validate_workflow"} <= set(tools)
            assert "deploy_workflow" not in tools
            double = tools["run_shop_double"]
            assert double.description == "Double a number. It is quick."
            assert double.input_schema["required"] == ["n"]
            done = await tool(session, "run_shop_double", n=21)
            assert (done["status"], done["output"]) == ("completed", {"n": 42})
            shown = await tool(session, "show_run", id=done["id"])
            assert shown["output"] == {"n": 42}
            assert (await tool(session, "run_shop_first", input=["a", "b"]))["output"] == "a"
            told, error = await tool(session, "run_shop_faulty")
            assert (told["error"]["status"], error) == (418, "error")
            told, _ = await tool(session, "show_run", id="nobody")
            assert told == {"error": "no run 'nobody'"}
            [accepted] = await tool(session, "publish_event", event=event("1"))
            assert accepted["duplicate"] is False
            [trace] = await tool(session, "trace_event", id="1")
            assert trace["event"]["id"] == "1"
            listed = await tool(session, "list_workflows", limit=2, namespace="shop")
            following = await tool(session, "list_workflows", limit=2, cursor=listed["cursor"])
            found = [each["name"] for each in [*listed["workflows"], *following["workflows"]]]
            assert set(found[:3]) == {"double", "faulty", "first"}
            assert (await tool(session, "show_workflow", namespace="shop", name="double"))["text"] == SHOP
            listed = await tool(session, "list_runs", limit=5)
            assert len(listed["runs"]) >= 3
            told, _ = await tool(session, "control_run", id=done["id"], command="explode")
            assert "is none of suspend" in told["error"]
            told, _ = await tool(session, "show_run", id=7)
            assert told == {"error": "id must be of type string"}
            told, _ = await tool(session, "show_run", name="x")
            assert told == {"error": "id is required"}


async def test_an_assistant_writes_a_workflow_without_any_server() -> None:
    async with assistant("--api-url", "http://127.0.0.1:1") as session:
        names = [each.name for each in (await session.list_tools()).tools]
        assert names == ["validate_workflow", "explain_problem", "draw_workflow", "test_workflow"]
        checked = await tool(session, "validate_workflow", workflow=CALLS.replace("call:", "cal:"))
        assert checked["valid"] is False
        [code, *_] = [each["code"] for each in checked["problems"]]
        assert await tool(session, "explain_problem", code=code)
        assert (await tool(session, "validate_workflow", workflow=CALLS)) == {"valid": True, "problems": []}
        assert (await tool(session, "draw_workflow", workflow=CALLS)).startswith("flowchart")
        scenarios = [
            {"name": "fine", "calls": {"ask": {"output": 1}}, "expect": {"output": 1}},
            {"name": "no answer"},
        ]
        tried = await tool(session, "test_workflow", workflow=CALLS, scenarios=scenarios)
        assert [each["passed"] for each in tried["scenarios"]] == [True, False]
        told, _ = await tool(session, "test_workflow", workflow=CALLS, scenarios=[{"nam": 1}])
        assert told["problems"][0]["code"] == "unknown-property"
        told, _ = await tool(session, "draw_workflow", workflow="do: [")
        assert told["problems"]
        told, _ = await tool(session, "list_runs")
        assert "http://127.0.0.1:1" in told["error"]


async def test_a_document_of_anybody_gets_at_no_file_and_no_private_address(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"type": "object", "required": ["hidden"]}')
    tools = Tools(HttpApi("http://127.0.0.1:1"), acts=False, deploys=False)
    for place, why in (
        (tmp_path / "secret.json", "a local file"),
        ("http://127.0.0.1:1/s", "private address"),
    ):
        schema = f"input: {{schema: {{resource: {{endpoint: '{place}'}}}}}}"
        text = "\n".join([*(line for line in SHOP.splitlines() if line[:6] != "input:"), schema])
        told: Any = await tools.call("test_workflow", {"workflow": text, "scenarios": [{"name": "n"}]})
        assert why in told["content"][0]["text"], told
        assert "hidden" not in json.dumps(told)


UNION = """
document: {dsl: '1.0.3', namespace: shop, name: either, version: '1.0.0', summary: '%s'}
input: {schema: {document: {type: object, oneOf: [{required: [a]}, {required: [b]}]}}}
do: [{take: {set: '${ {length: (. | tostring | length), text: ("x" * 300000)} }'}}]
""" % ("word " * 500)
TREE = """
document: {dsl: '1.0.3', namespace: shop, name: tree, version: '1.0.0'}
input: {schema: {document: {type: array, items: {$ref: '#/$defs/leaf'}, $defs: {leaf: {type: string}}}}}
do: [{take: {set: '${ .[0] }'}}]
"""


async def test_a_tool_has_a_schema_that_holds_and_says_and_gives_no_more_than_there_is_room_for() -> None:
    async with api() as server:
        for text in (UNION, TREE):
            assert (await server.deploy(text)).status == 201
        async with HttpApi(server.url) as client:
            tools = Tools(client, acts=True, deploys=False)
            listed: Any = {each["name"]: each for each in await tools.listed()}
            result: Any = await tools.call("run_shop_either", {"input": {"a": 1}})
    either, tree = listed["run_shop_either"], listed["run_shop_tree"]
    assert len(either["description"]) <= 1001
    assert [*either["inputSchema"]["properties"]] == ["input"]
    jsonschema.validate({"input": ["a"]}, tree["inputSchema"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"input": [1]}, tree["inputSchema"])
    text = result["content"][0]["text"]
    assert '"length": 7' in text
    assert "of which this is the beginning" in text
    assert len(text) < 210_000
    assert "structuredContent" not in result


def test_the_name_of_a_tool_is_of_one_workflow_whatever_else_is_deployed() -> None:
    assert tool_name("shop", "order") == "run_shop_order"
    names = [tool_name("default", name) for name in ("a b", "a-b", "a/b", "x" * 60, "x" * 61)]
    assert len(set(names)) == 5
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in names)


async def test_what_acts_is_left_out_where_it_is_not_wanted_and_deploying_is_there_where_it_is() -> None:
    async with api() as server:
        await server.deploy(SHOP)
        async with assistant("--api-url", server.url, "--read-only") as session:
            tools = (await session.list_tools()).tools
            assert not [
                each.name for each in tools if each.name.startswith(("run_", "control", "publish", "deploy"))
            ]
            with pytest.raises(Exception, match="there is no tool 'run_shop_double'"):
                await session.call_tool("run_shop_double", {"n": 1})
        async with assistant("--api-url", server.url, "--deploy") as session:
            deployed = await tool(session, "deploy_workflow", workflow=CALLS)
            assert (deployed["name"], deployed["created"]) == ("calls", True)
            assert "run_shop_calls" in [each.name for each in (await session.list_tools()).tools]
            told, _ = await tool(session, "deploy_workflow", workflow="a: 1")
            assert told["problems"][0]["code"] == "unknown-dialect"


async def test_what_is_no_request_is_told_so_and_a_cancelled_one_is_not_answered() -> None:
    written: list[Any] = []
    begun = asyncio.Event()

    async def listed() -> list[Any]:
        return []

    async def call(name: str, arguments: Any) -> Any:
        if name == "broken":
            raise RuntimeError("oh")
        if name == "nobody":
            raise LookupError("there is no tool 'nobody'")
        if name == "odd":
            return {"text": "\ud800"}
        begun.set()
        return await asyncio.get_running_loop().create_future()

    lines = [
        b"{",
        b"[]",
        b'{"jsonrpc": "2.0", "id": 1, "method": "nothing"}',
        b'{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": 1}}',
        b'{"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "broken"}}',
        b'{"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "long"}}',
        b'{"jsonrpc": "2.0", "id": 5, "method": "initialize", "params": {"protocolVersion": "1999-01-01"}}',
        b'{"jsonrpc": "2.0", "id": 6, "method": "ping"}',
        BATCH,
        b'[{"jsonrpc": "2.0", "method": "notifications/initialized"}]',
        b'{"jsonrpc": "2.0", "id": 10, "method": "tools/call", "params": {"name": "odd"}}',
        b'{"jsonrpc": "2.0", "method": "notifications/initialized"}',
        b"\n",
    ]

    async def read() -> bytes:
        if lines:
            return lines.pop(0)
        if begun.is_set():
            begun.clear()
            return b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 4}}'
        await asyncio.sleep(0.01)
        return b"x" * (MAX_LINE + 1)

    await Server(listed, call, lambda line: written.append(json.loads(line))).serve(read)
    [together] = [each for each in written if isinstance(each, list)]
    written.remove(together)
    assert sorted((each["id"] or 0, each.get("error", {}).get("code")) for each in together) == [
        *((0, -32600), (7, None), (9, -32602))
    ]
    assert {each["id"]: each["error"]["code"] for each in written if "error" in each and each["id"]} == {
        1: -32601,
        2: -32602,
        3: -32603,
        10: -32603,
    }
    assert [each["error"]["code"] for each in written if each["id"] is None] == [-32700, -32600, -32600]
    answers = {each["id"]: each["result"] for each in written if "result" in each}
    assert set(answers) == {5, 6}
    assert answers[5]["protocolVersion"] == "2025-11-25"


def test_a_server_that_nobody_talks_to_ends_by_an_interrupt_and_with_its_input() -> None:
    for ending in ("interrupt", "input"):
        server = subprocess.Popen(
            [*WFE, "mcp", "--api-url", "http://127.0.0.1:1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        assert b"waiting for an assistant" in server.stderr.readline()
        server.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        server.stdin.flush()
        assert json.loads(server.stdout.readline()) == {"jsonrpc": "2.0", "id": 1, "result": {}}
        if ending == "interrupt":
            server.send_signal(signal.SIGINT)
        else:
            server.stdin.close()
        assert server.wait(20) == (130 if ending == "interrupt" else 0)
        for stream in (server.stdin, server.stdout, server.stderr):
            stream.close()
