"""What documents written for other engines brought to light: each refusal must say what to change."""

from __future__ import annotations

import pytest

from tests.semantics.v1.documents import refused


@pytest.mark.parametrize("text", ["${ .first + ' ' + .last }", "Dear ${ .title + ' ' }, welcome"])
def test_an_expression_with_single_quotes_is_told_to_use_double_ones(text):
    problem = refused(f'do: [{{greet: {{set: {{greeting: "{text}"}}}}}}]')
    assert problem.code == "invalid-expression"
    assert "double quotes" in problem.message


def test_a_condition_with_single_quotes_is_told_to_use_double_ones():
    problem = refused("do: [{a: {if: \"${ .kind == 'x' }\", set: {b: 1}}}]")
    assert "double quotes" in problem.message


@pytest.mark.parametrize(("condition", "word"), [(".a && .b", "and"), ("!.a", "not")])
def test_an_operator_of_another_language_is_told_its_name_in_jq(condition, word):
    problem = refused(f"do: [{{a: {{if: '${{ {condition} }}', set: {{b: 1}}}}}}]")
    assert f"`{word}`" in problem.message


@pytest.mark.parametrize("text", ["${ .a", "${ {a: .b }", 'x ${ "\\\\(.a }"'])
def test_an_expression_without_its_brace_is_told_to_close_it_or_its_string(text):
    problem = refused(f"do: [{{a: {{set: {{b: '{text}'}}}}}}]")
    assert "closed" in problem.message
