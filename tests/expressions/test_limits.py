from __future__ import annotations

import contextlib
import copy
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.expressions.programs import PROGRAMS, VALUES
from workflow_engine import expressions
from workflow_engine.errors import Rejected
from workflow_engine.expressions import EvaluationError, ExpressionError
from workflow_engine.expressions.limits import allow, weigh
from workflow_engine.settings import Settings

ENDLESS = [
    "[range(1e9)] | length",
    "def f: f; f",
    "def f: 1 + f; f",
    '"a" * 1000000000',
    "[limit(1e8; repeat(1))]",
    "last(range(5e7))",
    "reduce range(3e7) as $i (0; . + $i)",
    "until(false; .)",
    "[while(true; .)]",
    "[recurse(. + 1; . < 1e7)]",
    "[[range(5000)], [range(5000)]] | [combinations]",
    "reduce range(200000) as $i (1; [.])",
    "reduce range(60) as $i (1; [., .])",
    "reduce range(60) as $i (1; {a: ., b: .}) | tojson",
    "reduce range(60) as $i (1; [., .]) as $a | reduce range(60) as $i (1; [., .]) as $b | $a == $b",
    "reduce range(60) as $i (1; [., .]) | [..] | length",
    "reduce range(60) as $i (1; [., .]) | flatten",
    "reduce range(60) as $i (1; [., .]) | walk(.)",
    "reduce range(60) as $i (1; [., .]) | [tostream]",
    "reduce range(60) as $i (1; [., .]) | [paths]",
    '[range(1000)] | map("x" * 16000000)',
    'reduce range(1000000) as $i (""; . + "aaaaaaaaaaaaaaaaaaaa")',
    "def fib: if . < 2 then . else (. - 1 | fib) + (. - 2 | fib) end; 40 | fib",
    "def f(g): f(g | g); f(.)",
    "def f(g): g | f(g + 1); 1 | f(.)",
    "def f: def g: f; g; f",
    "path(repeat(.))",
    "[repeat(empty)]",
    "first(repeat(empty))",
    "isempty(repeat(empty))",
    "any(repeat(1); false)",
    "reduce repeat(1) as $x (0; .)",
    ".[1e9] = 1",
    '("[" * 100000) | fromjson',
    "reduce range(1e6) as $i ([]; [$i] + .)",
    "[range(1e5) | [range(1e3)]]",
    "label $x | repeat(if false then break $x else empty end)",
    '"x" * 1000000 | [match("."; "g")] | length',
    '0 | strftime("%c" * 4000000)',
    "range(0; 1; 1e-300) | empty",
    "[range(1e5)] as $x | [$x[] | $x[]]",
]


@pytest.mark.parametrize("source", ENDLESS)
def test_a_program_that_asks_for_too_much_is_stopped(source):
    compiled = expressions.compile(source, variables=())
    with pytest.raises(EvaluationError):
        compiled.evaluate(None, {})


@pytest.mark.parametrize(
    "source", ["try ({}) catch 1", "({})?", "({}) // 1", "first(({}), 1)", "{{a: ({})}}"]
)
def test_no_program_can_catch_that_it_is_stopped(source):
    for endless in ("def f: f; f", "def f: 1 + f; f", "[range(1e9)]", '"a" * 1e9'):
        compiled = expressions.compile(source.format(endless), variables=())
        with pytest.raises(EvaluationError, match=r"steps|deeper|longer"):
            compiled.evaluate(None, {})


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("0 | until(. > 100000; . + 1)", 100001),
        ("last(range(100000))", 99999),
        ("[limit(5; repeat(1))]", [1] * 5),
        ("last(limit(50000; repeat(1)))", 1),
        ("first(range(1e9))", 0),
        ("[limit(3; recurse(. + 1))] | length", 3),
        ("[range(100000)] | add", 4999950000),
        ("[range(100000)] | map(select(. % 2 == 0)) | length", 50000),
        ("reduce range(100000) as $i (0; . + $i)", 4999950000),
        ("reduce range(50000) as $i ([]; . + [$i]) | length", 50000),
        ('reduce range(50000) as $i ({}; .["k\\($i)"] = $i) | length', 50000),
        ("reduce range(20000) as $i ({}; .[$i % 10 | tostring] += 1) | add", 20000),
        ("[range(20000)] | .[] |= . + 1 | add", 200010000),
        (
            "[range(20000) | {n: .}] | (.[] | select(.n > 10) | .big) = true | map(select(.big)) | length",
            19989,
        ),
        ("def down: if . > 0 then . - 1 | down else . end; 50000 | down", 0),
        ("def sum: if length > 1 then .[0] + (.[1:] | sum) else .[0] end; [range(200)] | sum", 19900),
        ("reduce range(150) as $i (1; [.]) | [recurse(.[]?)] | length", 151),
        ('"x" * 100000 | gsub("y"; "z") | length', 100000),
        ('("x" * 5000) | test("^(x+x+)+y$")', False),
    ],
)
def test_long_but_honest_work_is_done(source, result):
    assert expressions.compile(source, variables=()).evaluate(None, {}) == result


@pytest.fixture
def allowed() -> Iterator[Callable[..., None]]:
    """Sets limits for the time of a test."""
    yield lambda *pairs: allow(pairs)
    allow(())


@pytest.mark.parametrize(
    ("limit", "source", "message"),
    [
        ("steps=1000", "last(range(2000))", "more than 1000 steps"),
        ("calls=20", "def f: if . > 0 then (. - 1 | f) + 1 else . end; 50 | f", "deeper than 20 levels"),
        ("text=100", '"x" * 101', "longer than 100"),
        ("array=100", "[range(101)]", "longer than 100"),
        ("result=100", "[range(50) | tostring]", "larger than 100 characters"),
    ],
)
def test_every_limit_can_be_set(allowed, limit, source, message):
    compiled = expressions.compile(source, variables=())
    compiled.evaluate(None, {})
    allowed(limit)
    with pytest.raises(EvaluationError, match=message):
        compiled.evaluate(None, {})


def test_more_can_be_allowed_than_by_default(allowed):
    compiled = expressions.compile("[range(1500000)] | length", variables=())
    with pytest.raises(EvaluationError):
        compiled.evaluate(None, {})
    allowed("steps=100000000", "array=2000000")
    assert compiled.evaluate(None, {}) == 1_500_000


@pytest.mark.parametrize(
    "pair", ["steps", "steps=", "steps=few", "calls=1000", "array=1", "memory=5", "text=-5"]
)
def test_a_limit_that_makes_no_sense_is_refused_with_the_setting(pair):
    with pytest.raises(Rejected, match="WFE_EXPRESSION_LIMITS"):
        Settings.from_env({"WFE_EXPRESSION_LIMITS": f"text=1000,{pair}"})


def test_data_as_deep_as_a_result_may_be_is_worked_on():
    value = 1
    for _ in range(120):
        value = {"a": [value]} if isinstance(value, list) else [value]
    for source in ("tojson | fromjson", "walk(.)", "[..] | .[0]", ". as $x | if . == $x then . else 1 end"):
        assert expressions.compile(source, variables=()).evaluate(value, {}) == value


def test_a_result_that_json_encoders_would_refuse_is_refused():
    compiled = expressions.compile("reduce range(300) as $i (1; [.])", variables=())
    with pytest.raises(EvaluationError, match="nested deeper"):
        compiled.evaluate(None, {})


@pytest.mark.parametrize(
    "source",
    [
        "(" * 500 + "." + ")" * 500,
        "[" * 3000,
        "1" + "+1" * 2000,
        "." + " | ." * 5000,
        '"\\(' * 100 + "1" + ')"' * 100,
        "." * 70_000,
        "-" * 1000 + "1",
        "if . then " * 300,
        ". as " + "[" * 500 + "$x" + "]" * 500 + " | 1",
        "def f: " * 400 + "1;" * 400,
    ],
)
def test_a_text_that_is_nested_or_long_beyond_reason_is_refused(source):
    with pytest.raises(ExpressionError):
        expressions.compile(source, variables=())


def test_a_long_but_flat_text_is_fine():
    source = "[" + ",".join(map(str, range(3000))) + "] | length"
    assert expressions.compile(source, variables=()).evaluate(None, {}) == 3000
    source = "0" + " + 1" * 400
    assert expressions.compile(source, variables=()).evaluate(None, {}) == 400


@settings(max_examples=60, deadline=None)
@given(PROGRAMS, VALUES)
def test_evaluation_repeats_itself_and_changes_nothing(program, value):
    compiled = expressions.compile(program, variables=())
    before = copy.deepcopy(value)
    answers = []
    for _ in range(2):
        try:
            answers.append(json.dumps(compiled.evaluate(value, {})))
        except EvaluationError as error:
            answers.append(error.message)
    assert answers[0] == answers[1]
    assert value == before


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet=".[]{}()|,:;$\"\\ab1 -+*/?#@'\n", max_size=25))
def test_any_text_is_compiled_or_refused(text):
    try:
        compiled = expressions.compile(text, variables={"a"})
    except ExpressionError as refusal:
        position = refusal.position
        assert position is None or 0 <= position <= len(text)
        return
    with contextlib.suppress(EvaluationError):
        compiled.evaluate({"a": [1]}, {"a": 1})


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_unwrap_and_templates_take_any_text(text):
    expressions.unwrap("${" + text)
    with contextlib.suppress(ExpressionError, EvaluationError):
        expressions.template(["${" + text, text + "${ 1 }"], variables=()).evaluate(None, {})
    expressions.assignment_path(text)


def _plainly(value: Any) -> int:
    """The weight of a value, part by part."""
    if isinstance(value, str):
        return len(value) + 2
    if isinstance(value, list):
        return 2 + sum(map(_of_item, value))
    if isinstance(value, dict):
        return 2 + sum(len(name) + 4 + _of_item(item) for name, item in value.items())
    return 8


def _of_item(item: Any) -> int:
    return _plainly(item) + (1 if isinstance(item, str | list | dict) else 0)


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_parts = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(_parts, min_size=1, max_size=4), st.integers(1, 9), st.integers(1, 9))
def test_what_many_parts_weigh_together_is_what_each_weighs(parts: list[Any], often: int, again: int) -> None:
    records = [
        {"id": number, "part": parts[number % len(parts)], "": [number]} for number in range(often * 5)
    ]
    unlike = [{**record, "more": parts} if record["id"] % 3 else record for record in records]
    rows = [[part, {"all": parts}] * again for part in parts] * often
    for value in (
        parts * often,
        records,
        unlike,
        rows,
        {"rows": rows, "records": [{"in": each} for each in records]},
    ):
        assert weigh(value) == _plainly(value)


@contextlib.contextmanager
def _counted() -> Iterator[Counter[str]]:
    """The functions of Python that are called."""
    calls, before = Counter[str](), sys.getprofile()

    def called(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            calls[frame.f_code.co_name] += 1

    sys.setprofile(called)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def test_a_thousand_records_are_weighed_without_a_look_at_each() -> None:
    records = [{"id": number, "of": {"name": str(number), "tags": ["a", number]}} for number in range(1000)]
    with _counted() as calls:
        weigh(records)
    assert calls.total() < 100, calls


def test_what_is_in_itself_again_and_again_is_refused_at_once() -> None:
    one, other = list[Any](), list[Any]()
    for _ in range(150):
        one, other = [one, other] * 10, [other, one] * 10
    with _counted() as calls, pytest.raises(EvaluationError, match="larger than"):
        weigh(one)
    assert calls.total() < 10_000, calls
