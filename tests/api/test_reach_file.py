"""The file of `WFE_REACH` is read again when it changes, and a wrong one changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.api.server import api
from workflow_engine.calls import Egress
from workflow_engine.calls.reach import MAX_BYTES
from workflow_engine.calls.reach_file import ReachFile, kept_reach
from workflow_engine.calls.secrets import GivenSecrets
from workflow_engine.errors import Fault, NotFound, Rejected

BEFORE = "- {namespaces: [shop], channels: [shop], hosts: [broker.example, '127.0.0.1'], secrets: [hook]}"
AFTER = "- {namespaces: [shop], channels: [shop], hosts: [other.example]}"
ORDERS = """
asyncapi: 3.0.0
info: {title: shop, version: 1.0.0}
servers: {main: {host: '127.0.0.1:1', protocol: nats}}
channels: {orders: {address: orders, messages: {order: {payload: {type: object}}}}}
operations: {placed: {action: send, channel: {$ref: '#/channels/orders'}}}
"""


async def test_who_was_let_is_held_to_the_new_file_and_a_wrong_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "reach.yaml"
    file.write_text(BEFORE)
    kept = ReachFile(file)
    hook = {"kind": "webhook", "url": "https://broker.example/"}
    body = {"channel": "shop", "filters": [], "target": hook}
    async with api(reach=kept.reaches) as server:

        async def status() -> int:
            return (await server.call("PUT", "/v1/subscriptions/s", json=body)).status

        assert await status() == 201
        for wrong in ("- {namespaces: [shop], hosts: 7}", "- [", "", "#" * (MAX_BYTES + 1), None):
            file.unlink() if wrong is None else file.write_text(wrong)
            assert await kept.refresh() is False
            assert await status() == 200
            told = (await server.get("/readyz")).json
            assert (told["status"], "stays as it was: WFE_REACH" in told["warnings"]["reach"]) == (
                "ready",
                True,
            )
            assert 'wfe_warning{about="reach"} 1' in (await server.get("/metrics")).body.decode()
        assert len([each for each in caplog.records if "stays as it was" in each.message]) == 5
        file.write_text(AFTER)
        assert await kept.refresh() is True
        assert await status() == 403
        assert (await server.get("/readyz")).json["warnings"] == {}
        assert await kept.refresh() is False


async def test_a_source_of_a_broker_is_heard_by_the_new_file(tmp_path: Path) -> None:
    file = tmp_path / "reach.yaml"
    file.write_text(BEFORE)
    kept = ReachFile(file)
    async with api(reach=kept.reaches) as server:
        await server.call("PUT", "/v1/catalog/specs/shop", data=ORDERS.encode())
        source = {"operation": "file://shop.yaml#placed", "channel": "shop"}
        made = await server.call("PUT", "/v1/sources/heard", json=source)
        assert made.status in (200, 201), made.body

        async def failing(what: str) -> None:
            async with asyncio.timeout(10):
                while what not in server.hearings.failing().get("heard", ""):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

        await failing("127.0.0.1")
        file.write_text(AFTER)
        await kept.refresh()
        await failing("channel 'shop' may call (WFE_REACH)")


async def test_calls_and_secrets_of_a_namespace_are_held_to_the_new_file(tmp_path: Path) -> None:
    file = tmp_path / "reach.yaml"
    file.write_text(BEFORE)
    kept = ReachFile(file)
    async with Egress() as egress:

        def of_shop() -> Egress:
            return kept.reaches.of_namespace("shop").egress(egress)

        of_shop().policy.check_host("broker.example")
        assert of_shop() is of_shop()
        secrets = GivenSecrets({"hook": "s3cr3t"})
        assert await kept.reaches.of_namespace("shop").keeping(secrets).get("hook") == "s3cr3t"
        file.write_text(AFTER)
        await kept.refresh()
        of_shop().policy.check_host("other.example")
        with pytest.raises(Fault, match="WFE_REACH"):
            of_shop().policy.check_host("broker.example")
        with pytest.raises(NotFound, match="WFE_REACH"):
            await kept.reaches.of_namespace("shop").keeping(secrets).get("hook")


async def test_the_file_is_looked_at_while_a_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.calls.reach_file.LOOK_SECONDS", 0.01)
    file = tmp_path / "reach.yaml"
    with pytest.raises(Rejected, match="WFE_REACH"):
        async with kept_reach(file):
            pass
    file.write_text(BEFORE)
    async with kept_reach(file) as reaches:
        file.write_text(AFTER)
        async with asyncio.timeout(10):
            while reaches.of_namespace("shop").secret("hook") is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
