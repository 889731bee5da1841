"""CloudEvents SQL beyond the published suite: what is open there, bounds, places of errors, and properties."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workflow_engine.filters import cesql
from workflow_engine.filters.cesql_syntax import MAX_DEPTH, MAX_LENGTH, MAX_NODES
from workflow_engine.values import JsonObject

EVENT: JsonObject = {
    "specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed", "priority": "7", "urgent": True,
    "count": 5, "data": {"n": 1},
}  # fmt: skip


def value(source: str, **attributes: object) -> object:
    """The value of an expression that does not go wrong."""
    found, errors = cesql.compile(source).evaluate({**EVENT, **attributes})  # type: ignore[arg-type]
    assert errors == ()
    return found


def wrong(source: str) -> tuple[object, str]:
    """The value and the kind of the error of one that does."""
    found, (error,) = cesql.compile(source).evaluate(EVENT)
    return found, error.kind


def refused(source: str) -> cesql.ParseError:
    with pytest.raises(cesql.ParseError) as caught:
        cesql.compile(source)
    return caught.value


class TestPrecedence:
    def test_and_or_and_xor_go_from_left_to_right(self):
        assert value("TRUE OR FALSE AND FALSE") is False
        assert value("FALSE AND FALSE OR TRUE") is True
        assert value("TRUE XOR TRUE XOR TRUE") is True

    def test_not_and_minus_bind_more_than_what_compares(self):
        assert value("NOT FALSE = FALSE") is False
        assert value("-1 * -2 = 2") is True
        assert value("- count + 6") == 1

    def test_like_and_in_bind_more_than_arithmetic(self):
        assert value("1 + 1 IN (1)") == 2
        assert value("TRUE = id LIKE '1'") is True

    def test_a_difference_needs_no_spaces(self):
        assert value("count-1") == 4
        assert value("3 -1") == 2


class TestValues:
    def test_names_are_the_same_in_capital_letters(self):
        assert value("TYPE = 'order.placed' and lEnGtH(Id) = 1") is True

    def test_the_payload_is_no_attribute(self):
        assert wrong("data = 'x'") == (False, "missingAttribute")
        assert value("EXISTS data") is False

    def test_integers_have_32_bits(self):
        assert wrong("2147483647 + 1") == (0, "math")
        assert wrong("-(-2147483648)") == (0, "math")
        assert wrong("INT('2147483648')") == (0, "cast")
        assert wrong("'９' = 9") == (False, "cast")
        assert value("big LIKE '9%'", big=9_999_999_999) is True

    def test_division_is_towards_zero_and_the_rest_has_the_sign_of_the_first(self):
        assert (value("-7 / 2"), value("-7 % 2"), value("7 % -2")) == (-3, -1, 1)

    def test_what_is_equal_is_told_after_a_cast_to_the_right_type(self):
        assert value("priority = 7") is True
        assert value("7 = priority") is True
        assert value("'07' = priority") is False
        assert value("urgent = 'true'") is True

    def test_an_error_gives_the_zero_value_of_the_outermost_operator(self):
        assert wrong("LEFT('abc', 'x')") == ("", "cast")
        assert wrong("CONCAT('a', missing)") == ("", "missingAttribute")
        assert wrong("1 + LENGTH(missing)") == (0, "missingAttribute")
        assert wrong("NOSUCH(1)") == (False, "missingFunction")

    def test_an_error_of_the_outermost_function_keeps_its_value(self):
        assert wrong("ABS(-2147483648)") == (2147483647, "math")
        assert wrong("RIGHT('abc', -1)") == ("abc", "functionEvaluation")
        assert wrong("CONCAT(RIGHT('abc', -1), 'd')") == ("", "functionEvaluation")

    def test_a_text_that_functions_make_is_bounded(self):
        source = "x"
        for _ in range(5):
            source = f"CONCAT({', '.join([source] * 3)})"
        expression = cesql.compile(f"LENGTH({source})")
        assert expression.evaluate({**EVENT, "x": "a" * 100})[0] == 24_300
        result, (error,) = expression.evaluate({**EVENT, "x": "a" * 10_000})
        assert (result, error.kind) == (0, "functionEvaluation")

    def test_an_error_knows_its_place(self):
        _, (error,) = cesql.compile("TRUE AND 1 / 0 = 1").evaluate(EVENT)
        assert (error.at, error.message) == (11, "division by zero")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "line 1, column 1: expected a value, not the end"),
        ("type =", "line 1, column 7: expected a value, not the end"),
        ("type =\n  AND", "line 2, column 3: expected a value, not `AND`"),
        ("type 'x'", "line 1, column 6: expected an operator, not `'x'`"),
        ("type = 'x", "line 1, column 8: this text does not end"),
        ("type = 'it''s'", "line 1, column 12: a quote inside a text is written \\'"),
        ("type == 'x'", "line 1, column 7: expected a value, not `=`"),
        ("my_ext = 1", "line 1, column 1: an attribute's name has letters and digits only"),
        ("F2(1)", "line 1, column 1: a function's name has letters and `_` only"),
        ("x NOT = 1", "line 1, column 7: expected LIKE or IN, not `=`"),
        ("x LIKE y", "line 1, column 8: expected a text, which is the pattern, not `y`"),
        ("x IN ()", "line 1, column 7: expected a value, not `)`"),
        ("EXISTS 'x'", "line 1, column 8: expected the name of an attribute, not `'x'`"),
        ("2147483648", "line 1, column 1: an integer has 32 bits: -2147483648 to 2147483647"),
        ("1 & 2", "line 1, column 3: unexpected '&'"),
        ("+x", "line 1, column 2: expected digits behind `+`, not `x`"),
        ("x LIKE '" + "_" * 65 + "'", "line 1, column 8: a pattern has at most 64 wildcards"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused_with_its_place(source, message):
    assert str(refused(source)) == message


def test_an_expression_is_bounded_in_length_depth_and_parts():
    assert "characters" in str(refused("a" * (MAX_LENGTH + 1)))
    assert "deep" in str(refused("(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1)))
    assert "deep" in str(refused("NOT " * (MAX_DEPTH + 1) + "TRUE"))
    assert "deep" in str(refused("1" + " + 1" * (MAX_DEPTH + 1)))
    assert "deep" in str(refused("(" * 60 + "1" + (" + 1" * 5 + ")") * 60))
    assert "parts" in str(refused("a" + " OR a" * MAX_NODES))


def test_many_alternatives_are_not_deep():
    assert value(" OR ".join(f"type = 't{i}'" for i in range(200)) + " OR TRUE") is True


texts = st.text(st.sampled_from("abAB %_\\'\"\n1-ß"), max_size=5)
literals = st.one_of(
    st.integers(-(2**31), 2**31 - 1).map(str),
    st.sampled_from(["true", "FALSE"]),
    texts.filter(lambda text: not text.endswith("\\") and "\\" not in text).map(
        lambda text: "'" + text.replace("'", "\\'") + "'"
    ),
)
attributes = st.sampled_from(["type", "PRIORITY", "urgent", "count", "missing"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(
        ["=", "!=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "AND", "or", "XOR"]
    )
    names = st.sampled_from(
        [
            "LENGTH",
            "concat",
            "LOWER",
            "TRIM",
            "ABS",
            "INT",
            "BOOL",
            "STRING",
            "IS_INT",
            "IS_BOOL",
            "LEFT",
            "SUBSTRING",
            "WHAT",
        ]
    )
    return st.one_of(
        st.tuples(inner, operators, inner).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        st.tuples(st.sampled_from(["NOT ", "- "]), inner).map("".join),
        st.tuples(names, st.lists(inner, max_size=3)).map(lambda parts: f"{parts[0]}({', '.join(parts[1])})"),
        st.tuples(inner, st.sampled_from(["", "NOT "]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda parts: f"({parts[0]} {parts[1]}IN ({', '.join(parts[2])}))"
        ),
        inner.map(lambda part: f"({part} LIKE '%1_')"),
    )


expressions = st.recursive(st.one_of(literals, attributes), _grown, max_leaves=12)


@settings(max_examples=80, deadline=None)
@given(expressions)
def test_every_expression_has_a_value_of_its_type_and_nothing_is_raised(source):
    expression = cesql.compile(source)
    found, errors = expression.evaluate(EVENT)
    assert isinstance(found, str | int | bool)
    assert len(errors) <= 1
    if not isinstance(expression.tree, cesql.Attribute):
        assert type(found) is expression.returns
    if type(found) is int:
        assert -(2**31) <= found < 2**31


@settings(max_examples=80, deadline=None)
@given(expressions)
def test_an_error_inside_never_becomes_true_outside(source):
    expression = cesql.compile(f"NOT (NOT ({source}))")
    found, errors = expression.evaluate(EVENT)
    inner, problems = cesql.compile(source).evaluate(EVENT)
    if problems:
        assert (found, errors[0].kind) == (False, problems[0].kind)
    elif isinstance(inner, bool):
        assert (found, errors) == (inner, ())


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("aT1 ()'\"\\-+=<>,%_\nANDORNOTLIKEINEXISTS²٣"), max_size=30))
@example("²")
@example("٣")
def test_any_text_is_an_expression_or_refused_with_a_place_in_it(source):
    place = 0
    try:
        cesql.compile(source).evaluate(EVENT)
    except cesql.ParseError as error:
        place = error.at
    assert 0 <= place <= len(source)


@settings(max_examples=80, deadline=None)
@given(expressions)
def test_capital_letters_and_spaces_change_nothing(source):
    apart = source.replace("(", " ( ").replace(",", " ,\n ") if "'" not in source else source
    assert cesql.compile(apart).evaluate(EVENT)[0] == cesql.compile(source).evaluate(EVENT)[0]
