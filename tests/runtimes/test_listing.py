"""Runs are listed by the namespaces that somebody sees, with pages that are full: Temporal is asked for those alone."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import RunQuery, Start
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

TEXT = (
    "document: {{dsl: '1.0.0', namespace: {}, name: listed, version: '1.0.0'}}\ndo: [{{a: {{wait: PT1H}}}}]"
)


@pytest.mark.temporal
async def test_temporal_is_asked_for_the_namespaces_that_somebody_sees(temporal_address: str) -> None:
    client = await connect(temporal_address, "default")
    runtime = TemporalRuntime(client, f"test-{uuid.uuid4()}")  # whose runs no worker begins
    started = []
    for namespace in ("shop", "shop-eu", "stock", "shop"):
        bundle = Bundle.of(dsl.parse(TEXT.format(namespace)), {})
        started.append(Start(f"{namespace}-{uuid.uuid4()}", bundle.graph().name, bundle, {}))
        assert await runtime.start(started[-1])

    async def listed(*within: str, limit: int = 50) -> set[str]:
        page = await runtime.list(RunQuery(within=within, limit=limit))
        return {str(run.workflow and run.workflow.namespace) for run in page.runs}

    try:
        async with asyncio.timeout(20):
            while len((await runtime.list(RunQuery())).runs) < len(started):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await listed("shop") == {"shop"}
        assert await listed("shop-*", "stock") == {"shop-eu", "stock"}
        assert await listed("sh*") == {"shop", "shop-eu"}
        assert await listed("it's", "none*") == set()
        page = await runtime.list(RunQuery(within=("shop",), limit=2))
        assert len(page.runs) == 2
    finally:
        for start in started:
            await runtime.terminate(start.run_id, "the test is over")
