"""Where callers put the context of a trace that is no header of HTTP, and what of it is taken from outside."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.brokers.documents import asyncapi, pinned, publishing
from tests.brokers.servers import nats_server
from tests.calls.conftest import make_context
from tests.standins.greeter import greeter
from tests.standins.greeter import pinned as proto_of
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.errors import Rejected
from workflow_engine.settings import Settings
from workflow_engine.standalone import run_local
from workflow_engine.telemetry import otlp
from workflow_engine.telemetry.context import TraceContext
from workflow_engine.telemetry.spans import within

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
HERE = TraceContext(TRACE, SPAN, state="vendor=1")


async def test_a_grpc_service_is_told_in_its_metadata() -> None:
    async with greeter() as server, Egress() as egress:
        service = {"name": "GreeterApi.Greeter", "host": "localhost", "port": server.port}
        given = {"service": service, "method": "SayHello", "arguments": {"name": "Ada"}}
        context = make_context(egress, resources={"x": await proto_of("SayHello")})
        with within(HERE):
            await CALLERS["grpc"](given, context)
        metadata = server.last[1]
    assert (metadata["traceparent"], metadata["tracestate"]) == (PARENT, "vendor=1")


async def test_a_message_of_nats_has_it_among_its_headers(tmp_path: Path) -> None:
    with nats_server(tmp_path) as port:
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        subject = f"s{uuid.uuid4().hex}"
        coming = await client.subscribe(subject)
        await client.flush()
        resources = pinned(asyncapi("nats", f"127.0.0.1:{port}", address=subject))
        with within(HERE):
            text = publishing("{payload: {n: 1}}")
            ended, _ = await run_local(text, {}, settings=Settings(data=tmp_path), resources=resources)
        assert ended.status == "completed", ended.error
        message = await coming.next_msg(timeout=20)
        await client.close()
    assert message.headers["traceparent"] == PARENT


@pytest.mark.parametrize(
    "parent",
    [
        None,
        7,
        "",
        PARENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{PARENT}-more",
        f"{PARENT}\r\nx: y",
    ],
)
def test_a_context_that_is_none_is_not_taken(parent: Any) -> None:
    assert TraceContext.of({"traceparent": parent}) is None


def test_a_context_is_read_as_it_is_written_and_a_state_that_is_none_is_left_out() -> None:
    assert TraceContext.of(HERE.headers()) == HERE
    assert TraceContext.of({"traceparent": PARENT, "tracestate": "x\r\ny: z"}) == TraceContext(TRACE, SPAN)
    assert TraceContext.of({"traceparent": PARENT, "tracestate": "x" * 513}) == TraceContext(TRACE, SPAN)
    assert TraceContext.of({"traceparent": f"01-{TRACE}-{SPAN}-00-new"}) == TraceContext(
        TRACE, SPAN, sampled=False
    )


def test_without_what_it_needs_the_setting_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings.from_env({"WFE_TRACES": "otlp"}).traces == "otlp"
    with pytest.raises(Rejected, match="neither none nor otlp"):
        Settings.from_env({"WFE_TRACES": "jaeger"})

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(otlp, "find_spec", missing)
    with pytest.raises(Rejected, match=r"pip install 'serverless-workflow-engine\[telemetry\]'"):
        Settings.from_env({"WFE_TRACES": "otlp"})
