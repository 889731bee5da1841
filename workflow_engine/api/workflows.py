"""Workflows: deploy, validate, list, show, draw."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response

from workflow_engine import dsl
from workflow_engine.api.answers import JsonAnswer
from workflow_engine.api.bodies import (
    CURL,
    MAX_DOCUMENT,
    MAX_PACKAGE,
    check_type,
    media_type,
    parse,
    read,
    read_text,
    unknown_members,
)
from workflow_engine.api.grants import granted
from workflow_engine.api.paging import PAGE, Cursor, Limit, key_of, page_of, pair_of
from workflow_engine.api.parameters import Express, Mapped, Name, Namespace, Version
from workflow_engine.api.strict import StrictRoute
from workflow_engine.api.wire import (
    CheckedModel,
    DeployedModel,
    PackageModel,
    VersionsModel,
    WorkflowsModel,
    WorkflowTextModel,
)
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.moving import MOST_RUNS, Moving, names_of
from workflow_engine.engine.store import Definition, Listed
from workflow_engine.errors import InvalidDocument, Problem, Rejected
from workflow_engine.graph import contracts, render
from workflow_engine.values import Json, JsonObject, rfc3339

PACKAGE = "application/vnd.wfe.package+json"
_YAML = frozenset({"application/yaml", "text/yaml", "application/x-yaml", "text/x-yaml"})
_TEXTS = _YAML | {"application/json", "text/plain"}
EXAMPLE = """\
document: {dsl: '1.0.3', namespace: shop, name: greet, version: '1.0.0'}
do:
  - greeting:
      set: {text: '${ "Hello, " + .name }'}
"""
_DOCUMENT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A workflow in DSL 1.0 or 0.8, in UTF-8, at most 1 MiB; or a package",
        "content": {
            "application/yaml": {"schema": {"type": "string"}, "example": EXAMPLE},
            "application/json": {"schema": {"type": "object"}},
            PACKAGE: {"schema": PackageModel.model_json_schema()},
        },
    }
}


@dataclass(frozen=True, slots=True)
class Package:
    """A document as it was sent: its *text*, the *name* of its file, and what it needs, by key."""

    text: str
    name: str = "<text>"
    resources: Mapping[str, Json] | None = None


_CHECKED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`namespace`, `name`, `version`, how many were `checked`, whether there are `more`, and `runs`",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


def create_routes(engine: Engine) -> APIRouter:
    """The routes under ``/v1/workflows``, but for those that start runs."""
    routes = APIRouter(prefix="/v1/workflows", tags=["workflows"], route_class=StrictRoute)

    @routes.post(
        "",
        status_code=201,
        response_model=DeployedModel,
        responses={200: {"model": DeployedModel, "description": "The same text was deployed already"}},
        openapi_extra=_DOCUMENT,
    )
    async def deploy(request: Request, express: Express = None) -> Response:
        """Deploy a workflow: from now on it can be started, and its events or its schedule start it.

        The same text again changes nothing; another text under the same version is refused with 409, also where that
        was deleted.
        """
        package = await _package(request)
        deployed = await engine.deploy(
            package.text,
            name=package.name,
            resources=package.resources,
            express=express,
            allowed=granted().allowed,
        )
        location = {"Location": _address(deployed.definition)}
        return JsonAnswer(deployed.to_json(), 201 if deployed.created else 200, headers=location)

    @routes.post("/validate", response_model=CheckedModel, openapi_extra=_DOCUMENT)
    async def validate(request: Request) -> Response:
        """Everything wrong or doubtful about a document. Nothing is stored, and nothing is looked up."""
        package = await _package(request)
        problems = await asyncio.to_thread(_problems, package)
        valid = not any(problem.severity == "error" for problem in problems)
        return JsonAnswer({"valid": valid, "problems": [problem.to_json() for problem in problems]})

    @routes.post("/check", responses=_CHECKED, openapi_extra=_DOCUMENT)
    async def check(
        request: Request,
        limit: Annotated[
            int, Query(ge=1, le=MOST_RUNS, description="How many open runs are looked at")
        ] = 100,
        map: Mapped = None,
    ) -> Response:
        """Which open runs of other versions of a workflow could go on with this one, which is not deployed by that.

        The newest runs are replayed, on their own version and on this one; nothing is done to them. `answer` is `same`
        where this version would have done the same so far, `could move` where it has what the run stands at, and
        `cannot` with the reasons.
        """
        package = await _package(request)
        return JsonAnswer(
            await Moving(engine).check(
                package.text,
                name=package.name,
                resources=package.resources,
                limit=limit,
                names=names_of(map or ()),
                allowed=granted().allowed,
            )
        )

    @routes.get("", response_model=WorkflowsModel)
    async def workflows(
        namespace: Annotated[str | None, Query(max_length=500, description="Of workflows in it")] = None,
        name: Annotated[
            str | None, Query(max_length=500, description="Of workflows that are called so")
        ] = None,
        limit: Limit = PAGE,
        cursor: Cursor = None,
    ) -> Response:
        """The latest version of every workflow, by namespace and name."""
        grant = granted()
        within = None if grant.namespaces is None else sorted(grant.namespaces)
        if namespace is not None:
            within = [namespace] if grant.sees(namespace) and not namespace.endswith("*") else []
        found = await engine.workflows(pair_of(cursor), limit + 1, within=within, name=name)
        return JsonAnswer(page_of("workflows", found, limit, _describe, _key))

    @routes.get("/{namespace}/{name}", response_model=VersionsModel)
    async def versions(
        namespace: Namespace, name: Name, limit: Limit = PAGE, cursor: Cursor = None
    ) -> Response:
        """Every version of a workflow, latest first."""
        found = await engine.versions(namespace, name, after=key_of(cursor), limit=limit + 1)
        page = page_of("versions", found, limit, _describe, lambda each: (each.workflow.version,))
        return JsonAnswer({"namespace": namespace, "name": name, **page})

    @routes.get(
        "/{namespace}/{name}/{version}",
        response_model=WorkflowTextModel,
        responses={200: {"content": {"application/yaml": {"schema": {"type": "string"}}}}},
    )
    async def workflow(request: Request, namespace: Namespace, name: Name, version: Version) -> Response:
        """One version with its text; the text alone for who accepts `application/yaml`."""
        definition = await engine.definition(namespace, name, version)
        if _wants_yaml(request.headers.get("accept", "")):
            headers = {"Vary": "Accept", "Content-Location": _address(definition)}
            return Response(definition.text.encode(), media_type="application/yaml", headers=headers)
        body: JsonObject = {**_describe(Listed.of(definition)), "text": definition.text}
        return JsonAnswer(body, headers={"Vary": "Accept"})

    @routes.get(
        "/{namespace}/{name}/{version}/graph",
        response_class=Response,
        responses={200: {"content": {"application/json": {}, "text/plain": {}}}},
    )
    async def graph(
        namespace: Namespace,
        name: Name,
        version: Version,
        format: Annotated[Literal["json", "mermaid", "dot"], Query(description="Form of the graph")] = "json",
    ) -> Response:
        """The compiled workflow: states and the transitions between them, as data or as a picture's text."""
        compiled = (await engine.definition(namespace, name, version)).bundle.graph()
        match format:
            case "json":
                return JsonAnswer(render.to_json(compiled))
            case "mermaid":
                return Response(render.mermaid(compiled), media_type="text/plain")
            case "dot":
                return Response(render.dot(compiled), media_type="text/plain")

    @routes.get("/{namespace}/{name}/{version}/{contract}", response_model=dict[str, Any])
    async def contract(
        request: Request,
        namespace: Namespace,
        name: Name,
        version: Version,
        contract: Annotated[Literal["openapi", "asyncapi"], Path(description="Of which kind")],
    ) -> Response:
        """An OpenAPI document of how the workflow is run, or an AsyncAPI one of the events that it sends and takes."""
        compiled = (await engine.definition(namespace, name, version)).bundle.graph()
        if contract == "openapi":
            return JsonAnswer(contracts.openapi(compiled, str(request.base_url).rstrip("/")))
        return JsonAnswer(contracts.asyncapi(compiled))

    return routes


async def _package(request: Request) -> Package:
    if check_type(request, _TEXTS | {PACKAGE}) != PACKAGE:
        text = await read_text(request, MAX_DOCUMENT)
        if media_type(request) == CURL:
            _check_lines(text)
        return Package(text)
    body = parse(await read(request, MAX_PACKAGE))
    if not isinstance(body, dict):
        raise Rejected("wrong-type", "a package is a JSON object")
    unknown_members(body, {"document", "name", "resources"})
    name = body.get("name", "<text>")
    if not isinstance(name, str) or len(name) > 1000:
        raise Rejected("wrong-type", "expected the name of a file, 1,000 characters at most", pointer="/name")
    return Package(document_of(body), name, resources_of(body))


def _check_lines(text: str) -> None:
    """`Rejected` for YAML that ``curl -d @FILE`` has made one line of: what the parser says of it helps nobody."""
    if text.strip() and "\n" not in text.strip() and not text.lstrip().startswith("{"):
        message = (
            "the document has no line breaks: `curl -d` takes them out; send it with --data-binary @FILE"
        )
        raise Rejected("no-line-breaks", message)


def document_of(body: JsonObject) -> str:
    """The text of a request's ``document``, which may be an object too; `Rejected` where it is neither."""
    document = body.get("document")
    if isinstance(document, dict):
        document = bytes(JsonAnswer(document).body).decode()
    if not isinstance(document, str):
        raise Rejected("wrong-type", "expected a workflow, as text or as an object", pointer="/document")
    if len(document.encode()) > MAX_DOCUMENT:
        message = f"the document has more than {MAX_DOCUMENT:,} bytes, which is the most"
        raise Rejected("too-large", message, pointer="/document", status=413)
    return document


def resources_of(body: JsonObject) -> Mapping[str, Json] | None:
    """A request's ``resources``; `Rejected` where they are no object."""
    resources = body.get("resources")
    if resources is not None and not isinstance(resources, dict):
        raise Rejected("wrong-type", "expected an object of resources by key", pointer="/resources")
    return resources


def _problems(package: Package) -> list[Problem]:
    try:
        return dsl.check(dsl.parse(package.text, name=package.name))
    except InvalidDocument as invalid:
        return list(invalid.problems)


def _wants_yaml(accept: str) -> bool:
    """Whether *accept* prefers YAML to JSON."""
    best = {"yaml": 0.0, "json": 0.0}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        form = "yaml" if kind in _YAML else "json" if kind == "application/json" else ""
        if form:
            best[form] = max(best[form], weight)
    return best["yaml"] > best["json"]


def _describe(listed: Listed) -> JsonObject:
    name = listed.workflow
    return {
        "namespace": name.namespace,
        "name": name.name,
        "version": name.version,
        "title": listed.title,
        "dsl": listed.dialect,
        "digest": listed.digest,
        "deployed_at": rfc3339(listed.deployed_at),
    }


def _key(listed: Listed) -> tuple[str, str]:
    return listed.workflow.namespace, listed.workflow.name


def _address(definition: Definition) -> str:
    name = definition.workflow
    return "/v1/workflows/" + "/".join(
        quote(part, safe="") for part in (name.namespace, name.name, name.version)
    )
