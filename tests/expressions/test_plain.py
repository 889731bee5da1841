"""What is taken for right without being read is right: the parser and the compiler have nothing against it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.expressions.cases import CASES, FAILING, OURS
from tests.expressions.programs import PROGRAMS
from workflow_engine import expressions
from workflow_engine.expressions import compiler
from workflow_engine.expressions.compiler import _Compiler
from workflow_engine.expressions.errors import ExpressionError
from workflow_engine.expressions.parser import parse, parse_plain
from workflow_engine.expressions.plain import APPLIED, FUNCTIONS, MAX_PLAIN, plain_variables

NAMES = frozenset({"a", "v", "w", "x", "context"})


def read(source: str) -> frozenset[str]:
    """The variables that *source* uses, by reading and compiling it."""
    compiler = _Compiler(source, NAMES, len(NAMES))
    compiler.program(parse(source), tuple(sorted(NAMES)))
    return frozenset(compiler.used)


def agree(source: str) -> None:
    found = plain_variables(source)
    if found is not None and found <= NAMES:
        assert read(source) == found


@pytest.mark.parametrize(
    "source",
    [
        ".", " .a ", ".a.b[0].c?", '.["x y"][$v]', "$context.a // 0", ".a > 1 and .b < 2 or .c == \"x\"", "not", "{}",
        "{a, $v, \"b\": 1, or: .a}", "[.a, .b]", ". + {done: true}", ".items | map(.a) | add", "(.a + .b) * 2",
        ".[] | select(.a != null)", ".a?//1", ".a | length > 3", "{a: .a | length}",
    ],
)  # fmt: skip
def test_what_is_common_is_not_read(source):
    assert plain_variables(source) is not None
    agree(source)


@pytest.mark.parametrize(
    "source",
    [
        "", " ", ".a < .b < .c", "[.a == .b == .c]", ".a<(1|2)<.b", ".a < .or < .c", ".a +", "| .a", ".a |", "[.a,]",
        "[,]", "{a:}", "(.a", ".a .5", ". foo", "foo", ".aand .b", ".a andb", "true(1)", "length(1)", "$a::b", "a::b",
        ".a = 1", ".a += 1", ".a |= 1", ".a //= 1", "..", "1.2.3", "1e5000", "'a'", '"a', '"\\(foo)"', "map()",
        "{1: 2}", "{(1): 2}", "-", ". as $x | $x", "def f: 1; f", ". # a", ".a." + "b" * MAX_PLAIN, "input", "env",
        "@foo", "&", ".a ! .b", "{a: 1, }", "[1] 2", "(.a)(.b)", "{} {}",
    ],
)  # fmt: skip
def test_what_is_wrong_or_rare_is_read(source):
    assert plain_variables(source) is None


@pytest.mark.parametrize("source", [*FUNCTIONS, *(f"{name}(.a)" for name in APPLIED)])
def test_the_functions_of_plain_expressions_take_whatever_they_are_given(source):
    assert plain_variables(source) == frozenset() == read(source)


@pytest.mark.parametrize("source", [case[0] for case in (*CASES, *FAILING, *OURS)])
def test_documented_programs_are_what_they_seem(source):
    agree(source)


@settings(max_examples=300, deadline=None)
@given(PROGRAMS)
def test_generated_programs_are_what_they_seem(source):
    agree(source)


PIECES = st.sampled_from(
    [".", ".a", ".or", "$v", "$a", "1", ".5", "0.5", '"a"', '"$x"', "null", "length", "map", "select", "(", ")", "[",
     "]", "{", "}", ",", ":", "|", "+", "-", "*", "/", "//", "==", "<", "<=", ">", "!=", "and", "or", "?", "=", " ",
     "\n", "a", "b:", "{a:", "[0]", "..", "as"]
)  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=12))
def test_pieces_of_programs_in_any_order_are_what_they_seem(pieces):
    for between in ("", " "):
        source = between.join(pieces)
        try:
            agree(source)
        except ExpressionError as error:
            raise AssertionError(source) from error


PLAIN = [
    ". as $x | $x.a", ". as $r | [.items[] | select(.q > $r.min) | {sku, n: .q}] | map(.n) | add",
    "$x | . as $x | [$x, $v]", "(. as $x | $x), $x", ". as $y | . as $x | [$y, $x]",
    "[.[] as $y | $y] | length", "sort_by(. as $y | $y.a)",
]  # fmt: skip


@pytest.mark.parametrize("source", PLAIN)
def test_what_binds_a_variable_is_compiled_when_it_is_evaluated(source):
    _, variables = parse_plain(source)
    assert variables is not None
    assert read(source) == variables


@settings(max_examples=500, deadline=None)
@given(PROGRAMS)
def test_what_the_parser_calls_plain_compiles(source):
    try:
        _, variables = parse_plain(source)
    except ExpressionError:
        return
    if variables is not None and variables <= NAMES:
        assert read(source) == variables


def test_a_variable_is_bound_for_what_follows_alone():
    with pytest.raises(ExpressionError, match="no variable"):
        expressions.compile("(. as $y | $y), $y", variables=())


def test_arrays_in_arrays_are_compiled_once_each():
    deep = "[.[]," * 60 + "." + "]" * 60
    assert len(expressions.compile(deep, variables=()).evaluate([1], {})) == 2


def test_what_turns_out_to_be_too_large_when_it_is_evaluated_meets_a_limit(monkeypatch):
    monkeypatch.setattr(compiler, "MAX_NODES", 3)
    plain = expressions.compile(".a + .b + .too_large", variables=())
    with pytest.raises(expressions.EvaluationError, match="too many filters"):
        plain.evaluate({}, {})
