"""A run takes the messages of a broker, each once and in order, though its worker is killed in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from pathlib import Path
from urllib.request import Request, urlopen

import nats
import pytest

from tests.acceptance.test_durability import completed, post, program, until
from tests.brokers.documents import asyncapi
from tests.brokers.servers import nats_server
from tests.cli.test_dev import dev

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

WORKFLOW = """
document: {dsl: '1.0.3', namespace: test, name: hears, version: '1.0.0'}
do:
  - hear:
      call: asyncapi
      with:
        operation: file://notes.yaml#noted
        server: {name: here}
        subscription:
          consume: {while: '${ length < 12 }'}
          foreach: {item: note, do: [{tell: {emit: {event: {with: {type: t.heard, data: '${ $note.payload.n }'}}}}}]}
      output: {as: 'map(.data)'}
"""


class Sender(threading.Thread):
    """Puts a message into the stream every 150 ms, of which each has the next number."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.sent = 0
        self.over = threading.Event()

    def run(self) -> None:
        asyncio.run(self.send())

    async def send(self) -> None:
        client = await nats.connect(f"nats://127.0.0.1:{self.port}")
        await client.jetstream().add_stream(name="notes", subjects=["notes"])
        while not self.over.is_set():
            await client.jetstream().publish("notes", json.dumps({"n": self.sent}).encode())
            self.sent += 1
            await asyncio.sleep(0.15)
        await client.close()


def test_messages_are_neither_lost_nor_doubled_when_the_worker_is_killed(tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats") as port, dev(tmp_path / "data") as running:
        base = running.urls["api"]
        document = json.dumps(asyncapi("nats", f"127.0.0.1:{port}")).encode()
        request = Request(base + "/v1/catalog/specs/notes.yaml", data=document, method="PUT")
        request.add_header("Content-Type", "application/json")
        urlopen(request, timeout=10).close()
        sender = Sender(port)
        sender.start()
        until(lambda: sender.sent, "messages are sent")
        post(base, "/v1/workflows", WORKFLOW, "application/yaml")
        post(base, "/v1/workflows/test/hears/latest/runs?id=h1", {})

        def heard() -> list[int]:
            with urlopen(base + "/v1/events?type=t.heard&limit=200", timeout=10) as answer:
                return [each["event"]["data"] for each in reversed(json.load(answer)["events"])]

        until(lambda: len(heard()) >= 3, "some messages are heard")
        os.kill(program(running, "workflow_engine", "worker"), signal.SIGKILL)
        found = completed(base, "h1")
        sender.over.set()
        sender.join(10)
        assert found == list(range(found[0], found[0] + 12))
        assert heard() == found
