from __future__ import annotations

import pytest

from workflow_engine import expressions
from workflow_engine.expressions import EvaluationError, ExpressionError


def evaluate(source: str, value=None, **scope):
    return expressions.compile(source, variables=scope.keys()).evaluate(value, scope)


def test_no_output_is_null_one_is_itself_and_several_are_an_array():
    assert evaluate("empty", {}) is None
    assert evaluate(".a", {"a": 1}) == 1
    assert evaluate(".[]", [1, 2]) == [1, 2]


def test_first_takes_the_first_output_or_null():
    compiled = expressions.compile(".[]", variables=())
    assert compiled.first([1, 2], {}) == 1
    assert compiled.first([], {}) is None


@pytest.mark.parametrize(
    ("value", "expected"), [(None, False), (False, False), (0, True), ("", True), ([], True), (True, True)]
)
def test_only_null_and_false_are_untrue(value, expected):
    assert expressions.compile(".", variables=()).test(value, {}) is expected


def test_variables_are_bound_from_the_scope_and_a_missing_one_is_null():
    assert evaluate("$context.a + .b", {"b": 2}, context={"a": 1}) == 3
    assert expressions.compile("$x", variables={"x"}).evaluate(1, {}) is None


def test_the_names_that_an_expression_uses_are_known():
    assert expressions.compile("$a + 1 as $c | $c", variables={"a", "b"}).variables == {"a"}


def test_an_unknown_variable_is_refused_with_the_nearest_name():
    with pytest.raises(ExpressionError, match=r"\$contxt .*did you mean \$context") as caught:
        expressions.compile(".a + $contxt.b", variables={"context", "input"})
    assert caught.value.position == 5
    assert caught.value.source == ".a + $contxt.b"


@pytest.mark.parametrize(
    "source",
    [
        "env", "$ENV.HOME", "input", "[inputs]", "input_line_number", "input_filename", "debug", "stderr",
        "halt", "halt_error", "$__loc__", "get_search_list", "modulemeta", "localtime", 'strflocaltime("%Y")',
        'import "a" as $d; $d', 'include "a"; .', '"\\(env)"', "def f: env; f", "{a: env}", "$__prog_args",
    ],
)  # fmt: skip
def test_what_is_not_pure_is_refused_with_the_reason(source):
    with pytest.raises(ExpressionError, match="refused"):
        expressions.compile(source, variables=())


def test_fields_and_keys_may_have_the_names_of_refused_words():
    assert evaluate('.env + {input: 1}.input + {"halt": 2}.halt', {"env": 3}) == 6


def test_single_quotes_get_a_hint():
    with pytest.raises(ExpressionError, match="double quotes") as caught:
        expressions.compile(".a == 'x'", variables=())
    assert caught.value.position == 6


@pytest.mark.parametrize(
    "source", ["", ".a |", "(.a", "{a:", ".a)", '"open', "1 +", "nosuch(1)", "if . then"]
)
def test_what_is_not_jq_is_refused(source):
    with pytest.raises(ExpressionError):
        expressions.compile(source, variables=())


def test_now_is_the_time_of_the_scope():
    assert evaluate("now", None, __now=12.5) == 12.5
    assert evaluate("now") == 0


def test_an_error_of_the_data_is_an_evaluation_error():
    with pytest.raises(EvaluationError, match="Cannot index"):
        evaluate(".a.b", {"a": 1})
    with pytest.raises(EvaluationError, match="no stock"):
        evaluate('error("no stock")')


def test_expressions_with_the_same_text_are_equal():
    one, other = (expressions.compile(".a", variables={"x"}) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
