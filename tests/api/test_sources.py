"""Services that send what they have over HTTP: their signatures, and the events that are made of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from tests.api.documents import event
from tests.api.server import api
from workflow_engine.api.access import Tokens
from workflow_engine.calls.signatures import verified

KEY = "hook-s3cr3t"
BODY = json.dumps({"action": "opened", "number": 7}).encode()
NOW = 1_800_000_000


def digest(*parts: bytes) -> bytes:
    return hmac.digest(KEY.encode(), b"".join(parts), hashlib.sha256)


def signed(scheme: str, body: bytes = BODY, moment: float = NOW) -> dict[str, str]:
    """The headers that a service sends."""
    at = str(int(moment))
    login = base64.b64encode("shop:pass: wörd".encode()).decode()
    standard = base64.b64encode(digest(f"m1.{at}.".encode(), body)).decode()
    return {
        "github": {"x-hub-signature-256": f"sha256={digest(body).hex()}"},
        "gitlab": {"x-gitlab-token": KEY},
        "stripe": {"stripe-signature": f"t={at},v0=zz,v1={digest(at.encode(), b'.', body).hex()}"},
        "slack": {
            "x-slack-request-timestamp": at,
            "x-slack-signature": f"v0={digest(b'v0:', at.encode(), b':', body).hex()}",
        },
        "standard": {
            "webhook-id": "m1",
            "webhook-timestamp": at,
            "webhook-signature": f"v1,AAAA v1,{standard}",
        },
        "hmac": {"x-signature": f"hs256 {base64.b64encode(digest(body)).decode()}"},
        "basic": {"authorization": f"Basic {login}"},
    }[scheme]


def verify(scheme: str) -> dict[str, str]:
    more = {"header": "X-Signature", "prefix": "hs256 ", "encoding": "base64"} if scheme == "hmac" else {}
    return {"scheme": scheme, "secret": "LOGIN" if scheme == "basic" else "HOOK", **more}


SIGNED = ("github", "gitlab", "stripe", "slack", "standard", "hmac", "basic")


@pytest.mark.parametrize("scheme", SIGNED)
def test_a_request_is_known_by_its_signature_and_no_other(scheme: str) -> None:
    secret: Any = {"username": "shop", "password": "pass: wörd"} if scheme == "basic" else KEY
    headers, given = signed(scheme), verify(scheme)
    assert verified(given, secret, headers, BODY, NOW)
    assert not verified(given, secret, {}, BODY, NOW)
    assert not verified(given, {"key": "other", "password": "other"}, headers, BODY, NOW)
    assert not verified(given, "", headers, BODY, NOW)
    for name, value in headers.items():
        assert not verified(given, secret, {**headers, name: value[:-1]}, BODY, NOW)
        assert not verified(given, secret, {**headers, name: "ä"}, BODY, NOW)
    if scheme not in ("gitlab", "basic"):
        assert not verified(given, secret, headers, BODY + b" ", NOW)
    if scheme in ("stripe", "slack", "standard"):
        assert not verified(given, secret, headers, BODY, NOW + 301)
        assert verified(given, secret, headers, BODY, NOW + 299)


def test_a_standard_webhook_may_have_its_key_in_base64() -> None:
    text = "whsec_" + base64.b64encode(KEY.encode()).decode()
    assert verified(verify("standard"), text, signed("standard"), BODY, NOW)
    for broken in ("whsec_!", "whsec_é"):
        assert not verified(verify("standard"), broken, signed("standard"), BODY, NOW)


async def put(server: Any, id: str = "git", **source: Any) -> Any:
    return await server.call("PUT", f"/v1/sources/{id}", json={"verify": verify("github"), **source})


async def send(server: Any, body: bytes = BODY, id: str = "git", headers: Any = None, query: str = "") -> Any:
    given = signed("github", body) if headers is None else headers
    kind = {"Content-Type": "application/json"}
    return await server.post(f"/v1/sources/{id}/events{query}", data=body, headers={**kind, **given})


async def stored(server: Any) -> list[Any]:
    return [each["event"] for each in (await server.get("/v1/events")).json["events"]]


async def test_what_a_service_sends_is_an_event_once_as_the_source_says(server: Any) -> None:
    made = await put(
        server,
        event={
            "type": '${ "github.\\($headers["x-github-event"]).\\(.action)" }',
            "id": '${ $headers["x-github-delivery"] }',
            "subject": "${ $query.repo }",
            "data": {"pull": "${ .number }"},
        },
    )
    assert made.status == 200, made.json
    headers = {**signed("github"), "X-GitHub-Event": "pull_request", "X-GitHub-Delivery": "d1"}
    first = await send(server, headers=headers, query="?repo=shop")
    again = await send(server, headers=headers, query="?repo=shop")
    assert (first.status, again.status) == (202, 202), first.json
    assert [each.json["accepted"][0]["duplicate"] for each in (first, again)] == [False, True]
    [found] = await stored(server)
    assert (found["type"], found["id"], found["subject"]) == ("github.pull_request.opened", "d1", "shop")
    assert (found["source"], found["data"]) == ("/sources/git", {"pull": 7})


async def test_without_a_template_the_body_is_the_data_and_what_is_sent_twice_one_event(server: Any) -> None:
    await put(server)
    await send(server)
    assert (await send(server)).json["accepted"][0]["duplicate"] is True
    await send(
        server,
        b"a=1&b=x%20y",
        headers={**signed("github", b"a=1&b=x%20y"), "Content-Type": "application/x-www-form-urlencoded"},
    )
    await send(server, b"text", headers={**signed("github", b"text"), "Content-Type": "text/plain"})
    found = await stored(server)
    assert [each["data"] for each in found] == ["text", {"a": "1", "b": "x y"}, json.loads(BODY)]
    assert {each["type"] for each in found} == {"webhook.git"}


async def test_a_form_keeps_its_empty_fields_and_has_a_thousand_at_most(server: Any) -> None:
    await put(server, verify={"scheme": "none"})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await send(server, b"command=%2Fdeploy&text=", headers=form)).status == 202
    [found] = await stored(server)
    assert found["data"] == {"command": "/deploy", "text": ""}
    refused = await send(server, b"&".join(b"a%d=1" % number for number in range(1001)), headers=form)
    assert (refused.status, refused.json["type"]) == (413, "urn:wfe:problem:form-too-large")


async def test_what_shows_who_sends_is_nothing_that_a_template_sees(server: Any) -> None:
    await put(server, verify=verify("gitlab"), event={"data": "${ $headers }"})
    headers = {
        **signed("gitlab"),
        "Authorization": "Bearer x",
        "Cookie": "s=1",
        "X-Gitlab-Event": "Push Hook",
    }
    assert (await send(server, headers=headers)).status == 202
    [found] = await stored(server)
    assert found["data"]["x-gitlab-event"] == "Push Hook"
    assert not {"x-gitlab-token", "authorization", "cookie"} & found["data"].keys()


async def test_standard_webhooks_have_ids_of_their_own(server: Any) -> None:
    await put(server, verify=verify("standard"))
    for id in ("m1", "m2", "m2"):
        at = str(int(time.time()))
        signature = base64.b64encode(digest(f"{id}.{at}.".encode(), BODY)).decode()
        headers = {"webhook-id": id, "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}
        assert (await send(server, headers=headers)).status == 202
    assert [each["id"] for each in await stored(server)] == ["m2", "m1"]


async def test_a_cloudevent_stays_one(server: Any) -> None:
    await put(server, channel="elsewhere")
    body = json.dumps(event("1")).encode()
    headers = {**signed("github", body), "Content-Type": "application/cloudevents+json"}
    assert (await send(server, body, headers=headers)).status == 202
    page = (await server.get("/v1/events?channel=elsewhere")).json
    assert [each["event"] for each in page["events"]] == [event("1")]


async def test_what_is_not_signed_is_refused_and_a_source_that_is_not_there_not_found(server: Any) -> None:
    await put(server)
    refused = await send(server, headers={})
    assert (refused.status, refused.json["type"]) == (401, "urn:wfe:problem:signature")
    assert KEY not in refused.body.decode()
    assert (await send(server, id="nobody")).status == 404
    await put(server, id="lost", verify={"scheme": "github", "secret": "NOBODY"})
    put_off = await send(server, id="lost")
    assert (put_off.status, "NOBODY" in put_off.body.decode()) == (503, False)
    assert await stored(server) == []
    await put(server, event={"type": "${ .nothing }"})
    assert (await send(server)).status == 400


async def test_slack_is_told_that_the_address_is_ours(server: Any) -> None:
    await put(server, verify=verify("slack"))
    body = b'{"type": "url_verification", "challenge": "c1"}'
    answer = await send(server, body, headers=signed("slack", body, time.time()))
    assert (answer.status, answer.json) == (200, {"challenge": "c1"})


async def test_services_need_no_token_of_the_server_where_they_sign_and_nothing_else_is_open() -> None:
    bearer = {"Authorization": "Bearer t"}
    async with api(access=Tokens({"admin": "t"}), loopback_only=False) as server:
        for id, given in (("git", verify("github")), ("open", {"scheme": "none"})):
            path = f"/v1/sources/{id}"
            assert (await server.call("PUT", path, json={"verify": given})).status == 401
            assert (await server.call("PUT", path, json={"verify": given}, headers=bearer)).status == 200
        assert (await send(server)).status == 202
        assert (await send(server, id="open", headers={})).status == 401
        assert (await server.get("/v1/sources")).status == 401
        assert (await server.get("/v1/sources/git/events")).status == 401


async def test_sources_are_listed_changed_and_deleted_and_without_tokens_one_may_be_open(server: Any) -> None:
    await put(server, verify={"scheme": "none"})
    assert (await send(server, headers={})).status == 202
    [only] = (await server.get("/v1/sources")).json["sources"]
    assert only == (await server.get("/v1/sources/git")).json
    assert only["verify"] == {"scheme": "none"}
    assert (await server.call("DELETE", "/v1/sources/git")).status == 204
    assert (await server.get("/v1/sources/git")).status == 404
    assert (await server.call("DELETE", "/v1/sources/git")).status == 404


async def test_a_source_that_cannot_be_is_refused_with_its_place(server: Any) -> None:
    for change, place in (
        ({"verify": {"scheme": "magic"}}, "/verify/scheme"),
        ({"verify": {"scheme": "github"}}, "/verify/secret"),
        ({"verify": {"scheme": "github", "secret": "S", "header": "x"}}, "/verify/header"),
        ({"verify": {"scheme": "hmac", "secret": "S"}}, "/verify/header"),
        ({"verify": {**verify("hmac"), "encoding": "octal"}}, "/verify/encoding"),
        ({"verify": {"scheme": "none", "secret": "S"}}, "/verify/secret"),
        ({"channel": "a b"}, "/channel"),
        ({"event": {"type": "${ .a +"}}, "/event"),
        ({"event": {"type": "${ $nobody }"}}, "/event"),
    ):
        refused = await put(server, **change)
        assert (refused.status, refused.json["pointer"]) == (400, place), (change, refused.json)
    assert (await put(server, id="a%20b")).status == 400
    assert (await put(server, colour="red")).status == 400


async def test_a_sender_that_asks_first_is_told_that_it_may_send() -> None:
    async with api(access=Tokens({"admin": "t"}), loopback_only=False) as server:
        made = {"json": {"verify": verify("github")}, "headers": {"Authorization": "Bearer t"}}
        await server.call("PUT", "/v1/sources/git", **made)
        asked = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120"}
        answer = await server.call("OPTIONS", "/v1/sources/git/events", headers=asked)
        assert answer.status == 200
        assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
        assert answer.headers["WebHook-Allowed-Rate"] == "*"
        plain = await server.call("OPTIONS", "/v1/sources/git/events")
        assert (plain.status, "WebHook-Allowed-Origin" in plain.headers) == (200, False)
        assert (await server.call("OPTIONS", "/v1/sources/nobody/events", headers=asked)).status == 404
        assert (await server.call("OPTIONS", "/v1/sources/git", headers=asked)).status == 401
