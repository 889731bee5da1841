from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.server import Api, api
from workflow_engine.api.client import HttpApi


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as running:
        yield running


@pytest.fixture
async def client(server) -> AsyncIterator[HttpApi]:
    async with HttpApi(server.url) as made:
        yield made
