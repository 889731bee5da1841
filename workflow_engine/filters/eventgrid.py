"""Filters of Huawei Cloud EventGrid: its eighteen operators, as conditions of event patterns.

A field has a list of ``{"op": operator, "values": […]}``, one of which must hold; ``value`` instead of ``values`` for
those that compare with one number, and neither for the last four::

    StringIn  StringStartsWith  StringEndsWith  NumberIn            one of the values
    StringNotIn  StringNotStartsWith  StringNotEndsWith  NumberNotIn    none of them
    NumberLessThan  NumberGreaterThan                               and NumberNotLessThan, NumberNotGreaterThan
    NumberInRange  NumberNotInRange                                 values: [[from, to], …], both inside
    IsNull  IsNotNull                                               null or absent
    IsTrue  IsNotTrue

Of a list it is enough that one element fits; what begins with *Not* needs a value, and that no element fits. Only
``IsNull`` and ``IsNotTrue`` hold of a field that is absent. Where EventGrid has quotas (five fields, 2048 bytes), the
bounds here are those of all filters, and every attribute can be filtered by.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from workflow_engine.filters.attributes import BadSpec, canonical_text
from workflow_engine.filters.patterns import Match, equals, is_number, none, number, some
from workflow_engine.filters.trees import Budget, Condition, Leaf
from workflow_engine.values import Json

OPERATORS = (
    "StringIn", "StringNotIn", "StringStartsWith", "StringNotStartsWith", "StringEndsWith", "StringNotEndsWith",
    "NumberIn", "NumberNotIn", "NumberLessThan", "NumberNotLessThan", "NumberGreaterThan", "NumberNotGreaterThan",
    "NumberInRange", "NumberNotInRange", "IsNull", "IsNotNull", "IsTrue", "IsNotTrue",
)  # fmt: skip
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "NumberLessThan": operator.lt,
    "NumberNotLessThan": operator.ge,
    "NumberGreaterThan": operator.gt,
    "NumberNotGreaterThan": operator.le,
}


def leaf(spec: list[Json], budget: Budget, *path: str | int, attribute: bool) -> Leaf:
    """What *spec*, the list of a field in a filter of EventGrid, says that it may be."""
    conditions: list[Condition] = []
    texts: list[str] | None = []
    absent = False
    weight = 0
    for index, item in enumerate(spec):
        place = (*path, index)
        budget.spend(*place)
        name, given = _read(item, *place)
        absent = absent or name in ("IsNull", "IsNotTrue")
        conditions.append(_condition(name, given, budget, *place, attribute=attribute))
        weight += len(given) if isinstance(given, list) and not name.endswith("In") else 1
        if attribute and texts is not None and name == "StringIn" and isinstance(given, list):
            texts += [text for text in map(canonical_text, given) if text is not None]
        else:
            texts = None
    return Leaf(tuple(conditions), absent, None if texts is None else tuple(texts), weight)


def _read(item: Json, *path: str | int) -> tuple[str, Json]:
    """The operator of a condition, and what it compares with."""
    if not isinstance(item, dict):
        raise BadSpec('expected a condition such as {"op": "StringIn", "values": ["a"]}', *path)
    name = item.get("op")
    if not isinstance(name, str) or name not in OPERATORS:
        raise BadSpec(f"unknown operator; expected one of {', '.join(OPERATORS)}", *path, "op")
    member = None if name.startswith("Is") else "value" if name in _COMPARISONS else "values"
    for other in item:
        if other not in ("op", member):
            raise BadSpec(f"{name} has {f'`{member}` alone' if member else 'no other member'}", *path, other)
    if member is not None and member not in item:
        raise BadSpec(f"{name} needs `{member}`", *path)
    return name, item.get(member) if member else None


def _condition(name: str, given: Json, budget: Budget, *path: str | int, attribute: bool) -> Condition:
    quantity = none if "Not" in name else some
    if name in _COMPARISONS:
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise BadSpec("expected a number", *path, "value")
        return some(_compared(_COMPARISONS[name], given, attribute=attribute))
    match name:
        case "IsNull" | "IsNotNull":
            return quantity(lambda value: value is None)
        case "IsTrue" | "IsNotTrue":
            return quantity(lambda value: value is True or (attribute and value == "true"))
        case "NumberInRange" | "NumberNotInRange":
            return _ranged(given, quantity, budget, *path, "values", attribute=attribute)
        case _:
            return quantity(_among(name, given, budget, *path, "values", attribute=attribute))


def _compared(compare: Callable[[float, float], bool], bound: float, *, attribute: bool) -> Match:
    def match(value: Json) -> bool:
        found = number(value, attribute=attribute)
        return found is not None and compare(found, bound)

    return match


def _among(name: str, given: Json, budget: Budget, *path: str | int, attribute: bool) -> Match:
    numeric = name.startswith("Number")
    kind = "numbers" if numeric else "texts"
    if not isinstance(given, list) or not given:
        raise BadSpec(f"expected a list of {kind}", *path)
    budget.spend(*path, parts=len(given))
    for index, value in enumerate(given):
        if not (is_number(value) if numeric else isinstance(value, str)):
            raise BadSpec(f"expected a list of {kind}", *path, index)
    affixes = tuple(str(value) for value in given)
    if "StartsWith" in name:
        return lambda value: isinstance(value, str) and value.startswith(affixes)
    if "EndsWith" in name:
        return lambda value: isinstance(value, str) and value.endswith(affixes)
    return equals(given, attribute=attribute)


def _ranged(
    given: Json,
    quantity: Callable[[Match], Condition],
    budget: Budget,
    *path: str | int,
    attribute: bool,
) -> Condition:
    """In one of the ranges; or with *none* in none of them, and a number all the same."""
    if not isinstance(given, list) or not given:
        raise BadSpec("expected a list of ranges [from, to]", *path)
    budget.spend(*path, parts=len(given))
    ranges: list[tuple[float, float]] = []
    for index, item in enumerate(given):
        match item:
            case [int() | float() as low, int() | float() as high] if is_number(low) and is_number(high):
                if low > high:
                    raise BadSpec("the range is empty", *path, index)
                ranges.append((low, high))
            case _:
                raise BadSpec("expected a range [from, to] of two numbers", *path, index)

    def inside(value: Json) -> bool:
        found = number(value, attribute=attribute)
        return found is not None and any(low <= found <= high for low, high in ranges)

    if quantity is some:
        return some(inside)
    return lambda values: (
        not any(map(inside, values))
        and all(number(value, attribute=attribute) is not None for value in values)
    )
