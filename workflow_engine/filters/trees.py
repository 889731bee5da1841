"""Filters that mirror the event: an object of fields, in which lists say what a field may be.

A list in the event stands for its elements, however deep: a field of a list is a field of one of them. Conditions on
several fields of a list of objects must hold for one and the same object (as event-ruler's "array consistency" has it).
That a field is absent is said of the object that other fields have chosen; where nothing chooses one, of all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from workflow_engine.filters.attributes import BadSpec, canonical_text
from workflow_engine.filters.predicates import (
    EVERY,
    Predicate,
    Traits,
    Verdict,
    attribute_is,
    both,
    either,
)
from workflow_engine.values import Json, JsonObject

MAX_DEPTH = 32
"""How deep a filter may be."""
MAX_PARTS = 1000
"""How many fields, conditions and values the filters of a subscription may have together."""

MAX_STEPS = 250_000
"""How many elements of lists, each for every condition on it, one filter looks at in one event."""

Condition: TypeAlias = Callable[[Sequence[Json]], bool]
"""Whether the values of a field in the event will do: one, or the elements of a list, without lists and objects."""
Node: TypeAlias = "Callable[[Json | _Absent, _Look], int]"
"""How what is there fits: `BY_VALUE`, `BY_ABSENCE`, both, or not at all, which is 0."""

BY_VALUE = 1
"""Some field has a value that it may be: of a list, one element is chosen by that."""
BY_ABSENCE = 2
"""Every field may be absent, and is: of a list, in all elements."""

_ATTRIBUTE = re.compile(r"[a-z0-9]{1,64}")


class _Absent:
    """In the place of a value that is not there."""


ABSENT = _Absent()


class TooMuchError(Exception):
    """An event has more than a filter looks at."""


class Budget:
    """Counts the parts of filters."""

    def __init__(self) -> None:
        self.left = MAX_PARTS

    def spend(self, *path: str | int, parts: int = 1) -> None:
        """Count *parts* more, or `BadSpec` at *path* where those are too many."""
        self.left -= parts
        if self.left < 0:
            raise BadSpec(f"filters of more than {MAX_PARTS} parts", *path)


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a field may be: one of *conditions* holds, or with *absent* it has no value.

    *texts* are all that an attribute may be, where that is all there is to it.
    """

    conditions: tuple[Condition, ...]
    absent: bool = False
    texts: tuple[str, ...] | None = None
    weight: int = 1
    """How many things are asked of each value, about."""


class LeafReader(Protocol):
    """How a dialect writes what a field may be."""

    def __call__(self, spec: list[Json], budget: Budget, *path: str | int, attribute: bool) -> Leaf:
        """Read *spec*, which is not empty. For an *attribute* values are texts, as `canonical_text` has them."""


@dataclass(slots=True)
class _Look:
    """One evaluation, and how many steps are left to it."""

    left: int = MAX_STEPS

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise TooMuchError(f"the event has too much to look at: more than {MAX_STEPS} elements of lists")

    def elements(self, value: list[Json]) -> Iterator[Json]:
        """What is in a list and in the lists in it, but for objects."""
        self.spend(len(value))
        for element in value:
            if isinstance(element, list):
                yield from self.elements(element)
            elif not isinstance(element, dict):
                yield element


def tree(spec: Json, leaf: LeafReader, budget: Budget, *path: str | int, alternatives: bool) -> Predicate:
    """The predicate of a filter that mirrors the event. With *alternatives* ``$or`` is understood."""
    node, traits = _Reader(leaf, budget, alternatives).fields(spec, (), *path)

    def test(event: JsonObject, errors: list[str]) -> Verdict:
        try:
            return node(event, _Look()) != 0
        except TooMuchError as error:
            errors.append(f"{path[-1]}: {error}")
            return None

    return Predicate(test, traits)


class _Reader:
    def __init__(self, leaf: LeafReader, budget: Budget, alternatives: bool) -> None:
        self.leaf, self.budget, self.alternatives = leaf, budget, alternatives

    def fields(self, spec: Json, names: tuple[str, ...], *path: str | int) -> tuple[Node, tuple[Traits, ...]]:
        """What an object must be, whose names in the event are *names*; and what events have to have for it."""
        if not isinstance(spec, dict) or not spec:
            raise BadSpec("expected an object of fields", *path)
        if len(path) > MAX_DEPTH:
            raise BadSpec(f"a filter is at most {MAX_DEPTH} deep", *path)
        fields: list[tuple[str, Node]] = []
        choices: list[tuple[Node, ...]] = []
        traits = EVERY
        for name, value in spec.items():
            place = (*path, name)
            self.budget.spend(*place)
            if name == "$or" and self.alternatives:
                nodes, wanted = self.choice(value, names, *place)
                choices.append(nodes)
            else:
                node, wanted = self.field(name, value, names, *place)
                fields.append((name, node))
            traits = both(traits, wanted)
        return _object(tuple(fields), tuple(choices)), traits

    def choice(
        self, spec: Json, names: tuple[str, ...], *path: str | int
    ) -> tuple[tuple[Node, ...], tuple[Traits, ...]]:
        if not isinstance(spec, list) or len(spec) < 2:
            raise BadSpec("expected a list of at least two objects of fields", *path)
        read = [self.fields(item, names, *path, index) for index, item in enumerate(spec)]
        return tuple(node for node, _ in read), either(each for _, wanted in read for each in wanted)

    def field(
        self, name: str, spec: Json, names: tuple[str, ...], *path: str | int
    ) -> tuple[Node, tuple[Traits, ...]]:
        attribute = not names and name != "data"
        if attribute and not _ATTRIBUTE.fullmatch(name):
            raise BadSpec("no attribute is called so; fields of the data are inside `data`", *path)
        if isinstance(spec, dict):
            if attribute:
                raise BadSpec("an attribute has no fields; those of the data are inside `data`", *path)
            return self.fields(spec, (*names, name), *path)[0], EVERY
        if not isinstance(spec, list) or not spec:
            raise BadSpec("expected a list of what it may be, or an object of fields", *path)
        leaf = self.leaf(spec, self.budget, *path, attribute=attribute)
        wanted = EVERY if leaf.texts is None else attribute_is(name, leaf.texts)
        return _leaf(leaf, attribute), wanted


def _object(fields: tuple[tuple[str, Node], ...], choices: tuple[tuple[Node, ...], ...]) -> Node:
    def match(value: Json | _Absent, look: _Look) -> int:
        if isinstance(value, list) and value:
            look.spend(len(value))
            found = BY_ABSENCE
            for element in value:
                fit = match(element, look)
                if fit & BY_VALUE:
                    return BY_VALUE
                found &= fit
            return found
        here: JsonObject = value if isinstance(value, dict) else {}
        some, every = 0, BY_ABSENCE
        for name, node in fields:
            fit = node(here.get(name, ABSENT), look)
            if not fit:
                return 0
            some, every = some | fit, every & fit
        for nodes in choices:
            fit = 0
            for node in nodes:
                fit |= node(value, look)
            if not fit:
                return 0
            some, every = some | fit, every & fit
        return (some & BY_VALUE) | every

    return match


def _leaf(leaf: Leaf, attribute: bool) -> Node:
    conditions = leaf.conditions
    without = BY_ABSENCE if leaf.absent else 0

    def match(value: Json | _Absent, look: _Look) -> int:
        values: Sequence[Json]
        if isinstance(value, _Absent | dict):
            return without
        if isinstance(value, list):
            values = list(look.elements(value))
            if not values:
                return without
            look.spend(len(values) * leaf.weight)
        else:
            values = (canonical_text(value) if attribute else value,)
        for condition in conditions:
            if condition(values):
                return BY_VALUE
        return 0

    return match
