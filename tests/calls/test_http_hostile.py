"""Servers that are broken or mean no good: every one of them ends in one clear fault."""

from __future__ import annotations

import gzip
import ssl
import zlib

import pytest
import trustme
from aiohttp import web

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from tests.standins import httpbin
from tests.standins.certificates import ca_file
from tests.standins.server import RawServer, serve
from workflow_engine.calls import CALLERS, Egress

call = CALLERS["http"]
MIB = 1024 * 1024


def get(uri: str, **more):
    return {"method": "get", "endpoint": uri, **more}


def answering(body: bytes, status: int = 200, **headers: str) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            body=body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    return app


async def content(context, body: bytes, content_type: str, **more):
    async with serve(answering(body, Content_Type=content_type)) as server:
        return await call(get(server.url, **more), context)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', "application/problem+json", {"a": 1}),
        ('{"a": "ä"}'.encode("latin-1"), "application/json; charset=latin-1", {"a": "ä"}),
        (b"", "application/json", None),
        (b"", "text/plain", None),
        (b"123", "text/plain", "123"),
        (b"\xe4", "text/plain; charset=latin-1", "ä"),
        (b"\xff\xfe", "text/plain", "��"),
        (b"<a/>", "application/xml", "<a/>"),
        (b"<a/>", "image/svg+xml", "<a/>"),
        (b"a: 1", "application/yaml; charset=utf-8", "a: 1"),
        (b"\x00\x01", "application/octet-stream", "AAE="),
        (b"{}", "APPLICATION/JSON", {}),
    ],
)
async def test_a52_content_is_read_by_its_media_type(context, body, content_type, expected):
    assert await content(context, body, content_type) == expected


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"\xff", "application/json"),
        (b"NaN", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"x", "text/plain; charset=nonsense"),
    ],
)
async def test_a52_a_body_that_is_not_what_its_type_says_is_a_communication_fault(
    context, body, content_type
):
    async with serve(answering(body, Content_Type=content_type)) as server:
        detail = await fault_of(call(get(server.url), context), "communication", 500)
        assert f"the body is not {content_type}" in detail
        assert await call(get(server.url, output="raw"), context)


async def test_a_response_larger_than_the_limit_is_a_fault_that_says_the_limit():
    async with Egress(max_response=MIB) as egress, serve(answering(b"x" * MIB)) as server:
        assert await call(get(server.url), make_context(egress))
    async with Egress(max_response=MIB) as egress, serve(answering(b"x" * (MIB + 1))) as server:
        detail = await fault_of(call(get(server.url), make_context(egress)), "communication", 500)
        assert f"{MIB} bytes" in detail


async def test_a_compressed_response_is_read(context):
    body = gzip.compress(b'{"a": 1}')
    app = answering(body, Content_Type="application/json", Content_Encoding="gzip")
    async with serve(app) as server:
        assert await call(get(server.url), context) == {"a": 1}


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_is_stopped_at_the_limit_of_what_it_unpacks_to(encoding):
    zeros = bytes(64 * MIB)
    body = gzip.compress(zeros) if encoding == "gzip" else zlib.compress(zeros)
    assert len(body) < MIB
    async with (
        Egress(max_response=MIB) as egress,
        serve(answering(body, Content_Encoding=encoding)) as server,
    ):
        detail = await fault_of(call(get(server.url), make_context(egress)), "communication", 500)
        assert f"larger than {MIB} bytes" in detail


@pytest.mark.parametrize("encoding", ["gzip", "br"])
async def test_an_encoding_that_cannot_be_undone_is_a_communication_fault(context, encoding):
    async with serve(answering(b"not compressed", Content_Encoding=encoding)) as server:
        await fault_of(call(get(server.url), context), "communication", 500)


async def test_an_error_carries_an_excerpt_of_its_body(context):
    body = b'{"message":\n  "no such pet"}' + b"x" * 10_000
    async with serve(answering(body, 422, Content_Type="application/json")) as server:
        detail = await fault_of(call(get(server.url), context), "communication", 422)
    assert '{"message": "no such pet"}' in detail
    assert len(detail) < 700


async def test_an_error_whose_body_is_binary_says_so(context):
    async with serve(answering(b"\x89PNG\xff\x00" * 9, 500, Content_Type="image/png")) as server:
        assert "bytes of image/png" in await fault_of(call(get(server.url), context), "communication", 500)


async def test_an_error_that_repeats_a_credential_does_not_show_it(context):
    async def echo(request: web.Request) -> web.Response:
        return web.Response(status=400, text=f"bad {request.headers['Authorization']} in {request.rel_url}")

    app = web.Application()
    app.router.add_get("/", echo)
    async with serve(app) as server:
        endpoint = {"uri": server.url, "authentication": {"bearer": {"token": "s3cret"}}}
        detail = await fault_of(call(get(endpoint), context), "communication", 400)
    assert "s3cret" not in detail


async def test_a_fault_shows_no_user_information_and_no_secrets_of_the_query(bin_server, context):
    uri = f"http://user:s3cret@127.0.0.1:{bin_server.port}/status/400?access_token=s3cret&page=2"
    detail = await fault_of(call(get(uri), context), "communication", 400)
    assert "s3cret" not in detail
    assert "page=2" in detail


async def test_a_port_where_nobody_listens_is_a_communication_fault(context):
    async with serve(answering(b"")) as server:
        url = server.url
    detail = await fault_of(call(get(url), context), "communication", 500)
    assert "cannot connect to 127.0.0.1" in detail
    assert detail.endswith(": Connection refused")


async def test_a_name_that_does_not_exist_is_a_communication_fault(context):
    detail = await fault_of(call(get("http://no-such-host.invalid/"), context), "communication", 500)
    assert "'no-such-host.invalid' cannot be resolved" in detail


async def test_a_certificate_nobody_vouches_for_is_a_communication_fault(context):
    async with serve(answering(b""), tls=trustme.CA()) as server:
        detail = await fault_of(call(get(server.url), context), "communication", 500)
    assert "TLS: certificate verify failed" in detail


async def test_a_certificate_for_another_name_is_a_communication_fault():
    ca = trustme.CA()
    with ca_file(ca) as path:
        async with (
            Egress(ca_file=path) as egress,
            serve(answering(b""), tls=ca, names=("else.example",)) as server,
        ):
            detail = await fault_of(call(get(server.url), make_context(egress)), "communication", 500)
    assert "TLS" in detail


async def test_plain_http_spoken_to_a_tls_server_is_a_communication_fault(context):
    async with serve(answering(b""), tls=trustme.CA()) as server:
        await fault_of(call(get(server.url.replace("https", "http")), context), "communication")


async def test_https_spoken_to_a_plain_server_is_a_communication_fault(context):
    async with serve(answering(b"")) as server:
        detail = await fault_of(call(get(server.url.replace("http", "https")), context), "communication", 500)
    assert "TLS" in detail


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"SSH-2.0-OpenSSH_9.6\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",),
        (b"HTTP/1.1 abc\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % index for index in range(10_000)) + b"\r\n",),
    ],
    ids=["nothing", "not http", "cut short", "bad chunk", "bad status", "long header", "many headers"],
)
async def test_an_answer_that_is_not_http_is_a_communication_fault(context, pieces):
    async with RawServer(*pieces) as server:
        detail = await fault_of(call(get(server.url), context), "communication", 500)
    assert detail.startswith(f"GET {server.url}/: ")
    assert len(detail) < 500


@pytest.mark.parametrize(
    "pieces", [(), (b"HTTP/1.1 200 OK\r\n",), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1",)]
)
async def test_a_server_that_never_finishes_is_given_up(egress, pieces):
    async with RawServer(*pieces, hold=True) as server:
        context = make_context(egress, timeout=0.1)
        detail = await fault_of(call(get(server.url), context), "communication", 500)
    assert "within 0.1 seconds" in detail


async def test_a_large_body_is_sent_whole(context):
    body = {"data": "x" * (5 * MIB)}
    async with serve(httpbin.app()) as server:
        await call({"method": "post", "endpoint": f"{server.url}/status/200", "body": body}, context)
        assert len(server.last.body) == len('{"data":""}') + 5 * MIB


def test_the_private_authority_is_trusted_beside_those_of_the_system():
    from workflow_engine.calls.egress import _tls_context

    with ca_file(trustme.CA()) as path:
        assert _tls_context(path).cert_store_stats()["x509_ca"] == (
            ssl.create_default_context().cert_store_stats()["x509_ca"] + 1
        )
