"""``call: grpc`` in workflows, on both runtimes: decisions A50, A52, A56 and A59, and the specification's example."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.running import KEY, PASSWORD
from tests.semantics.v1.documents import error, kind, output, problems, refused, workflow
from tests.standins.greeter import ADDRESS, PROTO, Greeter, greeter, resources
from workflow_engine import dsl
from workflow_engine.cli.resources import LocalFiles

SERVICE = "service: {name: GreeterApi.Greeter, host: localhost, port: %d%s}"


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[Greeter]:
    async with greeter() as running:
        yield running


def call(server: Greeter, method: str, arguments: str, *, service: str = "", extra: str = "") -> str:
    given = f"{SERVICE % (server.port, service)}, method: {method}, arguments: {arguments}"
    return f"do: [{{a: {{call: grpc, with: {{proto: {{endpoint: '{ADDRESS}'}}, {given}}}{extra}}}}}]"


async def test_a50_the_example_of_the_specification_runs_with_the_proto_beside_it(
    run: Any, server: Greeter, tmp_path: Path, spec: Path
) -> None:
    """``file://app/greet.proto`` is a path relative to the workflow's own."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/greet.proto").write_text(PROTO)
    text = (spec / "1.0/examples/call-grpc.yaml").read_text().replace("5011", str(server.port))
    document = dsl.parse(text)
    local = await LocalFiles.open([])
    answers = await local.answers(document, str(tmp_path / "workflow.yaml"))
    assert list(answers) == ["file://app/greet.proto#GreeterApi.Greeter#SayHello"]
    ended = await run(text, {"user": {"preferredDisplayName": "Ada"}}, resources=answers)
    assert ended.status == "completed", ended.error
    assert ended.output["message"] == "Hello, Ada!"


async def test_messages_are_made_of_expressions_and_what_comes_back_is_shaped(
    run: Any, server: Greeter
) -> None:
    body = call(server, "SayHello", "{name: '${ .user }'}", extra=", output: {as: .message}")
    assert await output(run, body, {"user": "Ada"}, resources=await resources("SayHello")) == "Hello, Ada!"


async def test_streams_are_arrays_in_both_directions(run: Any, server: Greeter) -> None:
    body = call(server, "Chat", "'${ [.users[] | {name: .}] }'", extra=", output: {as: 'map(.message)'}")
    given = {"users": ["Ada", "Grace"]}
    found = await output(run, body, given, resources=await resources("Chat"))
    assert found == ["Hello, Ada!", "Hello, Grace!"]
    body = call(server, "Collect", "[{name: '${ .users[0] }'}, {name: x}]", extra=", output: {as: .message}")
    assert await output(run, body, given, resources=await resources("Collect")) == "Ada,x"
    body = call(server, "Count", "{upTo: 2}", extra=", output: {as: 'map(.message)'}")
    assert await output(run, body, given, resources=await resources("Count")) == ["0", "1"]


async def test_a52_a59_a_code_other_than_ok_is_a_communication_fault_that_can_be_caught(
    run: Any, server: Greeter
) -> None:
    pinned = await resources("Fail")
    fault = await error(run, call(server, "Fail", "{code: 5, message: no such thing}"), resources=pinned)
    assert (kind(fault), fault["status"], fault["instance"]) == ("communication", 404, "/do/0/a")
    assert "NOT_FOUND: no such thing" in fault["detail"]
    body = (
        call(server, "Fail", "{code: 16}").replace("do: ", "do: [{t: {try: ")
        + ", catch: {errors: {with: {status: 401}}}}}]"
    )
    assert await output(run, body, {"n": 1}, resources=pinned) == {"n": 1}


async def test_a_message_that_does_not_fit_is_a_validation_fault(run: Any, server: Greeter) -> None:
    fault = await error(run, call(server, "SayHello", "{nme: x}"), resources=await resources("SayHello"))
    assert (kind(fault), fault["status"]) == ("validation", 400)
    assert "arguments/nme" in fault["detail"]


async def test_a_task_that_takes_too_long_is_timed_out(run: Any, server: Greeter) -> None:
    body = call(server, "Fail", "{code: 5, pauseMs: 30000}", extra=", timeout: {after: PT0.2S}")
    fault = await error(run, body, resources=await resources("Fail"))
    assert (kind(fault), fault["status"]) == ("timeout", 408)


BASIC = "{basic: {username: '${ $secrets.LOGIN.username }', password: '${ $secrets.LOGIN.password }'}}"


@pytest.mark.parametrize("policy", ["{use: login}", "login", BASIC, "{basic: {use: LOGIN}}"])
async def test_a56_a_service_is_authenticated_by_a_policy_inline_or_by_name(
    run: Any, server: Greeter, policy: str
) -> None:
    use = f"use: {{secrets: [LOGIN], authentications: {{login: {BASIC}}}}}\n"
    body = use + call(server, "SayHello", "{name: Ada}", service=f", authentication: {policy}")
    answer = await output(run, body, resources=await resources("SayHello"))
    assert answer["message"] == "Hello, Ada!"
    sent = server.last[1]["authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == f"countess:{PASSWORD}"
    assert sent not in str(answer)


async def test_a7_a_secret_is_sent_in_a_message_and_kept_nowhere(run: Any, server: Greeter) -> None:
    """What the server echoes of it, in its answer and in an error, is hidden in the output as in the history."""
    pinned = {**await resources("SayHello"), **await resources("Fail")}
    hello = call(server, "SayHello", "{name: '${ $secrets.KEY }'}").removeprefix("do: [").removesuffix("]")
    fail = call(server, "Fail", "{code: 5, message: 'no ${ $secrets.KEY }'}").removeprefix("do: [{a: ")
    body = f"""
    use: {{secrets: [KEY]}}
    do:
      - {hello}
      - caught: {{try: [{{b: {fail}, catch: {{do: [{{c: {{set: '${{ $error }}'}}}}]}}}}
    """
    ended = await run(workflow(body), resources=pinned)
    assert ended.status == "completed", ended.error
    assert server.calls[0][2][0].name == KEY
    assert "[redacted]" in ended.output["detail"]
    kept = str(ended.output) + str(ended.progress)
    if run.name == "temporal":
        kept += "".join(
            event.SerializeToString().decode("latin-1") for event in await run.history(ended.run_id)
        )
    assert KEY not in kept


async def test_the_idempotency_key_is_sent_as_metadata(run: Any, server: Greeter) -> None:
    body = call(server, "SayHello", "{name: Ada}")
    await output(run, body, resources=await resources("SayHello"))
    assert server.last[1]["idempotency-key"].endswith("/do/0/a")


def test_whether_a_service_is_called_with_tls_is_said_in_the_metadata_of_the_task() -> None:
    nowhere = Greeter(port=1)
    assert problems(call(nowhere, "SayHello", "{}", extra=", metadata: {tls: false}")) == []
    found = refused(call(nowhere, "SayHello", "{}", extra=", metadata: {tls: perhaps}"))
    assert (found.code, found.pointer) == ("invalid-value", "/do/0/a/metadata/tls")


async def test_a_plaintext_server_is_not_reached_with_tls(run: Any, server: Greeter) -> None:
    body = call(server, "SayHello", "{}", extra=", metadata: {tls: true}")
    fault = await error(run, body, resources=await resources("SayHello"))
    assert (kind(fault), fault["status"]) == ("communication", 503)
