from __future__ import annotations

import asyncio
import json

import pytest

from tests.api.documents import GREET, ON_EVENT, event

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCHED = {"Content-Type": "application/cloudevents-batch+json"}
TYPE_IS_A = {"mode": "any", "filters": [{"attributes": {"type": {"equals": "a"}}}]}


async def publish(server, *events, channel="default"):
    return await server.post(f"/v1/events?channel={channel}", json=list(events), headers=BATCHED)


async def found(server, query=""):
    listed = (await server.get(f"/v1/events{query}")).json["events"]
    return [item["event"]["id"] for item in listed]


async def test_a_structured_event_is_accepted_with_its_position(server):
    accepted = await server.post("/v1/events", json=event("1"), headers=STRUCTURED)
    assert accepted.status == 202
    assert accepted.json == {"accepted": [{"id": "1", "position": "0:0", "duplicate": False}]}


async def test_a_binary_event_is_accepted(server):
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/shop",
        "ce-type": "order.placed",
        "ce-subject": "caf%C3%A9",
        "Content-Type": "application/json",
    }
    accepted = await server.post("/v1/events", data=b'{"order": 7}', headers=headers)
    assert accepted.status == 202
    stored = (await server.get("/v1/events")).json["events"][0]
    assert stored["event"]["data"] == {"order": 7}
    assert stored["event"]["subject"] == "café"


async def test_a_batch_is_accepted_in_order_and_duplicates_are_told(server):
    accepted = await publish(server, event("1"), event("2"), event("1"))
    assert [(item["position"], item["duplicate"]) for item in accepted.json["accepted"]] == [
        ("0:0", False),
        ("0:1", False),
        ("0:0", True),
    ]
    assert await found(server) == ["2", "1"]


async def test_one_bad_event_of_a_batch_refuses_all_and_names_the_place(server):
    refused = await publish(server, event("1"), {"specversion": "1.0", "id": "2", "type": "x"})
    assert refused.status == 400
    assert refused.json["pointer"] == "/1/source"
    assert await found(server) == []


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (STRUCTURED, b"{", 400),
        (STRUCTURED, b"[]", 400),
        (STRUCTURED, b'{"specversion": "0.3", "id": "1", "source": "/s", "type": "t"}', 400),
        (STRUCTURED, b"[" * 5000, 400),
        (BATCHED, b"{}", 400),
        (BATCHED, json.dumps([event(str(number)) for number in range(1001)]).encode(), 413),
        (STRUCTURED, json.dumps(event("1", data="x" * 2**20)).encode(), 413),
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"ce-id": "1", "ce-specversion": "1.0", "ce-type": "t"}, b"", 400),
        ({"Content-Type": "application/cloudevents+avro"}, b"x", 415),
    ],
)
async def test_what_is_no_event_is_refused_and_not_stored(server, headers, body, status):
    refused = await server.post("/v1/events", data=body, headers=headers)
    assert (refused.status, refused.headers["Content-Type"]) == (status, "application/problem+json")
    assert refused.json["detail"]
    assert await found(server) == []


@pytest.mark.parametrize("channel", ["a b", "", "x" * 201, "ä"])
async def test_a_channel_of_a_bad_name_is_refused(server, channel):
    refused = await server.post("/v1/events", params={"channel": channel}, json=event(), headers=STRUCTURED)
    assert refused.status == 400


async def test_events_are_found_by_what_they_say(server):
    await publish(server, event("1", "a"), event("2", "b", subject="x"), event("3", "a", source="/other"))
    await publish(server, event("4", "a"), channel="more/of.it")
    assert await found(server) == ["4", "3", "2", "1"]
    assert await found(server, "?channel=default&type=a") == ["3", "1"]
    assert await found(server, "?source=/other") == ["3"]
    assert await found(server, "?subject=x") == ["2"]
    assert await found(server, "?id=4") == ["4"]
    assert await found(server, "?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z") == []
    assert await found(server, "?from=2020-01-01T00:00:00Z") == ["4", "3", "2", "1"]


async def test_events_are_found_in_pages(server):
    await publish(server, *(event(str(number)) for number in range(5)))
    page = (await server.get("/v1/events?limit=3")).json
    assert [item["event"]["id"] for item in page["events"]] == ["4", "3", "2"]
    assert await found(server, f"?limit=3&cursor={page['cursor']}") == ["1", "0"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "from=yesterday", "from=2020-01-01T00:00:00", "cursor=x"]
)
async def test_a_search_that_makes_no_sense_is_refused(server, query):
    assert (await server.get(f"/v1/events?{query}")).status == 400


async def test_an_event_starts_a_run_and_its_trace_tells_which(server):
    assert (await server.deploy(ON_EVENT)).status == 201
    await publish(server, event("o/1", "order.placed", data={"order": 7}))
    while not (runs := (await server.get("/v1/runs?status=completed")).json["runs"]):
        pass
    trace = {"recipients": [{"attempts": []}]}
    while not trace["recipients"][0]["attempts"]:
        trace = (await server.get("/v1/events/o%2F1/trace")).json["traces"][0]
    assert trace["event"]["id"] == "o/1"
    assert trace["state"] == "delivered"
    assert trace["recipients"][0]["subscription"] == "workflow:tests/on-order"
    assert trace["recipients"][0]["attempts"][0]["reference"] == runs[0]["id"]
    taken = (await server.get("/v1/events?type=order.taken")).json["events"]
    assert [item["event"]["data"] for item in taken] == [{"order": 7}]
    await publish(server, event("o/1", "order.placed", data={"order": 8}))
    assert len((await server.get("/v1/runs")).json["runs"]) == 1


async def test_the_trace_of_an_unknown_event_is_not_found(server):
    missing = await server.get("/v1/events/none/trace?channel=default")
    assert missing.status == 404


async def test_channels_tell_how_much_is_in_them(server):
    await publish(server, event("1"), event("2"))
    (channel,) = (await server.get("/v1/channels")).json["channels"]
    assert (channel["name"], channel["events"]) == ("default", 2)


async def test_a_subscription_is_made_changed_and_deleted(server):
    body = {"strategy": TYPE_IS_A, "target": {"kind": "channel", "channel": "copies"}}
    made = await server.call("PUT", "/v1/subscriptions/to-copies", json=body)
    assert made.status == 201
    assert made.headers["Location"] == "/v1/subscriptions/to-copies"
    assert (made.json["channel"], made.json["start"], made.json["enabled"]) == ("default", "latest", True)
    await publish(server, event("1", "a"), event("2", "b"))
    while (await server.get("/v1/events?channel=copies")).status == 404:  # which the first of them makes
        pass
    while not (copies := await found(server, "?channel=copies")):
        pass
    assert copies == ["1"]
    changed = await server.call("PUT", "/v1/subscriptions/to-copies", json={**body, "enabled": False})
    assert (changed.status, changed.json["enabled"]) == (200, False)
    assert (await server.get("/v1/subscriptions/to-copies")).json == changed.json
    assert (await server.get("/v1/subscriptions")).json["subscriptions"] == [changed.json]
    assert (await server.call("DELETE", "/v1/subscriptions/to-copies")).status == 204
    assert (await server.get("/v1/subscriptions/to-copies")).status == 404
    assert (await server.call("DELETE", "/v1/subscriptions/to-copies")).status == 404


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"target": {"kind": "smoke-signal"}}, "/target/kind"),
        ({"target": {"kind": "run"}}, "/target/kind"),
        ({"target": {"kind": "channel"}}, "/target/channel"),
        ({"target": {"kind": "workflow", "namespace": "tests"}}, "/target/name"),
        ({"target": {"kind": "channel", "channel": "x", "url": "http://x"}}, "/target/url"),
        ({"target": 7}, "/target"),
        ({"strategy": {"mode": "some", "filters": []}}, "/strategy/mode"),
        ({"strategy": {"mode": "any", "filters": [{"attributes": {"type": {"pattern": "("}}}]}}, "/strategy"),
        ({"start": "tomorrow"}, "/start"),
        ({"retry": {"initial": -1}}, "/retry/initial"),
        ({"max_in_flight": 0}, "/max_in_flight"),
        ({"id": "another"}, "/id"),
        ({"surprise": 1}, "/surprise"),
    ],
)
async def test_a_subscription_is_refused_at_the_wrong_place(server, change, place):
    body = {"strategy": TYPE_IS_A, "target": {"kind": "channel", "channel": "copies"}, **change}
    refused = await server.call("PUT", "/v1/subscriptions/s", json=body)
    assert refused.status == 400
    assert refused.json["pointer"].startswith(place)
    assert (await server.get("/v1/subscriptions")).json["subscriptions"] == []


async def test_a_subscription_to_an_unknown_workflow_is_refused(server):
    await server.deploy(GREET)
    target = {"kind": "workflow", "namespace": "tests", "name": "other"}
    refused = await server.call("PUT", "/v1/subscriptions/s", json={"strategy": TYPE_IS_A, "target": target})
    assert (refused.status, refused.json["kind"]) == (404, "workflow")


async def test_the_subscription_of_a_workflow_belongs_to_it(server):
    await server.deploy(ON_EVENT)
    (own,) = (await server.get("/v1/subscriptions")).json["subscriptions"]
    assert own["id"] == "workflow:tests/on-order"
    assert (await server.get(f"/v1/subscriptions/{own['id']}")).json == own
    refused = await server.call("DELETE", f"/v1/subscriptions/{own['id']}")
    assert (refused.status, refused.json["type"]) == (409, "urn:wfe:problem:conflict")
    refused = await server.call("PUT", "/v1/subscriptions/workflow:x", json={**own, "id": "workflow:x"})
    assert refused.status == 409
    changed = {**own, "channel": "other"}
    assert (await server.call("PUT", f"/v1/subscriptions/{own['id']}", json=changed)).status == 409


async def test_a_trigger_that_is_paused_starts_nothing_until_it_is_resumed(server):
    await server.deploy(ON_EVENT)
    address = "/v1/subscriptions/workflow:tests/on-order"
    own = (await server.get(address)).json
    paused = await server.call("PUT", address, json={**own, "enabled": False})
    assert (paused.status, paused.json) == (200, {**own, "enabled": False})
    await server.deploy(ON_EVENT.replace("version: '1.0.0'", "version: '1.1.0'"))
    await server.engine.restore_triggers()  # as when the process begins again
    assert (await server.get(address)).json["enabled"] is False
    await publish(server, event("held", "order.placed", data={"order": 7}))
    while (await server.get("/v1/channels")).json["channels"][0]["lag"]:
        pass
    assert (await server.get("/v1/runs")).json["runs"] == []
    await server.call("PUT", address, json=own)
    while not (runs := (await server.get("/v1/runs?status=completed")).json["runs"]):
        pass
    assert [run["workflow"]["version"] for run in runs] == ["1.1.0"]


async def test_filters_are_tried_on_an_event(server):
    for given in (
        {"filter": TYPE_IS_A["filters"][0]},
        {"filters": TYPE_IS_A["filters"]},
        {"strategy": TYPE_IS_A},
    ):
        hit = await server.post("/v1/subscriptions/test", json={**given, "event": event(type="a")})
        assert hit.json == {"matches": True, "filters": [0], "errors": []}
        miss = await server.post("/v1/subscriptions/test", json={**given, "event": event(type="b")})
        assert miss.json["matches"] is False


@pytest.mark.parametrize(
    "body",
    [
        {"event": event()},
        {"filter": {}, "filters": [], "event": event()},
        {"filter": {}},
        {"filter": {"attributes": {"type": {"equals": 1, "sideways": 2}}}, "event": event()},
        {"filters": {}, "event": event()},
        {"strategy": [], "event": event()},
        {"filter": {}, "event": {"id": "1"}},
        [],
    ],
)
async def test_a_trial_that_makes_no_sense_is_refused(server, body):
    refused = await server.post("/v1/subscriptions/test", json=body)
    assert refused.status == 400


async def test_a_dead_letter_that_is_not_there_is_not_found(server):
    assert (await server.post("/v1/dead-letters/0:7/redrive")).status == 404
    assert (await server.post("/v1/dead-letters/x/redrive")).status == 400


async def test_a_run_is_registered_as_listener_and_forgotten(server):
    body = {"run_id": "r", "listen_id": "/do/0/x", "spec": TYPE_IS_A, "since": "2026-01-01T00:00:00Z"}
    assert (await server.call("PUT", "/v1/listeners", json=body)).status == 204
    assert (await server.call("PUT", "/v1/listeners", json=body)).status == 204
    (listening,) = (await server.get("/v1/listeners")).json["listeners"]
    assert (listening["run_id"], listening["listen_id"]) == ("r", "/do/0/x")
    assert (await server.call("DELETE", "/v1/listeners/r?listen_id=/do/1/y")).status == 204
    assert len((await server.get("/v1/listeners")).json["listeners"]) == 1
    assert (await server.call("DELETE", "/v1/listeners/r?listen_id=/do/0/x")).status == 204
    assert (await server.get("/v1/listeners")).json["listeners"] == []
    await server.call("PUT", "/v1/listeners", json=body)
    assert (await server.call("DELETE", "/v1/listeners/r")).status == 204
    assert (await server.get("/v1/listeners")).json["listeners"] == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"spec": 7}, "/spec"),
        ({"spec": {"mode": "none"}}, "/spec"),
        ({"since": "then"}, "/since"),
        ({"since": "2026-01-01T00:00:00"}, "/since"),
        ({"run_id": ""}, "/run_id"),
        ({"channel": "a b"}, "/channel"),
        ({"more": 1}, "/more"),
    ],
)
async def test_a_listener_is_refused_at_the_wrong_place(server, change, place):
    body = {"run_id": "r", "listen_id": "/x", "spec": TYPE_IS_A, "since": "2026-01-01T00:00:00Z", **change}
    refused = await server.call("PUT", "/v1/listeners", json=body)
    assert refused.status == 400
    assert refused.json["pointer"].startswith(place)


async def test_the_bundle_of_a_workflow_is_given_with_its_digest(server):
    made = await server.deploy(GREET)
    for query in ("name=greet", "name=greet&namespace=tests", "name=greet&namespace=tests&version=1.0.0"):
        found = await server.get(f"/v1/bundles?{query}")
        assert found.headers["wfe-digest"] == made.json["digest"]
        assert found.headers["Content-Type"] == "application/octet-stream"
    assert (await server.get("/v1/bundles?name=none")).status == 404
    assert (await server.get("/v1/bundles")).status == 400


async def test_filters_in_dialects_are_tried_on_an_event_alone_and_next_to_a_strategy(server):
    by_sql, by_type = {"sql": "subject = 'x'"}, {"exact": {"type": "a"}}
    fits = event(type="a", subject="x")

    async def tried(**body):
        return (await server.post("/v1/subscriptions/test", json=body)).json

    assert await tried(filter=by_sql, event=fits) == {"matches": True, "filters": [0], "errors": []}
    several = await tried(filters=[by_sql, by_type], event=event(type="b", subject="x"))
    assert several == {"matches": False, "filters": [0], "errors": []}
    assert (await tried(strategy=TYPE_IS_A, filters=[by_sql], event=fits))["matches"] is True
    both = await tried(strategy=TYPE_IS_A, filters=[by_sql], event=event(type="a"))
    assert (both["matches"], both["filters"]) == (False, [0])
    assert both["errors"] == ["sql: missingAttribute at 1: the event has no attribute subject"]
    assert "unknown dialect" in (await tried(filters=[{"regex": "a"}], event=fits))["detail"]


async def test_a_subscription_by_filters_alone_is_made_and_shown_and_a_wrong_one_refused_with_its_place(
    server,
):
    body = {"filters": [{"sql": "type = 'a'"}], "target": {"kind": "channel", "channel": "others"}}
    made = await server.call("PUT", "/v1/subscriptions/by-sql", json=body)
    assert made.status == 201
    assert made.json["filters"] == body["filters"]
    assert made.json["strategy"] == {"mode": "any", "filters": []}
    again = await server.call("PUT", "/v1/subscriptions/by-sql", json=made.json)
    assert (again.status, again.json) == (200, made.json)
    body["filters"] = [{"any": [{"sql": "type = "}]}]
    refused = await server.call("PUT", "/v1/subscriptions/by-sql", json=body)
    assert (refused.status, refused.json["pointer"]) == (400, "/filters/0/any/0/sql")
    assert refused.json["detail"] == "line 1, column 8: expected a value, not the end"


async def test_a_subscription_is_made_with_an_id_of_its_own_or_one_that_is_made_for_it(server):
    body = {"filters": [{"exact": {"type": "a"}}], "target": {"kind": "channel", "channel": "others"}}
    made = await server.post("/v1/subscriptions", json=body)
    assert (made.status, made.headers["Location"]) == (201, f"/v1/subscriptions/{made.json['id']}")
    assert (await server.get(made.headers["Location"])).json == made.json
    named = await server.post("/v1/subscriptions", json={**body, "id": "mine"})
    assert (named.status, named.json["id"]) == (201, "mine")
    assert (await server.post("/v1/subscriptions", json={**body, "id": "mine"})).status == 409
    assert (await server.post("/v1/subscriptions", json={**body, "id": "workflow:x"})).status == 409
    assert (await server.post("/v1/subscriptions", json={**body, "id": "a b"})).json["pointer"] == "/id"


async def test_events_are_fetched_and_settled_over_http(server):
    body = {"strategy": {"mode": "any", "filters": [{}]}, "target": {"kind": "pull"}, "retry": {"initial": 0}}
    assert (await server.call("PUT", "/v1/subscriptions/work", json=body)).status == 201
    await publish(server, *(event(str(number)) for number in range(3)))
    lent: list = []
    while len(lent) < 3:
        lent += (await server.post("/v1/subscriptions/work/pull?max=2&wait=10")).json["deliveries"]
    assert sorted(each["events"][0]["id"] for each in lent) == ["0", "1", "2"]
    one, two, three = (each["receipt"] for each in lent)
    verdict = {
        "ack": [one],
        "nack": [{"receipt": two, "after": 0}],
        "reject": [{"receipt": three, "reason": "no"}],
    }
    settled = await server.post("/v1/subscriptions/work/settle", json=verdict)
    assert (settled.status, settled.json) == (200, {"settled": 3, "late": []})
    settled = await server.post("/v1/subscriptions/work/settle", json={"ack": [one]})
    assert settled.json == {"settled": 0, "late": [one]}
    [again] = (await server.post("/v1/subscriptions/work/pull?wait=10")).json["deliveries"]
    assert (again["receipt"] != two, again["attempt"]) == (True, 2)
    for wrong in (
        {},
        {"ack": one},
        {"ack": [1]},
        {"nack": [{"receipt": two, "reason": "x"}]},
        {"nack": [{"receipt": two, "after": -1}]},
        {"ack": ["AAAA"]},
        {"done": [one]},
    ):
        assert (await server.post("/v1/subscriptions/work/settle", json=wrong)).status == 400
    assert (await server.post("/v1/subscriptions/nobody/pull")).status == 404
    assert (await server.post("/v1/subscriptions/work/pull?max=1000")).status == 400


async def test_a_trigger_that_is_sought_back_starts_the_runs_that_are_gone_and_no_others(server):
    assert (await server.deploy(ON_EVENT)).status == 201
    for id in ("kept", "lost"):
        sent = event(id, data={"order": id})
        assert (await server.post("/v1/events", json=sent, headers=STRUCTURED)).status == 202

    async def begun(count):
        async with asyncio.timeout(10):
            while len(server.runtime._runs) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return set(server.runtime._runs)

    before = await begun(2)
    del server.runtime._runs[min(before)]
    moved = await server.post("/v1/subscriptions/workflow:tests/on-order/seek", json={"start": "earliest"})
    assert moved.status == 200
    assert await begun(2) == before
