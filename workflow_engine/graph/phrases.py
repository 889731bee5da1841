"""Words and texts of a document in short: one line, without control characters, bounded in length."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence as Several

from workflow_engine.values import Json

NAME = 60
"""How many characters of a name are shown."""
SUMMARY = 100
"""How many characters of what a state does are shown."""
CONDITION = 50
"""How many characters of a condition, a collection or another expression are shown."""
LISTED = 4
"""How many members of a list (event types, names that are set) are shown."""

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def clip(text: str, length: int = SUMMARY) -> str:
    """*text* on one line, at most *length* characters; what is cut off shows as ``…``.

    Control, formatting and surrogate characters become spaces: they would break a line, hide text or be
    refused by an encoder.
    """
    shown = "".join(
        " " if unicodedata.category(letter) in _HIDDEN else letter for letter in text[: length * 4]
    )
    line = " ".join(shown.split())
    if len(line) > length or len(text) > length * 4:
        return line[: length - 1].rstrip() + "…"
    return line


def several(words: Several[str], separator: str = ", ") -> str:
    """The first of *words*, as many as fit, and how many there are beside them."""
    shown = [clip(word, CONDITION) for word in words[:LISTED]]
    while len(shown) > 1 and len(separator.join(shown)) > SUMMARY - 30:
        shown.pop()
    rest = len(words) - len(shown)
    return separator.join(shown) + (f" and {rest} more" if rest else "")


def text(value: Json) -> str:
    """*value* as text: a string as it is, an expression without its ``${ }``, anything else as short JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list) and len(value) > LISTED * 4:
        return "{…}" if isinstance(value, dict) else "[…]"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
