"""The ``auth`` of DSL 0.8 (decision B41): what fetches the document of a function, and what a function is called by."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.running import KEY
from tests.semantics.v0_8.documents import error, kind, output, problems, refused, warnings, workflow
from tests.semantics.v1.documents import pinned
from tests.standins.greeter import PROTO, greeter
from tests.standins.internet import Internet
from tests.standins.issuer import APP_SECRET, Issuer
from tests.standins.pets import pets
from tests.standins.server import serve
from workflow_engine import dsl
from workflow_engine.cli.resources import LocalFiles
from workflow_engine.dsl.needs import Need
from workflow_engine.dsl.pinning import gather
from workflow_engine.errors import InvalidDocument
from workflow_engine.values import Json

HEADER = (
    "secrets: [key, login, oauth, absent]\nconstants: {user: countess, issuer: 'https://issuer.example'}\n"
)
PET = "https://private.example/catalog/functions/pet/1.0.0/openapi.json#getPetById"
GREET = "https://private.example/catalog/greet.proto#GreeterApi.Greeter#SayHello"
CLIENT = f"clientId: app, clientSecret: '{APP_SECRET}'"


def calling(auth: str, function: str, arguments: str = "{}") -> str:
    """A workflow of one action, with one definition in ``auth`` that is called ours."""
    return f"""{HEADER}
auth: [{{name: ours, {auth}}}]
functions: [{{name: f, {function}}}]
states:
  - name: A
    type: operation
    actions:
      - {{functionRef: {{refName: f, arguments: {arguments}}}, actionDataFilter: {{toStateData: .found}}}}
    end: true
"""


BY_SECRETS = [
    "scheme: bearer, properties: {token: '${ $SECRETS.key | @base64 }'}",
    "scheme: bearer, properties: '${ $SECRETS.key | @base64 }'",
    "scheme: basic, properties: {username: '${ $CONST.user }', password: '${ $SECRETS.login.password }'}",
    "properties: '${ $SECRETS.login }'",
    "properties: $SECRET.login",
    "properties: login",
]


@pytest.mark.parametrize("auth", BY_SECRETS)
async def test_b41_the_document_of_a_function_is_fetched_by_its_policy(internet: Internet, auth: str) -> None:
    text = workflow(calling(auth, f"operation: '{PET}', authRef: ours", "{petId: 1}"))
    resources = await pinned(internet, text)
    assert list(resources) == [PET]
    assert KEY not in json.dumps(resources)
    dsl.compile(dsl.parse(text), resources)


async def test_b41_without_its_policy_the_document_is_not_there(internet: Internet) -> None:
    text = workflow(calling(BY_SECRETS[0], f"operation: '{PET}'", "{petId: 1}"))
    with pytest.raises(InvalidDocument, match="401"):
        await pinned(internet, text)


async def test_b41_the_policy_of_the_document_is_not_sent_to_the_service(
    run: Any, internet: Internet
) -> None:
    body = calling(BY_SECRETS[0], f"operation: '{PET}', authRef: ours", "{petId: 1}")
    found = await output(run, body, resources=await pinned(internet, workflow(body)))
    assert found["found"]["name"] == "doggie"
    assert "Authorization" not in internet.petstore.last.headers


async def test_b41_a_proto_is_fetched_by_its_policy(internet: Internet) -> None:
    function = f"type: rpc, operation: '{GREET}', authRef: ours, metadata: {{host: localhost, port: '1'}}"
    assert list(await pinned(internet, workflow(calling(BY_SECRETS[0], function)))) == [GREET]


GRANTS = [
    f"authority: 'https://issuer.example', grantType: clientCredentials, {CLIENT}",
    f"authority: '${{ $CONST.issuer }}', grantType: password, username: ada, password: lovelace, {CLIENT}",
    (
        f"authority: 'https://issuer.example', grantType: clientCredentials, {CLIENT}, "
        "metadata: {tokenEndpoint: /oauth2/token}"
    ),
]


@pytest.mark.parametrize("grant", GRANTS)
async def test_b41_an_access_token_is_for_the_document_and_if_wanted_for_the_call(
    run: Any, internet: Internet, grant: str
) -> None:
    auth = f"scheme: oauth2, properties: {{{grant}}}"
    function = "operation: 'https://issuer.example/document#look', authRef: ours"
    body = calling(auth, function)
    resources = await pinned(internet, workflow(body))
    failed = await error(run, body, resources=resources)
    assert (kind(failed), failed["status"]) == ("communication", 401)
    found = await output(
        run, calling(auth, function + ", metadata: {invocationAuthRef: ours}"), resources=resources
    )
    assert found["found"]["sub"] in {"app", "ada"}


async def test_b41_all_that_oauth2_needs_may_be_in_one_secret(run: Any, internet: Internet) -> None:
    function = "type: custom, operation: 'rest:get:https://issuer.example/protected', authRef: ours"
    for properties in ("'${ $SECRETS.oauth }'", "oauth"):
        auth = f"scheme: oauth2, properties: {properties}"
        assert "sub" in (await output(run, calling(auth, function)))["found"]
        await pinned(
            internet,
            workflow(calling(auth, "operation: 'https://issuer.example/document#look', authRef: ours")),
        )


async def test_b41_tokens_are_exchanged_with_what_keycloak_wants_besides(run: Any) -> None:
    issuer = Issuer()
    issuer.register("app", "client_secret_post", APP_SECRET)
    async with serve(issuer.app()) as server:
        subject = issuer.token(server.url, "bob")
        auth = (
            f"scheme: oauth2, properties: {{authority: '{server.url}', grantType: tokenExchange, {CLIENT}, "
            f"subjectToken: '{subject}', requestedSubject: carol, audiences: [a, b], scopes: [read, write]}}"
        )
        body = calling(auth, f"type: custom, operation: 'rest:get:{server.url}/protected', authRef: ours")
        assert (await output(run, body))["found"]["sub"] == "bob"
        granted = issuer.grants[-1]
    assert granted["requested_subject"] == "carol"
    assert (granted["audience"], granted["scope"]) == (["a", "b"], "read write")
    assert "requested_issuer" not in granted


async def test_b41_where_the_operation_is_the_service_its_policy_is_for_the_call(run: Any) -> None:
    async with pets() as server:
        auth = "scheme: bearer, properties: {token: let-me-in}"
        function = f"type: graphql, operation: '{server.url}/private#query#count'"
        assert (await output(run, calling(auth, function + ", authRef: ours")))["found"] == {"count": 2}
        failed = await error(run, calling(auth, function))
        assert (kind(failed), failed["status"]) == ("communication", 401)


async def test_b41_an_odata_service_is_asked_with_the_secret(run: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"value": [], "heard": request.headers.get("Authorization")})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with serve(app) as server:
        auth = "scheme: bearer, properties: {token: '${ $SECRETS.key | @base64 }'}"
        body = calling(auth, f"type: odata, operation: '{server.url}/v4#Persons', authRef: ours")
        found = await output(run, body)
        assert found["found"] == {"value": [], "heard": "Bearer [redacted]"}
        assert server.last.headers["Authorization"].startswith("Bearer czNj")


async def test_b41_a_method_of_grpc_is_called_by_a_policy_of_its_own(run: Any, tmp_path: Path) -> None:
    (tmp_path / "greet.proto").write_text(PROTO)
    async with greeter() as server:
        where = f"host: localhost, port: '{server.port}', tls: 'false'"
        metadata = f"metadata: {{{where}, invocationAuthRef: ours}}"
        function = f"operation: 'greet.proto#GreeterApi.Greeter#SayHello', {metadata}"
        body = calling("scheme: bearer, properties: {token: let-me-in}", function, "{name: Ada}")
        local = await LocalFiles.open([])
        resources = await local.answers(dsl.parse(workflow(body)), str(tmp_path / "w.yaml"))
        found = (await output(run, body, resources=resources))["found"]
    assert found["message"] == "Hello, Ada!"
    assert found["metadata"]["authorization"] == "Bearer let-me-in"


async def test_b41_a_call_that_is_left_is_authenticated_too(run: Any) -> None:
    heard: asyncio.Queue[str | None] = asyncio.Queue()

    async def hear(request: web.Request) -> web.Response:
        heard.put_nowait(request.headers.get("Authorization"))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hear)
    async with serve(app) as server:
        auth = "scheme: bearer, properties: {token: let-me-in}"
        body = calling(auth, f"type: custom, operation: 'rest:post:{server.url}/hook', authRef: ours")
        body = body.replace("refName: f,", "refName: f, invoke: async,").replace(
            ", actionDataFilter: {toStateData: .found}", ""
        )
        assert await output(run, body, {"n": 1}) == {"n": 1}
        assert await asyncio.wait_for(heard.get(), 10) == "Bearer let-me-in"


@pytest.mark.parametrize(
    ("auth", "function", "code", "at"),
    [
        (BY_SECRETS[0], "operation: 'file://a.json#b', authRef: our", "unknown-authentication", "/functions/0/authRef"),
        (BY_SECRETS[0], "operation: 'file://a.json#b', metadata: {invocationAuthRef: our}", "unknown-authentication",
         "/functions/0/metadata/invocationAuthRef"),
        (BY_SECRETS[0], "type: expression, operation: ., authRef: ours", "misplaced-property", "/functions/0/authRef"),
        ("scheme: bearer, properties: {token: '${ .token }'}", "type: expression, operation: .", "unsupported",
         "/auth/0/properties/token"),
        ("scheme: bearer, properties: {token: '${ $SECRETS.kee }'}", "type: expression, operation: .",
         "unknown-secret", "/auth/0/properties/token"),
        ("scheme: bearer, properties: '${ $SECRETS.kee }'", "type: expression, operation: .",
         "unknown-secret", "/auth/0/properties"),
        ("scheme: bearer, properties: '${ $SECRETS. + }'", "type: expression, operation: .",
         "invalid-expression", "/auth/0/properties"),
        (f"scheme: oauth2, properties: {{grantType: clientCredentials, {CLIENT}}}", "type: expression, operation: .",
         "missing-property", "/auth/0/properties"),
        (f"scheme: oauth2, properties: {{authority: 'https://i.example', grantType: password, username: a, {CLIENT}}}",
         "type: expression, operation: .", "missing-property", "/auth/0/properties"),
    ],
)  # fmt: skip
def test_b41_what_is_wrong_with_a_policy_is_told(auth: str, function: str, code: str, at: str) -> None:
    found = [
        (problem.code, problem.pointer)
        for problem in problems(calling(auth, function).replace(", arguments: {}", ""))
    ]
    assert found == [(code, at)]


def test_b41_a_policy_for_a_document_in_the_catalog_has_no_effect() -> None:
    body = calling(BY_SECRETS[0], "type: asyncapi, operation: 'file://a.yaml#b', authRef: ours")
    body = body.replace(", actionDataFilter: {toStateData: .found}", "")
    assert warnings(body) == [("ignored-property", "/functions/0/authRef")]


def test_two_policies_of_one_name_are_a_problem() -> None:
    auth = "{name: a, properties: {username: u, password: p}}"
    found = refused(f"auth: [{auth}, {auth}]\nstates: [{{name: A, type: inject, data: {{}}, end: true}}]")
    assert (found.code, found.pointer) == ("duplicate-definition", "/auth/1/name")


async def test_functions_policies_and_constants_may_be_in_files_of_their_own() -> None:
    """What a function needs is only known with all three, in whatever order they are found."""
    body = """
    functions: functions.json
    auth: auth.json
    constants: constants.json
    states: [{name: A, type: inject, data: {}, end: true}]
    """
    files: dict[str, Json] = {
        "functions.json": [{"name": "f", "operation": "${ $CONST.api }#get", "authRef": "ours"}],
        "auth.json": [{"name": "ours", "properties": {"username": "u", "password": "p"}}],
        "constants.json": {"api": "https://e.example/api.json"},
    }
    asked: list[Need] = []

    async def answer(need: Need) -> Json:
        asked.append(need)
        return {"definitions": files[need.reference]} if need.kind == "definitions" else {"content": ""}

    found = await gather(dsl.parse(workflow(body)), answer, {})
    assert list(found)[-1] == "https://e.example/api.json#get"
    assert asked[-1].policy == {"basic": {"username": "u", "password": "p"}}
    assert asked[-1].pointer == "/functions"
    assert len(asked) == 4
