"""Lists in pages: each item once and in order, whatever comes meanwhile, and of one's own as many as are asked for."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api.documents import GREET
from tests.api.server import Api, Reply, api
from tests.api.test_schedules import scheduling, text
from workflow_engine.api.access import Tokens
from workflow_engine.api.client import HttpApi
from workflow_engine.api.grants import Grant
from workflow_engine.events.looking import MOST_SOURCES

LIMITED = Grant.of("admin", ["ours*"], ["ours*"])
SPEC = """\
asyncapi: 2.6.0
info: {{title: {name}, version: {version}}}
channels: {{}}
"""

EVERY = {"mode": "any", "filters": [{}]}

Make = Callable[[Api, str], Awaitable[Reply]]


async def workflow(server: Api, name: str) -> Reply:
    """A workflow in a namespace of that name."""
    return await ask(server, "POST", "/v1/workflows", GREET.replace("namespace: tests", f"namespace: {name}"))


async def subscription(server: Api, name: str) -> Reply:
    body = {"channel": name, "target": {"kind": "pull"}, "filters": []}
    return await ask(server, "PUT", f"/v1/subscriptions/{name}", body)


async def source(server: Api, name: str) -> Reply:
    body = {"channel": name, "verify": {"scheme": "none"}}
    return await ask(server, "PUT", f"/v1/sources/{name}", body)


async def channel(server: Api, name: str) -> Reply:
    return await ask(server, "PUT", f"/v1/channels/{name}", {})


async def spec(server: Api, name: str) -> Reply:
    return await ask(server, "PUT", f"/v1/catalog/specs/{name}", SPEC.format(name=name, version="1.0.0"))


async def listener(server: Api, name: str) -> Reply:
    since = "2026-01-01T00:00:00Z"
    body = {"run_id": name, "listen_id": "/do/0", "channel": "c", "spec": EVERY, "since": since}
    return await ask(server, "PUT", "/v1/listeners", body)


ALONE: dict[str, tuple[Make, str, str]] = {
    "listeners": (listener, "listeners", "run_id"),
    "backlog": (subscription, "subscriptions", "id"),
}
"""What is for unlimited tokens alone."""
LISTS: dict[str, tuple[Make, str, str]] = {
    "channels": (channel, "channels", "name"),
    "workflows": (workflow, "workflows", "namespace"),
    "subscriptions": (subscription, "subscriptions", "id"),
    "sources": (source, "sources", "id"),
    "catalog/specs": (spec, "specs", "name"),
}


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    tokens = Tokens({"admin": "whole"}, [(_digest("limited"), LIMITED)])
    async with api(access=tokens, loopback_only=False) as running:
        yield running


def _digest(token: str) -> str:
    from hashlib import sha256

    return sha256(token.encode()).hexdigest()


async def ask(server: Api, method: str, path: str, body: Any = None, token: str = "whole") -> Reply:
    headers = {"Authorization": f"Bearer {token}"}
    if isinstance(body, str):
        headers["Content-Type"] = "application/yaml"
        return await server.call(method, path, data=body.encode(), headers=headers)
    return await server.call(method, path, headers=headers, **({} if body is None else {"json": body}))


async def pages(
    server: Api,
    what: str,
    limit: int,
    token: str = "whole",
    between: Callable[[], Awaitable[Any]] | None = None,
) -> list[list[str]]:
    _, member, key = (LISTS | ALONE)[what]
    found, cursor = [], ""
    while True:
        page = await ask(server, "GET", f"/v1/{what}?limit={limit}{cursor}", token=token)
        assert page.status == 200, page.json
        found.append([item[key] for item in page.json[member]])
        if page.json["cursor"] is None:
            return found
        cursor = f"&cursor={page.json['cursor']}"
        if between is not None:
            await between()


async def test_lists_come_in_pages_that_go_on_whatever_is_made_meanwhile(server: Api) -> None:
    for what in LISTS:
        await check(server, what)


@pytest.mark.parametrize("what", ALONE)
async def test_what_listens_and_what_waits_comes_in_pages_too(server: Api, what: str) -> None:
    await check(server, what)
    page = (await ask(server, "GET", f"/v1/{what}?limit=1")).json
    if what == "backlog":
        assert page["listeners"]["waiting"] == page["dead_letters"]["count"] == 0
    async with HttpApi(server.url, "whole") as client:
        whole = await client.listeners() if what == "listeners" else (await client.backlog())["subscriptions"]
        assert len(whole) == 11 == len({str(each) for each in whole})


async def test_the_backlog_of_very_many_subscriptions_is_whole_for_the_client(server: Api) -> None:
    for number in range(105):
        await subscription(server, f"s-{number:03}")
    async with HttpApi(server.url, "whole") as client:
        found: Any = await client.backlog()
        assert [each["id"] for each in found["subscriptions"]] == [f"s-{number:03}" for number in range(105)]
        assert found.keys() == {"subscriptions", "listeners", "dead_letters"}


async def test_what_runs_listen_for_is_narrowed_by_channel_and_run(server: Api) -> None:
    for run, place, name in (
        ("r", "/do/1", "c"),
        ("r", "/do/0", "c"),
        ("r", "/do/2", "b"),
        ("r1", "/do/0", "c"),
    ):
        body = {
            "run_id": run,
            "listen_id": place,
            "channel": name,
            "spec": EVERY,
            "since": "2026-01-01T00:00:00Z",
        }
        assert (await ask(server, "PUT", "/v1/listeners", body)).status == 204

    async def found(query: str) -> list[tuple[str, str, str]]:
        page = (await ask(server, "GET", f"/v1/listeners?{query}")).json
        return [(each["channel"], each["run_id"], each["listen_id"]) for each in page["listeners"]]

    first, *rest = [("b", "r", "/do/2"), ("c", "r", "/do/0"), ("c", "r", "/do/1"), ("c", "r1", "/do/0")]
    assert await found("") == [first, *rest]
    assert await found("channel=c") == rest
    assert await found("run_id=r") == [first, *rest[:2]]
    assert await found("run_id=r&channel=c") == rest[:2]
    assert await found("run_id=q") == await found("channel=none") == []


async def check(server: Api, what: str) -> None:
    make, _, _ = (LISTS | ALONE)[what]
    for name in ("ours-2", "theirs", "ours-1", "b", "ours-4"):
        assert (await make(server, name)).status in (200, 201, 204)
    whole = ["b", "ours-1", "ours-2", "ours-4", "theirs"]
    assert await pages(server, what, 2) == [["b", "ours-1"], ["ours-2", "ours-4"], ["theirs"]]
    if what not in ("catalog/specs", *ALONE):
        assert await pages(server, what, 2, "limited") == [["ours-1", "ours-2"], ["ours-4"]]
    new = itertools.count()

    async def between() -> None:
        assert (await make(server, f"a-{next(new)}")).status in (200, 201, 204)
        assert (await make(server, f"ours-3-{next(new)}")).status in (200, 201, 204)

    seen = list(itertools.chain(*await pages(server, what, 2, between=between)))
    assert seen == sorted(set(seen))
    assert [name for name in seen if name in whole] == whole
    assert "ours-3-1" in seen
    assert not any(name.startswith("a-") for name in seen)
    wrong = await ask(server, "GET", f"/v1/{what}?cursor=nonsense")
    assert (wrong.status, wrong.json["type"]) == (400, "urn:wfe:problem:invalid-cursor")
    for limit in (0, 1001):
        assert (await ask(server, "GET", f"/v1/{what}?limit={limit}")).status == 400


async def test_versions_of_a_workflow_come_in_pages(server: Api) -> None:
    for version in ("1.9.0", "1.10.0", "1.2.0"):
        await ask(server, "POST", "/v1/workflows", GREET.replace("version: '1.0.0'", f"version: '{version}'"))
    first = (await ask(server, "GET", "/v1/workflows/tests/greet?limit=2")).json
    assert [each["version"] for each in first["versions"]] == ["1.10.0", "1.9.0"]
    cursor = first["cursor"]
    await ask(server, "DELETE", "/v1/workflows/tests/greet/1.9.0")
    rest = (await ask(server, "GET", f"/v1/workflows/tests/greet?cursor={cursor}")).json
    assert ([each["version"] for each in rest["versions"]], rest["cursor"]) == (["1.2.0"], None)


async def test_lists_are_narrowed_by_namespace_name_and_channel(server: Api) -> None:
    for name in ("ours", "theirs"):
        for make in (workflow, subscription, source):
            await make(server, name)

    async def found(path: str, member: str, token: str = "whole") -> int:
        return len((await ask(server, "GET", path, token=token)).json[member])

    assert await found("/v1/workflows?namespace=ours", "workflows") == 1
    assert await found("/v1/workflows?name=greet", "workflows") == 2
    assert await found("/v1/workflows?name=gree", "workflows") == 0
    assert await found("/v1/workflows?namespace=theirs", "workflows", "limited") == 0
    assert await found("/v1/workflows?namespace=*", "workflows") == 0
    assert await found("/v1/subscriptions?channel=ours", "subscriptions") == 1
    assert await found("/v1/sources?channel=theirs", "sources") == 1
    assert await found("/v1/sources?channel=theirs", "sources", "limited") == 0


async def test_a_page_of_few_sources_among_very_many_says_how_it_goes_on(server: Api) -> None:
    for name in ("a-1", "a-2", "ours-1", "z-1"):
        await source(server, name)

    def ours(each: Any) -> bool:
        return str(each.channel).startswith("ours")

    assert MOST_SOURCES > 4
    assert await server.router.sources_after(None, 5, ours, most=2) == ([], "a-2")
    (found,), behind = await server.router.sources_after("a-2", 1, ours, most=2)
    assert (found.id, behind) == ("ours-1", "z-1")
    assert await server.router.sources_after("z-1", 1, ours, most=2) == ([], None)


async def test_the_client_goes_through_all_pages_or_so_far_as_it_is_asked(server: Api) -> None:
    for number in range(7):
        await channel(server, f"c-{number}")
    async with HttpApi(server.url, "whole") as client:
        first = await client.page("channels", limit=3)
        second = await client.page("channels", limit=3, cursor=str(first["cursor"]))
        assert [each["name"] for each in [*first["channels"], *second["channels"]]] == [
            f"c-{number}" for number in range(6)
        ]
        assert len(await client.channels()) == 7
        assert len(await client.channels(limit=5)) == 5
        assert [each["name"] for each in await client.every("channels", 2)] == ["c-0", "c-1"]


@pytest.mark.temporal
async def test_schedules_come_in_pages_of_those_that_are_ones_own(temporal_address: str) -> None:
    tokens = Tokens({"admin": "whole"}, [(_digest("limited"), LIMITED)])
    async with api(access=tokens, loopback_only=False) as server:
        schedules = await scheduling(server, temporal_address, f"test-{uuid.uuid4()}")
        for namespace in ("ours-1", "theirs", "ours-2"):
            for name, clock in (
                ("b", "{every: PT1H}"),
                ("a", "{cron: '0 6 * * *'}"),
                ("c", "{on: {one: {with: {type: c}}}}"),
            ):
                document = text(name, clock).replace("namespace: tests", f"namespace: {namespace}")
                assert (await ask(server, "POST", "/v1/workflows", document)).status == 201
        found, cursor = [], ""
        while True:
            page = (await ask(server, "GET", f"/v1/schedules?limit=3{cursor}", token="limited")).json
            found.append([f"{each['namespace']}/{each['name']}" for each in page["schedules"]])
            if page["cursor"] is None:
                break
            cursor = f"&cursor={page['cursor']}"
        assert found == [["ours-1/a", "ours-1/b", "ours-2/a"], ["ours-2/b"]]
        assert len((await ask(server, "GET", "/v1/schedules")).json["schedules"]) == 6
        refused = await ask(server, "DELETE", "/v1/workflows/theirs/b")
        assert [each["code"] for each in refused.json["problems"]] == ["scheduled"]
        assert (await ask(server, "POST", "/v1/schedules/theirs/b/pause")).status == 202
        assert (await ask(server, "DELETE", "/v1/workflows/theirs/b")).status == 200
        assert (await ask(server, "DELETE", "/v1/workflows/theirs/a?despite=schedule")).status == 200
        # Whoever deleted this one has died before it came to its schedule.
        await server.engine.store.remove("ours-1", "a", ["1.0.0"], datetime.now(UTC))
        keeping = asyncio.create_task(server.engine.scheduling.keep())
        for _ in range(200):  # the list of Temporal is some moments late
            if set(await schedules.names()) == {("ours-1", "b"), ("ours-2", "a"), ("ours-2", "b")}:
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("the clock goes on starting what is deleted")
        keeping.cancel()
        for namespace, name in await schedules.names():
            await schedules.remove(namespace, name)
