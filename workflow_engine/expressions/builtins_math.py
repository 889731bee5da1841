"""Builtins on numbers: IEEE doubles, as jq has them; out of a function's domain is NaN, not an error.

Arithmetic and rounding are exact everywhere. Logarithms, powers and trigonometry come from the C library of the
machine, whose last digit may differ from another's: workers of one fleet should share one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from workflow_engine.expressions.arithmetic import number, to_float
from workflow_engine.expressions.builtins_values import problem
from workflow_engine.expressions.limits import Machine
from workflow_engine.expressions.ordering import compare

_NUMBERS = {int, float}
_POWERS_OF_TWO = 1100  # beyond the exponents of doubles


def _double(value: Any) -> float:
    if type(value) not in _NUMBERS:
        raise problem(value, "number required")
    return to_float(value)


def _plain(function: Callable[..., float]) -> Callable[..., Any]:
    """*function* of doubles as a builtin; the first of two or three numbers is the first argument."""

    def applied(machine: Machine, value: Any, *arguments: Any) -> Any:
        numbers = [_double(argument) for argument in arguments or (value,)]
        try:
            result = function(*numbers)
        except (ValueError, ZeroDivisionError):
            result = _pole(function, numbers)
        except OverflowError:
            result = math.inf
        return number(machine, to_float(result))

    return applied


def _pole(function: Callable[..., float], numbers: list[float]) -> float:
    """What C gives where Python raises: an infinity at a pole, NaN elsewhere."""
    if function in _POLES and numbers[0] == _POLES[function]:
        return -math.inf
    if function in {math.pow, _atanh, math.lgamma, _gamma} and not any(map(math.isnan, numbers)):
        if function is math.pow:
            return math.inf if numbers[0] == 0 else math.nan
        if function is _atanh:
            return math.copysign(math.inf, numbers[0]) if abs(numbers[0]) == 1 else math.nan
        return math.inf
    return math.nan


def _atanh(value: float) -> float:
    return math.atanh(value)


def _gamma(value: float) -> float:
    return math.lgamma(value)


def _round(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value) if abs(value) < 2**52 else value


def _integral(function: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: function(value) if math.isfinite(value) else value


def _rint(value: float) -> float:
    return round(value) if math.isfinite(value) else value


def _ldexp(value: float, exponent: float) -> float:
    if not math.isfinite(exponent):
        return math.nan if math.isnan(exponent) else value * (math.inf if exponent > 0 else 0.0)
    return math.ldexp(value, max(-4 * _POWERS_OF_TWO, min(4 * _POWERS_OF_TWO, int(exponent))))


def _logb(value: float) -> float:
    if value == 0:
        return -math.inf
    return abs(value) if math.isinf(value) else math.frexp(value)[1] - 1


def _significand(value: float) -> float:
    if value == 0 or not math.isfinite(value):
        return value
    return math.ldexp(value, 1 - math.frexp(value)[1])


def _exp10(value: float) -> float:
    return math.pow(10.0, value)


def _abs(machine: Machine, value: Any) -> Any:
    if type(value) not in _NUMBERS:
        if compare(machine, value, 0) < 0:
            raise problem(value, "cannot be negated")
        return value  # greater than zero in jq's order of all values
    return number(machine, abs(value)) if type(value) is float else abs(value)


def _frexp(machine: Machine, value: Any) -> Any:
    fraction, exponent = math.frexp(_double(value))
    return [number(machine, fraction), exponent]


def _modf(machine: Machine, value: Any) -> Any:
    fraction, whole = math.modf(_double(value))
    return [number(machine, fraction), number(machine, whole)]


def _lgamma_r(machine: Machine, value: Any) -> Any:
    double = _double(value)
    negative = double < 0 and math.isfinite(double) and math.floor(double) % 2 != 0
    return [_plain(math.lgamma)(machine, value), -1 if negative else 1]


def _is(test: Callable[[float], bool]) -> Callable[..., bool]:
    return lambda _machine, value: type(value) in _NUMBERS and test(to_float(value))


def _normal(value: float) -> bool:
    return math.isfinite(value) and abs(value) >= 2.2250738585072014e-308


def _infinite(machine: Machine, _value: Any) -> float:
    machine.nonfinite = True
    return math.inf


def _nan(machine: Machine, _value: Any) -> float:
    machine.nonfinite = True
    return math.nan


_POLES: dict[Any, float] = {math.log: 0.0, math.log2: 0.0, math.log10: 0.0, math.log1p: -1.0}
_ONE: dict[str, Callable[[float], float]] = {
    "floor": _integral(math.floor), "ceil": _integral(math.ceil), "trunc": _integral(math.trunc),
    "round": _round, "rint": _rint, "nearbyint": _rint, "fabs": abs, "sqrt": math.sqrt, "cbrt": math.cbrt,
    "exp": math.exp, "exp2": lambda value: math.pow(2.0, value), "exp10": _exp10, "expm1": math.expm1,
    "log": math.log, "log2": math.log2, "log10": math.log10, "log1p": math.log1p, "logb": _logb,
    "significand": _significand, "gamma": _gamma, "lgamma": _gamma, "tgamma": math.gamma,
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "asin": math.asin, "acos": math.acos,
    "atan": math.atan, "sinh": math.sinh, "cosh": math.cosh, "tanh": math.tanh, "asinh": math.asinh,
    "acosh": math.acosh, "atanh": _atanh, "erf": math.erf, "erfc": math.erfc,
}  # fmt: skip
_TWO: dict[str, Callable[[float, float], float]] = {
    "pow": math.pow, "atan2": math.atan2, "fmod": math.fmod, "hypot": math.hypot, "copysign": math.copysign,
    "drem": math.remainder, "remainder": math.remainder, "ldexp": _ldexp, "scalb": _ldexp, "scalbln": _ldexp,
    "nextafter": math.nextafter, "nexttoward": math.nextafter,
    "fmin": lambda one, other: one if other != other or one < other else other,
    "fmax": lambda one, other: one if other != other or one > other else other,
    "fdim": lambda one, other: max(one - other, 0.0),
}  # fmt: skip

MATH: dict[tuple[str, int], Callable[..., Any]] = {
    **{(name, 0): _plain(function) for name, function in _ONE.items()},
    **{(name, 2): _plain(function) for name, function in _TWO.items()},
    ("fma", 3): _plain(lambda one, two, three: one * two + three),
    ("abs", 0): _abs,
    ("frexp", 0): _frexp,
    ("modf", 0): _modf,
    ("lgamma_r", 0): _lgamma_r,
    ("infinite", 0): _infinite,
    ("nan", 0): _nan,
    ("isinfinite", 0): _is(math.isinf),
    ("isnan", 0): _is(math.isnan),
    ("isnormal", 0): _is(_normal),
}
"""Functions of numbers."""
