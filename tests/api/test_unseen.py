"""What a limited token may not see is as what is not there: the answers are the same, whatever is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.api.documents import GREET, event
from tests.api.test_rights import HEADER, MARKS, SUBSCRIPTION, ask, bodies, concrete, documented, server
from tests.semantics.v1.test_subscriptions import RESOURCES
from workflow_engine import dsl
from workflow_engine.api import rights
from workflow_engine.api.gate import Gate
from workflow_engine.api.grants import Grant
from workflow_engine.api.metrics import Metrics
from workflow_engine.api.rights import DECISIONS
from workflow_engine.errors import Rejected

__all__ = ["server"]
NAMES = ("waits-1", "sub-1", "hook-1", "orders", "greet", "e-1", "tests")


ADDRESS = ("POST", "/v1/sources/{id}/events")
"""For services without a token, which are told that they have the wrong address."""


def elsewhere(path: str) -> str:
    """*path* for what is nowhere."""
    for name in NAMES:
        path = path.replace(f"/{name}", "/nowhere").replace("nowhere~b", "tests~b")
    return path


def told(answer: Any, path: str) -> tuple[int, str]:
    """What *answer* says, but for the names in the request itself."""
    text = answer.body.decode()
    for name in (*NAMES, "nowhere"):
        if name in path:
            text = text.replace(name, "NAME")
    return answer.status, text


async def test_what_is_not_to_be_seen_is_answered_like_what_is_not_there(server: Any) -> None:
    for method, path in documented(server):
        options = bodies(method, path)
        there, nowhere = concrete(path), elsewhere(concrete(path))
        if there == nowhere:
            if method == "GET" and path != "/v1/schedules":  # a list, or what is open to every token
                text = (await ask(server, "theirs", method, path)).body.decode()
                assert not any(mark in text for mark in MARKS), path
            continue
        if (method, path) == ADDRESS:
            continue
        found = await ask(server, "theirs", method, there, **options)
        options = bodies(method, path)  # its body has been read
        missing = await ask(server, "theirs", method, nowhere, **options)
        assert told(found, there) == told(missing, nowhere), (method, path)


async def test_a_limited_token_takes_no_id_of_a_run_that_the_engine_is_to_start(server: Any) -> None:
    """Else an event, a schedule or another's sub-flow would find its run begun already, by somebody else."""
    while not (runs := (await ask(server, "whole", "GET", "/v1/runs?workflow=on-order")).json["runs"]):
        pass
    (made,) = runs
    for id in (made["id"], "tests.tidy-2026-11-26T10:00:00Z", "order-1.do.0.pay", "order-1~ab.states.0.a"):
        path = f"/v1/workflows/tests/greet/1.0.0/runs?id={id}"
        refused = await ask(server, "runner", "POST", path, json={})
        assert (refused.status, refused.json["type"]) == (403, "urn:wfe:problem:grant-missing"), id
        path = f"/v1/runs?id={id}"
        refused = await ask(server, "ours", "POST", path, json={"document": GREET})
        assert refused.status == 403, id
    chosen = "/v1/workflows/tests/greet/1.0.0/runs?id=order-4711.2026-11-26"
    assert (await ask(server, "runner", "POST", chosen, json={})).status == 201


async def test_no_web_socket_is_opened_for_anybody() -> None:
    """uvicorn opens some where a library for them is installed; nothing here would ask who it is."""
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message["type"])

    async def nothing(*_: Any) -> None:
        raise AssertionError("it is not asked")

    scope: Any = {"type": "websocket", "path": "/v1/events", "headers": [], "query_string": b""}
    gate = Gate(nothing, access=None, loopback_only=False, metrics=Metrics())
    await gate(scope, receive, send)
    assert said == ["websocket.close"]


async def test_ids_that_others_have_are_not_learnt_with_a_body_that_is_refused(server: Any) -> None:
    for id in ("sub-1", "nowhere"):
        refused = await ask(server, "theirs", "POST", "/v1/subscriptions", json={**SUBSCRIPTION, "id": id})
        assert (refused.status, refused.json["pointer"]) == (403, "/channel")


async def test_readiness_tells_only_of_ones_own_sources(server: Any) -> None:
    deaf = SimpleNamespace(error="no answer", source=SimpleNamespace(channel="orders"))

    hearings = server.hearings
    hearings._ears["hook-1"] = deaf
    try:
        assert (await ask(server, "whole", "GET", "/readyz")).json["sources"] == {"hook-1": deaf.error}
        assert (await ask(server, "ours", "GET", "/readyz")).json["sources"] == {"hook-1": deaf.error}
        assert (await ask(server, "theirs", "GET", "/readyz")).json["sources"] == {}
    finally:
        del hearings._ears["hook-1"]


async def recipients(server: Any, token: str, id: str) -> set[str]:
    path = f"/v1/events/{id}/trace?channel=default"
    (trace,) = (await ask(server, token, "GET", path)).json["traces"]
    assert (trace["state"] == "none") == (not trace["recipients"])
    return {str(each.get("subscription", each.get("run_id"))) for each in trace["recipients"]}


async def test_a_trace_names_no_recipients_of_others(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an event on a channel that several hear: workflows, runs and subscriptions of others are left out."""
    headers = {"Content-Type": "application/cloudevents+json"}
    shared = {**SUBSCRIPTION, "channel": "default", "target": {"kind": "channel", "channel": "orders"}}
    shared["filters"] = [{"prefix": {"type": "order."}}]
    assert (await ask(server, "whole", "PUT", "/v1/subscriptions/sub-2", json=shared)).status == 201
    for id, type in (("t-1", "order.placed"), ("t-2", "order.paid")):
        sent = await ask(server, "whole", "POST", "/v1/events", json=event(id, type), headers=headers)
        assert sent.status == 202
    async with asyncio.timeout(10):
        for id in ("t-1", "t-2"):
            while len(await recipients(server, "whole", id)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert await recipients(server, "whole", "t-1") == {"workflow:tests/on-order", "sub-2"}
    assert await recipients(server, "whole", "t-2") == {"waits-1", "sub-2"}
    assert await recipients(server, "ours", "t-2") == {"waits-1", "sub-2"}
    assert await recipients(server, "listener", "t-1") == set()
    assert await recipients(server, "listener", "t-2") == set()
    monkeypatch.setattr(rights, "MOST_RUNS", 0)  # as if it were the last of very many
    assert await recipients(server, "ours", "t-2") == {"sub-2"}


async def test_a_dead_letter_of_others_is_not_tried_again(server: Any) -> None:
    refused = ({"specversion": "1.0", "id": "d-1", "source": "/b", "type": "x", "data": 1}, "schema", "no")
    await server.router.refuse("theirs", "elsewhere", [refused])
    (letter,) = (await ask(server, "undertaker", "GET", "/v1/events?channel=dead-letters")).json["events"]
    path = f"/v1/dead-letters/{letter['position']}/redrive"
    assert (await ask(server, "undertaker", "POST", path)).status == 404
    assert (await ask(server, "whole", "POST", path)).status == 202
    # Nor by a subscription that is called as the letters of a source are.
    named = await ask(server, "ours", "PUT", "/v1/subscriptions/source:theirs", json=SUBSCRIPTION)
    assert (named.status, named.json["type"]) == (400, "urn:wfe:problem:subscription-id")


def test_a_call_publishes_only_to_the_channels_of_its_deployer() -> None:
    """``call: asyncapi`` publishes to the channel of the operation's address, as ``emit`` does to its own."""
    for operation, channels, allowed in (
        ("note", ["default"], True),
        ("note", ["orders"], False),
        ("say", ["rooms/*"], True),
        ("say", ["*"], True),
        ("say", ["rooms/lobby"], False),
        ("say", [], False),
    ):
        given = f"{{operation: 'file://chat.yaml#{operation}', message: {{payload: {{}}}}}}"
        text = HEADER.format("tests") + f"do: [{{a: {{call: asyncapi, with: {given}}}}}]"
        graph = dsl.compile(dsl.parse(text), RESOURCES)
        grant = Grant.of("admin", ["tests"], channels)
        if allowed:
            grant.check_workflow(graph)
        else:
            with pytest.raises(Rejected, match=r"nothing can be done on channel|known only when it is made"):
                grant.check_workflow(graph)
    given = "{document: {endpoint: '${ .address }'}, channel: notes, message: {payload: {}}}"
    text = HEADER.format("tests") + f"do: [{{a: {{call: asyncapi, with: {given}}}}}]"
    with pytest.raises(Rejected, match="known only when it is made"):
        Grant.of("admin", ["tests"], ["default"]).check_workflow(dsl.compile(dsl.parse(text)))


async def test_pages_of_a_limited_token_are_full(server: Any) -> None:
    """Whatever is between its runs and events that is not for it; this server cannot ask by namespace."""
    headers = {"Content-Type": "application/cloudevents+json"}
    text = HEADER.format("elsewhere") + "do: [{a: {set: {x: 1}}}]"
    assert (await ask(server, "whole", "POST", "/v1/workflows", data=text.encode())).status == 201
    for number in range(6):
        for path in ("elsewhere/made", "tests/greet"):
            start = f"/v1/workflows/{path}/1.0.0/runs?id=page-{path[0]}{number}"
            assert (await ask(server, "whole", "POST", start, json={})).status == 201
    for number in range(6):
        for channel in ("elsewhere", "orders", "third"):
            body = event(f"page-{channel[0]}{number}", "nothing")
            sent = await ask(
                server, "whole", "POST", f"/v1/events?channel={channel}", json=body, headers=headers
            )
            assert sent.status == 202
    listed = {
        "/v1/runs": ("runs", [f"page-e{number}" for number in reversed(range(6))]),
        "/v1/events": ("events", [f"page-e{number}" for number in reversed(range(6))]),
    }
    for path, (member, expected) in listed.items():
        cursor, found, pages = "", [], []
        while cursor is not None:
            more = f"&cursor={cursor}" if cursor else ""
            page = (await ask(server, "theirs", "GET", f"{path}?limit=2{more}")).json
            found += [each["id"] if member == "runs" else each["event"]["id"] for each in page[member]]
            pages.append(len(page[member]))
            cursor = page["cursor"]
        assert found == expected, path
        assert pages in ([2, 2, 2], [2, 2, 2, 0]), path
    everything = (await ask(server, "listener", "GET", "/v1/runs?limit=100")).json
    assert {run["id"] for run in everything["runs"]} == set(listed["/v1/runs"][1])


WITHOUT_DATA = {"/", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/livez"}
"""What needs no token, and asks nobody."""


def every_route(routes: Any) -> Iterator[tuple[str, str]]:
    """All that there are, also those that the documentation does not have."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from every_route(route.original_router.routes)
        elif hasattr(route, "methods"):
            yield from (
                (method, route.path.replace(":path}", "}")) for method in sorted(route.methods - {"HEAD"})
            )


async def test_a_route_without_a_decision_is_closed_to_limited_tokens(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is in no documentation, or was included without those who decide."""
    routes = set(every_route(server.app.routes))
    assert {(method, path) for method, path in documented(server)} <= routes
    told = {f"{method} {path}" for method, path in routes if path not in WITHOUT_DATA}
    assert told - DECISIONS.keys() == set()
    monkeypatch.setattr(rights, "DECISIONS", {})
    for method, path in sorted(routes):
        if path in WITHOUT_DATA:
            continue
        address = concrete(path).replace("/webhooks/sub-1/allow", f"/webhooks/{'0' * 32}/allow?key=x")
        answer = await ask(server, "theirs", method, address, **bodies(method, path))
        assert answer.status == 403, (method, path, answer.body)
        assert answer.json["type"] == "urn:wfe:problem:grant-missing", (method, path)
