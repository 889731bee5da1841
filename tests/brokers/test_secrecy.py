"""Who connects is told nowhere: neither where a source or a delivery says what is wrong, nor in any log."""

from __future__ import annotations

import logging

import pytest

from tests.api.server import api
from tests.brokers import sources
from tests.brokers.documents import asyncapi
from tests.brokers.sender import event
from workflow_engine.processes.ports import free_port

PROTOCOLS = ("nats", "kafka", "amqp", "mqtt", "http", "ws")


async def test_who_connects_is_in_no_log_and_no_answer_where_nobody_listens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    login = {"basic": {"use": "LOGIN"}}
    seen = b""
    async with api() as server:
        for protocol in PROTOCOLS:
            await sources.put_document(server, asyncapi(protocol, f"127.0.0.1:{free_port()}"), protocol)
            operation = f"file://{protocol}.yaml#noted"
            await sources.put(server, protocol, operation=operation, authentication=login)
            if protocol in ("http", "ws"):
                continue
            target = {
                "kind": "asyncapi",
                "operation": f"file://{protocol}.yaml#note",
                "authentication": login,
            }
            body = {"filters": [], "target": target, "retry": {"max_attempts": 1}}
            answer = await server.call("PUT", f"/v1/subscriptions/{protocol}", json=body)
            assert answer.status == 201, answer.json
        kind = {"Content-Type": "application/cloudevents+json"}
        assert (await server.post("/v1/events", json=event(1), headers=kind)).status == 202
        for protocol in PROTOCOLS:
            told = await sources.status(server, lambda told: told["state"] == "failing", protocol)
            assert "127.0.0.1" in told["error"], protocol
            assert "onnect" in told["error"], "what is wrong"
        await sources.until(server, 4, "dead-letters")
        for path in ("/v1/sources", "/v1/subscriptions", "/readyz", "/v1/events/e-1/trace", "/metrics"):
            seen += (await server.get(path)).body
        seen += (await server.get("/v1/events?channel=dead-letters")).body
    for text in (caplog.text, seen.decode()):
        for secret in ("wörd", "w\\u00f6rd", "w%C3%B6rd", "c2hvcDpw"):
            assert secret not in text
