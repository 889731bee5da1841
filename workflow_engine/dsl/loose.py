"""``evaluate.mode: loose`` (decision A5): every text of a value is tried as an expression.

"If the evaluation fails, it results in a string with the expression as its content." So a text that compiles becomes an
expression that yields the text when it fails; a text that does not compile is what it is.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from workflow_engine import expressions
from workflow_engine.expressions import ExpressionError, unwrap
from workflow_engine.expressions.lexer import closing_brace
from workflow_engine.values import Json


def loosened(value: Json, variables: Collection[str]) -> Json:
    """*value* with each text in it as strict mode would have it written."""
    if isinstance(value, dict):
        return {key: loosened(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [loosened(item, variables) for item in value]
    return _text(value, variables) if isinstance(value, str) else value


def _text(text: str, variables: Collection[str]) -> str:
    whole = unwrap(text)
    if whole is not None:
        return _tried(whole, text, variables)
    if _compiles(text, variables):
        return _tried(text, text, variables)
    return _mixed(text, variables)


def _mixed(text: str, variables: Collection[str]) -> str:
    """*text* amid which stand expressions in ``${ }``; what is none of them stays."""
    parts: list[str] = []
    at = 0
    while (start := text.find("${", at)) >= 0:
        end = closing_brace(text, start + 2)
        if end is None:
            break
        parts += [text[at:start], _tried(text[start + 2 : end], text[start : end + 1], variables)]
        at = end + 1
    rest = text[at:]
    return "".join(parts) + (_literal(rest) if "${" in rest else rest)


def _tried(source: str, text: str, variables: Collection[str]) -> str:
    """An expression that yields what *source* does, or else *text*."""
    if not _compiles(source, variables):
        return _literal(text)
    return f"${{ (try [{source}\n] catch [{json.dumps(text)}])[] }}"


def _literal(text: str) -> str:
    return f"${{ {json.dumps(text)} }}"


def _compiles(source: str, variables: Collection[str]) -> bool:
    try:
        expressions.compile(source, variables=variables)
    except ExpressionError:
        return False
    return True
