"""Events to webhooks over a real server: what is sent, and what becomes of each answer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tests.api.documents import event
from tests.events.conftest import eventually
from workflow_engine.calls import Egress
from workflow_engine.calls.secrets import EnvironmentSecrets
from workflow_engine.calls.webhook import WebhookTarget
from workflow_engine.errors import Rejected
from workflow_engine.events.http import parse
from workflow_engine.events.targets import Delivery, Drop, Gone, Retry

ANY = {"mode": "any", "filters": [{}]}
QUICK = {"initial": 0.001, "jitter": False, "max_attempts": 3}


@dataclass
class Hook:
    """A service that keeps what it gets, and answers in turn, the last answer again and again."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[web.Response | dict[str, Any]] = field(default_factory=lambda: [{}])
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append(
            ({name.lower(): value for name, value in request.headers.items()}, await request.read())
        )
        self.news.set()
        return web.Response(**self.answers[min(len(self.got), len(self.answers)) - 1])

    async def until(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        while len(self.got) < count:
            self.news.clear()
            await self.news.wait()
        return self.got


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    app = web.Application()
    app.router.add_post("/hook", hook.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield hook
    await runner.cleanup()


async def subscribe(server, hook, id="hook", **changes):
    target = {"kind": "webhook", "url": hook.url, **changes.pop("target", {})}
    body = {"strategy": ANY, "target": target, "retry": QUICK, **changes}
    answer = await server.call("PUT", f"/v1/subscriptions/{id}", json=body)
    assert answer.status == 201, answer.json
    return answer.json


async def publish(server, *events, channel="default"):
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    answer = await server.post(f"/v1/events?channel={channel}", json=list(events), headers=headers)
    assert answer.status == 202, answer.json


async def recipient(server, id, status):
    """The one who an event went to, once that is settled."""
    while True:
        [trace] = (await server.get(f"/v1/events/{id}/trace?channel=default")).json["traces"]
        if [each["state"] for each in trace["recipients"]] == [status]:
            return trace["recipients"][0]
        await asyncio.sleep(0.005)


async def letters(server):
    return (await server.get("/v1/events?channel=dead-letters")).json["events"]


@pytest.mark.parametrize("mode", ["structured", "binary"])
async def test_an_event_arrives_as_it_was_published(server, hook, mode):
    await subscribe(server, hook, target={"mode": mode, "headers": {"X-Team": "audit"}})
    sent = event("1") | {"subject": 'café "5%"', "rooms": 5, "data": {"order": 7}}
    await publish(server, sent)
    [(headers, body)] = await hook.until(1)
    [got] = parse(headers, body, max_bytes=10_000)
    texts = {"rooms": "5"} if mode == "binary" else {}
    assert {**got, "datacontenttype": None} == {**sent, **texts, "datacontenttype": None}
    assert (headers["x-team"], headers["router-attempt"]) == ("audit", "1")
    assert headers["idempotency-key"] == headers["router-delivery-id"]
    done = await recipient(server, "1", "delivered")
    assert done["attempts"][0]["code"] == "200"


@pytest.mark.parametrize(
    ("data", "body", "media_type"),
    [
        ({"data": "plain", "datacontenttype": "text/plain"}, b"plain", "text/plain"),
        ({"data_base64": "AAE="}, b"\x00\x01", "application/octet-stream"),
        ({"data": "a"}, b'"a"', "application/json"),
        ({"data": "a", "datacontenttype": "application/JSON"}, b'"a"', "application/JSON"),
        ({}, b"", "application/octet-stream"),
    ],
)
async def test_a_binary_body_is_the_data(server, hook, data, body, media_type):
    await subscribe(server, hook, target={"mode": "binary"})
    await publish(server, {**{k: v for k, v in event("1").items() if k != "data"}, **data})
    [(headers, got)] = await hook.until(1)
    assert (got, headers.get("content-type", "application/octet-stream")) == (body, media_type)


async def test_events_that_were_gathered_are_one_batch(server, hook):
    both = {
        "mode": "all",
        "filters": [{"attributes": {"id": {"equals": "1"}}}, {"attributes": {"id": {"equals": "2"}}}],
    }
    await subscribe(server, hook, strategy=both)
    await publish(server, event("1"), event("2"))
    [(headers, body)] = await hook.until(1)
    assert headers["content-type"] == "application/cloudevents-batch+json"
    assert [each["id"] for each in json.loads(body)] == ["1", "2"]


async def test_a_transform_and_a_body_make_other_json_of_an_event(server, hook):
    await subscribe(
        server,
        hook,
        transform={"data": {"text": "${ .data.order * 2 | tostring }"}},
        target={"body": {"text": '${ "Order \\(.data.text) of \\(.source)" }'}},
    )
    await publish(server, event("1") | {"data": {"order": 21}})
    [(headers, body)] = await hook.until(1)
    assert (headers["content-type"], json.loads(body)) == ("application/json", {"text": "Order 42 of /shop"})


async def test_what_cannot_be_transformed_is_a_dead_letter_with_its_reason_and_the_event_as_it_was(
    server, hook
):
    await subscribe(server, hook, transform={"event": {"type": "${ .data.kind }"}})
    sent = event("1") | {"data": {"kind": None}}
    await publish(server, sent, event("2") | {"data": {"kind": "b"}})
    [(_, body)] = await hook.until(1)
    assert json.loads(body)["type"] == "b"
    assert json.loads(body)["id"] == "2"
    dead = await recipient(server, "1", "dead")
    assert dead["attempts"][0]["code"] == "not-transformed"
    [letter] = await letters(server)
    assert letter["event"]["data"] == {"kind": None}
    assert "no CloudEvent" in letter["event"]["dlqreason"]


async def test_a_delivery_is_signed_as_standard_webhooks_says_and_the_secret_is_nowhere(server, hook):
    target = {"signing": {"secret": "HOOK"}, "authentication": {"bearer": {"use": "HOOK"}}}
    made = await subscribe(server, hook, target=target)
    assert "hook-s3cr3t" not in json.dumps(made)
    await publish(server, event("1"))
    [(headers, body)] = await hook.until(1)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(b"hook-s3cr3t", signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["authorization"] == "Bearer hook-s3cr3t"


async def test_a_target_that_repeats_what_it_was_shown_tells_nobody_the_secret(server, hook):
    hook.answers = [{"status": 400, "text": "bad token Bearer hook-s3cr3t, or hook-s3cr3t"}]
    await subscribe(server, hook, target={"authentication": {"bearer": {"use": "HOOK"}}})
    await publish(server, event("1"))
    dead = await recipient(server, "1", "dead")
    assert dead["attempts"][0]["detail"].startswith("bad token")
    assert "hook-s3cr3t" not in json.dumps([dead, await letters(server)])


async def test_an_answer_that_may_be_another_later_is_asked_for_again(server, hook):
    later = [404, 408, 409, 425, 429, 500, 503]
    hook.answers = [
        *({"status": status, "headers": {"Retry-After": "0"}} for status in later),
        {"status": 202},
    ]
    await subscribe(server, hook, retry={"max_attempts": 10})
    await publish(server, event("1"))
    done = await recipient(server, "1", "delivered")
    assert [each["code"] for each in done["attempts"]] == [*map(str, later), "202"]
    assert len({headers["router-delivery-id"] for headers, _ in hook.got}) == 1
    assert [headers["router-attempt"] for headers, _ in hook.got] == [*"12345678"]


async def test_an_answer_that_is_final_is_a_dead_letter_at_once(server, hook):
    final = [400, 401, 403, 413, 415, 422]
    hook.answers = [{"status": status, "text": "no, never"} for status in final]
    await subscribe(server, hook, in_order=True)
    await publish(server, *(event(str(status)) for status in final))
    for status in map(str, final):
        dead = await recipient(server, status, "dead")
        assert [(each["code"], each["detail"]) for each in dead["attempts"]] == [(status, "no, never")]


async def test_a_redirect_is_a_dead_letter_that_says_where_it_leads(server, hook):
    hook.answers = [{"status": 308, "headers": {"Location": "https://elsewhere.example/hook"}}]
    await subscribe(server, hook)
    await publish(server, event("1"))
    dead = await recipient(server, "1", "dead")
    told = "it leads to https://elsewhere.example/hook; redirects are not followed"
    assert [(each["code"], each["detail"]) for each in dead["attempts"]] == [("308", told)]


async def test_what_was_taken_is_delivered_however_large_or_broken_the_answer_is(server, hook):
    hook.answers = [
        {"body": b"x" * 3_000_000},
        {"body": b"abcd", "headers": {"Content-Encoding": "gzip"}},
    ]
    await subscribe(server, hook)
    await publish(server, event("1"))
    await recipient(server, "1", "delivered")
    await publish(server, event("2"))
    await recipient(server, "2", "delivered")
    assert len(hook.got) == 2


async def test_410_disables_the_subscription_and_buries_the_event(server, hook):
    hook.answers = [{"status": 410}]
    await subscribe(server, hook)
    await publish(server, event("1"))

    async def settled():
        enabled = (await server.get("/v1/subscriptions/hook")).json["enabled"]
        return not enabled and len(await letters(server)) == 1

    await eventually(settled)


async def test_dead_letters_are_redriven_together_once_each(server, hook):
    hook.answers = [{"status": 400}] * 3 + [{}]
    await subscribe(server, hook)
    await subscribe(server, hook, id="other", channel="elsewhere")
    await publish(server, event("1"), event("2"))
    await recipient(server, "1", "dead")
    await recipient(server, "2", "dead")
    await publish(server, event("3"), channel="elsewhere")

    async def buried():
        return len(await letters(server)) == 3

    await eventually(buried)

    async def redrive(query=""):
        return (await server.post(f"/v1/dead-letters/redrive{query}")).json["redriven"]

    assert [each["redriven"] for each in await letters(server)] == [None] * 3
    assert await redrive("?subscription=hook") == 2
    marked = {each["event"]["id"]: each["redriven"] for each in await letters(server)}
    assert (marked["3"], bool(marked["1"] and marked["2"])) == (None, True)
    (found,) = (await server.get("/v1/events/1/trace?channel=dead-letters")).json["traces"]
    assert found["redriven"] == marked["1"]
    assert [note["status"] for note in found["recipients"][0]["notes"]] == ["redriven"]
    (whole,) = (await server.get("/v1/events/1/trace?channel=default")).json["traces"]
    assert "redriven" not in whole
    assert await redrive("?subscription=hook") == 0
    assert await redrive() == 1
    assert await redrive() == 0
    await hook.until(6)


async def test_events_in_an_answer_are_published_where_the_target_says(server, hook):
    reply = event("r1") | {"type": "order.priced"}
    kind = "application/cloudevents+json"
    hook.answers = [
        {"body": json.dumps(reply), "content_type": kind},
        {"text": "thanks"},
        {"text": "{", "content_type": kind},
    ]
    await subscribe(server, hook, target={"replies": "answers"}, in_order=True)
    await publish(server, event("1"), event("2"), event("3"))
    done = await recipient(server, "1", "delivered")
    assert done["attempts"][0]["reference"] == "r1"
    await recipient(server, "2", "delivered")
    dead = await recipient(server, "3", "dead")
    assert dead["attempts"][0]["code"] == "bad-reply"
    [answer] = (await server.get("/v1/events?channel=answers")).json["events"]
    assert answer["event"] == reply


async def test_a_subscription_with_a_past_and_an_end_is_a_replay(server, hook):
    await publish(server, event("1"), event("2"), event("3"))
    await subscribe(server, hook, id="live")
    await subscribe(server, hook, id="replay", start="earliest", until="2100-01-01T00:00:00Z")
    await hook.until(3)
    refused = await server.call(
        "PUT",
        "/v1/subscriptions/no",
        json={"strategy": ANY, "target": {"kind": "webhook", "url": hook.url}, "start": "2026-01-02T00:00:00Z",
              "until": "2026-01-01T00:00:00Z"},
    )  # fmt: skip
    assert (refused.status, refused.json["pointer"]) == (400, "/until")
    await subscribe(server, hook, id="none", start="earliest", until="2020-01-01T00:00:00Z")
    moved = await server.post("/v1/subscriptions/live/seek", json={"start": "earliest"})
    assert (moved.status, moved.json["start"]) == (200, "earliest")
    got = [json.loads(body)["id"] for _, body in await hook.until(6)]
    assert sorted(got) == ["1", "1", "2", "2", "3", "3"]
    assert (await server.post("/v1/subscriptions/live/seek", json={"start": "soon"})).status == 400
    assert (await server.post("/v1/subscriptions/nobody/seek", json={"start": "latest"})).status == 404


REFUSED = [
    ({"url": "ftp://x.example"}, "/target/url"),
    ({"url": "https://me:pass@x.example/"}, "/target/url"),
    ({"url": "http://169.254.169.254/latest"}, "/target/url"),
    ({"mode": "batch"}, "/target/mode"),
    ({"headers": {"Host": "\n"}}, "/target/headers"),
    ({"headers": {"Content-Length": "1"}}, "/target/headers"),
    ({"body": "${ .data"}, "/target/body"),
    ({"body": {}, "mode": "binary"}, "/target/mode"),
    ({"authentication": {"bearer": {"token": "in clear text"}}}, "/target/authentication"),
    ({"authentication": {"kerberos": {"use": "x"}}}, "/target/authentication"),
    ({"signing": "s"}, "/target/signing"),
    ({"replies": "a b"}, "/target/replies"),
    ({"retries": 3}, "/target/retries"),
]


async def test_a_webhook_that_cannot_be_is_refused_with_its_place(server, hook):
    for changes, place in REFUSED:
        target = {"kind": "webhook", "url": hook.url, **changes}
        refused = await server.call("PUT", "/v1/subscriptions/s", json={"strategy": ANY, "target": target})
        assert (refused.status, refused.json["pointer"]) == (400, place), refused.json


async def test_a_transform_that_is_none_is_refused(server, hook):
    for transform in ({}, {"data": 1, "event": 1}, {"body": 1}, {"data": "${ .a +"}):
        body = {"strategy": ANY, "target": {"kind": "webhook", "url": hook.url}, "transform": transform}
        refused = await server.call("PUT", "/v1/subscriptions/s", json=body)
        assert refused.status == 400
        assert refused.json["pointer"].startswith("/transform")


async def test_a_transform_is_tried_on_an_event(server):
    body = {
        "filter": {},
        "transform": {"data": {"n": "${ .data.order + 1 }"}},
        "event": event("1") | {"data": {"order": 1}},
    }
    tried = (await server.post("/v1/subscriptions/test", json=body)).json
    assert (tried["matches"], tried["output"]["data"], tried["errors"]) == (True, {"n": 2}, [])
    body["event"]["data"] = "text"
    tried = (await server.post("/v1/subscriptions/test", json=body)).json
    assert tried["output"] is None
    assert tried["errors"][0].startswith("transform: ")


async def test_a_channel_has_its_own_properties_from_its_beginning_on(server):
    made = await server.call("PUT", "/v1/channels/orders", json={"partitions": 3, "dedupe_seconds": 60})
    assert (made.status, made.json) == (200, {"partitions": 3, "dedupe_seconds": 60.0})
    assert (await server.call("PUT", "/v1/channels/orders", json=made.json)).status == 200
    assert (await server.call("PUT", "/v1/channels/orders", json={"partitions": 2})).status == 409
    assert (await server.call("PUT", "/v1/channels/x", json={"partitions": 0})).status == 400
    assert (await server.call("PUT", "/v1/channels/x", json={"dedupe_seconds": "1"})).status == 400


@pytest.mark.parametrize(
    ("status", "headers", "after"),
    [
        (429, {"Retry-After": "7"}, 7.0),
        (503, {"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"}, 100.0),
        (503, {"Retry-After": "Thu Jan  1 00:01:40 1970"}, 100.0),
        (503, {"Retry-After": "Thu, 01 Jan 1970 00:01:40 -0000"}, 100.0),
        (503, {"Retry-After": "soon"}, None),
        (500, {}, None),
    ],
)
async def test_a_target_waits_as_long_as_it_is_asked_to(hook, status, headers, after):
    hook.answers = [{"status": status, "headers": headers}]
    async with Egress() as egress:
        target = WebhookTarget(egress, EnvironmentSecrets({}), clock=lambda: 0.0)
        with pytest.raises(Retry) as asked:
            await target.deliver(delivery({"kind": "webhook", "url": hook.url}))
    assert (asked.value.after, asked.value.code) == (after, str(status))
    assert asked.value.whole is (status in (429, 503))


async def test_what_may_not_be_reached_and_what_is_not_there(hook):
    async with Egress(allow_private=False) as egress:
        target = WebhookTarget(egress, EnvironmentSecrets({}))
        with pytest.raises(Rejected):
            target.check({"kind": "webhook", "url": hook.url})
        with pytest.raises(Drop):
            await target.deliver(delivery({"kind": "webhook", "url": hook.url}))
    async with Egress() as egress:
        target = WebhookTarget(egress, EnvironmentSecrets({}))
        with pytest.raises(Retry) as asked:
            await target.deliver(delivery({"kind": "webhook", "url": "http://127.0.0.1:1/"}))
        assert asked.value.code == "no-answer"
        with pytest.raises(Retry) as asked:
            await target.deliver(
                delivery({"kind": "webhook", "url": hook.url, "signing": {"secret": "NOBODY"}})
            )
        assert asked.value.code == "no-secret"
        for broken in ("whsec_!", "whsec_é"):
            secret = EnvironmentSecrets({"WFE_SECRET_KEY": broken})
            signed = {"kind": "webhook", "url": hook.url, "signing": {"secret": "KEY"}}
            with pytest.raises(Drop):
                await WebhookTarget(egress, secret).deliver(delivery(signed))
        hook.answers = [{"status": 410}]
        with pytest.raises(Gone):
            await target.deliver(delivery({"kind": "webhook", "url": hook.url}))


def delivery(target: dict[str, Any]) -> Delivery:
    return Delivery("d", "0" * 32, "c", target, (event("1"),), ("0:0",), 1, "s")
