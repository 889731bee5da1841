"""Events: publish, find, trace; what waits, and what was given up."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.bodies import MAX_PACKAGE, read
from workflow_engine.api.grants import granted
from workflow_engine.api.metrics import Metrics
from workflow_engine.api.paging import PAGE, Cursor, Limit, key_of, page_of
from workflow_engine.api.rights import traced
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire_backlog import BacklogModel
from workflow_engine.api.wire_events import (
    AcceptedModel,
    EventsModel,
    RedrivenModel,
    TracesModel,
)
from workflow_engine.engine.engine import Engine
from workflow_engine.errors import NotFound
from workflow_engine.events.http import parse
from workflow_engine.events.router import Router

ChannelName = Annotated[str, Query(max_length=200, description="Which log; made by the first who names it")]
Filter = Annotated[str | None, Query(max_length=4096, description="Exactly this")]
EventId = Annotated[str, Path(max_length=4096, description="`id` of the event")]
_TIMES = "RFC 3339 with its zone"

_EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed", "data": {"order": 4711}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "CloudEvents 1.0: binary (`ce-` headers and the data as body), structured or batched",
        "content": {
            "application/cloudevents+json": {"schema": {"type": "object"}, "example": _EVENT},
            "application/cloudevents-batch+json": {
                "schema": {"type": "array", "items": {"type": "object"}},
                "example": [_EVENT],
            },
            "*/*": {"schema": {}},
        },
    }
}


def create_routes(engine: Engine, router: Router, metrics: Metrics) -> APIRouter:
    """The routes under ``/v1/events``, ``/v1/backlog`` and ``/v1/dead-letters``."""
    routes = APIRouter(prefix="/v1", tags=["events"], route_class=StrictRoute)

    @routes.post("/events", status_code=202, response_model=AcceptedModel, openapi_extra=_BODY)
    async def publish(request: Request, channel: ChannelName = "default") -> Response:
        """Store events, in order, all or nothing; when this answers they are durable.

        An event with the `source` and `id` of one that is there is a duplicate and is stored once. Events may
        have 1 MiB each, a batch 1,000 events and 8 MiB.
        """
        body = await read(request, MAX_PACKAGE)
        events = parse(request.headers, body, max_bytes=MAX_PACKAGE)
        accepted = await router.publish(channel, events)
        for event in accepted:
            metrics.published(channel, event.duplicate)
        return JsonAnswer({"accepted": [event.to_json() for event in accepted]}, 202)

    @routes.get("/events", response_model=EventsModel)
    async def events(
        channel: Annotated[str | None, Query(max_length=200, description="All if absent")] = None,
        type: Filter = None,
        source: Filter = None,
        subject: Filter = None,
        id: Filter = None,
        since: Annotated[
            AwareDatetime | None, Query(alias="from", description=f"Received then or later; {_TIMES}")
        ] = None,
        until: Annotated[
            AwareDatetime | None, Query(alias="to", description=f"Received before; {_TIMES}")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="At most so many")] = 100,
        cursor: Annotated[str | None, Query(max_length=100, description="Of the page before")] = None,
    ) -> Response:
        """The newest events that fit, newest first."""
        grant = granted()
        if channel is not None and not grant.hears(channel):
            raise NotFound("channel", channel)
        page = await router.events(
            channel,
            type=type,
            source=source,
            subject=subject,
            id=id,
            from_=since,
            to=until,
            limit=limit,
            cursor=cursor,
            hears=grant.hears if grant.limited else None,
        )
        return JsonAnswer(page.to_json())

    @routes.get("/events/{event_id:path}/trace", response_model=TracesModel)
    async def trace(
        event_id: EventId, channel: Annotated[str | None, Query(max_length=200)] = None
    ) -> Response:
        """What became of the events with this id: who got them, at which attempt, with which answer."""
        hears = granted().hears
        traces = [found for found in await router.trace(event_id, channel) if hears(str(found["channel"]))]
        if not traces:
            raise NotFound("event", event_id)
        return JsonAnswer({"traces": [await traced(engine, router, found) for found in traces]})

    @routes.get("/backlog", response_model=BacklogModel)
    async def backlog(limit: Limit = PAGE, cursor: Cursor = None) -> Response:
        """What waits for its delivery, for each subscription and for the runs that listen; and what was given up."""
        found: dict[str, Any] = await router.backlog(key_of(cursor), limit + 1)
        page = page_of(
            "subscriptions", found["subscriptions"], limit, lambda each: each, lambda each: (each["id"],)
        )
        return JsonAnswer({**found, **page})

    @routes.post("/dead-letters/redrive", status_code=202, response_model=RedrivenModel)
    async def redrive_all(
        subscription: Annotated[str | None, Query(max_length=200, description="All if absent")] = None,
    ) -> Response:
        """Try the deliveries of all dead letters again that this has not yet, or those of one subscription."""
        return JsonAnswer({"redriven": await router.redrive_all(subscription)}, 202)

    @routes.post("/dead-letters/{position}/redrive", status_code=202, response_class=Response)
    async def redrive(
        position: Annotated[
            str, Path(max_length=40, description="Of the letter in channel `dead-letters`", examples=["0:7"])
        ],
    ) -> Response:
        """Try the delivery of a dead letter again, as if it were new. The letter stays where it is."""
        await router.redrive(position)
        return Response(status_code=202)

    return routes
