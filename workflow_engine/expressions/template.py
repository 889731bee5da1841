"""Expressions inside JSON: ``${ … }`` in strings, and values built from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from workflow_engine.expressions.errors import EvaluationError, ExpressionError, LimitExceeded
from workflow_engine.expressions.expression import Expression, compile
from workflow_engine.expressions.lexer import closing_brace, unclosed
from workflow_engine.expressions.limits import LIMITS, weigh
from workflow_engine.values import Json, pointer

_Path: TypeAlias = "tuple[_Path | None, str | int]"
"""The path of what is around, and the key in it."""
_Key = TypeVar("_Key", str, int)
_Build: TypeAlias = "Callable[[Json, Mapping[str, Json]], Json]"


def unwrap(text: str) -> str | None:
    """The jq inside *text* if it is one whole ``${ … }``, spaces around it aside; else None (A2).

    Braces inside strings, comments and objects do not end the expression, so ``"${ .a } and ${ .b }"``
    is not one expression.
    """
    stripped = text.strip()
    if not stripped.startswith("${"):
        return None
    if closing_brace(stripped, 2) != len(stripped) - 1:
        return None
    return stripped[2:-1]


def translated(
    text: str, translate: Callable[[str], str], closing: Callable[[str, int], int | None] = closing_brace
) -> str:
    """*text* with what *translate* makes of each expression in it; one that is not closed stays as it is.

    *closing* finds the brace that ends the expression from an index on.
    """
    made, at = "", 0
    while (start := text.find("${", at)) >= 0:
        end = closing(text, start + 2)
        if end is None:
            break
        made += text[at : start + 2] + translate(text[start + 2 : end]) + "}"
        at = end + 1
    return made + text[at:]


def expression_slot(text: str, *, variables: Collection[str]) -> Expression:
    """Compile *text* of a place that always holds an expression, bare or in ``${ … }`` (A1)."""
    inner = unwrap(text)
    if inner is None and (stripped := text.strip()).startswith("${"):
        if closing_brace(stripped, 2) is None:
            raise unclosed(stripped, 2)
        raise ExpressionError(
            "the text begins with ${ but is not one whole ${ ... }; remove what follows it",
            text,
            0,
        )
    return _compiled(
        text if inner is None else inner, variables, 0 if inner is None else text.index("${") + 2
    )


def _compiled(source: str, variables: Collection[str], start: int) -> Expression:
    """Compile *source*, which begins at *start* of the text that it was found in."""
    try:
        return compile(source, variables=variables)
    except ExpressionError as error:
        error.start = start
        raise


@dataclass(frozen=True, slots=True)
class Template:
    """A JSON value in which strings may hold expressions; keys are never evaluated (A2, A10).

    *variables* are the names that its expressions use; *constant* tells that it holds none. *at* is where in a document
    it stands, if that is known.
    """

    source: Json
    variables: frozenset[str]
    constant: bool
    at: str = field(default="", kw_only=True, compare=False)
    expressions: tuple[Expression, ...] = field(default=(), kw_only=True, repr=False, compare=False)
    _copies: list[int] = field(default_factory=list, init=False, repr=False, compare=False)
    _build: _Build = field(repr=False, compare=False)

    @property
    def copies(self) -> int:
        """How often a part of what it is evaluated on may be in the value: see `Expression.copies`."""
        if not self._copies:
            self._copies.append(sum(expression.copies for expression in self.expressions))
        return self._copies[0]

    def evaluate(self, value: Json, scope: Mapping[str, Json]) -> Json:
        """The value with each expression replaced by its result on *value*.

        A string that is one whole expression becomes the typed result; in other strings a result that is a
        string is put in as it is, any other as JSON. Parts without expressions are shared with `source`.
        """
        return self._build(value, scope)


def template(value: Json, *, variables: Collection[str], at: str = "") -> Template:
    """Compile every expression inside *value*; the `ExpressionError` of a faulty one has its pointer.

    *at* is where in a document *value* stands, if that is known.
    """
    found: list[Expression] = []
    build = _compile(value, frozenset(variables), None, found)
    if build is None:
        return Template(value, frozenset(), True, lambda _value, _scope: value, at=at)
    used = frozenset[str]().union(*(expression.variables for expression in found))
    return Template(value, used, False, build, at=at, expressions=tuple(found))


def _compile(
    value: Json, variables: frozenset[str], path: _Path | None, into: list[Expression]
) -> _Build | None:
    """The builder of *value*, or None where it holds no expression."""
    if isinstance(value, str):
        if "${" not in value:
            return None
        at = _pointer(path)
        try:
            return _string(value, variables, into, at)
        except ExpressionError as error:
            error.pointer = at
            raise
    if isinstance(value, dict):
        return _object(value, _parts(value.items(), variables, path, into))
    if isinstance(value, list):
        return _array(value, _parts(enumerate(value), variables, path, into))
    return None


def _parts(
    items: Iterable[tuple[_Key, Json]], variables: frozenset[str], path: _Path | None, into: list[Expression]
) -> dict[_Key, _Build]:
    """The builders of those of *items* that hold expressions."""
    found: dict[_Key, _Build] = {}
    for key, item in items:
        kind = type(item)
        if (kind is str and "${" in item) or kind is dict or kind is list:  # type: ignore[operator]
            build = _compile(item, variables, (path, key), into)
            if build is not None:
                found[key] = build
    return found


def _pointer(path: _Path | None) -> str:
    parts: list[str | int] = []
    while path is not None:
        path, part = path
        parts.append(part)
    return pointer(*reversed(parts))


def _object(constant: dict[str, Json], builds: dict[str, _Build]) -> _Build | None:
    if not builds:
        return None

    def build(value: Json, scope: Mapping[str, Json]) -> Json:
        built = dict(constant)
        for key, part in builds.items():
            built[key] = part(value, scope)
        return built

    return build


def _array(constant: list[Json], builds: dict[int, _Build]) -> _Build | None:
    if not builds:
        return None

    def build(value: Json, scope: Mapping[str, Json]) -> Json:
        built = list(constant)
        for index, part in builds.items():
            built[index] = part(value, scope)
        return built

    return build


def _string(text: str, variables: frozenset[str], into: list[Expression], at: str) -> _Build:
    whole = unwrap(text)
    if whole is not None:
        expression = _compiled(whole, variables, text.index("${") + 2)
        into.append(expression)
        return _placed(expression, at)
    parts: list[str | _Build] = []
    place = 0
    while (start := text.find("${", place)) >= 0:
        end = closing_brace(text, start + 2)
        if end is None:
            raise unclosed(text, start + 2)
        expression = _compiled(text[start + 2 : end], variables, start + 2)
        into.append(expression)
        parts += [text[place:start], _placed(expression, at)]
        place = end + 1
    parts.append(text[place:])

    def build(value: Json, scope: Mapping[str, Json]) -> Json:
        found = [part if isinstance(part, str) else part(value, scope) for part in parts]
        try:
            pieces = [_interpolated(each) for each in found]
            length = sum(map(len, pieces))
            if length > LIMITS.text:
                raise LimitExceeded(f"a string of {length} characters is longer than {LIMITS.text}")
        except LimitExceeded as error:
            raise _at(at, text, error) from None
        return "".join(pieces)

    return build


def _placed(expression: Expression, at: str) -> _Build:
    """Evaluates *expression*; an error of it says that it stands at the pointer *at* of the template."""

    def build(value: Json, scope: Mapping[str, Json]) -> Json:
        try:
            return expression.evaluate(value, scope)
        except EvaluationError as error:
            raise _at(at, expression.source, error) from None

    return build


def _at(at: str, source: str, error: EvaluationError) -> EvaluationError:
    """*error*, which says that it is of *source* at the pointer *at* of the template."""
    error.source, error.pointer = source, at
    return error


def _interpolated(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        weigh(value)  # what is shared in it is written each time
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
