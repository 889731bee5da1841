from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.migration.both import Both
from tests.running import internet  # noqa: F401 - a fixture
from tests.standins.internet import Internet
from workflow_engine.calls import Egress


@pytest.fixture
async def both(internet: Internet) -> AsyncIterator[Both]:  # noqa: F811
    async with Egress(**internet.egress) as egress:
        yield Both(egress)
