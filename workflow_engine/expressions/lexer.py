"""jq's tokens, with the place of each; strings keep their interpolated programs as nested tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from workflow_engine.expressions.errors import ExpressionError

MAX_SOURCE = 65_536
"""Longest expression, in characters: a document is data, and nobody reads a longer one."""

_MAX_NESTING = 64

_TOKEN = re.compile(
    r"(?:[ \t\r\n]++|\#[^\n]*+)*+(?:"
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<field>\.[a-zA-Z_][a-zA-Z0-9_]*)"
    r"|(?P<name>(?:[a-zA-Z_][a-zA-Z0-9_]*::)*[a-zA-Z_][a-zA-Z0-9_]*)"
    r"|(?P<variable>\$(?:[a-zA-Z_][a-zA-Z0-9_]*::)*[a-zA-Z_][a-zA-Z0-9_]*)"
    r"|(?P<format>@[a-zA-Z0-9_]+)"
    r"|(?P<symbol>\?//=?|//=|\|=|\+=|-=|\*=|/=|%=|==|!=|<=|>=|//|\.\.|[.\[\](){}|,:;=<>+\-*/%$?])"
    r"|(?P<quote>\")"
    r"|(?P<end>\Z)"
    r")"
)
_SKIPPED = re.compile(r"(?:[ \t\r\n]++|\#[^\n]*+)*+")
_PLAIN = re.compile(r'[^"\\]+')
_INSIDE = r"[a-zA-Z0-9_ \t\r\n.$,|()+\-*/<>=:;\[\]?%]++|\"[^\"\\]*+\""
_FLAT = re.compile(rf"(?:{_INSIDE}|\{{(?:{_INSIDE})*+\}})*+\}}")
"""What is always tokens, with objects that are not nested, up to the brace that ends it: most expressions are so."""
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_OPERATORS = {"&": "jq writes `and`", "!": "jq writes `not` behind a |, and `!=`"}
"""What to write for operators of other languages."""
_HEX = re.compile(r"[0-9a-fA-F]{4}")

Parts: TypeAlias = "tuple[str | tuple[Token, ...], ...]"


@dataclass(slots=True)
class Token:
    """One token: *kind* is number, field, name, variable, format, symbol, string or end.

    *text* is the bare word (a field without its dot, a variable without its ``$``). *parts* of a string
    are its literal pieces and, as tuples of tokens, the programs interpolated between them.
    """

    kind: str
    text: str
    position: int
    parts: Parts = ()


def tokenize(source: str) -> list[Token]:
    """The tokens of *source*, the last of kind ``end``; `ExpressionError` names the first that is none."""
    if len(source) > MAX_SOURCE:
        raise ExpressionError(f"the expression is longer than {MAX_SOURCE} characters", source[:80])
    tokens, _ = _read(source, 0, "", 0)
    return tokens


def closing_brace(source: str, start: int) -> int | None:
    """The offset of the ``}`` that ends the expression starting at *start*, or None where it never ends."""
    if flat := _FLAT.match(source, start):
        return flat.end() - 1
    try:
        _, end = _read(source, start, "}", 0)
    except ExpressionError:
        return None
    return end


def unclosed(source: str, start: int) -> ExpressionError:
    """Why the expression starting at *start*, after its ``${``, has no `closing_brace`.

    Mostly it holds a character that jq does not have, such as a single quote; then that is what to correct.
    """
    try:
        _read(source, start, "}", 0)
    except ExpressionError as error:
        if error.position is not None and error.position < len(source):
            return error
    return ExpressionError("a ${ is not closed by a }", source, start - 2)


def _read(source: str, at: int, closer: str, nesting: int) -> tuple[list[Token], int]:
    """Read tokens up to an unmatched *closer* (or the end of *source* if it is empty), and its offset."""
    if nesting > _MAX_NESTING:
        raise ExpressionError("strings are interpolated into strings too deeply", source, at)
    tokens: list[Token] = []
    opener = {")": "(", "}": "{", "": ""}[closer]
    depth = 0
    end = len(source)
    next_token = _TOKEN.match
    while True:
        match = next_token(source, at)
        if match is None:
            skipped = _SKIPPED.match(source, at)
            at = skipped.end() if skipped is not None else at
            raise ExpressionError(_unexpected(source[at]), source, at)
        kind = match.lastgroup or ""
        text = match[kind]
        at = match.end()
        position = at - len(text)
        if kind == "symbol":
            if text == closer:
                if depth == 0:
                    tokens.append(Token("end", "", position))
                    return tokens, position
                depth -= 1
            elif text == opener:
                depth += 1
        elif kind in _MARKED:
            text = text[1:]
        elif kind == "quote":
            token, at = _string(source, position, nesting)
            tokens.append(token)
            continue
        elif kind == "end":
            break
        tokens.append(Token(kind, text, position))
    if closer:
        raise ExpressionError(f"a {closer!r} is missing", source, end)
    tokens.append(Token("end", "", end))
    return tokens, end


_MARKED = frozenset({"field", "variable", "format"})
"""Kinds of tokens whose first character tells what they are, and is not a part of their text."""


def _unexpected(character: str) -> str:
    if character in "'`‘’“”":
        return f"strings in jq are written in double quotes, not {character}"
    if character in _OPERATORS:
        return f"unexpected character {character!r}: {_OPERATORS[character]}"
    return f"unexpected character {character!r}"


def _string(source: str, start: int, nesting: int) -> tuple[Token, int]:
    parts: list[str | tuple[Token, ...]] = []
    text: list[str] = []
    at, end = start + 1, len(source)
    while at < end:
        if match := _PLAIN.match(source, at):
            text.append(match[0])
            at = match.end()
        elif source[at] == '"':
            parts.append("".join(text))
            return Token("string", "", start, tuple(parts)), at + 1
        elif source.startswith("\\(", at):
            parts.append("".join(text))
            text = []
            nested, at = _read(source, at + 2, ")", nesting + 1)
            parts.append(tuple(nested))
            at += 1
        else:
            piece, at = _escape(source, at)
            text.append(piece)
    raise ExpressionError("the string is not closed", source, start)


def _escape(source: str, at: int) -> tuple[str, int]:
    following = source[at + 1 : at + 2]
    if following in _ESCAPES and following:
        return _ESCAPES[following], at + 2
    if following == "u" and (match := _HEX.match(source, at + 2)):
        code, at = int(match[0], 16), match.end()
        low = _HEX.match(source, at + 2) if source.startswith("\\u", at) else None
        if 0xD800 <= code < 0xDC00 and low and 0xDC00 <= int(low[0], 16) < 0xE000:
            return chr(0x10000 + ((code - 0xD800) << 10) + (int(low[0], 16) - 0xDC00)), low.end()
        return ("\ufffd" if 0xD800 <= code < 0xE000 else chr(code)), at
    raise ExpressionError(f"\\{following} is not an escape of a jq string", source, at)
