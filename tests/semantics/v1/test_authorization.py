"""`$authorization` (dsl.md §1.4): what the call of a task is authenticated with, known where it is and nowhere else."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.running import PASSWORD
from tests.semantics.v1.documents import error, kind, output, refused, workflow
from tests.standins.internet import Internet

BASIC = "{basic: {username: ada, password: lovelace}}"
CODE = base64.b64encode(b"ada:lovelace").decode()
CALL = """
use: {secrets: [login, my-client]}
do:
  - a:
      call: http
      with:
        method: post
        endpoint: {uri: 'https://httpbin.org/anything', authentication: %s}
        headers: {X-Scheme: '${ $authorization.scheme }', X-Copy: '${ $authorization.parameter }'}
        body:
          scheme: '${ $authorization.scheme }'
          both: '${ "\\($authorization.scheme) \\($authorization.parameter | length)" }'
          given: '${ .n }'
      output: {as: '{scheme: $authorization.scheme, long: ($authorization.parameter | length > 3), json: .json}'}
      export: {as: '{parameter: $authorization.parameter, known: ($authorization.parameter != null)}'}
  - b: {set: {before: '${ . }', context: '${ $context }', now: '${ $authorization }'}}
"""


@pytest.mark.parametrize(
    ("policy", "scheme", "parameter"),
    [
        (BASIC, "Basic", CODE),
        ("{bearer: {token: 'a-token-of-ours'}}", "Bearer", "a-token-of-ours"),
        ("{basic: {use: login}}", "Basic", base64.b64encode(f"countess:{PASSWORD}".encode()).decode()),
        ("{oauth2: {use: my-client}}", "Bearer", None),
    ],
)
async def test_a_call_uses_what_it_is_authenticated_with(
    run: Any, internet: Internet, policy: str, scheme: str, parameter: str | None
) -> None:
    found = await output(run, CALL % policy, {"n": 1})
    headers = internet.httpbin.last.headers
    assert headers["Authorization"] == f"{scheme} {headers['X-Copy']}"
    assert headers["X-Scheme"] == scheme
    parameter = headers["X-Copy"] if parameter is None else parameter
    assert headers["X-Copy"] == parameter
    assert found["before"]["json"]["given"] == 1
    assert found == {
        "before": {
            "scheme": scheme,
            "long": True,
            "json": {"scheme": scheme, "both": "[redacted]", "given": 1},  # what was made of it is hidden
        },
        "context": {"parameter": "[redacted]", "known": True},
        "now": None,
    }


async def test_what_a_call_is_authenticated_with_is_not_in_the_history_of_the_run(run: Any) -> None:
    ended = await run(workflow(CALL % "{oauth2: {use: my-client}}"), {"n": 1})
    assert ended.status == "completed", ended.error
    if run.name == "temporal":
        history = [event.SerializeToString().decode("latin-1") for event in await run.history(ended.run_id)]
        assert not any("eyJ" in text for text in history)  # as every token of the issuer begins


async def test_without_authentication_it_is_null(run: Any) -> None:
    body = """
    do:
      - a:
          call: http
          with: {method: post, endpoint: 'https://httpbin.org/anything', body: '${ [$authorization] }'}
          output: {as: '[.json, $authorization]'}
      - b: {set: '${ [., $authorization] }'}
    """
    assert await output(run, body) == [[[None], None], None]


async def test_digest_has_a_scheme_and_no_parameter_for_it_is_the_server_that_asks(run: Any) -> None:
    body = """
    do:
      - a:
          call: http
          with:
            method: get
            endpoint:
              uri: https://httpbin.org/digest-auth/auth/ada/lovelace/MD5
              authentication: {digest: {username: ada, password: lovelace}}
          output: {as: '$authorization'}
    """
    assert await output(run, body) == {"scheme": "Digest", "parameter": None}


async def test_a_call_cannot_be_given_it_later(run: Any) -> None:
    body = f"""
    do:
      - a:
          call: http
          with: {{method: get, endpoint: {{uri: 'https://httpbin.org/anything', authentication: {BASIC}}}}}
          output: {{as: '{{token: $authorization.parameter}}'}}
      - b: {{call: http, with: {{method: post, endpoint: 'https://httpbin.org/anything', body: '${{ .token }}'}}}}
    """
    fault = await error(run, body)
    assert (kind(fault), fault["instance"]) == ("expression", "/do/1/b")
    assert "$authorization" in fault["detail"]


def test_what_authenticates_a_call_cannot_use_it() -> None:
    found = refused(CALL % "{bearer: {token: '${ $authorization.parameter }'}}")
    assert (found.code, found.pointer) == ("invalid-expression", "/do/0/a/with")


async def test_what_is_called_authentication_in_the_data_of_a_call_is_data(
    run: Any, internet: Internet
) -> None:
    body = """
    do:
      - a:
          call: http
          with:
            method: post
            endpoint: https://httpbin.org/anything
            body: {authentication: {basic: {username: ada, password: lovelace}}, none: '${ $authorization }'}
          output: {as: '[.json.none, $authorization]'}
    """
    assert await output(run, body) == [None, None]
    assert "Authorization" not in internet.httpbin.last.headers
