"""What must not hurt: each is refused by a 4xx that names the place, nothing is stored, the server lives on."""

from __future__ import annotations

import asyncio
import gzip
import json
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.documents import GREET, WAIT
from tests.api.server import Api, api

YAML = {"Content-Type": "application/yaml"}
JSON = {"Content-Type": "application/json"}
PACKAGE = {"Content-Type": "application/vnd.wfe.package+json"}
MIB = 2**20

BILLION_LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)

DOCUMENTS = {
    "empty": b"",
    "blank": b" \n\n",
    "not a mapping": b"- 1\n- 2\n",
    "a scalar": b"hello",
    "broken YAML": b"do:\n  - a: [1, 2\n  b",
    "a tab": b"do:\n\t- a: 1\n",
    "a tag": b"do: !!python/object/apply:os.system ['true']\n",
    "an alias to nowhere": b"do: *nowhere\n",
    "an alias to itself": b"do: &a [*a]\n",
    "exploding aliases": BILLION_LAUGHS.encode(),
    "deep brackets": b"do: " + b"[" * 5000,
    "deep blocks": "".join(f"{' ' * depth}a:\n" for depth in range(800)).encode(),
    "deep JSON": b'{"a":' * 5000,
    "several documents": b"a: 1\n---\nb: 2\n",
    "duplicate keys": b"do: []\ndo: []\n",
    "NUL": b"do: \x00\n",
    "no DSL": b"a: 1\n",
    "both DSLs": b"document: {}\nspecVersion: '0.8'\n",
    "another DSL": GREET.replace("dsl: '1.0.0'", "dsl: '7.0.0'").encode(),
    "an unknown task": GREET.replace("set:", "explode:").encode(),
    "a bad expression": GREET.replace('"Hello, "', '"Hello, " ||| ').encode(),
    "an endless number": b"a: " + b"9" * 100_000 + b"\n",
    "an endless key": b"a" * 100_000 + b": 1\n",
}


async def assert_unharmed(server: Api) -> None:
    assert (await server.get("/v1/workflows")).json == {"workflows": [], "cursor": None}
    assert (await server.get("/v1/runs")).json["runs"] == []
    assert (await server.get("/v1/events")).json["events"] == []
    assert (await server.get("/livez")).status == 200


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
async def test_a_bad_document_is_refused_with_the_place(server, document):
    refused = await server.post("/v1/workflows", data=document, headers=YAML)
    assert refused.status == 400
    assert refused.json["type"] == "urn:wfe:problem:invalid-document"
    errors = [problem for problem in refused.json["problems"] if problem["severity"] == "error"]
    assert errors
    assert all(problem["line"] >= 1 and problem["message"] for problem in errors)
    validated = await server.post("/v1/workflows/validate", data=document, headers=YAML)
    assert validated.json["problems"] == refused.json["problems"]
    once = await server.post("/v1/runs", json={"document": document.decode()})
    assert once.status == 400
    await assert_unharmed(server)


async def test_a_document_that_is_not_utf_8_is_refused_with_the_place(server):
    refused = await server.post("/v1/workflows", data=b"do:\n  - \xff\n", headers=YAML)
    assert (refused.status, refused.json["type"]) == (400, "urn:wfe:problem:not-utf-8")
    assert "line 2, byte 5" in refused.json["detail"]
    utf_16 = await server.post("/v1/workflows", data=GREET.encode("utf-16"), headers=YAML)
    assert utf_16.status == 400
    await assert_unharmed(server)


@pytest.mark.parametrize(
    ("path", "size", "headers"),
    [
        ("/v1/workflows", MIB + 1, YAML),
        ("/v1/workflows/validate", MIB + 1, YAML),
        ("/v1/workflows", 8 * MIB + 1, PACKAGE),
        ("/v1/runs", 8 * MIB + 1, JSON),
        ("/v1/events", 8 * MIB + 1, {"Content-Type": "application/cloudevents+json"}),
        ("/v1/subscriptions/test", 2 * MIB + 1, JSON),
        ("/v1/catalog/operations/a/b/validate", 40 * MIB, JSON),
    ],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_a_body_that_is_too_large_is_refused(server, path, size, headers, chunked):
    async def pieces():
        for _ in range(0, size, 65536):
            yield b" " * 65536

    refused = await server.post(path, data=pieces() if chunked else b" " * size, headers=headers)
    assert refused.status == 413
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert "bytes" in refused.json["detail"]
    await assert_unharmed(server)


async def test_a_document_in_a_package_is_as_bounded_as_one_alone(server):
    body = json.dumps({"document": "#" * (MIB + 1)}).encode()
    refused = await server.post("/v1/workflows", data=body, headers=PACKAGE)
    assert (refused.status, refused.json["pointer"]) == (413, "/document")
    refused = await server.post("/v1/runs", data=body, headers=JSON)
    assert (refused.status, refused.json["pointer"]) == (413, "/document")
    await assert_unharmed(server)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "/document"),
        ({"document": None}, "/document"),
        ({"document": GREET, "name": 7}, "/name"),
        ({"document": GREET, "resources": "x"}, "/resources"),
        ({"document": GREET, "extra": 1}, "/extra"),
        ([], None),
        ("x", None),
    ],
)
async def test_a_package_is_refused_at_the_wrong_member(server, body, place):
    refused = await server.post("/v1/workflows", data=json.dumps(body).encode(), headers=PACKAGE)
    assert (refused.status, refused.json.get("pointer")) == (400, place)
    await assert_unharmed(server)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Type": "image/png"}, "unsupported-media-type"),
        ({"Content-Type": "multipart/form-data"}, "unsupported-media-type"),
        ({"Content-Type": "text/yaml; charset=latin-1"}, "unsupported-charset"),
        ({"Content-Type": "text/yaml", "Content-Encoding": "gzip"}, "unsupported-encoding"),
    ],
)
async def test_a_body_of_another_kind_is_refused(server, headers, code):
    refused = await server.post("/v1/workflows", data=gzip.compress(GREET.encode()), headers=headers)
    assert (refused.status, refused.json["type"]) == (415, f"urn:wfe:problem:{code}")
    await assert_unharmed(server)


async def test_what_curl_says_of_a_body_is_not_held_against_it(server):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    taken = await server.post("/v1/workflows", data=GREET.encode(), headers=headers)
    assert taken.status == 201


async def test_a_document_whose_line_breaks_curl_has_taken_out_is_told_so(server):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    refused = await server.post("/v1/workflows", data=GREET.replace("\n", "").encode(), headers=headers)
    assert (refused.status, refused.json["type"]) == (400, "urn:wfe:problem:no-line-breaks")
    assert "--data-binary" in refused.json["detail"]
    head = '{"document": {"dsl": "1.0.3", "namespace": "a", "name": "b", "version": "1.0.0"}'
    one_line = f'{head}, "do": [{{"c": {{"set": {{"d": 1}}}}}}]}}'.encode()
    assert (await server.post("/v1/workflows", data=one_line, headers=headers)).status == 201


@pytest.mark.parametrize(
    "path",
    ["/v1/runs/%00", "/v1/workflows/%00/x", "/v1/runs/" + "x" * 1001, "/v1/runs/%FF%FE", "/v1/runs/.."],
)
async def test_a_path_that_makes_no_sense_is_refused(server, path):
    answer = await raw(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404"))
    assert b"application/problem+json" in answer
    await assert_unharmed(server)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /v1/workflows HTTP/1.1\r\nHost: localhost\r\nContent-Length: ten\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/workflows HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_http_is_refused(server, request_):
    assert b" 400 " in (await raw(server, request_)).partition(b"\r\n")[0]
    await assert_unharmed(server)


async def raw(server: Api, request: bytes) -> bytes:
    """The head and the body of the answer to bytes, up to when the server is silent or closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
    writer.write(request)
    answer = b""
    try:
        async with asyncio.timeout(5):
            while b"}" not in answer and (piece := await reader.read(65536)):
                answer += piece
    except (ConnectionError, TimeoutError):
        pass
    writer.close()
    return answer


async def test_a_caller_who_hangs_up_while_sending_or_waiting_leaves_nothing_behind(server):
    await server.deploy(WAIT)
    await server.post("/v1/workflows/tests/wait/latest/runs?id=w")
    for request in (
        b"POST /v1/workflows HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf",
        b"GET /v1/runs/w?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
        writer.write(request)
        while await in_flight(server) == 1:
            pass
        writer.close()
        while await in_flight(server) > 1:
            pass
    assert (await server.get("/v1/runs/w")).json["status"] == "waiting"


async def in_flight(server: Api) -> int:
    """How many requests are being answered, with the one that asks."""
    lines = (await server.get("/metrics")).body.decode().splitlines()
    return int(next(line for line in lines if line.startswith("wfe_http_requests_in_flight ")).split()[1])


# --- arbitrary input ------------------------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MEMBERS = [
    *(
        "document",
        "input",
        "resources",
        "name",
        "filter",
        "filters",
        "strategy",
        "event",
        "target",
        "channel",
    ),
    *("id", "run_id", "listen_id", "spec", "since", "retry", "start", "type", "enabled", "specversion"),
]
NAMED = st.dictionaries(
    st.sampled_from(MEMBERS),
    JSON_VALUES | st.dictionaries(st.sampled_from(["mode", "filters", "kind", "id"]), JSON_VALUES),
    max_size=5,
)
ENDPOINTS = st.sampled_from(
    [
        ("POST", "/v1/workflows"),
        ("POST", "/v1/workflows/validate"),
        ("POST", "/v1/runs"),
        ("POST", "/v1/events"),
        ("POST", "/v1/subscriptions/test"),
        ("PUT", "/v1/subscriptions/any"),
        ("POST", "/v1/subscriptions"),
        ("PUT", "/v1/listeners"),
        ("POST", "/v1/workflows/a/b/c/runs"),
        ("POST", "/v1/catalog/lint"),
        ("PUT", "/v1/catalog/specs/any"),
    ]
)
KINDS = st.sampled_from(
    [
        "application/json",
        "application/yaml",
        "text/plain",
        "application/vnd.wfe.package+json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "",
        "a/b; charset=utf-8",
    ]
)
BODIES = st.binary(max_size=200) | (JSON_VALUES | NAMED).map(lambda value: json.dumps(value).encode())


def test_no_body_whatever_makes_the_server_fail():
    with asyncio.Runner() as runner:
        running = api()
        server = runner.run(running.__aenter__())

        @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
        @given(endpoint=ENDPOINTS, kind=KINDS, body=BODIES)
        def any_body(endpoint, kind, body):
            answer = runner.run(server.call(*endpoint, data=body, headers={"Content-Type": kind}))
            assert answer.status < 500, answer.body
            if answer.status >= 400:
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert {"type", "title", "status", "detail"} <= answer.json.keys()

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            path=st.sampled_from(
                ["/v1/runs", "/v1/events", "/v1/bundles", "/v1/events/1/trace", "/v1/workflows/a/b/c/graph"]
            ),
            query=st.dictionaries(
                st.sampled_from(["limit", "cursor", "from", "to", "status", "name", "channel", "wait", "id"]),
                st.text(max_size=20) | st.integers().map(str),
            ),
        )
        def any_query(path, query):
            safe = {name: value.encode(errors="replace").decode() for name, value in query.items()}
            answer = runner.run(server.get(path, params=safe))
            assert answer.status < 500, answer.body

        any_body()
        any_query()
        runner.run(running.__aexit__(None, None, None))


async def test_a_parameter_that_there_is_not_is_refused_with_the_one_that_may_be_meant(server):
    await server.deploy(GREET)
    refused = await server.post("/v1/workflows/tests/greet/latest/runs?wiat=10")
    assert (refused.status, refused.json["type"]) == (400, "urn:wfe:problem:unknown-parameter")
    assert refused.json["detail"] == "there is no parameter 'wiat' here; did you mean 'wait'?"
    assert (await server.get("/v1/runs")).json["runs"] == []
    refused = await server.post("/v1/workflows/tests/greet/latest/runs?run_id=mine")
    assert (
        refused.json["detail"]
        == "there is no parameter 'run_id' here; those that there are: express, id, wait"
    )
    assert (
        (await server.get("/v1/channels/default?all=1"))
        .json["detail"]
        .endswith("nothing can be asked here by parameters")
    )
    assert (await server.get("/livez?from=a-probe")).status == 200
