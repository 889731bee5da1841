"""Runs: start, follow, list, control."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime
from starlette.requests import ClientDisconnect

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.bodies import (
    MAX_DOCUMENT,
    MAX_PACKAGE,
    read_json,
    read_object,
)
from workflow_engine.api.grants import Grant, granted
from workflow_engine.api.listing import attributes_of, keys_of
from workflow_engine.api.parameters import Express, Name, Namespace, NewRunId, RunId, Version, Wait
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire import RunModel, RunOnceModel, RunsModel, RunStatus
from workflow_engine.api.workflows import EXAMPLE, document_of, resources_of
from workflow_engine.engine.batches import may_fit
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.names import narrowed
from workflow_engine.engine.runtime import RunDescription, RunPage, RunQuery

_FINISHED: dict[int | str, dict[str, Any]] = {
    200: {"model": RunModel, "description": "It was waited for, and the run has ended"}
}
_OUTPUT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Any JSON", "content": {"application/json": {"schema": {}}}}
}
_HISTORY: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`id`, `execution`, `previous`, `next`, the `events`, and their `sizes` as Temporal keeps them",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
_INPUT: dict[str, Any] = {
    "requestBody": {
        "description": "Input of the run; nothing is `{}`",
        "content": {"application/json": {"schema": {}, "example": {"order": 4711}}},
    }
}
_PAGES = 50
"""How often runs are asked for, for one page of those that a token sees."""
_LOOKED_AT = frozenset({"pending", "waiting", "suspended"})
_STATUS = (
    "If absent, a run that goes on is told to be `running`, also while it waits; workers need not be asked"
)
_ONCE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": RunOnceModel.model_json_schema(),
                "example": {"document": EXAMPLE, "input": {"name": "Ann"}},
            }
        },
    }
}


def create_routes(engine: Engine, largest_input: int = MAX_DOCUMENT) -> APIRouter:
    """The routes under ``/v1/runs``, and the one that starts runs of a deployed workflow, with *largest_input* bytes
    at most.
    """
    routes = APIRouter(prefix="/v1", tags=["runs"], route_class=StrictRoute)

    @routes.post(
        "/workflows/{namespace}/{name}/{version}/runs",
        status_code=201,
        response_model=RunModel,
        responses=_FINISHED,
        openapi_extra=_INPUT,
    )
    async def start(
        request: Request,
        namespace: Namespace,
        name: Name,
        version: Version,
        wait: Wait = None,
        run_id: NewRunId = None,
        express: Express = None,
    ) -> Response:
        """Start a run of a deployed workflow; 409 when a run has or had its id."""
        granted().check_run_id(run_id)
        given = await read_json(request, largest_input, empty={})
        id = await engine.start(
            namespace, name, version, given, run_id=run_id, express=express, awaited=wait or 0.0
        )
        del given  # it may be large, and the answer has it again
        return await _started(request, engine, id, wait)

    @routes.post("/runs", status_code=201, response_model=RunModel, responses=_FINISHED, openapi_extra=_ONCE)
    async def run_once(
        request: Request, wait: Wait = None, run_id: NewRunId = None, express: Express = None
    ) -> Response:
        """Run a document without deploying it."""
        granted().check_run_id(run_id)
        body = await read_object(request, max(MAX_PACKAGE, largest_input), {"document", "input", "resources"})
        id = await engine.run_once(
            document_of(body),
            body.get("input", {}),
            run_id=run_id,
            resources=resources_of(body),
            express=express,
            awaited=wait or 0.0,
            allowed=granted().allowed,
        )
        return await _started(request, engine, id, wait)

    @routes.get("/runs", response_model=RunsModel)
    async def runs(
        namespace: Annotated[str | None, Query(max_length=500, description="Of workflows in it")] = None,
        workflow: Annotated[
            str | None,
            Query(max_length=1500, description="`name`, `namespace/name` or `namespace/name:version`"),
        ] = None,
        version: Annotated[str | None, Query(max_length=500, description="Of this version")] = None,
        status: Annotated[RunStatus | None, Query(description=_STATUS)] = None,
        limit: Annotated[int, Query(ge=1, le=200, description="At most so many")] = 50,
        cursor: Annotated[str | None, Query(max_length=4000, description="Of the page before")] = None,
        parked: Annotated[bool, Query(description="Only runs that a bug of the engine holds up")] = False,
        started_after: Annotated[AwareDatetime | None, Query(description="Begun then or later")] = None,
        started_before: Annotated[AwareDatetime | None, Query(description="Begun before then")] = None,
        attribute: Annotated[
            list[str] | None,
            Query(
                max_length=20, description="A search attribute of Temporal, `NAME=VALUE`; as often as needed"
            ),
        ] = None,
        key: Annotated[
            list[str] | None,
            Query(max_length=20, description="A key of the run, `name=value`; as often as needed"),
        ] = None,
    ) -> Response:
        """Runs, newest first, without input and output.

        Temporal tells all that have not ended as `running`. For `pending`, `waiting` and `suspended` each of those is
        looked at, so such a page may have fewer runs than *limit*, even none, and yet a *cursor*.
        """
        grant = granted()
        namespace, workflow, version = narrowed(namespace, workflow, version)
        query = RunQuery(
            namespace or grant.own_namespace(),
            workflow,
            version,
            status,
            limit,
            cursor,
            parked,
            started_after,
            started_before,
        )
        query = replace(query, attributes=attributes_of(attribute), keys=keys_of(key))
        if grant.namespaces is None:
            page = await _seen(engine, query, grant)
        elif grant.namespaces:
            page = await _seen(engine, replace(query, within=sorted(grant.namespaces)), grant)
        else:
            page = RunPage((), None)
        return JsonAnswer({"runs": [run.to_json() for run in page.runs], "cursor": page.cursor})

    @routes.get("/runs/{run_id:path}/output", responses=_OUTPUT)
    async def output(request: Request, run_id: RunId, wait: Wait = None) -> Response:
        """The output of a completed run, and nothing else: what `outputUri` of its lifecycle event is the address of.

        409 while the run has none, also after waiting: it has not ended, or has faulted or been cancelled.
        """
        asking = asyncio.ensure_future(engine.output(run_id, wait or 0.0))
        if await _awaited(request, asking):
            return JsonAnswer(asking.result())
        return JsonAnswer(await engine.output(run_id))

    @routes.get("/runs/{run_id:path}/history", responses=_HISTORY)
    async def history(
        run_id: RunId,
        execution: Annotated[
            str | None,
            Query(max_length=200, description="`previous` or `next` of another history of the run"),
        ] = None,
    ) -> Response:
        """All that Temporal recorded of a run, as its own tools write it: what `wfe runs debug` replays.

        A run that went on as a new execution has several histories: the last one, or the one that is named. Secrets are
        in none of them.
        """
        return JsonAnswer(await engine.history(run_id, execution))

    @routes.get("/runs/{run_id:path}", response_model=RunModel)
    async def run(request: Request, run_id: RunId, wait: Wait = None) -> Response:
        """A run as it is now, or once it has ended; whichever comes first."""
        return JsonAnswer((await _described(request, engine, run_id, wait)).to_json())

    return routes


async def _seen(engine: Engine, query: RunQuery, grant: Grant) -> RunPage:
    """A page of the runs that *query* asks for and *grant* sees: a full one, also where the server has no search
    attributes to ask by, unless `_PAGES` of all runs have not so many.
    """
    kept: list[RunDescription] = []
    for _ in range(_PAGES):
        page = await engine.runs(replace(query, limit=query.limit - len(kept)))
        kept += [run for run in page.runs if grant.sees(run.workflow) and may_fit(run, query)]
        query = replace(query, cursor=page.cursor)
        if page.cursor is None or len(kept) >= query.limit or query.parked or query.status in _LOOKED_AT:
            break
    return RunPage(kept, query.cursor)


async def _started(request: Request, engine: Engine, id: str, wait: float | None) -> Response:
    run = await _described(request, engine, id, wait)
    location = {"Location": f"/v1/runs/{quote(id, safe=':@+~')}"}
    return JsonAnswer(run.to_json(), 200 if wait and run.ended else 201, headers=location)


async def _described(request: Request, engine: Engine, id: str, wait: float | None) -> RunDescription:
    """The run once it has ended, or as it is after *wait* seconds, or when the server closes.

    When the caller hangs up first, the waiting is given up and `ClientDisconnect` raised.
    """
    if not wait:
        return await engine.describe(id)
    working = asyncio.ensure_future(engine.wait(id, wait))
    return working.result() if await _awaited(request, working) else await engine.describe(id)


async def _awaited(request: Request, working: asyncio.Future[Any]) -> bool:
    """Whether *working* is done; if not, it is given up, for the server closes. `ClientDisconnect` when the caller has
    hung up.
    """
    closing = asyncio.ensure_future(request.app.state.closing.wait())
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, closing, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not working.done():
            raise ClientDisconnect
        return working.done()
    finally:
        for task in (working, closing, gone):
            task.cancel()
        await asyncio.gather(working, closing, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
