"""Plain paths (``.a.b[0]``) told from other expressions."""

from __future__ import annotations

import re

from workflow_engine.expressions.errors import ExpressionError
from workflow_engine.expressions.lexer import Token, tokenize
from workflow_engine.expressions.template import unwrap

_NO_PATH = re.compile(r'[^"#]*[|+*/%=<>(){},:?]')
_FIELDS = re.compile(r"(?:\.[a-zA-Z_][a-zA-Z0-9_]*)+")


def assignment_path(source: str) -> list[str | int] | None:
    """The path that *source* names as the target of an assignment of DSL 0.8, or None if it names none (B5).

    ``.a.b[0]``, ``${ .a }``, ``.["x y"]`` and ``."x y"`` are paths; ``.`` is the empty path. Whatever could
    name several places, or compute one, is not.
    """
    if _FIELDS.fullmatch(source):
        return [*source[1:].split(".")]
    inner = unwrap(source)
    source = source if inner is None else inner
    if _NO_PATH.match(source):
        return None
    try:
        tokens = tokenize(source)
    except ExpressionError:
        return None
    return _path(tokens)


def _path(tokens: list[Token]) -> list[str | int] | None:
    path: list[str | int] = []
    at = 0
    while tokens[at].kind != "end":
        token = tokens[at]
        dotted = token.kind == "symbol" and token.text == "."
        following = tokens[at + 1] if dotted else token
        if token.kind == "field":
            path.append(token.text)
            at += 1
        elif dotted and following.kind == "string" and len(following.parts) == 1:
            path.append(str(following.parts[0]))
            at += 2
        elif dotted and at == 0 and following.kind == "end":
            return path
        elif following.text == "[" and following.kind == "symbol" and (at > 0 or dotted):
            start = at + 2 if dotted else at + 1
            negative = tokens[start].text == "-" and tokens[start].kind == "symbol"
            key = _key(tokens[start + negative], negative=negative)
            closing = tokens[start + negative + 1] if key is not None else token
            if key is None or closing.text != "]" or closing.kind != "symbol":
                return None
            path.append(key)
            at = start + negative + 2
        else:
            return None
    return path if at else None


def _key(token: Token, *, negative: bool) -> str | int | None:
    if token.kind == "string" and len(token.parts) == 1 and not negative:
        return str(token.parts[0])
    if token.kind == "number" and token.text.isdecimal():
        return -int(token.text) if negative else int(token.text)
    return None
