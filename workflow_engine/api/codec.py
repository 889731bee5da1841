"""Temporal's codec server protocol: its UI and command line have payloads decrypted and fetched here.

A browser calls this from a page of another origin, so the answers say which pages may read them (CORS), and the
question before the call, which carries no token, is answered to those alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, Protocol

from fastapi import APIRouter, Request, Response

from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.bodies import read_json
from workflow_engine.errors import Rejected

PREFIX = "/v1/codec"
MAX_BODY = 32 * 1024 * 1024
MOST = 10_000
_HEADERS = "Authorization, Content-Type, X-Namespace"
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["payloads"],
                    "properties": {"payloads": {"type": "array", "items": {"type": "object"}}},
                }
            }
        },
    }
}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The same payloads in the same order",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


class Codec(Protocol):
    """Payloads as JSON, both ways; `Rejected` for what is none."""

    async def encode(self, payloads: Sequence[Any]) -> list[dict[str, Any]]:
        """As they are to travel."""

    async def decode(self, payloads: Sequence[Any]) -> list[dict[str, Any]]:
        """As they were; one that cannot be read tells why."""


def create_routes(codec: Codec, origins: Collection[str]) -> APIRouter:
    """The routes under ``/v1/codec``, which pages of *origins* may use."""
    routes = APIRouter(prefix=PREFIX, tags=["codec"])

    def allowed(request: Request) -> dict[str, str]:
        origin = request.headers.get("origin", "")
        headers = {"Vary": "Origin"}
        if origin in origins:
            headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}
        return headers

    @routes.options("/{direction}", include_in_schema=False)
    async def before(request: Request, direction: Literal["encode", "decode"]) -> Response:
        headers = allowed(request)
        if "Access-Control-Allow-Origin" in headers:
            headers |= {
                "Access-Control-Allow-Methods": "POST",
                "Access-Control-Allow-Headers": _HEADERS,
                "Access-Control-Allow-Private-Network": "true",
                "Access-Control-Max-Age": "600",
            }
        return Response(status_code=204, headers=headers)

    @routes.post("/decode", openapi_extra=_BODY, responses=_ANSWER)
    async def decode(request: Request) -> Response:
        """What payloads are, decrypted and fetched: for the Temporal UI and `temporal --codec-endpoint`."""
        return JsonAnswer(
            {"payloads": await codec.decode(await _payloads(request))}, headers=allowed(request)
        )

    @routes.post("/encode", openapi_extra=_BODY, responses=_ANSWER)
    async def encode(request: Request) -> Response:
        """Payloads as they are to travel: encrypted, and put into the store if they are large."""
        return JsonAnswer(
            {"payloads": await codec.encode(await _payloads(request))}, headers=allowed(request)
        )

    return routes


async def _payloads(request: Request) -> list[Any]:
    body = await read_json(request, MAX_BODY)
    payloads = body.get("payloads") if isinstance(body, dict) else None
    if not isinstance(payloads, list) or len(payloads) > MOST:
        raise Rejected(
            "wrong-type",
            f"expected an array of payloads, {MOST:,} at most",
            pointer="/payloads",
        )
    return payloads
