"""Values at the edge of what JSON, dates and numbers can hold: each ends as data or as a fault, and holds no run up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload

from tests.semantics.v1.documents import error, kind, output, workflow
from tests.semantics.v1.test_run_processes import js, needs_node, python
from workflow_engine import dsl
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.runtimes.temporal.converter import EngineConverter

LARGEST = 1.7976931348623157e308


@needs_node
async def test_a_script_that_returns_half_a_surrogate_pair_gives_a_replacement_character(run: Any) -> None:
    code = "return {'\\udc00': ['\\ud800x', '\\ud83d\\ude00']}"
    assert await output(run, js(code, {"arguments": {}})) == {"\ufffd": ["\ufffdx", "\U0001f600"]}


async def test_a_script_that_returns_a_number_beyond_the_doubles_gives_the_largest_one(run: Any) -> None:
    assert await output(run, python("return [10 ** 400, -10 ** 400]", {"arguments": {}})) == [
        LARGEST,
        -LARGEST,
    ]


async def test_what_an_expression_makes_of_text_can_be_written_and_read_again(run: Any) -> None:
    text = json.dumps([int("1" + "0" * 400), "\ud800"])
    body = "do: [{a: {set: '${ {got: fromjson} }'}}, {b: {wait: {milliseconds: 1}}}]"
    assert await output(run, body, text) == {"got": [LARGEST, "\ufffd"]}


@pytest.mark.parametrize("length", ["P9999Y", "P1001Y", "PT" + "9" * 400 + "S", "P" + "9" * 400 + "M"])
async def test_a_wait_that_an_expression_makes_longer_than_a_thousand_years_is_a_fault(
    run: Any, length: str
) -> None:
    fault = await error(run, "do: [{a: {wait: '${ .length }'}}]", {"length": length})
    assert (kind(fault), fault["instance"]) == ("expression", "/do/0/a")
    assert "longer than 1000 years" in fault["detail"]


@pytest.mark.parametrize(
    ("backoff", "days"),
    [
        ("exponential: {multiplier: 1.0e300}", 1 + 1e300),
        ("exponential: {}", 2**7),
        ("linear: {increment: P200D}", 1 + 200 * 6),
    ],
)
def test_a_delay_that_grows_stops_growing_at_a_year(backoff: str, days: float) -> None:
    body = f"""
do:
  - a:
      try:
        - b: {{raise: {{error: {{type: https://example.com/errors/x, status: 500}}}}}}
      catch:
        retry: {{delay: P1D, backoff: {{{backoff}}}, limit: {{attempt: {{count: 8}}}}}}
"""
    local = LocalRun(dsl.compile(dsl.parse(workflow(body))))
    began = local.now()
    outcome = asyncio.run(local.execute({}))
    assert outcome.status == "faulted"
    longest = (local.now() - began).total_seconds() / 86_400
    assert longest <= 8 * 366
    assert longest >= min(days, 366)


def test_json_that_others_have_written_is_read_though_it_could_not_be_written_here() -> None:
    def read(data: bytes) -> Any:
        return EngineConverter().from_payload(Payload(metadata={"encoding": b"json/plain"}, data=data))

    assert read(b'{"a": "\\ud800"}') == {"a": "\ufffd"}
    assert read(b"[NaN, Infinity, -1e999, 1" + b"0" * 400 + b"]") == [None, LARGEST, -LARGEST, LARGEST]
    with pytest.raises(ValueError, match="depth"):
        read(b"[" * 2000 + b"]" * 2000)
    with pytest.raises(ValueError, match="unexpected"):
        read(b"{")
