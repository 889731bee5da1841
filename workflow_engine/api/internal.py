"""What workers ask: listeners of runs, and the bundles of workflows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.bodies import MAX_DOCUMENT, read_object
from workflow_engine.api.paging import PAGE, Cursor, Limit, page_of, pair_of
from workflow_engine.api.parameters import RunId
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire import ListenersModel, ListenModel, RepairedModel
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.restoring import Restoring
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.events.router import Router
from workflow_engine.values import JsonObject, pointer

_MOMENT: TypeAdapter[AwareDatetime] = TypeAdapter(AwareDatetime)
_LISTEN = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": ListenModel.model_json_schema()}},
    }
}


def create_routes(engine: Engine, router: Router, restoring: Restoring | None = None) -> APIRouter:
    """The routes that workers use; people look at them to see what runs wait for. *restoring* puts it right."""
    routes = APIRouter(prefix="/v1", tags=["internal"], route_class=StrictRoute)

    @routes.get("/listeners", response_model=ListenersModel)
    async def listeners(
        channel: Annotated[str | None, Query(max_length=200, description="To this channel")] = None,
        run_id: Annotated[str | None, Query(max_length=4000, description="Of this run")] = None,
        limit: Limit = PAGE,
        cursor: Cursor = None,
    ) -> Response:
        """Every listener of a run, by channel and run."""
        after = pair_of(cursor)
        found = await router.listeners_after(after, limit + 1, channel=channel, run_id=run_id)
        return JsonAnswer(page_of("listeners", found, limit, lambda each: each[1], lambda each: each[0]))

    @routes.put("/listeners", status_code=204, response_class=Response, openapi_extra=_LISTEN)
    async def listen(request: Request) -> Response:
        """Deliver to a run what a strategy accepts. Doing it again is harmless."""
        body = await read_object(request, MAX_DOCUMENT, frozenset(ListenModel.model_fields))
        spec = body.get("spec")
        if not isinstance(spec, dict):
            raise Rejected("wrong-type", "expected a strategy, which is an object", pointer="/spec")
        try:
            since = _MOMENT.validate_python(_text(body, "since"))
        except ValidationError:
            raise Rejected(
                "wrong-type", "expected an RFC 3339 timestamp with its zone", pointer="/since"
            ) from None
        channel = _text(body, "channel", "default")
        await router.listen(
            _text(body, "run_id"), _text(body, "listen_id"), spec, since=since, channel=channel
        )
        return Response(status_code=204)

    @routes.post("/listeners/repair", response_model=RepairedModel)
    async def repair() -> Response:
        """Ask every open run what it listens for, and have the router know it: for after a restoration from a backup,
        which is also noticed by itself; `warnings` of `/readyz` are cleared then. Needs a worker; again is harmless.
        """
        if restoring is None:
            raise NotFound("command", "repair", "this server has no runs to ask")
        return JsonAnswer((await restoring.asked()).to_json())

    @routes.delete("/listeners/{run_id:path}", status_code=204, response_class=Response)
    async def unlisten(
        run_id: RunId,
        listen_id: Annotated[
            str | None, Query(max_length=4000, description="Which one; if absent, forget all of the run")
        ] = None,
        used: Annotated[
            int | None, Query(ge=0, description="Events from this one on are free for others of the run")
        ] = None,
        keep: Annotated[
            bool, Query(description="Remember which events the run took: it may be retried")
        ] = False,
    ) -> Response:
        """Deliver no more to a listener; or forget the run, because it has ended."""
        if listen_id is None:
            await router.forget_run(run_id, keep=keep)
        else:
            await router.unlisten(run_id, listen_id, used=used)
        return Response(status_code=204)

    @routes.get(
        "/bundles",
        response_class=Response,
        responses={
            200: {
                "description": "The bundle, compressed; header `wfe-digest` is its digest",
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def bundle(
        name: Annotated[str, Query(max_length=500)],
        namespace: Annotated[
            str | None, Query(max_length=500, description="If absent, the name must be unique")
        ] = None,
        version: Annotated[str | None, Query(max_length=500, description="If absent, the latest")] = None,
    ) -> Response:
        """What a run of a workflow is pinned to."""
        found = await engine.find_bundle(namespace, name, version)
        headers = {"wfe-digest": found.digest}
        return Response(found.data, media_type="application/octet-stream", headers=headers)

    return routes


def _text(body: JsonObject, name: str, default: str | None = None) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or not 0 < len(value) <= 4000:
        raise Rejected("wrong-type", "expected a text, 4,000 characters at most", pointer=pointer(name))
    return value
