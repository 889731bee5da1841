"""What is done to many inputs at once is what is done to one after the other: outputs, errors, and steps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.expressions.programs import PROGRAMS, VALUES
from workflow_engine import expressions
from workflow_engine.expressions.code import Break
from workflow_engine.expressions.compiler import compile_program
from workflow_engine.expressions.errors import EvaluationError, ExpressionError
from workflow_engine.expressions.limits import LIMITS, Machine

NAMES = ("v", "w")


def told(source: str, value: Any, *, at_once: bool, steps: int = 100_000) -> tuple[str, Any, int]:
    """How *source* ends on *value*, with what, and how many steps it leaves."""
    program = compile_program(source, NAMES)
    machine = Machine()
    machine.fuel = steps
    if not at_once:
        machine.spare = -1
    env = (machine, 0, *[{"v": 3, "w": {"a": [1, "x"]}}[name] for name in program.names])
    try:
        outputs = []
        for output in program.compiled().many(env, value):
            outputs.append(output)
            if len(outputs) > 1000:
                break
    except EvaluationError as error:
        return "error", (type(error).__name__, error.message), max(0, machine.fuel)
    except (Break, RecursionError) as error:
        return "error", type(error).__name__, 0
    return "outputs", outputs, machine.fuel


def agree(source: str, value: Any, steps: int = 100_000) -> None:
    one_by_one = told(source, value, at_once=False, steps=steps)
    together = told(source, value, at_once=True, steps=steps)
    assert repr(together) == repr(one_by_one)  # 1 and 1.0 and true are different, and so is the order of keys


ITEMS: list[Any] = [
    {"a": 1, "b": "x", "c": {"d": [1, 2]}}, {"a": 2.5, "b": "yy", "c": None}, {"a": -1, "b": "z" * 20, "c": {}},
    {"a": 9007199254740993, "b": ""}, {"b": "x"}, {"a": -0.0, "b": "é"}, {"a": True, "b": "x"}, {"a": 1e300, "b": "x"},
]  # fmt: skip
EVERY = r"""
.a
.c.d
.c.d[0]
{a}
{a, b}
{a, b, x: 1}
{a: .a, z: $v, a: .b}
[.a]
[.a, .b]
. + {done: true}
{x: .b} + .
.a + 1
.a * 2
.a * .a
.a - .a
.b + .b
"m-" + .b
"m-" + (.a | tostring)
"\(.a):\(.b)"
@json "\(.b) \(.a)"
.a > 1
.a < 1
.a == 1
.b == "x"
.b != "x"
.a >= 1
.b | length
.b | ascii_upcase
if .a > 1 then .b else .a end
.a > 0 and .b != "x"
.c // .b
.a // 0 | . + 1
(.c // {}) | .d
$v
{v: $w}
[range(3)]
[range(0; $v) | "m-" + (. | tostring)]
{r: [range($v) | . * 2], k: .a}
.b | startswith("x")
[.b, .b] | join("-")
has("a")
not
.a | not
[$w.a[] | tostring]
(.b | length) * 2
.c.d | length
[.c.d[]?]
. as $x | $x.a
tojson
.a | floor
1 / .a
.a.b
.b.c
.[0]
error
error(.b)
try error(.b) catch .
.a | tonumber
.b | tonumber? // 7
def f: . + 1; .a | f
reduce .c.d[]? as $n (0; . + $n)
if .a > 2 then error("late") else .b.x end
(.b | test("x"))
[limit(2; .c.d[]?)]
.a * 1e300
.a - 0.5
.a - 9007199254740992
.a + .a
nan + .a
[infinite * .a]
-(.a)
.a - true
"\(.b)\(.b)\(.a)\(.c)"
"\(.b)" * 100 | "\(.)\(.)"
""".strip().splitlines()

AROUND = """
[.[] | EACH]
map(select(EACH))
sort_by(EACH)
[.[] | [EACH, EACH]]
map(try EACH catch .)
label $out | [.[] | if .a == 0 then break $out else EACH end]
[.[] | EACH | EACH]
map({x: EACH, y: .})
[.[] as $v | EACH]
[.[] as $v | $v | EACH]
reduce (.[] as $x | EACH) as $v (0; [., $v])
""".strip().splitlines()


@pytest.mark.parametrize("each", EVERY)
def test_each_kind_of_filter(each: str) -> None:
    for around in AROUND:
        source = around.replace("EACH", f"({each})")
        agree(source, ITEMS)
        for steps in (5, 30, 100, 400):
            agree(source, ITEMS * 3, steps)
    agree(f"map({each})", ITEMS[:4] * 300)


@settings(max_examples=200, deadline=None)
@given(PROGRAMS, st.lists(VALUES, min_size=4, max_size=9), st.sampled_from([100_000, 1_000, 100, 40]))
def test_generated_programs(source: str, values: list[Any], steps: int) -> None:
    try:
        compile_program(source, NAMES)
    except ExpressionError:
        assume(False)
    agree(f"[.[] | {source}]", values, steps)
    agree(f"map(select({source}))", values, steps)


@pytest.mark.parametrize("each", EVERY)
def test_what_is_bound_takes_the_steps_of_one_after_the_other(each: str) -> None:
    for steps in (100_000, 5, 30, 100, 400):
        bound = told(f"[.[] as $v | {each}]", ITEMS, at_once=True, steps=steps)
        streamed = told(f"[empty, (.[] as $v | {each})]", ITEMS, at_once=True, steps=steps)
        assert repr(bound[:2]) == repr(streamed[:2])
        if bound[0] == "error" or "fuel" in bound:
            assert bound[2] == streamed[2]


def test_what_fails_again_and_again_is_not_tried_at_once_for_ever() -> None:
    deep = "error"
    for _ in range(40):
        deep = f"{{x: [.[]? | {deep}]}}"
    value: Any = 1
    for _ in range(2):
        value = [value] * 5
    for _ in range(38):
        value = [value, 1, 1, 1]
    machine = Machine()
    with pytest.raises(EvaluationError):
        compile_program(deep, ()).compiled().one((machine, 0), value)  # type: ignore[misc]
    assert machine.spare < 0


def test_small_limits_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LIMITS, "array", 10)
    monkeypatch.setattr(LIMITS, "text", 10)
    for each in ("{a: 1, b: 2} + .", ". + {a: 1}", '.b + "123456789"', '"\\(.b)12345678"'):
        agree(f"map({each})", [{"b": "abc"}] * 5)


def test_what_is_shared_in_a_result_is_not_changed_in_two_places() -> None:
    made = "[range(5) | {n: ., same: [range(2)]}] | .[1].same[0] = 9 | map(.same) | .[2] += [3]"
    program = f"{made} | reduce (0, 3) as $i (.; .[$i][0] = 7)"
    result = expressions.compile(program, variables=()).evaluate(None, {})
    assert result == [[7, 1], [9, 1], [0, 1, 3], [7, 1], [0, 1]]
