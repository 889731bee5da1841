"""Runs are retried, edited and led past a state over the API."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.documents import FAIL, GREET, WAIT, event

TWO = """\
document: {dsl: '1.0.0', namespace: tests, name: two, version: '1.0.0'}
do:
  - first: {set: {n: '${ .n }'}}
  - check: {if: .n != 2, raise: {error: {type: 'https://example.com/errors/not-two', status: 422}}}
  - last: {set: {got: '${ .n }', context: '${ $context }', input: '${ $workflow.input }'}}
"""
TWO_2 = TWO.replace("version: '1.0.0'", "version: '2.0.0'").replace("got:", "second:")


async def failed(server) -> str:
    await server.deploy(TWO)
    run = await server.post("/v1/workflows/tests/two/latest/runs?wait=10", json={"n": 1})
    assert run.json["status"] == "faulted"
    return run.json["id"]


async def ended(server, run_id: str) -> dict:
    return (await server.get(f"/v1/runs/{run_id}?wait=10")).json


async def test_a_run_is_retried_with_other_data(server):
    run_id = await failed(server)
    standing = (await server.get(f"/v1/runs/{run_id}/standing")).json["states"]
    assert standing == [
        {"id": "/do/1/check", "name": "check", "failed": True, "data": {"n": 1}, "context": {}}
    ]
    body = {"data": {"n": 2}, "context": {"by": "hand"}, "input": {"new": True}}
    retried = await server.post(f"/v1/runs/{run_id}/retry", json=body)
    assert (retried.status, retried.json["id"]) == (202, run_id)
    assert (await ended(server, run_id))["output"] == {
        "got": 2,
        "context": {"by": "hand"},
        "input": {"new": True},
    }


async def test_a_run_is_retried_as_it_was_or_with_another_version(server):
    run_id = await failed(server)
    await server.deploy(TWO_2)
    await server.post(f"/v1/runs/{run_id}/retry")
    assert (await ended(server, run_id))["status"] == "faulted"
    body = {"state": "/do/0/first", "data": {"n": 2}}
    await server.post(f"/v1/runs/{run_id}/retry", json={**body, "version": "latest"})
    assert (await ended(server, run_id))["output"]["second"] == 2


async def test_a_state_is_left_out_while_it_waits(server):
    waits = TWO.replace("{set: {n: '${ .n }'}}", "{listen: {to: {one: {with: {type: never}}}}}")
    await server.deploy(waits)
    run_id = (await server.post("/v1/workflows/tests/two/latest/runs", json={})).json["id"]
    while (await server.get(f"/v1/runs/{run_id}")).json["status"] != "waiting":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    refused = await server.post(f"/v1/runs/{run_id}/skip", json={"state": "/do/2/last"})
    assert (refused.status, refused.json["type"]) == (409, "urn:wfe:problem:unknown-state")
    skipped = await server.post(f"/v1/runs/{run_id}/skip", json={"output": {"n": 2}})
    assert (skipped.status, skipped.json["id"]) == (202, run_id)
    assert (await ended(server, run_id))["output"]["got"] == 2


async def test_the_failed_state_is_left_out(server):
    run_id = await failed(server)
    await server.post(f"/v1/runs/{run_id}/skip", json={"output": {"n": 7}})
    assert (await ended(server, run_id))["output"]["got"] == 7


async def test_a_suspended_run_is_edited_before_its_next_state(server):
    await server.deploy(WAIT)
    await server.post("/v1/workflows/tests/wait/latest/runs?id=w")
    while (await server.get("/v1/runs/w")).json["status"] != "waiting":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    refused = await server.post("/v1/runs/w/edit", json={"data": [{"order": 9}]})
    assert (refused.status, refused.json["type"]) == (409, "urn:wfe:problem:run-not-suspended")
    await server.post("/v1/runs/w/suspend")
    await server.post(
        "/v1/events",
        json=event("9", "order.paid", data={"order": 7}),
        headers={"Content-Type": "application/cloudevents+json"},
    )
    while (await server.get("/v1/runs/w/standing")).json["states"][0]["id"] != "/do/2/after":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await server.post("/v1/runs/w/edit", json={"data": [{"order": 9}]})
    await server.post("/v1/runs/w/resume")
    assert (await ended(server, "w"))["output"] == {"paid": 9}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("retry", {"dtaa": 1}, "unknown-member"),
        ("retry", {"state": 1}, "wrong-type"),
        ("retry", {"new_keys": "yes"}, "wrong-type"),
        ("retry", [], "wrong-type"),
        ("retry", {"state": "/do/9/x"}, "unknown-state"),
        ("retry", {"state": "/do/0/first"}, "no-error"),
        ("retry", {"state": "/do/2/last"}, "data-needed"),
        ("retry", {"version": "9.9.9"}, "not-found"),
        ("skip", {"data": 1}, "unknown-member"),
        ("edit", {}, "nothing-to-edit"),
    ],
)
async def test_a_request_that_cannot_be_met_says_why(server, path, body, code):
    run_id = await failed(server)
    answer = await server.post(f"/v1/runs/{run_id}/{path}", json=body)
    if code == "no-error":
        assert answer.status == 202
    else:
        assert answer.json["type"] == f"urn:wfe:problem:{code}"


async def test_a_completed_run_and_one_that_goes_on_are_not_retried(server):
    await server.deploy(GREET)
    await server.post("/v1/workflows/tests/greet/latest/runs?wait=10&id=g")
    refused = await server.post("/v1/runs/g/retry")
    assert (refused.status, refused.json["type"]) == (409, "urn:wfe:problem:run-completed")
    await server.deploy(WAIT)
    await server.post("/v1/workflows/tests/wait/latest/runs?id=w")
    refused = await server.post("/v1/runs/w/retry")
    assert (refused.status, refused.json["type"]) == (409, "urn:wfe:problem:run-not-ended")
    missing = await server.post("/v1/runs/nobody/retry")
    assert missing.status == 404


async def test_the_client_retries_skips_and_tells_where_a_run_stands(server, client):
    await client.deploy(FAIL)
    run = await client.start("tests", "fail", None, {}, run_id="f", wait=10)
    assert run["status"] == "faulted"
    assert [state["id"] for state in await client.standing("f")] == ["/do/0/break"]
    await client.retry("f")
    assert (await client.run("f", wait=10))["status"] == "faulted"
    await client.skip("f", {"output": {"fine": True}})
    assert (await client.run("f", wait=10))["output"] == {"fine": True}
