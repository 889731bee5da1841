"""What is done to runs: cancel, terminate, suspend, resume, retry, skip, edit; and where they stand."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.bodies import MAX_DOCUMENT, read_json, unknown_members
from workflow_engine.api.parameters import RunId
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire import RunModel
from workflow_engine.api.wire_control import EditModel, RetryModel, SkipModel, StandingsModel
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.moving import names_of
from workflow_engine.errors import Rejected
from workflow_engine.interpreter.retrying import ABSENT, Wish
from workflow_engine.values import Json, JsonObject

Reason = Annotated[str, Query(max_length=1000, description="For who looks at the run later")]


def _body(model: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": model.model_json_schema()}}}}


def create_routes(engine: Engine) -> APIRouter:
    """The routes under ``/v1/runs/{id}`` that change a run."""
    routes = APIRouter(prefix="/v1", tags=["runs"], route_class=StrictRoute)

    @routes.get("/runs/{run_id:path}/standing", response_model=StandingsModel)
    async def standing(run_id: RunId) -> Response:
        """The states at which a run stands, or stood when it ended, with their data: what `retry`, `skip` and `edit`
        are about. A worker tells it, which may have to replay the run.
        """
        found = await engine.standing(run_id)
        return JsonAnswer({"states": [state.to_json() for state in found]})

    @routes.post(
        "/runs/{run_id:path}/retry",
        status_code=202,
        response_model=RunModel,
        openapi_extra=_body(RetryModel),
    )
    async def retry(request: Request, run_id: RunId) -> Response:
        """Let a run go on that has faulted, or was cancelled or terminated, from the state that failed.

        What had been done before is not done again. It keeps its id and the version of its workflow; its calls keep
        their idempotency keys, unless their data is changed. 409 if it cannot: `run-completed`, `run-not-ended`,
        `unknown-state`, `several-failed-states`, `data-needed`, `position-does-not-fit`, `no-position`.
        """
        body = await _read(request, {"state", "data", "context", "input", "version", "map", "new_keys"})
        wish = _wish(body, renew=_flag(body, "new_keys"))
        version = _text(body, "version")
        names = names_of(_texts(body, "map"))
        await engine.retry(run_id, wish, input=body.get("input", ABSENT), version=version, names=names)
        return await _as_it_is(engine, run_id)

    @routes.post(
        "/runs/{run_id:path}/skip", status_code=202, response_model=RunModel, openapi_extra=_body(SkipModel)
    )
    async def skip(request: Request, run_id: RunId) -> Response:
        """Leave out a state, and go on after it: the one that failed, or one at which the run is.

        What comes of it is `output`, or else its input. What it is doing is interrupted: a wait, a call, a sub-flow,
        and all that is inside it. 409 as for `retry`; of a run that has not ended also `several-states` and
        `state-skipped`.
        """
        body = await _read(request, {"state", "output", "context"})
        await engine.skip(run_id, _wish(body, skip=True, output=body.get("output", ABSENT)))
        return await _as_it_is(engine, run_id)

    @routes.post(
        "/runs/{run_id:path}/edit", status_code=202, response_model=RunModel, openapi_extra=_body(EditModel)
    )
    async def edit(request: Request, run_id: RunId) -> Response:
        """Give the state before which a suspended run is held other data, or change `$context`.

        409 when it is not suspended, or the state is under way: `run-not-suspended`, `state-under-way`. A run that
        has ended gets other data by `retry`.
        """
        body = await _read(request, {"state", "data", "context"})
        wish = _wish(body)
        if not wish.edits:
            raise Rejected("nothing-to-edit", "give `data`, `context`, or both")
        await engine.edit(run_id, wish)
        return await _as_it_is(engine, run_id)

    @routes.post("/runs/{run_id:path}/{command}", status_code=202, response_model=RunModel)
    async def control(run_id: RunId, command: str, reason: Reason = "") -> Response:
        """Do `cancel`, `terminate`, `suspend` or `resume` to a run.

        `cancel` lets the run end where it is; `terminate` ends it at once. Both leave an ended run as it
        is. `suspend` stops it before its next state, until `resume`; both are refused once it has ended.
        """
        await engine.control(run_id, command, reason)
        return await _as_it_is(engine, run_id)

    return routes


async def _as_it_is(engine: Engine, run_id: str) -> Response:
    return JsonAnswer((await engine.describe(run_id)).to_json(), 202)


async def _read(request: Request, known: set[str]) -> JsonObject:
    body = await read_json(request, MAX_DOCUMENT, empty={})
    if not isinstance(body, dict):
        raise Rejected("wrong-type", "the body must be a JSON object")
    unknown_members(body, known)
    return body


def _wish(body: JsonObject, *, skip: bool = False, output: Json = ABSENT, renew: bool = False) -> Wish:
    data, context = body.get("data", ABSENT), body.get("context", ABSENT)
    return Wish(_text(body, "state"), data, context, skip, output, renew)


def _text(body: JsonObject, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= 4000):
        raise Rejected("wrong-type", "expected a text, 4,000 characters at most", pointer=f"/{name}")
    return value


def _texts(body: JsonObject, name: str) -> list[str]:
    value = body.get(name, [])
    if not isinstance(value, list) or len(value) > 1000 or not all(isinstance(item, str) for item in value):
        raise Rejected("wrong-type", "expected a list of texts, 1,000 at most", pointer=f"/{name}")
    return [str(item) for item in value]


def _flag(body: JsonObject, name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Rejected("wrong-type", "expected true or false", pointer=f"/{name}")
    return value
