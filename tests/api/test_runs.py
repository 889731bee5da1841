from __future__ import annotations

import asyncio
import json

import pytest

from tests.api.documents import FAIL, GREET, WAIT, event

START = "/v1/workflows/tests/greet/latest/runs"


async def waiting(server, run_id: str) -> dict:
    """The run once it waits for an event."""
    while True:
        run = (await server.get(f"/v1/runs/{run_id}")).json
        if run["status"] == "waiting":
            return run


async def test_a_run_is_started_and_found_under_its_address(server):
    await server.deploy(GREET)
    started = await server.post(START, json={"name": "Ada"})
    assert started.status == 201
    assert started.json["workflow"] == {"namespace": "tests", "name": "greet", "version": "1.0.0"}
    found = await server.get(started.headers["Location"] + "?wait=10")
    assert found.json["status"] == "completed"
    assert found.json["input"] == {"name": "Ada"}
    assert found.json["output"] == {"text": "Hello, Ada"}


async def test_a_run_that_is_waited_for_is_answered_with_its_output(server):
    await server.deploy(GREET)
    ended = await server.post(f"{START}?wait=10", json={"name": "Ada"})
    assert ended.status == 200
    assert ended.json["output"] == {"text": "Hello, Ada"}
    assert ended.json["ended_at"].endswith("Z")


async def test_a_run_without_a_body_has_an_empty_object_as_input(server):
    await server.deploy(GREET)
    ended = await server.post(f"{START}?wait=10")
    assert ended.json["input"] == {}
    assert ended.json["output"] == {"text": "Hello, you"}


async def test_a_run_that_has_not_ended_in_time_is_answered_as_it_is(server):
    await server.deploy(WAIT)
    started = await server.post("/v1/workflows/tests/wait/latest/runs?wait=0.05")
    assert started.status == 201
    assert started.json["output"] is None
    run = await waiting(server, started.json["id"])
    assert [state["name"] for state in run["states"]] == ["paid"]
    assert run["states"][0]["doing"] == "listening for order.paid"
    await server.post(
        "/v1/events",
        json=event("9", "order.paid", data={"order": 7}),
        headers={"Content-Type": "application/cloudevents+json"},
    )
    ended = await server.get(f"/v1/runs/{run['id']}?wait=10")
    assert ended.json["output"] == {"paid": 7}


async def test_a_server_that_closes_answers_who_waits_with_the_run_as_it_is(server):
    await server.deploy(WAIT)
    await server.post("/v1/workflows/tests/wait/latest/runs?id=w")
    await waiting(server, "w")
    async with asyncio.timeout(20):
        asked = asyncio.create_task(server.get("/v1/runs/w?wait=60"))
        server.app.state.closing.set()
        answer = await asked
    assert (answer.status, answer.json["status"]) == (200, "waiting")


async def test_a_faulted_run_tells_its_error(server):
    await server.deploy(FAIL)
    ended = await server.post("/v1/workflows/tests/fail/latest/runs?wait=10")
    assert ended.status == 200
    assert ended.json["status"] == "faulted"
    assert ended.json["error"]["title"] == "Broken"
    assert ended.json["error"]["instance"] == "/do/0/break"


async def test_an_id_starts_one_run(server):
    await server.deploy(GREET)
    first = await server.post(f"{START}?id=order:4711@shop&wait=10")
    assert first.json["id"] == "order:4711@shop"
    assert (await server.get("/v1/runs/order:4711@shop")).json["status"] == "completed"
    again = await server.post(f"{START}?id=order:4711@shop")
    assert again.status == 409
    assert "order:4711@shop" in again.json["detail"]


@pytest.mark.parametrize("id", ["/x", "a b", "-a", "a" * 201])
async def test_an_id_that_no_run_can_have_is_refused(server, id):
    await server.deploy(GREET)
    refused = await server.post(START, params={"id": id})
    assert (refused.status, refused.json["type"]) == (400, "urn:wfe:problem:invalid-run-id")


async def test_a_document_is_run_once_without_being_deployed(server):
    body = {"document": GREET, "input": {"name": "Ada"}}
    ended = await server.post("/v1/runs?wait=10&id=once", json=body)
    assert ended.status == 200
    assert (ended.json["id"], ended.json["output"]) == ("once", {"text": "Hello, Ada"})
    assert (await server.get("/v1/workflows")).json["workflows"] == []


async def test_a_document_to_be_run_may_be_an_object(server):
    document = {
        "document": {"dsl": "1.0.0", "namespace": "tests", "name": "inline", "version": "1.0.0"},
        "do": [{"set": {"set": {"done": True}}}],
    }
    ended = await server.post("/v1/runs?wait=10", json={"document": document})
    assert ended.json["output"] == {"done": True}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"input": {}}, "/document"),
        ({"document": 7}, "/document"),
        ({"document": GREET, "resources": []}, "/resources"),
        ({"document": GREET, "inputs": {}}, "/inputs"),
    ],
)
async def test_a_request_to_run_once_is_refused_at_the_wrong_member(server, body, place):
    refused = await server.post("/v1/runs", json=body)
    assert (refused.status, refused.json["pointer"]) == (400, place)


async def test_runs_are_listed_newest_first_in_pages(server):
    await server.deploy(GREET)
    await server.deploy(FAIL)
    for number in range(5):
        await server.post(f"{START}?wait=10&id=greet-{number}")
    await server.post("/v1/workflows/tests/fail/latest/runs?wait=10&id=fail")
    first = (await server.get("/v1/runs?limit=4")).json
    assert [run["id"] for run in first["runs"]] == ["fail", "greet-4", "greet-3", "greet-2"]
    assert all(run["input"] is None and run["output"] is None for run in first["runs"])
    rest = (await server.get("/v1/runs", params={"limit": 4, "cursor": first["cursor"]})).json
    assert [run["id"] for run in rest["runs"]] == ["greet-1", "greet-0"]
    assert rest["cursor"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=faulted", ["fail"]),
        ("workflow=greet", ["greet"]),
        ("namespace=other", []),
        ("namespace=tests&workflow=greet&version=1.0.0&status=completed", ["greet"]),
        ("workflow=tests/greet", ["greet"]),
        ("workflow=tests/greet:1.0.0", ["greet"]),
        ("workflow=tests/greet/1.0.0&version=1.0.0&namespace=tests", ["greet"]),
        ("workflow=tests/greet:2.0.0", []),
        ("workflow=shop/greet", []),
    ],
)
async def test_runs_are_listed_by_workflow_and_status(server, query, found):
    await server.deploy(GREET)
    await server.deploy(FAIL)
    await server.post(f"{START}?wait=10&id=greet")
    await server.post("/v1/workflows/tests/fail/latest/runs?wait=10&id=fail")
    assert [run["id"] for run in (await server.get(f"/v1/runs?{query}")).json["runs"]] == found


async def test_a_waiting_run_is_cancelled(server):
    await server.deploy(WAIT)
    await server.post("/v1/workflows/tests/wait/latest/runs?id=w")
    await waiting(server, "w")
    told = await server.post("/v1/runs/w/cancel")
    assert told.status == 202
    ended = await server.get("/v1/runs/w?wait=10")
    assert ended.json["status"] == "cancelled"
    assert (await server.post("/v1/runs/w/cancel")).status == 202
    assert (await server.get("/v1/listeners")).json == {"listeners": [], "cursor": None}


async def test_a_run_is_terminated_with_a_reason(server):
    await server.deploy(WAIT)
    await server.post("/v1/workflows/tests/wait/latest/runs?id=w")
    assert (await server.post("/v1/runs/w/terminate?reason=enough")).status == 202
    assert (await server.get("/v1/runs/w?wait=10")).json["status"] == "cancelled"


async def test_a_suspended_run_goes_on_when_it_is_resumed(server):
    await server.deploy(WAIT)
    await server.post("/v1/workflows/tests/wait/latest/runs?id=w")
    await waiting(server, "w")
    told = await server.post("/v1/runs/w/suspend")
    assert (told.status, told.json["status"]) == (202, "suspended")
    await server.post(
        "/v1/events",
        json=event("9", "order.paid", data={"order": 7}),
        headers={"Content-Type": "application/cloudevents+json"},
    )
    assert (await server.get("/v1/runs/w?wait=0.2")).json["status"] == "suspended"
    await server.post("/v1/runs/w/resume")
    assert (await server.get("/v1/runs/w?wait=10")).json["output"] == {"paid": 7}


async def test_an_ended_run_cannot_be_suspended(server):
    await server.deploy(GREET)
    await server.post(f"{START}?wait=10&id=g")
    refused = await server.post("/v1/runs/g/suspend")
    assert (refused.status, refused.json["type"]) == (409, "urn:wfe:problem:conflict")


async def test_an_unknown_run_or_command_is_not_found(server):
    await server.deploy(GREET)
    await server.post(f"{START}?wait=10&id=g")
    missing = await server.get("/v1/runs/none?wait=1")
    assert (missing.status, missing.json["kind"], missing.json["id"]) == (404, "run", "none")
    unknown = await server.post("/v1/runs/g/explode")
    assert (unknown.status, unknown.json["kind"]) == (404, "command")
    assert "cancel" in unknown.json["hint"]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("wait=61", "/query/wait"),
        ("wait=-1", "/query/wait"),
        ("wait=nan", "/query/wait"),
        ("wait=soon", "/query/wait"),
    ],
)
async def test_a_wait_that_is_no_number_from_0_to_60_is_refused(server, query, place):
    await server.deploy(GREET)
    refused = await server.post(f"{START}?{query}")
    assert refused.status == 400
    assert refused.json["problems"][0]["pointer"] == place
    assert (await server.get("/v1/runs")).json["runs"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "status=exploded", "cursor=%FF", "cursor=x"])
async def test_a_list_that_makes_no_sense_is_refused(server, query):
    refused = await server.get(f"/v1/runs?{query}")
    assert refused.status == 400


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b'{"a": NaN}', "invalid-json", "line 1, column 7"),
        (b'{"a":\n 1e999}', "invalid-json", "line 2, column 2"),
        (b'{"a": 1', "invalid-json", "column"),
        (b'"\xff"', "not-utf-8", "line 1, byte 2"),
        (b"[" * 101 + b"]" * 101, "too-deep", "100 levels"),
        (b"[" * 100_000, "invalid-json", "depth"),
        (b'{"a": 123456789012345678901234567890}', "number-too-large", "64 bits"),
        (b'"\\ud800"', "invalid-json", "surrogate"),
    ],
)
async def test_input_that_is_no_json_is_refused_with_its_place(server, body, code, words):
    await server.deploy(GREET)
    refused = await server.post(START, data=body, headers={"Content-Type": "application/json"})
    assert (refused.status, refused.json["type"]) == (400, f"urn:wfe:problem:{code}")
    assert words in refused.json["detail"]
    assert (await server.get("/v1/runs")).json["runs"] == []


async def test_numbers_at_the_edges_of_64_bits_are_taken(server):
    await server.deploy(GREET)
    given = {"least": -(2**63), "most": 2**64 - 1, "text": "9" * 40, "deep": json.loads("[" * 98 + "]" * 98)}
    ended = await server.post(f"{START}?wait=10", json=given)
    assert ended.json["input"] == given


async def test_the_place_of_what_is_nested_too_deep_is_told(server):
    await server.deploy(GREET)
    deep: dict | list = []
    for _ in range(100):
        deep = {"a": deep}
    refused = await server.post(START, json=deep)
    assert refused.json["pointer"] == "/a" * 100


async def test_a_form_is_not_taken_for_input(server):
    await server.deploy(GREET)
    refused = await server.post(START, data={"name": "Ada"})
    assert (refused.status, refused.json["type"]) == (400, "urn:wfe:problem:invalid-json")
    from_browser = await server.post(START, data={"name": "Ada"}, headers={"Origin": "http://localhost"})
    assert (from_browser.status, from_browser.json["type"]) == (415, "urn:wfe:problem:unsupported-media-type")


async def test_the_output_of_a_run_has_an_address_of_its_own(server):
    await server.deploy(GREET)
    await server.post(f"{START}?wait=10&id=o1", json={"name": "Ada"})
    found = await server.get("/v1/runs/o1/output")
    assert (found.status, found.json) == (200, {"text": "Hello, Ada"})
    assert (await server.get("/v1/runs/nobody/output")).status == 404


async def test_the_output_of_a_run_can_be_waited_for(server):
    await server.deploy(WAIT)
    await server.post("/v1/workflows/tests/wait/latest/runs?id=o4")
    await waiting(server, "o4")
    asking = asyncio.create_task(server.get("/v1/runs/o4/output?wait=30"))
    assert (await server.get("/v1/runs/o4/output?wait=0.05")).status == 409
    await server.post(
        "/v1/events",
        json=event("19", "order.paid", data={"order": 7}),
        headers={"Content-Type": "application/cloudevents+json"},
    )
    answer = await asking
    assert (answer.status, answer.json) == (200, {"paid": 7})


async def test_a_run_that_has_not_completed_has_no_output(server):
    await server.deploy(WAIT)
    await server.deploy(FAIL)
    await server.post("/v1/workflows/tests/wait/latest/runs?id=o2")
    await server.post("/v1/workflows/tests/fail/latest/runs?wait=10&id=o3")
    for run in ("o2", "o3"):
        refused = await server.get(f"/v1/runs/{run}/output")
        assert refused.status == 409
        assert "has no output" in refused.json["detail"]


async def test_each_state_of_a_run_has_its_status(server):
    await server.deploy(WAIT)
    await server.post("/v1/workflows/tests/wait/latest/runs?id=o4")
    assert [state["status"] for state in (await waiting(server, "o4"))["states"]] == ["waiting"]


async def test_a_run_is_judged_and_moved_over_the_api(server):
    await server.deploy(WAIT)
    await server.post("/v1/workflows/tests/wait/latest/runs?id=moving", json={})
    path = "/v1/runs/moving/migrate?version=latest&map=/do/0/a%3D/do/0/b"
    assert (await server.post(f"{path}&dry_run=true")).json["answer"] == "same"
    assert (await server.post(path)).json["answer"] == "moved"
    wrong = await server.post("/v1/runs/moving/migrate?map=nothing")
    assert wrong.status == 400
    assert "invalid-mapping" in wrong.body.decode()
    assert (await server.post("/v1/runs/none/migrate")).status == 404
    history = await server.get("/v1/runs/moving/history")
    assert (history.status, history.json["id"]) == (200, "moving")
