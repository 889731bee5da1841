"""Answers: JSON, and problem details for every error that leaves an endpoint."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from workflow_engine.api.problems import MEDIA_TYPE, Details, details
from workflow_engine.errors import (
    Conflict,
    Fault,
    InvalidDocument,
    NotFound,
    Problem,
    Rejected,
    Unavailable,
)
from workflow_engine.values import Json, JsonObject, pointer

_log = logging.getLogger(__name__)

_PATH = 2000
PIECE = 256 * 1024
STALLED = 60.0


class JsonAnswer(JSONResponse):
    """A JSON value, keys in their order; NaN and infinity become null, as jq prints them."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        try:
            return orjson.dumps(content)
        except TypeError:  # integers beyond 64 bits, nesting beyond 250 levels
            return json.dumps(content, ensure_ascii=False).encode(errors="replace")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; what is large piece by piece, as the client reads it: else all of it would be copied for a slow one.

        `ClientDisconnect` where it reads nothing for `STALLED` seconds.
        """
        view = memoryview(self.body)
        if len(view) <= PIECE:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for start in range(0, len(view), PIECE):
            more = start + PIECE < len(view)
            piece: Message = {
                "type": "http.response.body",
                "body": bytes(view[start : start + PIECE]),
                "more_body": more,
            }
            try:
                async with asyncio.timeout(STALLED):
                    await send(piece)
            except TimeoutError:
                raise ClientDisconnect from None


def problem_answer(
    told: Details, path: str, *, headers: Mapping[str, str] | None = None, **members: Json
) -> JsonAnswer:
    """*told* as the answer to a request for *path*."""
    body: JsonObject = {**told.to_json(path[:_PATH]), **members}
    return JsonAnswer(body, told.status, media_type=MEDIA_TYPE, headers={**told.headers, **(headers or {})})


def answer_problems(app: FastAPI) -> None:
    """Let *app* answer every error of the tree, and those of the framework, as problem details."""

    async def ours(request: Request, error: Exception) -> Response:
        told = details(error)
        assert told is not None
        if isinstance(error, Unavailable):  # who reads the log at night learns why callers are sent away
            _log.warning("answered %d: %s", told.status, told.detail)
        return problem_answer(told, request.url.path)

    for kind in (InvalidDocument, Rejected, NotFound, Conflict, Unavailable, Fault):
        app.add_exception_handler(kind, ours)

    async def parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_answer(_parameters(error), request.url.path)

    app.add_exception_handler(RequestValidationError, parameters)

    async def routing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem_answer(_routing(request, error), request.url.path)

    app.add_exception_handler(HTTPException, routing)


def _parameters(error: RequestValidationError) -> Details:
    problems = []
    for item in error.errors():
        where, *path = item["loc"]
        name = ".".join(map(str, path))
        problems.append(Problem(str(item["type"]), f"{where} {name}: {item['msg']}", pointer(where, *path)))
    members: JsonObject = {"problems": [problem.to_json() for problem in problems]}
    return Details(400, "invalid-request", "; ".join(problem.message for problem in problems)[:2000], members)


def _routing(request: Request, error: HTTPException) -> Details:
    match error.status_code:
        case 404:
            return Details(
                404, "unknown-route", "there is nothing at this address; /docs lists what there is"
            )
        case 405:
            allowed = _allowed(request)
            detail = f"{request.method[:20]} is not possible here; use {allowed}"
            return Details(405, "method-not-allowed", detail, headers={"Allow": allowed})
        case 408:  # what is still to come of the body would be taken for the next request
            return Details(408, "invalid-request", str(error.detail), headers={"Connection": "close"})
        case status:
            return Details(status, "invalid-request" if status < 500 else "failed", str(error.detail))


def _allowed(request: Request) -> str:
    """Every method of the routes that the path of *request* fits, whose last parameter may have slashes."""
    methods: set[str] = set()
    for template, operations in request.app.openapi()["paths"].items():
        pattern = re.sub(r"\\{\w+\\}$", ".+", re.escape(template))
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", pattern), request.url.path):
            methods |= {method.upper() for method in operations}
    return ", ".join(sorted(methods))
