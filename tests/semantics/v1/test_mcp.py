"""``call: mcp`` in workflows: what its arguments mean, on both runtimes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.running import KEY
from tests.semantics.v1.documents import error, kind, output, problems
from tests.standins import mcp_server
from tests.standins.asgi import AsgiThread
from tests.standins.server import Server
from workflow_engine import dsl


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with AsgiThread(mcp_server.app) as running:
        yield running


def call(server: Server, rest: str) -> str:
    http = f"transport: {{http: {{endpoint: '{server.url}/mcp'}}}}"
    return f"do: [{{ask: {{call: mcp, with: {{{http}, {rest}}}}}}}]"


async def test_the_output_of_a_call_is_the_result_of_json_rpc(run: Any, server: Server) -> None:
    body = call(server, "method: tools/call, parameters: {name: add, arguments: {a: '${ .n }', b: 2}}")
    result = await output(run, body, {"n": 40})
    assert result["structuredContent"] == {"result": 42}


async def test_parameters_may_be_an_expression(run: Any, server: Server) -> None:
    body = call(server, "method: tools/call, parameters: '${ {name: .tool, arguments: .given} }'")
    result = await output(run, body, {"tool": "add", "given": {"a": 1, "b": 1}})
    assert result["structuredContent"] == {"result": 2}


async def test_a59_an_error_of_json_rpc_is_a_runtime_error(run: Any, server: Server) -> None:
    found = await error(run, call(server, "method: resources/read, parameters: {uri: 'nowhere://x'}"))
    assert (kind(found), found["status"], found["instance"]) == ("runtime", 400, "/do/0/ask")


async def test_a59_a_server_that_is_not_there_is_a_communication_error(run: Any) -> None:
    transport = "transport: {http: {endpoint: 'http://127.0.0.1:9'}}"
    body = f"do: [{{ask: {{call: mcp, with: {{method: tools/list, {transport}}}}}}}]"
    assert kind(await error(run, body)) == "communication"


async def test_the_failure_of_a_tool_is_data_that_the_workflow_may_judge(run: Any, server: Server) -> None:
    judge = "{judge: {switch: [{failed: {when: .isError, then: complain}}]}}"
    raised = "{type: 'https://e.example/tool', status: 502, detail: '${ .content[0].text }'}"
    body = call(server, "method: tools/call, parameters: {name: fail}").removesuffix("]")
    body += f", {judge}, {{complain: {{raise: {{error: {raised}}}}}}}]"
    found = await error(run, body)
    assert (found["type"], found["status"]) == ("https://e.example/tool", 502)
    assert "fail" in found["detail"]


async def test_the_timeout_of_a_call_is_a_timeout_error(run: Any, server: Server) -> None:
    parameters = "parameters: {name: slow, arguments: {seconds: 60}}"
    found = await error(run, call(server, f"method: tools/call, timeout: PT0.5S, {parameters}"))
    assert (kind(found), found["status"], found["instance"]) == ("timeout", 408, "/do/0/ask")


async def test_the_timeout_of_a_call_may_be_computed_and_the_task_may_have_a_smaller_one(
    run: Any, server: Server
) -> None:
    parameters = "parameters: {name: slow, arguments: {seconds: 60}}"
    body = call(server, f"method: tools/call, timeout: '${{ .limit }}', {parameters}")
    assert kind(await error(run, body, {"limit": "PT0.5S"})) == "timeout"
    smaller = body.replace("{call: mcp", "{timeout: {after: PT0.5S}, call: mcp")
    assert kind(await error(run, smaller, {"limit": "PT1H"})) == "timeout"


async def test_a_call_may_take_longer_than_the_usual_time_when_its_arguments_or_its_task_say_so(
    run: Any, server: Server
) -> None:
    run.egress.seconds = 0.4
    body = call(server, "method: tools/call, parameters: {name: slow, arguments: {seconds: 1}}")
    assert kind(await error(run, body)) == "communication"
    of_the_call = body.replace("method:", "timeout: PT20S, method:")
    of_the_task = body.replace("{call: mcp", "{timeout: {after: PT20S}, call: mcp")
    for longer in (of_the_call, of_the_task):
        assert (await output(run, longer))["structuredContent"] == {"result": "done"}


async def test_a_long_call_is_made_once_for_its_worker_tells_that_it_is_at_it(
    run: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.runtimes.temporal.calling.HEARTBEAT", timedelta(seconds=1))
    monkeypatch.setattr("workflow_engine.runtimes.temporal.attempts.HEARTBEAT_SECONDS", 0.2)
    server.requests.clear()
    body = call(
        server, "method: tools/call, parameters: {name: slow, arguments: {seconds: 3}}, timeout: PT1H"
    )
    assert (await output(run, body))["structuredContent"] == {"result": "done"}
    assert sum(b"tools/call" in request.body for request in server.requests) == 1


async def test_a_call_that_nobody_waits_for_any_more_is_withdrawn(
    run: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.runtimes.temporal.calling.HEARTBEAT", timedelta(seconds=1))
    monkeypatch.setattr("workflow_engine.runtimes.temporal.attempts.HEARTBEAT_SECONDS", 0.2)
    server.requests.clear()
    given = "method: tools/call, parameters: {name: slow, arguments: {seconds: %d}}"
    slow, fast = (
        call(server, given % seconds).removeprefix("do: [").removesuffix("]") for seconds in (60, 1)
    )
    race = f"fork: {{compete: true, branches: [{slow}, {fast.replace('ask:', 'fast:')}]}}"
    assert (await output(run, f"do: [{{race: {{{race}}}}}]"))["structuredContent"] == {"result": "done"}
    while [request.method for request in server.requests].count("DELETE") < 2:  # noqa: ASYNC110 - another thread
        await asyncio.sleep(0.05)
    assert sum(b"notifications/cancelled" in request.body for request in server.requests) == 1
    assert server.last.method == "DELETE"


async def test_the_address_and_who_calls_are_those_of_any_endpoint(run: Any, server: Server) -> None:
    server.requests.clear()
    port = server.port
    uses = "use: {authentications: {me: {bearer: {token: '${ .token }'}}}}\n"
    endpoint = f"{{uri: 'http://127.0.0.1:{port}/{{path}}', authentication: {{use: me}}}}"
    given = f"{{method: tools/list, transport: {{http: {{endpoint: {endpoint}}}}}}}"
    body = uses + f"do: [{{ask: {{call: mcp, with: {given}}}}}]"
    await output(run, body, {"path": "mcp", "token": "abc"})
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer abc"}


SAYS_ITS_KEY = """
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    result = {"protocolVersion": "2025-06-18"}
    if asked["method"] == "resources/read":
        result = {"key": os.environ["KEY"], "length": len(os.environ["KEY"])}
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


async def test_secrets_are_known_to_the_server_and_hidden_in_what_it_says(run: Any) -> None:
    given = {
        "method": "resources/read",
        "parameters": {"uri": "x"},
        "transport": {
            "stdio": {
                "command": sys.executable,
                "arguments": ["-c", SAYS_ITS_KEY],
                "environment": {"KEY": "${ $secrets.key }"},
            }
        },
    }
    body = f"use: {{secrets: [key]}}\ndo: [{{ask: {{call: mcp, with: {json.dumps(given)}}}}}]"
    assert await output(run, body) == {"key": "[redacted]", "length": len(KEY)}


async def test_the_example_of_the_specification_runs_with_a_command_that_is_there(
    run: Any, spec: Path, tmp_path: Path
) -> None:
    text = (spec / "1.0" / "examples" / "call-mcp.yaml").read_text()
    assert dsl.check(dsl.parse(text)) == []
    stand_in = tmp_path / "npx"
    stand_in.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    result = {'protocolVersion': '2025-06-18'}\n"
        "    if asked['method'] == 'tools/call':\n"
        "        said = asked['params']['arguments']['payload']\n"
        "        result = {'content': [said, sys.argv[1:], os.environ['SLACK_MCP_XOXP_TOKEN'][:4]]}\n"
        "    if 'id' in asked:\n"
        "        print(json.dumps({'jsonrpc': '2.0', 'id': asked['id'], 'result': result}), flush=True)\n"
    )
    stand_in.chmod(0o700)
    ended = await run(text.replace("command: npx", f"command: {stand_in}"))
    assert ended.status == "completed", ended.error
    words = ["slack-mcp-serverr@latest", "--transport", "stdio"]
    assert ended.output == {"content": ["Hello, world! :wave:", words, "xoxp"]}


@pytest.mark.parametrize(
    ("rest", "code", "words"),
    [
        ("method: tools/cal", "invalid-value", "tools/call"),
        ("method: tools/call", "missing-property", "`tools/call` needs `name`"),
        ("method: resources/read, parameters: {name: x}", "missing-property", "`resources/read` needs `uri`"),
        ("method: tools/list, client: {name: me}", "missing-property", "`version`"),
        ("method: tools/list, client: {name: me, version: 1.0}", "unquoted-version", ""),
        ("method: tools/list, tool: x", "unknown-property", "tool"),
        ("method: tools/list, timeout: 5 minutes", "invalid-duration", ""),
    ],
)
def test_a60_arguments_are_checked_when_the_document_is_loaded(rest: str, code: str, words: str) -> None:
    body = f"do: [{{a: {{call: mcp, with: {{transport: {{stdio: {{command: x}}}}, {rest}}}}}}}]"
    [problem] = problems(body)
    assert problem.code == code
    assert words in problem.message


def test_a_transport_is_one_of_two() -> None:
    body = "do: [{a: {call: mcp, with: {method: tools/list, transport: %s}}}]"
    both = "{stdio: {command: x}, http: {endpoint: 'https://x.example'}}"
    assert [problem.code for problem in problems(body % both)] == ["conflicting-properties"]
    assert [problem.code for problem in problems(body % "{}")] == ["missing-property"]
    header = "{http: {endpoint: 'https://x.example', headers: {Mcp-Session-Id: x}}}"
    assert [problem.code for problem in problems(body % header)] == ["invalid-value"]
