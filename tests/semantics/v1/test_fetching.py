"""Documents that ask who reads them: fetched when a workflow is deployed, with the secrets that it names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.running import KEY
from tests.semantics.v1.documents import pinned, problems, workflow
from tests.standins.internet import Internet
from workflow_engine import dsl
from workflow_engine.dsl.needs import needs
from workflow_engine.errors import InvalidDocument

USE = """
use:
  secrets: [key, login, absent]
  authentications: {ours: {bearer: {token: '${ $secrets.key | @base64 }'}}}
"""
PRIVATE = "{uri: 'https://private.example/catalog/%s', authentication: %s}"
ASYNCAPI = """
do: [{a: {call: asyncapi, with: {
  document: {endpoint: %s}, operation: placeOrder, message: {payload: {n: 1}}}}}]
"""
OPENAPI = """
do: [{a: {call: openapi, with: {
  document: {endpoint: %s}, operationId: getPetById, parameters: {petId: 1}}, output: {as: .name}}}]
"""
SCRIPT = "do: [{a: {run: {script: {language: python, source: {endpoint: %s}, arguments: [hi]}}}}]"
GRPC = """
do: [{a: {call: grpc, with: {
  proto: {endpoint: %s}, service: {name: GreeterApi.Greeter, host: localhost, port: 1}, method: SayHello}}}]
"""
POLICIES = [
    "ours",
    "{use: ours}",
    "{basic: {use: login}}",
    "{bearer: {token: '${ $secrets.key | @base64 }'}}",
]
KINDS = {
    "asyncapi": (ASYNCAPI, "orders.yaml"),
    "openapi": (OPENAPI, "functions/pet/1.0.0/openapi.json"),
    "script": (SCRIPT, "functions/said/1.0.0/said.py"),
    "grpc": (GRPC, "greet.proto"),
}


def asking(kind: str, policy: str) -> str:
    body, path = KINDS[kind]
    return workflow(USE + body % (PRIVATE % (path, policy)))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_document_is_fetched_with_the_policy_of_its_endpoint(
    internet: Internet, kind: str, policy: str
) -> None:
    text = asking(kind, policy)
    resources = await pinned(internet, text)
    assert len(resources) == 1
    assert KEY not in json.dumps(resources)
    dsl.compile(dsl.parse(text), resources)


@pytest.mark.parametrize("kind", ["asyncapi", "openapi", "script"])
async def test_a_run_uses_what_was_fetched_when_its_workflow_was_deployed(
    run: Any, internet: Internet, kind: str
) -> None:
    text = asking(kind, "ours")
    resources = await pinned(internet, text)
    asked = len(internet.servers["private.example"].requests)
    ended = await run(text, resources=resources)
    assert ended.status == "completed", ended.error
    assert ended.output == {"asyncapi": {"n": 1}, "openapi": "doggie", "script": "said hi"}[kind]
    assert len(internet.servers["private.example"].requests) == asked


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wrong_secret_is_told_without_its_value(internet: Internet, kind: str) -> None:
    text = asking(kind, "{bearer: {token: '${ $secrets.key | .[1:] | @base64 }'}}")
    with pytest.raises(InvalidDocument) as found:
        await pinned(internet, text)
    [problem] = found.value.problems
    assert problem.code == "unresolved"
    assert "401" in problem.message
    assert KEY[1:] not in problem.message


@pytest.mark.parametrize("kind", ["asyncapi", "grpc"])
async def test_a_secret_that_is_not_there_is_a_problem_of_what_must_be_had_now(
    internet: Internet, kind: str
) -> None:
    with pytest.raises(InvalidDocument, match="no secret 'absent'"):
        await pinned(internet, asking(kind, "{bearer: {use: absent}}"))


@pytest.mark.parametrize("kind", ["openapi", "script"])
async def test_what_can_be_fetched_by_the_call_is_left_to_it_where_the_secret_is_not_there(
    internet: Internet, kind: str
) -> None:
    assert await pinned(internet, asking(kind, "{bearer: {use: absent}}")) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_of_the_data_of_a_run_is_for_the_call_or_refused(kind: str) -> None:
    body, path = KINDS[kind]
    body = USE + body % (PRIVATE % (path, "{bearer: {token: '${ .token }'}}"))
    assert needs(dsl.parse(workflow(body)).data) == []
    if kind != "grpc":
        assert problems(body) == []
    else:
        [problem] = problems(body)
        assert problem.code == "unsupported"
        assert problem.pointer.endswith("/endpoint/authentication")
        assert "the data of a run is not" in problem.message


async def test_a_function_brings_the_script_beside_it(run: Any, internet: Internet) -> None:
    """What stands in the folder of a function is fetched as its catalog is."""
    text = workflow(
        "use: {secrets: [key], catalogs: {private: {endpoint: {uri: 'https://private.example/catalog',"
        " authentication: {bearer: {token: '${ $secrets.key | @base64 }'}}}}}}\n"
        "do: [{a: {call: 'said:1.0.0@private', with: {message: hello}}}]"
    )
    ended = await run(text, resources=await pinned(internet, text))
    assert ended.output == "said hello", ended.error
