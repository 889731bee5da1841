"""The API on a real server on loopback, with the real engine, router and catalog behind it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import uvicorn
from fastapi import FastAPI

import catalog
from catalog.api import create_router
from tests.api.local_runtime import LocalRuntime
from workflow_engine.api.app import create_app
from workflow_engine.api.serving import listen
from workflow_engine.calls import Egress
from workflow_engine.calls.brokers.hearing import Hearings
from workflow_engine.calls.brokers.target import OperationTarget
from workflow_engine.calls.reach import UNLIMITED
from workflow_engine.calls.resolution import Resolution
from workflow_engine.calls.secrets import EnvironmentSecrets
from workflow_engine.calls.webhook import WebhookTarget
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.engine.targets import RunTarget, WorkflowTarget
from workflow_engine.engine.triggers import Triggers
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store

LOGIN = '{"username": "shop", "password": "pass: wörd"}'
SECRETS = EnvironmentSecrets({"WFE_SECRET_HOOK": "hook-s3cr3t", "WFE_SECRET_LOGIN": LOGIN})


@dataclass
class Api:
    """A server that runs, and a session to call it by paths."""

    url: str
    session: aiohttp.ClientSession
    engine: Engine
    router: Router
    runtime: LocalRuntime
    app: FastAPI
    hearings: Hearings

    async def call(self, method: str, path: str, **options) -> Reply:
        """One request; *path* is sent as it is."""
        if isinstance(options.get("data"), bytes):
            options["data"] = io.BytesIO(options["data"])
            options["headers"] = {"Content-Type": "", **options.get("headers", {})}
        async with self.session.request(method, f"{self.url}{path}", **options) as response:
            body = await response.read()
            problem = response.content_type in ("application/json", "application/problem+json")
            return Reply(
                response.status,
                response.headers,
                body,
                await response.json(content_type=None) if problem else None,
            )

    async def get(self, path: str, **options) -> Reply:
        return await self.call("GET", path, **options)

    async def post(self, path: str, **options) -> Reply:
        return await self.call("POST", path, **options)

    async def deploy(self, text: str) -> Reply:
        return await self.post(
            "/v1/workflows", data=text.encode(), headers={"Content-Type": "application/yaml"}
        )


@dataclass
class Reply:
    """An answer: *json* is the body where it is JSON."""

    status: int
    headers: aiohttp.typedefs.LooseHeaders
    body: bytes
    json: dict | None


@asynccontextmanager
async def serve(app) -> AsyncIterator[str]:
    """Serve *app* on a free port; gives its URL."""
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1, lifespan="on")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    listening = listen("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.005)
        if serving.done():
            serving.result()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listening.close()


@asynccontextmanager
async def api(*, store: str = "memory:", wrap: Callable | None = None, **options) -> AsyncIterator[Api]:
    """Everything that an API process has; *options* are those of `create_app`."""
    async with AsyncExitStack() as stack:
        egress = await stack.enter_async_context(Egress())
        specs = catalog.Catalog(await catalog.open_store("memory:"))
        stack.push_async_callback(specs.close)
        runtime = LocalRuntime()
        engine = Engine(MemoryDefinitions(), runtime, resolve=Resolution(specs, egress))
        engine = Engine(MemoryDefinitions(), runtime, resolve=Resolution(specs, egress))
        reach = options.get("reach", UNLIMITED)
        webhook = WebhookTarget(egress, SECRETS, reach=reach)
        operations = OperationTarget(egress, SECRETS, Resolution(specs, egress), reach)
        stack.push_async_callback(operations.close)
        targets = {
            "run": RunTarget(runtime), "workflow": WorkflowTarget(engine), "webhook": webhook, "asyncapi": operations
        }  # fmt: skip
        router = Router(open_store(store), targets=targets)
        webhook.publish, webhook.handshakes.permissions = router.publish, router
        engine.triggers = Triggers(router)
        runtime.router, runtime.find = router, engine.find_bundle
        await router.start()
        stack.push_async_callback(router.stop)
        stack.push_async_callback(runtime.close)
        hearings = Hearings(router, egress, SECRETS, Resolution(specs, egress), reach)
        await hearings.start()
        stack.push_async_callback(hearings.stop)
        options.setdefault("secrets", SECRETS)
        options.setdefault("hearings", hearings)
        app = create_app(
            wrap(engine) if wrap else engine, router, **{"catalog_router": create_router(specs), **options}
        )
        url = await stack.enter_async_context(serve(app))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Api(url, session, engine, router, runtime, app, hearings)
        if found := undocumented(app):
            raise AssertionError(f"not documented: {found}")


ANYWHERE = {401, 403, 405, 499, 500}
"""What any request may be answered with: before it gets to its route, or by a bug."""
_paths: dict = {}


def undocumented(app: FastAPI) -> list[str]:
    """The answers so far whose status the OpenAPI document does not have."""
    if not _paths:
        _paths.update(app.openapi()["paths"])  # which takes a while, and is the same for each
    return [
        f"{method} {route}: {status}"
        for method, route, status in app.state.metrics.requests
        if route in _paths and status not in ANYWHERE
        if str(status) not in _paths[route].get(method.lower(), {"responses": [str(status)]})["responses"]
    ]
