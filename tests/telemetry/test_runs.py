"""What becomes of the trace of a run that is no simple one: on real Temporal, with spans kept in this process."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.semantics.v1.documents import workflow
from tests.standins.server import Server, serve
from tests.telemetry.test_traces import service
from tests.test_replay import replayer
from workflow_engine import dsl
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Retry, RunDescription, Start
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.graph.lifecycle import Told
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.runtimes.temporal.activities import Activities
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.worker import worker
from workflow_engine.telemetry.context import TraceContext
from workflow_engine.telemetry.spans import Span, Tracer, tracing, within

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(60)]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = TraceContext(TRACE, "00f067aa0ba902b7", True)


@dataclass
class Kept:
    """Spans as they are handed on. Like OpenTelemetry's default, it takes what the caller's trace takes."""

    spans: list[Span] = field(default_factory=list)

    def samples(self, span: Span) -> tuple[bool, str]:
        return (True, "") if span.parent is None else (span.parent.sampled, span.parent.state)

    def export(self, span: Span) -> None:
        self.spans.append(span)

    async def of_runs(self, count: int) -> list[Span]:
        """Those of runs, once there are *count*."""
        async with asyncio.timeout(30):
            while len(self.named("run ")) < count:  # noqa: ASYNC110 - a worker tells it when it likes
                await asyncio.sleep(0.02)
        return self.named("run ")

    def named(self, prefix: str) -> list[Span]:
        return [span for span in self.spans if span.name.startswith(prefix)]


@dataclass
class World:
    runtime: TemporalRuntime
    server: Server
    router: Router

    async def run(self, body: str) -> RunDescription:
        bundle = Bundle.of(dsl.parse(workflow(body.replace("URL", self.server.url))), {})
        id = str(uuid.uuid4())
        await self.runtime.start(Start(id, bundle.graph().name, bundle, {}))
        return await self.runtime.wait(id, 30)

    async def says_of_a_trace(self, run_id: str) -> bool:
        """Whether the history of a run has anything of one."""
        history = await self.runtime._client.get_workflow_handle(run_id).fetch_history()
        return b"traceparent" in b"".join(event.SerializeToString() for event in history.events)


@pytest.fixture
async def world(temporal_address: str) -> AsyncIterator[World]:
    client, queue = await connect(temporal_address, "default"), f"traces-{uuid.uuid4()}"
    audience = Audience(Told.parse("workflow"), "lifecycle", "http://api.example")
    limits = Limits(events=15)
    runtime = TemporalRuntime(client, queue, search_attributes=False, limits=limits, audience=audience)
    router = Router(open_store("memory:"), targets={})

    async def find(*_: Any) -> Bundle:
        raise AssertionError

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(service()))
        egress = await stack.enter_async_context(Egress())
        await router.start()
        stack.push_async_callback(router.stop)
        await stack.enter_async_context(worker(client, queue, Activities(CALLERS, router, find, egress)))
        yield World(runtime, server, router)


CALLS = """
do:
  - each:
      for: {in: '[range(6)]'}
      do: [{get: {call: http, with: {method: get, endpoint: 'URL/get'}}}]
"""
TELLS = (
    "do: [{tell: {emit: {event: {with: {source: /shop, type: order.placed, traceparent: 'TRACEPARENT'}}}}}]"
)
FAILS = "do: [{get: {call: http, with: {method: get, endpoint: 'URL/fails'}}}]"


async def test_a_run_that_goes_on_in_new_histories_is_one_span_with_all_calls_in_it(world: World) -> None:
    kept = Kept()
    with tracing(Tracer(kept)):
        with within(CALLER):
            ended = await world.run(CALLS)
        [whole] = await kept.of_runs(1)
    client = world.runtime._client
    described = await client.get_workflow_handle(ended.id).describe()
    assert described.raw_description.workflow_execution_info.first_run_id != described.run_id
    assert await world.says_of_a_trace(ended.id)
    assert whole.parent == CALLER
    calls = kept.named("call http")
    assert len(calls) == 6
    assert {call.parent for call in calls} == {whole.context}
    assert whole.began <= min(call.began for call in calls)
    assert whole.attributes["wfe.run.status"] == "completed"


async def test_each_attempt_of_a_run_that_is_retried_is_a_span_of_its_own_in_the_same_trace(
    world: World,
) -> None:
    kept = Kept()
    with tracing(Tracer(kept)):
        with within(CALLER):
            ended = await world.run(FAILS)
        assert ended.status == "faulted"
        await kept.of_runs(1)
        await world.runtime.retry(ended.id, Retry())
        assert (await world.runtime.wait(ended.id, 30)).status == "faulted"
        first, second = await kept.of_runs(2)
    assert first.context.span_id != second.context.span_id
    assert first.context.trace_id == second.context.trace_id == TRACE
    assert [span.error for span in (first, second)] == ["communication", "communication"]
    assert [call.parent for call in kept.named("call http")] == [first.context, second.context]


async def test_events_are_part_of_their_run_unless_the_document_says_of_what(world: World) -> None:
    kept, own = Kept(), TraceContext("1" * 32, "2" * 16)
    with tracing(Tracer(kept)), within(CALLER):
        await world.run(TELLS.replace("TRACEPARENT", own.headers()["traceparent"]))
        await kept.of_runs(1)
        await world.run(TELLS.replace(", traceparent: 'TRACEPARENT'", ""))
        given, made = await kept.of_runs(2)
    sent = {span.parent: span for span in kept.named("send default")}
    page = (await world.router.events("default")).events
    said = [TraceContext.of(found["event"]) for found in page]
    assert set(said) == {own, sent[made.context].context}
    told = (await world.router.events("lifecycle")).events
    assert {TraceContext.of(found["event"]) for found in told} == {given.context, made.context}


async def test_what_was_traced_is_replayed_with_tracing_on_or_off_and_tells_nothing_again(
    world: World,
) -> None:
    kept, again = Kept(), Kept()
    with tracing(Tracer(kept)), within(CALLER):
        traced = await world.run(CALLS)
        await kept.of_runs(1)
    untraced = await world.run(TELLS.replace(", traceparent: 'TRACEPARENT'", ""))
    client = world.runtime._client
    for run in (traced, untraced):
        history = await client.get_workflow_handle(run.id).fetch_history()
        await replayer().replay_workflow(history)
        with tracing(Tracer(again)):
            await replayer().replay_workflow(history)
    assert again.spans == []


async def test_a_run_that_nothing_traced_starts_begins_a_trace(world: World) -> None:
    kept = Kept()
    with tracing(Tracer(kept)):
        await world.run(CALLS)
        [whole] = await kept.of_runs(1)
    assert whole.parent is None
    assert {call.context.trace_id for call in kept.named("call http")} == {whole.context.trace_id}


async def test_what_the_caller_does_not_record_is_not_told_but_handed_on(world: World) -> None:
    kept = Kept()
    with tracing(Tracer(kept)), within(TraceContext(TRACE, CALLER.span_id, sampled=False)):
        await world.run(CALLS)
    assert kept.spans == []
    parents = {request.headers["traceparent"] for request in world.server.requests}
    assert len(parents) == 6
    assert {(parent[3:35], parent[-2:]) for parent in parents} == {(TRACE, "00")}


async def test_while_tracing_is_off_nothing_of_it_is_in_memos_arguments_or_requests(world: World) -> None:
    ended = await world.run(CALLS)
    assert all("traceparent" not in request.headers for request in world.server.requests)
    assert not await world.says_of_a_trace(ended.id)
