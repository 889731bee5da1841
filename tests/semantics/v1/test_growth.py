"""What doubles again and again ends as a fault before anybody has to write it down; what is only large does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind, output

CATCH = "catch: {as: e, do: [{told: {set: {status: '${ $e.status }'}}}]}"


@pytest.mark.parametrize(
    "doubles",
    [
        "{set: {a: '${ . }', b: '${ . }'}}",
        "{set: '${ {a: ., b: [.]} }'}",
        "{set: '${ {copy: .} + {other: .} }'}",
        "{set: {x: '${ $context }'}, export: {as: '${ [$context, $context] }'}}",
        "{set: '${ {p: .q, q: .} }'}",
        "{fork: {branches: [{l: {set: '${ . }'}}, {r: {set: '${ . }'}}]}}",
        "{set: {text: '${ . } ${ . }'}}",
        "{try: [{c: {set: {a: '${ . }', b: '${ . }'}}}], catch: {errors: {with: {status: 404}}}}",
    ],
)
async def test_what_doubles_without_end_is_a_fault_that_can_be_caught(run: Any, doubles: str) -> None:
    loop = f"{{l: {{for: {{in: '[range(200)]'}}, do: [{{d: {doubles}}}]}}}}"
    fault = await error(run, f"do: [{loop}]", {"x": 1})
    assert kind(fault) == "expression"
    assert fault["instance"].startswith("/do/0/l/do/0/d")
    assert await output(run, f"do: [{{t: {{try: [{loop}], {CATCH}}}}}]", {"x": 1}) == {"status": 400}


async def test_what_stands_in_the_data_often_but_does_not_grow_goes_on(run: Any) -> None:
    body = """
do:
  - l:
      for: {in: '[range(300)]'}
      do:
        - s: {set: {n: '${ .n + 1 }', one: '${ .one }', other: '${ .one }', both: '${ {a: .one, b: .one} }'}}
"""
    one = {"text": "x" * 1000, "rows": [{"n": n} for n in range(50)]}
    told = await output(run, body, {"n": 0, "one": one})
    assert told == {"n": 300, "one": one, "other": one, "both": {"a": one, "b": one}}
