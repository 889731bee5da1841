"""Forms, files and keys of OpenAPI operations: how they are written, and what a refusal says of security."""

from __future__ import annotations

import base64
import json

import pytest

from tests.calls.faults import fault_of
from tests.calls.openapi_documents import P, arguments, openapi, swagger
from workflow_engine.calls import CALLERS

call = CALLERS["openapi"]
FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


def form(media_type: str, encoding: dict | None = None, **properties):
    content = {media_type: {"schema": {"properties": properties}, "encoding": encoding or {}}}
    return openapi("/x", "post", requestBody={"content": content})


@pytest.mark.parametrize(
    ("encoding", "value", "sent"),
    [
        ({}, ["a", "b"], "p=a&p=b"),
        ({}, {"r": 1}, "p=%7B%22r%22%3A1%7D"),
        ({"explode": False}, ["a", "b"], "p=a%2Cb"),
        ({"style": "form"}, {"r": 1, "g": 2}, "r=1&g=2"),
        ({"style": "pipeDelimited"}, ["a", "b"], "p=a%7Cb"),
        ({"style": "spaceDelimited"}, ["a", "b"], "p=a+b"),
        ({"style": "deepObject"}, {"r": 1, "g": [2, 3]}, "p%5Br%5D=1&p%5Bg%5D=2&p%5Bg%5D=3"),
        ({"style": "form", "explode": False}, {"r": 1}, "p=r%2C1"),
    ],
)
async def test_a58_the_members_of_a_form_are_written_in_their_style(
    pinned, bin_server, encoding, value, sent
):
    await call(arguments("op", p=value), pinned(form(FORM, {"p": encoding}, p={})))
    assert bin_server.last.body.decode() == sent


@pytest.mark.parametrize(
    ("written", "sent"),
    [({}, "p=a%2Cb"), ({"collectionFormat": "multi"}, "p=a&p=b"), ({"collectionFormat": "pipes"}, "p=a%7Cb")],
)
async def test_a58_arrays_in_a_form_of_swagger_2_have_a_collection_format(pinned, bin_server, written, sent):
    parameter = P | {"in": "formData", "type": "array"} | written
    await call(arguments("op", p=["a", "b"]), pinned(swagger("/x", "post", parameters=[parameter])))
    assert bin_server.last.body.decode() == sent


async def test_the_parts_of_a_multipart_form_have_the_types_that_the_document_says(pinned, bin_server):
    document = form(
        MULTIPART,
        {"photo": {"contentType": "image/png, image/jpeg"}, "note": {"contentType": "text/markdown"}},
        photo={"type": "string", "format": "binary"},
        note={},
        meta={},
    )
    given = {"photo": base64.b64encode(b"\x89PNG").decode(), "note": "*hi*", "meta": {"a": 1}, "plain": "x"}
    await call(arguments("op", **given), pinned(document))
    parts = bin_server.last.body.decode(errors="replace").split("--")
    assert any('name="photo"; filename="photo"\r\nContent-Type: image/png' in part for part in parts)
    assert any('name="note"\r\nContent-Type: text/markdown\r\n\r\n*hi*' in part for part in parts)
    assert any('name="meta"\r\nContent-Type: application/json\r\n\r\n{"a":1}' in part for part in parts)
    assert any('name="plain"\r\n\r\nx' in part for part in parts)


async def test_text_and_bytes_are_bodies(pinned, bin_server):
    for media_type, given, sent in (
        ("text/plain", "hello", b"hello"),
        ("application/xml", "<a/>", b"<a/>"),
        ("application/octet-stream", base64.b64encode(b"\0\1").decode(), b"\0\1"),
    ):
        document = openapi("/x", "post", requestBody={"content": {media_type: {}}})
        await call(arguments("op", body=given), pinned(document))
        assert bin_server.last.body == sent
        assert bin_server.last.headers["Content-Type"] == media_type


async def test_headers_that_openapi_3_has_ignored_are_never_missing(pinned, bin_server):
    parameters = [
        {"name": name, "in": "header", "required": True}
        for name in ("Authorization", "Accept", "Content-Type")
    ]
    await call(arguments("op"), pinned(openapi(parameters=parameters)))
    assert "Authorization" not in bin_server.last.headers


KEYS = {
    "components": {
        "securitySchemes": {
            "inHeader": {"type": "apiKey", "name": "X-Key", "in": "header"},
            "inQuery": {"type": "apiKey", "name": "key", "in": "query"},
            "inCookie": {"type": "apiKey", "name": "sid", "in": "cookie"},
            "token": {"type": "http", "scheme": "bearer"},
        }
    },
    "security": [{"inHeader": []}, {"inQuery": [], "inCookie": []}, {"token": []}],
}


async def test_a_key_that_the_security_of_the_document_asks_for_is_a_parameter(pinned, bin_server):
    given = {"X-Key": "one", "key": "two", "sid": "three"}
    await call(arguments("op", **given), pinned(openapi() | KEYS))
    assert bin_server.last.headers["X-Key"] == "one"
    assert bin_server.last.target.endswith("?key=two")
    assert bin_server.last.headers["Cookie"] == "sid=three"
    await call(arguments("op"), pinned(openapi() | KEYS))  # it is never required: another scheme may do


async def test_a_member_of_the_body_is_no_key(pinned, bin_server):
    document = form("application/json", key={"type": "string"}) | KEYS
    await call(arguments("op", key="mine"), pinned(document))
    assert bin_server.last.target == "/anything/x"
    assert json.loads(bin_server.last.body) == {"key": "mine"}


async def test_a_refused_call_without_authentication_says_what_the_document_asks_for(pinned, bin_server):
    document = openapi("/../status/401") | KEYS | {"servers": [{"url": f"{bin_server.url}/status"}]}
    document["paths"] = {"/401": document["paths"]["/../status/401"]}
    detail = await fault_of(call(arguments("op"), pinned(document)), "communication", 401)
    assert (
        "the document asks for inHeader (apiKey), inQuery (apiKey), inCookie (apiKey), token (http)" in detail
    )
    policy = {"authentication": {"bearer": {"token": "t"}}}
    detail = await fault_of(call(arguments("op") | policy, pinned(document)), "communication", 401)
    assert "asks for" not in detail


async def test_an_operation_without_security_asks_for_none(pinned, bin_server):
    document = openapi(security=[]) | KEYS | {"servers": [{"url": f"{bin_server.url}/status"}]}
    document["paths"] = {"/401": document["paths"]["/x"]}
    assert "asks for" not in await fault_of(call(arguments("op"), pinned(document)), "communication", 401)


async def test_server_variables_have_their_defaults_and_paths_their_own_servers(pinned, bin_server):
    host, _, port = bin_server.address.partition(":")
    servers = [
        {
            "url": "http://{host}:{port}/{base}",
            "variables": {
                "host": {"default": host},
                "port": {"default": port},
                "base": {"default": "anything"},
            },
        }
    ]
    for document in (openapi() | {"servers": servers}, openapi(servers=servers)):
        await call(arguments("op"), pinned(json.loads(json.dumps(document))))
        assert bin_server.last.target == "/anything/x"
    document = openapi()
    document["paths"]["/x"]["servers"] = servers
    await call(arguments("op"), pinned(document))
    assert bin_server.last.target == "/anything/x"


COLORS = ["blue", "black", "brown"]
RGB = {"R": 100, "G": 200, "B": 150}
EXAMPLES = [
    ("path", "matrix", False, ";color", ";color=blue", ";color=blue,black,brown", ";color=R,100,G,200,B,150"),
    ("path", "matrix", True, ";color", ";color=blue", ";color=blue;color=black;color=brown", ";R=100;G=200;B=150"),
    ("path", "label", False, None, ".blue", ".blue,black,brown", ".R,100,G,200,B,150"),
    ("path", "label", True, None, ".blue", ".blue.black.brown", ".R=100.G=200.B=150"),
    ("path", "simple", False, None, "blue", "blue,black,brown", "R,100,G,200,B,150"),
    ("path", "simple", True, None, "blue", "blue,black,brown", "R=100,G=200,B=150"),
    ("query", "form", False, "color=", "color=blue", "color=blue,black,brown", "color=R,100,G,200,B,150"),
    ("query", "form", True, "color=", "color=blue", "color=blue&color=black&color=brown", "R=100&G=200&B=150"),
    ("query", "spaceDelimited", False, None, None, "color=blue%20black%20brown", "color=R%20100%20G%20200%20B%20150"),
    ("query", "pipeDelimited", False, None, None, "color=blue%7Cblack%7Cbrown", "color=R%7C100%7CG%7C200%7CB%7C150"),
    ("query", "deepObject", True, None, None, None, "color[R]=100&color[G]=200&color[B]=150"),
]  # fmt: skip
"""The style examples of OpenAPI 3.1.1: for an empty string, a string, an array and an object."""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example[1]}-{example[2]}")
async def test_a58_parameters_are_written_as_the_style_examples_of_openapi_are(pinned, bin_server, example):
    location, style, explode, *expected = example
    parameter = {"name": "color", "in": location, "required": True, "style": style, "explode": explode}
    document = openapi("/{color}" if location == "path" else "/x", parameters=[parameter])
    for value, sent in zip(("", "blue", COLORS, RGB), expected, strict=True):
        if sent is not None:
            await call(arguments("op", color=value), pinned(json.loads(json.dumps(document))))
            target = bin_server.last.target.removeprefix("/anything/")
            assert target == (sent if location == "path" else f"x?{sent}")


async def test_a58_headers_and_cookies_have_the_styles_of_openapi_too(pinned, bin_server):
    for explode, header in ((False, "R,100,G,200,B,150"), (True, "R=100,G=200,B=150")):
        parameters = [
            {"name": "X-Color", "in": "header", "explode": explode},
            {"name": "X-Colors", "in": "header"},
            {"name": "color", "in": "cookie", "explode": False},
        ]
        given = {"X-Color": RGB, "X-Colors": COLORS, "color": COLORS}
        await call(arguments("op", **given), pinned(openapi(parameters=parameters)))
        assert bin_server.last.headers["X-Color"] == header
        assert bin_server.last.headers["X-Colors"] == "blue,black,brown"
        assert bin_server.last.headers["Cookie"] == "color=blue,black,brown"
