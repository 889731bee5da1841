"""Whether a value can be evaluated before there is any data: its expressions do not look at their input."""

from __future__ import annotations

from workflow_engine.expressions.members import expressions_in
from workflow_engine.expressions.parser import parse
from workflow_engine.expressions.syntax import (
    Alternative,
    Array,
    Binary,
    Bind,
    Comma,
    If,
    Index,
    Iterate,
    Literal,
    Logic,
    Negate,
    Node,
    Object,
    Pipe,
    Slice,
    Text,
    Try,
    Variable,
)
from workflow_engine.values import Json


def reads_input(value: Json) -> bool:
    """Whether an expression inside *value* may read its input (``.``); where that is not sure, it may.

    `ExpressionError` where the text of an expression is wrong.
    """
    if isinstance(value, dict):
        return any(reads_input(item) for item in value.values())
    if isinstance(value, list):
        return any(reads_input(item) for item in value)
    return isinstance(value, str) and any(_reads(parse(source)) for source in expressions_in(value))


def _reads(node: Node | None) -> bool:
    match node:
        case None | Literal() | Variable():
            return False
        case Text(parts=parts):
            return any(_reads(part) for part in parts if isinstance(part, Node))
        case Index(target=target, key=key):
            return _reads(target) or _reads(key)
        case Slice(target=target, start=start, stop=stop):
            return _reads(target) or _reads(start) or _reads(stop)
        case Iterate(target=inner) | Array(body=inner) | Negate(operand=inner):
            return _reads(inner)
        case Object(entries=entries):
            return any(_reads(key) or _reads(item) for key, item in entries)
        case Pipe(left=left):
            return _reads(left)  # what is right of it sees what comes from the left, and nothing else
        case Try(body=body):
            return _reads(body)
        case Comma(left=left, right=right) | Alternative(left=left, right=right):
            return _reads(left) or _reads(right)
        case Binary(left=left, right=right) | Logic(left=left, right=right):
            return _reads(left) or _reads(right)
        case If(condition=condition, then=then, otherwise=otherwise):
            return otherwise is None or _reads(condition) or _reads(then) or _reads(otherwise)
        case Bind(source=source, body=body):
            return _reads(source) or _reads(body)
        case _:
            return True
