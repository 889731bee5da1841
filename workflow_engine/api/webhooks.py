"""How targets of webhooks allow to be sent to, later than they are asked (the callback of CloudEvents' webhooks)."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from workflow_engine.calls.handshake import allowed_by_callback
from workflow_engine.events.router import Router

PermissionId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Key = Annotated[str, Query(max_length=100, description="As in the address that the target was told")]


def create_routes(router: Router) -> APIRouter:
    """``/v1/webhooks/{id}/allow``: a target has the address with its key, and calls it by GET or POST, as it likes."""
    routes = APIRouter(prefix="/v1/webhooks", tags=["events"])

    @routes.api_route(
        "/{id}/allow", methods=["GET", "POST"], response_class=Response, include_in_schema=False
    )
    async def allow(request: Request, id: PermissionId, key: Key) -> Response:
        """Allow the router to send, at `WebHook-Allowed-Rate`, or else as fast as it asked."""
        await allowed_by_callback(router, id, key, request.headers, time.time())
        return Response("Allowed: events will be sent.\n", media_type="text/plain")

    return routes
