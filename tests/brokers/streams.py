"""A NATS server for the tests of a module, as fixtures: `pytest_plugins = ["tests.brokers.streams"]`."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import nats
import pytest

from tests.brokers.servers import nats_server


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where it listens."""
    with nats_server(tmp_path_factory.mktemp("nats")) as port:
        yield port


@pytest.fixture
async def client(port: int) -> AsyncIterator[Any]:
    """A connection to it."""
    connected = await nats.connect(f"nats://127.0.0.1:{port}")
    yield connected
    await connected.close()


@pytest.fixture
async def stored(client: Any) -> str:
    """A subject that a stream keeps."""
    name = f"s{uuid.uuid4().hex[:8]}"
    await client.jetstream().add_stream(name=name, subjects=[f"{name}.>"])
    return f"{name}.notes"
