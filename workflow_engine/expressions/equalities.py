"""What a condition compares with a constant first, so that many conditions can be looked up instead of evaluated."""

from __future__ import annotations

from workflow_engine.expressions.parser import parse
from workflow_engine.expressions.syntax import Binary, Identity, Index, Literal, Logic, Node
from workflow_engine.values import Json

_EXACT = 1 << 53
"""Below, no two numbers that jq takes for equal have different values here."""


def equality(source: str) -> tuple[tuple[str, ...], Json] | None:
    """The members that ``.a.b == 5`` goes down, and the constant, where the program *source* is that, or that ``and``
    more: it yields ``false``, and looks at nothing else, wherever that is not so. Texts, booleans and whole numbers
    that are not large count as constants.
    """
    if "==" not in source:
        return None
    node = parse(source)
    while isinstance(node, Logic) and node.operator == "and":
        node = node.left
    if not isinstance(node, Binary) or node.operator != "==":
        return None
    for side, other in ((node.left, node.right), (node.right, node.left)):
        path = _path(side)
        if path and isinstance(other, Literal) and _is_plain(other.value):
            return path, other.value
    return None


def _path(node: Node) -> tuple[str, ...] | None:
    """The members that a path goes down; None for anything else."""
    keys: list[str] = []
    while isinstance(node, Index) and not node.optional:
        if not (isinstance(node.key, Literal) and isinstance(node.key.value, str)):
            return None
        keys.append(node.key.value)
        node = node.target
    return tuple(reversed(keys)) if isinstance(node, Identity) else None


def _is_plain(value: Json) -> bool:
    return isinstance(value, str | bool) or (isinstance(value, int) and abs(value) < _EXACT)
