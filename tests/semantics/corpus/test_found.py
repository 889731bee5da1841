"""What documents written for other engines brought to light: each refusal must say what to change."""

from __future__ import annotations

import pytest

from tests.semantics.v0_8.documents import refused as refused_0_8
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


@pytest.mark.parametrize("language", ["jq", "jsonpath"])
def test_an_expression_in_the_braces_of_old_versions_is_told_the_ones_of_now(language):
    problem = refused_0_8(
        f"expressionLang: {language}\n"
        "states: [{name: A, type: switch, dataConditions: [{condition: '{{ $.people[?(@.age >= 18)] }}', end: true}], "
        "defaultCondition: {end: true}}]"
    )
    assert problem.code == "invalid-expression"
    assert "`${ }`" in problem.message


def test_what_later_versions_know_of_a_run_is_said_to_be_theirs():
    problem = refused_0_8(
        "functions: [{name: f, type: expression, operation: '{id: $WORKFLOW.instanceId}'}]\n"
        "states: [{name: A, type: operation, actions: [{functionRef: f}], end: true}]"
    )
    assert problem.code == "invalid-expression"
    assert "later versions" in problem.message
