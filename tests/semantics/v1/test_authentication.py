"""Authentication of calls: every scheme, on both runtimes (dsl.md §1.15, decision A57)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind, output, problems, workflow
from tests.standins.issuer import ACCESS, APP_SECRET
from workflow_engine import dsl
from workflow_engine.dsl.needs import needs

CALL = "do: [{a: {call: http, with: {method: get, endpoint: {uri: '%s', authentication: %s}}}}]"
PROTECTED = "https://issuer.example/protected"
CLIENT = f"client: {{id: app, secret: '{APP_SECRET}'}}"


async def test_digest_authentication_answers_the_challenge(run: Any) -> None:
    body = CALL % (
        "https://httpbin.org/digest-auth/auth/ada/lovelace/SHA-256",
        "{digest: {username: ada, password: '${ .password }'}}",
    )
    assert (await output(run, body, {"password": "lovelace"}))["authenticated"] is True
    fault = await error(run, body, {"password": "wrong"})
    assert (kind(fault), fault["status"]) == ("communication", 401)


@pytest.mark.parametrize(
    "policy",
    [
        f"{{oauth2: {{authority: 'https://issuer.example', grant: client_credentials, {CLIENT}}}}}",
        f"{{oidc: {{authority: 'https://issuer.example', grant: client_credentials, {CLIENT}}}}}",
        f"""{{oauth2: {{authority: '${{ .issuer }}', grant: client_credentials, scopes: ['${{ .scope }}'],
            endpoints: {{token: /auth/token, introspection: /auth/introspect}}, {CLIENT}}}}}""",
    ],
)
async def test_an_access_token_is_had_from_the_issuer(run: Any, policy: str) -> None:
    given = {"issuer": "https://issuer.example", "scope": "read"}
    assert (await output(run, CALL % (PROTECTED, policy), given))["sub"] == "app"


@pytest.mark.parametrize(
    "authority", ["https://{host}", "https://{host}/${ .nothing }", "https://issuer.{tld}"]
)
async def test_a57_an_authority_may_be_a_uri_template(run: Any, authority: str) -> None:
    """Expanded with the input of the task that calls, wherever the policy stands."""
    policy = f"{{oauth2: {{authority: '{authority}', grant: client_credentials, {CLIENT}}}}}"
    given = {"host": "issuer.example", "tld": "example", "nothing": ""}
    assert (await output(run, CALL % (PROTECTED, policy), given))["sub"] == "app"
    named = f"use: {{authentications: {{ours: {policy}}}}}\n" + CALL % (PROTECTED, "ours")
    assert (await output(run, named, given))["sub"] == "app"


async def test_a_policy_of_the_document_is_used_by_its_name(run: Any) -> None:
    body = f"""
    use:
      authentications:
        ours:
          oidc:
            {{authority: 'https://issuer.example', grant: password, username: ada, password: '${{ .pass }}', {CLIENT}}}
    do: [{{a: {{call: http, with: {{method: get, endpoint: {{uri: '{PROTECTED}', authentication: {{use: ours}}}}}}}}}}]
    """
    assert (await output(run, body, {"pass": "lovelace"}))["sub"] == "ada"


async def test_an_openapi_call_fetches_its_document_and_calls_with_a_token(run: Any) -> None:
    policy = f"{{oauth2: {{authority: 'https://issuer.example', grant: client_credentials, {CLIENT}}}}}"
    body = f"""
    do:
      - a:
          call: openapi
          with:
            document: {{endpoint: {{uri: '${{ "https://issuer.example/document" }}', authentication: {policy}}}}}
            operationId: look
            authentication: {policy}
    """
    assert (await output(run, body))["sub"] == "app"


async def test_what_the_issuer_refuses_is_an_authentication_fault_of_the_task(run: Any) -> None:
    policy = "{oauth2: {authority: 'https://issuer.example', grant: client_credentials, client: {id: app, secret: no}}}"
    fault = await error(run, CALL % (PROTECTED, policy))
    assert (kind(fault), fault["status"], fault["instance"]) == ("authentication", 401, "/do/0/a")
    assert "https://issuer.example/oauth2/token" in fault["detail"]


async def test_an_authentication_fault_can_be_caught(run: Any) -> None:
    policy = "{oauth2: {authority: 'https://issuer.example', grant: password, username: ada, password: no}}"
    call = CALL % (PROTECTED, policy)
    body = f"do: [{{t: {{try: {call[4:]}, catch: {{errors: {{with: {{type: authentication}}}}}}}}}}]"
    assert await output(run, body, {"x": 1}) == {"x": 1}


async def test_every_grant_that_needs_no_user_there_is_accepted() -> None:
    for grant, more in (
        ("refresh_token", "subject: {token: t, type: refresh}"),
        ("'urn:ietf:params:oauth:grant-type:token-exchange'", f"subject: {{token: t, type: '{ACCESS}'}}"),
    ):
        policy = f"{{oauth2: {{authority: 'https://issuer.example', grant: {grant}, {more}}}}}"
        assert problems(CALL % (PROTECTED, policy)) == []


def test_a_document_that_asks_who_reads_it_is_fetched_when_deployed_unless_that_takes_the_data_of_a_task() -> (
    None
):
    endpoint = "{uri: 'https://issuer.example/document'%s}"
    body = "do: [{a: {call: openapi, with: {document: {endpoint: %s}, operationId: look}}}]"
    for token in ("t", "'${ $secrets.key }'", "'${ $secrets.key | @base64 }'"):
        policy = f", authentication: {{bearer: {{token: {token}}}}}"
        [need] = needs(dsl.parse(workflow(body % (endpoint % policy))).data)
        assert need.policy is not None
        assert need.later
    for token in ("'${ .token }'", "'${ $context.token }'", "'${ $secrets.key + .token }'"):
        policy = f", authentication: {{bearer: {{token: {token}}}}}"
        assert needs(dsl.parse(workflow(body % (endpoint % policy))).data) == []
    assert len(needs(dsl.parse(workflow(body % (endpoint % ""))).data)) == 1


_AT = "{uri: 'https://x.example/y', authentication: %s}"
PLACES = {
    "with/endpoint": f"call: http, with: {{method: get, endpoint: {_AT}}}",
    "with": "call: openapi, with: {document: {endpoint: 'https://x.example'}, operationId: o, authentication: %s}",
    "with/document/endpoint": f"call: openapi, with: {{document: {{endpoint: {_AT}}}, operationId: o}}",
    "with/service": "call: grpc, with: {proto: {endpoint: x.proto}, method: m, service: {name: S, host: h, "
    "authentication: %s}}",
    "with/proto/endpoint": f"call: grpc, with: {{service: {{name: S, host: h}}, method: m, "
    f"proto: {{endpoint: {_AT}}}}}",
    "with/transport/http/endpoint": "call: mcp, with: {method: tools/list, transport: "
    f"{{http: {{endpoint: {_AT}}}}}}}",
    "with/server": f"call: a2a, with: {{method: tasks/list, server: {_AT}}}",
    "with/agentCard/endpoint": f"call: a2a, with: {{method: tasks/list, agentCard: {{endpoint: {_AT}}}}}",
    "run/script/source/endpoint": f"run: {{script: {{language: js, source: {{endpoint: {_AT}}}}}}}",
}
"""Every place of a task where a policy may stand, by its pointer."""


@pytest.mark.parametrize("place", PLACES)
def test_a56_a_policy_is_known_by_its_name_wherever_one_may_stand(place: str) -> None:
    use = "use: {authentications: {ours: {bearer: {token: t}}}}\n"
    for name in ("ours", "{use: ours}"):
        assert problems(use + f"do: [{{a: {{{PLACES[place] % name}}}}}]") == []
    for name in ("our", "{use: our}"):
        found = problems(use + f"do: [{{a: {{{PLACES[place] % name}}}}}]")
        assert [(problem.code, problem.pointer) for problem in found] == [
            ("unknown-authentication", f"/do/0/a/{place}/authentication")
        ]
        assert "did you mean 'ours'?" in found[0].message


@pytest.mark.parametrize("place", PLACES)
def test_a56_other_short_forms_are_refused(place: str) -> None:
    for policy in ("{bearer: t}", "{oauth2: {authority: 'https://x.example', grant: client-credentials}}"):
        assert problems(f"do: [{{a: {{{PLACES[place] % policy}}}}}]") != []


@pytest.mark.parametrize("place", PLACES)
def test_a55_a_certificate_is_named_by_the_specification_and_defined_nowhere(place: str) -> None:
    found = problems(f"do: [{{a: {{{PLACES[place] % '{certificate: {}}'}}}}}]")
    assert [problem.code for problem in found] == ["unsupported-authentication"]
    assert "not defined" in found[0].message
