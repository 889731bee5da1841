"""Runs that go on with another version of their workflow."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.parameters import Mapped, RunId
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire import VerdictModel
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.moving import Moving, names_of


def create_routes(engine: Engine) -> APIRouter:
    """The route that moves a run."""
    routes = APIRouter(prefix="/v1", tags=["runs"], route_class=StrictRoute)

    @routes.post("/runs/{run_id:path}/migrate", response_model=VerdictModel)
    async def migrate(
        run_id: RunId,
        version: Annotated[str, Query(max_length=500, description="Of its workflow")] = "latest",
        dry_run: Annotated[bool, Query(description="Only say whether it could")] = False,
        map: Mapped = None,
        wait: Annotated[float, Query(ge=0, le=60, description="For how many seconds it is waited for")] = 10,
    ) -> Response:
        """Have an open run go on with another version of its workflow.

        It comes to rest at the next boundaries of its states, and goes on from there in a new history. A run for which
        that is not safe is left as it is, and `reasons` says why.
        """
        verdict = await Moving(engine).migrate(
            run_id, version, names_of(map or ()), seconds=wait, dry=dry_run
        )
        return JsonAnswer(verdict.to_json())

    return routes
