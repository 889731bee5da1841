from __future__ import annotations

import pytest

from workflow_engine import expressions
from workflow_engine.expressions import ExpressionError


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("${ .x }", " .x "),
        ("  ${.x}\n", ".x"),
        ('${ "}" }', ' "}" '),
        ('${ {a: "\\("}")"} }', ' {a: "\\("}")"} '),
        ("${ .a # }\n }", " .a # }\n "),
        ("${ .a } and ${ .b }", None),
        (".x", None),
        ("${ .x", None),
        ("x ${ .x }", None),
        ("${ .x } ", " .x "),
    ],
)
def test_unwrap_finds_one_whole_expression(text, inner):
    assert expressions.unwrap(text) == inner


def test_a_slot_takes_both_forms():
    for text in (".a", "${ .a }"):
        assert expressions.expression_slot(text, variables=()).evaluate({"a": 1}, {}) == 1


def test_a_slot_that_is_neither_form_is_refused():
    with pytest.raises(ExpressionError, match="not one whole"):
        expressions.expression_slot("${ .a } and ${ .b }", variables=())


def fill(source, value, **scope):
    return expressions.template(source, variables=scope.keys()).evaluate(value, scope)


def test_a_whole_string_keeps_the_type_of_its_result():
    assert fill({"n": "${ .n }", "l": ["${ .l }"]}, {"n": 1, "l": [2]}) == {"n": 1, "l": [[2]]}


def test_embedded_results_are_put_in_raw_or_as_json():
    text = "Hi ${ .name }: ${ .n }, ${ .o } ${ .none }!"
    assert fill(text, {"name": "Ann", "n": 1.5, "o": {"é": [1]}}) == 'Hi Ann: 1.5, {"é":[1]} null!'


def test_keys_are_never_evaluated_and_other_types_stay():
    source = {"${ .a }": 1, "b": True, "c": None, "d": 1.5, "e": "text"}
    compiled = expressions.template(source, variables=())
    assert compiled.constant
    assert compiled.evaluate({"a": 2}, {}) == source


def test_the_order_of_keys_stays():
    assert list(fill({"z": "${ 1 }", "a": 2, "m": "${ 3 }"}, None)) == ["z", "a", "m"]


def test_the_source_is_not_changed():
    source = {"a": ["${ . }"]}
    compiled = expressions.template(source, variables=())
    assert compiled.evaluate(1, {}) == {"a": [1]}
    assert compiled.evaluate(2, {}) == {"a": [2]}
    assert source == {"a": ["${ . }"]}


def test_the_variables_of_all_expressions_are_known():
    compiled = expressions.template(["${ $a }", "x${ $b }"], variables={"a", "b", "c"})
    assert compiled.variables == {"a", "b"}


def test_a_faulty_expression_has_its_pointer():
    with pytest.raises(ExpressionError) as caught:
        expressions.template({"a/b": [1, "${ $x }"]}, variables=())
    assert caught.value.pointer == "/a~1b/1"


def test_an_unclosed_expression_is_refused():
    with pytest.raises(ExpressionError, match="not closed"):
        expressions.template("a ${ .b", variables=())


@pytest.mark.parametrize(
    ("source", "path"),
    [
        (".", []),
        (".a", ["a"]),
        (".a.b[0]", ["a", "b", 0]),
        ("${ .a }", ["a"]),
        ('.["x y"]', ["x y"]),
        ('."x y".z', ["x y", "z"]),
        ('.a."b"', ["a", "b"]),
        (".a[-1]", ["a", -1]),
        ('.a["b"].c', ["a", "b", "c"]),
        (".[0]", [0]),
        (".a.[0]", ["a", 0]),
        (".a[]", None),
        (".a | .b", None),
        (".a, .b", None),
        ("a", None),
        (".[.a]", None),
        (".a[1:2]", None),
        ("", None),
        (".a .b", ["a", "b"]),
        ("$x.a", None),
        ('."a\\(1)"', None),
        (".a.", None),
        ("[0]", None),
    ],
)
def test_plain_paths_are_told_from_other_expressions(source, path):
    assert expressions.assignment_path(source) == path


def test_text_around_expressions_is_no_longer_than_a_string_may_be():
    value = "x" * 9_000_000
    with pytest.raises(expressions.EvaluationError, match="longer than 16777216") as refused:
        expressions.template({"a": ["${ . } and ${ . }"]}, variables=()).evaluate(value, {})
    assert (refused.value.pointer, refused.value.source) == ("/a/0", "${ . } and ${ . }")
    shared = 1
    for _ in range(40):
        shared = [shared, shared]
    with pytest.raises(expressions.EvaluationError, match="larger than"):
        expressions.template("it is ${ . }", variables=()).evaluate(shared, {})
