"""Spans go to a collector by OTLP over HTTP. OpenTelemetry's own variables say where, how many and under which name."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from workflow_engine.telemetry.context import TraceContext
from workflow_engine.telemetry.spans import Span, Tracer, tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import SpanContext

INSTALL = "pip install 'serverless-workflow-engine[telemetry]'"
NAME = "wfe"
"""What the service is called where OTEL_SERVICE_NAME does not say it."""
SEND_SECONDS = 5.0
"""How long what is left may take to be sent when the process stops."""
_PAUSE = 60.0
_LONGEST_REASON = 300
_LOGGERS = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal")
_log = logging.getLogger("wfe.traces")


def installed() -> bool:
    """Whether what this needs is."""
    try:
        return all(map(find_spec, ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")))
    except ModuleNotFoundError:
        return False


@asynccontextmanager
async def traces(*, on: bool) -> AsyncIterator[None]:
    """Send the spans of what is done until the block ends, if that is *on*."""
    if not on or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield
        return
    sink = await asyncio.to_thread(Otlp)
    try:
        with tracing(Tracer(sink)):
            yield
    finally:
        await asyncio.to_thread(sink.close)


class Otlp:
    """Batches spans, and sends them from a thread of its own. What cannot be sent is lost, and never waited for."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        own = Resource({SERVICE_NAME: NAME, SERVICE_VERSION: _version()})
        resource = Resource.create().merge(own).merge(OTELResourceDetector().detect())
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._resource, self._sampler = resource, provider.sampler
        self._scope = InstrumentationScope("workflow_engine", _version())
        self._complaints = _Complaints()
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._complaints)
        self._processor = BatchSpanProcessor(_exporter(OTLPSpanExporter(), self._complaints))

    def samples(self, span: Span) -> tuple[bool, str]:
        from opentelemetry.sdk.trace.sampling import Decision
        from opentelemetry.trace import NonRecordingSpan, set_span_in_context

        parent = None if span.parent is None else set_span_in_context(NonRecordingSpan(_known(span.parent)))
        answer = self._sampler.should_sample(parent, int(span.context.trace_id, 16), span.name)
        state = "" if answer.trace_state is None else answer.trace_state.to_header()
        return answer.decision is Decision.RECORD_AND_SAMPLE, state

    def export(self, span: Span) -> None:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode

        attributes = span.attributes
        if span.error is not None:
            attributes = {**attributes, "error.type": span.error}
        self._processor.on_end(
            ReadableSpan(
                span.name,
                _known(span.context, remote=False),
                None if span.parent is None else _known(span.parent),
                self._resource,
                attributes,
                links=[Link(_known(link)) for link in span.links],
                kind=SpanKind[span.kind.upper()],
                status=Status(StatusCode.UNSET if span.error is None else StatusCode.ERROR),
                start_time=span.began,
                end_time=span.ended,
                instrumentation_scope=self._scope,
            )
        )

    def close(self) -> None:
        """Send what is left, within `SEND_SECONDS`."""
        closing = threading.Thread(target=self._processor.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(SEND_SECONDS)
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._complaints)


class _Complaints(logging.Filter):
    """Says once a minute, in one line, what the exporter would say for every batch."""

    def __init__(self) -> None:
        super().__init__()
        self._said: float | None = None
        self._lost = 0
        self._where = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self._where = " ".join(record.getMessage().split())[:_LONGEST_REASON]
        return False

    def lost(self, spans: int, address: str) -> None:
        self._lost += spans
        now = time.monotonic()
        if self._said is None or now - self._said >= _PAUSE:
            _log.warning(
                "%d spans could not be sent to %s: %s", self._lost, address, self._where or "refused"
            )
            self._said, self._lost = now, 0


def _exporter(inner: SpanExporter, complaints: _Complaints) -> SpanExporter:
    """*inner*, whose failures are counted."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    address = urlsplit(str(getattr(inner, "_endpoint", ""))).netloc.rpartition("@")[2] or "the collector"

    class Counting(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            try:
                result = inner.export(spans)
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing else is to hear of it
                complaints.lost(len(spans), f"{address} ({type(error).__name__})")
                return SpanExportResult.FAILURE
            if result is not SpanExportResult.SUCCESS:
                complaints.lost(len(spans), address)
            return result

        def shutdown(self) -> None:
            inner.shutdown()

    return Counting()


def _known(context: TraceContext, *, remote: bool = True) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    ids = int(context.trace_id, 16), int(context.span_id, 16)
    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(
        *ids, is_remote=remote, trace_flags=TraceFlags(int(context.sampled)), trace_state=state
    )


def _version() -> str:
    try:
        return version("serverless-workflow-engine")
    except PackageNotFoundError:  # run from a source tree
        return "0"
