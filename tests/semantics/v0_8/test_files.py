"""Definitions and schemas in files of their own: found when a workflow is deployed, and pinned (dsl.md §2.1, B39)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

import catalog
from tests.semantics.v0_8.documents import error, event, kind, output, workflow
from tests.semantics.v0_8.services import Services, services
from workflow_engine import dsl
from workflow_engine.calls import Egress
from workflow_engine.calls.resolution import Resolution
from workflow_engine.dsl.pinning import pin
from workflow_engine.errors import InvalidDocument
from workflow_engine.values import Json


async def pinned(text: str, files: Mapping[str, str], service: Services | None = None) -> dict[str, Json]:
    """What a deployment of *text* pins, with *files* at hand; every other document is that of *service*."""
    specs = catalog.Catalog(await catalog.open_store("memory:"))
    texts = dict(files)
    if service is not None:
        texts["file://api.json"] = service.openapi
    async with Egress() as egress:
        return await pin(dsl.parse(text), Resolution(specs, egress, texts))


BODY = """
functions: functions.json
events: events.yml
errors: errors.json
retries: retries.json
constants: constants.json
timeouts: timeouts.json
states:
  - name: A
    type: operation
    actions: [{functionRef: {refName: f, arguments: {n: '${ $CONST.n }'}}, retryRef: r, retryableErrors: [Busy]}]
    end: {produceEvents: [{eventRef: P}]}
"""
FILES = {
    "functions.json": json.dumps({"functions": [{"name": "f", "operation": "file://api.json#f"}]}),
    "events.yml": "- {name: P, type: p, kind: produced}\n",
    "errors.json": '{"errors": [{"name": "Busy", "code": "503"}]}',
    "retries.json": '[{"name": "r", "maxAttempts": 3, "delay": "PT0.01S"}]',
    "constants.json": '{"n": 5}',
    "timeouts.json": '{"timeouts": {"workflowExecTimeout": "PT1M"}}',
}


async def test_definitions_of_every_kind_may_be_in_files(run: Any) -> None:
    from aiohttp import web

    calls: list[Any] = []

    def f(given: Any) -> Any:
        calls.append(given)
        return web.Response(status=503) if len(calls) < 3 else {"done": True}

    async with services(f=f) as service:
        resources = await pinned(workflow(BODY), FILES, service)
        assert await output(run, BODY, resources=resources) == {"done": True}
    assert calls == [{"n": 5}] * 3


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("events.yml", "- {name: P, kind: produced}", "missing-property"),
        ("errors.json", '{"errors": [{"name": "Other"}]}', "unknown-error"),
        ("retries.json", '[{"name": "r", "maxAttempts": "often"}]', "invalid-value"),
        ("functions.json", "{}", "unresolved"),
        ("functions.json", '{"functions": [', "unresolved"),
    ],
)
async def test_what_is_wrong_in_a_file_is_told_where_the_workflow_names_it(
    file: str, content: str, told: str
) -> None:
    async with services(f=lambda given: {}) as service:
        with pytest.raises(InvalidDocument) as raised:
            await pinned(workflow(BODY), {**FILES, file: content}, service)
    problems = raised.value.problems
    assert told in [problem.code for problem in problems]
    lines = workflow(BODY).splitlines()
    name = file.partition(".")[0]
    assert any(
        lines[problem.line - 1].startswith(name) or problem.code == "unknown-error" for problem in problems
    )


async def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidDocument) as raised:
        await pinned(
            workflow("functions: nowhere.json\nstates: [{name: A, type: inject, data: {}, end: true}]"), {}
        )
    (problem,) = raised.value.problems
    assert (problem.code, problem.pointer) == ("unresolved", "/functions")
    assert "nowhere.json" in problem.message


def test_without_its_files_a_workflow_can_be_read_but_not_run() -> None:
    document = dsl.parse(workflow(BODY))
    assert [found for found in dsl.check(document) if found.severity == "error"] == []
    with pytest.raises(InvalidDocument, match="were not found"):
        dsl.compile(document, {})


SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
CHECKED = """
dataInputSchema: %s
states: [{name: A, type: inject, data: {a: 1}, end: true}]
"""


async def test_b39_the_input_is_checked_by_a_schema_in_a_file(run: Any) -> None:
    body = CHECKED % "input.json"
    resources = await pinned(workflow(body), {"input.json": json.dumps(SCHEMA)})
    assert await output(run, body, {"n": 1}, resources=resources) == {"n": 1, "a": 1}
    fault = await error(run, body, {"n": "one"}, resources=resources)
    assert (kind(fault), fault["instance"]) == ("validation", "/input")


async def test_b39_a_schema_may_only_tell_what_does_not_match(run: Any) -> None:
    body = CHECKED % "{schema: input.json, failOnValidationErrors: false}"
    resources = await pinned(workflow(body), {"input.json": json.dumps(SCHEMA)})
    ended = await run(workflow(body), {"n": "one"}, resources=resources)
    assert (ended.status, ended.output) == ("completed", {"n": "one", "a": 1})
    assert [step.name for step in ended.progress if step.phase == "invalid"] != []


async def test_b39_what_events_start_is_not_checked(run: Any) -> None:
    body = """
dataInputSchema: input.json
events: [{name: E, type: e, source: tests}]
states: [{name: A, type: event, onEvents: [{eventRefs: [E]}], end: true}]
"""
    resources = await pinned(workflow(body), {"input.json": json.dumps(SCHEMA)})
    found = await output(run, body, events=[event("e", "1", {"e": 1})], resources=resources)
    assert found == {"e": 1}
