"""The OpenAPI document: what FastAPI makes of the routes, with examples, and with which statuses they fail.

The examples in ``examples.json`` are what a server was sent and answered, by method and path of the route; where an
answer looks otherwise with another status, that one is by its status.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from workflow_engine.api.problems import MEDIA_TYPE, Details
from workflow_engine.values import JsonObject


@dataclass(frozen=True, slots=True)
class _Failure:
    """A status with which requests fail, and how such an answer looks."""

    name: str
    description: str
    example: Details
    instance: str

    def response(self) -> dict[str, Any]:
        schema = {"$ref": "#/components/schemas/ProblemAnswerModel"}
        content = {MEDIA_TYPE: {"schema": schema, "example": self.example.to_json(self.instance)}}
        return {"description": self.description, "content": content}


_NOT_DEPLOYED: JsonObject = {"kind": "workflow", "id": "shop/order", "hint": ""}
_PROBLEM: JsonObject = {
    "code": "unknown-property",
    "message": "unknown property `metod`; did you mean `method`?",
    "pointer": "/do/0/ask/with/metod",
    "line": 9,
    "column": 14,
    "severity": "error",
}
FAILURES = {
    400: _Failure(
        "Invalid",
        "The request, or the document in it, is wrong: `problems` or `pointer` say where",
        Details(
            400,
            "invalid-document",
            "unknown property `metod`; did you mean `method`? (line 9, column 14)",
            {"problems": [_PROBLEM]},
        ),
        "/v1/workflows",
    ),
    401: _Failure(
        "Unauthorized",
        "The token is missing, or another one",
        Details(401, "unauthorized", "this server wants its token: Authorization: Bearer …"),
        "/v1/workflows",
    ),
    404: _Failure(
        "NotFound",
        "What the address names is not there: `kind`, `id` and perhaps `hint`",
        Details(404, "not-found", "no workflow 'shop/order'", _NOT_DEPLOYED),
        "/v1/workflows/shop/order",
    ),
    409: _Failure(
        "Conflict",
        "It contradicts what is there, or how it is; nothing was done",
        Details(
            409,
            "conflict",
            "version 1.0.0 of shop/order is deployed with another text; give the new text a new version",
        ),
        "/v1/workflows",
    ),
    413: _Failure(
        "TooLarge",
        "The body is larger than what the server takes",
        Details(413, "too-large", "the body has more than 1,048,576 bytes, which is the most"),
        "/v1/workflows",
    ),
    415: _Failure(
        "UnsupportedMediaType",
        "The body is of another kind, in another charset, or compressed",
        Details(415, "unsupported-media-type", "'text/xml': send application/json or text/json"),
        "/v1/runs",
    ),
    503: _Failure(
        "Unavailable",
        "A part of the system cannot be reached, or has no room: try again after `Retry-After` seconds",
        Details(503, "unavailable", "Temporal does not answer: Connection refused"),
        "/v1/runs",
    ),
}

_CONFLICTS = frozenset(
    {
        "POST /v1/workflows",
        "DELETE /v1/workflows/{namespace}/{name}",
        "DELETE /v1/workflows/{namespace}/{name}/{version}",
        "POST /v1/workflows/{namespace}/{name}/{version}/runs",
        "POST /v1/runs",
        "POST /v1/runs/batch",
        "POST /v1/runs/{run_id}/migrate",
        "POST /v1/runs/{run_id}/retry",
        "POST /v1/runs/{run_id}/skip",
        "POST /v1/runs/{run_id}/edit",
        "POST /v1/runs/{run_id}/{command}",
        "GET /v1/runs/{run_id}/output",
        "POST /v1/schedules/{namespace}/{name}/{command}",
        "PUT /v1/channels/{name}",
        "POST /v1/subscriptions",
        "PUT /v1/subscriptions/{id}",
        "DELETE /v1/subscriptions/{id}",
        "POST /v1/subscriptions/{id}/seek",
        "PUT /v1/listeners",
        "PUT /v1/catalog/specs/{name}",
    }
)
"""What depends on how something is."""
_NAMES = frozenset(
    {
        "POST /v1/runs",
        "POST /v1/runs/batch",
        "POST /v1/listeners/repair",
        "POST /v1/dead-letters/redrive",
        "GET /v1/events",
        "GET /v1/bundles",
        "GET /v1/catalog/resolve",
        "POST /v1/workflows",
    }
)
"""What names something though its address has no name in braces."""


def failures(method: str, path: str, operation: dict[str, Any]) -> Iterator[int]:
    """The statuses with which an operation may fail, besides 500."""
    if not path.startswith("/v1/"):
        return
    body = "requestBody" in operation
    yield 400
    if "security" in operation:
        yield 401
    if "{" in path or f"{method} {path}" in _NAMES:
        yield 404
    if f"{method} {path}" in _CONFLICTS:
        yield 409
    if body:
        yield 413
        yield 415
    yield 503


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of *app*, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            summary=app.summary,
            description=app.description,
            version=app.version,
            license_info=app.license_info,
            tags=app.openapi_tags,
            routes=app.routes,
        )
        examples = json.loads(files("workflow_engine.api").joinpath("examples.json").read_text())
        made["components"]["responses"] = {each.name: each.response() for each in FAILURES.values()}
        for path, operations in made["paths"].items():
            for method, operation in operations.items():
                responses = operation["responses"]
                _exemplify(operation, examples.get(f"{method.upper()} {path}", {}))
                content = responses.get("default", {}).get("content", {})
                if "application/json" in content:
                    content[MEDIA_TYPE] = content.pop("application/json")
                for status in failures(method.upper(), path, operation):
                    reference = {"$ref": f"#/components/responses/{FAILURES[status].name}"}
                    responses.setdefault(str(status), reference)
        app.openapi_schema = made
    return app.openapi_schema


def _exemplify(operation: dict[str, Any], example: dict[str, Any]) -> None:
    """Add the *example* of a request and of what it is answered with, where nothing shows one already."""
    sent = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if sent is not None and "request" in example:
        sent.setdefault("example", example["request"])
    for status, response in operation["responses"].items():
        got = response.get("content", {}).get("application/json")
        shown = example.get(status, example.get("response"))
        if status.startswith("2") and got is not None and shown is not None:
            got.setdefault("example", shown)
