"""Sources: what services send, over HTTP or by a broker, as events."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.bodies import MAX_DOCUMENT, read, read_object
from workflow_engine.api.grants import granted
from workflow_engine.api.paging import PAGE, Cursor, Limit, cursor_of, key_of
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire_events import AcceptedModel
from workflow_engine.calls.brokers.hearing import Hearings
from workflow_engine.calls.reach import UNLIMITED, Reaches
from workflow_engine.calls.secrets import Secrets
from workflow_engine.calls.signatures import verified
from workflow_engine.errors import NotFound, Rejected, Unavailable
from workflow_engine.events.broker_sources import BrokerSource
from workflow_engine.events.cloudevents import MAX_EVENT
from workflow_engine.events.http import parse
from workflow_engine.events.router import Router
from workflow_engine.events.sources import Source, check_source_id
from workflow_engine.events.transforms import NotTransformed
from workflow_engine.values import Json, JsonObject

_log = logging.getLogger(__name__)

MAX_FIELDS = 1000
_SENT: dict[str, Any] = {
    "application/json": {"schema": {}, "example": {"action": "opened", "number": 7}},
    "application/x-www-form-urlencoded": {"schema": {}, "example": {"text": "hello"}},
    "application/cloudevents+json": {
        "schema": {},
        "example": {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed"},
    },
}
"""What services send, as a rule."""
_KEPT_BACK = frozenset({"authorization", "cookie", "x-gitlab-token"})
"""Headers that no template sees: what shows who sends it, which is not for those who read events."""
SourceId = Annotated[str, Path(max_length=100, description="1 to 100 of A-Z a-z 0-9 . _ ~ -")]


class SourceModel(BaseModel):
    """A service that sends what it has: over HTTP, known by `verify`, or by a broker, as its `operation` says."""

    id: str | None = Field(None, description="As in the address", examples=["github"])
    verify: dict[str, Any] | None = Field(
        None,
        description="How requests are known to be its: `scheme` github, gitlab, stripe, slack, standard, hmac, basic "
        "or none; `secret`, the name of one; for hmac `header`, `prefix` and `encoding`",
        examples=[{"scheme": "github", "secret": "github-webhook"}],
    )
    channel: str | None = Field(None, description="`default`; of an operation the channel of its address")
    event: dict[str, Any] = Field(
        default_factory=dict,
        description="Template of the event; expressions see the body as `.`, and `$headers` and `$query`, or of an "
        "operation `$headers` and `$address`",
        examples=[{"type": '${ "github." + $headers["x-github-event"] }'}],
    )
    operation: str | None = Field(
        None,
        description="An operation of the catalog whose service sends, in place of `verify`",
        examples=["file://orders.yaml#orderPlaced"],
    )
    server: dict[str, Any] | None = Field(
        None,
        description="`name` of a server of the document, and `variables`",
        examples=[{"name": "production"}],
    )
    protocol: str | None = Field(None, description="Or its first server that speaks it", examples=["kafka"])
    authentication: dict[str, Any] | None = Field(
        None,
        description="Who connects, by the name of a secret",
        examples=[{"basic": {"use": "orders-login"}}],
    )
    filters: list[dict[str, Any]] | None = Field(None, description="Which events: as subscriptions have them")
    start: str | None = Field(
        None, description="`latest`, `earliest` or RFC 3339: where to begin at the broker"
    )
    group: str | None = Field(None, description="By what the broker knows who hears; made if not given")
    enabled: bool | None = Field(None, description="Whether it is heard")


class HeardModel(SourceModel):
    """A source, and how it is if it is heard at a broker."""

    address: str | None = Field(None, description="What is subscribed to")
    service: str | None = Field(None, description="Whose operation it is, in the catalog")
    version: str | None = Field(None, description="Of the document, when the source was put")
    status: dict[str, Any] | None = Field(
        None,
        description="`state` connecting, hearing, held (the router's store is away), failing or paused; `error`, "
        "`last_error` and `error_at`; `promise` exactly-once, at-least-once or at-most-once; `lag`, what waits at the "
        "broker; `last_message`; and how many were `stored`, `duplicates`, `filtered` and `refused`",
    )


class SourcesModel(BaseModel):
    sources: list[HeardModel]
    cursor: str | None = Field(description="Send it to get the next page; null on the last")


_CALLED = frozenset({"id", "verify", "channel", "event"})


def create_routes(
    router: Router,
    secrets: Secrets,
    *,
    guarded: bool,
    hearings: Hearings | None = None,
    reach: Reaches = UNLIMITED,
) -> APIRouter:
    """The routes under ``/v1/sources``. *guarded*: there are tokens, so that a source without a secret is closed.
    *hearings* hear the sources of brokers, of which there are none without.
    """
    routes = APIRouter(prefix="/v1/sources", tags=["events"], route_class=StrictRoute)
    theirs = APIRouter(
        prefix="/v1/sources", tags=["events"]
    )  # with whatever parameters the service has: templates may read them

    async def told(found: Source | BrokerSource) -> JsonObject:
        if isinstance(found, Source):
            return found.to_json()
        return {**found.shown(), "status": {} if hearings is None else await hearings.told(found)}

    @routes.get("", response_model=SourcesModel)
    async def sources(
        channel: Annotated[str | None, Query(max_length=200, description="Of this channel")] = None,
        limit: Limit = PAGE,
        cursor: Cursor = None,
    ) -> Response:
        """Every source, by id.

        A page may have fewer than *limit*, even none, and yet a *cursor*, where very many sources are not of the
        channel, or not for the token.
        """
        hears, last = granted().hears, key_of(cursor)
        if last is not None:
            check_source_id(last)
        found, behind = await router.sources_after(
            last, limit, lambda each: channel in (None, each.channel) and hears(each.channel)
        )
        shown: list[Json] = [await told(each) for each in found]
        return JsonAnswer({"sources": shown, "cursor": None if behind is None else cursor_of(behind)})

    @routes.get("/{id}", response_model=HeardModel)
    async def source(id: SourceId) -> Response:
        """One source, and how it is."""
        return JsonAnswer(await told(await router.get_source(id)))

    @routes.put(
        "/{id}",
        response_model=HeardModel,
        openapi_extra={
            "requestBody": {"content": {"application/json": {"schema": SourceModel.model_json_schema()}}}
        },
    )
    async def put_source(request: Request, id: SourceId) -> Response:
        """Create a source, or change one. Requests to `POST /v1/sources/{id}/events` become its events, or what its
        `operation` is sent by a broker. One that hears the same as before keeps its place at the broker.
        """
        body = await read_object(request, MAX_DOCUMENT, frozenset(SourceModel.model_fields))
        if body.get("id", id) != id:
            raise Rejected("source-id", f"the address says {id!r}", pointer="/id")
        await may_put(id, body)
        if body.get("operation") is None:
            given = {name: value for name, value in body.items() if value is not None or name in _CALLED}
            made = Source.from_json({**given, "id": id})
            reach.check_source(made.channel, made.to_json())
            await router.put_source(made)
            return JsonAnswer(made.to_json())
        if hearings is None:
            raise Rejected("source-invalid", "this server hears no brokers", pointer="/operation")
        check_source_id(id)
        heard = await hearings.put(BrokerSource.from_json({**body, "id": id}))
        return JsonAnswer(await told(heard))

    async def may_put(id: str, body: JsonObject) -> None:
        """`Rejected` where the token may not have its channel, or may not change the source that is there."""
        grant = granted()
        if grant.limited:
            default = "default" if body.get("operation") is None else ""
            grant.check_channel(str(body.get("channel") or default), "/channel")
            with suppress(NotFound):
                there = await router.get_source(id)
                if not grant.hears(there.channel):
                    raise grant.refuse(f"the id {id!r} is taken by another source")

    async def pause_or_resume(id: str, *, paused: bool) -> Response:
        if hearings is None:
            raise Rejected("source-called", "this server hears no brokers")
        return JsonAnswer(await told(await hearings.pause(id, paused=paused)))

    @routes.post("/{id}/pause", response_model=HeardModel)
    async def pause(id: SourceId) -> Response:
        """Hear no more at the broker for now; what it keeps waits there."""
        return await pause_or_resume(id, paused=True)

    @routes.post("/{id}/resume", response_model=HeardModel)
    async def resume(id: SourceId) -> Response:
        """Go on where it was paused."""
        return await pause_or_resume(id, paused=False)

    @routes.delete("/{id}", status_code=204, response_class=Response)
    async def delete_source(id: SourceId) -> Response:
        """Delete a source, with its place at the broker; its events stay."""
        await router.delete_source(id)
        return Response(status_code=204)

    @theirs.options("/{id}/events", response_class=Response, include_in_schema=False)
    async def allow(request: Request, id: SourceId) -> Response:
        """Tell a sender of CloudEvents that asks first ("Abuse protection" of its webhooks) that it may send."""
        await router.get_source(id)
        origin = request.headers.get("webhook-request-origin")
        if origin is None:
            return Response(headers={"Allow": "OPTIONS, POST"})
        headers = {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"}
        return Response(headers={"Allow": "OPTIONS, POST", **headers})

    @theirs.post(
        "/{id}/events",
        status_code=202,
        response_model=AcceptedModel,
        responses={
            200: {
                "description": "An answer to Slack's question whether the address is ours",
                "model": dict[str, Any],
            },
        },
        openapi_extra={"requestBody": {"content": _SENT}},
    )
    async def receive(request: Request, id: SourceId) -> Response:
        """What the service sends, let in by its signature, and no token. When this answers, the event is durable."""
        raw = await read(request, MAX_EVENT)
        headers = {name.lower(): value for name, value in request.headers.items()}
        found = await router.get_source(id)
        if isinstance(found, BrokerSource):
            raise Rejected("source-heard", "this source is heard at its broker; nothing is sent to it here")
        await _let_in(found, headers, raw)
        if (
            headers.get("content-type", "").startswith("application/cloudevents")
            or "ce-specversion" in headers
        ):
            events = parse(headers, raw, max_bytes=MAX_EVENT)
        else:
            body = _body(raw, headers.get("content-type", ""))
            if isinstance(body, dict) and body.get("type") == "url_verification" and "challenge" in body:
                return JsonAnswer({"challenge": body["challenge"]})  # Slack asks whether this is ours
            kept = {name: value for name, value in headers.items() if name not in _KEPT_BACK}
            try:
                events = [await asyncio.to_thread(found.made, body, raw, kept, dict(request.query_params))]
            except NotTransformed as error:
                raise Rejected("event-not-made", str(error)) from None
        accepted = await router.publish(found.channel, events)
        return JsonAnswer({"accepted": [each.to_json() for each in accepted]}, 202)

    async def _let_in(found: Source, headers: dict[str, str], raw: bytes) -> None:
        scheme = found.verify.get("scheme")
        if scheme == "none":
            if guarded:
                raise Rejected(
                    "signature", "this source has no secret, and this server has tokens", status=401
                )
            return
        try:
            own = reach.of_channel(found.channel).keeping(secrets)
            secret = await own.get(str(found.verify["secret"]))
        except NotFound as error:
            _log.warning("requests to the source %s are put off: %s", found.id, error)
            raise Unavailable("this source cannot tell now who sends this; send it again later") from None
        if not verified(found.verify, secret, headers, raw, time.time()):
            raise Rejected("signature", f"this is not signed as {scheme} does with its secret", status=401)

    both = APIRouter()
    both.include_router(routes)
    both.include_router(theirs)
    return both


def _body(raw: bytes, content_type: str) -> Json:
    """The body as JSON: JSON itself, the fields of a form, or else a text."""
    if content_type.startswith("application/x-www-form-urlencoded"):
        text = raw.decode("utf-8", "replace")
        try:
            fields: dict[str, Json] = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
        except ValueError:
            raise Rejected("form-too-large", f"a form has at most {MAX_FIELDS} fields", status=413) from None
        return fields
    try:
        found: Json = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode("utf-8", "replace")
    return found
