"""The tests of a file share an event loop and, on Temporal, a worker: to begin one takes longer than most of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.running import LocalRunner, TemporalRunner, Worked
from tests.runtimes.far_side import FarSide, far_side
from tests.standins.internet import Internet
from workflow_engine.calls import Egress
from workflow_engine.calls.reach import UNLIMITED

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worked(request: pytest.FixtureRequest, internet: Internet) -> AsyncIterator[Worked]:
    shared = Worked(internet, getattr(request.module, "REACH", UNLIMITED))
    yield shared
    await shared.end()


@pytest_asyncio.fixture(
    params=["local", pytest.param("temporal", marks=pytest.mark.temporal)], loop_scope="module"
)
async def run(request: pytest.FixtureRequest, internet: Internet, worked: Worked) -> AsyncIterator[Any]:
    """Run a document to its end, on each runtime in turn; within the `REACH` of the file, if it has one."""
    if request.param == "local":
        async with Egress(**internet.egress) as egress:
            yield LocalRunner(egress, getattr(request.module, "REACH", UNLIMITED))
        return
    address = request.getfixturevalue("temporal_address")
    async with worked.runner(address) as runner:
        yield runner


@pytest_asyncio.fixture(loop_scope="module")
async def runner(temporal_address: str, worked: Worked) -> AsyncIterator[TemporalRunner]:
    """Run documents on Temporal alone, and do more to the runs than wait for them."""
    async with worked.runner(temporal_address) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def far() -> AsyncIterator[FarSide]:
    """As everywhere, but in the loop of these tests."""
    async with far_side() as started:
        yield started
