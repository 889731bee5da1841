"""How many outputs an expression has, as far as its text tells."""

from __future__ import annotations

from functools import lru_cache

from workflow_engine.expressions import syntax
from workflow_engine.expressions.errors import ExpressionError
from workflow_engine.expressions.parser import parse
from workflow_engine.expressions.syntax import Node

_STREAMS = frozenset(
    {"range", "recurse", "splits", "scan", "paths", "leaf_paths", "combinations", "while", "repeat"}
)
"""Functions that mostly have several outputs."""


@lru_cache(maxsize=1024)
def several(source: str) -> bool:
    """Whether *source*, which is jq, mostly has several outputs: with ``.[]``, a comma, a ``range`` at its end.

    What has several in one place and is taken together again, as in ``[.[]]`` or ``first(.[])``, has one.
    """
    try:
        return _several(parse(source))
    except (ExpressionError, RecursionError):
        return False


def _several(node: Node) -> bool:
    match node:
        case syntax.Comma() | syntax.Iterate() | syntax.Foreach():
            return True
        case syntax.Pipe(_, left, right) | syntax.Binary(_, _, left, right) | syntax.Logic(_, _, left, right):
            return _several(left) or _several(right)
        case syntax.Index(target=target, key=key):
            return _several(target) or _several(key)
        case syntax.Slice(target=target):
            return _several(target)
        case syntax.Object(entries=entries):
            return any(_several(key) or _several(value) for key, value in entries)
        case syntax.Bind(source=source, body=body):
            return _several(source) or _several(body)
        case syntax.Define(body=body) | syntax.Label(body=body) | syntax.Try(body=body):
            return not isinstance(node, syntax.Label) and _several(body)
        case syntax.If(then=then, otherwise=otherwise):
            return _several(then) or (otherwise is not None and _several(otherwise))
        case syntax.Alternative(left=left, right=right):
            return _several(left) or _several(right)
        case syntax.Text(parts=inner):
            return any(_several(part) for part in inner if isinstance(part, Node))
        case syntax.Negate(operand=operand):
            return _several(operand)
        case syntax.Call(name=name):
            return name in _STREAMS
        case _:
            return False


_ENDING = frozenset({"limit", "first", "nth", "any", "all", "isempty", "IN", "label", "until", "skip"})
"""Functions that take no more of their argument than they need."""


@lru_cache(maxsize=1024)
def endless(source: str) -> bool:
    """Whether *source* has a ``repeat`` or a ``recurse(f)`` that nothing ends: it always meets the limit of steps."""
    if "repeat" not in source and "recurse" not in source:
        return False
    try:
        return _endless(parse(source))
    except (ExpressionError, RecursionError):
        return False


def _endless(node: Node) -> bool:
    if isinstance(node, syntax.Label) or (isinstance(node, syntax.Call) and node.name in _ENDING):
        return False
    if isinstance(node, syntax.Call) and node.name in {"repeat", "recurse"} and len(node.arguments) == 1:
        return _goes_on(node.arguments[0])
    return any(_endless(part) for part in _inside(node))


def _goes_on(step: Node) -> bool:
    """Whether *step* has an output whatever it is given, so that repeating it has no end."""
    total = (
        syntax.Identity,
        syntax.Literal,
        syntax.Binary,
        syntax.Text,
        syntax.Object,
        syntax.Array,
        syntax.Negate,
    )
    return all(isinstance(part, total) for part in syntax.parts(step))


def _inside(node: Node) -> list[Node]:
    found: list[Node] = []
    for name in node.__dataclass_fields__:
        pending = [getattr(node, name)]
        while pending:
            part = pending.pop()
            if isinstance(part, Node):
                found.append(part)
            elif isinstance(part, tuple):
                pending += part
            elif isinstance(part, syntax.Function):
                found.append(part.body)
    return found
