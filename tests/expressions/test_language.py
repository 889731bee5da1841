from __future__ import annotations

import contextlib
import json

import pytest

from tests.expressions.cases import CASES, FAILING, OURS
from tests.expressions.oracle import normalized, ours
from workflow_engine import expressions


@pytest.mark.parametrize(("program", "value", "outputs"), [*CASES, *OURS])
def test_a_program_has_the_outputs_that_jq_documents(program, value, outputs):
    answer = ours(program, value)
    assert answer.message == ""
    assert answer.outputs == normalized(outputs)


@pytest.mark.parametrize(("program", "value"), FAILING)
def test_a_program_fails_on_data_that_does_not_fit(program, value):
    assert ours(program, value).kind == "error"


def evaluate(source, value=None):
    return expressions.compile(source, variables=()).evaluate(value, {})


def test_what_error_was_given_is_there_for_the_caller():
    with pytest.raises(expressions.EvaluationError) as caught:
        evaluate('error({"code": 7})')
    assert caught.value.value == {"code": 7}
    assert '{"code":7}' in caught.value.message
    with pytest.raises(expressions.EvaluationError) as plain:
        evaluate('error("plain")')
    assert (plain.value.message, plain.value.value) == ("plain", None)


def test_whole_numbers_are_ints_and_exact_where_they_only_pass_through():
    assert type(evaluate("1.5 * 2")) is int
    assert evaluate(".", 9007199254740993) == 9007199254740993
    assert evaluate("map(.) | .[0] | tostring", [12345678901234567890123]) == "12345678901234567890123"
    assert evaluate("10 / 4") == 2.5


BEYOND = "1" + "0" * 399


@pytest.mark.parametrize(
    "program",
    [
        f"{BEYOND}",
        f'"{BEYOND}" | tonumber',
        f'"{BEYOND}" | fromjson',
        '"1e999" | tonumber',
        f"[{BEYOND}, 1.5] | add",
    ],
)
def test_a_number_beyond_the_doubles_is_the_largest_one(program):
    assert evaluate(program) == 1.7976931348623157e308


@pytest.mark.parametrize("number", ["1" + "0" * 307, "nan", "infinite", "-infinite", "1e308", "-0.0", "0.5"])
def test_no_number_is_anything_but_data(number):
    for use in (
        "[., 1.5] | add", "[., .] | add", "[1, 2] | del(.[$n])", "[1, 2] | .[$n]", "[1, 2] | .[$n:]",
        "[limit(3; range($n))]",
        "[limit(3; range(0; 1; $n))]", "[1, 2] | .[$n] = 1", "[limit($n; 1, 2)]", "[skip($n; 1, 2)]", "nth($n; 1, 2)",
        "[1, 2] | has($n)", "\"ab\" * $n", "todate", "gmtime", "[.] | implode", "[1, 2, 3, 4] | map(. * $n)",
        "[1, 2, 3, 4] | map(. < $n, . > $n, . == $n)", "[[1]] | flatten($n)", "tojson | fromjson",
        "[range(0; 9)] | bsearch($n)",
    ):  # fmt: skip
        with contextlib.suppress(expressions.EvaluationError):
            json.dumps(evaluate(f"({number}) as $n | $n | {use}"), allow_nan=False)


def test_half_a_surrogate_pair_is_a_replacement_character_so_that_what_has_it_can_be_written():
    text = r'{"\ud800": ["\udc00x", "\ud83d\ude00"]}'
    assert evaluate("fromjson", text) == {"\ufffd": ["\ufffdx", "\N{GRINNING FACE}"]}
    assert evaluate(r'"\ud800"') == "\ufffd"


@pytest.mark.parametrize("function", ["def f(g): g;", "def f($g): $g;", "def f(g): path(g);"])
def test_calls_in_calls_are_compiled_once_each(function):
    expressions.compile(f"{function} {'f(' * 60}.{')' * 60}", variables=())
    expressions.compile("with_entries(" * 60 + "." + ")" * 60, variables=())


def test_the_order_of_keys_is_the_order_of_making():
    assert list(evaluate("{z: 1} + . | .y = 3", {"b": 1, "a": 2})) == ["z", "b", "a", "y"]
    assert list(evaluate("map_values(.)", {"b": 1, "a": 2})) == ["b", "a"]


def test_parts_of_the_input_are_shared_and_never_changed():
    value = {"a": {"b": [1, 2]}, "c": {"d": 1}}
    result = evaluate(".a.b[0] = 9 | del(.c.d) | .a.b += [3]", value)
    assert result == {"a": {"b": [9, 2, 3]}, "c": {}}
    assert value == {"a": {"b": [1, 2]}, "c": {"d": 1}}


def test_constants_of_the_program_survive_what_is_done_to_them():
    compiled = expressions.compile(
        '{"a": [1]} | .a += [2] | reduce (1, 2) as $x (.; .a[0] += $x)', variables=()
    )
    assert compiled.evaluate(None, {}) == compiled.evaluate(None, {}) == {"a": [4, 2]}


def test_an_error_message_shows_only_the_beginning_of_large_data():
    with pytest.raises(expressions.EvaluationError) as caught:
        evaluate(". - 1", {"key": "x" * 10_000})
    assert len(caught.value.message) < 120


@pytest.mark.parametrize(
    ("source", "message", "position"),
    [
        (".a |", "a filter is expected here", 4),
        (".a b", "an operator or the end is expected", 3),
        ("{a b}", "'}' is expected", 3),
        ("[1, 2", "']' is expected", 5),
        ("1 == 2 == 3", "cannot be chained", 7),
        (". as x | 1", "a pattern such as", 5),
        ("if . then 1", "'end' is expected", 11),
        ("lenght", "did you mean `length`", 0),
        (".a | map", "`map` takes 1 arguments, not 0", 5),
        ('"\\(1 + )"', "a filter is expected here", 7),
        ('"a\\qb"', "not an escape", 2),
        (".[", "a filter is expected", 2),
        ("break $x", "no `label $x`", 0),
        ("@bas64", "is not a format", 0),
        ("{(1): 2}", "a key must be a string", 1),
        ("def f: nosuch; 1", "there is no function `nosuch`", 7),
        ("reduce .[] as $x (0)", "';' is expected", 19),
        ('test("(")', "regular expression", 5),
        ('test("a(?=b)")', "look-around", 5),
        ("j0", "refused", 0),
    ],
)
def test_a_fault_in_the_text_has_its_place_and_a_reason(source, message, position):
    with pytest.raises(expressions.ExpressionError) as caught:
        expressions.compile(source, variables=())
    assert message in caught.value.message
    assert caught.value.position == position


def test_shadowed_names_do_not_count_as_used():
    compiled = expressions.compile(". as $context | $context.a + $input", variables={"context", "input"})
    assert compiled.variables == {"input"}
    assert compiled.evaluate({"a": 1}, {"context": {"a": 5}, "input": 2}) == 3


def test_a_program_may_define_a_function_over_a_refused_one():
    assert evaluate("def env: {HOME: 1}; def input: 2; [env.HOME, input]") == [1, 2]
