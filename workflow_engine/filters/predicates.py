"""What every dialect of filters is compiled to: a test of an event, and which events it is worth to test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from workflow_engine.values import JsonObject

Verdict: TypeAlias = "bool | None"
"""``None``: it could not be told, for something went wrong."""
Test: TypeAlias = Callable[[JsonObject, list[str]], Verdict]
"""Tests an event; what went wrong is added to the list."""
Traits: TypeAlias = frozenset[tuple[str, str]]
"""Attributes that an event has, each with the text that it is."""

EVERY: tuple[Traits, ...] = (frozenset(),)
"""Those of any event."""
MAX_TRAITS = 256
"""How many alternatives one predicate has; where there would be more, they say less."""


@dataclass(frozen=True, slots=True)
class Predicate:
    """A test, and *traits*: an event of which the test is true has those of one of them at least."""

    test: Test
    traits: tuple[Traits, ...] = EVERY


def all_of(parts: Sequence[Predicate]) -> Predicate:
    """True where all are; false where one is, whatever became of the others."""
    if len(parts) == 1:
        return parts[0]
    tests = tuple(part.test for part in parts)

    def test(event: JsonObject, errors: list[str]) -> Verdict:
        verdict: Verdict = True
        for each in tests:
            found = each(event, errors)
            if found is False:
                return False
            if found is None:
                verdict = None
        return verdict

    traits = EVERY
    for part in parts:
        traits = both(traits, part.traits)
    return Predicate(test, traits)


def any_of(parts: Sequence[Predicate]) -> Predicate:
    """True where one is, whatever became of the others; false where all are."""
    if len(parts) == 1:
        return parts[0]
    tests = tuple(part.test for part in parts)

    def test(event: JsonObject, errors: list[str]) -> Verdict:
        verdict: Verdict = False
        for each in tests:
            found = each(event, errors)
            if found:
                return True
            if found is None:
                verdict = None
        return verdict

    return Predicate(test, either(each for part in parts for each in part.traits))


def negation(part: Predicate) -> Predicate:
    """True where *part* is false. What could not be told cannot be told the other way round either."""

    def test(event: JsonObject, errors: list[str]) -> Verdict:
        found = part.test(event, errors)
        return None if found is None else not found

    return Predicate(test)


def both(left: tuple[Traits, ...], right: tuple[Traits, ...]) -> tuple[Traits, ...]:
    """What has those of one of *left* and of one of *right*; such as exclude one another leave nothing."""
    if left == EVERY or right == EVERY:
        return left if right == EVERY else right
    if len(left) * len(right) > MAX_TRAITS:
        return min(left, right, key=len)
    joined = (one | other for one in left for other in right)
    return either(each for each in joined if len(dict(each)) == len(each))


def either(alternatives: Iterable[Traits]) -> tuple[Traits, ...]:
    """What has those of one of *alternatives*."""
    found = tuple(dict.fromkeys(alternatives))
    return EVERY if frozenset() in found or len(found) > MAX_TRAITS else found


def attribute_is(name: str, texts: Iterable[str]) -> tuple[Traits, ...]:
    """Events whose attribute *name* is one of *texts*."""
    return either(frozenset({(name, text)}) for text in texts)
