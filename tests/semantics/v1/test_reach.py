"""What each namespace may reach (`WFE_REACH`) holds where a call is made, whoever started the run; on both runtimes."""

from __future__ import annotations

from typing import Any

from tests.running import KEY
from tests.semantics.v1.documents import event, kind, workflow
from tests.standins.internet import Internet
from workflow_engine.calls.reach import reaches_of

REACH = reaches_of(
    [
        {"namespaces": ["shop"], "hosts": ["httpbin.org"], "secrets": ["key"]},
        {"namespaces": ["semantics*", "shop"], "hosts": ["*.swagger.io"]},
    ]
)
"""What the runs of this file are held to (`tests.running`)."""
GET = "do: [{a: {call: http, with: {method: get, endpoint: %s}}}]"
PETS = "'https://petstore.swagger.io/v2/pet/findByStatus?status=available'"
SECRET = "use: {secrets: [key]}\ndo: [{a: {set: {same: '${ $secrets.key == .given }'}}}]"
OTHER = workflow(GET % "'https://httpbin.org/get'", name="other", namespace="shop")


async def error_of(run: Any, text: str, input: Any = None, **options: Any) -> Any:
    ended = await run(text, input, **options)
    assert ended.status == "faulted", ended.output
    return ended.error


async def test_a_host_that_a_namespace_may_not_call_is_an_authorization_fault(run: Any) -> None:
    for endpoint in ("'https://httpbin.org/get'", "'${ .url }'", "{uri: 'https://{host}/get'}"):
        refused = await error_of(
            run, workflow(GET % endpoint), {"url": "https://httpbin.org/get", "host": "httpbin.org"}
        )
        assert (kind(refused), refused["status"]) == ("authorization", 403)
        assert "not among those that namespace 'semantics' may call (WFE_REACH)" in refused["detail"]
    # By a redirect, too: what is called at first is allowed.
    leading = "{uri: 'https://httpbin.org/redirect-to?url=https%3A%2F%2Fissuer.example%2F'}, redirect: true"
    refused = await error_of(run, workflow(GET % leading, namespace="shop"))
    assert "'issuer.example' is not among those that namespace 'shop'" in refused["detail"]


async def test_what_a_namespace_may_reach_it_reaches(run: Any) -> None:
    assert (await run(workflow(GET % PETS), None)).status == "completed"
    assert (
        await run(workflow(GET % "'https://httpbin.org/get'", namespace="shop"), None)
    ).status == "completed"
    found = await run(workflow(SECRET, namespace="shop"), {"given": KEY})
    assert found.output == {"same": True}


async def test_a_secret_that_a_namespace_may_not_use_is_an_authorization_fault(
    run: Any, internet: Internet
) -> None:
    """Where a call uses it, where an expression does, and where only a condition does."""
    header = "use: {secrets: [key]}\n"
    call = f"{{method: get, endpoint: {PETS}, headers: {{X-Key: '${{ $secrets.key }}'}}}}"
    for body in (
        SECRET,
        header + f"do: [{{a: {{call: http, with: {call}}}}}]",
        header + "do: [{a: {if: $secrets.key != null, set: {x: 1}}}]",
    ):
        refused = await error_of(run, workflow(body), {"given": 1})
        assert (kind(refused), refused["status"]) == ("authorization", 403)
        assert "no secret 'key'; namespace 'semantics' may not use it (WFE_REACH)" in refused["detail"]
        assert KEY not in str(refused)


async def test_a_sub_flow_reaches_what_its_own_namespace_may(run: Any) -> None:
    call = "do: [{a: {run: {workflow: {namespace: %s, name: other, version: '1.0.0'}}}}]"
    assert (await run(workflow(call % "shop"), None, others=[OTHER])).status == "completed"
    there = workflow(GET % "'https://httpbin.org/get'", name="other", namespace="semantics")
    refused = await error_of(run, workflow(call % "semantics", namespace="shop"), others=[there])
    assert "namespace 'semantics'" in refused["detail"]


async def test_a_run_that_an_event_starts_reaches_no_more(run: Any) -> None:
    body = "schedule: {on: {one: {with: {type: go}}}}\n" + GET % "'https://httpbin.org/get'"
    refused = await error_of(run, workflow(body), events=[event("go", "1")])
    assert (kind(refused), refused["status"]) == ("authorization", 403)
