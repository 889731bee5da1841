"""How much one evaluation may do: steps, depth and sizes, all counted, none of them clocked.

A limit that depends on time would let a replay take another way than the first run, so only what the program
does is counted, and every machine counts alike. One step is about a node of the program evaluated, or 16
characters of a string made, or 64 places of an array copied.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, NoReturn, Self

from workflow_engine.expressions.errors import LimitExceeded

MAX_DEPTH = 512
"""How deep data may be nested to be compared, rendered, walked."""

MAX_RESULT_DEPTH = 200
"""How deep a result may be nested: encoders of JSON give up at 254 levels, and it is put into other data."""

MAX_CALLS = 512
MAX_FRAMES = 4000
"""How deep the closures of nested calls may stand on the stack, by the sizes of the functions."""
LEAST_FRAMES = MAX_FRAMES // MAX_CALLS
"""What a call counts for at least."""

STACK = 12_000
"""Frames the interpreter must allow, so that `MAX_FRAMES` is met before them wherever an evaluation starts."""

if sys.getrecursionlimit() < STACK:
    sys.setrecursionlimit(STACK)


@dataclass(slots=True)
class Limits:
    """How much one evaluation may do in this process, which `allow` changes.

    *steps*; *calls*, how deep functions may call each other, where calls in tail position do not count; *text*, the
    characters of one string; *array*, the elements of one array or object, and the outputs; *result*, the size of a
    result in about the characters of its JSON, where shared parts count each time they appear.
    """

    steps: int = 1_000_000
    calls: int = MAX_CALLS
    text: int = 16 * 1024 * 1024
    array: int = 1_000_000
    result: int = 16 * 1024 * 1024

    @classmethod
    def parse(cls, pairs: Iterable[str]) -> Self:
        """Read ``name=number`` pairs; the rest is as by default. ValueError says what is wrong."""
        known = {item.name: item.default for item in fields(cls)}
        given: dict[str, int] = {}
        for pair in pairs:
            name, _, number = pair.partition("=")
            most = MAX_CALLS if name == "calls" else 1_000_000_000
            if name not in known:
                raise ValueError(f"{pair!r} is not NAME=NUMBER with one of {', '.join(known)}")
            if not number.isdecimal() or not 10 <= int(number[:12]) <= most:
                raise ValueError(f"{pair!r}: {name} is a number from 10 to {most:,}")
            given[name] = int(number)
        return cls(**given)


LIMITS = Limits()


def allow(pairs: Iterable[str]) -> None:
    """Let every evaluation in this process do as much as *pairs* say (`Limits.parse`).

    All workers must allow the same: a replay by one that allows another thing may take another way.
    """
    limits = Limits.parse(pairs)
    for item in fields(limits):
        setattr(LIMITS, item.name, getattr(limits, item.name))


FEW = 10_000
"""Steps of one evaluation that nobody needs to hear of."""


@dataclass(slots=True)
class Purse:
    """Steps that several evaluations have together."""

    steps: int


_NOTHING: Mapping[str, Any] = {}


class Machine:
    """What one evaluation carries along: the steps that are left, and what is *known* to it by name.

    *tail* is where a call in tail position leaves what is to run next. *nonfinite* tells that a NaN or an
    infinity came up, so that the result must be cleaned of them. *spare* are steps that may still be taken in vain
    (`columns`).
    """

    __slots__ = ("few", "fuel", "known", "nonfinite", "spare", "tail")

    def __init__(self, known: Mapping[str, Any] = _NOTHING) -> None:
        self.fuel = LIMITS.steps
        self.few = self.fuel - FEW
        self.known = known
        self.tail: Any = None
        self.nonfinite = False
        self.spare = FEW

    @property
    def now(self) -> Any:
        """The time of its run, in seconds; few ask for it."""
        return self.known.get("__now", 0)

    def spend(self, steps: int) -> None:
        """Take *steps* off what is left; `LimitExceeded` once nothing is."""
        self.fuel -= steps
        if self.fuel < 0:
            self.exhausted()

    def tell(self, spent: Any) -> None:
        """Tell *spent*, if there is one, how many steps were taken."""
        if spent is not None:
            spent(LIMITS.steps - max(self.fuel, 0))

    def exhausted(self) -> NoReturn:
        raise LimitExceeded(f"the expression took more than {LIMITS.steps} steps; it is stopped")

    def text(self, length: int) -> None:
        """Allow a string of *length* characters to be made."""
        if length > LIMITS.text:
            raise LimitExceeded(f"a string of {length} characters is longer than {LIMITS.text}")
        self.fuel -= length >> 4
        if self.fuel < 0:
            self.exhausted()

    def array(self, length: int) -> None:
        """Allow an array or object of *length* elements to be made."""
        if length > LIMITS.array:
            too_long(length)
        self.fuel -= length >> 6
        if self.fuel < 0:
            self.exhausted()


def too_long(length: int) -> NoReturn:
    """Refuse an array of *length* elements."""
    raise LimitExceeded(f"an array of {length} elements is longer than {LIMITS.array}")


def too_deep() -> NoReturn:
    """Refuse data that is nested too deeply to work on."""
    raise LimitExceeded(f"the data is nested deeper than {MAX_DEPTH} levels")


def check_result(value: Any) -> None:
    """Refuse a result that is too deep or, written as JSON, too long; a part that is shared counts each time."""
    _weigh(value, {}, MAX_RESULT_DEPTH, "the result", MAX_RESULT_DEPTH)


def weigh(value: Any) -> int:
    """About the characters of *value* as JSON; `LimitExceeded` where it is too deep or too long to write."""
    return _weigh(value, {}, MAX_DEPTH, "the data", MAX_DEPTH)


_OVERHEAD = 8
_MANY = 16
"""How many items are worth weighing at once."""
_MEMBERS = 100_000
"""How many members of containers are laid side by side at most."""
_SIZED = frozenset({str, list, dict})


def _weigh(value: Any, known: dict[int, int], room: int, what: str, depth: int) -> int:
    kind = type(value)
    if kind is str:
        return len(value) + 2
    if kind is not list and kind is not dict:
        return _OVERHEAD
    size = known.get(id(value))
    if size is not None:
        return size
    if room <= 0:
        raise LimitExceeded(f"{what} is nested deeper than {depth} levels")
    size, items = 2, value
    if kind is dict:
        size += sum(map(len, value)) + 4 * len(value)
        items = value.values()
    rest = [(items, room, 1)]
    if len(items) >= _MANY:
        added, rest = _weigh_many(list(items), room)
        size += added
    for items, room, times in rest:
        for item in items:
            kind = type(item)
            if kind is str:
                size += len(item) + 3
            elif kind is list or kind is dict:
                size += (_weigh(item, known, room - 1, what, depth) + 1) * times
                if size > LIMITS.result:
                    break
            else:
                size += _OVERHEAD
    if size > LIMITS.result:
        raise LimitExceeded(f"{what} is larger than {LIMITS.result} characters of JSON")
    known[id(value)] = size
    return size


def _weigh_many(items: list[Any], room: int) -> tuple[int, list[tuple[Collection[Any], int, int]]]:
    """What of *items*, and of what is in them, can be weighed side by side: what it weighs, and the rest.

    That is for each some items, how deep what they are in may be nested, and how often each is there. Work is bounded
    by the weight: all that is looked at here weighs something, and beyond the limit nothing is looked at. What is
    mostly the same again is left to be weighed once.
    """
    size, columns, rest, first = 0, [(items, room)], list[tuple[Collection[Any], int, int]](), room
    while columns and size <= LIMITS.result:
        column, room = columns.pop()
        count, kinds = len(column), set(map(type, column))
        if kinds == {str}:
            size += sum(map(len, column)) + 3 * count
        elif kinds.isdisjoint(_SIZED):
            size += _OVERHEAD * count
        elif len(kinds) > 1:
            parts = {kind: [item for item in column if type(item) is kind] for kind in kinds & _SIZED}
            size += _OVERHEAD * (count - sum(map(len, parts.values())))
            columns += [(part, room) for part in parts.values()]
        elif (column[0] is column[-1] or room < first) and len(distinct := set(map(id, column))) * 2 <= count:
            rest.append((column, room, 1) if len(distinct) > 1 else (column[:1], room, count))
        elif count < _MANY or room <= 1 or (members := sum(map(len, column))) > _MEMBERS:
            rest.append((column, room, 1))
        elif kinds == {list}:
            size += 3 * count
            columns.append((list(chain.from_iterable(column)), room - 1))
        else:
            size += 3 * count + 4 * members
            alike = _alike(column, members)
            size += sum(map(len, column[0])) * count if alike else sum(map(len, chain.from_iterable(column)))
            values = alike or [list(chain.from_iterable(map(dict.values, column)))]
            columns += [(each, room - 1) for each in values]
    return size, rest


def _alike(objects: list[dict[str, Any]], members: int) -> list[list[Any]] | None:
    """The values of *objects*, a list for each member, where all have the same; they have so many *members* in all."""
    names = objects[0]
    if len(names) * len(objects) != members:
        return None
    try:
        return [[each[name] for each in objects] for name in names]
    except KeyError:
        return None


_HUGE = 1.7976931348623157e308


def finite(value: Any) -> Any:
    """*value* with NaN as null and infinities as the largest number, as jq writes them; copied where needed."""
    kind = type(value)
    if kind is float:
        if value != value:
            return None
        return max(-_HUGE, min(_HUGE, value))
    if kind is list:
        return [finite(item) for item in value]
    if kind is dict:
        return {key: finite(item) for key, item in value.items()}
    return value
