"""Schemas that are seen at once to keep the rules of Draft 2020-12.

Checking a schema against that of its draft takes about a millisecond for each of its properties. What most schemas are
made of is checked here, faster; what is accepted here keeps the rules, what is not may keep them too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


def is_sound(schema: Any) -> bool:
    """Whether *schema* certainly keeps the rules of Draft 2020-12, and refers to nothing."""
    pending = [(schema, 0)]
    while pending:
        part, depth = pending.pop()
        if type(part) is bool:
            continue
        if type(part) is not dict or depth > _DEEPEST:
            return False
        for keyword, value in part.items():
            if keyword in _WITH_ONE:
                pending.append((value, depth + 1))
            elif keyword in _WITH_MANY:
                if type(value) is not list or not value:
                    return False
                pending += [(item, depth + 1) for item in value]
            elif keyword in _BY_NAME:
                if type(value) is not dict:
                    return False
                pending += [(item, depth + 1) for item in value.values()]
            elif keyword not in _RULES or not _RULES[keyword](value):
                return False
    return True


_DEEPEST = 50
_WITH_ONE = frozenset(
    {"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"}
)
_WITH_MANY = frozenset({"allOf", "anyOf", "oneOf"})
_BY_NAME = frozenset({"properties"})


def _anything(_value: Any) -> bool:
    return True


def _text(value: Any) -> bool:
    return type(value) is str


def _flag(value: Any) -> bool:
    return type(value) is bool


def _number(value: Any) -> bool:
    return type(value) is int or type(value) is float


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _list(value: Any) -> bool:
    return type(value) is list


def _names(value: Any) -> bool:
    return type(value) is list and set(map(type, value)) <= {str} and len(set(value)) == len(value)


def _types(value: Any) -> bool:
    if type(value) is list:
        return bool(value) and _names(value) and _TYPES.issuperset(value)
    return type(value) is str and value in _TYPES


_RULES: dict[str, Callable[[Any], bool]] = {
    "type": _types,
    "required": _names,
    "enum": _list,
    "examples": _list,
    **dict.fromkeys(("const", "default"), _anything),
    **dict.fromkeys(("description", "format", "pattern", "title"), _text),
    **dict.fromkeys(("deprecated", "readOnly", "uniqueItems", "writeOnly"), _flag),
    **dict.fromkeys(("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum"), _number),
    **dict.fromkeys(
        ("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"), _count
    ),
}
