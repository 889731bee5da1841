"""Channels: the named logs that events are in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.bodies import MAX_DOCUMENT, read_object
from workflow_engine.api.grants import granted
from workflow_engine.api.paging import PAGE, Cursor, Limit, key_of, page_of
from workflow_engine.api.rights import hears
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire_events import ChannelShownModel, ChannelsModel, NewChannelModel
from workflow_engine.errors import Conflict, Rejected
from workflow_engine.events.router import Router
from workflow_engine.values import Json, JsonObject

MOST_NAMED = 100
"""How many subscriptions, and how many sources, a channel is shown with."""
ChannelName = Annotated[str, Path(max_length=200, description="Name of the channel")]


def create_routes(router: Router) -> APIRouter:
    """The routes under ``/v1/channels``."""
    routes = APIRouter(prefix="/v1/channels", tags=["events"], route_class=StrictRoute)

    @routes.get("", response_model=ChannelsModel)
    async def channels(limit: Limit = PAGE, cursor: Cursor = None) -> Response:
        """Every channel by name, with how many events are in it and how many are not dispatched yet."""
        names = router.channels_after(key_of(cursor), limit + 1, granted().hears)
        answer = page_of("channels", names, limit, str, lambda name: (name,))
        shown: list[Json] = [await router.channel(name) for name in names[:limit]]
        return JsonAnswer({**answer, "channels": shown})

    @routes.get("/{name:path}", response_model=ChannelShownModel)
    async def channel(name: ChannelName) -> Response:
        """One channel: what is in it, where it is kept, who hears it, and which sources feed it.

        Of subscriptions and sources the first 100 are named; the lists of those tell all of a `channel`.
        """
        grant, found = granted(), await router.channel(name)
        hearing = router.subscriptions_after(
            None,
            MOST_NAMED,
            lambda each: each.channel == name and hears(grant, each.channel, each.target),
        )
        feeding, _ = await router.sources_after(None, MOST_NAMED, lambda each: each.channel == name)
        heard_by: list[Json] = [
            {"id": each.id, "target": each.target["kind"], "enabled": each.enabled} for each in hearing
        ]
        fed_by: list[Json] = [
            {
                "id": each.id,
                "from": "webhooks" if "verify" in (shown := each.to_json()) else shown["operation"],
            }
            for each in feeding
        ]
        return JsonAnswer({**found, "store": router.kept_in(), "heard_by": heard_by, "fed_by": fed_by})

    @routes.put(
        "/{name:path}",
        response_model=NewChannelModel,
        openapi_extra={
            "requestBody": {"content": {"application/json": {"schema": NewChannelModel.model_json_schema()}}}
        },
    )
    async def create(request: Request, name: ChannelName) -> Response:
        """Create a channel with properties of its own; `409` where there is one that has others."""
        body = await read_object(request, MAX_DOCUMENT, {"partitions", "dedupe_seconds"})
        return JsonAnswer(await _create(router, name, body))

    return routes


async def _create(router: Router, name: str, body: JsonObject) -> JsonObject:
    partitions, dedupe = body.get("partitions", 1), body.get("dedupe_seconds")
    if not isinstance(partitions, int) or isinstance(partitions, bool):
        raise Rejected("partitions", "expected a whole number", pointer="/partitions")
    if dedupe is not None and (
        not isinstance(dedupe, int | float) or isinstance(dedupe, bool) or not 0 < dedupe <= 1e9
    ):
        raise Rejected("dedupe", "expected a number of seconds", pointer="/dedupe_seconds")
    made = await router.create_channel(name, partitions=partitions, dedupe=dedupe)
    found = None if made.dedupe_us is None else made.dedupe_us / 1e6
    if (made.partitions, found) != (partitions, None if dedupe is None else float(dedupe)):
        raise Conflict(
            f"channel {name} has {made.partitions} partitions, and finds duplicates for {found or 'ever'} s"
        )
    return {"partitions": made.partitions, "dedupe_seconds": found}
