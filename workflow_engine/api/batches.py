"""Do something to many runs: those that a query finds."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.bodies import MAX_DOCUMENT, read_object, unknown_members
from workflow_engine.api.grants import granted
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire_control import BatchModel, BatchProgressModel, BatchRequestModel
from workflow_engine.engine.batches import RATE, Batch, Batches
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.names import narrowed
from workflow_engine.engine.runtime import RunQuery
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.interpreter.retrying import ABSENT, Wish
from workflow_engine.values import Json, JsonObject

_MOMENT = TypeAdapter[datetime](AwareDatetime)
_QUERY = {
    "namespace",
    "workflow",
    "version",
    "status",
    "error",
    "started_after",
    "started_before",
    "attributes",
}
_MEMBERS = {"command", "query", "ids", "dry_run", "rate", "reason"} | {
    "state", "data", "context", "output", "version", "new_keys",
}  # fmt: skip
_SHOWN = 20
MOST_LOOKED_AT = 200
_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": BatchRequestModel.model_json_schema()}},
    }
}
_COUNTED: dict[int | str, dict[str, Any]] = {
    200: {"model": BatchModel, "description": "A dry run: which runs it would be"}
}
BatchId = Annotated[str, Path(description="Id of the batch", max_length=200)]


def create_routes(engine: Engine) -> APIRouter:
    """The routes under ``/v1/runs/batch``."""
    routes = APIRouter(prefix="/v1", tags=["runs"], route_class=StrictRoute)

    def batches() -> Batches:
        if engine.batches is None:
            raise NotFound("command", "batch", "this server deals with one run at a time")
        return engine.batches

    @routes.post(
        "/runs/batch",
        status_code=202,
        response_model=BatchProgressModel,
        responses=_COUNTED,
        openapi_extra=_REQUEST,
    )
    async def start_batch(
        request: Request,
        id: Annotated[
            str | None,
            Query(
                pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,99}$",
                description="Its id: sent again, it is begun once",
            ),
        ] = None,
    ) -> Response:
        """Do a command to all runs that a query finds, so many a second: `cancel`, `terminate`, `suspend`, `resume`,
        `retry` or `skip`.

        With `dry_run` it is only told how many runs it would be, and which the first ones are. Else it goes on by
        itself, also while this server is restarted; ask for its progress. At most 10,000 runs are dealt with: `more`
        says that there are others.
        """
        body = await read_object(request, MAX_DOCUMENT, _MEMBERS)
        batch, prefix = await _within(engine, read_batch(body))
        dry = body.get("dry_run", False)
        if not isinstance(dry, bool):
            raise Rejected("wrong-type", "expected true or false", pointer="/dry_run")
        if dry:
            found = await batches().count(batch)
            shown: list[Json] = [run for run, _ in found.runs[:_SHOWN]]
            return JsonAnswer(
                {"command": batch.command, "total": len(found.runs), "more": found.more, "runs": shown}
            )
        chosen = prefix + called(id, batch, prefix).removeprefix(prefix)
        await batches().start(chosen, batch)
        return JsonAnswer((await batches().progress(chosen, 0, 0)).to_json(), 202)

    @routes.get("/runs/batch/{batch_id}", response_model=BatchProgressModel)
    async def batch(
        batch_id: BatchId,
        offset: Annotated[int, Query(ge=0, le=1_000_000, description="Which run is the first")] = 0,
        limit: Annotated[int, Query(ge=0, le=1000, description="At most so many runs")] = 100,
    ) -> Response:
        """How far a batch is, and what became of its runs: `done`, `refused` or `failed`, and why."""
        return JsonAnswer((await batches().progress(batch_id, offset, limit)).to_json())

    @routes.post("/runs/batch/{batch_id}/cancel", status_code=202, response_model=BatchProgressModel)
    async def cancel_batch(batch_id: BatchId) -> Response:
        """Let a batch end; what it has done stays done."""
        await batches().cancel(batch_id)
        return JsonAnswer((await batches().progress(batch_id, 0, 0)).to_json(), 202)

    return routes


def called(id: str | None, batch: Batch, prefix: str) -> str:
    """The id of *batch*; `Rejected` for one by which the tokens of a namespace would find what is not theirs alone."""
    owner, mark, _ = (id or "").partition("~")
    if mark and not prefix and owner != batch.query.namespace:
        raise Rejected("batch-id", f"so the batches of namespace {owner!r} are called, and this is none")
    return id or uuid.uuid4().hex


async def _within(engine: Engine, batch: Batch) -> tuple[Batch, str]:
    """*batch* as the token may have it, and what its id begins with: of a limited one its namespace."""
    grant = granted()
    if not grant.limited:
        return batch, ""
    namespace = batch.query.namespace or grant.own_namespace()
    if batch.ids is not None:
        if len(batch.ids) > MOST_LOOKED_AT:
            raise grant.refuse(f"at most {MOST_LOOKED_AT} runs by their ids, for each is looked at")
        for id in batch.ids:
            workflow = (await engine.describe(id)).workflow
            if not grant.sees(workflow) or workflow is None:
                raise NotFound("run", id)
            namespace = namespace or workflow.namespace
            if workflow.namespace != namespace:
                raise Rejected("several-namespaces", "the runs are of several namespaces", pointer="/ids")
    elif namespace is None:
        raise Rejected("namespace-missing", "say which namespace", pointer="/query/namespace")
    grant.check_namespace(str(namespace), "/query/namespace")
    return replace(batch, query=replace(batch.query, namespace=namespace)), f"{namespace}~"


def read_batch(body: JsonObject) -> Batch:
    """The batch that *body* asks for; `Rejected` with the place where it makes no sense."""
    command, query, ids = body.get("command"), body.get("query"), body.get("ids")
    if not isinstance(command, str):
        raise Rejected("wrong-type", "expected a text", pointer="/command")
    if (query is None) == (ids is None):
        raise Rejected("query-or-ids", "give either `query` or `ids`: `{}` is every run of the status")
    if ids is not None and not (isinstance(ids, list) and all(isinstance(id, str) and id for id in ids)):
        raise Rejected("wrong-type", "expected a list of ids", pointer="/ids")
    rate = body.get("rate", RATE)
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise Rejected("wrong-type", "expected a number", pointer="/rate")
    renew = body.get("new_keys", False)
    if not isinstance(renew, bool):
        raise Rejected("wrong-type", "expected true or false", pointer="/new_keys")
    wish = Wish(
        _text(body, "state"),
        body.get("data", ABSENT),
        body.get("context", ABSENT),
        command == "skip",
        body.get("output", ABSENT),
        renew,
    )
    chosen = None if ids is None else tuple(dict.fromkeys(str(id) for id in ids if isinstance(ids, list)))
    reason = _text(body, "reason") or ""
    return Batch(
        command, _query(query or {}), chosen, float(rate), reason, wish, _text(body, "version")
    ).checked()


def _query(given: Json) -> RunQuery:
    if not isinstance(given, dict):
        raise Rejected("wrong-type", "expected an object", pointer="/query")
    unknown_members(given, _QUERY)
    attributes = given.get("attributes", {})
    if not isinstance(attributes, dict) or not all(
        name.isidentifier() and isinstance(value, str) for name, value in attributes.items()
    ):
        raise Rejected("wrong-type", "expected names and texts", pointer="/query/attributes")
    parts = (_text(given, part, "/query") for part in ("namespace", "workflow", "version"))
    namespace, name, version = narrowed(*parts)
    return RunQuery(
        namespace=namespace,
        name=name,
        version=version,
        status=_text(given, "status", "/query"),
        error=_text(given, "error", "/query"),
        after=_moment(given, "started_after"),
        before=_moment(given, "started_before"),
        attributes={name: str(value) for name, value in attributes.items()},
    )


def _moment(given: JsonObject, name: str) -> datetime | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        return _MOMENT.validate_python(value if isinstance(value, str) else "")
    except ValidationError:
        raise Rejected(
            "wrong-type", "expected an RFC 3339 timestamp with its zone", pointer=f"/query/{name}"
        ) from None


def _text(given: JsonObject, name: str, at: str = "") -> str | None:
    value = given.get(name)
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= 4000):
        raise Rejected("wrong-type", "expected a text, 4,000 characters at most", pointer=f"{at}/{name}")
    return value
