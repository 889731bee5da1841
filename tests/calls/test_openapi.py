from __future__ import annotations

import json

import pytest

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from tests.calls.openapi_documents import P, arguments, openapi, swagger
from tests.standins import petstore
from workflow_engine.calls import CALLERS, Egress

call = CALLERS["openapi"]


async def test_the_conformance_features_run_on_their_own_host_on_loopback(internet):
    async with Egress(**internet.egress) as egress:
        context = make_context(egress)
        uri = "https://petstore.swagger.io/v2/swagger.json"
        found = await call(arguments("findPetsByStatus", uri, status="available"), context)
        assert [pet["id"] for pet in found] == [1, 3]
        answer = await call({**arguments("getPetById", uri, petId=1), "output": "response"}, context)
        assert answer["content"]["name"] == "doggie"
        assert answer["request"]["uri"] == "https://petstore.swagger.io/v2/pet/1"
        fetched = [
            request for request in internet.petstore.requests if request.target.endswith("swagger.json")
        ]
        assert len(fetched) == 1


async def test_a58_array_parameters_take_arrays_and_scalars(internet):
    async with Egress(**internet.egress) as egress:
        uri = "https://petstore.swagger.io/v2/swagger.json"
        await call(arguments("findPetsByStatus", uri, status=["available", "sold"]), make_context(egress))
        assert internet.petstore.last.target == "/v2/pet/findByStatus?status=available&status=sold"


async def test_a58_unmatched_parameters_or_body_form_the_body(internet):
    async with Egress(**internet.egress) as egress:
        context = make_context(egress)
        uri = "https://petstore.swagger.io/v2/swagger.json"
        pet = {"id": 9, "name": "rex", "photoUrls": []}
        assert await call(arguments("addPet", uri, body=pet), context) == pet
        assert await call(arguments("addPet", uri, **pet), context) == pet
        answer = await call(arguments("updatePetWithForm", uri, petId=2, name="x y", status="sold"), context)
        assert answer == {"id": 2, "name": "x y", "status": "sold"}


async def test_an_operation_that_does_not_exist_is_a_fault_that_names_a_near_one(pinned):
    context = pinned(petstore.SWAGGER)
    detail = await fault_of(call(arguments("findPetByStatus"), context), "configuration", 400)
    assert "did you mean 'findPetsByStatus'?" in detail
    detail = await fault_of(call(arguments("zzz"), context), "configuration", 400)
    assert "there is addPet" in detail


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "needs parameter 'petId' (path)"),
        ({"petId": None}, "needs parameter 'petId' (path)"),
        ({"petId": ""}, "must not be empty"),
        ({"petId": ".."}, "'..'"),
        ({"petId": 1, "petIdd": 2}, "no parameter 'petIdd'; did you mean 'petId'?"),
        ({"petId": [{}]}, "an object"),
    ],
)
async def test_wrong_parameters_are_validation_faults(pinned, parameters, words):
    detail = await fault_of(
        call(arguments("getPetById", **parameters), pinned(petstore.SWAGGER)), "validation", 400
    )
    assert words in detail


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"operationId": None}, "operationId"),
        ({"document": None}, "endpoint"),
        ({"document": "x"}, "object"),
        ({"document": {"endpoint": "file:///other.yaml"}}, "neither in the bundle nor on the web"),
        ({"parameters": [1]}, "object"),
        ({"output": "x"}, "content, raw, response"),
        ({"paramters": {}}, "'paramters'"),
    ],
)
async def test_wrong_arguments_are_configuration_faults(pinned, wrong, words):
    detail = await fault_of(call({**arguments("op"), **wrong}, pinned(openapi())), "configuration", 400)
    assert words in detail


@pytest.mark.parametrize(
    ("parameter", "value", "target"),
    [
        ({"in": "path"}, [3, 4, 5], "/anything/3,4,5"),
        ({"in": "path"}, {"r": 100, "g": 200}, "/anything/r,100,g,200"),
        ({"in": "path", "explode": True}, {"r": 100, "g": 200}, "/anything/r=100,g=200"),
        ({"in": "path"}, "a/b c", "/anything/a%2Fb%20c"),
        ({"in": "path", "style": "label"}, [3, 4], "/anything/.3,4"),
        ({"in": "path", "style": "label", "explode": True}, [3, 4], "/anything/.3.4"),
        ({"in": "path", "style": "label", "explode": True}, {"r": 1, "g": 2}, "/anything/.r=1.g=2"),
        ({"in": "path", "style": "matrix"}, 5, "/anything/;p=5"),
        ({"in": "path", "style": "matrix"}, [3, 4], "/anything/;p=3,4"),
        ({"in": "path", "style": "matrix", "explode": True}, [3, 4], "/anything/;p=3;p=4"),
        ({"in": "path", "style": "matrix", "explode": True}, {"r": 1, "g": 2}, "/anything/;r=1;g=2"),
        ({"in": "query"}, "a&b=c", "/anything/x?p=a%26b%3Dc"),
        ({"in": "query"}, True, "/anything/x?p=true"),
        ({"in": "query"}, ["a,b", "c"], "/anything/x?p=a%2Cb&p=c"),
        ({"in": "query"}, [], "/anything/x"),
        ({"in": "query", "explode": False}, ["a,b", "c"], "/anything/x?p=a%2Cb,c"),
        ({"in": "query"}, {"r": 1, "g": 2}, "/anything/x?r=1&g=2"),
        ({"in": "query", "explode": False}, {"r": 1, "g": 2}, "/anything/x?p=r,1,g,2"),
        ({"in": "query", "style": "spaceDelimited"}, ["a", "b"], "/anything/x?p=a%20b"),
        ({"in": "query", "style": "pipeDelimited"}, ["a", "b"], "/anything/x?p=a%7Cb"),
        (
            {"in": "query", "style": "deepObject", "explode": True},
            {"r": 1, "g": [2, 3]},
            "/anything/x?p[r]=1&p[g]=2&p[g]=3",
        ),
        ({"in": "query", "allowReserved": True}, "a/b:c&d", "/anything/x?p=a/b:c%26d"),
        (
            {"in": "query", "content": {"application/json": {}}},
            {"a": [1]},
            "/anything/x?p=%7B%22a%22%3A%5B1%5D%7D",
        ),
    ],
)
async def test_openapi_3_parameters_are_written_in_their_style(pinned, bin_server, parameter, value, target):
    path = "/{p}" if parameter["in"] == "path" else "/x"
    await call(arguments("op", p=value), pinned(openapi(path, parameters=[P | parameter])))
    assert bin_server.last.target == target


@pytest.mark.parametrize(
    ("form", "target"),
    [
        (None, "/anything/x?p=a,b"),
        ("csv", "/anything/x?p=a,b"),
        ("ssv", "/anything/x?p=a%20b"),
        ("tsv", "/anything/x?p=a%09b"),
        ("pipes", "/anything/x?p=a%7Cb"),
        ("multi", "/anything/x?p=a&p=b"),
    ],
)
async def test_swagger_2_arrays_are_written_in_their_collection_format(pinned, bin_server, form, target):
    parameter = P | {"in": "query", "type": "array"} | ({"collectionFormat": form} if form else {})
    await call(arguments("op", p=["a", "b"]), pinned(swagger(parameters=[parameter])))
    assert bin_server.last.target == target


async def test_parameters_go_to_headers_and_cookies(pinned, bin_server):
    parameters = [
        {"name": "X-Ids", "in": "header"},
        {"name": "session", "in": "cookie"},
        {"name": "flags", "in": "cookie", "explode": False},
        {"name": "absent", "in": "header"},
    ]
    await call(
        arguments("op", **{"X-Ids": [1, 2], "session": "a b", "flags": ["x", "y"]}),
        pinned(openapi(parameters=parameters)),
    )
    headers = bin_server.last.headers
    assert (headers["X-Ids"], headers["Cookie"]) == ("1,2", "session=a%20b; flags=x,y")
    assert "absent" not in headers


async def test_a58_a_name_that_is_declared_in_several_places_goes_to_all_of_them(pinned, bin_server):
    parameters = [P | {"in": "path"}, P | {"in": "query"}, P | {"in": "header"}]
    await call(arguments("op", p=7), pinned(openapi("/{p}", parameters=parameters)))
    assert bin_server.last.target == "/anything/7?p=7"
    assert bin_server.last.headers["p"] == "7"


async def test_parameters_of_the_path_are_merged_with_those_of_the_operation(pinned, bin_server):
    document = openapi("/{p}", parameters=[{"name": "q", "in": "query", "explode": False}])
    document["paths"]["/{p}"]["parameters"] = [
        {"$ref": "#/components/parameters/P"},
        {"name": "q", "in": "query", "required": True},
    ]
    document["components"] = {
        "parameters": {"P": {"$ref": "#/components/parameters/Q"}, "Q": P | {"in": "path"}}
    }
    await call(arguments("op", p=1, q=[1, 2]), pinned(document))
    assert bin_server.last.target == "/anything/1?q=1,2"


async def test_a_header_parameter_cannot_smuggle_a_header(pinned):
    document = openapi(parameters=[{"name": "X", "in": "header"}])
    await fault_of(call(arguments("op", X="a\r\nY: b"), pinned(document)), "validation", 400)


PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "body": {"type": "number"}}}


def with_body(content_type: str = "application/json", schema=None, **more):
    return openapi(method="post", requestBody={"content": {content_type: {"schema": schema or {}}}, **more})


async def test_the_parameter_body_is_the_whole_body(pinned, bin_server):
    for value in ([1, 2], "text", 0, {"a": None}):
        await call(arguments("op", body=value), pinned(with_body()))
        assert json.loads(bin_server.last.body) == value


async def test_body_is_an_ordinary_member_where_the_schema_declares_it(pinned, bin_server):
    await call(arguments("op", name="n", body=1), pinned(with_body(schema=PERSON)))
    assert json.loads(bin_server.last.body) == {"name": "n", "body": 1}


async def test_members_of_a_composed_schema_are_found(pinned, bin_server):
    document = with_body(schema={"allOf": [{"$ref": "#/components/schemas/Person"}]})
    document["components"] = {"schemas": {"Person": PERSON}}
    await call(arguments("op", body=1), pinned(document))
    assert json.loads(bin_server.last.body) == {"body": 1}


async def test_a_closed_schema_refuses_what_it_does_not_declare(pinned):
    document = with_body(schema=PERSON | {"additionalProperties": False})
    detail = await fault_of(call(arguments("op", nam="x"), pinned(document)), "validation", 400)
    assert "did you mean 'name'?" in detail


async def test_a_required_body_that_is_missing_is_a_validation_fault(pinned, bin_server):
    detail = await fault_of(call(arguments("op"), pinned(with_body(required=True))), "validation", 400)
    assert "needs a body" in detail
    await call(arguments("op"), pinned(with_body()))
    assert bin_server.last.body == b""


async def test_an_operation_without_a_body_refuses_parameters_it_does_not_declare(pinned):
    detail = await fault_of(call(arguments("op", body={}), pinned(openapi())), "validation", 400)
    assert "no parameter 'body'" in detail


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (["application/xml", "application/json"], "application/json"),
        (["text/plain", "application/vnd.api+json"], "application/vnd.api+json"),
        (["*/*"], "application/json"),
        (["application/x-www-form-urlencoded", "text/plain"], "application/x-www-form-urlencoded"),
    ],
)
async def test_the_body_is_sent_in_the_type_that_fits_best(pinned, bin_server, content, sent):
    document = openapi(method="post", requestBody={"content": {name: {} for name in content}})
    await call(arguments("op", a=1), pinned(document))
    assert bin_server.last.headers["Content-Type"] == sent


async def test_a_file_of_a_multipart_form_is_given_as_base64(pinned, bin_server):
    schema = {"type": "object", "properties": {"photo": {"type": "string", "format": "binary"}}}
    context = pinned(with_body("multipart/form-data", schema))
    await call(arguments("op", photo="AP8=", note="n"), context)
    assert b'name="photo"; filename="photo"\r\n' in bin_server.last.body
    assert b"\r\n\r\n\x00\xff\r\n" in bin_server.last.body
    detail = await fault_of(call(arguments("op", photo="?"), context), "validation", 400)
    assert "'photo' must be base64" in detail


async def test_a_form_of_swagger_2_needs_its_required_members(pinned):
    parameters = [{"name": "a", "in": "formData", "required": True}, {"name": "b", "in": "formData"}]
    context = pinned(swagger(method="post", parameters=parameters))
    assert "form parameter 'a'" in await fault_of(call(arguments("op", b=1), context), "validation", 400)
    assert "'c'" in await fault_of(call(arguments("op", a=1, c=1), context), "validation", 400)
    assert (await call(arguments("op", a=1), context))["form"] == {"a": "1"}


async def test_the_call_accepts_what_the_operation_answers_with(pinned, bin_server):
    responses = {
        "200": {"content": {"text/csv": {}, "application/json": {}}},
        "404": {"content": {"a/b": {}}},
    }
    await call(arguments("op"), pinned(openapi(responses=responses)))
    assert bin_server.last.headers["Accept"] == "application/json, text/csv"
    await call(arguments("op"), pinned(swagger(produces=["application/xml", "application/json"])))
    assert bin_server.last.headers["Accept"] == "application/json, application/xml"


async def test_authentication_and_errors_are_those_of_http(pinned, bin_server):
    document = openapi("/bearer")
    document["servers"] = [{"url": bin_server.url}]
    context = pinned(document)
    assert "401" in await fault_of(call(arguments("op"), context), "communication", 401)
    policy = {"authentication": {"bearer": {"token": "t"}}}
    assert (await call({**arguments("op"), **policy}, context))["token"] == "t"
