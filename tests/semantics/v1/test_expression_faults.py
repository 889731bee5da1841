"""An expression that fails says where it stands, whatever evaluates it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind

CALL = """
do:
  - a:
      call: http
      with:
        method: get
        endpoint: https://httpbin.org/get
        headers: {A: '${ $secrets.key }', B: '${ .x.y }'}
"""


@pytest.mark.parametrize(
    ("body", "place", "expression"),
    [
        ("do: [{a: {set: {x: {y: ['${ .x.y }']}}}}]", "/do/0/a/set/x/y/0", ".x.y"),
        ("do: [{a: {set: {x: 'is ${ .x.y }'}}}]", "/do/0/a/set/x", ".x.y"),
        ("do: [{a: {if: .x.y, set: {x: 1}}}]", "/do/0/a/if", ".x.y"),
        ("do: [{a: {set: {x: 1}, input: {from: .x.y}}}]", "/do/0/a/input/from", ".x.y"),
        (
            "do: [{a: {set: {x: 1}, export: {as: {z: '${ $input.x.y }'}}}}]",
            "/do/0/a/export/as/z",
            "$input.x.y",
        ),
        ("do: [{a: {set: {x: '${ $secrets.key + .x.y }'}}}]", "/do/0/a/set/x", "$secrets.key + .x.y"),
        (CALL, "/do/0/a/with/headers/B", ".x.y"),
    ],
)
async def test_a_fault_of_an_expression_names_the_state_the_property_and_the_expression(
    run: Any, body: str, place: str, expression: str
) -> None:
    fault = await error(run, "use: {secrets: [key]}\n" + body, {"x": "text"})
    assert (kind(fault), fault["instance"]) == ("expression", "/do/0/a")
    assert place in fault["detail"]
    assert expression in fault["detail"]
