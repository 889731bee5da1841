"""jq's order of all values: null, false, true, numbers, strings, arrays, objects; equality follows from it."""

from __future__ import annotations

from typing import Any

from workflow_engine.expressions.limits import MAX_DEPTH, Machine, too_deep

TYPES = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
"""The name jq gives each type of a JSON value."""

_RANKS = {type(None): 0, bool: 1, int: 3, float: 3, str: 4, list: 5, dict: 6}
_SCALARS = {str, int, float}


def type_name(value: Any) -> str:
    """``null``, ``boolean``, ``number``, ``string``, ``array`` or ``object``."""
    return TYPES[type(value)]


def equal(machine: Machine, left: Any, right: Any) -> bool:
    """Whether two values are the same JSON: ``1`` equals ``1.0``, ``true`` does not equal ``1``."""
    kind = type(left)
    if kind is str or type(right) is str:
        return bool(left == right)
    if kind in _SCALARS:
        return type(right) in _SCALARS and bool(left == right)
    if kind is list or kind is dict:
        return type(right) is kind and _equal(machine, left, right, 0)
    return left is right


def _equal(machine: Machine, left: Any, right: Any, depth: int) -> bool:
    if len(left) != len(right):
        return False
    machine.spend(len(left) + 1)
    if depth > MAX_DEPTH:
        too_deep()
    if type(left) is list:
        pairs = zip(left, right, strict=True)
    else:
        if left.keys() != right.keys():
            return False
        pairs = zip(left.values(), [right[key] for key in left], strict=True)
    for one, other in pairs:
        kind = type(one)
        if kind is list or kind is dict:
            if type(other) is not kind or not _equal(machine, one, other, depth + 1):
                return False
        elif not equal(machine, one, other):
            return False
    return True


def compare(machine: Machine, left: Any, right: Any) -> int:
    """-1, 0 or 1; NaN is less than every number, itself included, as jq has it."""
    return _compare(machine, left, right, 0)


def _compare(machine: Machine, left: Any, right: Any, depth: int) -> int:
    rank, other = _RANKS[type(left)], _RANKS[type(right)]
    if rank != other:
        return -1 if rank < other else 1
    if rank == 3:
        return -1 if left != left or left < right else 0 if left == right else 1
    if rank <= 4:
        return 0 if left == right else -1 if left is None or left < right else 1
    if depth > MAX_DEPTH:
        too_deep()
    machine.spend(min(len(left), len(right)) + 1)
    if rank == 6:
        keys, others = sorted(left), sorted(right)
        if keys != others:
            return -1 if keys < others else 1
        left, right = [left[key] for key in keys], [right[key] for key in keys]
    for one, another in zip(left, right, strict=False):
        result = _compare(machine, one, another, depth + 1)
        if result:
            return result
    return (len(left) > len(right)) - (len(left) < len(right))


def less(machine: Machine, left: Any, right: Any) -> bool:
    """``left < right``."""
    kind = type(left)
    if kind is type(right) and (kind is int or kind is str):
        return bool(left < right)
    return compare(machine, left, right) < 0


def at_most(machine: Machine, left: Any, right: Any) -> bool:
    """``left <= right``."""
    kind = type(left)
    if kind is type(right) and (kind is int or kind is str):
        return bool(left <= right)
    return compare(machine, left, right) <= 0


def sort_key(machine: Machine, value: Any) -> Any:
    """A key that Python compares as jq compares *value*."""
    return _key(machine, value, 0)


def _key(machine: Machine, value: Any, depth: int) -> Any:
    rank = _RANKS[type(value)]
    if rank == 3:
        return (2.5,) if value != value else (3, value)
    if rank <= 4:
        return (rank, value) if rank else (0,)
    if depth > MAX_DEPTH:
        too_deep()
    machine.spend(len(value) + 1)
    if rank == 5:
        return (5, [_key(machine, item, depth + 1) for item in value])
    keys = sorted(value)
    return (6, keys, [_key(machine, value[key], depth + 1) for key in keys])


def ordered(machine: Machine, values: list[Any]) -> list[Any]:
    """*values* in ascending order; equal ones stay as they were."""
    machine.spend(len(values) * max(1, len(values).bit_length() >> 2))
    kinds = set(map(type, values))
    if len(kinds) <= 1 and kinds <= {str, int}:
        return sorted(values)
    return sorted(values, key=lambda value: _key(machine, value, 0))
