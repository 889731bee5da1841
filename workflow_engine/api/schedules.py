"""Schedules: which workflows the clock starts, when, and whether it is held."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.grants import granted
from workflow_engine.api.paging import Cursor, cursor_of, pair_of
from workflow_engine.api.parameters import Name, Namespace
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire_schedules import ScheduleModel, SchedulesModel
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.schedules import MAX_NOTE
from workflow_engine.engine.scheduling import Scheduling
from workflow_engine.errors import NotFound
from workflow_engine.values import Json


def create_routes(engine: Engine) -> APIRouter:
    """The routes under ``/v1/schedules``."""
    routes = APIRouter(prefix="/v1/schedules", tags=["schedules"], route_class=StrictRoute)

    @routes.get("", response_model=SchedulesModel)
    async def schedules(
        limit: Annotated[int, Query(ge=1, le=200, description="At most so many")] = 50, cursor: Cursor = None
    ) -> Response:
        """Every workflow that the clock starts, by namespace and name.

        A page may have fewer than *limit*, even none, and yet a *cursor*, where very many workflows have no schedule.
        """
        namespaces = granted().namespaces
        within = None if namespaces is None else sorted(namespaces)
        found, behind = await _scheduling(engine).page(pair_of(cursor), limit, within)
        shown: list[Json] = [item.to_json() for item in found]
        return JsonAnswer({"schedules": shown, "cursor": None if behind is None else cursor_of(*behind)})

    @routes.get("/{namespace}/{name}", response_model=ScheduleModel)
    async def schedule(namespace: Namespace, name: Name) -> Response:
        """The schedule of a workflow; 404 when its latest version has none."""
        return JsonAnswer((await _scheduling(engine).description(namespace, name)).to_json())

    @routes.post("/{namespace}/{name}/{command}", status_code=202, response_model=ScheduleModel)
    async def control(
        namespace: Namespace,
        name: Name,
        command: Literal["pause", "resume", "trigger"],
        reason: Annotated[
            str, Query(max_length=MAX_NOTE, description="Of a pause, for who looks at it later")
        ] = "",
    ) -> Response:
        """Do `pause`, `resume` or `trigger` to a schedule; how it is then.

        `pause` starts no more runs; those under way go on. After `resume` runs start again, and those whose
        moments have passed are not made up for. `trigger` starts one now, paused or not; 409 while a run goes
        on that must end before: one of `cron` or `after`.
        """
        done = await _scheduling(engine).control(namespace, name, command, reason)
        return JsonAnswer(done.to_json(), 202)

    return routes


def _scheduling(engine: Engine) -> Scheduling:
    if engine.scheduling is None:
        raise NotFound("schedule", "", "this server keeps none")
    return engine.scheduling
