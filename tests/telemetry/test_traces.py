"""Tracing end to end: API and worker as processes, real Temporal, a real service, and a collector that takes OTLP."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.semantics.v1.documents import event, workflow
from tests.standins.server import Server, serve
from tests.telemetry.collector import Collector, collector
from tests.telemetry.stack import stack
from workflow_engine import dsl
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.processes.ports import free_port
from workflow_engine.runtimes.temporal.activities import Activities
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.worker import worker
from workflow_engine.telemetry.otlp import traces

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(120)]

FIRST = """
use: {secrets: [PASSWORD]}
do:
  - reserve:
      call: http
      with:
        method: post
        endpoint: {uri: '${ "URL/reserve/" + .card }'}
        headers: {X-Key: '${ $secrets.PASSWORD }'}
        body: {card: '${ .card }'}
  - tell: {emit: {event: {with: {source: /shop, type: order.placed, data: {n: 1}}}}}
"""
SECOND = """
schedule: {on: {one: {with: {type: order.placed}}}}
do:
  - sub: {run: {workflow: {namespace: semantics, name: third, version: 1.0.0}}}
  - paid: {listen: {to: {one: {with: {type: order.paid}}}}}
"""
THIRD = """
do:
  - ask: {try: [{get: {call: http, with: {method: get, endpoint: 'URL/fails'}}}], catch: {}}
"""
HELD = """
do:
  - before: {call: http, with: {method: get, endpoint: 'URL/before'}}
  - one: {listen: {to: {one: {with: {type: go.first}}}}}
  - wait: {listen: {to: {one: {with: {type: go.on}}}}}
  - after: {call: http, with: {method: get, endpoint: 'URL/after'}}
"""
SECRET, CARD = "s3cr3t-of-the-test", "4111-1111"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1"}


def service() -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, status=503 if request.path == "/fails" else 200)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    return app


def context_of(headers: object) -> tuple[str, str]:
    """The ids of the trace and of the span that a request says it is part of."""
    _, trace, span, _ = headers["traceparent"].split("-")  # type: ignore[index]
    return trace, span


def asked(server: Server, path: str) -> object:
    [request] = [request for request in server.requests if request.target.startswith(path)]
    return request.headers


def told_once(known: Collector) -> bool:
    return not [id for id, times in Counter(span.id for span in known.spans).items() if times > 1]


async def test_one_trace_leads_from_a_request_through_runs_their_calls_and_the_events_between_them(
    temporal_address: str, tmp_path: Path
) -> None:
    async with (
        collector() as known,
        serve(service()) as server,
        stack(tmp_path, temporal_address, known.url, WFE_SECRET_PASSWORD=SECRET) as system,
    ):
        for name, text in (("third", THIRD), ("second", SECOND), ("first", FIRST)):
            await system.api.deploy(workflow(text.replace("URL", server.url), name=name))
        hook = {
            "strategy": {"mode": "any", "filters": [{"attributes": {"type": {"equals": "order.placed"}}}]},
            "target": {"kind": "webhook", "url": f"{server.url}/hook"},
        }
        await system.api.put_subscription("hook", hook)
        async with aiohttp.ClientSession() as session:
            url = f"{system.api.base_url}/v1/workflows/semantics/first/1.0.0/runs?wait=20"
            async with session.post(url, json={"card": CARD}, headers=HEADERS) as answer:
                run = await answer.json()
                assert run["status"] == "completed", run
        await known.has("call http /do/0/ask/try/0/get")
        paid = event("order.paid", str(uuid.uuid4()))
        await system.api.publish("default", [paid])
        await known.has("run semantics/first", "run semantics/second", "run semantics/third")
        await known.has("deliver order.placed to webhook", "receive order.paid", "send default")

    ours = [span for span in known.spans if span.trace == TRACE]
    request = known.one("POST /v1/workflows/{namespace}/{name}/{version}/runs")
    assert (request.parent, request.kind, request.service) == (CALLER, "server", "api")
    first, second, third = (known.one(f"run semantics/{name}") for name in ("first", "second", "third"))
    call = known.one("call http /do/0/reserve")
    assert (call.parent, call.kind, call.service) == (first.id, "client", "worker")
    assert first.parent == request.id
    assert context_of(asked(server, "/reserve")) == (TRACE, call.id)
    assert asked(server, "/reserve")["tracestate"] == "vendor=1"  # type: ignore[index]
    sent, started = known.one("send default"), known.one("deliver order.placed to workflow")
    assert (sent.parent, sent.kind) == (first.id, "producer")
    assert known.above(started) == ["POST /v1/events", "send default", "run semantics/first", request.name]
    assert second.parent == started.id
    assert third.parent == second.id
    failed = known.one("call http /do/0/ask/try/0/get")
    assert (failed.parent, failed.failed, failed.attributes["error.type"]) == (third.id, True, "503")
    assert failed.attributes["http.response.status_code"] == 503
    assert failed.attributes["server.port"] == server.port
    webhook = known.one("deliver order.placed to webhook")
    assert context_of(asked(server, "/hook")) == (TRACE, webhook.id)
    received = known.one("receive order.paid")
    assert (received.parent, received.trace) == (second.id, TRACE)
    # It is linked to where the event came from, which is a trace of its own.
    [(elsewhere, publisher)] = received.links
    assert elsewhere != TRACE
    assert [span.name for span in known.spans if span.id == publisher] == ["POST /v1/events"]
    assert {call.id, first.id, second.id, third.id, sent.id, started.id, webhook.id} <= {s.id for s in ours}
    assert told_once(known)
    assert all(span.began <= span.ended for span in known.spans)
    assert not [span for span in known.spans if "/v1/listeners" in span.name]
    said = " ".join(f"{span.name} {span.attributes}" for span in known.spans)
    assert SECRET not in said
    assert CARD not in said


async def test_a_worker_that_is_killed_makes_others_tell_nothing_twice_and_leaves_the_trace_whole(
    temporal_address: str, tmp_path: Path
) -> None:
    async with (
        collector() as known,
        serve(service()) as server,
        stack(tmp_path, temporal_address, known.url) as system,
    ):
        await system.api.deploy(workflow(HELD.replace("URL", server.url), name="held"))
        run = await system.api.start("semantics", "held", None, {})
        await system.api.publish("default", [event("go.first", str(uuid.uuid4()))])
        async with asyncio.timeout(60):
            while [each["id"] for each in (await system.api.run(run["id"]))["states"]] != ["/do/2/wait"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await known.has("call http /do/0/before")
        system.processes[1].kill()
        await system.processes[1].wait()
        await system.api.publish("default", [event("go.on", str(uuid.uuid4()))])
        await system.start("worker", "other")
        await known.has("run semantics/held", "receive go.on", "call http /do/3/after")
    whole = known.one("run semantics/held")
    before, after = known.one("call http /do/0/before"), known.one("call http /do/3/after")
    assert (before.service, after.service, whole.service) == ("worker", "other", "other")
    # What the worker that was killed has taken is told by the other one, which has replayed it, and once.
    waits = [known.one("receive go.first"), known.one("receive go.on")]
    assert {span.parent for span in (before, after, *waits)} == {whole.id}
    assert {span.trace for span in (before, after, *waits)} == {whole.trace}
    assert whole.began <= before.began
    assert after.ended <= whole.ended
    assert told_once(known)


async def test_a_collector_that_cannot_be_reached_disturbs_no_run_and_is_told_of_once_a_minute(
    temporal_address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", nowhere)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    client, queue = await connect(temporal_address, "default"), f"traces-{uuid.uuid4()}"
    runtime = TemporalRuntime(client, queue, search_attributes=False)
    router = Router(open_store("memory:"), targets={})

    async def find(*_: object) -> Bundle:
        raise AssertionError

    with caplog.at_level(logging.INFO):
        async with serve(service()) as server, Egress() as egress, traces(on=True):
            await router.start()
            text = workflow(f"do: [{{a: {{call: http, with: {{method: get, endpoint: '{server.url}/a'}}}}}}]")
            bundle = Bundle.of(dsl.parse(text), {})
            async with worker(client, queue, Activities(CALLERS, router, find, egress)):
                for _ in range(3):
                    id = str(uuid.uuid4())
                    await runtime.start(Start(id, bundle.graph().name, bundle, {}))
                    assert (await runtime.wait(id, 20)).status == "completed"
                    await asyncio.sleep(0.5)
            await router.stop()
    said = [record for record in caplog.records if "spans" in record.getMessage() or "otel" in record.name]
    assert len([r for r in said if r.name == "wfe.traces"]) == 1, [r.getMessage() for r in said]
    assert [r.name for r in caplog.records if r.name.startswith("opentelemetry")] == []
    assert nowhere.removeprefix("http://") in said[0].getMessage()
