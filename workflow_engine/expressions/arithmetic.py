"""``+ - * / %`` on JSON values, as jq defines them for each pair of types.

Numbers are IEEE doubles to jq. Whole numbers that doubles hold exactly are computed as ints, which gives the
same answer; a result that is whole comes back as an int, because jq writes it without a fraction.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

from workflow_engine.expressions.errors import EvaluationError
from workflow_engine.expressions.limits import MAX_DEPTH, Machine, too_deep
from workflow_engine.expressions.ordering import equal, type_name
from workflow_engine.expressions.rendering import excerpt

EXACT = 1 << 53
"""Up to this, doubles hold every whole number."""
_NUMBERS = {int, float}


def number(machine: Machine, value: float) -> int | float:
    """*value* as jq would write it: whole numbers as ints; notes NaN and infinities for the end."""
    if type(value) is int:
        if -EXACT <= value <= EXACT:
            return value
        value = to_float(value)
    if value.is_integer():
        return int(value) if -1e17 < value < 1e17 else value
    if not math.isfinite(value):
        machine.nonfinite = True
    return value


def to_float(value: float) -> float:
    """*value* as a double; an int beyond the largest is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _refuse(left: Any, right: Any, done: str) -> NoReturn:
    raise EvaluationError(
        f"{type_name(left)} ({excerpt(left)}) and {type_name(right)} ({excerpt(right)}) cannot be {done}"
    )


def add(machine: Machine, left: Any, right: Any) -> Any:
    """``left + right``."""
    kind, other = type(left), type(right)
    if kind is int and other is int:
        total = left + right
        return total if -EXACT <= total <= EXACT else number(machine, to_float(left) + to_float(right))
    if kind is str and other is str:
        machine.text(len(left) + len(right))
        return left + right
    if kind in _NUMBERS and other in _NUMBERS:
        return number(machine, to_float(left) + to_float(right))
    if left is None:
        return right
    if right is None:
        return left
    if kind is list and other is list:
        machine.array(len(left) + len(right))
        return left + right
    if kind is dict and other is dict:
        machine.array(4 * (len(left) + len(right)))
        return {**left, **right}
    _refuse(left, right, "added")


def subtract(machine: Machine, left: Any, right: Any) -> Any:
    """``left - right``; of arrays, the elements of *left* that *right* does not have."""
    kind, other = type(left), type(right)
    if kind is int and other is int:
        total = left - right
        return total if -EXACT <= total <= EXACT else number(machine, to_float(left) - to_float(right))
    if kind in _NUMBERS and other in _NUMBERS:
        return number(machine, to_float(left) - to_float(right))
    if kind is list and other is list:
        machine.spend(len(left) + len(right))
        scalars = {item for item in right if type(item) is str}
        others = [item for item in right if type(item) is not str]
        kept = []
        for item in left:
            if type(item) is str:
                if item not in scalars:
                    kept.append(item)
            elif not _among(machine, item, others):
                kept.append(item)
        return kept
    _refuse(left, right, "subtracted")


def _among(machine: Machine, item: Any, others: list[Any]) -> bool:
    machine.spend(len(others) >> 2)
    return any(equal(machine, item, other) for other in others)


def multiply(machine: Machine, left: Any, right: Any) -> Any:
    """``left * right``: numbers, a string repeated, objects merged deep."""
    kind, other = type(left), type(right)
    if kind is int and other is int:
        total = left * right
        return total if -EXACT <= total <= EXACT else number(machine, to_float(left) * to_float(right))
    if kind in _NUMBERS and other in _NUMBERS:
        return number(machine, to_float(left) * to_float(right))
    if kind is str and other in _NUMBERS:
        return _repeat(machine, left, right)
    if other is str and kind in _NUMBERS:
        return _repeat(machine, right, left)
    if kind is dict and other is dict:
        return _merge(machine, left, right, 0)
    _refuse(left, right, "multiplied")


def _repeat(machine: Machine, text: str, times: float) -> str | None:
    if not times >= 0:  # NaN too
        return None
    length = len(text) * times
    machine.text(int(min(length, 1e18)))
    return text * int(times) if text else text


def _merge(machine: Machine, left: dict[str, Any], right: dict[str, Any], depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        too_deep()
    machine.spend(((len(left) + len(right)) >> 2) + 1)
    merged = dict(left)
    for key, value in right.items():
        present = merged.get(key)
        if type(present) is dict and type(value) is dict:
            merged[key] = _merge(machine, present, value, depth + 1)
        else:
            merged[key] = value
    return merged


def divide(machine: Machine, left: Any, right: Any) -> Any:
    """``left / right``; of strings, *left* split at *right*."""
    kind, other = type(left), type(right)
    if kind in _NUMBERS and other in _NUMBERS:
        if right == 0:
            _refuse(left, right, "divided because the divisor is zero")
        return number(machine, to_float(left) / to_float(right))
    if kind is str and other is str:
        return split(machine, left, right)
    _refuse(left, right, "divided")


def split(machine: Machine, text: str, separator: str) -> list[str]:
    """The pieces of *text* between the *separator*; an empty one splits between all characters."""
    if not text:
        return []
    pieces = text.split(separator) if separator else list(text)
    machine.text(len(text))
    machine.spend(len(pieces))
    machine.array(len(pieces))
    return pieces


def remainder(machine: Machine, left: Any, right: Any) -> Any:
    """``left % right``: both cut to whole numbers; the result has the sign of *left*."""
    if type(left) not in _NUMBERS or type(right) not in _NUMBERS:
        _refuse(left, right, "divided (remainder)")
    if left != left or right != right:
        machine.nonfinite = True
        return math.nan
    dividend, divisor = _whole(left), abs(_whole(right))
    if divisor == 0:
        _refuse(left, right, "divided (remainder) because the divisor is zero")
    result = abs(dividend) % divisor
    return -result if dividend < 0 else result


_LARGEST = (1 << 63) - 1


def _whole(value: float) -> int:
    """*value* cut to a whole number of 64 bits, as C's cast of a double would saturate."""
    value = to_float(value)
    if math.isinf(value):
        return _LARGEST if value > 0 else -_LARGEST - 1
    return max(-_LARGEST - 1, min(_LARGEST, int(value)))


def negate(machine: Machine, value: Any) -> Any:
    """``-value``."""
    if type(value) is int:
        return -value
    if type(value) is float:
        return number(machine, -value)
    raise EvaluationError(f"{type_name(value)} ({excerpt(value)}) cannot be negated")


def contains(machine: Machine, left: Any, right: Any) -> bool:
    """Whether *right* is inside *left*: substring, subset of elements, part of an object, or equal."""
    if type_name(left) != type_name(right) or (type(left) is bool and left is not right):
        _refuse(left, right, "checked for containment")
    return _contains(machine, left, right, 0)


def _contains(machine: Machine, left: Any, right: Any, depth: int) -> bool:
    kind = type(left)
    if depth > MAX_DEPTH:
        too_deep()
    if kind is dict and type(right) is dict:
        machine.spend(len(right) + 1)
        return all(key in left and _contains(machine, left[key], right[key], depth + 1) for key in right)
    if kind is list and type(right) is list:
        machine.spend(len(left) * len(right) + 1)
        return all(any(_contains(machine, item, part, depth + 1) for item in left) for part in right)
    if kind is str and type(right) is str:
        machine.text(len(left))
        return right in left
    return equal(machine, left, right)
