"""A run on Temporal goes on from the position of another one."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.interpreter.test_resume import DOCUMENTS, HEADER, INPUT, Stop
from tests.interpreter.test_resume import run as run_here
from tests.running import TemporalRunner
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.values import JsonObject

pytestmark = pytest.mark.temporal


@pytest.mark.parametrize("boundary", [1, 4, 9])
async def test_a_run_goes_on_from_where_another_one_was(runner: TemporalRunner, boundary: int) -> None:
    bundle = Bundle.of(dsl.parse(HEADER + DOCUMENTS["nested loops"]), {})
    graph = bundle.graph()
    whole, _ = await run_here(graph)
    with pytest.raises(Stop) as stopped:
        await run_here(graph, stop_at=boundary)
    position: JsonObject = json.loads(stopped.value.position)
    start = Start(f"positions-{uuid.uuid4()}", graph.name, bundle, INPUT, position=position)
    assert await runner.runtime.start(start)
    ended = await runner.runtime.wait(start.run_id, 30)
    assert (ended.status, ended.output) == ("completed", whole.output)
