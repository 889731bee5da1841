"""``evaluate.mode`` (decision A5): in loose mode every text of a value is tried as an expression."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.running import KEY
from tests.semantics.v1.documents import error, kind, output, problems, warnings
from tests.standins.internet import Internet

LOOSE = "evaluate: {mode: loose}\n"


async def test_a5_a_text_that_is_an_expression_is_evaluated(run: Any) -> None:
    body = "do: [{a: {set: {x: .n + 1, y: ['.list[0]', 'length'], z: {deep: $workflow.input.n}, all: '.list[]'}}}]"
    expected = {"x": 3, "y": ["a", 2], "z": {"deep": 2}, "all": ["a", "b"]}
    assert await output(run, LOOSE + body, {"n": 2, "list": ["a", "b"]}) == expected


async def test_a5_valid_jq_that_looks_like_a_word_is_evaluated_too(run: Any) -> None:
    words = "{n: '123', t: 'true', none: 'null', e: empty, dot: '.', now: now}"
    body = f"do: [{{a: {{set: {words}, output: {{as: '. + {{now: (.now > 0)}}'}}}}}}]"
    expected = {"n": 123, "t": True, "none": None, "e": None, "dot": {"n": 2}, "now": True}
    assert await output(run, LOOSE + body, {"n": 2}) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Hello, world",
        "hello",
        ".a.b",
        "${ .a.b }",
        "${ .a | nothing }",
        "${ .a",
        "env",
        "$nothing.x",
        'say "hi" \\(1)',
        "https://x.example/{a}",
        '.n | error("no")',
        "# a comment",
        "order.created",
        "",
    ],
)
async def test_a5_what_fails_is_the_text_as_it_is_written(run: Any, text: str) -> None:
    body = f"do: [{{a: {{set: {{x: {json.dumps(text)}}}}}}}]"
    assert await output(run, LOOSE + body, {"a": "text", "n": 1}) == {"x": text}


async def test_a5_expressions_amid_text_are_put_in_and_those_that_fail_stay(run: Any) -> None:
    body = "do: [{a: {set: {x: 'is ${ .n } and ${ .n.deep } and ${ lenght } and ${ .list }'}}}]"
    expected = "is 2 and ${ .n.deep } and ${ lenght } and [1]"
    assert await output(run, LOOSE + body, {"n": 2, "list": [1]}) == {"x": expected}


async def test_a5_places_that_are_always_expressions_fail_as_ever(run: Any) -> None:
    fault = await error(run, LOOSE + "do: [{a: {if: .a.b, set: {x: 1}}}]", {"a": "text"})
    assert kind(fault) == "expression"
    assert [found.code for found in problems(LOOSE + "do: [{a: {if: lenght, set: {x: 1}}}]")] == [
        "invalid-expression"
    ]


async def test_a5_calls_and_secrets_work_in_loose_mode(run: Any, internet: Internet) -> None:
    body = """
use: {secrets: [key]}
do:
  - a: {set: {token: $secrets.key, n: .n}}
  - b:
      call: http
      with:
        method: post
        endpoint: 'https://httpbin.org/{path}'
        headers: {X-Key: $secrets.key, X-Token: .token, X-Word: plain}
        body: {n: .n + 1}
      input: {from: '. + {path: "anything"}'}
      output: {as: '{word: .headers["X-Word"], n: .json.n}'}
"""
    assert await output(run, LOOSE + body, {"n": 1}) == {"word": "plain", "n": 2}
    headers = internet.httpbin.last.headers
    assert (headers["X-Key"], headers["X-Token"]) == (KEY, KEY)


def test_a5_loose_mode_is_warned_of_and_strict_mode_is_not() -> None:
    body = "do: [{a: {set: {x: 1}}}]"
    assert warnings(LOOSE + body) == ["loose-mode"]
    assert warnings("evaluate: {mode: strict, language: jq}\n" + body) == []
    assert [found.code for found in problems("evaluate: {mode: lose}\n" + body)] == ["invalid-value"]


@pytest.mark.parametrize("language", ["js", "javascript", "cel"])
def test_a_language_other_than_jq_is_refused(language: str) -> None:
    body = f"evaluate: {{language: {language}}}\ndo: [{{a: {{set: {{x: 1}}}}}}]"
    assert [found.code for found in problems(body)] == ["unsupported-language"]


# --- hints in strict mode -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (".customer", "literal-expression"),
        (".customer.name", "literal-expression"),
        (".items[0].x", "literal-expression"),
        ("$context.user", "literal-expression"),
        ("$secrets.key", "literal-expression"),
        ("${ .items[] }", "several-outputs"),
        ("${ .a, .b }", "several-outputs"),
        ("${ range(3) }", "several-outputs"),
        ("${ {x: .items[].y} }", "several-outputs"),
        ("n = ${ .items[] | .x }", "several-outputs"),
        ("${ if .a then .b[] else 1 end }", "several-outputs"),
    ],
)
def test_a5_what_is_probably_not_meant_is_warned_of(text: str, code: str) -> None:
    for body in (f"do: [{{a: {{set: {{x: '{text}'}}}}}}]", f"do: [{{a: {{set: ['{text}']}}}}]"):
        if "['" in body:
            body = body.replace("set: [", "set: {y: [").replace("]}}]", "]}}}]")
        assert warnings(body) == [code]


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "1.5",
        "...",
        ".5",
        "$5",
        "$contexts",
        "a.b",
        "${ .customer }",
        "${ [.items[]] }",
        "${ first(.items[]) }",
        "${ .items | map(.x) }",
        "${ any(.items[]; .x) }",
        "${ reduce .items[] as $x (0; . + $x) }",
        "${ .a // .b }",
    ],
)
def test_what_is_meant_is_not_warned_of(text: str) -> None:
    assert warnings(f"do: [{{a: {{set: {{x: '{text}'}}}}}}]") == []


def test_several_outputs_are_warned_of_where_the_place_is_an_expression() -> None:
    assert warnings("do: [{a: {input: {from: '.items[]'}, set: {x: 1}}}]") == ["several-outputs"]
    assert warnings("do: [{a: {set: {x: 1}, output: {as: '.a, .b'}}}]") == ["several-outputs"]
    assert warnings("do: [{a: {for: {in: '.items[]'}, do: [{b: {set: {x: 1}}}]}}]") == ["several-outputs"]
    assert warnings("do: [{a: {if: '.items[] > 1', set: {x: 1}}}]") == []


@pytest.mark.parametrize("items", ["'null'", "'${ null }'", "empty"])
def test_a16_a_loop_over_null_is_hinted_at(items: str) -> None:
    assert warnings(f"do: [{{a: {{for: {{in: {items}}}, do: [{{b: {{set: {{x: 1}}}}}}]}}}}]") == ["null-loop"]


def test_a71_what_repeats_without_end_is_warned_of_and_what_is_bounded_is_not() -> None:
    body = "do: [{a: {set: {x: '${ %s }'}}}]"
    for source in ("[repeat(. + 1)]", "repeat(.)", "1 | [recurse(. * 2)] | length", "[.x | repeat({a: .})]"):
        assert warnings(body % source) == ["endless-expression"], source
    for source in (
        "[limit(3; repeat(. + 1))]",
        "first(repeat(. + 1))",
        "[label $out | repeat(. + 1) | if . > 5 then break $out else . end]",
        "[repeat(if . < 9 then . + 1 else empty end)]",
        "[recurse(.children[])]",
        "[recurse(.next)]",
    ):
        assert warnings(body % source) == [], source
