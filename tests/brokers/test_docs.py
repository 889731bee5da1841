"""What docs/brokers.md promises, done as it says: a service's messages start a workflow, whose events go back to it."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.api.server import api
from tests.brokers.servers import nats_server
from tests.cli.command import Ended
from tests.cli.test_subscriptions import wfe
from tests.events.conftest import eventually

PAGE = (Path(__file__).parents[2] / "docs" / "brokers.md").read_text()
FILES = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
SHELL = re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in SHELL for line in block.splitlines()]


async def test_the_commands_of_the_page_bring_messages_to_a_workflow_and_its_events_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with nats_server(tmp_path / "nats") as port:
        for name, text in FILES:
            (tmp_path / name).write_text(text.replace("127.0.0.1:4222", f"127.0.0.1:{port}"))
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        await client.jetstream().add_stream(name="orders", subjects=["orders.>"])
        async with api() as server:
            monkeypatch.setenv("WFE_API_URL", server.url)

            async def do(line: str) -> Ended:
                program, *given = shlex.split(line.partition("  #")[0])
                assert program == "wfe"
                files = [str(tmp_path / each) if (tmp_path / each).exists() else each for each in given]
                ended = await asyncio.to_thread(wfe, *files)
                assert ended.code == 0, (line, ended.err)
                return ended

            said = {line: await do(line) for line in COMMANDS}
            added = next(ended for line, ended in said.items() if "sources add" in line)
            assert added.out == "orders hears orders.placed into channel orders.placed\n"
            await eventually(lambda: heard(server))
            for order in range(3):
                await client.jetstream().publish("orders.placed", json.dumps({"order": order}).encode())
            shipped = await client.jetstream().subscribe("orders.shipped")
            found = [json.loads((await shipped.next_msg(timeout=20)).data) for _ in range(3)]
            assert sorted(each["order"] for each in found) == [0, 1, 2]
            assert "hearing" in (await do("wfe sources list")).out
            assert (await do("wfe sources pause orders")).out == "orders paused\n"
            assert json.loads((await do("wfe sources show orders")).out)["status"]["stored"] == 3
            assert (await do("wfe sources delete orders")).code == 0
        await client.close()


async def heard(server: Any) -> bool:
    return (await server.get("/v1/sources/orders")).json["status"]["state"] == "hearing"
