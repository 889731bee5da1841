"""Secrets (specification 1.0, `use.secrets`; decision A7): used where a call is made, and found nowhere else."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.running import KEY, PASSWORD
from tests.semantics.v1.documents import error, kind, output, problems, refused, workflow
from tests.standins.internet import Internet
from tests.standins.issuer import APP_SECRET

USE = "use: {secrets: [key, login, my-client, absent]}\n"
GET = USE + "do: [{a: {call: http, with: {method: get, endpoint: %s%s}}}]"
ECHO = "'https://httpbin.org/anything'"
PROTECTED = "{uri: 'https://issuer.example/protected', authentication: %s}"


async def test_a7_a_secret_is_sent_in_headers_query_and_body(run: Any, internet: Internet) -> None:
    body = f"""
    {USE.strip()}
    do:
      - a:
          call: http
          with:
            method: post
            endpoint: {ECHO}
            headers: {{X-Key: '${{ $secrets.key }}', X-Alias: 'it is ${{ $secret.key }}'}}
            query: {{name: '${{ .name }}', key: '${{ $secrets["key"] }}'}}
            body: {{login: '${{ $secrets.login }}', context: '${{ $context }}', task: '${{ $task.name }}'}}
          output: {{as: '{{method, task: .json.task, name: .args.name, key: .headers["X-Key"]}}'}}
    """
    expected = {"method": "POST", "task": "a", "name": "Ada", "key": "[redacted]"}
    assert await output(run, body, {"name": "Ada"}) == expected
    sent = internet.httpbin.last
    assert (sent.headers["X-Key"], sent.headers["X-Alias"]) == (KEY, f"it is {KEY}")
    assert PASSWORD.split('"')[0] in sent.body.decode("utf-8")


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        (
            "basic-auth/countess/secret",
            "{basic: {username: '${ $secrets.login.username }', password: secret}}",
        ),
        (
            "digest-auth/auth/countess/secret/MD5",
            "{digest: {username: '${ $secrets.login.username }', password: secret}}",
        ),
        ("bearer", "{bearer: {token: '${ $secrets.key | @base64 }'}}"),
    ],
)
async def test_a7_credentials_may_be_made_of_secrets(run: Any, path: str, policy: str) -> None:
    endpoint = f"{{uri: 'https://httpbin.org/{path}', authentication: {policy}}}"
    assert (await output(run, GET % (endpoint, "")))["authenticated"] is True


async def test_a7_a_policy_may_be_a_secret_as_a_whole(run: Any, internet: Internet) -> None:
    """`{use: secret}` names one that has the properties of the scheme (dsl.md §1.19)."""
    for scheme in ("oauth2", "oidc"):
        answer = await output(run, GET % (PROTECTED % f"{{{scheme}: {{use: my-client}}}}", ""))
        assert answer["sub"] == "[redacted]"  # the client's id is a part of the secret
    endpoint = f"{{uri: {ECHO}, authentication: {{basic: {{use: login}}}}}}"
    await output(run, GET % (endpoint, ""))
    assert internet.httpbin.last.headers["Authorization"].startswith("Basic ")
    named = USE.replace("use: {", "use: {authentications: {ours: {oauth2: {use: my-client}}}, ")
    body = named + "do: [{a: {call: http, with: {method: get, endpoint: %s}}}]"
    assert (await output(run, body % (PROTECTED % "{use: ours}")))["sub"] == "[redacted]"


async def test_a7_a_secret_without_what_the_scheme_needs_is_a_configuration_fault(run: Any) -> None:
    fault = await error(run, GET % (PROTECTED % "{basic: {use: my-client}}", ""))
    assert (kind(fault), fault["status"]) == ("configuration", 400)


async def test_a7_a_secret_that_is_not_there_is_an_authorization_fault(run: Any) -> None:
    fault = await error(run, GET % (ECHO, ", headers: {X: '${ $secrets.absent }'}"))
    assert (kind(fault), fault["status"], fault["instance"]) == ("authorization", 403, "/do/0/a")
    assert "absent" in fault["detail"]


async def test_a7_an_openapi_call_uses_secrets_for_its_document_and_its_operation(run: Any) -> None:
    body = f"""
    {USE.strip()}
    do:
      - a:
          call: openapi
          with:
            document:
              endpoint: {{uri: 'https://issuer.example/document', authentication: {{oauth2: {{use: my-client}}}}}}
            operationId: look
            authentication: {{oauth2: {{use: my-client}}}}
    """
    assert (await output(run, body))["sub"] == "[redacted]"


async def test_a7_a_function_uses_the_secrets_of_the_document(run: Any, internet: Internet) -> None:
    body = f"""
    use:
      secrets: [key]
      functions:
        ask:
          call: http
          with: {{method: get, endpoint: {ECHO}, headers: {{X-Key: '${{ $secrets.key }}', X-Of: '${{ .x }}'}}}}
    do: [{{a: {{call: ask, with: {{x: '${{ .n }}'}}, output: {{as: '.headers["X-Of"]'}}}}}}]
    """
    assert await output(run, body, {"n": 5}) == "5"
    assert internet.httpbin.last.headers["X-Key"] == KEY


async def test_a7_loop_variables_and_the_time_are_known_beside_secrets(run: Any) -> None:
    body = f"""
    {USE.strip()}
    do:
      - each:
          for: {{in: '[1, 2]', each: n}}
          do:
            - a:
                call: http
                with:
                  method: post
                  endpoint: {ECHO}
                  body: {{n: '${{ $n }}', index: '${{ $index }}', now: '${{ now > 0 }}', key: '${{ $secrets.key }}'}}
                output: {{as: .json}}
    """
    assert await output(run, body) == {"n": 2, "index": 1, "now": True, "key": "[redacted]"}


@pytest.mark.parametrize(
    ("endpoint", "more", "pointer"),
    [
        (ECHO, ", headers: {X: '${ $secrets.keyy }'}", "/do/0/a/with/headers/X"),
        (ECHO, ", body: ['${ {a: $secret[\"keyy\"]} }']", "/do/0/a/with/body/0"),
        (
            PROTECTED % "{bearer: {token: '${ $secrets.keyy }'}}",
            "",
            "/do/0/a/with/endpoint/authentication/bearer/token",
        ),
        (PROTECTED % "{basic: {use: keyy}}", "", "/do/0/a/with/endpoint/authentication/basic/use"),
    ],
)
def test_a_secret_that_is_not_declared_is_a_problem(endpoint: str, more: str, pointer: str) -> None:
    found = refused(GET % (endpoint, more))
    assert (found.code, found.pointer) == ("unknown-secret", pointer)
    assert "did you mean 'key'" in found.message


def test_a_policy_of_the_document_is_held_to_the_declared_secrets() -> None:
    body = (
        "use: {authentications: {p: {bearer: {use: key}}, q: {bearer: {token: '${ $secrets.key }'}}}}\ndo: []"
    )
    assert [(found.code, found.pointer) for found in problems(body)] == [
        ("unknown-secret", "/use/authentications/p/bearer/use"),
        ("unknown-secret", "/use/authentications/q/bearer/token"),
    ]


@pytest.mark.parametrize(
    "expression", ["$secrets", "$secrets | .key", "$secrets[.name]", "{$secrets}", "$secrets[]"]
)
def test_a_secret_is_named_where_it_is_used(expression: str) -> None:
    found = refused(GET % (ECHO, f", body: '${{ {expression} }}'"))
    assert (found.code, found.pointer) == ("unsupported", "/do/0/a/with/body")


@pytest.mark.parametrize("name", ["secret", "secrets"])
def test_a12_no_variable_can_be_called_like_the_secrets(name: str) -> None:
    assert refused(f"do: [{{a: {{for: {{in: '[1]', each: {name}}}, do: []}}}}]").code == "reserved-variable"


LEAKY = f"""
{USE}
do:
  - echoed:
      call: http
      with:
        method: post
        endpoint: '${{ "https://httpbin.org/anything/" + $secrets.key }}'
        headers: {{X-Key: '${{ $secrets.key }}', X-Bytes: '${{ $secrets.key | @base64 }}'}}
        body: {{login: '${{ $secrets.login }}', text: 'is ${{ $secrets.login.password }}'}}
        output: response
  - raw:
      call: http
      with: {{method: post, endpoint: {ECHO}, body: '${{ $secrets.key }}', output: raw}}
  - basic:
      call: http
      with:
        method: get
        endpoint: {{uri: {ECHO}, authentication: {{basic: {{use: login}}}}}}
        output: response
  - token:
      call: http
      with: {{method: get, endpoint: {PROTECTED % "{oauth2: {use: my-client}}"}, output: response}}
  - caught:
      try:
        - fails:
            call: http
            with:
              method: get
              endpoint: {PROTECTED % "{basic: {use: login}}"}
              query: {{key: '${{ $secrets.key }}'}}
      catch: {{as: failure, do: [{{keep: {{set: {{failure: '${{ $failure }}'}}}}}}]}}
  - told: {{emit: {{event: {{with: {{type: secrets.test, source: here, data: '${{ . }}'}}}}}}}}
  - faults:
      call: http
      with:
        method: get
        endpoint: https://httpbin.org/status/418
        headers: {{X: '${{ $secrets.login.password | .[0] }}', Y: '${{ $secrets.key }}'}}
"""


async def test_the_value_of_a_secret_is_nowhere(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the whole history of the run, nor in its events, its logs, what can be asked of it, or its outcome."""
    caplog.set_level(logging.DEBUG)
    ended = await run(workflow(LEAKY), {"name": "Ada"})
    assert (ended.status, kind(ended.error)) == ("faulted", "expression")
    found = [repr(ended), caplog.text, repr([vars(record) for record in caplog.records])]
    if run.name == "temporal":
        history = await run.history(ended.run_id)
        assert len(history) > 30
        found += [event.SerializeToString().decode("latin-1") for event in history]
        found.append(repr(await run.runtime.describe(ended.run_id)))
        handle = run.client.get_workflow_handle(ended.run_id)
        found += [repr(await handle.query(name)) for name in ("state", "recent")]
        found.append(repr(await run.router.events("default")))
        assert "secrets.test" in found[-1]
        assert "[redacted]" in "".join(found)
    for value in (KEY, PASSWORD, "wörd", "s3cr3t", APP_SECRET):
        for text in found:
            assert value not in text
            assert value.encode().decode("latin-1") not in text
