"""A service for rest functions: real operations over HTTP, and the OpenAPI document that describes them.

async with services(add=lambda given: {"sum": given["a"] + given["b"]}) as service:
    resources = await service.pin(text)      # whatever address the workflow names for the document
"""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

import catalog
from tests.running import Ended
from tests.standins.server import Recorded, Server, serve
from workflow_engine import dsl
from workflow_engine.calls import Egress
from workflow_engine.calls.resolution import Resolution
from workflow_engine.dsl.needs import needs
from workflow_engine.errors import NotFound
from workflow_engine.values import Json, JsonObject

Operation = Callable[[Any], Any]


@dataclass(frozen=True)
class Services:
    """A running service; each request has the name of its operation as its path and its arguments as its body."""

    server: Server
    names: tuple[str, ...]

    @property
    def calls(self) -> list[tuple[str, Any]]:
        """Operation and arguments of each call so far."""
        made = [request for request in self.server.requests if request.method == "POST"]
        return [(request.target[1:], _arguments(request)) for request in made]

    @property
    def openapi(self) -> str:
        body = {"content": {"application/json": {"schema": {"type": "object"}}}}
        answer = {"200": {"description": "", "content": {"application/json": {}}}}
        paths = {
            f"/{name}": {"post": {"operationId": name, "requestBody": body, "responses": answer}}
            for name in self.names
        }
        info = {"title": "services of a test", "version": "1"}
        document = {"openapi": "3.0.3", "info": info, "servers": [{"url": self.server.url}], "paths": paths}
        return json.dumps(document)

    async def pin(self, text: str) -> dict[str, Json]:
        """What a deployment of *text* pins, if every OpenAPI document that it names is this service's."""
        return await pin(text, openapi=self.openapi)


async def pin(text: str, *, openapi: str = "", asyncapi: Mapping[str, str] | None = None) -> dict[str, Json]:
    """What a deployment of *text* pins: *openapi* stands for every OpenAPI document that it names.

    *asyncapi* are documents in the catalog, by name.
    """
    found = needs(dsl.parse(text).data)
    specs = catalog.Catalog(await catalog.open_store("memory:"))
    for name, document in (asyncapi or {}).items():
        await specs.add(name, document)
    async with Egress() as egress:
        resolution = Resolution(specs, egress, {need.document: openapi for need in found if need.document})
        return {need.key: await resolution(need) for need in found}


async def published(run: Any, ended: Ended, channel: str) -> list[Any]:
    """The data of the events in *channel*, on either runtime, in their order."""
    if run.name == "local":
        return [event["data"] for event in ended.channels.get(channel, [])]
    return [item["event"]["data"] for item in reversed(await stored(run, channel))]


async def stored(run: Any, channel: str) -> Sequence[JsonObject]:
    """The events in *channel* of a run on Temporal, the newest first; none where nothing was ever published there."""
    try:
        return (await run.router.events(channel)).events  # type: ignore[no-any-return]
    except NotFound:
        return ()


def _arguments(request: Recorded) -> Json:
    return json.loads(request.body) if request.body else {}  # type: ignore[no-any-return]


@asynccontextmanager
async def services(**operations: Operation) -> AsyncIterator[Services]:
    """Serve *operations*, functions of their arguments; one may be async, and may give a `web.Response`."""
    app = web.Application()
    for name, operation in operations.items():
        app.router.add_post(f"/{name}", _handler(operation))
    described: list[Services] = []

    async def describe(request: web.Request) -> web.StreamResponse:
        return web.Response(text=described[0].openapi, content_type="application/json")

    app.router.add_get("/openapi.json", describe)
    async with serve(app) as server:
        described.append(Services(server, tuple(operations)))
        yield described[0]


def _handler(operation: Operation) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        arguments: JsonObject = json.loads(body) if body else {}
        answer = operation(arguments)
        if inspect.isawaitable(answer):
            answer = await answer
        return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer)

    return handle
