"""Spans, and the tracer that makes them: none while tracing is off, which is all that it costs then."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from workflow_engine.telemetry.context import TraceContext, new_span_id, new_trace_id

Kind: TypeAlias = Literal["internal", "server", "client", "producer", "consumer"]
Value: TypeAlias = str | int | float | bool

_LONGEST = 500
"""How many characters a name, or the value of an attribute, may have."""


@dataclass(slots=True)
class Span:
    """One piece of work. Times are nanoseconds since 1970; *error* is what kind of failure it ended with, if it did.

    Its attributes never have secrets, bodies, or values of expressions: who sets one sees to that.
    """

    name: str
    context: TraceContext
    parent: TraceContext | None = None
    kind: Kind = "internal"
    began: int = 0
    ended: int = 0
    error: str | None = None
    attributes: dict[str, Value] = field(default_factory=dict)
    links: Sequence[TraceContext] = ()

    def set(self, name: str, value: Value) -> None:
        self.attributes[name] = value[:_LONGEST] if isinstance(value, str) else value

    def inject(self, headers: MutableMapping[str, str]) -> None:
        """Say in *headers* that what they are sent to is part of this; what they say already stays."""
        if "traceparent" not in headers:
            headers.update(self.context.headers())


class Sink(Protocol):
    """Where spans go."""

    def samples(self, span: Span) -> tuple[bool, str]:
        """Whether *span* is to be recorded, and the trace state that it has then; the same for the same ids."""

    def export(self, span: Span) -> None:
        """Take *span*, which has ended. Never waits, never raises."""


class Tracer:
    """Makes spans."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Mapping[str, Value],
        *,
        links: Sequence[TraceContext] = (),
        ids: tuple[str, str] | None = None,
    ) -> Span:
        """A span that begins now. *ids*: those of its trace and its own, where they are not to be new ones."""
        trace_id, span_id = ids or (new_trace_id() if parent is None else parent.trace_id, new_span_id())
        made = Span(
            name[:_LONGEST], TraceContext(trace_id, span_id), parent, kind, time.time_ns(), links=links
        )
        for key, value in attributes.items():
            made.set(key, value)
        sampled, state = self._sink.samples(made)
        made.context = TraceContext(trace_id, span_id, sampled, state)
        return made

    def export(self, span: Span) -> None:
        """Hand *span* on, which has ended."""
        if span.context.sampled:
            self._sink.export(span)

    @contextlib.contextmanager
    def span(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Mapping[str, Value],
        *,
        links: Sequence[TraceContext] = (),
    ) -> Iterator[Span]:
        """Do the block as a span: what it sends and starts is part of it. An exception is its error, by its type."""
        made = self.begin(name, kind, parent, attributes, links=links)
        token = _active.set(made)
        try:
            yield made
        except BaseException as error:
            if made.error is None:
                made.error = type(error).__name__
            raise
        finally:
            with contextlib.suppress(ValueError):  # closed as garbage, in another context
                _active.reset(token)
            made.ended = time.time_ns()
            self.export(made)


_active: ContextVar[Span | None] = ContextVar("span", default=None)
_tracers: list[Tracer] = []


def tracer() -> Tracer | None:
    """That of this process; None while tracing is off."""
    return _tracers[-1] if _tracers else None


def active() -> Span | None:
    """What is being done."""
    return _active.get()


@contextlib.contextmanager
def within(context: TraceContext) -> Iterator[None]:
    """Do the block as part of *context*, without a span of its own."""
    token = _active.set(Span("", context))
    try:
        yield
    finally:
        _active.reset(token)


@contextlib.contextmanager
def tracing(made: Tracer) -> Iterator[None]:
    """Have *made* be the tracer of this process."""
    _tracers.append(made)
    try:
        yield
    finally:
        _tracers.remove(made)
