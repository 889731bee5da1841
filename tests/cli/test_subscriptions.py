"""`wfe subscriptions` and `wfe dead-letters` against an API: what they do there, and what they print."""

from __future__ import annotations

import asyncio
import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from tests.api.server import api
from tests.cli.command import Ended
from tests.events.conftest import eventually
from workflow_engine.cli.main import main

AUDIT = """
channel: orders
strategy: {mode: any, filters: [{attributes: {type: {equals: order.placed}}}]}
target: {kind: webhook, url: 'http://127.0.0.1:1/nobody'}
retry: {max_attempts: 1}
"""


def wfe(*arguments: object) -> Ended:
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(each) for each in arguments])
    texts = []
    for stream in (out, err):
        stream.seek(0)
        texts.append(stream.read())
    return Ended(code, *texts)


async def test_subscriptions_are_made_held_moved_and_deleted_and_dead_letters_redriven(
    tmp_path: Path,
) -> None:
    file = tmp_path / "audit.yaml"
    file.write_text(AUDIT)
    async with api() as server:

        async def run(*arguments: object) -> Ended:
            return await asyncio.to_thread(wfe, *arguments, "--api-url", server.url)

        assert (await run("subscriptions", "list")).err == "There are no subscriptions.\n"
        none = await run("dead-letters", "list")
        assert (none.code, none.err) == (0, "There are no dead letters.\n")
        made = await run("subscriptions", "put", "audit", file)
        assert (made.code, made.json["target"]["kind"]) == (0, "webhook"), made.err
        listed = await run("subscriptions", "list")
        assert listed.out.splitlines()[1].split() == [
            "audit",
            "orders",
            "http://127.0.0.1:1/nobody",
            "enabled",
        ]
        assert (await run("subscriptions", "pause", "audit")).out == "audit paused\n"
        event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed"}
        await run("events", "publish", json.dumps(event), "--channel", "orders")
        assert (await run("subscriptions", "resume", "audit")).out == "audit enabled\n"

        async def dead(count: int) -> bool:
            return len((await server.router.events("dead-letters")).to_json()["events"]) == count  # type: ignore[arg-type]

        await eventually(lambda: dead(1))
        letters = await run("dead-letters", "list")
        assert letters.out.splitlines()[1].split()[2:5] == ["audit", "1", "1"]
        assert "no-answer: POST http://127.0.0.1:1/nobody: cannot connect" in letters.out
        assert (
            await run("dead-letters", "redrive", "--subscription", "audit")
        ).out == "1 dead letter redriven\n"
        await eventually(lambda: dead(2))
        newest, oldest = (line.split() for line in (await run("dead-letters", "list")).out.splitlines()[1:])
        assert (newest[5], bool(re.match(r"\d{4}-\d\d-\d\dT", oldest[5]))) == ("no-answer:", True)
        first = await run("dead-letters", "list", "--limit", "1", "--json")
        assert [each["redriven"] for each in first.json] == [None]
        assert (await run("dead-letters", "redrive", "0:0")).out == "1 dead letter redriven\n"
        await eventually(lambda: dead(3))
        assert (await run("dead-letters", "redrive")).code == 2
        assert (await run("dead-letters", "redrive", "0:9")).code == 1
        assert (await run("subscriptions", "seek", "audit", "earliest")).out == "audit begins at earliest\n"
        await eventually(lambda: dead(4))
        assert (await run("subscriptions", "delete", "audit")).code == 0
        gone = await run("subscriptions", "show", "audit")
        hint = "`wfe subscriptions list` shows what there is"
        assert (gone.code, gone.err) == (1, f"wfe subscriptions: no subscription 'audit'; {hint}\n")
        file.write_text(AUDIT.replace("webhook", "pigeon"))
        assert "no target of kind 'pigeon'" in (await run("subscriptions", "put", "audit", file)).err


async def test_the_filters_of_the_documentation_are_tested_on_its_event(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    section = text.partition("\n## Filters\n")[2].partition("\n## ")[0]
    yaml, order, command, answer = re.findall(r"^```\w+\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    file = tmp_path / "large-orders.yaml"
    file.write_text(yaml)
    assert command == f"wfe subscriptions test {file.name} @order.json\n"
    async with api() as server:

        async def run(*arguments: object) -> Ended:
            return await asyncio.to_thread(wfe, *arguments, "--api-url", server.url)

        assert (await run("subscriptions", "put", "large-orders", file)).code == 0
        assert (await run("subscriptions", "test", file, order)).json == json.loads(answer)
        small = await run("subscriptions", "test", file, order.replace("250", "25"))
        assert small.json == {"matches": False, "filters": [0, 1, 2], "errors": []}
        file.write_text(yaml.replace("numeric: ['>'", "numeric: ['~'"))
        refused = await run("subscriptions", "test", file, order)
        assert refused.code == 2
        assert "/filters/3/pattern/data/amount/0/numeric/0" in refused.err
