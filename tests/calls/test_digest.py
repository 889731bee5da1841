"""Authentication by digest, RFC 7616, against a server that verifies it."""

from __future__ import annotations

import json

import pytest

from tests.calls.faults import fault_of
from tests.standins.server import RawServer
from workflow_engine.calls import CALLERS

call = CALLERS["http"]


def digest(uri: str, password: str = "lovelace", **more):
    policy = {"digest": {"username": "ada", "password": password}}
    return {"method": "get", "endpoint": {"uri": uri, "authentication": policy}, **more}


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess"])
async def test_a_digest_proves_the_password_without_sending_it(bin_server, context, algorithm):
    answer = await call(
        digest(f"{bin_server.url}/digest-auth/auth/ada/lovelace/{algorithm}?q=a%2Fb"), context
    )
    assert answer["authenticated"] is True
    sent = bin_server.last.headers["Authorization"]
    assert sent.startswith("Digest ")
    assert "lovelace" not in sent.replace("/lovelace/", "")


async def test_the_older_form_without_quality_of_protection_works(bin_server, context):
    answer = await call(digest(f"{bin_server.url}/digest-auth/none/ada/lovelace/MD5"), context)
    assert answer["authenticated"] is True


async def test_a_nonce_is_used_again_and_counted(bin_server, context):
    uri = f"{bin_server.url}/digest-auth/auth/ada/lovelace/SHA-256"
    counts = [(await call(digest(uri), context))["nc"] for _ in range(3)]
    assert counts == [1, 2, 3]
    assert len(bin_server.requests) == 4


async def test_a_stale_nonce_is_replaced(bin_server, context):
    uri = f"{bin_server.url}/digest-auth/auth/ada/lovelace/MD5/2"
    counts = [(await call(digest(uri), context))["nc"] for _ in range(3)]
    assert counts == [1, 2, 1]


async def test_a_body_is_sent_again_with_the_answer_to_the_challenge(bin_server, context):
    uri = f"{bin_server.url}/digest-auth/auth/ada/lovelace/MD5"
    await call(digest(uri, body={"a": 1}) | {"method": "post"}, context)
    first, second = [json.loads(request.body) for request in bin_server.requests]
    assert first == second == {"a": 1}


async def test_a_wrong_password_is_a_401(bin_server, context):
    uri = f"{bin_server.url}/digest-auth/auth/ada/lovelace/MD5"
    detail = await fault_of(call(digest(uri, "S3CRET"), context), "communication", 401)
    assert "S3CRET" not in detail
    assert len(bin_server.requests) == 2


async def test_a_challenge_that_cannot_be_answered_is_an_authentication_fault(context):
    challenge = b'Digest realm="r", nonce="n", algorithm=ROT13'
    answer = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nWWW-Authenticate: " + challenge + b"\r\n\r\n"
    async with RawServer(answer) as server:
        detail = await fault_of(call(digest(server.url + "/x"), context), "authentication", 401)
    assert "ROT13" in detail


async def test_a_digest_stays_with_the_origin_that_it_is_for(bin_server, context):
    """A redirect to another origin is followed without it."""
    uri = f"http://localhost:{bin_server.port}/redirect-to?url={bin_server.url}/digest-auth/auth/ada/lovelace/MD5"
    await fault_of(call(digest(uri, redirect=True), context), "communication", 401)
    assert "Authorization" not in bin_server.last.headers
    assert len(bin_server.requests) == 2
