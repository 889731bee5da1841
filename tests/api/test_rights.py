"""Tokens that are limited to namespaces and channels: what they may not see is not there, whatever the route."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.documents import GREET, ON_EVENT, WAIT, event
from tests.api.server import Api, Reply, api
from tests.semantics.v1.test_subscriptions import RESOURCES, subscribe
from workflow_engine import dsl
from workflow_engine.api.access import Tokens
from workflow_engine.api.batches import _within, called
from workflow_engine.api.grants import Grant, grant, tokens_in
from workflow_engine.api.rights import DECISIONS, everybody
from workflow_engine.engine.batches import Batch
from workflow_engine.engine.runtime import RunQuery
from workflow_engine.engine.scheduling import Scheduling
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.runtimes.temporal.batches import TemporalBatches
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.schedules import TemporalSchedules
from workflow_engine.settings import Settings

LISTED = [
    {"name": "theirs", "token": "theirs", "role": "admin", "namespaces": ["elsewhere"], "channels": ["elsewhere"]},
    {"name": "ours", "token": "ours", "role": "admin", "namespaces": ["tests"], "channels": ["orders", "def*"]},
    {"token": "runner", "role": "run", "namespaces": ["tests"]},
    {"token": "shop", "role": "read", "namespaces": "tests shop", "channels": "*"},
    {"token": "listener", "role": "read", "namespaces": ["elsewhere"], "channels": ["default"]},
    {"token": "undertaker", "role": "admin", "namespaces": ["tests"], "channels": ["orders", "dead-letters"]},
]  # fmt: skip
HEADER = "document: {{dsl: '1.0.0', namespace: {}, name: made, version: '1.0.0'}}\n"
SUBSCRIPTION: dict[str, Any] = {
    "channel": "orders",
    "target": {"kind": "channel", "channel": "default"},
    "filters": [{"exact": {"type": "order.placed"}}],
}
SOURCE = {"verify": {"scheme": "github", "secret": "hook"}, "channel": "orders"}
MARKS = ("greet", "waits-1", "sub-1", "hook-1", "order.placed", '"orders"', "on-order")
"""What no answer to somebody from elsewhere may have."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Api]:
    file = tmp_path / "tokens.yaml"
    file.write_text(json.dumps(LISTED))
    tokens = Tokens({"admin": "whole"}, tokens_in(file))
    async with api(access=tokens, loopback_only=False) as running:
        for text in (GREET, WAIT, ON_EVENT):
            assert (await ask(running, "whole", "POST", "/v1/workflows", data=text.encode())).status == 201
        runs = "/v1/workflows/tests/wait/1.0.0/runs?id=waits-1"
        assert (await ask(running, "whole", "POST", runs, json={})).status == 201
        assert (await ask(running, "whole", "PUT", "/v1/channels/orders", json={})).status == 200
        assert (
            await ask(running, "whole", "PUT", "/v1/subscriptions/sub-1", json=SUBSCRIPTION)
        ).status == 201
        assert (await ask(running, "whole", "PUT", "/v1/sources/hook-1", json=SOURCE)).status == 200
        assert (await publish(running, "whole", "orders")).status == 202
        yield running


async def ask(server: Api, token: str, method: str, path: str, **options: Any) -> Reply:
    headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
    if isinstance(options.get("data"), bytes):
        headers.setdefault("Content-Type", "application/yaml")
    return await server.call(method, path, headers=headers, **options)


async def publish(server: Api, token: str, channel: str, id: str = "e-1") -> Reply:
    headers = {"Content-Type": "application/cloudevents+json"}
    return await ask(server, token, "POST", f"/v1/events?channel={channel}", json=event(id), headers=headers)


def concrete(path: str) -> str:
    """*path* for what is there, and not for who is elsewhere."""
    named = {
        "{namespace}": "tests", "{version}": "1.0.0", "{contract}": "openapi", "{run_id}": "waits-1",
        "{batch_id}": "tests~b", "{event_id}": "e-1", "{position}": "0:0", "{service}": "s", "{operation}": "o",
        "{id}": "hook-1" if "/sources/" in path else "sub-1",
        "{command}": "pause" if "/schedules/" in path else "cancel",
        "{name}": "orders" if "/channels/" in path else "greet-hourly" if "/schedules/" in path else "greet",
    }  # fmt: skip
    for name, value in named.items():
        path = path.replace(name, value)
    return path


def bodies(method: str, path: str) -> dict[str, Any]:
    body: Any = {
        "POST /v1/workflows": GREET,
        "POST /v1/workflows/validate": GREET,
        "POST /v1/workflows/check": GREET,
        "POST /v1/runs": {"document": GREET},
        "POST /v1/runs/batch": {"command": "cancel", "ids": ["waits-1"]},
        "POST /v1/events": event("e-2"),
        "POST /v1/subscriptions": {**SUBSCRIPTION, "id": "new"},
        "PUT /v1/subscriptions/{id}": SUBSCRIPTION,
        "POST /v1/subscriptions/{id}/seek": {"start": "earliest"},
        "POST /v1/subscriptions/test": {"filters": [{"exact": {"type": "a"}}], "event": event("e-3", "a")},
        "PUT /v1/sources/{id}": SOURCE,
    }.get(f"{method} {path}", {} if method in ("POST", "PUT") else None)
    if isinstance(body, str):
        return {"data": body.encode()}
    if path == "/v1/events" and method == "POST":
        return {"json": body, "headers": {"Content-Type": "application/cloudevents+json"}}
    return {} if body is None else {"json": body}


def documented(server: Api) -> list[tuple[str, str]]:
    paths = server.app.openapi()["paths"]
    return [(method.upper(), path) for path, found in paths.items() for method in found]


async def test_every_route_has_a_decision(server: Api) -> None:
    routes = {f"{method} {path}" for method, path in documented(server)}
    optional = {"POST /v1/codec/decode", "POST /v1/codec/encode"}  # where payloads are kept apart
    assert routes - DECISIONS.keys() == set()
    allow = "/v1/webhooks/{id}/allow"
    undocumented = {
        "OPTIONS /v1/codec/{direction}",
        "OPTIONS /v1/sources/{id}/events",
        f"GET {allow}",
        f"POST {allow}",
    }  # webhooks of CloudEvents
    assert DECISIONS.keys() - routes <= optional | undocumented


@pytest.mark.temporal
async def test_no_route_shows_or_changes_what_a_token_is_not_for(server: Api, temporal_address: str) -> None:
    client = await connect(temporal_address, "default", lazy=True)
    server.engine.batches = TemporalBatches(client, "nobody", server.runtime)
    schedules = TemporalSchedules(client, f"test-{uuid.uuid4()}", search_attributes=False)
    server.engine.scheduling = Scheduling(server.engine._store, schedules)
    hourly = HEADER.format("tests").replace("made", "greet-hourly")
    hourly += "schedule: {every: PT1H}\ndo: [{a: {wait: PT1H}}]"
    assert (await ask(server, "whole", "POST", "/v1/workflows", data=hourly.encode())).status == 201
    try:
        await _no_route_shows_or_changes(server)
        shown = (await ask(server, "ours", "GET", "/v1/schedules")).json["schedules"]
        assert [each["name"] for each in shown] == ["greet-hourly"]
    finally:
        await schedules.remove("tests", "greet-hourly")


async def _no_route_shows_or_changes(server: Api) -> None:
    before = await everything(server)
    for method, path in documented(server):
        key = f"{method} {path}"
        answer = await ask(server, "theirs", method, concrete(path), **bodies(method, path))
        if DECISIONS[key] is everybody:
            continue
        told = answer.body.decode()
        if answer.status == 200:  # a list, without what is not to be seen
            assert not any(mark in told for mark in MARKS), (key, told)
        else:
            assert answer.status in (403, 404), (key, answer.status, told)
        if answer.status == 403:
            assert answer.json is not None
            assert answer.json["type"] == "urn:wfe:problem:grant-missing", (key, told)
            assert "the namespaces elsewhere and the channels elsewhere" in answer.json["detail"]
    assert await everything(server) == before


async def everything(server: Api) -> list[Any]:
    lists = ("workflows", "schedules", "runs", "subscriptions", "sources", "events?channel=orders")
    return [(await ask(server, "whole", "GET", f"/v1/{name}")).json for name in lists]


async def test_a_limited_token_has_all_that_is_its_own(server: Api) -> None:
    for method, path, expected in (
        ("GET", "/v1/workflows/tests/greet", 200),
        ("GET", "/v1/workflows/tests/greet/1.0.0/openapi", 200),
        ("GET", "/v1/runs/waits-1", 200),
        ("GET", "/v1/subscriptions/sub-1", 200),
        ("GET", "/v1/sources/hook-1", 200),
        ("GET", "/v1/events/e-1/trace", 200),
        ("POST", "/v1/runs/waits-1/suspend", 202),
        ("POST", "/v1/workflows", 200),
    ):
        answer = await ask(server, "ours", method, path, **bodies(method, path))
        assert answer.status == expected, (path, answer.body)
    assert (await publish(server, "ours", "orders", "e-7")).status == 202
    assert (await publish(server, "ours", "default", "e-8")).status == 202  # by def*
    found = await ask(server, "ours", "GET", "/v1/runs")
    assert "waits-1" in [run["id"] for run in found.json["runs"]]
    listed = (await ask(server, "ours", "GET", "/v1/workflows")).json["workflows"]
    assert {each["name"] for each in listed} == {"greet", "wait", "on-order"}
    events = (await ask(server, "ours", "GET", "/v1/events")).json["events"]
    assert {each["channel"] for each in events} >= {"orders"}
    assert [each["name"] for each in (await ask(server, "ours", "GET", "/v1/channels")).json["channels"]] == [
        "default",
        "orders",
    ]


async def test_what_is_limited_in_namespaces_alone_has_no_channel(server: Api) -> None:
    refused = await publish(server, "runner", "orders")
    assert refused.status == 403
    assert "the token is for the namespaces tests and no channels" in refused.json["detail"]
    assert (await ask(server, "runner", "GET", "/v1/subscriptions")).json == {
        "subscriptions": [],
        "cursor": None,
    }
    run = "/v1/workflows/tests/greet/1.0.0/runs?wait=10"
    assert (await ask(server, "runner", "POST", run, json={})).status == 200
    assert (await publish(server, "shop", "orders", "e-9")).json["type"] == "urn:wfe:problem:role-missing"
    assert (await ask(server, "shop", "GET", "/v1/events?channel=orders")).status == 200


REACHING = {
    "namespace 'elsewhere'": (
        HEADER.format("elsewhere") + "do: [{a: {set: {x: 1}}}]",
        HEADER.format("tests")
        + "do: [{a: {run: {workflow: {namespace: elsewhere, name: b, version: latest}}}}]",
    ),
    "channel 'secret'": (
        HEADER.format("tests")
        + "do: [{a: {emit: {event: {with: {type: a, source: /b}}}, metadata: {channel: secret}}}]",
        HEADER.format("tests")
        + "do: [{a: {listen: {to: {one: {with: {type: a}}}}, metadata: {channel: secret}}}]",
    ),
}


async def test_a_workflow_must_not_reach_what_its_deployer_may_not(server: Api) -> None:
    for said, body in [(said, body) for said, bodies in REACHING.items() for body in bodies]:
        for path, options in (
            ("/v1/workflows", {"data": body.encode()}),
            ("/v1/runs", {"json": {"document": body}}),
            ("/v1/workflows/check", {"data": body.encode()}),
        ):
            refused = await ask(server, "ours", "POST", path, **options)
            assert refused.status == 403, path
            assert said in refused.json["detail"]
    assert (await ask(server, "whole", "GET", "/v1/workflows/tests/made")).status == 404


async def test_subscriptions_and_sources_lead_only_to_what_is_ones_own(server: Api) -> None:
    wanted = {**SUBSCRIPTION, "target": {"kind": "channel", "channel": "secret"}}
    assert (await ask(server, "ours", "POST", "/v1/subscriptions", json=wanted)).status == 403
    wanted = {**SUBSCRIPTION, "target": {"kind": "workflow", "namespace": "shop", "name": "x"}}
    assert (await ask(server, "ours", "POST", "/v1/subscriptions", json=wanted)).status == 403
    replying = {"kind": "webhook", "url": "http://127.0.0.1:1/", "replies": "secret"}
    refused = await ask(
        server, "ours", "POST", "/v1/subscriptions", json={**SUBSCRIPTION, "target": replying}
    )
    assert (refused.status, refused.json["pointer"]) == (403, "/target/replies")
    replying["replies"] = "orders"
    allowed = await ask(
        server, "ours", "POST", "/v1/subscriptions", json={**SUBSCRIPTION, "target": replying}
    )
    assert allowed.status == 201
    assert (await ask(server, "ours", "PUT", "/v1/subscriptions/sub-1", json=SUBSCRIPTION)).status == 200
    theirs = {**SUBSCRIPTION, "channel": "elsewhere", "target": {"kind": "channel", "channel": "elsewhere"}}
    taken = await ask(server, "theirs", "PUT", "/v1/subscriptions/sub-1", json=theirs)
    assert (taken.status, "is taken" in taken.json["detail"]) == (403, True)
    source = {**SOURCE, "channel": "elsewhere"}
    assert (await ask(server, "ours", "PUT", "/v1/sources/other", json=source)).status == 403
    assert (await ask(server, "theirs", "PUT", "/v1/sources/hook-1", json=source)).status == 403


async def test_a_batch_of_a_limited_token_stays_in_its_namespace(server: Api) -> None:
    engine = server.engine
    grant(Grant.of("admin", ["tests"], None))
    every = Batch("cancel", RunQuery())
    assert (await _within(engine, every))[0].query.namespace == "tests"
    by_ids = Batch("cancel", ids=("waits-1",))
    assert await _within(engine, by_ids) == (Batch("cancel", RunQuery("tests"), ("waits-1",)), "tests~")
    with pytest.raises(Rejected, match="'shop'"):
        await _within(engine, Batch("cancel", RunQuery("shop")))
    with pytest.raises(
        Rejected, match="batches of namespace 'shop'"
    ):  # which who may all would give to its tokens
        called("shop~all", every, "")
    grant(Grant.of("admin", ["shop", "stock"], None))
    with pytest.raises(Rejected, match="say which"):
        await _within(engine, every)
    with pytest.raises(NotFound):
        await _within(engine, by_ids)


@pytest.mark.parametrize(
    "text",
    ["{}", "[1]", "[{role: admin}]", "[{token: a, role: king}]", "[{token: a, role: run, namespace: x}]",
     "[{token: a, sha256: b, role: run}]", "[{sha256: ABC, role: run}]", "[{token: a, role: run, channels: [1]}]",
     "[{token: a, role: run, channels: ['a*b']}]", "[", None],
)  # fmt: skip
def test_a_file_of_tokens_that_is_wrong_is_refused(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "tokens.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Rejected, match="WFE_API_TOKENS"):
        list(tokens_in(file))


def test_more_tokens_go_with_that_of_the_workers(tmp_path: Path) -> None:
    with pytest.raises(Rejected):
        Settings.from_env({"WFE_API_TOKENS": str(tmp_path / "tokens.yaml")})


def test_what_a_workflow_subscribes_to_must_be_a_channel_of_its_deployer() -> None:
    text = HEADER.format("tests") + f"do: [{{a: {subscribe('{consume: {amount: 1}}', operation='heard')}}}]"
    graph = dsl.compile(dsl.parse(text), RESOURCES)
    Grant.of("admin", ["tests"], ["rooms/lobby"]).check_workflow(graph)
    with pytest.raises(Rejected, match="'rooms/lobby'"):
        Grant.of("admin", ["tests"], ["default"]).check_workflow(graph)


def test_a_workflow_of_0_8_stays_in_its_namespace() -> None:
    text = (
        "id: a\nspecVersion: '0.8'\nstates:\n"
        "  - {name: a, type: operation, actions: [{subFlowRef: other}], end: {continueAs: next}}\n"
    )
    graph = dsl.compile(dsl.parse(text))
    Grant.of("admin", ["default"], []).check_workflow(graph)
    with pytest.raises(Rejected, match="namespace 'default'"):
        Grant.of("admin", ["tests"], []).check_workflow(graph)
