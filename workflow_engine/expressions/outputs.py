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
