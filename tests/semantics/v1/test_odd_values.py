"""Values at the edge of what JSON, dates and numbers can hold: each ends as data or as a fault, and holds no run up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload

from tests.semantics.v1.documents import error, event, kind, output, refused, workflow
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
    assert str(read(b"[" * 2000 + b"]" * 2000)) == "[" * 2000 + "]" * 2000
    with pytest.raises(ValueError, match="unexpected"):
        read(b"{")


def deep(task: str) -> str:
    """*task* as the only one, twice in a loop, where its pointer has far more than a thousand characters."""
    for number in range(25):
        task = f"{{do: [{{{'é' * 20}{'n' * 30}{number}: {task}}}]}}"
    return f"do: [{{loop: {{for: {{in: '[1, 2]'}}, do: [{{in: {task}}}]}}}}]"


@pytest.mark.parametrize(
    "task",
    [
        "{call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: .method}}",
        "{listen: {to: {one: {with: {type: t}}}, read: data}, output: {as: '.[0]'}}",
        "{run: {workflow: {namespace: semantics, name: inner, version: '1.0.0'}}, output: {as: .x}}",
        "{emit: {event: {with: {type: x, source: s}}}, output: {as: .type}}",
        "{set: {x: '${ $secrets.key | length }'}, output: {as: 'has(\"x\")'}}",
        "{try: [{a: {raise: {error: {type: 'https://x.example/e', status: 500}}}}], catch: {do: [{b: {set: {x: 1}}}]}}",
    ],
)
async def test_a_pointer_that_is_longer_than_an_id_of_temporal_holds_no_run_up(run: Any, task: str) -> None:
    inner = workflow("do: [{a: {set: {x: 7}}}]", name="inner")
    events = [event("t", str(number), number) for number in range(2)] if "listen" in task else []
    ended = await run(workflow("use: {secrets: [key]}\n" + deep(task)), {}, others=[inner], events=events)
    assert ended.status == "completed", ended.error
    expected = {"call": "GET", "listen": 1, "run": 7, "emit": "x", "set": True, "try": {"x": 1}}
    assert ended.output == expected[task[1:].partition(":")[0]]


async def test_data_that_is_nested_ever_deeper_can_be_read_when_it_is_done(run: Any) -> None:
    grow = "{l: {for: {in: '[range(1500)]'}, do: [{s: {set: {z: '${ . }', a: 1}}}]}}"
    rest = "{w: {wait: {milliseconds: 1}}}, {c: {set: {keys: '${ .z | keys_unsorted }', data: '${ . }'}}}"
    told = await output(run, f"do: [{grow}, {rest}]")
    assert told["keys"] == ["z", "a"]
    depth, data = 0, told["data"]
    while data:
        depth, data = depth + 1, data["z"]
    assert depth == 1500


RAISED = "[{b: {raise: {error: {type: 'https://e.example', status: STATUS}}}}]"


@pytest.mark.parametrize("status", ["503.0", "5.03e2"])
async def test_a_whole_number_may_be_written_with_a_point(run: Any, status: str) -> None:
    body = f"do: [{{a: {{try: {RAISED.replace('STATUS', status)}, catch: {{errors: {{with: {{status: 503}}}}}}}}}}]"
    assert await output(run, body, {"n": 1}) == {"n": 1}


async def test_a_limit_of_retries_that_is_written_with_a_point_is_one(run: Any) -> None:
    retry = "retry: {limit: {attempt: {count: 2.0}}}"
    body = f"do: [{{a: {{try: {RAISED.replace('STATUS', '503')}, catch: {{{retry}}}}}}}]"
    ended = await run(workflow(body))
    assert (ended.status, ended.order) == ("faulted", ["a", "b", "b", "b"])


async def test_what_is_no_error_is_told_as_json_and_not_at_length(run: Any) -> None:
    body = "do: [{a: {raise: {error: {type: '${ .none }', status: 400, title: '${ .long }'}}}}]"
    fault = await error(run, body, {"long": "x" * 9000})
    assert kind(fault) == "expression"
    assert 'not {"type": null, "status": 400, "title": "xxx' in fault["detail"]
    assert len(fault["detail"]) < 400


async def test_a_duration_that_is_none_is_told_as_json(run: Any) -> None:
    fault = await error(run, "do: [{a: {wait: '${ .none }'}}]")
    assert fault["detail"].startswith("null is not an ISO 8601 duration")


@pytest.mark.parametrize("of", ["do: [{a: {listen: {to: {all: []}}}}]", "schedule: {on: {all: []}}\ndo: []"])
def test_all_of_no_events_is_refused(of: str) -> None:
    assert refused(of).code == "invalid-value"


@pytest.mark.parametrize(("price", "fits"), [(19.99, True), (1.15, True), (19.999, False)])
async def test_a_price_is_a_multiple_of_a_cent(run: Any, price: float, fits: bool) -> None:
    ended = await run(workflow("input: {schema: {document: {multipleOf: 0.01}}}\ndo: []"), price)
    assert ended.status == ("completed" if fits else "faulted")
