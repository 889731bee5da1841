"""What of GraphQL a document may have: names, types, selection sets (GraphQL, October 2021, §2)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from workflow_engine.values import Json

NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")
MAX_SELECTION = 64 * 1024
"""The longest selection set, in characters."""
DEEPEST = 64

_TOKEN = re.compile(
    r"""
      (?P<ignored>[\ufeff\t\ ,\r\n]+|\#[^\r\n]*)
    | (?P<string>\"{3}(?:\\\"{3}|(?!\"{3})[\s\S])*\"{3}|"(?:[^"\\\r\n]|\\.)*")
    | (?P<open>[{(\[]) | (?P<close>[})\]])
    | (?P<other>\.\.\.|[!$&:=@|]|[_A-Za-z][_0-9A-Za-z]*|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    """,
    re.VERBOSE,
)
_CLOSES = {"{": "}", "(": ")", "[": "]"}
_VALUE = "0"
"""What stands for a value in a text that is checked before there is one."""


def wrong_selection(parts: Sequence[str | None]) -> str:
    """What is wrong with a selection set of *parts*, among which None is a value; empty where nothing is.

    It is one ``{ … }`` and nothing besides, so that it can neither leave its field nor add another operation.
    """
    for number, part in enumerate(parts):
        before = "".join(_VALUE if each is None else each for each in parts[:number])
        if part is None and open_string(before) == '"""':
            return "an expression in a block string; let it yield the whole string"
    text = "".join(_VALUE if part is None else part for part in parts)
    if len(text) > MAX_SELECTION:
        return f"it is longer than {MAX_SELECTION:,} characters"
    expected: list[str] = []
    at, done = 0, False
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            return f"{text[at : at + 20]!r} cannot stand there"
        at = found.end()
        if found["ignored"]:
            continue
        if done:
            return f"{text[found.start() : found.start() + 20]!r} stands behind its end"
        if found["open"]:
            if not expected and found["open"] != "{":
                return "it begins with `{`"
            expected.append(_CLOSES[found["open"]])
            if len(expected) > DEEPEST:
                return f"it is nested more than {DEEPEST} deep"
        elif not expected:
            return "it begins with `{`"
        elif found["close"]:
            if expected.pop() != found["close"]:
                return f"`{found['close']}` closes what was not opened"
            done = not expected
    return "" if done else "it is not closed"


def open_string(text: str) -> str:
    """The quotes of the string within which *text*, the beginning of a selection set, ends; empty where it does not."""
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or (text.startswith('"""', at) and found["string"] == '""'):
            quotes = '"""' if text.startswith('"""', at) else '"'
            return quotes if text[at] == '"' else ""
        at = found.end()
    return ""


def variable_types(metadata: Json) -> dict[str, str]:
    """The types of arguments that the *metadata* of a function has, as ``$name: type``.

    Arguments of such a type are sent as variables; the specification has no property for it.
    """
    found = metadata.items() if isinstance(metadata, dict) else ()
    return {key[1:]: str(value) for key, value in found if key.startswith("$") and NAME.fullmatch(key[1:])}


def is_type(text: str) -> bool:
    """Whether *text* is a type as variables have it: ``Int!``, ``[PetInput!]!``."""
    text = text.replace(" ", "")
    while (inner := text.removesuffix("!")).startswith("[") and inner.endswith("]"):
        text = inner[1:-1]
    return NAME.fullmatch(text.removesuffix("!")) is not None
