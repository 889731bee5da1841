from __future__ import annotations

import json

import pytest
import yaml
from aiohttp import web

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from tests.calls.openapi_documents import URI, P, arguments, openapi, swagger
from tests.standins.server import serve
from workflow_engine.calls import CALLERS

call = CALLERS["openapi"]


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ([{"url": "{base}/v3/"}], "/v3/x"),
        ([{"url": "{base}/{v}", "variables": {"v": {"default": "v9"}}}], "/v9/x"),
        ([{"url": "ws://nowhere/"}, {"url": "{base}"}], "/x"),
    ],
)
async def test_the_first_http_server_is_called(pinned, bin_server, servers, expected):
    document = openapi()
    document["servers"] = json.loads(json.dumps(servers).replace("{base}", f"{bin_server.url}/anything"))
    await call(arguments("op"), pinned(document))
    assert bin_server.last.target == f"/anything{expected}"


async def test_servers_of_the_operation_win_over_those_of_path_and_document(pinned, bin_server):
    document = openapi(servers=[{"url": f"{bin_server.url}/anything/operation"}])
    document["paths"]["/x"]["servers"] = [{"url": f"{bin_server.url}/anything/path"}]
    await call(arguments("op"), pinned(document))
    assert bin_server.last.target == "/anything/operation/x"
    del document["paths"]["/x"]["get"]["servers"]
    await call(arguments("op"), pinned(document))
    assert bin_server.last.target == "/anything/path/x"


async def serve_document(text: str, *, status: int = 200, path: str = "/api/openapi.yaml"):
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=text, status=status)

    async def ping(request: web.Request) -> web.Response:
        return web.json_response(request.raw_path)

    app = web.Application()
    app.router.add_get(path, answer)
    app.router.add_get("/{rest:.*}", ping)
    return app


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "/x"),
        ({"servers": [{"url": "/v1"}]}, "/v1/x"),
        ({"servers": [{"url": "v1"}]}, "/api/v1/x"),
        ({"servers": [{"url": "../v1"}]}, "/v1/x"),
    ],
)
async def test_a_fetched_document_may_name_its_server_relative_to_itself(context, more, expected):
    text = yaml.safe_dump(openapi() | more)
    async with serve(await serve_document(text)) as server:
        assert await call(arguments("op", f"{server.url}/api/openapi.yaml"), context) == expected


async def test_a_fetched_swagger_document_without_a_host_means_its_own(context):
    text = yaml.safe_dump(swagger() | {"basePath": "/v2"})
    async with serve(await serve_document(text)) as server:
        assert await call(arguments("op", f"{server.url}/api/openapi.yaml"), context) == "/v2/x"


async def test_a_fetched_document_is_remembered_for_a_while(context):
    async with serve(await serve_document(json.dumps(openapi()))) as server:
        for _ in range(3):
            await call(arguments("op", f"{server.url}/api/openapi.yaml"), context)
        assert [request.target for request in server.requests].count("/api/openapi.yaml") == 1


async def test_authentication_of_the_document_is_used_to_fetch_it(context):
    async with serve(await serve_document(json.dumps(openapi()))) as server:
        endpoint = {"uri": f"{server.url}/api/openapi.yaml", "authentication": {"bearer": {"token": "t"}}}
        await call(arguments("op", endpoint), context)
        fetch, operation = server.requests
    assert fetch.headers["Authorization"] == "Bearer t"
    assert "Authorization" not in operation.headers


async def test_a_document_that_cannot_be_fetched_is_a_communication_fault(context):
    async with serve(await serve_document("", status=404)) as server:
        uri = f"{server.url}/api/openapi.yaml"
        assert uri in await fault_of(call(arguments("op", uri), context), "communication", 404)


async def test_a_document_larger_than_4_mib_is_refused(context):
    async with serve(await serve_document(" " * (4 * 1024 * 1024 + 1))) as server:
        detail = await fault_of(
            call(arguments("op", f"{server.url}/api/openapi.yaml"), context), "communication"
        )
    assert "4194304 bytes" in detail


async def test_a_document_from_a_refused_address_is_not_fetched(context):
    await fault_of(
        call(arguments("op", "http://169.254.169.254/openapi.json"), context), "authorization", 403
    )


async def test_an_operation_on_a_refused_address_is_not_called(pinned):
    document = openapi() | {"servers": [{"url": "http://169.254.169.254/latest"}]}
    await fault_of(call(arguments("op"), pinned(document)), "authorization", 403)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "it is empty"),
        ("{", "it is not JSON: line 1"),
        ("a: [", "cannot be read"),
        ("[1]", "not an object"),
        ("{}", "no member"),
        ("openapi: 4.0.0", "'4.0.0'"),
        ("openapi: 3.2.0", "OpenAPI 3.0 and 3.1 are supported"),
        ("openapi: 3.0.0\npaths: []", "'paths' is not an object"),
        (openapi(parameters=[{"$ref": "#/nowhere"}]), "refers to nothing"),
        (openapi(parameters=[{"$ref": "other.yaml#/x"}]), "another document"),
        (openapi(parameters=[{"in": "query"}]), "without a name"),
        (openapi(parameters=[{"name": "p", "in": "moon"}]), "'moon'"),
        (openapi(parameters=[{"name": "p", "in": "path", "style": "form"}]), "style 'form'"),
        (openapi(parameters={}), "not an array"),
        (openapi(servers=[{"url": "http://{x}/"}]), "variable without a default"),
        (openapi("/{undeclared}"), "does not declare"),
        (openapi() | {"a": {"$ref": "#/a"}, "paths": {"/x": {"$ref": "#/a"}}}, "circle"),
        (openapi() | {"servers": [{"url": "ws://h/"}]}, "no http server"),
        (swagger() | {"schemes": ["ws"]}, "http or https is needed"),
        (swagger(parameters=[P | {"in": "query", "collectionFormat": "x"}]), "collectionFormat"),
    ],
)
async def test_a_document_that_cannot_be_used_is_a_configuration_fault_that_says_why(pinned, document, words):
    detail = await fault_of(call(arguments("op"), pinned(document)), "configuration", 400)
    assert words in detail
    assert URI in detail or "path" in detail


async def test_yaml_is_read_with_numbers_as_keys(pinned, bin_server):
    text = yaml.safe_dump(openapi(responses={200: {"content": {"text/csv": {}}}})).replace("'200'", "200")
    text += f"servers: [{{url: '{bin_server.url}/anything'}}]\n"
    await call(arguments("op"), pinned(text))
    assert bin_server.last.headers["Accept"] == "text/csv"


async def test_fetching_and_calling_share_one_time_limit(egress, bin_server):
    context = make_context(egress, timeout=0.05)
    uri = f"{bin_server.url}/delay/9"
    assert "0.05 seconds" in await fault_of(call(arguments("op", uri), context), "communication", 500)
