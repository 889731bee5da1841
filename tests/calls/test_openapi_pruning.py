"""What a deployment keeps of OpenAPI documents: the part of one operation, with what it needs of other documents."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.calls.conftest import make_context
from tests.calls.openapi_documents import P, arguments, openapi, swagger
from tests.standins import httpbin, petstore
from tests.standins.server import serve
from workflow_engine import dsl
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.calls.openapi_pruning import Elsewhere, prune
from workflow_engine.calls.resolution import Resolution
from workflow_engine.cli.resources import LocalFiles
from workflow_engine.dsl.needs import Need
from workflow_engine.errors import InvalidDocument, NotFound, Rejected

call = CALLERS["openapi"]


@asynccontextmanager
async def served(files: dict[str, object]):
    """A server of documents, and of an echo below /anything."""
    app = httpbin.app()

    async def document(request: web.Request) -> web.Response:
        found = files.get(request.match_info["name"])
        return web.Response(status=404) if found is None else web.json_response(found)

    app.router.add_get("/docs/{name:.*}", document)
    async with serve(app) as server:
        yield server


async def deployed(server, egress, name: str = "api.json", operation: str = "op"):
    uri = f"{server.url}/docs/{name}"
    pinned = await Resolution(None, egress)(Need("openapi", "k", "/do", operation, uri))  # type: ignore[arg-type]
    return uri, make_context(egress, resources={"k": pinned}), json.loads(pinned["content"])


SPREAD = {
    "api.json": {
        "openapi": "3.1.0",
        "x": {"type": "string"},
        "servers": [{"url": "/anything"}],
        "paths": {"/pets/{id}": {"$ref": "paths/pets.json#/item"}},
    },
    "paths/pets.json": {
        "item": {
            "parameters": [{"$ref": "../common/parameters.json#/id"}],
            "post": {
                "operationId": "op",
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "../common/pet.json"}}}
                },
            },
        }
    },
    "common/parameters.json": {"id": {"$ref": "#/real"}, "real": {"name": "id", "in": "path", "required": True}},
    "common/pet.json": {
        "additionalProperties": False,
        "properties": {"name": {"type": "string"}, "friend": {"$ref": "#"}, "owner": {"$ref": "../api.json#/x"}},
    },
}  # fmt: skip


async def test_a_document_that_is_spread_over_others_is_put_together_when_it_is_deployed():
    async with served(SPREAD) as server, Egress() as egress:
        uri, context, content = await deployed(server, egress)
        assert list(content["paths"]) == ["/pets/{id}"]
        fetched = [request.target for request in server.requests]
        assert fetched == [f"/docs/{name}" for name in SPREAD]
        answer = await call(arguments("op", uri, id=7, name="Rex"), context)
        assert (answer["path"], answer["json"]) == ("/anything/pets/7", {"name": "Rex"})
        assert len(server.requests) == len(SPREAD) + 1  # nothing is fetched by the call


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"api.json": openapi(parameters=[{"$ref": "none.json#/x"}])}, "404"),
        ({"api.json": openapi(parameters=[{"$ref": "file:///etc/passwd"}])}, "refers to file:///etc/passwd"),
        ({"api.json": openapi(parameters=[{"$ref": "#anchor"}])}, "no pointer"),
        ({"api.json": {"openapi": "3.0.0", "paths": {"/x": {"$ref": "#/paths/~1x"}}}}, "circle"),
        ({"api.json": {"openapi": "3.0.0"}}, "no `paths`"),
    ],
)
async def test_what_cannot_be_put_together_is_refused(files, words):
    async with served(files) as server, Egress() as egress:
        with pytest.raises((Rejected, NotFound), match=words):
            await deployed(server, egress)


async def test_a_chain_of_documents_is_bounded():
    files = {f"{n}.json": {"x": {"allOf": [{"$ref": f"{n + 1}.json#/x"}]}} for n in range(100)}
    files["api.json"] = openapi(
        "/x", "post", requestBody={"content": {"application/json": {"schema": {"$ref": "0.json#/x"}}}}
    )
    async with served(files) as server, Egress() as egress:
        with pytest.raises(Rejected, match="more than 32 documents"):
            await deployed(server, egress)


async def test_credentials_go_to_the_origin_of_the_document_alone(bin_server):
    other = {"docs": {"name": "p", "in": "query"}}
    async with served({"other.json": other}) as elsewhere, Egress() as egress:
        document = openapi(
            parameters=[{"$ref": f"{elsewhere.url}/docs/other.json#/docs"}, {"$ref": "own.json#/p"}]
        )
        async with served({"api.json": document, "own.json": {"p": {"name": "q", "in": "query"}}}) as server:
            uri = f"{server.url}/docs/api.json"
            need = Need("openapi", "k", "/do", "op", uri, policy={"bearer": {"token": "t0ken"}})
            await Resolution(None, egress)(need)  # type: ignore[arg-type]
        assert [request.headers.get("Authorization") for request in server.requests] == ["Bearer t0ken"] * 2
        assert "Authorization" not in elsewhere.last.headers


async def test_an_operation_that_is_not_there_is_refused_with_what_may_be_meant():
    with pytest.raises(NotFound, match="did you mean 'findPetsByStatus'"):
        prune(petstore.SWAGGER, "findPetByStatus")


def test_only_what_the_operation_needs_is_kept():
    document = {
        **openapi(
            "/x",
            "post",
            description="long",
            requestBody={"content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}},
            responses={"200": {"content": {"text/csv": {"schema": {"$ref": "#/components/schemas/C"}}}}},
        ),
        "info": {"title": "t"},
        "components": {
            "schemas": {
                "A": {
                    "properties": {"b": {"$ref": "#/components/schemas/B"}, "description": {"type": "string"}}
                },
                "B": {"example": {"$ref": "nowhere.json"}, "default": {"$ref": "nowhere.json"}, "items": {}},
                "C": {},
            }
        },
    }
    kept = prune(document, "op")
    assert kept.keys() == {"openapi", "paths", "components"}
    assert kept["components"] == {
        "schemas": {
            "A": {"properties": {"b": {"$ref": "#/components/schemas/B"}, "description": {"type": "string"}}},
            "B": {"default": {"$ref": "nowhere.json"}, "items": {}},
        }
    }
    assert kept["paths"]["/x"]["post"]["responses"] == {"200": {"content": {"text/csv": {}}}}


def test_a_part_of_what_is_referred_to_before_the_whole_is_whole_in_the_end():
    schemas = {"A": {"properties": {"x": {"type": "string"}, "y": {"type": "string"}}}}
    document = {
        **openapi(
            "/x",
            "post",
            parameters=[
                {"name": "p", "in": "query", "schema": {"$ref": "#/components/schemas/A/properties/x"}}
            ],
            requestBody={"content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}},
        ),
        "components": {"schemas": schemas},
    }
    assert prune(document, "op")["components"] == {"schemas": schemas}


def test_a_reference_to_another_document_says_which_is_needed():
    with pytest.raises(Elsewhere) as caught:
        prune(openapi(parameters=[{"$ref": "../b/c.json#/x"}]), "op", "file://api/v1/a.json")
    assert caught.value.address == "file://api/b/c.json"


WORKFLOW = """
document: {dsl: '1.0.3', namespace: test, name: local, version: '1.0.0'}
do: [{a: {call: openapi, with: {document: {endpoint: 'api/openapi.json'}, operationId: op}}}]
"""


async def test_local_documents_are_put_together_by_who_deploys(tmp_path):
    (tmp_path / "api").mkdir()
    parameter = {"name": "p", "in": "query", "required": True}
    (tmp_path / "api/openapi.json").write_text(json.dumps(openapi(parameters=[{"$ref": "./parts.yaml#/p"}])))
    (tmp_path / "api/parts.yaml").write_text(json.dumps({"p": parameter}))
    answers = await (await LocalFiles.open([])).answers(dsl.parse(WORKFLOW), str(tmp_path / "w.yaml"))
    content = json.loads(answers["api/openapi.json#op"]["content"])
    assert content["x-documents"] == {"1": {"p": parameter}}


async def test_a_local_document_cannot_lead_out_of_the_folder_of_the_workflow(tmp_path):
    (tmp_path / "w/api").mkdir(parents=True)
    (tmp_path / "secret.yaml").write_text("p: {}")
    document = openapi(parameters=[{"$ref": "../../secret.yaml#/p"}])
    (tmp_path / "w/api/openapi.json").write_text(json.dumps(document))
    with pytest.raises(InvalidDocument, match="leads out of the folder"):
        await (await LocalFiles.open([])).answers(dsl.parse(WORKFLOW), str(tmp_path / "w/w.yaml"))


async def test_swagger_definitions_and_security_are_kept(egress):
    document = swagger("/x", "post", parameters=[{"$ref": "#/parameters/p"}], security=[{"key": []}]) | {
        "parameters": {"p": P | {"in": "query"}, "q": {}},
        "securityDefinitions": {"key": {"type": "apiKey", "name": "k", "in": "header"}, "other": {}},
    }
    kept = prune(document, "op")
    assert kept["parameters"] == {"p": P | {"in": "query"}}
    assert list(kept["securityDefinitions"]) == ["key"]
