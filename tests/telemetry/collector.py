"""A collector: a real HTTP server that takes spans by OTLP and keeps them."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.standins.server import serve

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
ERROR = 2


@dataclass(frozen=True)
class Told:
    """One span, as it came."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    links: tuple[tuple[str, str], ...]
    failed: bool
    began: int
    ended: int
    attributes: dict[str, Any] = field(hash=False)


@dataclass
class Collector:
    url: str
    spans: list[Told]

    def one(self, name: str) -> Told:
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, (name, sorted(span.name for span in self.spans))
        return found[0]

    async def until(self, done: Callable[[], object], within: float = 60) -> None:
        async with asyncio.timeout(within):
            while not done():  # noqa: ASYNC110 - what comes over HTTP is looked at
                await asyncio.sleep(0.05)

    async def has(self, *names: str) -> None:
        """Wait until a span of each of *names* is there."""
        try:
            await self.until(lambda: set(names) <= {span.name for span in self.spans})
        except TimeoutError:
            raise AssertionError(set(names) - {span.name for span in self.spans}) from None

    def above(self, span: Told) -> list[str]:
        """The names of the spans that *span* is within, the nearest first."""
        known = {each.id: each for each in self.spans}
        found = []
        while span.parent in known:
            span = known[span.parent]
            found.append(span.name)
        return found


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    spans: list[Told] = []

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _attributes(resource.resource)["service.name"]
            spans.extend(_told(service, span) for scope in resource.scope_spans for span in scope.spans)
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", take)
    async with serve(app) as server:
        yield Collector(server.url, spans)


def _told(service: str, span: Any) -> Told:
    return Told(
        service,
        span.name,
        KINDS[span.kind],
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        span.status.code == ERROR,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(span),
    )


def _attributes(of: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in of.attributes}
