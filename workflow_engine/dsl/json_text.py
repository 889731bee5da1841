"""Reads JSON text with places.

YAML 1.2 contains JSON, but PyYAML reads YAML 1.1, where escaped surrogate pairs, keys longer than 1,024
characters and some control characters are errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import loads
from typing import NamedTuple

from workflow_engine.dsl.scalars import number
from workflow_engine.dsl.tree import TreeBuilder

_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\n]+)"
    r"|(?P<mark>[{}\[\],:])"
    r'|(?P<string>"[^"\\\x00-\x1f\ud800-\udfff]*(?:\\.[^"\\\x00-\x1f\ud800-\udfff]*)*")'
    r"|(?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])"
    r"|(?P<word>true|false|null)(?!\w)"
)
_NEWLINE = re.compile(r"\r\n?|\n")
_WORDS = {"true": True, "false": False, "null": None}


class NotJson(Exception):
    """The text is not JSON; it may be YAML."""


class _Token(NamedTuple):
    kind: str
    text: str
    line: int
    column: int


def read_json(text: str, builder: TreeBuilder) -> None:
    """Read the one JSON value of *text* into *builder*; `NotJson` if it is anything else."""
    closers: list[str] = []
    expect = "value"  # or: first (a key or "}"), item (a value or "]"), key, colon, next (a comma or the end)
    for token in _tokens(text):
        mark = token.text if token.kind == "mark" else ""
        if expect in {"value", "item"} and mark in {"{", "["}:
            if mark == "{":
                builder.begin_mapping(token.line, token.column)
            else:
                builder.begin_list(token.line, token.column)
            closers.append("}" if mark == "{" else "]")
            expect = "first" if mark == "{" else "item"
        elif mark and closers and mark == closers[-1] and expect in {"first", "item", "next"}:
            closers.pop()
            builder.end()
            expect = "next"
        elif mark == "," and expect == "next" and closers:
            expect = "key" if closers[-1] == "}" else "value"
        elif mark == ":" and expect == "colon":
            expect = "value"
        elif expect in {"first", "key"} and token.kind == "string":
            builder.scalar(_string(token.text), token.line, token.column)
            expect = "colon"
        elif expect in {"value", "item"} and not mark:
            _scalar(token, builder)
            expect = "next"
        else:
            raise NotJson
    if expect != "next" or closers:
        raise NotJson


def _tokens(text: str) -> Iterator[_Token]:
    line, line_start, end = 1, 0, len(text)
    position = 0
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise NotJson
        start, position = position, match.end()
        if match.lastgroup == "blank":
            for newline in _NEWLINE.finditer(text, start, position):
                line, line_start = line + 1, newline.end()
        else:
            yield _Token(match.lastgroup, match[0], line, start - line_start + 1)


def _scalar(token: _Token, builder: TreeBuilder) -> None:
    if token.kind == "string":
        builder.scalar(_string(token.text), token.line, token.column)
    elif token.kind == "number":
        builder.scalar(number(token.text, token.line, token.column, builder), token.line, token.column)
    else:
        builder.scalar(_WORDS[token.text], token.line, token.column)


def _string(quoted: str) -> str:
    if "\\" not in quoted:
        return quoted[1:-1]
    try:
        value = str(loads(quoted))
        value.encode()
    except ValueError:  # an unknown escape, or half of a surrogate pair
        raise NotJson from None
    return value
