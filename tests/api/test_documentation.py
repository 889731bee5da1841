from __future__ import annotations

import re

import pytest
from fastapi.openapi.models import OpenAPI
from jsonschema import Draft202012Validator

from tests.api.documents import GREET
from tests.api.server import api
from workflow_engine.values import resolve_pointer

METHODS = {"get", "put", "post", "delete"}


@pytest.fixture
async def document(server) -> dict:
    return (await server.get("/openapi.json")).json


def operations(document):
    for path, found in document["paths"].items():
        for method, operation in found.items():
            assert method in METHODS
            yield path, method, operation


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


async def test_the_document_is_valid_openapi(document):
    assert document["openapi"].startswith("3.1")
    OpenAPI.model_validate(document)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in references(document):
        assert reference.startswith("#/")
        resolve_pointer(document, reference[1:])


async def test_every_operation_has_an_id_a_description_and_says_how_it_fails(document):
    seen = set()
    for path, method, operation in operations(document):
        assert operation["operationId"] not in seen
        seen.add(operation["operationId"])
        assert operation["description"], (method, path)
        assert operation["tags"], (method, path)
        failure = operation["responses"]["default"]["content"]
        assert list(failure) == ["application/problem+json"], (method, path)
        assert "422" not in operation["responses"]
        named = {item["name"] for item in operation.get("parameters", ()) if item["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


async def test_every_answer_has_a_schema_of_its_own(document):
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            assert schema.get("type", "object") == "object", (method, path, status)
    assert not any("__" in name for name in document["components"]["schemas"]), "two models of one name"


async def test_every_answer_and_every_request_has_an_example_that_fits_its_schema(document):
    def fits(content: dict, where: tuple) -> None:
        assert "example" in content, where
        schema = {**content.get("schema", {}), "components": document["components"]}
        assert [
            error.message for error in Draft202012Validator(schema).iter_errors(content["example"])
        ] == [], where

    unseen = {"internal", "codec"}
    named = {"GET /v1/runs/{run_id}/history"}
    for path, method, operation in operations(document):
        where = f"{method.upper()} {path}"
        if unseen & set(operation["tags"]) or where in named:
            continue
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json")
            if status.startswith("2") and content:
                fits(content, (where, status))
        sent = operation.get("requestBody", {}).get("content", {})
        if "application/yaml" not in sent and "application/json" in sent:
            fits(sent["application/json"], (where, "request"))


async def test_every_failure_that_is_to_be_expected_is_listed_with_an_example(document):
    for path, method, operation in operations(document):
        if path.startswith("/v1/"):
            assert "503" in operation["responses"], (method, path)
        if path.startswith("/v1/") and "requestBody" in operation:
            assert {"400", "413", "415"} <= operation["responses"].keys(), (method, path)
    assert "409" in document["paths"]["/v1/workflows"]["post"]["responses"]
    schema = {"$ref": "#/components/schemas/ProblemAnswerModel", "components": document["components"]}
    for name, response in document["components"]["responses"].items():
        example = response["content"]["application/problem+json"]["example"]
        assert [*Draft202012Validator(schema).iter_errors(example)] == [], name


async def test_the_examples_of_documents_are_workflows(server, document):
    deploy = document["paths"]["/v1/workflows"]["post"]["requestBody"]["content"]["application/yaml"][
        "example"
    ]
    assert (await server.deploy(deploy)).status == 201
    once = document["paths"]["/v1/runs"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert (await server.post("/v1/runs?wait=10", json=once)).json["output"] == {"text": "Hello, Ann"}


async def test_every_route_of_the_design_is_listed(document):
    listed = {f"{method.upper()} {path}" for path, method, _ in operations(document)}
    assert listed >= {
        "POST /v1/workflows",
        "GET /v1/workflows",
        "POST /v1/workflows/validate",
        "GET /v1/workflows/{namespace}/{name}",
        "GET /v1/workflows/{namespace}/{name}/{version}",
        "GET /v1/workflows/{namespace}/{name}/{version}/graph",
        "POST /v1/workflows/{namespace}/{name}/{version}/runs",
        "POST /v1/runs",
        "GET /v1/runs",
        "GET /v1/runs/{run_id}",
        "POST /v1/runs/{run_id}/{command}",
        "POST /v1/events",
        "GET /v1/events",
        "GET /v1/events/{event_id}/trace",
        "GET /v1/channels",
        "GET /v1/subscriptions",
        "GET /v1/subscriptions/{id}",
        "POST /v1/subscriptions",
        "PUT /v1/subscriptions/{id}",
        "DELETE /v1/subscriptions/{id}",
        "POST /v1/subscriptions/test",
        "PUT /v1/listeners",
        "DELETE /v1/listeners/{run_id}",
        "GET /v1/bundles",
        "PUT /v1/catalog/specs/{name}",
        "GET /v1/catalog/operations/{service}/{operation}",
        "GET /livez",
        "GET /readyz",
        "GET /metrics",
    }


async def test_the_documentation_is_a_page(server):
    page = await server.get("/docs")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")


async def test_answers_have_the_documented_shape(server, document):
    made = await server.deploy(GREET)
    run = await server.post("/v1/workflows/tests/greet/latest/runs?wait=10")
    missing = await server.get("/v1/runs/none")
    sent = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    published = await server.post(
        "/v1/events", json=sent, headers={"Content-Type": "application/cloudevents+json"}
    )
    shapes = {
        "DeployedModel": made.json,
        "RunModel": run.json,
        "ProblemAnswerModel": missing.json,
        "AcceptedModel": published.json,
        "WorkflowsModel": (await server.get("/v1/workflows")).json,
        "VersionsModel": (await server.get("/v1/workflows/tests/greet")).json,
        "WorkflowTextModel": (await server.get("/v1/workflows/tests/greet/latest")).json,
        "RunsModel": (await server.get("/v1/runs")).json,
        "EventsModel": (await server.get("/v1/events")).json,
        "TracesModel": (await server.get("/v1/events/1/trace")).json,
        "ChannelsModel": (await server.get("/v1/channels")).json,
        "SubscriptionsModel": (await server.get("/v1/subscriptions")).json,
        "ListenersModel": (await server.get("/v1/listeners")).json,
        "ReadyModel": (await server.get("/readyz")).json,
    }
    for name, answer in shapes.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        errors = [error.message for error in Draft202012Validator(schema).iter_errors(answer)]
        assert errors == [], name
        known = document["components"]["schemas"][name]["properties"]
        assert answer.keys() <= known.keys(), name


async def test_the_document_says_where_the_token_goes():
    async with api(token="s3cret", loopback_only=False) as server:
        headers = {"Authorization": "Bearer s3cret"}
        document = (await server.get("/openapi.json", headers=headers)).json
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for path, _, operation in operations(document):
        assert bool(operation.get("security")) == (path != "/livez"), path


async def test_the_documentation_needs_nothing_from_the_internet(server):
    page = await server.get("/docs")
    assert page.status == 200
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert assets
    for asset in assets:
        assert asset.startswith("/"), f"{asset} is elsewhere"
        assert (await server.get(asset)).status == 200
