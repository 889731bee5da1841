"""Expressions that are seen at once to be right, so that they are not read before they are evaluated.

A worker compiles whole documents and walks parts of them, so most of what is compiled is never evaluated. One regular
expression matches what most expressions are: paths, constants and common functions, operators between them, and one
level of objects, arrays and parentheses. It takes less than the language has, never more: of what it matches, nothing
can be wrong but the names of variables.
"""

from __future__ import annotations

import re

MAX_PLAIN = 400
"""Longest text that is looked at: what is longer could have more operators in a row than are allowed."""

FUNCTIONS = (
    "add", "all", "any", "ascii_downcase", "ascii_upcase", "empty", "first", "flatten", "floor", "fromjson", "keys",
    "last", "length", "max", "min", "not", "now", "reverse", "sort", "to_entries", "tojson", "tonumber", "tostring",
    "type", "unique", "values",
)  # fmt: skip
APPLIED = (
    "all", "any", "contains", "first", "has", "join", "map", "max_by", "min_by", "select", "sort_by", "startswith",
)  # fmt: skip
"""Functions of one argument; like `FUNCTIONS`, they are there, and take whatever they are given."""

_W = r"[ \t\r\n]*+"
_NAME = r"[a-zA-Z_][a-zA-Z0-9_]*+"
_END = r"(?![a-zA-Z0-9_:(])"
_NUMBER = r"[0-9]{1,15}+(?:\.[0-9]{1,15}+)?+(?![0-9.eE])"
_STRING = r'"[^"\\]*+"'
_VARIABLE = rf"\${_NAME}(?!::)"
_FIELDS = rf"(?:\.{_NAME})++"
_KEY = rf"(?:{_NUMBER}|{_STRING}|{_VARIABLE}|{_FIELDS})?+"
_SUFFIX = rf"(?:\.{_NAME}|\[{_KEY}\]|\?)*+"
_OPERATOR = rf"(?:[+\-*%](?!=)|//?+(?!=)|[=!]=|[<>]=?+|\|(?!=)|(?:and|or){_END})"
_CLOSED = r"[|,:)\]}]|\Z"
_SIMPLE = (
    rf"(?:(?:{_VARIABLE}|{_FIELDS}|\.(?![.0-9a-zA-Z_\"])){_SUFFIX}|{_STRING}|{_NUMBER}"
    rf"|\{{{_W}\}}|\[{_W}\]|(?:true|false|null|{'|'.join(FUNCTIONS)}){_END})"
)


def _chain(operand: str) -> str:
    """Operators between *operand*, with none at the end."""
    return rf"(?:{_W}{operand}{_W}(?:{_OPERATOR}(?!{_W}(?:{_CLOSED}))|(?={_CLOSED})))++"


def _listed(item: str, closer: str) -> str:
    return rf"(?:{item}(?:,(?!{_W}{closer})|(?={closer})))++{closer}"


_INNER = _chain(_SIMPLE)
_ENTRY = rf"{_W}(?:{_VARIABLE}|(?:{_NAME}(?!::)|{_STRING})(?:{_W}:{_INNER})?+){_W}"
_GROUP = rf"(?:(?:(?:{'|'.join(APPLIED)})?+\({_INNER}\)|\[{_listed(_INNER, ']')}){_SUFFIX}|\{{{_listed(_ENTRY, '}')})"
_PLAIN = re.compile(_chain(rf"(?:{_SIMPLE}|{_GROUP})"))
_NAMED = re.compile(rf"{_STRING}|\$({_NAME})")
_COMPARISON = re.compile("[<>=!]=?+")
_BRACKETS = re.compile(r"[(\[{][^()\[\]{}]*+[)\]}]")
_BETWEEN = re.compile(r"[|,:]|//|(?<![.$a-zA-Z0-9_])(?:and|or)(?![a-zA-Z0-9_])")
_NONE: frozenset[str] = frozenset()


def plain_variables(source: str) -> frozenset[str] | None:
    """The variables of *source* if it is plain; None of what has to be read to know."""
    if len(source) > MAX_PLAIN or _PLAIN.fullmatch(source) is None or _chained(source):
        return None
    return frozenset(name for name in _NAMED.findall(source) if name) if "$" in source else _NONE


def _chained(source: str) -> bool:
    """Whether two comparisons may be in a row without parentheses, which the language has not."""
    if len(_COMPARISON.findall(source)) < 2:
        return False
    text, inside = re.sub(_STRING, "0", source), True
    while inside:
        groups = _BRACKETS.findall(text)
        inside = bool(groups)
        for group in groups if inside else [text]:
            if any(len(_COMPARISON.findall(part)) > 1 for part in _BETWEEN.split(group)):
                return True
        text = _BRACKETS.sub("0", text)
    return False
