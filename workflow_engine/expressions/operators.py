"""The operators of jq: how tightly each binds, and the node it makes; and the numbers it is given."""

from __future__ import annotations

from workflow_engine.expressions import syntax
from workflow_engine.expressions.syntax import Node

PRECEDENCE: dict[str, int] = {"//": 1, "or": 3, "and": 4, "+": 6, "-": 6, "*": 7, "/": 7, "%": 7}
ASSIGNING = ("=", "|=", "+=", "-=", "*=", "/=", "%=", "//=")
PRECEDENCE |= dict.fromkeys(ASSIGNING, 2)
PRECEDENCE |= dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 5)
"""How tightly each binary operator binds; all associate to the left but ``//``."""

NOT_CHAINED = {2, 5}
"""Levels of which one expression may have one operator: assignment and comparison."""


def operation(position: int, operator: str, left: Node, right: Node) -> Node:
    """The node of a binary *operator*."""
    level = PRECEDENCE[operator]
    if operator == "//":
        return syntax.Alternative(position, left, right)
    if level == 2:
        return syntax.Assign(position, operator, left, right)
    if operator in {"and", "or"}:
        return syntax.Logic(position, operator, left, right)
    return syntax.Binary(position, operator, left, right)


_LARGEST = 1.7976931348623157e308
_DIGITS = 308
"""Whole numbers of so many digits are doubles too, so that they can be read again wherever they are written."""


def number(text: str) -> int | float:
    """The number that *text* spells; what is a whole number is an int, as jq writes it."""
    digits = text.lstrip("+-")
    if digits.isdecimal() and len(digits) <= _DIGITS:
        return int(text)
    value = max(-_LARGEST, min(_LARGEST, float(text)))
    return int(value) if value.is_integer() and abs(value) < 1e17 else value
