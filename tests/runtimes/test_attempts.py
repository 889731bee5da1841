"""Retries of one call on a real server: made by its activity, without a word in the history of the run. The first
attempt of a call that nothing goes on beside is made within the workflow task (`test_inline`), at one event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from aiohttp import web
from temporalio.api.enums.v1 import EventType

from tests.running import TemporalRunner
from tests.standins.server import Server, serve

pytestmark = pytest.mark.temporal
NAME = "dsl: '1.0.3', namespace: test, name: attempts, version: '1.0.0'"


def answering(*statuses: int, large: int = 0) -> Callable[[], web.Application]:
    """A service that answers with *statuses*, one after the other, the last one again and again."""

    def make() -> web.Application:
        left = list(statuses)

        async def answer(request: web.Request) -> web.Response:
            status = left.pop(0) if len(left) > 1 else left[0]
            return web.json_response({"status": status, "large": "x" * large}, status=status)

        app = web.Application()
        app.router.add_route("*", "/", answer)
        return app

    return make


def document(server: Server, catch: str, *, metadata: str = "{}", output: str = "", around: str = "") -> str:
    call = f"call: http, with: {{method: post, endpoint: '{server.url}/'}}{output}"
    return (
        f"document: {{{NAME}, metadata: {metadata}}}\n"
        f"do: [{{a: {{try: [{{b: {{{call}}}}}], catch: {catch}{around}}}}}, {{c: {{set: '${{ {{a: .}} }}'}}}}]"
    )


async def events(runner: TemporalRunner, run_id: str) -> Counter[str]:
    return Counter(
        EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in await runner.history(run_id)
    )


def keys(server: Server) -> set[str | None]:
    return {request.headers.get("Idempotency-Key") for request in server.requests}


async def test_attempts_write_no_events_and_have_one_key(runner: TemporalRunner) -> None:
    async with serve(answering(503, 500, 503, 200)()) as server:
        catch = (
            "{errors: {with: {type: communication}}, retry: {delay: PT0.02S, limit: {attempt: {count: 5}}}}"
        )
        ended = await runner(document(server, catch, output=", output: {as: .status}"))
        assert (ended.status, ended.output) == ("completed", {"a": 200}), ended.error
        assert len(server.requests) == 4
        assert keys(server) == {f"{ended.run_id}/do/0/a/try/0/b"}
    assert sum((await events(runner, ended.run_id)).values()) == 5 + 1 + 6


async def test_longer_waits_are_the_servers_and_count_as_well(runner: TemporalRunner) -> None:
    async with serve(answering(503)()) as server:
        catch = (
            "{retry: {delay: PT1.01S, limit: {attempt: {count: 2}}},"
            " do: [{d: {set: '${ {status: $error.status, at: $error.instance} }'}}]}"
        )
        ended = await runner(document(server, catch))
        assert (ended.status, ended.output) == (
            "completed",
            {"a": {"status": 503, "at": "/do/0/a/try/0/b"}},
        ), ended.error
        assert len(server.requests) == 3
        assert len(keys(server)) == 1
    assert sum((await events(runner, ended.run_id)).values()) == 5 + 1 + 6


async def test_conditions_are_asked_where_the_call_is_made(runner: TemporalRunner) -> None:
    async with serve(answering(503, 503, 404, 200)()) as server:
        catch = "{retry: {when: .status == $input.again, limit: {attempt: {count: 9}}}, then: exit}"
        ended = await runner(document(server, catch), {"again": 503})
        assert ended.status == "completed", ended.error
        assert len(server.requests) == 3
    assert sum((await events(runner, ended.run_id)).values()) == 5 + 1 + 6


async def test_a_policy_that_fails_itself_fails_as_it_does_in_the_run(runner: TemporalRunner) -> None:
    async with serve(answering(503)()) as server:
        catch = "{retry: {when: 'error(\"no\")', limit: {attempt: {count: 9}}}, do: [{d: {set: never}}]}"
        ended = await runner(document(server, catch))
        assert ended.error is not None
        assert str(ended.error["type"]).endswith("/expression")
        assert ended.error["instance"] == "/do/0/a"
        assert len(server.requests) == 1


async def test_an_attempt_that_takes_too_long_is_made_again(runner: TemporalRunner) -> None:
    pauses = [5.0, 5.0]

    async def slow(request: web.Request) -> web.Response:
        import asyncio

        await asyncio.sleep(pauses.pop(0) if pauses else 0.0)
        return web.json_response({"status": 200})

    app = web.Application()
    app.router.add_post("/", slow)
    async with serve(app) as server:
        catch = "{errors: {with: {type: timeout}}, retry: {limit: {attempt: {count: 9, duration: PT0.3S}}}}"
        ended = await runner(document(server, catch, output=", output: {as: .status}"))
        assert (ended.status, ended.output) == ("completed", {"a": 200}), ended.error
    assert sum((await events(runner, ended.run_id)).values()) == 5 + 1 + 6


async def test_what_a_filter_leaves_out_never_comes_into_the_history(runner: TemporalRunner) -> None:
    async with serve(answering(503, 200, large=200_000)()) as server:
        catch = "{retry: {limit: {attempt: {count: 5}}}}"
        output = ", output: {as: '${ {of: $input.n, status: .status} }'}"
        ended = await runner(document(server, catch, output=output), {"n": 1})
        assert (ended.status, ended.output) == ("completed", {"a": {"of": 1, "status": 200}}), ended.error
    history = await runner.history(ended.run_id)
    assert sum(event.ByteSize() for event in history) < 10_000
    assert not any(b"x" * 500 in event.SerializeToString() for event in history)


async def test_a_filter_that_fails_is_a_failed_attempt(runner: TemporalRunner) -> None:
    async with serve(answering(200, 201)()) as server:
        output = ", output: {as: 'if .status == 200 then error(\"early\") else .status end'}"
        ended = await runner(document(server, "{retry: {limit: {attempt: {count: 5}}}}", output=output))
        assert (ended.status, ended.output) == ("completed", {"a": 201}), ended.error
        assert len(server.requests) == 2


async def test_what_follows_the_filter_in_the_run_counts_the_attempts_before(runner: TemporalRunner) -> None:
    async with serve(answering(503, 503, 200)()) as server:
        catch = "{retry: {limit: {attempt: {count: 3}}}, do: [{d: {set: '${ $error.title }'}}]}"
        ended = await runner(document(server, catch, output=", export: {as: 'error(\"no\")'}"))
        assert (ended.status, ended.output) == ("completed", {"a": "Expression Error"}), ended.error
        assert len(server.requests) == 4


async def test_who_listens_hears_of_each_attempt(runner: TemporalRunner) -> None:
    async with serve(answering(503, 503, 200)()) as server:
        catch = "{retry: {limit: {attempt: {count: 5}}}}"
        ended = await runner(document(server, catch, metadata="{lifecycleEvents: task}"))
        assert ended.status == "completed", ended.error
        told = Counter(str(event["type"]) for event in await runner.told("lifecycle", ended.run_id))
        assert keys(server) == {f"{ended.run_id}/do/0/a/try/0/b"}
    assert told["io.serverlessworkflow.task.retried.v1"] == 2


@pytest.mark.parametrize(("delay", "activities"), [("PT0.02S", 0), ("PT1.2S", 1)])
async def test_attempts_of_an_express_run_are_made_within_its_task_or_by_one_activity(
    runner: TemporalRunner, delay: str, activities: int
) -> None:
    async with serve(answering(503, 503, 200)()) as server:
        catch = f"{{retry: {{delay: {delay}, limit: {{attempt: {{count: 2}}}}}}}}"
        text = document(server, catch, metadata="{express: true}", output=", output: {as: .status}")
        ended = await runner(text)
        assert (ended.status, ended.output) == ("completed", {"a": 200}), ended.error
        assert len(server.requests) == 3
        assert len(keys(server)) == 1
    counted = await events(runner, ended.run_id)
    assert (counted["MARKER_RECORDED"], counted["ACTIVITY_TASK_SCHEDULED"]) == (1, activities)


@pytest.mark.parametrize("delay", ["PT0.02S", "PT1.01S"])
async def test_an_attempt_that_an_express_run_has_made_within_its_task_counts(
    runner: TemporalRunner, delay: str
) -> None:
    async with serve(answering(503)()) as server:
        catch = f"{{retry: {{delay: {delay}, limit: {{attempt: {{count: 1}}}}}}}}"
        ended = await runner(document(server, catch, metadata="{express: true}"))
        assert ended.status == "faulted"
        assert len(server.requests) == 2
