"""The catalog over HTTP: routes under ``/v1/catalog`` to include in an application, or one of their own."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from catalog.asyncapi import lint
from catalog.catalog import Catalog
from catalog.errors import Conflict, Denied, InvalidReference, InvalidSpec, NotFound, Problem, Unavailable
from catalog.messages import validate
from catalog.model import Direction, Spec, latest
from catalog.store import Place, place_of
from catalog.values import JsonObject
from catalog.wire import (
    LintModel,
    MessageToCheck,
    OperationModel,
    OperationsModel,
    ProblemDetails,
    RegistrationModel,
    SpecModel,
    SpecsModel,
    ValidationModel,
)

_DIRECTIONS: dict[str, Direction] = {
    "publish": "publish",
    "receive": "publish",
    "subscribe": "subscribe",
    "send": "subscribe",
}
_DOCUMENT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "An AsyncAPI document, 2.0.0 to 2.6.0 or 3.0.0 to 3.1.0, as YAML or JSON in UTF-8",
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}

_SCHEME = HTTPBearer(auto_error=False, description="The token the catalog was started with")

Name = Annotated[str, Path(description="What the document is registered as", max_length=200)]
Version = Annotated[str | None, Query(description="`info.version`; the latest if absent", max_length=200)]


def create_router(catalog: Catalog, *, token: str | None = None) -> APIRouter:
    """Routes over *catalog*. With a *token*, every request must carry it as ``Authorization: Bearer``.

    Errors are answered as ``application/problem+json`` whatever application the router is included in.
    """
    router = APIRouter(
        prefix="/v1/catalog",
        tags=["catalog"],
        route_class=_ProblemRoute,
        dependencies=[] if token is None else [Depends(_bearer(token))],
        responses={"default": {"model": ProblemDetails, "description": "What is wrong, in which place"}},
    )

    @router.put(
        "/specs/{name}",
        response_model=RegistrationModel,
        responses={201: {"model": RegistrationModel, "description": "A new document or version"}},
        openapi_extra=_DOCUMENT,
    )
    async def register(
        request: Request,
        name: Name,
        replace: Annotated[bool, Query(description="Replace another text under the same version")] = False,
    ) -> Response:
        """Register a document. The same text again changes nothing; another one under the same version is
        refused with 409, unless it shall replace it. Nothing of a document with problems is stored.
        """
        registration = await catalog.register(
            name, await _text(request, catalog.limits.size), replace=replace
        )
        body = await _with_latest(catalog, registration.spec)
        body |= {"outcome": registration.outcome, "warnings": _problems(registration.warnings)}
        return JSONResponse(body, 201 if registration.outcome == "created" else 200)

    @router.get("/specs", response_model=SpecsModel)
    async def specs(
        name: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="At most so many")] = 100,
        cursor: Annotated[str | None, Query(max_length=8000, description="Of the page before")] = None,
    ) -> Response:
        """Every version of every document, by name, then as they were registered."""
        found = await catalog.list(name, after=None if cursor is None else _place(cursor), limit=limit + 1)
        listed = found[:limit]
        newest = {(spec.name, spec.version) for spec in await catalog.latest(listed)}
        body = [spec.to_json() | {"latest": (spec.name, spec.version) in newest} for spec in listed]
        return JSONResponse({"specs": body, "cursor": _cursor(listed[-1]) if len(found) > limit else None})

    @router.get("/specs/{name}", response_model=SpecModel)
    async def spec(
        name: Name, version: Version = None, text: Annotated[bool, Query(description="With its text")] = False
    ) -> Response:
        """One version of a document."""
        found = await catalog.get(name, version)
        body = await _with_latest(catalog, found)
        return JSONResponse(body | {"text": found.text} if text else body)

    @router.delete("/specs/{name}", status_code=204)
    async def remove(name: Name, version: Version = None) -> Response:
        """Forget one version, or the document with all its versions. Runs that pinned it are not touched."""
        await catalog.remove(name, version)
        return Response(status_code=204)

    @router.get(
        "/specs/{name}/document",
        response_class=Response,
        responses={200: {"content": {"application/vnd.aai.asyncapi+yaml": {"schema": {"type": "string"}}}}},
    )
    async def document(name: Name, version: Version = None) -> Response:
        """The text of a document, byte for byte as it was registered."""
        found = await catalog.get(name, version)
        kind = "json" if found.text.lstrip().startswith("{") else "yaml"
        headers = {"ETag": f'"{found.digest}"', "X-Content-Type-Options": "nosniff"}
        return Response(
            found.text.encode(), media_type=f"application/vnd.aai.asyncapi+{kind}", headers=headers
        )

    @router.get("/operations", response_model=OperationsModel)
    async def operations(
        service: Annotated[str | None, Query(max_length=200)] = None,
        channel: Annotated[str | None, Query(description="Address or name of a channel")] = None,
        action: Annotated[
            Literal["publish", "subscribe", "send", "receive"] | None,
            Query(
                description="`publish` and `subscribe`: what a workflow may do; "
                "`receive` and `send`: the same from the side of the service"
            ),
        ] = None,
        q: Annotated[str | None, Query(description="Words that must all occur", max_length=500)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        """Operations of the latest version of each document."""
        found = await catalog.operations(
            service=service, channel=channel, workflow_may=_DIRECTIONS[action] if action else None, query=q
        )
        page = [operation.to_json() for operation in found[offset : offset + limit]]
        return JSONResponse({"operations": page, "total": len(found)})

    @router.get("/operations/{service}/{operation:path}", response_model=OperationModel)
    async def operation(service: Name, operation: str, version: Version = None) -> Response:
        """One operation with all that a caller needs; its schemas refer to nothing outside."""
        return JSONResponse((await catalog.operation(service, operation, version)).to_json())

    @router.post("/operations/{service}/{operation:path}/validate", response_model=ValidationModel)
    async def check(
        service: Name, operation: str, message: MessageToCheck, version: Version = None
    ) -> Response:
        """Does a message fit one of those that the operation declares."""
        found = (await catalog.operation(service, operation, version)).to_json()
        outcome = await run_in_threadpool(validate, found, message.payload, message.headers)
        return JSONResponse(
            {"valid": outcome.valid, "message": outcome.message, "problems": _problems(outcome.problems)}
        )

    @router.get("/resolve", response_model=OperationModel)
    async def resolve(
        reference: Annotated[
            str,
            Query(
                description="`file://<title>.yaml#<operation>`, `catalog://<service>[@version]#<operation>` "
                "or `<service>#<operation>`",
                max_length=1000,
            ),
        ],
    ) -> Response:
        """The operation that a workflow's reference names."""
        return JSONResponse((await catalog.resolve(reference)).to_json())

    @router.post("/lint", response_model=LintModel, openapi_extra=_DOCUMENT)
    async def check_document(request: Request) -> Response:
        """What registering a document would complain of. Nothing is stored."""
        try:
            text = await _text(request, catalog.limits.size)
            found = await run_in_threadpool(lint, text, limits=catalog.limits)
        except InvalidSpec as error:
            found = error.problems
        valid = not any(problem.severity == "error" for problem in found)
        return JSONResponse({"valid": valid, "problems": _problems(found)})

    return router


def create_app(catalog: Catalog, *, token: str | None = None) -> FastAPI:
    """An application with the routes of `create_router`, ``/livez`` and ``/docs``, which need no token.

    *catalog* stays the caller's to close.
    """
    app = FastAPI(
        title="AsyncAPI catalog",
        summary="What services can send and receive, from their AsyncAPI documents",
        version="1",
    )
    app.include_router(create_router(catalog, token=token))

    @app.get("/livez", tags=["health"])
    async def livez() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        code = {404: "unknown-route", 405: "method-not-allowed"}.get(error.status_code, "invalid-request")
        return _problem_response(request, error.status_code, code, str(error.detail), headers=error.headers)

    return app


class InvalidCursor(ValueError):
    """A text that no list has given to be continued."""


class _ProblemRoute(APIRoute):
    """Answers the catalog's errors as problem details, so that no application needs handlers for them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        known = sorted(_parameters(self.dependant))

        async def handle(request: Request) -> Response:
            if unknown := next((name for name in request.query_params if name not in known), None):
                there = (
                    f"those that there are: {', '.join(known)}"
                    if known
                    else "nothing can be asked by parameters"
                )
                detail = f"there is no parameter {unknown[:100]!r} here; {there}"
                return _problem_response(request, 400, "unknown-parameter", detail)
            try:
                return await handler(request)
            except RequestValidationError as error:
                wrong = (f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}" for item in error.errors())
                return _problem_response(request, 400, "invalid-request", "; ".join(wrong))
            except InvalidSpec as error:
                too_large = any(problem.code == "too-large" for problem in error.problems)
                count = sum(problem.severity == "error" for problem in error.problems)
                first = next(problem for problem in error.problems if problem.severity == "error")
                detail = first.message if count == 1 else f"{count} problems, first: {first.message}"
                status, code = (413, "too-large") if too_large else (400, "invalid-document")
                return _problem_response(request, status, code, detail, problems=error.problems)
            except InvalidCursor as error:
                return _problem_response(request, 400, "invalid-cursor", str(error))
            except InvalidReference as error:
                return _problem_response(request, 400, "invalid-reference", str(error))
            except NotFound as error:
                return _problem_response(request, 404, "not-found", str(error))
            except Conflict as error:
                return _problem_response(request, 409, "conflict", str(error))
            except Denied as error:
                headers = {"WWW-Authenticate": "Bearer"}
                return _problem_response(request, 401, "unauthorized", str(error), headers=headers)
            except Unavailable as error:
                return _problem_response(request, 503, "unavailable", str(error))

        return handle


def _cursor(spec: Spec) -> str:
    """What asks for the documents behind *spec*."""
    name, registered_at, version = place_of(spec)
    key = json.dumps([name, registered_at.isoformat(), version])
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _place(cursor: str) -> Place:
    """What `_cursor` made; `InvalidCursor` for any other text."""
    try:
        key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
        name, registered_at, version = (str(part).encode().decode() for part in key)
        moment = datetime.fromisoformat(registered_at)
    except (ValueError, TypeError, RecursionError):
        raise InvalidCursor(f"{cursor[:100]!r} is no cursor of an earlier list") from None
    if moment.tzinfo is None:
        raise InvalidCursor(f"{cursor[:100]!r} is no cursor of an earlier list")
    return name, moment, version


def _bearer(token: str) -> Callable[..., None]:
    def check(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_SCHEME)]) -> None:
        if credentials is None or not secrets.compare_digest(
            credentials.credentials.encode(), token.encode()
        ):
            raise Denied("this catalog wants its token: Authorization: Bearer …")

    return check


async def _text(request: Request, most: int) -> str:
    """The body as text, given up as soon as it is larger than *most* bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise InvalidSpec([Problem("too-large", f"the document has more than {most} bytes")])
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise InvalidSpec([Problem("not-utf-8", "the document is not UTF-8", "", line, 1)]) from error


async def _with_latest(catalog: Catalog, spec: Spec) -> JsonObject:
    versions = await catalog.list(spec.name)
    return spec.to_json() | {"latest": not versions or latest(versions).version == spec.version}


def _problems(problems: Iterable[Problem]) -> list[Any]:
    return [problem.to_json() for problem in problems]


def _parameters(dependant: Dependant) -> set[str]:
    """What may be asked of a route in its address, with what it depends on."""
    return {field.alias for field in dependant.query_params}.union(*map(_parameters, dependant.dependencies))


def _problem_response(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    problems: Iterable[Problem] = (),
    headers: Any = None,
) -> JSONResponse:
    """A problem in the form of the engine's own: its type is a *code*, its title the code in words."""
    body = {
        "type": f"urn:wfe:problem:{code}",
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "problems": _problems(problems),
    }
    return JSONResponse(body, status, media_type="application/problem+json", headers=headers)
