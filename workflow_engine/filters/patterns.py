r"""Event patterns, in the form of Amazon EventBridge: what a field may be.

A list has what the value may be: texts, numbers, ``true``, ``false`` and ``null`` as they are, and conditions::

    {"prefix": "a"}                      {"prefix": {"equals-ignore-case": "A"}}        the same with "suffix"
    {"equals-ignore-case": "A"}          {"exactly": "a"}
    {"wildcard": "a*z"}                  `\*` and `\\` are literal
    {"anything-but": "a"}                or a number, or a list of texts, or one of numbers
    {"anything-but": {"prefix": "a"}}    and suffix, equals-ignore-case, wildcard, each with a text or a list of them
    {"numeric": [">", 0, "<=", 5]}       = < <= > >=, or a range
    {"cidr": "10.0.0.0/24"}              IPv4 and IPv6
    {"exists": true}                     there is a value, even null; with false there is none (of lists see `trees`)

A condition other than ``exists: false`` needs a value. Of a list it is enough that it holds for one element.
"""

from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

from workflow_engine.filters.attributes import BadSpec, canonical_text
from workflow_engine.filters.trees import Budget, Condition, Leaf
from workflow_engine.filters.wildcards import BadPattern, glob
from workflow_engine.values import Json

Match: TypeAlias = Callable[[Json], bool]

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_INTEGER = re.compile(r"-?[0-9]{1,10}", re.ASCII)


def leaf(spec: list[Json], budget: Budget, *path: str | int, attribute: bool) -> Leaf:
    """What *spec*, the list of a field in a pattern, says that it may be."""
    literals: list[Json] = []
    conditions: list[Condition] = []
    absent = False
    weight = 0
    for index, item in enumerate(spec):
        place = (*path, index)
        budget.spend(*place)
        before = budget.left
        if isinstance(item, list):
            raise BadSpec("expected a value or a condition, not a list", *place)
        if not isinstance(item, dict):
            literals.append(item)
        elif item == {"exists": False}:
            absent = True
        else:
            conditions.append(_condition(item, budget, *place, attribute=attribute))
            weight += 1 + before - budget.left
    if literals:
        conditions.insert(0, some(equals(literals, attribute=attribute)))
    texts = None
    if attribute and len(literals) == len(spec):
        texts = tuple(text for text in map(canonical_text, literals) if text is not None)
    return Leaf(tuple(conditions), absent, texts, weight + 1)


def some(match: Match) -> Condition:
    """Holds where *match* does for one of the values."""
    return lambda values: match(values[0]) if len(values) == 1 else any(map(match, values))


def none(match: Match) -> Condition:
    """Holds where *match* does for none of the values."""
    return lambda values: not any(map(match, values))


def equals(literals: Iterable[Json], *, attribute: bool) -> Match:
    """Whether a value is one of *literals*. Attributes are compared as texts: transports may carry them so."""
    if attribute:
        texts = frozenset(text for text in map(canonical_text, literals) if text is not None)
        return lambda value: value in texts
    given = list(literals)
    words = frozenset(item for item in given if isinstance(item, str))
    constants = [item for item in given if item is None or isinstance(item, bool)]
    numbers = frozenset(
        item for item in given if isinstance(item, int | float) and not isinstance(item, bool)
    )

    def match(value: Json) -> bool:
        if isinstance(value, str):
            return value in words
        if value is None or isinstance(value, bool):
            return any(value is constant for constant in constants)
        return isinstance(value, int | float) and value in numbers

    return match


def number(value: Json, *, attribute: bool) -> float | int | None:
    """*value* as a number if it is one; an attribute that is the text of an integer is one too."""
    if isinstance(value, str):
        return int(value) if attribute and _INTEGER.fullmatch(value) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def is_number(value: Json) -> bool:
    """Whether *value* is a number, which booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _condition(spec: dict[str, Json], budget: Budget, *path: str | int, attribute: bool) -> Condition:
    if len(spec) != 1:
        raise BadSpec("expected one condition", *path)
    [(name, value)] = spec.items()
    place = (*path, name)
    match name:
        case "exists":
            if value is not True:
                raise BadSpec("expected true or false", *place)
            return bool
        case "anything-but":
            return some(_anything_but(value, budget, *place, attribute=attribute))
        case "numeric":
            return some(_numeric(value, *place, attribute=attribute))
        case "cidr":
            return some(_cidr(value, *place))
        case "prefix" | "suffix":
            if isinstance(value, dict):
                if list(value) != ["equals-ignore-case"]:
                    raise BadSpec("expected a text or equals-ignore-case", *place)
                given = _text(value["equals-ignore-case"], *place, "equals-ignore-case").lower()
                return some(_affix(name, given, ignore_case=True))
            return some(_affix(name, _text(value, *place), ignore_case=False))
        case "exactly" | "equals-ignore-case" | "wildcard":
            return some(_textual(name, _text(value, *place), *place))
        case _:
            known = (
                "anything-but, cidr, equals-ignore-case, exactly, exists, numeric, prefix, suffix, wildcard"
            )
            raise BadSpec(f"unknown condition; expected one of {known}", *place)


def _text(value: Json, *path: str | int) -> str:
    if not isinstance(value, str):
        raise BadSpec("expected a text", *path)
    return value


def _affix(name: str, given: str, *, ignore_case: bool) -> Match:
    if name == "prefix":
        if ignore_case:
            return lambda value: isinstance(value, str) and value.lower().startswith(given)
        return lambda value: isinstance(value, str) and value.startswith(given)
    if ignore_case:
        return lambda value: isinstance(value, str) and value.lower().endswith(given)
    return lambda value: isinstance(value, str) and value.endswith(given)


def _textual(name: str, given: str, *path: str | int) -> Match:
    """A condition on a text, *path* is the place of its own text."""
    match name:
        case "prefix" | "suffix":
            if not given:
                raise BadSpec("expected a text that is not empty", *path)
            return _affix(name, given, ignore_case=False)
        case "equals-ignore-case":
            lowered = given.lower()
            return lambda value: isinstance(value, str) and value.lower() == lowered
        case "wildcard":
            try:
                matches = glob(given)
            except BadPattern as error:
                raise BadSpec(f"at character {error.at + 1}: {error}", *path) from None
            return lambda value: isinstance(value, str) and matches(value)
        case _:
            return lambda value: value == given


def _anything_but(spec: Json, budget: Budget, *path: str | int, attribute: bool) -> Match:
    if isinstance(spec, dict):
        if len(spec) != 1 or not set(spec) <= {"prefix", "suffix", "equals-ignore-case", "wildcard"}:
            raise BadSpec("expected one of prefix, suffix, equals-ignore-case, wildcard", *path)
        [(name, given)] = spec.items()
        several = given if isinstance(given, list) else [given]
        if not several:
            raise BadSpec("expected a text or a list of them", *path, name)
        matches = []
        for index, each in enumerate(several):
            place = (*path, name, index) if isinstance(given, list) else (*path, name)
            budget.spend(*place)
            matches.append(_textual(name, _text(each, *place), *place))
        return lambda value: not any(match(value) for match in matches)
    values = spec if isinstance(spec, list) else [spec]
    budget.spend(*path, parts=len(values))
    if not values or not (all(isinstance(each, str) for each in values) or all(map(is_number, values))):
        raise BadSpec("expected a text, a number, a list of texts or a list of numbers", *path)
    known = equals(values, attribute=attribute)
    return lambda value: not known(value)


def _numeric(spec: Json, *path: str | int, attribute: bool) -> Match:
    if not isinstance(spec, list) or len(spec) not in (2, 4):
        raise BadSpec(
            'expected [operator, number], such as [">", 5], or two of them, which are a range', *path
        )
    bounds: list[tuple[Callable[[float, float], bool], float]] = []
    for index in range(0, len(spec), 2):
        sign, bound = spec[index], spec[index + 1]
        if not isinstance(sign, str) or sign not in _OPERATORS:
            raise BadSpec(f"expected one of {', '.join(_OPERATORS)}", *path, index)
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise BadSpec("expected a number", *path, index + 1)
        bounds.append((_OPERATORS[sign], bound))
    if len(bounds) == 2:
        if spec[0] not in (">", ">=") or spec[2] not in ("<", "<="):
            raise BadSpec('a range is from ">" or ">=" to "<" or "<="', *path)
        if bounds[0][1] >= bounds[1][1]:
            raise BadSpec("the range is empty", *path)

    def match(value: Json) -> bool:
        found = number(value, attribute=attribute)
        return found is not None and all(compare(found, bound) for compare, bound in bounds)

    return match


def _cidr(spec: Json, *path: str | int) -> Match:
    try:
        network = ipaddress.ip_network(_text(spec, *path), strict=False)
    except ValueError:
        raise BadSpec("expected a network such as 10.0.0.0/24 or 2001:db8::/32", *path) from None
    if "/" not in str(spec):
        raise BadSpec("a network has `/` and how many bits are its own", *path)
    first, last, version = int(network.network_address), int(network.broadcast_address), network.version

    def match(value: Json) -> bool:
        if not isinstance(value, str) or not 2 <= len(value) <= 45:
            return False
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return False
        return address.version == version and first <= int(address) <= last

    return match
