"""`/v1/schedules`, over the real Temporal server; no worker is there, so nothing that is started ends."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from tests.api.server import Api, api
from workflow_engine.api.client import HttpApi
from workflow_engine.engine.scheduling import Scheduling
from workflow_engine.errors import Conflict, NotFound, Unavailable
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.schedules import TemporalSchedules

pytestmark = pytest.mark.temporal
URN = "urn:wfe:problem:"


def text(name: str, schedule: str, version: str = "1.0.0", metadata: str = "{}") -> str:
    header = f"dsl: '1.0.3', namespace: tests, name: {name}, version: '{version}', metadata: {metadata}"
    return f"document: {{{header}}}\nschedule: {schedule}\ndo: [{{rest: {{wait: PT1H}}}}]\n"


async def scheduling(server: Api, address: str, queue: str) -> TemporalSchedules:
    client = await connect(address, "default", lazy=True)
    schedules = TemporalSchedules(client, queue, search_attributes=False)
    server.engine.scheduling = Scheduling(server.engine._store, schedules)
    return schedules


@pytest.fixture
async def server(temporal_address: str) -> AsyncIterator[Api]:
    async with api() as running:
        schedules = await scheduling(running, temporal_address, f"test-{uuid.uuid4()}")
        yield running
        for definition in await running.engine.workflows():
            await schedules.remove(definition.workflow.namespace, definition.workflow.name)


async def test_a_deployed_workflow_is_answered_with_its_next_moments(server: Api) -> None:
    made = await server.deploy(text("hourly", "{every: PT1H}"))
    assert made.status == 201
    schedule = made.json["schedule"]
    assert (schedule["every"], schedule["cron"], schedule["after"]) == ("PT1H", None, None)
    assert len(schedule["next"]) == 5
    shown = await server.get("/v1/schedules/tests/hourly")
    assert (shown.status, shown.json) == (200, schedule)
    again = await server.deploy(text("hourly", "{every: PT1H}"))
    assert (again.status, again.json["schedule"]) == (200, schedule)


async def test_schedules_are_listed_by_name_without_workflows_that_have_none(server: Api) -> None:
    assert (await server.get("/v1/schedules")).json == {"schedules": [], "cursor": None}
    await server.deploy(text("b", "{cron: '0 6 * * *'}", metadata="{timezone: Europe/Rome}"))
    await server.deploy(text("a", "{after: PT30S}"))
    await server.deploy(text("c", "{on: {one: {with: {type: c}}}}"))
    listed = (await server.get("/v1/schedules")).json["schedules"]
    assert [item["name"] for item in listed] == ["a", "b"]
    assert (listed[1]["cron"], listed[1]["timezone"]) == ("0 6 * * *", "Europe/Rome")
    assert listed[0]["after"] == "PT30S"
    assert "no worker" in listed[0]["remark"]


async def test_a_schedule_is_paused_resumed_and_triggered(server: Api) -> None:
    await server.deploy(text("nightly", "{cron: '0 0 * * *'}"))
    paused = await server.post("/v1/schedules/tests/nightly/pause?reason=holidays")
    assert paused.status == 202
    assert (paused.json["paused"], paused.json["note"], paused.json["next"]) == (True, "holidays", [])
    triggered = await server.post("/v1/schedules/tests/nightly/trigger")
    assert (triggered.status, triggered.json["started"]) == (202, 1)
    [run] = triggered.json["recent"]
    assert triggered.json["running"] == [run["id"]]
    busy = await server.post("/v1/schedules/tests/nightly/trigger")
    assert (busy.status, busy.json["type"]) == (409, URN + "conflict")
    assert run["id"] in busy.json["detail"]
    resumed = await server.post("/v1/schedules/tests/nightly/resume")
    assert not resumed.json["paused"]
    assert resumed.json["next"]


async def test_what_is_not_there_is_a_problem_of_its_own(server: Api) -> None:
    await server.deploy(text("by-event", "{on: {one: {with: {type: c}}}}"))
    for path in ("nothing", "by-event"):
        missing = await server.get(f"/v1/schedules/tests/{path}")
        assert (missing.status, missing.json["type"]) == (404, URN + "not-found")
    assert "has no schedule of the clock" in missing.json["detail"]
    assert (await server.post("/v1/schedules/tests/by-event/pause")).status == 404
    assert (await server.post("/v1/schedules/tests/by-event/burn")).status == 400
    await server.deploy(text("long", "{every: P1D}"))
    assert (await server.post(f"/v1/schedules/tests/long/pause?reason={'x' * 1001}")).status == 400


async def test_the_client_has_the_same_errors(server: Api) -> None:
    await server.deploy(text("daily", "{every: P1D}"))
    async with HttpApi(server.url) as client:
        assert [item["every"] for item in await client.schedules()] == ["P1D"]
        assert (await client.control_schedule("tests", "daily", "pause", "because"))["note"] == "because"
        assert (await client.schedule("tests", "daily"))["paused"]
        with pytest.raises(NotFound):
            await client.schedule("tests", "nothing")
        await server.deploy(text("cron", "{cron: '0 0 1 1 *'}"))
        await client.control_schedule("tests", "cron", "trigger")
        with pytest.raises(Conflict):
            await client.control_schedule("tests", "cron", "trigger")


async def test_while_temporal_cannot_be_reached_workflows_are_deployed_and_schedules_say_so() -> None:
    async with api() as server:
        await scheduling(server, "127.0.0.1:1", "nowhere")
        made = await server.deploy(text("hourly", "{every: PT1H}"))
        assert made.status == 201
        assert "will be once it can" in made.json["schedule"]["remark"]
        assert (await server.get("/v1/workflows/tests/hourly/latest")).status == 200
        [listed] = (await server.get("/v1/schedules")).json["schedules"]
        assert "Temporal does not answer" in listed["remark"]
        async with HttpApi(server.url) as client:
            with pytest.raises(Unavailable):
                await client.control_schedule("tests", "hourly", "pause")


async def test_a_schedule_that_cannot_be_kept_is_refused_with_its_place(server: Api) -> None:
    refused = await server.deploy(text("often", "{every: PT0.1S}"))
    assert (refused.status, refused.json["type"]) == (400, URN + "invalid-document")
    [problem] = refused.json["problems"]
    assert (problem["code"], problem["pointer"], problem["line"]) == (
        "invalid-interval",
        "/schedule/every",
        2,
    )
