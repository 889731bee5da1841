"""Webhooks that are asked first whether they want events, as the webhooks of CloudEvents have it: a real service."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from tests.api.documents import event
from tests.api.server import api
from tests.api.test_webhooks import ANY, publish, subscribe
from tests.events.conftest import eventually
from workflow_engine.api.access import Tokens
from workflow_engine.calls import Egress
from workflow_engine.calls.handshake import Handshakes, allowed_by_callback, permission_of
from workflow_engine.errors import Conflict, Fault
from workflow_engine.events.targets import Retry

ORIGIN = "events.example.com"
CALLED = "WebHook-Allowed-Rate"


@dataclass
class Guard:
    """A service that says who may send to it: *allows* are the headers of what it answers."""

    url: str = ""
    allows: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    got: list[tuple[float, dict[str, str]]] = field(default_factory=list)
    is_away: bool = False

    async def answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        if self.is_away and request.transport is not None:
            request.transport.close()
        if request.method == "OPTIONS":
            self.asked.append(headers)
            return web.Response(status=204, headers=self.allows)
        self.got.append((time.time(), headers))
        return web.Response()


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    guard = Guard()
    app = web.Application()
    app.router.add_route("*", "/hook", guard.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    guard.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield guard
    await runner.cleanup()


def asking(**more: Any) -> dict[str, Any]:
    return {"handshake": {"origin": ORIGIN, **more}}


async def test_a_target_is_asked_once_and_sent_to_with_the_origin_no_faster_than_it_allows(
    server: Any, guard: Guard
) -> None:
    guard.allows = {"WebHook-Allowed-Origin": ORIGIN, CALLED: "300"}
    await subscribe(server, guard, target=asking(rate=1200))
    await publish(server, *(event(str(n)) for n in range(4)))
    await eventually(lambda: len(guard.got) == 4)
    [asked] = guard.asked
    assert (asked["webhook-request-origin"], asked["webhook-request-rate"]) == (ORIGIN, "1200")
    assert "authorization" not in asked
    assert {headers["webhook-request-origin"] for _, headers in guard.got} == {ORIGIN}
    permission, _ = await server.router.permission(permission_of({"origin": ORIGIN}, URL(guard.url)))
    assert permission["rate"] == 300
    turns = [permission["granted"] + n * 60 / 300 for n in range(4)]
    assert [at >= turn - 0.001 for (at, _), turn in zip(guard.got, turns, strict=True)] == [True] * 4


@pytest.mark.parametrize("allows", [{}, {"WebHook-Allowed-Origin": "other.example.com", CALLED: "*"}])
async def test_a_target_that_does_not_allow_it_gets_nothing_until_it_does(
    server: Any, guard: Guard, allows: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.calls.handshake.REFUSED", 0.2)
    guard.allows = allows
    await subscribe(server, guard, target=asking(), retry={"max_attempts": 1})
    await publish(server, event("1"))
    await eventually(lambda: len(guard.asked) >= 2)
    assert guard.got == []
    [trace] = (await server.get("/v1/events/1/trace")).json["traces"]
    assert trace["recipients"][0]["attempts"][0]["code"] == "not-allowed"
    guard.allows = {"WebHook-Allowed-Origin": "*"}
    await eventually(lambda: guard.got)


async def test_a_target_may_allow_it_later_by_calling_back_without_a_token(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.calls.handshake.WAITING", 0.2)
    async with api(access=Tokens({"admin": "t"}), loopback_only=False) as server:
        known = {"headers": {"Authorization": "Bearer t"}}
        target = {"kind": "webhook", "url": guard.url, **asking(callback=server.url)}
        body = {"filters": [], "target": target, "retry": {"max_attempts": 1}}
        assert (await server.call("PUT", "/v1/subscriptions/s", json=body, **known)).status == 201
        published = {"Content-Type": "application/cloudevents+json", **known["headers"]}
        assert (await server.post("/v1/events", json=event("1"), headers=published)).status == 202
        await eventually(lambda: guard.asked)
        callback = guard.asked[0]["webhook-request-callback"].removeprefix(server.url)
        assert (await server.get(callback.partition("key=")[0] + "key=guessed")).status == 404
        assert (await server.get(f"/v1/webhooks/{'0' * 32}/allow?key=")).status == 404
        assert guard.got == []
        answer = await server.call("POST", callback, headers={CALLED: "120"})
        assert answer.status == 200, answer.json
        await eventually(lambda: guard.got)
        assert len(guard.asked) == 1
        assert (await server.get(callback)).status == 200, "as an administrator may by a browser"


class Kept:
    """Permissions of one process."""

    def __init__(self) -> None:
        self.notes: dict[str, tuple[dict[str, Any], int]] = {}

    async def permission(self, id: str) -> tuple[dict[str, Any], int]:
        return self.notes.get(id, ({}, 0))

    async def keep_permission(self, id: str, note: dict[str, Any], rev: int) -> None:
        if self.notes.get(id, ({}, 0))[1] != rev:
            raise Conflict("another one was faster")
        self.notes[id] = (note, rev + 1)


async def test_a_permission_is_asked_for_again_each_day_and_outlives_a_target_that_does_not_answer(
    guard: Guard,
) -> None:
    now, spec = 1e9, {"origin": ORIGIN}
    handshakes = Handshakes(lambda: now)
    handshakes.permissions = Kept()
    async with Egress() as egress:

        async def turn(url: str = guard.url) -> float:
            return await handshakes.turn(spec, URL(url), egress)

        guard.allows = {"WebHook-Allowed-Origin": "*", CALLED: "60000"}
        assert (await turn(), await turn()) == (0.001, 0.001)
        assert len(guard.asked) == 1
        now += 2 * 86_400
        port, guard.url = guard.url, "http://127.0.0.1:1/hook"
        [(id, (note, rev))] = handshakes.permissions.notes.items()
        away = permission_of(spec, URL(guard.url))
        handshakes.permissions.notes[away] = (note, rev)
        assert await turn(guard.url) == 0.001, "it was allowed, and nobody says that it is not"
        guard.allows = {}
        with pytest.raises(Retry, match="does not allow it"):
            await turn(port)
        assert (len(guard.asked), handshakes.permissions.notes[id][0]["granted"]) == (2, None)


async def test_a_target_that_was_away_when_it_was_asked_is_asked_again_and_not_waited_for(
    guard: Guard,
) -> None:
    now, spec = 1e9, {"origin": ORIGIN, "callback": "https://api.example.com"}
    handshakes = Handshakes(lambda: now)
    handshakes.permissions = Kept()
    async with Egress() as egress:
        guard.is_away = True
        with pytest.raises(Fault, match="OPTIONS"):
            await handshakes.turn(spec, URL(guard.url), egress)
        guard.is_away, now = False, now + 30
        guard.asked.clear()
        for _ in range(2):
            with pytest.raises(Retry, match="was asked, and has not called back"):
                await handshakes.turn(spec, URL(guard.url), egress)
            assert len(guard.asked) == 1


async def test_subscriptions_of_one_target_ask_once_for_the_highest_rate_and_each_keeps_to_its_own(
    guard: Guard,
) -> None:
    now = 1e9
    handshakes = Handshakes(lambda: now)
    handshakes.permissions = Kept()
    guard.allows = {"WebHook-Allowed-Origin": ORIGIN, CALLED: "6000"}
    async with Egress() as egress:

        async def turn(**more: Any) -> float:
            nonlocal now
            now += 60
            return await handshakes.turn({"origin": ORIGIN, **more}, URL(guard.url), egress)

        for _ in range(3):
            assert [await turn(rate=60), await turn(rate=120), await turn(rate=60)] == [1.0, 0.5, 1.0]
        assert [asked["webhook-request-rate"] for asked in guard.asked] == ["60", "120"]
        assert [await turn(), await turn(rate=9_000), await turn(rate=60)] == [0.01, 0.01, 1.0]
        assert len(guard.asked) == 3


async def test_a_clock_that_is_put_back_holds_up_nothing(guard: Guard) -> None:
    now = 1e9
    handshakes = Handshakes(lambda: now)
    handshakes.permissions = Kept()
    guard.allows = {"WebHook-Allowed-Origin": ORIGIN, CALLED: "1"}
    async with Egress() as egress:
        spec = {"origin": ORIGIN}
        assert await handshakes.turn(spec, URL(guard.url), egress) == 60.0
        with pytest.raises(Retry, match="1 a minute are allowed"):
            await handshakes.turn(spec, URL(guard.url), egress)
        now -= 3600
        assert await handshakes.turn(spec, URL(guard.url), egress) == 60.0


async def test_a_target_that_has_called_back_is_sent_to_while_it_is_asked_for_a_higher_rate(
    guard: Guard,
) -> None:
    now, url = 1e9, URL(guard.url)
    spec: dict[str, Any] = {"origin": ORIGIN, "rate": 60, "callback": "https://api.example.com"}
    handshakes = Handshakes(lambda: now)
    handshakes.permissions = kept = Kept()
    async with Egress() as egress:
        with pytest.raises(Retry, match="has not called back"):
            await handshakes.turn(spec, url, egress)
        id = permission_of(spec, url)
        key = str((await kept.permission(id))[0]["key"])
        await allowed_by_callback(kept, id, key, {}, now)
        assert await handshakes.turn(spec, url, egress) == 1.0
        now += 60
        assert [await handshakes.turn({**spec, "rate": 120}, url, egress) for _ in range(2)] == [1.0, 1.0]
        assert len(guard.asked) == 2
        await allowed_by_callback(kept, id, key, {"webhook-allowed-rate": "120"}, now)
        now += 60
        assert await handshakes.turn({**spec, "rate": 120}, url, egress) == 0.5


def test_a_permission_is_for_one_address_by_its_very_letters_and_for_one_name_however_it_is_written():
    def of(origin: str, address: str) -> str:
        return permission_of({"origin": origin}, URL(address))

    assert of("Events.Example.com", "http://A.example/hook") == of(
        "events.example.com", "http://a.example/hook"
    )
    assert of("events.example.com", "http://a.example/Hook") != of(
        "events.example.com", "http://a.example/hook"
    )


@pytest.mark.parametrize(
    ("handshake", "place"),
    [
        ("yes", ""),
        ({"origin": "a b"}, "/origin"),
        ({}, "/origin"),
        ({"origin": "a.b", "rate": 0}, "/rate"),
        ({"origin": "a.b", "rate": True}, "/rate"),
        ({"origin": "a.b", "callback": "api"}, "/callback"),
        ({"origin": "a.b", "callback": "https://a.b/?c=d"}, "/callback"),
        ({"origin": "a.b", "colour": "red"}, "/colour"),
    ],
)
async def test_what_is_no_handshake_is_refused_with_its_place(
    server: Any, guard: Guard, handshake: Any, place: str
) -> None:
    target = {"kind": "webhook", "url": guard.url, "handshake": handshake}
    answer = await server.call("PUT", "/v1/subscriptions/s", json={"filters": [], "target": target})
    assert (answer.status, answer.json["pointer"]) == (400, f"/target/handshake{place}")


async def test_a_permission_goes_with_the_last_subscription_that_needs_it(server: Any, guard: Guard) -> None:
    guard.allows = {"WebHook-Allowed-Origin": "*", CALLED: "6000"}

    async def kept(origin: str = ORIGIN) -> bool:
        return (await server.router.permission(permission_of({"origin": origin}, URL(guard.url))))[1] > 0

    for id in ("one", "two"):
        await subscribe(server, guard, id, target=asking())
    await publish(server, event("1"))
    await eventually(lambda: len(guard.got) == 2)
    assert (await server.call("DELETE", "/v1/subscriptions/one")).status == 204
    assert await kept()
    other = {"kind": "webhook", "url": guard.url, "handshake": {"origin": "other.example.com"}}
    body = {"strategy": ANY, "target": other}
    assert (await server.call("PUT", "/v1/subscriptions/two", json=body)).status == 200
    assert not await kept()
    await publish(server, event("2"))
    await eventually(lambda: len(guard.got) == 3)
    assert await kept("other.example.com")
    assert (await server.call("DELETE", "/v1/subscriptions/two")).status == 204
    assert not await kept("other.example.com")
