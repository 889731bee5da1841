"""Lists of a server, its channels, and what is deleted there: what the commands do and print."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.api.documents import GREET, GREET_2, ON_EVENT
from tests.api.server import api
from tests.cli.command import Ended
from tests.cli.test_subscriptions import wfe


async def test_lists_go_through_all_pages_channels_are_shown_and_workflows_deleted(monkeypatch: Any) -> None:
    async with api() as server:

        async def run(*arguments: object) -> Ended:
            return await asyncio.to_thread(wfe, *arguments, "--api-url", server.url)

        assert (await run("channels", "list")).err == "There are no channels yet; publishing makes them.\n"
        for number in range(105):
            await server.router.create_channel(f"c-{number:03}")
        listed = await run("channels", "list", "--json")
        assert [each["name"] for each in listed.json] == [f"c-{number:03}" for number in range(105)]
        assert len((await run("events", "channels", "--limit", "3")).out.splitlines()) == 4
        pull = {"channel": "c-001", "target": {"kind": "pull"}, "filters": [], "enabled": False}
        assert (await server.call("PUT", "/v1/subscriptions/work", json=pull)).status == 201
        hook = {"channel": "c-001", "verify": {"scheme": "none"}}
        assert (await server.call("PUT", "/v1/sources/hook", json=hook)).status == 200
        shown = await run("channels", "show", "c-001")
        assert shown.code == 0, shown.err
        lines = [line.strip() for line in shown.out.splitlines()]
        assert "kept in        memory, not durable, partitions: 1" in lines
        assert "work: pull, paused" in lines
        assert "hook: webhooks" in lines
        assert (await run("channels", "show", "c-001", "--json")).json["heard_by"][0]["id"] == "work"
        gone = await run("channels", "show", "none")
        assert (gone.code, gone.err) == (
            1,
            "wfe channels: no channel 'none'; `wfe channels list` shows what there is\n",
        )
        assert len((await run("subscriptions", "list", "--channel", "c-001", "--json")).json) == 1
        assert (await run("sources", "list", "--channel", "c-002", "--json")).json == []

        for text in (GREET, GREET_2, ON_EVENT):
            assert (await server.deploy(text)).status == 201
        assert (
            len((await run("workflows", "list", "--namespace", "tests", "--limit", "1", "--json")).json) == 1
        )
        started = await run("start", "tests/greet:1.0.0", "--wait", "--input", '{"name": "Ann"}')
        assert (started.code, started.json["workflow"]["version"]) == (0, "1.0.0"), started.err
        runs = await run("runs", "list", "--workflow", "tests/greet:1.0.0", "--json")
        assert [each["id"] for each in runs.json] == [started.json["id"]]
        refused = await run("workflows", "delete", "on-order", "--yes")
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.startswith("wfe workflows: tests/on-order is in use: events start it by")
        unsure = await run("workflows", "delete", "greet")
        assert (unsure.code, "Delete 2 versions of tests/greet? Say --yes" in unsure.err) == (2, True)
        assert (await run("workflows", "delete", "greet:latest", "--yes")).code != 0
        deleted = await run("workflows", "delete", "tests/greet:2.0.0", "--yes")
        assert (deleted.code, deleted.out.split()[-1]) == (0, "deleted"), deleted.err
        assert deleted.err == "The latest version of tests/greet is 1.0.0.\n"
        whole = await run("workflows", "delete", "on-order", "--yes", "--despite", "triggers,runs", "--json")
        assert (whole.code, whole.json["latest"]) == (0, None), whole.err
