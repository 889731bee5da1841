"""Keywords of JSON Schema in time linear to the value, where jsonschema's own may take for ever."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from catalog.patterns import matches
from catalog.values import Json

_extend: Any = extend  # its annotations are incomplete


def extended(validator: Any, keywords: Mapping[str, Callable[..., Any]]) -> Any:
    """The *validator* class with *keywords* in the place of its own."""
    return _extend(validator, validators=keywords)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not matches(pattern, instance):
        yield ValidationError(f"does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    for pattern, subschema in patterns.items() if isinstance(instance, dict) else ():
        for name, value in instance.items():
            if matches(pattern, name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional(validator: Any, rule: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in instance.items():
        if name in named or any(matches(pattern, name) for pattern in patterns):
            continue
        if isinstance(rule, dict):
            yield from validator.descend(value, rule, path=name)
        elif not rule:
            yield ValidationError(f"may not have {name!r}")


def _unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, list):
        seen = {json.dumps(_canonical(item), sort_keys=True) for item in instance}
        if len(seen) < len(instance):
            yield ValidationError("has the same element twice")


def _multiple(validator: Any, unit: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (unit, instance))
    if numbers and unit and (Fraction(repr(instance)) / Fraction(repr(unit))).denominator != 1:
        yield ValidationError(f"is not a multiple of {unit!r}")


def _canonical(value: Json) -> Json:
    """Equal JSON, equal text: 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _canonical(member) for name, member in value.items()}
    return [_canonical(item) for item in value] if isinstance(value, list) else value


LINEAR: Mapping[str, Callable[..., Any]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "uniqueItems": _unique,
    "multipleOf": _multiple,
}
"""By name, with RE2 for patterns, a set for uniqueness, and multiples by decimal digits: 19.99 is one of 0.01."""
