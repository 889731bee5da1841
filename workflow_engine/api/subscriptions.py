"""Subscriptions: which events of a channel go where."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

from fastapi import APIRouter, Path, Query, Request, Response

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.bodies import MAX_DOCUMENT, read_object
from workflow_engine.api.grants import granted
from workflow_engine.api.paging import PAGE, Cursor, Limit, key_of, page_of
from workflow_engine.api.rights import hears, published_by
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire_events import (
    FilterTestModel,
    LentModel,
    MatchesModel,
    SeekModel,
    SettledModel,
    SettleModel,
    SubscriptionModel,
    SubscriptionsModel,
)
from workflow_engine.calls.reach import UNLIMITED, Reaches
from workflow_engine.engine.engine import Engine
from workflow_engine.errors import Conflict, NotFound, Rejected
from workflow_engine.events.pulling import LONGEST, MAX_WAIT, MOST, verdicts_of
from workflow_engine.events.router import Router
from workflow_engine.events.subscriptions import Subscription
from workflow_engine.values import Json, JsonObject, pointer

RESERVED = "workflow:"
"""Ids that begin so are the engine's own: one for each workflow that events start."""
_OTHERS = ("run:", "source:")
"""So begin, among dead letters, the names of those that are no subscriptions."""

SubscriptionId = Annotated[str, Path(max_length=200, description="1 to 200 printable ASCII characters")]
_MEMBERS = frozenset(SubscriptionModel.model_fields)
_STRATEGY = frozenset({"attributes", "correlate", "ignore_case"})
"""What the filters of a strategy have; in dialects they have the name of one instead."""


def _body(model: Mapping[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model}}}}


def create_routes(engine: Engine, router: Router, reach: Reaches = UNLIMITED) -> APIRouter:
    """The routes under ``/v1/subscriptions``, which may use what *reach* has of their channels."""
    routes = APIRouter(prefix="/v1/subscriptions", tags=["events"], route_class=StrictRoute)

    async def store(wanted: Subscription, *, known: bool) -> Response:
        await _check_target(engine, wanted.target)
        reach.check_target(wanted.channel, wanted.target)
        await router.put_subscription(wanted)
        headers = {} if known else {"Location": f"/v1/subscriptions/{quote(wanted.id, safe=':@+~')}"}
        return JsonAnswer(wanted.to_json(), 200 if known else 201, headers=headers)

    @routes.get("", response_model=SubscriptionsModel)
    async def subscriptions(
        channel: Annotated[str | None, Query(max_length=200, description="Of this channel")] = None,
        limit: Limit = PAGE,
        cursor: Cursor = None,
    ) -> Response:
        """Every subscription, by id; those whose id begins with `workflow:` are made by deploying."""
        grant = granted()
        found = router.subscriptions_after(
            key_of(cursor),
            limit + 1,
            lambda each: channel in (None, each.channel) and hears(grant, each.channel, each.target),
        )
        return JsonAnswer(
            page_of("subscriptions", found, limit, Subscription.to_json, lambda each: (each.id,))
        )

    @routes.post(
        "",
        status_code=201,
        response_model=SubscriptionModel,
        openapi_extra=_body({"$ref": "#/components/schemas/SubscriptionModel"}),
    )
    async def subscribe(request: Request) -> Response:
        """Create a subscription, with the `id` that it has, or else one that is made for it."""
        body = await read_object(request, MAX_DOCUMENT, _MEMBERS)
        wanted = Subscription.from_json(
            {"channel": "default", **body, "id": body.get("id") or f"sub-{uuid4().hex}"}
        )
        _check_id(wanted.id)
        _check_granted(wanted)
        if await router.find_subscription(wanted.id) is not None:
            raise Conflict(f"there is a subscription {wanted.id}; PUT changes it")
        return await store(wanted, known=False)

    @routes.post(
        "/test", response_model=MatchesModel, openapi_extra=_body(FilterTestModel.model_json_schema())
    )
    async def test(request: Request) -> Response:
        """Whether an event satisfies a filter, and what a transform makes of it. Nothing is stored."""
        body = await read_object(
            request, 2 * MAX_DOCUMENT, {"filter", "filters", "strategy", "transform", "event"}
        )
        if "event" not in body:
            raise Rejected("event-missing", "give the event to test", pointer="/event")
        strategy, dialects = _filters(body)
        transform = body.get("transform")
        return JsonAnswer(await asyncio.to_thread(router.test, strategy, body["event"], transform, dialects))

    @routes.post(
        "/{id:path}/seek",
        response_model=SubscriptionModel,
        openapi_extra=_body(SeekModel.model_json_schema()),
    )
    async def seek(request: Request, id: SubscriptionId) -> Response:
        """Let a subscription begin anew at a place of its channel; what it has not delivered is let go.

        Also that of a workflow: an event that has started a run which is still known starts no other one.
        """
        body = await read_object(request, MAX_DOCUMENT, {"start"})
        if not isinstance(body.get("start"), str):
            raise Rejected("start-invalid", "give `start`", pointer="/start")
        return JsonAnswer((await router.seek(id, str(body["start"]))).to_json())

    @routes.post("/{id:path}/pull", response_model=LentModel)
    async def pull(
        id: SubscriptionId,
        max: Annotated[int, Query(ge=1, le=MOST, description="Deliveries")] = 10,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT, description="Seconds, where there are none")] = 0.0,
        lease: Annotated[
            float, Query(ge=1, le=LONGEST, description="Seconds until they are lent again")
        ] = 60.0,
    ) -> Response:
        """Deliveries of a subscription whose target is `pull`, on loan; `settle` says what became of them."""
        lent = await router.pull(id, most=max, lease=lease, wait=wait)
        return JsonAnswer({"deliveries": [each.to_json() for each in lent]})

    @routes.post(
        "/{id:path}/settle", response_model=SettledModel, openapi_extra=_body(SettleModel.model_json_schema())
    )
    async def settle(request: Request, id: SubscriptionId) -> Response:
        """What became of deliveries that were lent; those that are `late` had been lent for too long, and are again."""
        body = await read_object(request, 8 * MAX_DOCUMENT, frozenset(SettleModel.model_fields))
        verdicts = verdicts_of(body)
        held = await router.settle(id, verdicts)
        late: list[Json] = [receipt for (receipt, *_), kept in zip(verdicts, held, strict=True) if not kept]
        return JsonAnswer({"settled": sum(held), "late": late})

    @routes.get("/{id:path}", response_model=SubscriptionModel)
    async def subscription(id: SubscriptionId) -> Response:
        """One subscription."""
        return JsonAnswer(router.get_subscription(id).to_json())

    @routes.put(
        "/{id:path}",
        response_model=SubscriptionModel,
        responses={201: {"model": SubscriptionModel, "description": "A new subscription"}},
        openapi_extra=_body({"$ref": "#/components/schemas/SubscriptionModel"}),
    )
    async def put(request: Request, id: SubscriptionId) -> Response:
        """Create a subscription, or change one, which keeps its place in the channel.

        Of that of a workflow only `enabled` can be changed: events do not start it meanwhile, and do afterwards.
        """
        body = await read_object(request, MAX_DOCUMENT, _MEMBERS)
        if body.get("id", id) != id:
            raise Rejected("subscription-id", f"the address says {id!r}", pointer="/id")
        wanted = Subscription.from_json({"channel": "default", **body, "id": id})
        _check_granted(wanted)
        there = await router.find_subscription(id)
        if there is None or replace(wanted, enabled=there.enabled) != there:
            _check_id(id)
        if there is not None and not hears(granted(), there.channel, there.target):
            raise granted().refuse(f"the id {id!r} is taken by another subscription")
        return await store(wanted, known=any(found.id == id for found in router.subscriptions()))

    @routes.delete("/{id:path}", status_code=204, response_class=Response)
    async def delete(id: SubscriptionId) -> Response:
        """Delete a subscription with its place and the deliveries that wait."""
        _check_id(id)
        await router.delete_subscription(id)
        return Response(status_code=204)

    return routes


def _check_granted(wanted: Subscription) -> None:
    """`Rejected` where the token may not have what the subscription hears, or where it leads."""
    grant, target = granted(), wanted.target
    grant.check_channel(wanted.channel, "/channel")
    if target.get("kind") == "workflow":
        grant.check_namespace(str(target.get("namespace")), "/target/namespace")
    for member, channel in published_by(target):
        grant.check_channel(channel, f"/target/{member}")


def _check_id(id: str) -> None:
    if id.startswith(RESERVED):
        raise Conflict(
            f"{id} belongs to its workflow: deploy a version with another trigger to change it; it can be paused"
        )
    if id.startswith(_OTHERS):
        raise Rejected("subscription-id", f"ids do not begin with {' or '.join(_OTHERS)}", pointer="/id")
    if id == "test":
        raise Rejected("subscription-id", "`test` is taken by the address that tests filters")


def _filters(body: JsonObject) -> tuple[JsonObject | None, Json]:
    """The strategy of a test, and filters in dialects; there may be one alone, a list of them, or both."""
    given = [name for name in ("filter", "filters") if name in body]
    if len(given) > 1 or not (given or "strategy" in body):
        raise Rejected("filter-missing", "give one of `filter`, `filters` and `strategy`")
    strategy = body.get("strategy")
    if "strategy" in body and not isinstance(strategy, dict):
        raise Rejected("strategy-invalid", "expected an object", pointer="/strategy")
    if not given:
        return (strategy if isinstance(strategy, dict) else None), None
    value = body[given[0]]
    several: Json = [value] if given[0] == "filter" else value
    if isinstance(strategy, dict):
        return strategy, several
    if isinstance(several, list) and several and not any(map(_of_a_strategy, several)):
        return None, several
    return {"mode": "any", "filters": several}, None


def _of_a_strategy(spec: Json) -> bool:
    return isinstance(spec, dict) and (not spec or not _STRATEGY.isdisjoint(spec))


async def _check_target(engine: Engine, target: JsonObject) -> None:
    """`Rejected` for a target that lacks what its kind needs, or has what it does not know."""
    members = {"workflow": ("namespace", "name"), "channel": ("channel",)}.get(str(target.get("kind")))
    if members is None:
        return  # the router knows which other kinds there are
    for name in target:
        if name not in ("kind", *members):
            known = ", ".join(members)
            raise Rejected("target-invalid", f"expected {known} alone", pointer=pointer("target", name))
    for name in members:
        if not isinstance(target.get(name), str):
            raise Rejected("target-invalid", f"{name} is required", pointer=pointer("target", name))
    if target["kind"] == "workflow":
        definition = await engine.definition(str(target["namespace"]), str(target["name"]))
        if definition.bundle.graph().trigger is None:
            known = f"{target['namespace']}/{target['name']}"
            raise NotFound("trigger", known, "the latest version is not started by events")
