"""``call: a2a`` in workflows: what its arguments mean, on both runtimes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.running import KEY
from tests.semantics.v1.documents import error, kind, output, problems, warnings
from tests.standins import agent
from tests.standins.asgi import AsgiThread
from tests.standins.server import Server

COUNT = "parameters: {message: {parts: [{kind: text, text: '${ \"count \\(.n)\" }'}]}}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    where: list[str] = []
    with AsgiThread(lambda: agent.app(lambda: where[0], "0.3")) as running:
        where.append(running.url)
        yield running


def call(server: Server, rest: str) -> str:
    return f"do: [{{ask: {{call: a2a, with: {{agentCard: {{endpoint: '{server.url}'}}, {rest}}}}}}}]"


async def test_the_output_of_a_call_is_the_result_of_json_rpc(run: Any, server: Server) -> None:
    task = await output(run, call(server, f"method: message/send, {COUNT}"), {"n": 2})
    assert (task["kind"], task["status"]["state"]) == ("task", "completed")
    assert [artifact["parts"][0]["text"] for artifact in task["artifacts"]] == ["2", "1"]


async def test_the_output_of_a_stream_is_the_list_of_its_results(run: Any, server: Server) -> None:
    results = await output(run, call(server, f"method: message/stream, {COUNT}"), {"n": 2})
    assert [result["kind"] for result in results] == [
        "task",
        "status-update",
        "artifact-update",
        "artifact-update",
        "status-update",
    ]


async def test_parameters_may_be_an_expression(run: Any, server: Server) -> None:
    parameters = "parameters: '${ {message: {parts: [{kind: \"text\", text: .words}]}} }'"
    answer = await output(run, call(server, f"method: message/send, {parameters}"), {"words": "hi there"})
    assert answer["parts"] == [{"kind": "text", "text": "you said hi there"}]


async def test_a_message_has_an_id_and_a_role_by_itself(run: Any, server: Server) -> None:
    task = await output(run, call(server, f"method: message/send, {COUNT}"), {"n": 0})
    [message] = task["history"]
    assert message["role"] == "user"
    assert len(message["messageId"]) == 36


async def test_a59_an_error_of_json_rpc_is_a_runtime_error(run: Any, server: Server) -> None:
    found = await error(run, call(server, "method: tasks/get, parameters: {id: nowhere}"))
    assert (kind(found), found["status"], found["instance"]) == ("runtime", 404, "/do/0/ask")


async def test_a59_an_agent_that_is_not_there_is_a_communication_error(run: Any) -> None:
    given = "{server: 'http://127.0.0.1:9', method: tasks/get, parameters: {id: x}}"
    assert kind(await error(run, f"do: [{{ask: {{call: a2a, with: {given}}}}}]")) == "communication"


async def test_an_agent_can_be_named_by_its_address_alone(run: Any, server: Server) -> None:
    server.requests.clear()
    endpoint = f"{{uri: 'http://127.0.0.1:{server.port}/{{path}}', authentication: {{use: me}}}}"
    body = (
        "use: {authentications: {me: {bearer: {token: '${ $secrets.key | @base64 }'}}}, secrets: [key]}\n"
        f"do: [{{ask: {{call: a2a, with: {{server: {endpoint}, method: message/send, {COUNT}}}}}}}]"
    )
    task = await output(run, body, {"path": "a2a", "n": 1})
    assert task["status"]["state"] == "completed"
    [request] = server.requests
    assert KEY not in request.headers["Authorization"]
    assert request.headers["Authorization"].startswith("Bearer ")


async def test_the_server_is_ignored_beside_the_card(run: Any, server: Server) -> None:
    body = call(server, f"method: message/send, server: 'http://127.0.0.1:9', {COUNT}")
    assert warnings(body) == ["ignored-property"]
    assert (await output(run, body, {"n": 0}))["kind"] == "task"


async def test_the_time_of_a_call_is_that_of_its_task(run: Any, server: Server) -> None:
    body = call(server, "method: message/send, parameters: {message: {parts: [{kind: text, text: wait 1}]}}")
    body = body.replace("{call: a2a", "{timeout: {after: PT0.5S}, call: a2a")
    found = await error(run, body)
    assert (kind(found), found["status"]) == ("timeout", 408)


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ("server: 'https://x.example', method: message/sent", "invalid-value", "message/send"),
        (
            "server: 'https://x.example', method: message/send",
            "missing-property",
            "`message/send` needs `message`",
        ),
        (
            "server: 'https://x.example', method: tasks/get, parameters: {name: x}",
            "missing-property",
            "needs `id`",
        ),
        ("method: tasks/list", "missing-property", "`agentCard`"),
        ("agentCard: {endpoint: 'file://card.json'}, method: tasks/list", "unsupported", "not on the web"),
        ("server: 'https://x.example', method: tasks/list, agent: x", "unknown-property", "agent"),
        (
            "server: {uri: 'https://x.example', authentication: {use: nobody}}, method: tasks/list",
            "unknown-authentication",
            "nobody",
        ),
    ],
)
def test_arguments_are_checked_when_the_document_is_loaded(given: str, code: str, words: str) -> None:
    [problem] = problems(f"do: [{{a: {{call: a2a, with: {{{given}}}}}}}]")
    assert problem.code == code
    assert words in problem.message
