"""A wrong expression is pointed at: the line and column of the very character, and what was probably meant."""

from __future__ import annotations

import pytest

from workflow_engine import dsl
from workflow_engine.dsl.codes import EXPLANATIONS
from workflow_engine.errors import Problem

HEADER = "document: {dsl: '1.0.3', namespace: test, name: test, version: '1.0.0'}\n"

STYLES = {
    "plain": """
do:
  - a: {if: .x | lenght, set: {x: 1}}
""",
    "plain over lines": """
do:
  - a:
      if: .x |
        .y | lenght
      set: {x: 1}
""",
    "single quotes": """
do:
  - a: {set: {x: '${ "it\'\'s" | lenght }'}}
""",
    "double quotes": """
do:
  - a: {set: {x: "${ \\"a\\" + .b | lenght }"}}
""",
    "amid text": """
do:
  - a: {set: {x: 'it is ${ .one } and ${ .x | lenght }.'}}
""",
    "literal": """
do:
  - a:
      set:
        x: |
          ${
            .x
            | lenght
          }
""",
    "folded": """
do:
  - a:
      input:
        from: >-
          .x
          | map(.y)

          | lenght
      set: {x: 1}
""",
    "a list": """
do:
  - a:
      set:
        x: ['a', '${ .x | lenght }']
""",
    "the arguments of a call": """
do:
  - a:
      call: http
      with:
        method: get
        endpoint: https://x.example
        headers:
          X-Y: ${ .x | lenght }
""",
}
POLICY = """
use:
  authentications:
    p: {bearer: {token: '${ .x | lenght }'}}
do:
  - a:
      call: http
      with: {method: get, endpoint: {uri: 'https://x.example', authentication: {use: p}}}
"""


def problems(text: str) -> list[Problem]:
    return [each for each in dsl.check(dsl.parse(text)) if each.severity == "error"]


@pytest.mark.parametrize("style", STYLES)
def test_the_place_is_that_of_the_wrong_word(style):
    text = HEADER + STYLES[style]
    [found] = problems(text)
    assert found.code == "invalid-expression"
    assert text.split("\n")[found.line - 1][found.column - 1 :].startswith("lenght")
    assert "did you mean `length`?" in found.message
    assert "▸lenght" in found.message


def test_json_is_pointed_into_too():
    text = (
        '{"document": {"dsl": "1.0.3", "namespace": "t", "name": "t", "version": "1.0.0"},'
        ' "do": [{"a": {"set": {"x": "${ \\"\\u00e4\\" | lenght }"}}}]}'
    )
    [found] = problems(text)
    assert text[found.column - 1 :].startswith("lenght")


def test_what_is_written_elsewhere_is_placed_where_it_is_used():
    [found] = problems(HEADER + POLICY)
    assert (found.code, found.line > 1) == ("invalid-expression", True)


def test_each_wrong_expression_of_a_value_is_told():
    text = HEADER + "do: [{a: {set: {x: '${ .a + }', y: ['${ lenght }'], z: '${ ok', w: '${ .b }'}}}]"
    assert [each.pointer for each in problems(text)] == ["/do/0/a/set/x", "/do/0/a/set/y/0", "/do/0/a/set/z"]


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("$inpt.x", "did you mean $input?"),
        ("$contxt", "did you mean $context?"),
        (".x | lenght", "did you mean `length`?"),
        (".x | tojsn", "did you mean `tojson`?"),
        ("customer", 'for the member of that name write `.customer`, for the text write `"customer"`'),
        ("customer.name", "write `.customer`"),
        (".x == 'y'", "double quotes"),
        (".x && .y", "jq writes `and`"),
        (".a-b.c", "write `.b`"),
        ("split(1; 2; 3)", "`split` takes 1 or 2 arguments, not 3"),
    ],
)
def test_what_was_probably_meant_is_said(expression, hint):
    [found] = problems(HEADER + f"do:\n  - a:\n      set:\n        x: >-\n          ${{ {expression} }}\n")
    assert found.code == "invalid-expression"
    assert hint in found.message


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("env", "environment"),
        ("$ENV.HOME", "environment"),
        ("input", "one input"),
        ("[inputs]", "one input"),
        ("input_filename", "one input"),
        ("input_line_number", "one input"),
        ("halt", "stop the worker"),
        ('"x" | halt_error', "stop the worker"),
        ("now | localtime", "time zone"),
        ('now | strflocaltime("%H")', "time zone"),
        (". | debug", "act on the world"),
        ("stderr", "act on the world"),
        ("$__loc__", "has no file"),
        ('import "m" as m; 1', "files of the worker"),
        ('include "m"; 1', "files of the worker"),
        ("get_search_list", "files of the worker"),
        ("builtins", "upgrade"),
    ],
)
def test_what_a_replay_could_not_repeat_is_refused_and_the_reason_is_said(expression, why):
    for text in (
        f"do: [{{a: {{set: {{x: '${{ {expression} }}'}}}}}}]",
        f"do: [{{a: {{if: '{expression}', set: {{x: 1}}}}}}]",
    ):
        [found] = problems(HEADER + text)
        assert found.code == "not-deterministic"
        assert why in found.message
        assert found.line == 2
    assert "replayed" in EXPLANATIONS["not-deterministic"]


@pytest.mark.parametrize(
    "expression", ["now", "now | todate", "now | gmtime | mktime", 'getpath(["a"])', "[limit(3; repeat(1))]"]
)
def test_what_a_replay_repeats_is_not_refused(expression):
    assert problems(HEADER + f"do: [{{a: {{set: {{x: '${{ {expression} }}'}}}}}}]") == []
