"""Sources that hear NATS: a real server, with and without a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.api.server import Api, api
from tests.brokers import sources
from tests.brokers.documents import BASE, asyncapi
from tests.brokers.servers import nats_server
from tests.events.conftest import eventually
from workflow_engine.errors import Unavailable

pytest_plugins = ["tests.brokers.streams"]


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as running:
        yield running


def note(n: Any) -> bytes:
    return json.dumps({"n": n}).encode()


async def test_a_message_of_a_stream_becomes_one_event_with_what_the_broker_says_of_it(
    server: Api, port: int, client: Any, stored: str
) -> None:
    await sources.described(server, "nats", port, stored)
    made = await sources.put(server)
    assert (made["address"], made["service"]) == (stored, "notes")
    await sources.hears(server)
    headers = {"Trace": "t-1", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    await client.jetstream().publish(stored, note(7), headers=headers)
    [event] = await sources.until(server, 1)
    assert (event["type"], event["source"], event["data"]) == ("note", "/sources/notes", {"n": 7})
    assert event["id"].startswith(f"{stored.partition('.')[0]}/1@")
    assert (event["trace"], event["traceparent"]) == ("t-1", headers["traceparent"])
    told = await sources.status(server, lambda told: (told["stored"], told["lag"]) == (1, 0))
    assert (told["promise"], told["refused"]) == ("exactly-once", 0)


EVENT = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "noted", "data": {"n": 1}}


async def test_a_cloudevent_stays_as_it_is_in_either_mode_and_is_one_event_however_often_it_is_sent(
    server: Api, port: int, client: Any, stored: str
) -> None:
    await sources.described(server, "nats", port, stored)
    await sources.put(server, event={"type": "never"})
    await sources.hears(server)
    send = client.jetstream().publish
    kind = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    await send(stored, json.dumps(EVENT).encode(), headers=kind)
    await send(stored, json.dumps(EVENT).encode())  # as the binding had it before NATS had headers
    binary = {
        "ce-specversion": "1.0", "ce-id": "e-2", "ce-source": "/shop", "ce-type": "noted", "ce-shop": "caf%C3%A9",
        "Content-Type": "application/json",
    }  # fmt: skip
    await send(stored, note(2), headers=binary)
    first, second = await sources.until(server, 2)
    assert first == EVENT
    assert (second["id"], second["shop"], second["data"]) == ("e-2", "café", {"n": 2})
    told = await sources.status(server, lambda told: told["duplicates"] == 1)
    assert (told["stored"], told["refused"]) == (2, 0)


async def test_what_does_not_fit_is_a_dead_letter_with_the_reason_and_holds_nothing_up(
    server: Api, port: int, client: Any, stored: str
) -> None:
    await sources.described(server, "nats", port, stored)
    await sources.put(server)
    await sources.hears(server)
    send = client.jetstream().publish
    await send(stored, b'{"n": "one"}')
    await send(stored, b"\xff\xfe no JSON")
    await send(stored, b'{"specversion": "1.0", "id": "", "source": "/s", "type": "t"}')
    await send(stored, b"[" * 100_000)
    await send(stored, json.dumps({"n": 1, "much": "x" * 1_048_500}).encode())
    await send(stored, b'{"n": 1, "deep": ' + b"[" * 300 + b"]" * 300 + b"}", headers={"dlqchannel": "x"})
    await send(stored, note(5))
    [event] = await sources.until(server, 1)
    assert event["data"] == {"n": 5}
    letters = await sources.until(server, 6, "dead-letters")
    assert [each["dlqcode"] for each in letters] == [
        "schema", "unreadable", "not-a-cloudevent", "unreadable", "event-too-large", "event-not-json"
    ]  # fmt: skip
    assert "/payload/n" in letters[0]["dlqreason"]
    assert {each["dlqsubscription"] for each in letters} == {"source:notes"}
    assert (letters[0]["data"], letters[0]["dlqchannel"]) == ({"n": "one"}, "heard")
    assert (await sources.status(server, lambda told: told["stored"] == 1))["refused"] == 6
    let_in = await server.post("/v1/dead-letters/redrive?subscription=source:notes")
    assert let_in.json == {"redriven": 5}, "what is too large stays out"
    marked = (await server.get("/v1/events?channel=dead-letters")).json["events"]
    assert len([each for each in marked if each["redriven"]]) == 5
    assert {"n": "one"} in [each.get("data") for each in await sources.until(server, 5)]


async def test_a_subject_without_a_stream_is_heard_live_and_wildcards_tell_what_it_was(
    server: Api, port: int, client: Any
) -> None:
    await sources.described(server, "nats", port, "live.{room}.notes", channel={"parameters": {"room": {}}})
    template = {"type": '${ "note." + ($address | split(".")[1]) }', "data": {"was": "${ .n }"}}
    await sources.put(
        server, event=template, filters=[{"pattern": {"data": {"was": [{"numeric": [">", 1]}]}}}]
    )
    assert (await sources.hears(server))["promise"] == "at-most-once"
    await client.publish("live.hall.notes", note(1))
    await client.publish("live.attic.notes", note(2))
    [event] = await sources.until(server, 1)
    assert (event["type"], event["subject"], event["data"]) == ("note.attic", "live.attic.notes", {"was": 2})
    await sources.status(server, lambda told: told["filtered"] == 1)


async def test_one_that_is_paused_misses_nothing_and_one_that_is_deleted_leaves_nothing(
    server: Api, port: int, client: Any, stored: str
) -> None:
    jetstream = client.jetstream()
    await jetstream.publish(stored, note(0))
    await sources.described(server, "nats", port, stored)
    made = await sources.put(server, start="earliest")
    await sources.until(server, 1)
    assert (await server.post("/v1/sources/notes/pause")).json["enabled"] is False
    await sources.status(server, lambda told: told["state"] == "paused")
    await jetstream.publish(stored, note(1))
    assert (await server.post("/v1/sources/notes/resume")).status == 200
    again = await sources.put(server, start="earliest", event={"subject": "s"})
    assert again["group"] == made["group"], "it keeps its place"
    await jetstream.publish(stored, note(2))
    assert [event["data"]["n"] for event in await sources.until(server, 3)] == [0, 1, 2]
    other = await sources.put(server, start="latest")
    assert other["group"] != made["group"], "it begins anew"
    await sources.hears(server)
    assert (await server.call("DELETE", "/v1/sources/notes")).status == 204
    assert (await server.get("/v1/sources/notes")).status == 404
    async with asyncio.timeout(10):
        while await jetstream.consumers_info(stored.partition(".")[0]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_broker_that_goes_away_is_told_of_and_heard_again_when_it_is_back(
    server: Api, tmp_path: Path
) -> None:
    with nats_server(tmp_path) as port:
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        await client.jetstream().add_stream(name="s", subjects=["s"])
        await sources.described(server, "nats", port, "s")
        await sources.put(server)
        await sources.hears(server)
        await client.jetstream().publish("s", note(1))
        await sources.until(server, 1)
        await client.close()
    told = await sources.status(server, lambda told: told["state"] == "failing")
    assert f"127.0.0.1:{port}" in told["error"]
    ready = await server.get("/readyz")
    assert (ready.status, list(ready.json["sources"])) == (200, ["notes"])
    assert 'wfe_source_up{source="notes"} 0' in (await server.get("/metrics")).body.decode()
    with nats_server(tmp_path, port=port):
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        await client.jetstream().publish("s", note(2))
        await client.close()
        assert [event["data"]["n"] for event in await sources.until(server, 2)] == [1, 2]
        told = await sources.hears(server)
        assert told["error"] is None
        assert told["last_error"]
        metrics = (await server.get("/metrics")).body.decode()
        assert 'wfe_source_messages_total{source="notes",outcome="stored"} 2' in metrics


async def test_who_connects_is_a_secret_that_nothing_tells(
    server: Api, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with nats_server(tmp_path, "--user", "shop", "--pass", "pass: wörd") as port:
        await sources.described(server, "nats", port, "s")
        await sources.put(server, authentication={"basic": {"use": "LOGIN"}})
        await sources.hears(server)
        await sources.put(server, "other", authentication={"bearer": {"use": "HOOK"}})
        told = await sources.status(server, lambda told: told["state"] == "failing", "other")
        assert "uthorization" in told["error"]
    answers = (await server.get("/v1/sources")).body + (await server.get("/readyz")).body
    assert "wörd" not in answers.decode() + caplog.text
    assert "hook-s3cr3t" not in answers.decode() + caplog.text


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"operation": f"{BASE}#gone"}, "/operation", "gone"),
    ({"operation": f"{BASE}#note"}, "/operation", "its service receives here: it is for a target"),
    ({"server": {"name": "there"}}, "/server", "has no server 'there'"),
    ({"protocol": "kafka"}, "/server", "no server"),
    ({"authentication": {"basic": {"username": "a", "password": "b"}}}, "/authentication", "secret"),
    ({"authentication": {"digest": {"use": "LOGIN"}}}, "/authentication", "one of basic, bearer"),
    ({"group": "wfe-mine"}, "/group", "not 'wfe-'"),
    ({"start": "yesterday"}, "/start", "latest, earliest"),
    ({"event": {"type": "${ $query }"}}, "/event", "query"),
    ({"filters": [{"sql": "a b"}]}, "/filters/0", ""),
    ({"verify": {"scheme": "none"}}, "/verify", "expected one of"),
    ({"channel": None}, "/channel", "is not the name of a channel"),
    ({"operation": "file://ftp.yaml#noted"}, "/server", "'solace'"),
    ({"operation": "file://http.yaml#noted"}, "/operation", "a source with `verify`"),
    ({"operation": "file://http.yaml#noted", "start": "earliest"}, "/operation", ""),
]


async def test_what_cannot_be_heard_is_refused_with_its_place(server: Api) -> None:
    await sources.described(server, "nats", 4222, "room {here}", channel={"parameters": {"here": {}}})
    posted = {"operation": {"bindings": {"http": {"method": "POST"}}}}
    for name, protocol, more in (("ftp", "solace", {}), ("http", "https", posted)):
        await sources.put_document(server, asyncapi(protocol, "broker.example", **more), name)
    for changes, pointer, words in REFUSED:
        body = {"operation": f"{BASE}#noted", "channel": "heard", **changes}
        answer = await server.call("PUT", "/v1/sources/notes", json=body)
        assert answer.status == 400, (changes, answer.json)
        assert answer.json["pointer"].startswith(pointer), changes
        assert words in answer.json["detail"], changes
    assert (await server.get("/v1/sources")).json == {"sources": [], "cursor": None}


async def test_a_consumer_that_somebody_deletes_goes_on_where_it_was(
    server: Api, port: int, client: Any, stored: str
) -> None:
    await sources.described(server, "nats", port, stored)
    made = await sources.put(server)
    await sources.hears(server)
    await client.jetstream().publish(stored, note(0))
    await sources.until(server, 1)
    await server.post("/v1/sources/notes/pause")
    await client.jetstream().publish(stored, note(1))
    await client.jetstream().delete_consumer(stored.partition(".")[0], made["group"])
    await server.post("/v1/sources/notes/resume")
    assert [event["data"]["n"] for event in await sources.until(server, 2)] == [0, 1]


async def test_while_the_store_is_away_messages_wait_at_the_broker(
    server: Api, port: int, client: Any, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sources.described(server, "nats", port, stored)
    await sources.put(server)
    await sources.hears(server)

    async def away(channel: str, events: Any) -> Any:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(server.router, "publish", away)
        for n in range(30):
            await client.jetstream().publish(stored, note(n))
        told = await sources.status(server, lambda told: told["state"] == "held" and told["lag"] == 30)
        assert "the disk is full" in told["error"]
    assert [event["data"]["n"] for event in await sources.until(server, 30)] == list(range(30))
    assert (await sources.hears(server))["duplicates"] == 0


async def test_what_no_stream_keeps_is_bounded_by_its_size_while_the_store_is_away_and_the_rest_is_counted(
    server: Api, port: int, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.calls.brokers.nats._PENDING_BYTES", 1_000_000)
    monkeypatch.setattr("workflow_engine.calls.brokers.nats_messages.AT_HAND", 250_000)
    await sources.described(server, "nats", port, "live.large")
    await sources.put(server)
    await sources.hears(server)

    async def away(channel: str, events: Any) -> Any:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(server.router, "publish", away)
        await client.publish("live.large", note(0))
        await sources.status(server, lambda told: told["state"] == "held")
        for n in range(1, 41):
            await client.publish("live.large", json.dumps({"n": n, "much": "x" * 100_000}).encode())
        dropped = 0
        while dropped < (now := (await sources.source(server))["status"]["dropped"]) or dropped < 30:
            dropped = now
            await asyncio.sleep(0.5)  # until no more come: nothing else tells that all have
    there: list[Any] = []

    async def none_is_missing() -> bool:
        there[:] = await sources.events(server)
        return len(there) + (await sources.source(server))["status"]["dropped"] == 41

    await eventually(none_is_missing)
    assert [event["data"]["n"] for event in there] == list(range(len(there))), "the first, in order"
    assert 8 <= len(there) <= 11, "as many as a million bytes are"
    metrics = (await server.get("/metrics")).body.decode()
    assert f'wfe_source_messages_total{{source="notes",outcome="dropped"}} {41 - len(there)}' in metrics


async def test_a_group_that_hears_another_subject_already_is_told_of_and_not_taken_for_this_one(
    server: Api, port: int, client: Any, stored: str
) -> None:
    await sources.described(server, "nats", port, stored)
    await sources.put(server, group="mine")
    await sources.hears(server)
    other = asyncapi("nats", f"127.0.0.1:{port}", address=f"{stored}.other")
    await sources.put_document(server, other, "others")
    await sources.put(server, operation="file://others.yaml#noted", group="mine")
    told = await sources.status(server, lambda told: told["state"] == "failing")
    assert f"the consumer mine hears '{stored}'" in told["error"]
    await sources.put(server, operation="file://others.yaml#noted", group="other")
    await sources.hears(server)
