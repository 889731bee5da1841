"""What a plain scalar is, by the core schema of YAML 1.2 (section 10.3), as far as JSON can hold it."""

from __future__ import annotations

import re
from math import isinf

from workflow_engine.dsl.tree import TreeBuilder
from workflow_engine.dsl.wording import shown
from workflow_engine.values import Json

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_STARTS_NUMBER = frozenset("+-.0123456789")


def plain(text: str, line: int, column: int, builder: TreeBuilder) -> Json:
    """The value of a plain scalar; a number that JSON cannot hold is a problem for *builder*."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _STARTS_NUMBER:
        return text
    return number(text, line, column, builder)


def number(text: str, line: int, column: int, builder: TreeBuilder) -> Json:
    """The number that *text* is, else the text itself."""
    value: Json
    digits = len(text)
    if _INTEGER.fullmatch(text):
        value = int(text) if digits < 30 else 10**30
    elif _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        value = int(text, 0) if digits < 30 else 10**30
    elif _FLOAT.fullmatch(text):
        value = float(text)
    elif _NOT_FINITE.fullmatch(text):
        value = float("inf")
    else:
        return text
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        message = f"{shown(text)[1:-1]} does not fit into 64 bits; put it in quotes to have it as text"
    elif isinstance(value, float) and isinf(value):
        message = (
            f"{shown(text)[1:-1]} is not a number that JSON can hold; put it in quotes to have it as text"
        )
    else:
        return value
    builder.problem("number-out-of-range", message, line, column)
    return 0
