from __future__ import annotations

import json

import pytest

from tests.api.documents import GREET, GREET_2, OLD, ON_EVENT

YAML = {"Content-Type": "application/yaml"}


async def test_a_deployed_workflow_is_answered_with_where_it_is(server):
    made = await server.deploy(GREET)
    assert made.status == 201
    assert made.headers["Location"] == "/v1/workflows/tests/greet/1.0.0"
    digest = made.json.pop("digest")
    assert len(digest) == 64
    assert made.json == {
        "namespace": "tests",
        "name": "greet",
        "version": "1.0.0",
        "dsl": "1.0",
        "warnings": [],
        "schedule": None,
    }
    there = await server.get(made.headers["Location"])
    assert there.json["digest"] == digest
    assert there.json["text"] == GREET
    assert there.json["title"] == "Greet someone"


@pytest.mark.parametrize(
    "kind", ["application/yaml", "text/yaml", "text/plain; charset=utf-8", "application/json", None]
)
async def test_a_document_may_come_as_any_kind_of_text(server, kind):
    skipped = ["Content-Type"] if kind is None else []
    headers = {} if kind is None else {"Content-Type": kind}
    made = await server.post("/v1/workflows", data=GREET.encode(), headers=headers, skip_auto_headers=skipped)
    assert made.status == 201


async def test_deploying_the_same_text_again_changes_nothing(server):
    first = await server.deploy(GREET)
    again = await server.deploy(GREET)
    assert (again.status, again.json) == (200, first.json)


async def test_another_text_under_the_same_version_is_a_conflict(server):
    await server.deploy(GREET)
    other = await server.deploy(GREET.replace("Hello", "Hi"))
    assert other.status == 409
    assert other.json["type"] == "urn:wfe:problem:conflict"
    assert "1.0.0" in other.json["detail"]
    assert (await server.get("/v1/workflows/tests/greet/1.0.0")).json["text"] == GREET


async def test_every_problem_of_a_document_is_told_with_its_place(server):
    refused = await server.deploy(GREET.replace("set:", "sett:") + "doo: []\n")
    assert refused.status == 400
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json["type"] == "urn:wfe:problem:invalid-document"
    assert refused.json["instance"] == "/v1/workflows"
    places = [(problem["pointer"], problem["line"]) for problem in refused.json["problems"]]
    assert [line for _, line in places] == [4, 5]
    assert places[0][0].startswith("/do/0/greeting")
    assert (await server.get("/v1/workflows")).json == {"workflows": [], "cursor": None}


async def test_the_latest_version_is_listed_and_older_ones_are_kept(server):
    await server.deploy(GREET_2)
    await server.deploy(GREET)
    listed = (await server.get("/v1/workflows")).json["workflows"]
    assert [(item["name"], item["version"]) for item in listed] == [("greet", "2.0.0")]
    versions = (await server.get("/v1/workflows/tests/greet")).json["versions"]
    assert [item["version"] for item in versions] == ["2.0.0", "1.0.0"]
    latest = (await server.get("/v1/workflows/tests/greet/latest")).json
    assert latest["version"] == "2.0.0"


async def test_the_text_alone_is_given_to_who_accepts_yaml(server):
    await server.deploy(GREET)
    path = "/v1/workflows/tests/greet/latest"
    found = await server.get(path, headers={"Accept": "application/yaml"})
    assert found.headers["Content-Type"].startswith("application/yaml")
    assert found.body.decode() == GREET
    assert found.headers["Content-Location"] == "/v1/workflows/tests/greet/1.0.0"
    both = await server.get(path, headers={"Accept": "application/json, application/yaml;q=0.5"})
    assert both.json["text"] == GREET


@pytest.mark.parametrize(("format", "start"), [("mermaid", "flowchart"), ("dot", "digraph"), ("json", "{")])
async def test_a_workflow_is_drawn(server, format, start):
    await server.deploy(GREET)
    drawn = await server.get(f"/v1/workflows/tests/greet/latest/graph?format={format}")
    assert drawn.status == 200
    assert start in drawn.body.decode()
    assert "greeting" in drawn.body.decode()


async def test_an_unknown_format_of_a_graph_is_refused_with_those_that_there_are(server):
    await server.deploy(GREET)
    refused = await server.get("/v1/workflows/tests/greet/latest/graph?format=gif")
    assert refused.status == 400
    assert refused.json["problems"][0]["pointer"] == "/query/format"
    assert "mermaid" in refused.json["detail"]


@pytest.mark.parametrize(
    "path",
    ["/v1/workflows/tests/other", "/v1/workflows/tests/greet/9", "/v1/workflows/tests/greet/9/graph"],
)
async def test_an_unknown_workflow_is_not_found(server, path):
    await server.deploy(GREET)
    missing = await server.get(path)
    assert missing.status == 404
    assert missing.json["type"] == "urn:wfe:problem:not-found"
    assert missing.json["kind"] == "workflow"


async def test_an_unknown_version_is_told_which_there_are(server):
    await server.deploy(GREET)
    missing = await server.get("/v1/workflows/tests/greet/9.9.9")
    assert (missing.status, missing.json["hint"]) == (404, "the latest versions: 1.0.0")


async def test_who_opens_the_address_in_a_browser_finds_the_documentation(server):
    answer = await server.get("/", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (307, "docs")


async def test_validating_stores_nothing(server):
    good = await server.post("/v1/workflows/validate", data=GREET.encode(), headers=YAML)
    assert good.json == {"valid": True, "problems": []}
    bad = await server.post("/v1/workflows/validate", data=b"do: }", headers=YAML)
    assert bad.status == 200
    assert not bad.json["valid"]
    assert bad.json["problems"][0]["line"] == 1
    assert (await server.get("/v1/workflows")).json == {"workflows": [], "cursor": None}


async def test_a_name_may_have_what_addresses_must_encode(server):
    made = await server.deploy(OLD)
    assert made.headers["Location"] == "/v1/workflows/default/order%20flow%3F%23%252F%26%2B%C3%B6/1.0"
    found = await server.get(made.headers["Location"])
    assert found.json["name"] == "order flow?#%2F&+ö"
    run = await server.post(made.headers["Location"] + "/runs?wait=10")
    assert run.json["output"] == {"hello": "world"}


async def test_a_package_brings_what_its_document_needs(server):
    text = """\
document: {dsl: '1.0.0', namespace: tests, name: send, version: '1.0.0'}
do:
  - send:
      call: asyncapi
      with: {operation: 'file://shop.yaml#placeOrder', message: {payload: {}}}
"""
    alone = await server.deploy(text)
    assert alone.status == 400
    assert alone.json["problems"][0]["line"] == 5
    resources = {"file://shop.yaml#placeOrder": {"service": "shop"}}
    body = json.dumps({"document": text, "name": "send.yaml", "resources": resources})
    headers = {"Content-Type": "application/vnd.wfe.package+json"}
    made = await server.post("/v1/workflows", data=body, headers=headers)
    assert made.status == 201, made.json


async def test_a_workflow_has_contracts_for_those_around_it(server):
    await server.deploy(ON_EVENT)
    found = await server.get("/v1/workflows/tests/on-order/latest/openapi")
    assert (found.status, list(found.json["paths"])) == (200, ["/v1/workflows/tests/on-order/1.0.0/runs"])
    assert found.json["servers"] == [{"url": server.url}]
    found = await server.get("/v1/workflows/tests/on-order/1.0.0/asyncapi")
    assert set(found.json["channels"]["default"]["messages"]) == {"order-placed", "order-taken"}
    assert (await server.get("/v1/workflows/tests/on-order/1.0.0/raml")).status == 400
    assert (await server.get("/v1/workflows/tests/nothing/latest/openapi")).status == 404
