"""Health and metrics, for who operates the server."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from fastapi import APIRouter, Request, Response

from workflow_engine.api.access import Access, Standing
from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.certificates import Served
from workflow_engine.api.grants import granted
from workflow_engine.api.metrics import MEDIA_TYPE, Metrics
from workflow_engine.api.wire import LiveModel, ReadyModel
from workflow_engine.calls.brokers.hearing import Hearings
from workflow_engine.calls.reach import UNLIMITED, Reaches
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.restoring import Restoring
from workflow_engine.errors import Unavailable
from workflow_engine.events.router import Router
from workflow_engine.values import JsonObject

Ready: TypeAlias = Callable[[], Awaitable[Mapping[str, str | None]]]
"""By the name of each part why it does not work; None if it does."""
READY_SECONDS = 5.0
"""How long the parts have to say that they are ready."""
TOLD_SECONDS = 2.0
"""How long each number of the metrics may take."""
SCARCE = 64 * 1024 * 1024
"""With how many bytes left on its disk a server warns: what it is asked to keep soon has no room."""

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


def create_routes(
    engine: Engine,
    router: Router,
    metrics: Metrics,
    ready: Ready | None,
    *,
    folder: Path | None = None,
    access: Access | None = None,
    guarded: Sequence[Any] = (),
    hearings: Hearings | None = None,
    restoring: Restoring | None = None,
    reach: Reaches = UNLIMITED,
) -> APIRouter:
    """``/livez``, and with the dependencies *guarded* ``/readyz`` and ``/metrics``, also of the disk of *folder*, of
    the issuer of tokens that *access* has, and of the file of *reach*.
    """
    routes = APIRouter(tags=["health"])

    def told(request: Request, issuer: Standing | None, room: tuple[int, int] | None) -> dict[str, str]:
        found = {} if restoring is None else dict(restoring.warnings)
        certificates: Served | None = getattr(request.app.state, "certificates", None)
        if certificates is not None and (ends := certificates.warning()) is not None:
            found["certificates"] = ends
        if reach.failing is not None:
            found["reach"] = f"stays as it was: {reach.failing}"
        if issuer is not None and (away := issuer.told()) is not None:
            found["issuer"] = away
        if room is not None and room[0] < SCARCE:
            left = f"{room[0]:,} bytes"
            found["disk"] = f"{left} are free on the disk of the data folder; what has no room is refused"
        return found

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
    async def readyz(request: Request) -> Response:
        """Whether requests can be served: the parts, which of them work, and what deserves a look all the same.

        Sources that hear nothing are told, but do not count: what is sent to them waits at their brokers.
        """
        found, issuer = await asyncio.gather(_parts(ready), _standing(access))
        warnings: JsonObject = {**told(request, issuer, disk(folder))}
        parts: JsonObject = {part: reason is None for part, reason in found.items()}
        reasons: JsonObject = {part: reason for part, reason in found.items() if reason is not None}
        status = "not ready" if reasons else "ready"
        sources: JsonObject = {} if hearings is None else {**hearings.failing(granted().hears)}
        answer: JsonObject = {
            "status": status,
            "parts": parts,
            "reasons": reasons,
            "warnings": warnings,
            "sources": sources,
        }
        return JsonAnswer(answer, 503 if reasons else 200)

    @routes.get(
        "/metrics",
        dependencies=guarded,
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def show(request: Request) -> Response:
        """Counters of this process, and how parts, channels, subscriptions, workers and runs are, for Prometheus."""
        channels, backlog, parked, load, found, issuer = await asyncio.gather(
            _told("channels", router.channels()),
            _told("subscriptions", router.backlog()),
            _told("parked runs", engine.runtime.parked()),
            _told("workers and runs", engine.runtime.load()),
            _parts(ready),
            _standing(access),
        )
        room = disk(folder)
        text = metrics.render(
            channels or (),
            backlog=backlog,
            parked=parked,
            load=load,
            parts=found,
            disk=room,
            heard=() if hearings is None else hearings.ears(),
            warnings=[*told(request, issuer, room)],
            issuer=None if issuer is None else (issuer.away is None, issuer.age),
        )
        return Response(text, headers={"content-type": MEDIA_TYPE})

    return routes


def disk(folder: Path | None) -> tuple[int, int] | None:
    """How many bytes the disk of *folder* has free, and in all; None where that cannot be told."""
    try:
        usage = None if folder is None else shutil.disk_usage(folder)
    except OSError:
        return None
    return None if usage is None else (usage.free, usage.total)


async def _standing(access: Access | None) -> Standing | None:
    return None if access is None else await access.standing()


async def _told(what: str, asked: Awaitable[_T]) -> _T | None:
    """What is *asked* for, or None where that cannot be told in time."""
    try:
        async with asyncio.timeout(TOLD_SECONDS):
            return await asked
    except (Unavailable, TimeoutError) as error:
        _log.warning("metrics without %s: %s", what, str(error) or "no answer in time")
        return None


async def _parts(ready: Ready | None) -> Mapping[str, str | None]:
    if ready is None:
        return {}
    try:
        async with asyncio.timeout(READY_SECONDS):
            return await ready()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the server is not ready
        _log.warning("the check of readiness failed: %r", error)
        return {"checked": f"the check failed: {type(error).__name__}"}
