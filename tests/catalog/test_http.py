"""The API and the client, over a real server on loopback."""

from __future__ import annotations

import asyncio
import io
import json
import socket

import aiohttp
import pytest
import uvicorn

from catalog import Catalog, Conflict, Denied, InvalidReference, InvalidSpec, NotFound, Unavailable, wire
from catalog.api import create_app
from catalog.client import HttpCatalog
from catalog.nodes import Limits
from catalog.stores import MemoryStore
from tests.catalog.documents import LIGHTS, ORDERS


class Served:
    """An application on a free port of loopback, until the block ends."""

    def __init__(self, app):
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))

    async def __aenter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.task = asyncio.create_task(self.server.serve(sockets=[self.listener]))
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    async def __aexit__(self, *exception):
        self.server.should_exit = True
        await self.task
        self.listener.close()


@pytest.fixture
async def url():
    async with Served(create_app(Catalog(MemoryStore()))) as address:
        yield address


@pytest.fixture
async def http(url):
    async with aiohttp.ClientSession(base_url=url) as session:
        yield session


@pytest.fixture
async def catalog(url):
    async with HttpCatalog(url) as client:
        yield client


async def answer(response):
    async with response:
        return response.status, await response.json(content_type=None)


async def test_a_document_goes_from_new_to_unchanged_to_conflict_to_replaced(http):
    path, changed = "/v1/catalog/specs/orders", ORDERS.replace("createOrder", "placeOrder")
    outcomes = []
    for query, text in (("", ORDERS), ("", ORDERS), ("", changed), ("?replace=true", changed)):
        status, body = await answer(await http.put(path + query, data=text.encode()))
        outcomes.append((status, body.get("outcome") or body["title"]))
    assert outcomes == [(201, "created"), (200, "unchanged"), (409, "Conflict"), (200, "replaced")]


async def test_json_is_taken_as_well_as_yaml_whatever_its_content_type(http):
    document = {"asyncapi": "3.0.0", "info": {"title": "j", "version": "1"}}
    status, _ = await answer(await http.put("/v1/catalog/specs/j", json=document))
    assert status == 201
    async with http.get("/v1/catalog/specs/j/document") as response:
        assert response.content_type == "application/vnd.aai.asyncapi+json"
        assert await response.json(content_type=None) == document


async def test_a_bad_document_is_answered_with_lines_and_pointers_and_not_stored(http):
    text = "asyncapi: 2.6.0\ninfo: {title: t}\nchannels: {c: {publish: {message: {$ref: x.yaml}}}}\n"
    async with http.put("/v1/catalog/specs/t", data=text.encode()) as response:
        body = await response.json(content_type=None)
        assert (response.status, response.content_type) == (400, "application/problem+json")
    wire.ProblemDetails.model_validate(body)
    assert (body["title"], body["status"]) == ("Invalid document", 400)
    assert (body["type"], body["instance"]) == ("urn:wfe:problem:invalid-document", "/v1/catalog/specs/t")
    assert [(problem["code"], problem["pointer"], problem["line"]) for problem in body["problems"]] == [
        ("missing-property", "/info", 2),
        ("missing-operation-id", "/channels/c/publish", 3),
        ("external-reference", "/channels/c/publish/message/$ref", 3),
    ]
    assert (await answer(await http.get("/v1/catalog/specs")))[1] == {"specs": [], "cursor": None}


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"\xff\xfe", 400, "not-utf-8"),
        (b"a: " + b"x" * 2_000_000, 413, "too-large"),
        (b"", 400, "empty-document"),
        (b"a: &a [*a]", 400, "recursive-alias"),
        (b"[" * 100_000, 400, "too-deep"),
    ],
)
async def test_hostile_bodies_are_refused(http, data, status, code):
    got, body = await answer(await http.put("/v1/catalog/specs/x", data=io.BytesIO(data)))
    assert (got, [problem["code"] for problem in body["problems"]]) == (status, [code])


async def test_a_body_is_given_up_when_it_grows_too_large_without_saying_its_length():
    async def endless():
        while True:
            yield b"# and on\n" * 100

    async with (
        Served(create_app(Catalog(MemoryStore(), limits=Limits(size=10_000)))) as url,
        aiohttp.ClientSession() as session,
    ):
        try:
            async with session.put(f"{url}/v1/catalog/specs/x", data=endless()) as response:
                assert response.status == 413
        except aiohttp.ClientConnectionError:
            pass  # the server hung up before the answer could be read


async def test_every_answer_is_as_the_openapi_document_says(http):
    _, registered = await answer(await http.put("/v1/catalog/specs/orders", data=ORDERS.encode()))
    wire.RegistrationModel.model_validate(registered, extra="forbid")
    assert [problem["code"] for problem in registered["warnings"]] == ["missing-operation-id"]
    await answer(await http.put("/v1/catalog/specs/lights", data=LIGHTS.encode()))
    for path, model in (
        ("specs", wire.SpecsModel),
        ("specs/orders", wire.SpecModel),
        ("specs/orders?text=true", wire.SpecModel),
        ("operations", wire.OperationsModel),
        ("operations/lights/turnOn", wire.OperationModel),
        ("resolve?reference=orders%23createOrder", wire.OperationModel),
    ):
        status, body = await answer(await http.get(f"/v1/catalog/{path}"))
        assert status == 200
        model.model_validate(body, extra="forbid")
    _, described = await answer(await http.get("/openapi.json"))
    assert set(described["paths"]) >= {
        "/v1/catalog/specs/{name}",
        "/v1/catalog/operations",
        "/v1/catalog/lint",
    }


async def test_operations_are_filtered_by_either_side_and_paged(http):
    await answer(await http.put("/v1/catalog/specs/orders", data=ORDERS.encode()))
    await answer(await http.put("/v1/catalog/specs/lights", data=LIGHTS.encode()))

    async def ids(query):
        _, body = await answer(await http.get(f"/v1/catalog/operations?{query}"))
        return [operation["operation"] for operation in body["operations"]], body["total"]

    assert await ids("action=publish") == await ids("action=receive") == (["turnOn", "createOrder"], 2)
    assert await ids("action=send&service=lights") == (["sendMeasurement"], 1)
    assert await ids("limit=2&offset=1") == (["sendMeasurement", "createOrder"], 5)
    assert (await answer(await http.get("/v1/catalog/operations?limit=0")))[0] == 400


async def test_a_version_or_the_whole_document_is_deleted(http):
    newer = ORDERS.replace("version: 1.0.0", "version: 2.0.0")
    for text in (ORDERS, newer):
        await answer(await http.put("/v1/catalog/specs/orders", data=text.encode()))
    _, body = await answer(await http.get("/v1/catalog/specs"))
    assert [(spec["version"], spec["latest"]) for spec in body["specs"]] == [
        ("1.0.0", False),
        ("2.0.0", True),
    ]
    assert (await answer(await http.delete("/v1/catalog/specs/orders?version=2.0.0")))[0] == 204
    _, body = await answer(await http.get("/v1/catalog/specs/orders"))
    assert (body["version"], body["latest"]) == ("1.0.0", True)
    assert (await answer(await http.delete("/v1/catalog/specs/orders")))[0] == 204
    assert (await answer(await http.delete("/v1/catalog/specs/orders")))[0] == 404


async def test_lint_tells_problems_and_stores_nothing(http):
    _, body = await answer(await http.post("/v1/catalog/lint", data=ORDERS.encode()))
    assert body["valid"] is True
    assert [problem["severity"] for problem in body["problems"]] == ["warning"]
    _, body = await answer(await http.post("/v1/catalog/lint", data=b"asyncapi: 9"))
    assert (body["valid"], body["problems"][0]["code"]) == (False, "unsupported-version")
    _, body = await answer(await http.post("/v1/catalog/lint", data=b"\xff"))
    assert body["problems"][0]["code"] == "not-utf-8"
    assert (await answer(await http.get("/v1/catalog/specs")))[1] == {"specs": [], "cursor": None}


async def test_a_message_can_be_checked_against_an_operation(http):
    await answer(await http.put("/v1/catalog/specs/lights", data=LIGHTS.encode()))
    path = "/v1/catalog/operations/lights/turnOn/validate"
    _, body = await answer(await http.post(path, json={"payload": {"id": "a"}}))
    assert body == {"valid": True, "message": "TurnOn", "problems": []}
    _, body = await answer(await http.post(path, json={"payload": {"id": 1}}))
    assert (body["valid"], body["problems"][0]["pointer"]) == (False, "/payload/id")


async def test_errors_without_a_route_are_problems_too(http):
    async with http.get("/v1/nothing") as response:
        assert (response.status, response.content_type) == (404, "application/problem+json")
    async with http.post("/v1/catalog/specs") as response:
        assert (response.status, response.content_type) == (405, "application/problem+json")
    assert (await answer(await http.get("/v1/catalog/resolve")))[0] == 400
    assert (await answer(await http.get("/livez"))) == (200, {"status": "ok"})


async def test_the_client_does_what_the_catalog_does(catalog):
    registration = await catalog.register("orders", ORDERS)
    assert (registration.outcome, registration.spec.version) == ("created", "1.0.0")
    assert [problem.code for problem in registration.warnings] == ["missing-operation-id"]
    assert (await catalog.add("orders", ORDERS)) == registration.spec
    assert (await catalog.get("orders")) == registration.spec
    assert [(spec.name, spec.text) for spec in await catalog.list()] == [("orders", "")]
    assert (await catalog.describe("orders")).find(channel="orders/audit").id is None
    created = await catalog.operation("orders", "createOrder", "1.0.0")
    assert created == (await catalog.resolve("file://orders.yaml#createOrder"))
    assert [operation.id for operation in await catalog.operations(workflow_may="publish")] == ["createOrder"]
    assert [operation.id for operation in await catalog.operations(channel="orders/audit")] == [None]
    await catalog.remove("orders", "1.0.0")
    assert await catalog.list() == []


async def test_the_client_raises_what_the_catalog_raises(catalog):
    await catalog.add("orders", ORDERS)
    with pytest.raises(Conflict, match=r"change info\.version"):
        await catalog.add("orders", ORDERS + "# changed\n")
    assert (await catalog.register("orders", ORDERS + "# changed\n", replace=True)).outcome == "replaced"
    with pytest.raises(InvalidSpec) as raised:
        await catalog.add("orders", "asyncapi: 2.6.0")
    assert raised.value.problems[0].code == "missing-property"
    with pytest.raises(InvalidSpec):
        await catalog.add("a/b", ORDERS)
    with pytest.raises(InvalidSpec):
        await catalog.add("orders", "half: \ud800")
    with pytest.raises(NotFound, match="did you mean 'createOrder'"):
        await catalog.resolve("orders#creatOrder")
    with pytest.raises(NotFound):
        await catalog.get("nothing")
    with pytest.raises(NotFound):
        await catalog.remove("nothing")
    with pytest.raises(InvalidReference):
        await catalog.resolve("orders")


async def test_the_client_reads_every_page_of_operations(catalog):
    channels = "".join(f"  c{n}: {{publish: {{operationId: o{n}}}}}\n" for n in range(450))
    await catalog.add("many", f"asyncapi: 2.6.0\ninfo: {{title: many, version: '1'}}\nchannels:\n{channels}")
    operations = await catalog.operations()
    assert [operation.id for operation in operations] == [f"o{n}" for n in range(450)]


async def test_names_and_operations_may_have_characters_that_urls_quote(catalog):
    text = "asyncapi: 3.0.0\ninfo: {title: t, version: 1.0.0+b}\nchannels: {c: {}}\noperations:\n"
    text += "  'a/b c?é': {action: send, channel: {$ref: '#/channels/c'}}\n"
    await catalog.add("Bestellungen & Ämter", text)
    operation = await catalog.operation("Bestellungen & Ämter", "a/b c?é", "1.0.0+b")
    assert operation.id == "a/b c?é"
    assert (await catalog.resolve("catalog://Bestellungen%20&%20Ämter#a/b%20c%3Fé")) == operation


async def test_a_server_that_is_not_there_is_named():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with HttpCatalog(f"http://127.0.0.1:{port}") as catalog:
        with pytest.raises(Unavailable, match=f"http://127.0.0.1:{port} cannot be reached"):
            await catalog.list()


async def test_a_server_that_does_not_answer_is_given_up():
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        async with HttpCatalog(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2) as catalog:
            with pytest.raises(Unavailable, match="did not answer in time"):
                await catalog.list()


@pytest.mark.parametrize(
    ("status", "content"), [(200, b"<html>"), (404, b"<html>"), (302, b""), (500, b'{"detail": 1}')]
)
async def test_a_server_that_is_no_catalog_is_told_from_one(status, content):
    async def app(scope, receive, send):
        headers = [(b"content-length", str(len(content)).encode()), (b"location", b"/elsewhere")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async with Served(app) as url, HttpCatalog(url) as catalog:
        with pytest.raises(Unavailable, match="is not a catalog"):
            await catalog.list()


async def test_with_a_token_every_call_must_carry_it():
    async with Served(create_app(Catalog(MemoryStore()), token="secret")) as url:
        for wrong in (None, "Secret", "secret2"):
            async with HttpCatalog(url, wrong) as catalog:
                with pytest.raises(Denied):
                    await catalog.list()
                with pytest.raises(Denied):
                    await catalog.add("orders", ORDERS)
        async with HttpCatalog(url, "secret") as catalog:
            await catalog.add("orders", ORDERS)
            assert len(await catalog.list()) == 1
        async with aiohttp.ClientSession() as session, session.get(f"{url}/v1/catalog/specs") as response:
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert json.loads(await response.text())["title"] == "Unauthorized"


async def test_a_server_that_guards_its_catalog_is_understood_too():
    from tests.api.server import api

    async with api(token="secret") as server:
        async with HttpCatalog(server.url) as catalog:
            with pytest.raises(Denied, match="wants its token"):
                await catalog.list()
        async with HttpCatalog(server.url, "secret") as catalog:
            assert await catalog.list() == []


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://x", "http://"])
def test_a_url_that_is_not_http_is_refused(url):
    with pytest.raises(ValueError, match="is not an http or https URL"):
        HttpCatalog(url)
