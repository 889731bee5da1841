from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.api.documents import FAIL, GREET, GREET_2, WAIT, event
from tests.api.server import api
from tests.standins.server import RawServer
from workflow_engine.api.client import HttpApi
from workflow_engine.engine.runtime import RunQuery
from workflow_engine.errors import Conflict, InvalidDocument, NotFound, Rejected, Unavailable
from workflow_engine.events.ports import Events, Published

TYPE_IS_PAID = {"mode": "one", "filters": [{"attributes": {"type": {"equals": "order.paid"}}}]}


def asks(events: Events) -> Events:
    """Type checkers see here that a client is what workers ask for events."""
    return events


async def test_a_workflow_is_deployed_shown_and_drawn(client):
    made = await client.deploy(GREET, name="greet.yaml")
    assert (made["name"], made["created"]) == ("greet", True)
    assert (await client.deploy(GREET))["created"] is False
    await client.deploy(GREET_2)
    assert [found["version"] for found in await client.workflows()] == ["2.0.0"]
    assert [found["version"] for found in await client.versions("tests", "greet")] == ["2.0.0", "1.0.0"]
    assert (await client.workflow("tests", "greet", "1.0.0"))["text"] == GREET
    assert "flowchart" in await client.graph("tests", "greet")
    assert "digraph" in await client.graph("tests", "greet", "1.0.0", format="dot")


async def test_the_problems_of_a_document_come_back_as_they_are_in_the_engine(client, server):
    wrong = GREET.replace("set:", "sett:") + "doo: []\n"
    with pytest.raises(InvalidDocument) as there:
        await client.deploy(wrong, name="greet.yaml")
    with pytest.raises(InvalidDocument) as here:
        await server.engine.deploy(wrong, name="greet.yaml")
    assert there.value.problems == here.value.problems
    assert str(there.value) == str(here.value)
    assert str(there.value).startswith("greet.yaml:4:")
    validated = await client.validate(wrong)
    assert validated["problems"] == [problem.to_json() for problem in here.value.problems]


async def test_a_run_is_started_and_waited_for(client):
    await client.deploy(GREET)
    run = await client.start("tests", "greet", None, {"name": "Ada"}, wait=10)
    assert (run["status"], run["output"]) == ("completed", {"text": "Hello, Ada"})
    assert (await client.run(str(run["id"])))["output"] == run["output"]
    once = await client.run_once(FAIL, None, run_id="once", wait=10)
    assert (once["id"], once["status"]) == ("once", "faulted")
    listed = await client.runs(RunQuery(status="faulted"))
    assert [found["id"] for found in listed["runs"]] == ["once"]


async def test_a_run_goes_on_while_the_client_waits_for_it(client):
    await client.deploy(WAIT)
    await client.start("tests", "wait", "1.0.0", {}, run_id="w", wait=0.05)
    await client.publish("default", [event("1", "order.paid", data={"order": 7})])
    assert (await client.run("w", wait=10))["output"] == {"paid": 7}
    assert (await client.control("w", "terminate", "too late"))["status"] == "completed"


async def test_errors_come_back_as_those_of_the_engine(client):
    await client.deploy(GREET)
    with pytest.raises(NotFound) as missing:
        await client.bundle("tests", "none", None)
    assert (missing.value.kind, missing.value.id) == ("workflow", "tests/none")
    with pytest.raises(NotFound):
        await client.run("none")
    with pytest.raises(Conflict, match=r"1\.0\.0"):
        await client.deploy(GREET.replace("Hello", "Hi"))
    with pytest.raises(Rejected) as rejected:
        await client.start("tests", "greet", None, {}, run_id="/x")
    assert rejected.value.code == "invalid-run-id"
    with pytest.raises(Rejected) as rejected:
        await client.publish("default", [event("1"), {"id": "2"}])
    assert rejected.value.pointer.startswith("/1")
    with pytest.raises(Rejected) as rejected:
        await client.events(limit=0)
    assert rejected.value.code == "invalid-request"


async def test_a_bundle_is_what_a_run_is_pinned_to(client, server):
    made = await client.deploy(GREET)
    bundle = await client.bundle(None, "greet", None)
    assert bundle == await server.engine.find_bundle(None, "greet", None)
    assert bundle.digest == made["digest"]
    assert bundle.graph().name.name == "greet"


async def test_events_are_published_found_and_traced(client):
    published = await client.publish("default", [event("a/ä?", "order.paid"), event("a/ä?", "order.paid")])
    assert published == [Published("a/ä?", "0:0", False), Published("a/ä?", "0:0", True)]
    found = await client.events(channel="default", since=datetime(2020, 1, 1, tzinfo=UTC), limit=5)
    assert [item["event"]["id"] for item in found["events"]] == ["a/ä?"]
    (trace,) = await client.trace("a/ä?", channel="default")
    assert trace["state"] == "none"
    assert [channel["name"] for channel in await client.channels()] == ["default"]


async def test_workers_register_listeners_and_take_them_back(client, server):
    events = asks(client)
    since = datetime.now(UTC)
    await events.listen("r/1", "/do/0/x#2", TYPE_IS_PAID, since=since, channel="default")
    assert [(item["run_id"], item["listen_id"]) for item in server.router.listeners()] == [
        ("r/1", "/do/0/x#2")
    ]
    await events.unlisten("r/1", "/do/0/x#2", used=0)
    assert server.router.listeners() == []
    await events.listen("r/1", "/do/0/x", TYPE_IS_PAID, since=since)
    await events.forget_run("r/1")
    assert server.router.listeners() == []


async def test_subscriptions_are_made_tested_and_deleted(client):
    target = {"kind": "channel", "channel": "copies"}
    made = await client.put_subscription("s:1", {"strategy": TYPE_IS_PAID, "target": target})
    assert await client.subscription("s:1") == made
    assert await client.subscriptions() == [made]
    tested = await client.test_filters(TYPE_IS_PAID, event("1", "order.paid"))
    assert tested["matches"] is True
    await client.delete_subscription("s:1")
    with pytest.raises(NotFound):
        await client.redrive("0:0")


async def test_a_wrong_token_is_refused_and_the_right_one_let_in():
    async with api(token="s3cret", loopback_only=False) as server:
        async with HttpApi(server.url, "wrong") as client:
            with pytest.raises(Rejected) as refused:
                await client.workflows()
            assert refused.value.status == 401
        async with HttpApi(server.url, "s3cret") as client:
            assert await client.workflows() == []
            assert (await client.ready())["status"] == "ready"


async def test_an_address_where_nothing_listens_is_unavailable_and_named():
    async with HttpApi("http://127.0.0.1:9") as client:
        with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9"):
            await client.workflows()


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "200 OK", "404 Not Found"])
async def test_a_server_of_another_kind_is_unavailable_and_named(status):
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n<html".encode()
    async with RawServer(answer) as server, HttpApi(server.url) as client:
        with pytest.raises(Unavailable, match=server.url):
            await client.workflows()


async def test_a_server_that_hangs_up_is_said_to_have_closed_the_connection():
    async with RawServer() as server, HttpApi(server.url) as client:
        with pytest.raises(Unavailable, match="it ended the connection without an answer"):
            await client.workflows()


async def test_a_server_that_never_answers_is_given_up():
    async with RawServer(hold=True) as server, HttpApi(server.url, timeout=0.1) as client:
        with pytest.raises(Unavailable, match="in time"):
            await client.workflows()


async def test_parts_that_cannot_be_reached_are_unavailable():
    async def ready():
        return {"temporal": "Temporal does not answer"}

    async with api(ready=ready) as server, HttpApi(server.url) as client:
        with pytest.raises(Unavailable):
            await client.ready()


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://", "http://x/?a=b", "http://x:99999"])
async def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(Rejected, match="http"):
        HttpApi(url)


async def test_connections_are_kept_and_can_be_closed_and_opened_again(client, server):
    await client.workflows()
    await client.close()
    assert await client.workflows() == []
