"""CloudEvents SQL (CESQL), version 1.0: expressions over the attributes of an event, compiled once to closures.

::

    expression = cesql.compile("type LIKE 'order.%' AND INT(priority) > 3")
    value, errors = expression.evaluate(event)

An expression always has a value; where it went wrong, *errors* says how. What has gone wrong ends the evaluation ("fail
fast", section 4.1 of the specification): the value is then the zero value of the outermost operator or function, or
what that one has for its own error, as ``ABS(-2147483648)`` has 2147483647.

Three things that the specification leaves open, or where its test suite is at odds with it, are so:

* ``AND``, ``OR`` and ``XOR`` have one precedence, and go from left to right (section 3.6; the grammar beside it, which
  it does not refer to, has them from right to left). Mixed ones are better put in parentheses.
* ``NOT`` of an integer is an error of the kind ``cast`` (test suite), though an integer can be cast to a boolean
  (section 3.7), as ``AND``, ``OR``, ``XOR`` and ``BOOL`` do.
* Arithmetic whose result has more than 32 bits is an error of the kind ``math``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from workflow_engine.filters.cesql_functions import (
    EvaluationError,
    Function,
    Type,
    Value,
    cast,
    function,
    integer,
    value_of,
    zero,
)
from workflow_engine.filters.cesql_syntax import (
    Attribute,
    Binary,
    Call,
    Exists,
    In,
    Like,
    Literal,
    Logic,
    Node,
    ParseError,
    Unary,
    parse,
)
from workflow_engine.values import Json

__all__ = ["Error", "Expression", "ParseError", "compile"]

Event: TypeAlias = Mapping[str, Json]
Evaluate: TypeAlias = Callable[[Event], Value]

REQUIRED = frozenset({"id", "source", "specversion", "type"})
"""The attributes that every event has."""
_UNKNOWN = object()


@dataclass(frozen=True, slots=True)
class Error:
    """What went wrong, and where.

    *kind* is ``math``, ``cast``, ``missingAttribute``, ``missingFunction`` or ``functionEvaluation``.
    """

    kind: str
    message: str
    at: int
    """The index of the character in the expression."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression."""

    source: str
    tree: Node
    returns: Type
    """The type of its value; that of an attribute is only known with the event, and boolean here."""
    _evaluate: Evaluate

    def evaluate(self, event: Event) -> tuple[Value, tuple[Error, ...]]:
        """Its value for *event*, a CloudEvent in its JSON format, and what went wrong. Nothing is raised."""
        try:
            return self._evaluate(event), ()
        except EvaluationError as error:
            own = error.at == self.tree.at and type(error.value) is self.returns
            value = error.value if own else zero(self.returns)
            return value, (Error(error.kind, str(error), error.at),)


def compile(source: str) -> Expression:
    """The expression that *source* is, or `ParseError` with the place. What it does not know fails when evaluated."""
    tree = parse(source)
    return Expression(source, tree, returns(tree), _compile(tree))


def returns(node: Node) -> Type:
    """The type of what *node* gives; boolean where that depends on the event (section 3.2)."""
    match node:
        case Literal():
            return type(node.value)
        case Unary(operator="-"):
            return int
        case Binary(operator=symbol):
            return int if symbol in _ARITHMETIC else bool
        case Call(name=name, arguments=arguments):
            found = function(name, len(arguments))
            return bool if found is None else found.returns
        case _:
            return bool


def _compile(node: Node) -> Evaluate:
    match node:
        case Literal(value=value):
            return lambda _: value
        case Attribute(name=name, at=at):
            return partial(_attribute, name, at)
        case Exists(name=name):
            return lambda event: name in REQUIRED or (name in event and name not in _PAYLOAD)
        case Unary(operator="NOT", operand=operand, at=at):
            return partial(_not, _compile(operand), at)
        case Unary(operand=operand, at=at):
            negated = _compile(operand)
            return lambda event: integer(-int(cast(negated(event), int, at)), at)
        case Logic(operator=symbol, operands=operands, at=at):
            return partial(_LOGIC[symbol], tuple(map(_compile, operands)), at)
        case Binary(operator=symbol, left=left, right=right, at=at):
            return partial(_BINARY[symbol], _compile(left), _compile(right), at)
        case Like(operand=operand, match=match, at=at):
            text = _compile(operand)
            return lambda event: match(str(cast(text(event), str, at)))
        case In(operand=operand, members=members, at=at):
            return _in(node, _compile(operand), tuple(map(_compile, members)), at)
        case Call(name=name, arguments=arguments, at=at):
            found = function(name, len(arguments))
            if found is None:
                return partial(_no_function, name, len(arguments), at)
            return partial(_call, found, tuple(map(_compile, arguments)), at)


_PAYLOAD = ("data", "data_base64")


def _attribute(name: str, at: int, event: Event) -> Value:
    value = event.get(name, _UNKNOWN)
    if value is _UNKNOWN or name in _PAYLOAD:
        raise EvaluationError("missingAttribute", f"the event has no attribute {name}", at)
    return value_of(value)  # type: ignore[arg-type]


def _not(operand: Evaluate, at: int, event: Event) -> Value:
    value = operand(event)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        raise EvaluationError("cast", f"NOT takes a boolean, not {value}", at, True)
    try:
        return not cast(value, bool, at)
    except EvaluationError as error:
        raise EvaluationError(error.kind, str(error), at, True) from None


def _and(operands: tuple[Evaluate, ...], at: int, event: Event) -> Value:
    return all(cast(operand(event), bool, at) for operand in operands)


def _or(operands: tuple[Evaluate, ...], at: int, event: Event) -> Value:
    return any(cast(operand(event), bool, at) for operand in operands)


def _xor(operands: tuple[Evaluate, ...], at: int, event: Event) -> Value:
    return sum(cast(operand(event), bool, at) for operand in operands) % 2 == 1  # type: ignore[misc]


_LOGIC: dict[str, Callable[[tuple[Evaluate, ...], int, Event], Value]] = {
    "AND": _and,
    "OR": _or,
    "XOR": _xor,
}


def _equal(left: Evaluate, right: Evaluate, at: int, event: Event) -> bool:
    value, expected = left(event), right(event)
    return cast(value, type(expected), at) == expected


def _unequal(left: Evaluate, right: Evaluate, at: int, event: Event) -> bool:
    return not _equal(left, right, at, event)


def _ordered(
    compare: Callable[[int, int], bool], left: Evaluate, right: Evaluate, at: int, event: Event
) -> bool:
    value, other = left(event), right(event)
    return compare(int(cast(value, int, at)), int(cast(other, int, at)))


def _arithmetic(
    act: Callable[[int, int], int], left: Evaluate, right: Evaluate, at: int, event: Event
) -> int:
    value, other = left(event), right(event)
    first, second = int(cast(value, int, at)), int(cast(other, int, at))
    if second == 0 and act in (_divide, _remainder):
        raise EvaluationError("math", "division by zero", at, 0)
    return integer(act(first, second), at)


def _divide(first: int, second: int) -> int:
    """Towards zero, as Python's does not."""
    quotient = abs(first) // abs(second)
    return quotient if (first < 0) == (second < 0) else -quotient


def _remainder(first: int, second: int) -> int:
    """With the sign of the first."""
    rest = abs(first) % abs(second)
    return -rest if first < 0 else rest


_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _remainder,
}
_BINARY: dict[str, Callable[[Evaluate, Evaluate, int, Event], Value]] = {
    "=": _equal,
    "!=": _unequal,
    "<": partial(_ordered, operator.lt),
    "<=": partial(_ordered, operator.le),
    ">": partial(_ordered, operator.gt),
    ">=": partial(_ordered, operator.ge),
    **{symbol: partial(_arithmetic, act) for symbol, act in _ARITHMETIC.items()},
}


def _in(node: In, operand: Evaluate, members: tuple[Evaluate, ...], at: int) -> Evaluate:
    """Members that are all texts are looked up at once, where the operand is a text too."""
    texts = frozenset(
        member.value for member in node.members if isinstance(member, Literal) and type(member.value) is str
    )

    def among(event: Event) -> Value:
        value = operand(event)
        kind = type(value)
        if kind is str and len(texts) == len(members):
            return value in texts
        return any(cast(member(event), kind, at) == value for member in members)

    return among


def _call(found: Function, arguments: tuple[Evaluate, ...], at: int, event: Event) -> Value:
    given = []
    for index, argument in enumerate(arguments):
        kind = found.parameters[index] if index < len(found.parameters) else found.further
        value = argument(event)
        given.append(value if kind is None else cast(value, kind, at))
    return found.call(given, at)


def _no_function(name: str, count: int, at: int, event: Event) -> Value:
    raise EvaluationError("missingFunction", f"there is no function {name} of {count} arguments", at)
