"""`DELETE /v1/workflows/…`: what keeps a workflow from being deleted, and what is so afterwards."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.api.documents import GREET, GREET_2, ON_EVENT, WAIT, event
from tests.api.server import Api, Reply
from tests.api.test_rights import ask
from tests.api.test_rights import server as guarded
from workflow_engine.api.client import HttpApi
from workflow_engine.errors import Rejected

__all__ = ["guarded"]
SUB_FLOW = """\
document: {{dsl: '1.0.3', namespace: {namespace}, name: parent, version: '1.0.0'}}
do: [{{call: {{run: {{workflow: {{namespace: tests, name: greet, version: {version}}}}}}}}}]
"""
OLD_SUB_FLOW = """\
{id: old-parent, version: '1.0', specVersion: '0.8', start: a, states: [{name: a, type: operation, end: true,
 actions: [{subFlowRef: {workflowId: %s, version: '%s'}}]}]}
"""


def reasons(answer: Reply) -> list[str]:
    assert (answer.status, answer.json["type"]) == (409, "urn:wfe:problem:workflow-in-use"), answer.json
    return [problem["code"] for problem in answer.json["problems"]]


async def delete(server: Api, path: str) -> Reply:
    return await server.call("DELETE", f"/v1/workflows/{path}")


async def versions(server: Api) -> list[str]:
    answer = await server.get("/v1/workflows/tests/greet")
    return [] if answer.status == 404 else [each["version"] for each in answer.json["versions"]]


async def test_a_version_that_is_deleted_leaves_the_others_and_one_of_them_is_the_latest(
    server: Api, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = await server.deploy(GREET), await server.deploy(GREET_2)
    with caplog.at_level(logging.WARNING, "workflow_engine.api.deleting"):
        gone = await delete(server, "tests/greet/2.0.0")
    assert gone.status == 200
    assert gone.json == {
        "namespace": "tests",
        "name": "greet",
        "versions": [{"version": "2.0.0", "digest": two.json["digest"]}],
        "latest": "1.0.0",
        "runs": 0,
    }
    assert f"deleted tests/greet/2.0.0 (digest {two.json['digest']}); who asked:" in caplog.text
    assert await versions(server) == ["1.0.0"]
    latest = (await server.get("/v1/workflows/tests/greet/latest")).json
    assert latest["digest"] == one.json["digest"]
    again = await delete(server, "tests/greet/2.0.0")
    assert (again.status, again.json["kind"]) == (404, "workflow")
    assert "it was deleted at 20" in again.json["hint"]
    assert "1.0.0" in again.json["hint"]


async def test_all_versions_are_deleted_at_once(server: Api) -> None:
    await server.deploy(GREET)
    await server.deploy(GREET_2)
    gone = await delete(server, "tests/greet")
    assert [each["version"] for each in gone.json["versions"]] == ["2.0.0", "1.0.0"]
    assert gone.json["latest"] is None
    assert (await server.get("/v1/workflows")).json["workflows"] == []
    for path in ("tests/greet", "tests/greet/1.0.0", "tests/greet/latest"):
        assert "it was deleted at" in (await server.get(f"/v1/workflows/{path}")).json["hint"]
    assert (await delete(server, "tests/greet")).status == 404
    assert (await delete(server, "tests/nobody")).status == 404


async def test_the_latest_is_not_deleted_without_its_number(server: Api) -> None:
    await server.deploy(GREET)
    refused = await delete(server, "tests/greet/latest")
    assert (refused.status, refused.json["type"]) == (400, "urn:wfe:problem:version-missing")
    assert await versions(server) == ["1.0.0"]


async def test_what_was_deleted_may_be_deployed_again_as_it_was_and_not_otherwise(server: Api) -> None:
    first = await server.deploy(GREET)
    await delete(server, "tests/greet")
    other = await server.deploy(GREET.replace("Hello", "Hi"))
    assert (other.status, other.json["type"]) == (409, "urn:wfe:problem:conflict")
    assert "was deleted at" in other.json["detail"]
    assert await versions(server) == []
    again = await server.deploy(GREET)
    assert (again.status, again.json["digest"]) == (201, first.json["digest"])
    assert (await server.deploy(GREET_2)).status == 201


async def test_runs_in_flight_keep_a_workflow_and_go_on_when_it_is_deleted_despite_them(
    server: Api,
) -> None:
    await server.deploy(WAIT)
    await server.deploy(WAIT.replace("version: '1.0.0'", "version: '2.0.0'"))
    await server.post("/v1/workflows/tests/wait/1.0.0/runs?id=waits-1", json={})
    refused = await delete(server, "tests/wait")
    assert reasons(refused) == ["runs-in-flight"]
    assert "waits-1" in refused.json["detail"]
    assert reasons(await delete(server, "tests/wait/1.0.0")) == ["runs-in-flight"]
    assert (await delete(server, "tests/wait/2.0.0")).json["runs"] == 0
    gone = await delete(server, "tests/wait?despite=runs&despite=callers")
    assert (gone.status, gone.json["runs"]) == (200, 1)
    run = (await server.get("/v1/runs/waits-1")).json
    assert run["status"] not in ("faulted", "cancelled")
    given = event("e-9", "order.paid", data={"order": 7})
    headers = {"Content-Type": "application/cloudevents+json"}
    assert (await server.post("/v1/events", json=given, headers=headers)).status == 202
    ended = (await server.get("/v1/runs/waits-1?wait=10")).json
    assert ended["status"] == "completed", ended


async def test_a_trigger_keeps_a_workflow_until_it_is_paused_and_goes_with_it(server: Api) -> None:
    await server.deploy(ON_EVENT)
    own = (await server.get("/v1/subscriptions")).json["subscriptions"][0]
    refused = await delete(server, "tests/on-order")
    assert reasons(refused) == ["triggered"]
    assert own["id"] in refused.json["detail"]
    other = {**own, "id": "another", "channel": "orders"}
    assert (await server.call("PUT", "/v1/subscriptions/another", json=other)).status == 201
    for each in (own, other):
        path = f"/v1/subscriptions/{each['id']}"
        assert (await server.call("PUT", path, json={**each, "enabled": False})).status == 200
        assert ((await delete(server, "tests/on-order")).status == 200) == (each is other)
    left = (await server.get("/v1/subscriptions")).json["subscriptions"]
    assert [each["id"] for each in left] == ["another"]
    assert (await server.deploy(ON_EVENT)).status == 201
    gone = await delete(server, "tests/on-order/1.0.0?despite=triggers")
    assert gone.status == 200
    assert len((await server.get("/v1/subscriptions")).json["subscriptions"]) == 1


async def test_the_trigger_is_that_of_the_version_that_is_the_latest_then(server: Api) -> None:
    await server.deploy(ON_EVENT)
    await server.deploy(
        ON_EVENT.replace("version: '1.0.0'", "version: '2.0.0'").replace("order.placed", "order.paid")
    )

    def strategy() -> str:
        (found,) = server.router.subscriptions()
        return str(found.strategy)

    assert "order.paid" in strategy()
    assert (await delete(server, "tests/on-order/1.0.0")).status == 200
    assert (await server.deploy(ON_EVENT)).status == 201
    assert (await delete(server, "tests/on-order/2.0.0?despite=triggers")).json["latest"] == "1.0.0"
    assert "order.placed" in strategy()


@pytest.mark.parametrize(
    ("version", "caught", "not_caught"),
    [
        ("latest", ["greet"], ["greet/1.0.0", "greet/2.0.0"]),
        ("1.0.0", ["greet", "greet/1.0.0"], ["greet/2.0.0"]),
    ],
)
async def test_workflows_that_call_it_by_name_keep_it(
    server: Api, version: str, caught: list[str], not_caught: list[str]
) -> None:
    await server.deploy(GREET)
    await server.deploy(GREET_2)
    assert (await server.deploy(SUB_FLOW.format(namespace="shop", version=version))).status == 201
    for path in caught:
        refused = await delete(server, f"tests/{path}")
        assert reasons(refused) == ["called"]
        assert "shop/parent/1.0.0" in refused.json["detail"]
    for path in not_caught[:1]:
        assert (await delete(server, f"tests/{path}")).status == 200
    assert (await delete(server, "tests/greet?despite=callers")).status == 200


async def test_a_workflow_of_dsl_0_8_that_calls_it_keeps_it_and_one_that_calls_itself_does_not(
    server: Api,
) -> None:
    old = "{id: 'it \"is\"', version: '1.0', specVersion: '0.8', start: a, "
    old += "states: [{name: a, type: inject, data: {}, end: true}]}"
    assert (await server.deploy(old)).status == 201
    assert (await server.deploy(OLD_SUB_FLOW % ("'it \"is\"'", "1.0"))).status == 201
    refused = await delete(server, "default/it%20%22is%22")
    assert reasons(refused) == ["called"]
    assert "default/old-parent/1.0" in refused.json["detail"]
    assert (await delete(server, "default/old-parent")).status == 200
    goes_on = old.replace('it "is"', "next").replace(
        "end: true", "end: {continueAs: {workflowId: 'it \"is\"', version: '1.0'}}"
    )
    assert (await server.deploy(goes_on)).status == 201
    assert "default/next/1.0" in (await delete(server, "default/it%20%22is%22")).json["detail"]
    itself = OLD_SUB_FLOW % ("old-parent", "1.0")
    assert (
        await server.deploy(itself.replace("version: '1.0', specVersion", "version: '2.0', specVersion"))
    ).status == 201
    assert (await delete(server, "default/old-parent")).status == 200


async def test_a_limited_token_deletes_what_it_could_deploy_and_learns_no_names_of_others(
    guarded: Any,
) -> None:
    for token in ("theirs", "shop", "runner"):
        answer = await ask(guarded, token, "DELETE", "/v1/workflows/tests/greet/1.0.0")
        assert answer.status == (404 if token == "theirs" else 403), token
    parent = SUB_FLOW.format(namespace="secret", version="1.0.0").encode()
    assert (await ask(guarded, "whole", "POST", "/v1/workflows", data=parent)).status == 201
    refused = await ask(guarded, "ours", "DELETE", "/v1/workflows/tests/greet")
    assert reasons(refused) == ["called"]
    assert "1 workflow of others" in refused.json["detail"]
    assert "secret" not in refused.body.decode()
    gone = await ask(guarded, "ours", "DELETE", "/v1/workflows/tests/greet?despite=callers")
    assert gone.status == 200
    closed = await ask(guarded, "undertaker", "DELETE", "/v1/workflows/tests/on-order?despite=triggers")
    assert (closed.status, closed.json["type"]) == (403, "urn:wfe:problem:grant-missing")


async def test_the_client_deletes_and_is_told_every_reason(server: Api, client: HttpApi) -> None:
    await server.deploy(ON_EVENT)
    with pytest.raises(Rejected, match="events start it by") as refused:
        await client.delete_workflow("tests", "on-order")
    assert [problem.code for problem in refused.value.problems] == ["triggered"]
    gone = await client.delete_workflow("tests", "on-order", "1.0.0", despite=["triggers", "runs"])
    assert gone["latest"] is None
