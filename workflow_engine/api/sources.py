"""Sources: what services send over HTTP, as events."""

from __future__ import annotations

import logging
import time
from typing import Annotated, Any
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.bodies import MAX_DOCUMENT, read, read_object
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire_events import AcceptedModel
from workflow_engine.calls.secrets import Secrets
from workflow_engine.calls.signatures import verified
from workflow_engine.errors import NotFound, Rejected, Unavailable
from workflow_engine.events.cloudevents import MAX_EVENT
from workflow_engine.events.http import parse
from workflow_engine.events.router import Router
from workflow_engine.events.sources import Source
from workflow_engine.events.transforms import NotTransformed
from workflow_engine.values import Json

_log = logging.getLogger(__name__)

MAX_FIELDS = 1000
_KEPT_BACK = frozenset({"authorization", "cookie", "x-gitlab-token"})
"""Headers that no template sees: what shows who sends it, which is not for those who read events."""
SourceId = Annotated[str, Path(max_length=100, description="1 to 100 of A-Z a-z 0-9 . _ ~ -")]


class SourceModel(BaseModel):
    """A service that sends what it has over HTTP."""

    id: str | None = Field(None, description="As in the address", examples=["github"])
    verify: dict[str, Any] = Field(
        description="How requests are known to be its: `scheme` github, gitlab, stripe, slack, standard, hmac, basic "
        "or none; `secret`, the name of one; for hmac `header`, `prefix` and `encoding`",
        examples=[{"scheme": "github", "secret": "github-webhook"}],
    )
    channel: str = "default"
    event: dict[str, Any] = Field(
        default_factory=dict,
        description="Template of the event; expressions see the body as `.`, and `$headers` and `$query`",
        examples=[{"type": '${ "github." + $headers["x-github-event"] }'}],
    )


class SourcesModel(BaseModel):
    sources: list[SourceModel]


def create_routes(router: Router, secrets: Secrets, *, guarded: bool) -> APIRouter:
    """The routes under ``/v1/sources``. *guarded*: there are tokens, so that a source without a secret is closed."""
    routes = APIRouter(prefix="/v1/sources", tags=["events"], route_class=StrictRoute)
    theirs = APIRouter()  # with whatever parameters the service has: templates may read them

    @routes.get("", response_model=SourcesModel)
    async def sources() -> Response:
        """Every source."""
        return JsonAnswer({"sources": [each.to_json() for each in await router.sources()]})

    @routes.get("/{id}", response_model=SourceModel)
    async def source(id: SourceId) -> Response:
        """One source."""
        return JsonAnswer((await router.get_source(id)).to_json())

    @routes.put(
        "/{id}",
        response_model=SourceModel,
        openapi_extra={
            "requestBody": {"content": {"application/json": {"schema": SourceModel.model_json_schema()}}}
        },
    )
    async def put_source(request: Request, id: SourceId) -> Response:
        """Create a source, or change one. Requests to `POST /v1/sources/{id}/events` become its events."""
        body = await read_object(request, MAX_DOCUMENT, frozenset(SourceModel.model_fields))
        if body.get("id", id) != id:
            raise Rejected("source-id", f"the address says {id!r}", pointer="/id")
        made = Source.from_json({**body, "id": id})
        await router.put_source(made)
        return JsonAnswer(made.to_json())

    @routes.delete("/{id}", status_code=204, response_class=Response)
    async def delete_source(id: SourceId) -> Response:
        """Delete a source; its events stay."""
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
    )
    async def receive(request: Request, id: SourceId) -> Response:
        """What the service sends, let in by its signature, and no token. When this answers, the event is durable."""
        raw = await read(request, MAX_EVENT)
        headers = {name.lower(): value for name, value in request.headers.items()}
        found = await router.get_source(id)
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
                events = [found.made(body, raw, kept, dict(request.query_params))]
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
            secret = await secrets.get(str(found.verify["secret"]))
        except NotFound as error:
            _log.warning("requests to the source %s are put off: %s", found.id, error)
            raise Unavailable("this source cannot tell now who sends this; send it again later") from None
        if not verified(found.verify, secret, headers, raw, time.time()):
            raise Rejected("signature", f"this is not signed as {scheme} does with its secret", status=401)

    routes.include_router(theirs)
    return routes


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
