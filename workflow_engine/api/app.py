"""The application: every route of the API, its errors and its documentation."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Response, Security
from fastapi.responses import RedirectResponse
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline

from workflow_engine.api import (
    batches,
    channels,
    control,
    deleting,
    events,
    health,
    internal,
    moving,
    runs,
    schedules,
    sources,
    subscriptions,
    webhooks,
    workflows,
)
from workflow_engine.api.access import Access, Tokens
from workflow_engine.api.answers import JsonAnswer, answer_problems
from workflow_engine.api.bodies import MAX_DOCUMENT
from workflow_engine.api.codec import Codec
from workflow_engine.api.codec import create_routes as codec_routes
from workflow_engine.api.documenting import document
from workflow_engine.api.gate import Gate
from workflow_engine.api.health import Ready
from workflow_engine.api.metrics import Metrics
from workflow_engine.api.rights import deciding
from workflow_engine.api.spans import Spans
from workflow_engine.api.wire import ProblemAnswerModel
from workflow_engine.calls.brokers.hearing import Hearings
from workflow_engine.calls.reach import UNLIMITED, Reaches
from workflow_engine.calls.secrets import NO_SECRETS, Secrets
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.restoring import Restoring
from workflow_engine.events.router import Router
from workflow_engine.telemetry.spans import tracer

_DESCRIPTION = """\
Deploy workflows (Serverless Workflow DSL 1.0 and 0.8), start and follow their runs, and publish the events that
start and feed them.

Every error is `application/problem+json` (RFC 9457); its `type` is `urn:wfe:problem:` and a code. Bodies are
bounded: what is too large is refused with 413. Times are RFC 3339.
"""
_TAGS = [
    {"name": "workflows", "description": "Deploy, validate, show and draw workflows"},
    {"name": "runs", "description": "Start, follow and control runs"},
    {"name": "schedules", "description": "See and hold what the clock starts"},
    {"name": "events", "description": "Publish, find and trace events; say where they go"},
    {"name": "catalog", "description": "What services can send and receive, from their AsyncAPI documents"},
    {"name": "codec", "description": "For the Temporal UI: what encrypted and large values are"},
    {"name": "health", "description": "For who operates the server"},
    {"name": "internal", "description": "For workers"},
]
_PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {"model": ProblemAnswerModel, "description": "What is wrong, in which place, and what to do"}
}


def create_app(
    engine: Engine,
    router: Router,
    *,
    catalog_router: APIRouter | None = None,
    token: str | None = None,
    access: Access | None = None,
    ready: Ready | None = None,
    loopback_only: bool = True,
    codec: Codec | None = None,
    codec_origins: Collection[str] = (),
    largest_input: int = MAX_DOCUMENT,
    folder: Path | None = None,
    secrets: Secrets = NO_SECRETS,
    hearings: Hearings | None = None,
    restoring: Restoring | None = None,
    reach: Reaches = UNLIMITED,
) -> FastAPI:
    """The API over *engine* and *router*, which stay the caller's to start and stop.

    With a *token*, or *access*, every request but ``/livez`` and the documentation must carry one. *loopback_only*
    refuses requests that are not addressed to this machine by a loopback name, and writes from pages of other sites:
    right without a token.
    *secrets* are those that sources sign with; *hearings*, the caller's to start and stop, hear those of brokers.
    *restoring* has the router know what runs listen for. *reach* is what each channel may use.
    *ready* says which parts work, and the metrics how full the disk of *folder* is. The *codec* reads payloads for
    pages of *codec_origins*.
    ``app.state.engine`` is *engine*. Set ``app.state.closing``, an `asyncio.Event`, when the server begins to shut
    down: whoever waits for a run is answered at once with the run as it is.
    """
    app = FastAPIOffline(  # its documentation pages need nothing from the internet
        redoc_url=None,
        title="Serverless workflow engine",
        summary="Durable workflows, an event router and an AsyncAPI catalog",
        description=_DESCRIPTION,
        version=_version(),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=_TAGS,
        default_response_class=JsonAnswer,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: f"{route.tags[0] if route.tags else 'other'}-{route.name}",
    )
    app.state.closing = asyncio.Event()
    app.state.engine = engine
    metrics = app.state.metrics = Metrics()
    answer_problems(app)
    bearer = HTTPBearer(auto_error=False, description="The token that the server was started with")
    if access is None and token is not None:
        access = Tokens({"admin": token})
    guarded: list[Any] = []
    if access is not None:  # the first is shown only: the gate checks it
        guarded = [Security(bearer), Depends(deciding(engine, router))]
    for routes in (
        workflows.create_routes(engine),
        deleting.create_routes(engine),
        batches.create_routes(engine),
        moving.create_routes(engine),
        control.create_routes(engine),  # before those of runs, whose ids may have slashes
        runs.create_routes(engine, largest_input),
        schedules.create_routes(engine),
        events.create_routes(engine, router, metrics),
        channels.create_routes(router),
        subscriptions.create_routes(engine, router, reach),
        sources.create_routes(router, secrets, guarded=access is not None, hearings=hearings, reach=reach),
        webhooks.create_routes(router),
        internal.create_routes(engine, router, restoring),
    ):
        app.include_router(routes, dependencies=guarded, responses=_PROBLEM)
    if codec is not None:
        app.include_router(codec_routes(codec, codec_origins), dependencies=guarded, responses=_PROBLEM)
    if catalog_router is not None:
        app.include_router(catalog_router, dependencies=guarded)
    app.include_router(
        health.create_routes(
            engine,
            router,
            metrics,
            ready,
            folder=folder,
            access=access,
            guarded=guarded,
            hearings=hearings,
            restoring=restoring,
            reach=reach,
        ),
        responses=_PROBLEM,
    )
    app.add_api_route("/", _begin, include_in_schema=False)
    most = largest_input + MAX_DOCUMENT
    app.add_middleware(Gate, access=access, loopback_only=loopback_only, metrics=metrics, most=most)
    if tracer() is not None:
        app.add_middleware(Spans)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


async def _begin() -> Response:
    """Who opens the address that `wfe dev` prints finds the documentation."""
    return RedirectResponse("docs")


def _version() -> str:
    try:
        return version("serverless-workflow-engine")
    except PackageNotFoundError:  # run from a source tree
        return "0"
