"""Health and metrics, for who operates the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from fastapi import APIRouter, Response

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.metrics import MEDIA_TYPE, Metrics
from workflow_engine.api.wire import LiveModel, ReadyModel
from workflow_engine.engine.engine import Engine
from workflow_engine.errors import Unavailable
from workflow_engine.events.router import Router
from workflow_engine.values import JsonObject

Ready: TypeAlias = Callable[[], Awaitable[dict[str, bool]]]
"""Which parts work, by name."""
READY_SECONDS = 5.0
"""How long the parts have to say that they are ready."""
PARKED_SECONDS = 2.0

_log = logging.getLogger(__name__)


def create_routes(
    engine: Engine, router: Router, metrics: Metrics, ready: Ready | None, *, guarded: Sequence[Any] = ()
) -> APIRouter:
    """``/livez``, and with the dependencies *guarded* ``/readyz`` and ``/metrics``."""
    routes = APIRouter(tags=["health"])

    @routes.get("/livez", response_model=LiveModel)
    async def livez() -> Response:
        """The process answers. Needs no token."""
        return JsonAnswer({"status": "ok"})

    @routes.get(
        "/readyz",
        dependencies=guarded,
        response_model=ReadyModel,
        responses={503: {"model": ReadyModel, "description": "Not all parts work"}},
    )
    async def readyz() -> Response:
        """Whether requests can be served: the parts, and which of them work."""
        parts = await _parts(ready)
        everything = all(parts.values())
        status = "ready" if everything else "not ready"
        return JsonAnswer({"status": status, "parts": parts}, 200 if everything else 503)

    @routes.get(
        "/metrics",
        dependencies=guarded,
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def show() -> Response:
        """Counters of this process, the state of the channels, and the number of parked runs, for Prometheus."""
        channels: Sequence[JsonObject] = ()
        try:
            channels = await router.channels()
        except Unavailable as error:
            _log.warning("metrics without channels: %s", error)
        text = metrics.render(channels, await _parked(engine))
        return Response(text, headers={"content-type": MEDIA_TYPE})

    return routes


async def _parked(engine: Engine) -> int | None:
    """How many runs are parked, or None where that cannot be told in time."""
    try:
        return await asyncio.wait_for(engine.parked(), PARKED_SECONDS)
    except (Unavailable, TimeoutError) as error:
        _log.warning("metrics without parked runs: %r", error)
        return None


async def _parts(ready: Ready | None) -> dict[str, bool]:
    if ready is None:
        return {}
    try:
        return await asyncio.wait_for(ready(), READY_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the server is not ready
        _log.warning("the check of readiness failed: %r", error)
        return {"checked": False}
