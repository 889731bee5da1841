"""Tests of one attribute of an event: equality, pattern, MQTT topic filter, expression."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import re2

from workflow_engine import expressions
from workflow_engine.filters.patience import asked
from workflow_engine.values import Json, JsonObject, deep_equal, pointer

AttributeTest: TypeAlias = Callable[[Json, bool, JsonObject], bool]
"""Tests an attribute: its value, whether the event has it at all, and the event."""

MAX_PATTERN = 4096
"""How many characters a pattern may have."""
MAX_SUBJECT = 64 * 1024
"""How long a text may be for a pattern to be tried on it; a longer one does not match."""

_METACHARACTERS = frozenset("\\^$*+?()[]{}|")


class BadSpec(ValueError):
    """A strategy is wrong; the message begins with the RFC 6901 pointer of the place (``/`` is all of it)."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(f"{pointer(*path) or '/'}: {message}")


def attribute_test(literal: Json) -> JsonObject:
    """The test that a literal of the DSL means: equality and, where it looks like a pattern, a match (A40).

    A text with metacharacters of regular expressions other than ``.`` and ``-``, such as ``com.acme.*``, is
    tried as a pattern too, on the whole attribute; unless it is no valid one.
    """
    if isinstance(literal, str) and _METACHARACTERS.intersection(literal):
        try:
            _pattern(literal)
        except ValueError:
            return {"equals": literal}
        return {"equals": literal, "pattern": literal}
    return {"equals": literal}


def members_of(value: Json, allowed: set[str], *path: str | int) -> JsonObject:
    """*value* as an object that has no other members than *allowed*, or `BadSpec`."""
    if not isinstance(value, dict):
        raise BadSpec("expected an object", *path)
    for name in value:
        if name not in allowed:
            raise BadSpec(f"unknown member; expected {', '.join(sorted(allowed))}", *path, name)
    return value


def expression_at(source: Json, scope: JsonObject, *path: str | int) -> expressions.Expression:
    """Compile jq *source*, bare or in ``${ … }``, which may use the variables of *scope* and ``$event``."""
    if not isinstance(source, str):
        raise BadSpec("expected a jq expression", *path)
    try:
        return expressions.expression_slot(source, variables={*scope, "event"})
    except expressions.ExpressionError as error:
        raise BadSpec(str(error), *path) from error


def compile_test(spec: Json, name: str, scope: JsonObject, *path: str | int) -> AttributeTest:
    """The test that *spec* describes for the attribute *name*."""
    members = members_of(spec, {"equals", "pattern", "mqtt", "expression"}, *path)
    if len(members) != 1 and set(members) != {"equals", "pattern"}:
        raise BadSpec("expected one of equals, pattern, mqtt, expression, or equals with pattern", *path)
    if "expression" in members:
        return _expression_test(expression_at(members["expression"], scope, *path, "expression"), scope, name)
    if "mqtt" in members:
        return _mqtt_test(members["mqtt"], *path, "mqtt")
    match = None
    if "pattern" in members:
        try:
            match = _pattern(members["pattern"])
        except ValueError as error:
            raise BadSpec(str(error), *path, "pattern") from error
    if "equals" not in members:
        assert match is not None
        by_pattern = match
        return lambda value, present, _: present and by_pattern(value)
    expected = members["equals"]
    return lambda value, present, _: (
        present and (_same(value, expected, name) or (match is not None and match(value)))
    )


def _same(value: Json, expected: Json, name: str) -> bool:
    if deep_equal(value, expected):
        return True
    if name == "data":
        return False
    # Binary transports carry every attribute as text, so `rooms: 5` must equal the "5" of a header.
    text = canonical_text(expected)
    return text is not None and text == canonical_text(value)


def canonical_text(value: Json) -> str | None:
    """The canonical text of a context attribute (CloudEvents, "Type System"); ``None`` for other values."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) else None


def _pattern(source: Json) -> Callable[[Json], bool]:
    if not isinstance(source, str) or len(source) > MAX_PATTERN:
        raise ValueError(f"expected a pattern of at most {MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        compiled = re2.compile(source, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"not a regular expression (RE2): {reason}") from error

    def match(value: Json) -> bool:
        text = canonical_text(value)
        return text is not None and len(text) <= MAX_SUBJECT and compiled.fullmatch(text) is not None

    return match


def _mqtt_test(source: Json, *path: str | int) -> AttributeTest:
    """MQTT 3.1.1, section 4.7: ``+`` is one level, a last ``#`` the level before it and all below."""
    if not isinstance(source, str) or not source or len(source) > MAX_PATTERN:
        raise BadSpec(f"expected a topic filter of 1 to {MAX_PATTERN} characters", *path)
    levels = source.split("/")
    for i, level in enumerate(levels):
        if ("+" in level and level != "+") or ("#" in level and (level != "#" or i + 1 < len(levels))):
            raise BadSpec("`+` stands for a whole level, `#` for the whole rest", *path)
    deep = levels[-1] == "#"
    fixed = levels[:-1] if deep else levels

    def match(value: Json, _present: bool, _event: JsonObject) -> bool:
        if not isinstance(value, str) or len(value) > MAX_SUBJECT:
            return False
        parts = value.split("/")
        if len(parts) < len(fixed) or (len(parts) > len(fixed) and not deep):
            return False
        return all(level in ("+", part) for level, part in zip(fixed, parts, strict=False))

    return match


def _expression_test(expression: expressions.Expression, scope: JsonObject, name: str) -> AttributeTest:
    """Decision A39: `.` is the attribute; a boolean is the verdict, anything else is what it must equal."""

    def match(value: Json, present: bool, event: JsonObject) -> bool:
        result = asked(expression, value, {**scope, "event": event})
        return result if isinstance(result, bool) else present and _same(value, result, name)

    return match
