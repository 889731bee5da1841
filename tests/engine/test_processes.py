"""Workflows that start processes are refused where the operator does not let them, when they are deployed."""

from __future__ import annotations

import pytest

from workflow_engine.dsl.needs import Need
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.errors import InvalidDocument, NotFound
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.values import Json

TEXT = """
document: {dsl: '1.0.3', namespace: tests, name: processes, version: '1.0.0'}
use:
  functions:
    listed: {run: {shell: {command: ls}}}
do:
  - tidy:
      try: [{script: {run: {script: {language: js, code: '1'}}}}]
      catch: {}
  - list: {call: listed}
  - box: {run: {container: {image: alpine}}}
  - tool: {call: mcp, with: {method: tools/list, transport: {stdio: {command: tool}}}}
  - far: {call: mcp, with: {method: tools/list, transport: {http: {endpoint: 'https://x.example'}}}}
"""
PLACES = {
    "script": "/do/0/tidy/try/0/script",
    "shell": "/use/functions/listed",
    "container": "/do/2/box",
    "mcp": "/do/3/tool",
}


async def nothing(need: Need) -> Json:
    raise NotFound("resource", need.reference)


async def engine(allowed: set[str] | None) -> Engine:
    client = await connect("127.0.0.1:1", "default", lazy=True)
    runtime = TemporalRuntime(client, "nobody")
    return Engine(MemoryDefinitions(), runtime, resolve=nothing, processes=allowed)


@pytest.mark.parametrize("missing", PLACES)
async def test_a_process_of_a_kind_that_is_not_allowed_is_a_problem_where_it_stands(missing: str) -> None:
    made = await engine(set(PLACES) - {missing})
    with pytest.raises(InvalidDocument) as caught:
        await made.deploy(TEXT)
    [problem] = caught.value.problems
    assert (problem.code, problem.pointer) == ("process-not-allowed", PLACES[missing])
    assert "WFE_PROCESSES" in problem.message
    assert problem.line > 0


async def test_each_process_is_told_and_nothing_of_the_workflow_is_kept() -> None:
    made = await engine(set())
    for attempt in (made.deploy, lambda text: made.run_once(text, {})):
        with pytest.raises(InvalidDocument) as caught:
            await attempt(TEXT)
        found = {problem.pointer for problem in caught.value.problems}
        assert found == set(PLACES.values())
    assert list(await made.workflows()) == []


@pytest.mark.parametrize("allowed", [None, set(PLACES)])
async def test_what_is_allowed_is_deployed(allowed: set[str] | None) -> None:
    deployed = await (await engine(allowed)).deploy(TEXT)
    assert deployed.created
