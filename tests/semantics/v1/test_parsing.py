"""How documents are read, as far as it decides what they mean: decisions A69, A70 and A72."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import output, problems
from workflow_engine import dsl
from workflow_engine.errors import InvalidDocument


async def test_a69_documents_are_read_as_yaml_1_2(run: Any) -> None:
    body = """
    do:
      - a:
          set: {on: yes, off: no, date: 2026-01-31, time: 12:30, octal: 010, big: 0.8, truth: true}
          output: {as: 'to_entries'}
    """
    found = {entry["key"]: entry["value"] for entry in await output(run, body)}
    assert found == {
        "on": "yes",
        "off": "no",
        "date": "2026-01-31",
        "time": "12:30",
        "octal": 10,
        "big": 0.8,
        "truth": True,
    }
    assert list(found) == ["on", "off", "date", "time", "octal", "big", "truth"]


def test_a69_a_key_may_not_stand_twice() -> None:
    assert [problem.code for problem in problems("do: [{a: {set: {x: 1, x: 2}}}]")] == ["duplicate-key"]


@pytest.mark.parametrize("expression", ["$context + { a: .b }", "'x' }", '"\\("'])
def test_a70_an_expression_that_yaml_cannot_take_says_to_put_it_in_quotes(expression: str) -> None:
    found = problems(f"do:\n  - a:\n      set: {{x: 1}}\n      export:\n        as: {expression}\n")
    assert [problem.code for problem in found] == ["yaml-syntax"]
    if expression.startswith("$"):
        assert "quote" in found[0].message


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        ("1.0.0", True),
        ("1.0.3", True),
        ("1.0.0-alpha5", True),
        ("1.0.99", True),
        ("1.1.0", False),
        ("2.0.0", False),
        ("1.0", False),
    ],
)
def test_a72_documents_of_version_1_0_are_accepted(version: str, accepted: bool) -> None:
    text = f"document: {{dsl: '{version}', namespace: a, name: b, version: '1.0.0'}}\ndo: []"
    if accepted:
        assert dsl.parse(text).dialect == "1.0"
    else:
        with pytest.raises(InvalidDocument):
            dsl.parse(text)
