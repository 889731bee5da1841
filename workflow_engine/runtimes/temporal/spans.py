"""The spans of what activities do, each of which belongs to its run: one for every attempt of a call."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from workflow_engine.errors import Fault
from workflow_engine.runtimes.temporal.traces import TRACE, described, kind_of
from workflow_engine.telemetry.context import TraceContext
from workflow_engine.telemetry.spans import Kind, Value, tracer, within
from workflow_engine.values import JsonObject

_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("script", "shell", "container", "custom", "sysout"), "internal"),
    "asyncapi": "producer",
}
"""Of calls that are none of another service, or wait for no answer."""


def called(work: Awaitable[Any], kind: str, about: Mapping[str, Any], run_id: str) -> Awaitable[Any]:
    """*work*, an attempt of a call of *kind*, as a span; as it is where the run is not traced.

    A call that receives from a broker is none: it goes on as long as the run waits.
    """
    if TRACE not in about or "reception" in about:
        return work
    state = str(about["state"])
    attributes = {"wfe.run.id": run_id, "wfe.state": state, "wfe.call.kind": kind}
    return _spanned(work, f"call {kind} {state}", _KINDS.get(kind, "client"), about[TRACE], attributes)


def sending(
    work: Awaitable[Any], channel: str, event: JsonObject, trace: Mapping[str, Any]
) -> Awaitable[Any]:
    """*work*, which publishes *event* in *channel*, as a span of what *trace* says."""
    about = {"messaging.operation.type": "send", "messaging.destination.name": channel, **described(event)}
    return _spanned(work, f"send {channel}", "producer", trace, about)


async def part_of(work: Awaitable[Any], trace: Mapping[str, Any] | None) -> Any:
    """Do *work* as part of what *trace* says, without a span of its own."""
    context = None if trace is None or tracer() is None else TraceContext.of(trace)
    if context is None:
        return await work
    with within(context):
        return await work


async def _spanned(
    work: Awaitable[Any], name: str, kind: Kind, trace: Mapping[str, Any], attributes: Mapping[str, Value]
) -> Any:
    made, parent = tracer(), TraceContext.of(trace)
    if made is None or parent is None:
        return await work
    with made.span(name, kind, parent, attributes) as span:
        try:
            return await work
        except Fault as raised:
            status = raised.error.status if raised.error.type.endswith("/communication") else None
            span.error = kind_of(raised) if status is None else str(status)
            raise
