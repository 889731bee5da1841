"""Subscriptions and sources use what is said of their channel (`WFE_REACH`), when they are put and when they act."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.api.documents import event
from tests.api.server import api
from tests.standins.server import serve
from workflow_engine.calls.reach import open_reach

RULES = """
- {channels: [shop], hosts: ['127.0.0.1'], secrets: [hook]}
- {channels: [other], hosts: [hooks.example], secrets: [login]}
"""
EVENTS = {"Content-Type": "application/cloudevents+json"}


def to(url: str, **target: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": url, **target}


async def test_what_a_channel_may_not_use_is_refused_and_not_used(tmp_path: Path) -> None:
    (tmp_path / "reach.yaml").write_text(RULES)
    got: list[str] = []

    async def hook(request: web.Request) -> web.Response:
        got.append((await request.json())["id"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hook)
    async with serve(app) as there, api(reach=open_reach(tmp_path / "reach.yaml")) as server:
        here = f"http://127.0.0.1:{there.port}/"
        signed = {"signing": {"secret": "hook"}}
        for channel, target, place in (
            ("shop", to(here), None),
            ("shop", to(here, **signed), None),
            ("shop", to("https://hooks.example/"), "/target/url"),
            (
                "shop",
                to(here, authentication={"basic": {"use": "login"}}),
                "/target/authentication/basic/use",
            ),
            ("other", to(here), "/target/url"),
            ("other", to("https://hooks.example/", **signed), "/target/signing/secret"),
            ("default", to(here), "/target/url"),
        ):
            body = {"id": f"s-{channel}", "channel": channel, "filters": [{"prefix": {"type": "order"}}]}
            path = f"/v1/subscriptions/s-{channel}"
            answer = await server.call("PUT", path, json={**body, "target": target})
            if place is None:
                assert answer.status in (200, 201), answer.body
            else:
                assert (answer.status, answer.json["type"]) == (403, "urn:wfe:problem:reach")
                assert answer.json["pointer"] == place
                assert "WFE_REACH" in answer.json["detail"]
        for channel, status in (("shop", 200), ("other", 403)):
            source = {"channel": channel, "verify": {"scheme": "github", "secret": "hook"}}
            assert (await server.call("PUT", f"/v1/sources/{channel}", json=source)).status == status
        # What was put before the file said so is not delivered: it goes to the dead letters, with the reason.
        found = await server.router.find_subscription("s-shop")
        for id, target in (("before", to(here)), ("signed", to("https://hooks.example/", **signed))):
            changed = {"id": id, "channel": "other", "target": target}
            await server.router.put_subscription(type(found).from_json({**found.to_json(), **changed}))
        for channel in ("shop", "other"):
            sent = await server.post(f"/v1/events?channel={channel}", json=event(channel), headers=EVENTS)
            assert sent.status == 202
        async with asyncio.timeout(10):
            letters: dict[str, str] = {}
            while len(letters) < 2:
                await asyncio.sleep(0.02)
                found = (await server.get("/v1/events?channel=dead-letters")).json["events"]
                letters = {each["event"]["dlqsubscription"]: each["event"]["dlqreason"] for each in found}
        assert "channel 'other' may call (WFE_REACH)" in letters["before"]
        assert "channel 'other' may not use it (WFE_REACH)" in letters["signed"]
        async with asyncio.timeout(10):
            while not got:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert got == ["shop"]


async def test_a_source_of_a_broker_goes_by_its_channel(tmp_path: Path) -> None:
    (tmp_path / "reach.yaml").write_text(RULES)
    document = """
asyncapi: 3.0.0
info: {title: shop, version: 1.0.0}
servers: {main: {host: 'broker.example:4222', protocol: nats}}
channels: {orders: {address: orders, messages: {order: {payload: {type: object}}}}}
operations: {placed: {action: send, channel: {$ref: '#/channels/orders'}}}
"""
    async with api(reach=open_reach(tmp_path / "reach.yaml")) as server:
        put = await server.call("PUT", "/v1/catalog/specs/shop", data=document.encode())
        assert put.status in (200, 201), put.body
        source = {"operation": "file://shop.yaml#placed", "channel": "other"}
        refused = await server.call("PUT", "/v1/sources/heard", json=source)
        assert (refused.status, refused.json["pointer"]) == (400, "/server"), refused.body
        assert "channel 'other' may call (WFE_REACH)" in refused.json["detail"]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR")
