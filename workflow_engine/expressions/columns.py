"""Filters on many inputs at once: what each is for one input, done for a list of them without a call for each.

What is done to a column of inputs must be what would be done to one after the other: the same outputs, the same steps,
and the same error. Steps add up to the same in whatever order. Where anything fails, or ends early, the column is done
again one by one, with the steps that were left before, so that the first input that fails is the one that is told of;
an evaluation in which much is done in vain goes on one by one. Only what is small is done here without asking for steps
each time, for a column holds all of its outputs at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from typing import Any

from workflow_engine.expressions import arithmetic, ordering
from workflow_engine.expressions.access import field
from workflow_engine.expressions.code import Break, Code, Column, Env, One
from workflow_engine.expressions.errors import EvaluationError
from workflow_engine.expressions.limits import LIMITS, Machine
from workflow_engine.expressions.ordering import equal
from workflow_engine.expressions.rendering import to_json, to_text

_FEWEST = 4
"""Columns that are shorter are not worth it."""

_LONGEST = 1024
"""Columns that are longer are done in pieces, so that what is made on the way does not lie around for long."""

_SHORT = 1024
"""Strings that are shorter are made before the steps of others of the column are taken."""

_FREE = 16
"""Strings, and objects that are put together, that are shorter take no steps."""


def applied(code: Code) -> Callable[[Env, Collection[Any]], list[Any]]:
    """The output of *code*, which has one, for each of many inputs."""
    one = code.one
    assert one is not None
    if code.column is None and not code.fixed:
        return lambda env, found: [one(env, item) for item in found]
    over, weight = column(code), code.weight

    def apply(env: Env, found: Collection[Any]) -> list[Any]:
        machine: Machine = env[0]
        if len(found) < _FEWEST or machine.spare < 0:
            return [one(env, item) for item in found]
        made: list[Any] = []
        items = found if type(found) is list else list(found)
        for start in range(0, len(items), _LONGEST):
            piece = items[start : start + _LONGEST]
            fuel = machine.fuel
            try:
                made += over(env, piece)
            except (EvaluationError, Break):
                machine.spare -= fuel - machine.fuel + weight * len(piece)
                machine.fuel = fuel
                made += [one(env, item) for item in piece]
        return made

    return apply


def column(code: Code) -> Column:
    """How *code*, which has one output, is applied to a column, as a part of what `applied` does."""
    one = code.one
    assert one is not None
    if code.constant:
        value = code.constant[0]
        return lambda _env, items: [value] * len(items)
    if code.fixed:
        return _fixed(one)
    return code.column or (lambda env, items: [one(env, item) for item in items])


def _fixed(one: One) -> Column:
    """What does not look at its input is done once, for the steps of all."""

    def over(env: Env, items: list[Any]) -> list[Any]:
        if not items:
            return []
        machine: Machine = env[0]
        before = machine.fuel
        output = one(env, items[0])
        machine.spend((before - machine.fuel) * (len(items) - 1))
        return [output] * len(items)

    return over


# --- paths and objects --------------------------------------------------------------------------------------


def fields(names: tuple[Any, ...]) -> Column | None:
    """The members at a path of *names*."""
    if any(type(name) is not str for name in names):
        return None
    if len(names) == 1:
        (only,) = names
        return lambda _env, items: [
            item.get(only) if type(item) is dict else field(item, only) for item in items
        ]

    def over(_env: Env, items: list[Any]) -> list[Any]:
        for name in names:
            items = [item.get(name) if type(item) is dict else field(item, name) for item in items]
        return items

    return over


def chained(first: Code, then: Column) -> Column:
    """*then*, of what *first* gives."""
    before = column(first)
    return lambda env, items: then(env, before(env, items))


def records(names: list[Any], values: list[Code]) -> Column:
    """Objects with the members *names*."""
    columns = [column(value) for value in values]
    if len(names) == 1:
        (name,), (only,) = names, columns
        return lambda env, items: [{name: value} for value in only(env, items)]
    if len(names) == 2:
        (name, other), (first, second) = names, columns
        return lambda env, items: [
            {name: left, other: right}
            for left, right in zip(first(env, items), second(env, items), strict=True)
        ]
    return lambda env, items: [
        dict(zip(names, row, strict=True))
        for row in zip(*[each(env, items) for each in columns], strict=True)
    ]


def arrays(values: list[Code]) -> Column:
    """Arrays of one output of each of *values*."""
    columns = [column(value) for value in values]
    return lambda env, items: [list(row) for row in zip(*[each(env, items) for each in columns], strict=True)]


# --- decisions ----------------------------------------------------------------------------------------------


def _holds(value: Any) -> bool:
    return value is not None and value is not False


def logic(left: Code, right: Code, *, decisive: bool) -> Column:
    """``or`` (*decisive* is true) and ``and``."""
    lefts, rights = column(left), column(right)

    def over(env: Env, items: list[Any]) -> list[Any]:
        first = [_holds(value) for value in lefts(env, items)]
        asked = [item for item, known in zip(items, first, strict=True) if known is not decisive]
        rest = iter(rights(env, asked))
        return [decisive if known is decisive else _holds(next(rest)) for known in first]

    return over


def choice(condition: Code, then: Code, otherwise: Code) -> Column:
    """``if``: each branch on the inputs that come to it."""
    conditions, yes, no = column(condition), column(then), column(otherwise)

    def over(env: Env, items: list[Any]) -> list[Any]:
        held = [_holds(value) for value in conditions(env, items)]
        taken = iter(yes(env, [item for item, known in zip(items, held, strict=True) if known]))
        rest = iter(no(env, [item for item, known in zip(items, held, strict=True) if not known]))
        return [next(taken if known else rest) for known in held]

    return over


def defaults(left: Code, right: Code) -> Column:
    """``//``, of filters with one output each."""
    lefts, rights = column(left), column(right)

    def over(env: Env, items: list[Any]) -> list[Any]:
        first = lefts(env, items)
        rest = iter(
            rights(env, [item for item, known in zip(items, first, strict=True) if not _holds(known)])
        )
        return [known if _holds(known) else next(rest) for known in first]

    return over


def selected(condition: Code) -> Callable[[Env, Collection[Any]], list[Any]]:
    """The inputs for which *condition* holds."""
    decide = applied(condition)
    return lambda env, found: [
        item for item, known in zip(found, decide(env, found), strict=True) if _holds(known)
    ]


# --- operators ----------------------------------------------------------------------------------------------


def operations(symbol: str, function: Callable[[Machine, Any, Any], Any], left: Code, right: Code) -> Column:
    """An arithmetic operator, or a comparison, of two columns; as with one input, the right one comes first."""
    lefts, rights = column(left), column(right)
    pairs = _PAIRS.get(symbol)

    def over(env: Env, items: list[Any]) -> list[Any]:
        others = rights(env, items)
        found = lefts(env, items)
        if pairs is not None:
            return pairs(env[0], found, others)
        machine = env[0]
        return [function(machine, one, other) for one, other in zip(found, others, strict=True)]

    return over


def _sums(machine: Machine, lefts: list[Any], rights: list[Any]) -> list[Any]:
    add = arithmetic.add
    kind = type(rights[0]) if rights else None
    if kind is dict:
        room = min(_FREE, (LIMITS.array >> 2) + 1)
        return [
            {**one, **other}
            if type(one) is dict and type(other) is dict and len(one) + len(other) < room
            else add(machine, one, other)
            for one, other in zip(lefts, rights, strict=True)
        ]
    if kind is str:
        room = min(_FREE, LIMITS.text + 1)
        return [
            one + other
            if type(one) is str and type(other) is str and len(one) + len(other) < room
            else add(machine, one, other)
            for one, other in zip(lefts, rights, strict=True)
        ]
    return _added(machine, lefts, rights)


def _computed(
    compute: Callable[[Any, Any], Any], otherwise: Callable[[Machine, Any, Any], Any]
) -> Callable[[Machine, list[Any], list[Any]], list[Any]]:
    """An operator on numbers: *compute* of those that doubles hold exactly, of anything else *otherwise*."""
    most, number = arithmetic.EXACT, arithmetic.number

    def pairs(machine: Machine, lefts: list[Any], rights: list[Any]) -> list[Any]:
        made = []
        for one, other in zip(lefts, rights, strict=True):
            kind, its = type(one), type(other)
            if (kind is float or (kind is int and -most <= one <= most)) and (
                its is float or (its is int and -most <= other <= most)
            ):
                result = compute(one, other)
                if type(result) is int:
                    if not -most <= result <= most:
                        result = number(machine, result)
                elif result.is_integer() or result - result != 0:  # infinite, or no number
                    result = number(machine, result)
                made.append(result)
            else:
                made.append(otherwise(machine, one, other))
        return made

    return pairs


def _equals(machine: Machine, lefts: list[Any], rights: list[Any]) -> list[Any]:
    return [
        one == other if type(other) is str else equal(machine, one, other)
        for one, other in zip(lefts, rights, strict=True)
    ]


_added = _computed(operator.add, arithmetic.add)
_PAIRS: dict[str, Callable[[Machine, list[Any], list[Any]], list[Any]]] = {
    "+": _sums,
    "-": _computed(operator.sub, arithmetic.subtract),
    "*": _computed(operator.mul, arithmetic.multiply),
    "==": _equals,
}


def more(left: Code, limit: int) -> Column:
    """``left > limit``."""
    lefts, less = column(left), ordering.less
    return lambda env, items: [
        value > limit if (kind := type(value)) is int or kind is float else less(env[0], limit, value)
        for value in lefts(env, items)
    ]


def fewer(left: Code, limit: int) -> Column:
    """``left < limit``; NaN is less than every number."""
    lefts, less = column(left), ordering.less
    return lambda env, items: [
        not value >= limit if (kind := type(value)) is int or kind is float else less(env[0], value, limit)
        for value in lefts(env, items)
    ]


def same(left: Code, text: str, *, wanted: bool) -> Column:
    """Whether *left* is *text*, or is not."""
    lefts = column(left)
    if wanted:
        return lambda env, items: [value == text for value in lefts(env, items)]
    return lambda env, items: [value != text for value in lefts(env, items)]


# --- text ---------------------------------------------------------------------------------------------------


def prefixed(text: str, right: Code) -> Column:
    """The constant *text*, and what follows it."""
    rights, room, add = column(right), _FREE - len(text), arithmetic.add
    return lambda env, items: [
        text + other if type(other) is str and len(other) < room else add(env[0], text, other)
        for other in rights(env, items)
    ]


def texts(parts: list[str | Code], render: Callable[[Machine, Any], str]) -> Column:
    """Strings of *parts*, each of which is text or rendered."""
    rendered = _texts if render is to_text else _each(render)
    columns = [part if isinstance(part, str) else column(part) for part in parts]

    def over(env: Env, items: list[Any]) -> list[Any]:
        machine: Machine = env[0]
        pieces = [
            [part] * len(items) if isinstance(part, str) else rendered(machine, part(env, items))
            for part in columns
        ]
        lengths = list(map(sum, zip(*[map(len, piece) for piece in pieces], strict=True)))
        if max(lengths, default=0) <= min(_SHORT, LIMITS.text):
            machine.spend(sum([length >> 4 for length in lengths]))
            return list(map("".join, zip(*pieces, strict=True)))
        joined = []
        for row, length in zip(zip(*pieces, strict=True), lengths, strict=True):
            machine.text(length)
            joined.append("".join(row))
        return joined

    return over


def _each(render: Callable[[Machine, Any], str]) -> Callable[[Machine, list[Any]], list[str]]:
    return lambda machine, values: [render(machine, value) for value in values]


def _texts(machine: Machine, values: list[Any]) -> list[str]:
    """``tostring``."""
    return [
        value if (kind := type(value)) is str else str(value) if kind is int else to_json(machine, value)
        for value in values
    ]


# --- functions ----------------------------------------------------------------------------------------------


def called(function: Callable[[Machine, Any], Any]) -> Column:
    """A builtin without arguments."""
    if function is to_text:
        return lambda env, items: _texts(env[0], items)

    def over(env: Env, items: list[Any]) -> list[Any]:
        machine = env[0]
        return [function(machine, item) for item in items]

    return over


def called_with(function: Callable[[Machine, Any, Any], Any], argument: Code) -> Column:
    """A builtin with one argument."""
    arguments = column(argument)

    def over(env: Env, items: list[Any]) -> list[Any]:
        machine = env[0]
        return [
            function(machine, item, given) for item, given in zip(items, arguments(env, items), strict=True)
        ]

    return over
