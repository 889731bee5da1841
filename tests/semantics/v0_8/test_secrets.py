"""Secrets in DSL 0.8 (decision B40): `$SECRETS`, and its alias `$SECRET`, as in DSL 1.0 kept as references."""

from __future__ import annotations

from typing import Any

import pytest

from tests.running import KEY, PASSWORD
from tests.semantics.v0_8.documents import error, kind, output, problems, refused, workflow
from tests.semantics.v0_8.services import services

BODY = """
secrets: [key, login, absent]
functions: [{name: send, operation: 'https://service.example/api.json#send'}]
states:
  - {name: A, type: inject, data: {token: '${ $SECRETS.key }', part: '${ $SECRET.key[0:4] }'}, transition: B}
  - name: B
    type: switch
    dataConditions:
      - {condition: '${ $SECRETS.key == "guess" }', end: true}
      - {condition: '${ $SECRETS.login.username == "countess" and .token == $SECRETS.key }', transition: C}
    defaultCondition: {end: true}
  - name: C
    type: operation
    actions:
      - functionRef:
          refName: send
          arguments: {token: '${ .token }', password: '${ $SECRETS.login.password }', n: '${ .n }'}
        actionDataFilter: {results: '${ {answer: ., user: $SECRETS.login.username} }'}
    stateDataFilter: {output: '${ . + {code: ($SECRETS.key | @base64)} }'}
    end: {produceEvents: [{eventRef: done, data: '${ {token: .token} }'}]}
events: [{name: done, type: t.done, source: here, kind: produced}]
"""


async def test_b40_secrets_are_used_in_conditions_data_filters_and_arguments(run: Any) -> None:
    async with services(send=lambda given: {"echo": given["token"], "n": given["n"]}) as service:
        ended = await run(workflow(BODY), {"n": 1}, resources=await service.pin(workflow(BODY)))
        assert ended.status == "completed", ended.error
        assert service.calls == [("send", {"token": KEY, "password": PASSWORD, "n": 1})]
    hidden = "[redacted]"
    assert ended.output == {
        "n": 1,
        "token": hidden,
        "part": hidden,
        "answer": {"echo": hidden, "n": 1},
        "user": hidden,
        "code": hidden,
    }
    if run.name == "local":
        assert ended.channels["default"][0]["data"] == {"token": hidden}
    else:
        history = [event.SerializeToString().decode("latin-1") for event in await run.history(ended.run_id)]
        assert not any(value in text for text in history for value in (KEY, PASSWORD[:8], "s3cr3t"))


async def test_b40_a_secret_that_is_not_there_is_an_authorization_fault(run: Any) -> None:
    body = (
        "secrets: [absent]\nstates: [{name: A, type: inject, data: {x: '${ $SECRETS.absent }'}, end: true}]"
    )
    fault = await error(run, body)
    assert (kind(fault), fault["status"]) == ("authorization", 403)


async def test_b40_an_expression_function_may_use_secrets(run: Any) -> None:
    body = """
    secrets: [key]
    functions: [{name: known, type: expression, operation: '.key == $SECRETS.key'}]
    states:
      - name: A
        type: switch
        dataConditions: [{condition: '${ fn:known }', transition: B}]
        defaultCondition: {end: true}
      - {name: B, type: inject, data: {known: true}, end: true}
    """
    assert await output(run, body, {"key": KEY}) == {"key": KEY, "known": True}


@pytest.mark.parametrize(
    ("state", "code", "pointer"),
    [
        (
            "{name: A, type: inject, data: {x: '${ $SECRETS.kee }'}, end: true}",
            "unknown-secret",
            "/states/0/data/x",
        ),
        ("{name: A, type: inject, data: {x: '${ $SECRETS }'}, end: true}", "unsupported", "/states/0/data/x"),
        (
            "{name: A, type: sleep, duration: '${ $SECRETS.key }', end: true}",
            "unsupported",
            "/states/0/duration",
        ),
    ],
)
def test_b40_a_secret_is_listed_and_named_and_is_no_duration(state: str, code: str, pointer: str) -> None:
    found = refused(f"secrets: [key]\nstates: [{state}]")
    assert (found.code, found.pointer) == (code, pointer)


def test_b40_without_a_list_there_is_no_secret() -> None:
    [found] = problems("states: [{name: A, type: inject, data: {x: '${ $SECRET.key }'}, end: true}]")
    assert (found.code, found.pointer) == ("unknown-secret", "/states/0/data/x")


def test_b40_a_secret_is_nothing_that_the_router_compares_events_with() -> None:
    found = refused(
        """
        secrets: [key]
        events:
          - name: E
            type: a
            source: s
            correlation: [{contextAttributeName: order, contextAttributeValue: '${ $SECRETS.key }'}]
        functions: [{name: f, type: expression, operation: .}]
        states:
          - {name: A, type: event, onEvents: [{eventRefs: [E], actions: [{functionRef: f}]}], end: true}
        """
    )
    assert (found.code, found.pointer) == ("unsupported", "/events/0/correlation/0/contextAttributeValue")
