"""Patterns with wildcards, matched without backtracking: ``%`` and ``_`` of SQL's LIKE, ``*`` of event patterns.

A pattern is cut at its wildcards for any number of characters. What is before the first of them and behind the last
is compared in its place; each segment between is looked for from left to right, and its first occurrence is the one to
take, for whatever follows is found behind any other occurrence too, if at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from workflow_engine.filters.attributes import MAX_SUBJECT

MAX_WILDCARDS = 64
"""How many wildcards a pattern may have."""

Segment: TypeAlias = tuple[str | int, ...]
"""Literal texts, and how many characters there are between them."""


class BadPattern(ValueError):
    """A pattern is wrong; *at* is the index of the character that is."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


def like(pattern: str) -> Callable[[str], bool]:
    """SQL's LIKE: ``%`` is any text, ``_`` one character; a backslash before either of them makes it literal."""
    segments: list[list[str | int]] = [[]]
    wildcards = at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\" and pattern[at + 1 : at + 2] in ("%", "_"):
            at += 1
            _literal(segments[-1], pattern[at])
        elif character == "%":
            wildcards += 1
            segments.append([])
        elif character == "_":
            wildcards += 1
            segments[-1].append(1)
        else:
            _literal(segments[-1], character)
        if wildcards > MAX_WILDCARDS:
            raise BadPattern(f"a pattern has at most {MAX_WILDCARDS} wildcards", at)
        at += 1
    return _matcher([tuple(segment) for segment in segments])


def glob(pattern: str) -> Callable[[str], bool]:
    r"""The wildcard of event patterns: ``*`` is any text, ``\*`` and ``\\`` are literal; ``**`` is refused."""
    segments: list[list[str | int]] = [[]]
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            at += 1
            if pattern[at : at + 1] not in ("*", "\\"):
                raise BadPattern("a backslash stands before * or a backslash", at - 1)
            _literal(segments[-1], pattern[at])
        elif character == "*":
            if pattern[at + 1 : at + 2] == "*":
                raise BadPattern("two wildcards in a row", at + 1)
            segments.append([])
            if len(segments) > MAX_WILDCARDS:
                raise BadPattern(f"a pattern has at most {MAX_WILDCARDS} wildcards", at)
        else:
            _literal(segments[-1], character)
        at += 1
    return _matcher([tuple(segment) for segment in segments])


def _literal(segment: list[str | int], character: str) -> None:
    if segment and isinstance(segment[-1], str):
        segment[-1] += character
    else:
        segment.append(character)


def _length(segment: Segment) -> int:
    return sum(part if isinstance(part, int) else len(part) for part in segment)


def _stands(segment: Segment, text: str, at: int) -> bool:
    """Whether *segment* is at the place *at*; that it is long enough is known."""
    for part in segment:
        if isinstance(part, int):
            at += part
        elif text.startswith(part, at):
            at += len(part)
        else:
            return False
    return True


def _find(segment: Segment, text: str, begin: int, end: int) -> int:
    """Where *segment* is first, inside *begin* to *end*; -1 if nowhere."""
    if len(segment) == 1 and isinstance(segment[0], str):
        return text.find(segment[0], begin, end)
    ahead, key = 0, ""
    for part in segment:
        if isinstance(part, str):
            key = part
            break
        ahead += part
    last = end - _length(segment)
    while begin <= last:
        found = text.find(key, begin + ahead, end)
        if found < 0 or found - ahead > last:
            return -1
        if _stands(segment, text, found - ahead):
            return found - ahead
        begin = found - ahead + 1
    return -1


def _matcher(segments: Sequence[Segment]) -> Callable[[str], bool]:
    """Of one segment a text must be the whole; a text that is longer than `MAX_SUBJECT` does not match.

    Looking for a segment with single wildcards in it takes as many steps as text and pattern have together, multiplied:
    there the text may be an eighth as long.
    """
    head, *middle = segments
    size = _length(head)
    if not middle:
        return lambda text: len(text) == size and _stands(head, text, 0)
    tail = middle.pop()
    between = tuple(segment for segment in middle if segment)
    ending = _length(tail)
    simple = all(len(segment) == 1 and isinstance(segment[0], str) for segment in between)
    longest = MAX_SUBJECT if simple else MAX_SUBJECT // 8

    def match(text: str) -> bool:
        end = len(text) - ending
        if end < size or len(text) > longest:
            return False
        if not (_stands(head, text, 0) and _stands(tail, text, end)):
            return False
        at = size
        for segment in between:
            found = _find(segment, text, at, end)
            if found < 0:
                return False
            at = found + _length(segment)
        return True

    return match
