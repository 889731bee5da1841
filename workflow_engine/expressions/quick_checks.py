"""Schemas as functions that tell of data that it matches, and in how many steps; of any other they tell only that.

Most data matches, and is told so in a small part of the time that it takes to look for what is wrong with it. The steps
are those that `schemas` counts: one for each part of the data that a part of the schema, unless it is a boolean, is
applied to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from workflow_engine.values import identity

Quick: TypeAlias = Callable[[Any], int]
"""The steps that it takes to see that a value matches; `NO` where it does not, or where that has to be looked at."""
NO = -1

_SCALARS = frozenset({bool, float, int, str, type(None)})


def quick_check(schema: Any, most: int, search: Callable[[str, str], bool]) -> Quick | None:
    """The function of a schema that is sound (`sound_schemas`), or None where it has what is not known here.

    From *most* steps on it may stop counting. *search* tells whether a pattern is in a text.
    """
    if schema is True:
        return lambda _value: 0
    if schema is False:
        return lambda _value: NO
    rules: list[Quick] = []
    for keyword, value in schema.items():
        if keyword in _ANNOTATIONS:
            continue
        if keyword in _SIMPLE:
            rules.append(_held(_SIMPLE[keyword](value)))
            continue
        rule = None
        if keyword == "pattern":
            rule = _held(_pattern(value, search))
        elif keyword == "properties":
            rule = _properties(value, most, search)
        elif keyword == "additionalProperties":
            rule = _others(value, schema.get("properties", {}), most, search)
        elif keyword == "items":
            rule = _items(value, most, search)
        elif keyword in {"const", "enum"}:
            rule = _one_of([value] if keyword == "const" else value)
        if rule is None:
            return None
        rules.append(rule)
    return rules[0] if len(rules) == 1 else _all(rules, most)


def _all(rules: list[Quick], most: int) -> Quick:
    def check(value: Any) -> int:
        steps = 0
        for rule in rules:
            taken = rule(value)
            if taken < 0:
                return NO
            steps += taken
            if steps > most:
                break
        return steps

    return check


def _held(test: Callable[[Any], bool]) -> Quick:
    return lambda value: 0 if test(value) else NO


# --- parts --------------------------------------------------------------------------------------------------


def _part(schema: Any, most: int, search: Callable[[str, str], bool]) -> tuple[Quick, int] | None:
    """The check of a part, and the step that it is itself."""
    check = quick_check(schema, most, search)
    return None if check is None else (check, 0 if type(schema) is bool else 1)


def _properties(schemas: Mapping[str, Any], most: int, search: Callable[[str, str], bool]) -> Quick | None:
    parts: list[tuple[str, Quick, int]] = []
    for name, schema in schemas.items():
        part = _part(schema, most, search)
        if part is None:
            return None
        parts.append((name, *part))

    def check(value: Any) -> int:
        if not isinstance(value, dict):
            return 0
        steps = 0
        for name, part, own in parts:
            if name in value:
                taken = part(value[name])
                if taken < 0:
                    return NO
                steps += taken + own
        return steps

    return check


def _others(
    schema: Any, known: Mapping[str, Any], most: int, search: Callable[[str, str], bool]
) -> Quick | None:
    found = _part(schema, most, search)
    if found is None:
        return None
    part, own = found

    def check(value: Any) -> int:
        if not isinstance(value, dict):
            return 0
        steps = 0
        for name in value.keys() - known.keys():
            taken = part(value[name])
            if taken < 0:
                return NO
            steps += taken + own
            if steps > most:
                break
        return steps

    return check


def _items(schema: Any, most: int, search: Callable[[str, str], bool]) -> Quick | None:
    found = _part(schema, most, search)
    if found is None:
        return None
    part, own = found

    def check(value: Any) -> int:
        if not isinstance(value, list):
            return 0
        steps = len(value) * own
        if steps > most:
            return steps
        for item in value:
            taken = part(item)
            if taken < 0:
                return NO
            steps += taken
            if steps > most:
                break
        return steps

    return check


# --- values -------------------------------------------------------------------------------------------------


def _one_of(values: list[Any]) -> Quick | None:
    """``enum`` and ``const``, of scalars: ``1`` is ``1.0``, and not ``true``."""
    if not {*map(type, values)} <= _SCALARS:
        return None
    texts = {value for value in values if type(value) is str}
    numbers = [value for value in values if type(value) in {int, float}]
    words = [value for value in values if type(value) in {bool, type(None)}]

    def test(value: Any) -> bool:
        kind = type(value)
        if kind is str:
            return value in texts
        if kind is int or kind is float:
            return any(value == number for number in numbers)
        return any(value is word for word in words)

    return _held(test)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "array": lambda value: type(value) is list,
    "boolean": lambda value: type(value) is bool,
    "integer": lambda value: type(value) is int or (type(value) is float and value.is_integer()),
    "null": lambda value: value is None,
    "number": lambda value: type(value) is int or type(value) is float,
    "object": lambda value: type(value) is dict,
    "string": lambda value: type(value) is str,
}


def _type(wanted: Any) -> Callable[[Any], bool]:
    if type(wanted) is str:
        return _TYPES[wanted]
    tests = [_TYPES[name] for name in wanted]
    return lambda value: any(test(value) for test in tests)


def _required(names: list[str]) -> Callable[[Any], bool]:
    needed = frozenset(names)
    return lambda value: not isinstance(value, dict) or needed <= value.keys()


def _pattern(pattern: str, search: Callable[[str, str], bool]) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, str) or search(pattern, value)


def _number(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Callable[[Any], bool]]:
    def rule(limit: Any) -> Callable[[Any], bool]:
        return lambda value: (
            not isinstance(value, int | float) or isinstance(value, bool) or compare(value, limit)
        )

    return rule


def _length(
    kind: type[str | list[Any] | dict[str, Any]], compare: Callable[[int, Any], bool]
) -> Callable[[Any], Callable[[Any], bool]]:
    def rule(limit: Any) -> Callable[[Any], bool]:
        return lambda value: not isinstance(value, kind) or compare(len(value), limit)

    return rule


def _unique(wanted: bool) -> Callable[[Any], bool]:
    return lambda value: (
        not wanted or not isinstance(value, list) or len({identity(item) for item in value}) == len(value)
    )


_SIMPLE: dict[str, Callable[[Any], Callable[[Any], bool]]] = {
    "type": _type,
    "required": _required,
    "uniqueItems": _unique,
    "minimum": _number(lambda value, limit: not value < limit),
    "maximum": _number(lambda value, limit: not value > limit),
    "exclusiveMinimum": _number(lambda value, limit: not value <= limit),
    "exclusiveMaximum": _number(lambda value, limit: not value >= limit),
    "minLength": _length(str, lambda length, limit: length >= limit),
    "maxLength": _length(str, lambda length, limit: length <= limit),
    "minItems": _length(list, lambda length, limit: length >= limit),
    "maxItems": _length(list, lambda length, limit: length <= limit),
    "minProperties": _length(dict, lambda length, limit: length >= limit),
    "maxProperties": _length(dict, lambda length, limit: length <= limit),
}
_ANNOTATIONS = frozenset(
    {"default", "deprecated", "description", "examples", "format", "readOnly", "title", "writeOnly"}
)
