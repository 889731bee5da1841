"""Where a character of a string stands in the text of the document: quotes, escapes and folded lines come between."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import TypeAlias

_Read: TypeAlias = "Iterator[tuple[str, int, int]]"
"""The characters of a value, each with the line and the column, from 1, that it was written at."""

_LINES = re.compile("\r\n?|\n")
_PROPERTIES = re.compile(r"(?:[&!]\S*[ \t]+)*")
_ESCAPES = dict(zip('0abt\tnvfre "/\\N_LP', '\0\a\b\t\t\n\v\f\r\x1b "/\\\x85\xa0\u2028\u2029', strict=True))
_HEX = {"x": 2, "u": 4, "U": 8}


def place(text: str, line: int, column: int, value: str, offset: int) -> tuple[int, int] | None:
    """Where the character at *offset* of *value* stands in *text*; *line* and *column* are where its scalar begins.

    Behind the last character it is the place after it. None where the text does not hold that value, as with an alias.
    """
    lines = _lines(text)
    if not 0 < line <= len(lines):
        return None
    written = lines[line - 1]
    begin = _PROPERTIES.match(written, column - 1)
    at = begin.end() if begin is not None else column - 1
    first = written[at : at + 1]
    if first in {'"', "'"}:
        read = _quoted(lines, line - 1, at + 1, first)
    elif first in {"|", ">"}:
        read = _block(lines, line, value, folded=first == ">")
    else:
        read = _quoted(lines, line - 1, at, "")
    found = list(islice(read, len(value)))
    if "".join(char for char, _, _ in found) != value:
        return None
    if offset < len(found):
        return found[offset][1:]
    return (found[-1][1], found[-1][2] + 1) if found else (line, column)


@lru_cache(maxsize=4)
def _lines(text: str) -> list[str]:
    return _LINES.split(text)


def _quoted(lines: list[str], number: int, at: int, quote: str) -> _Read:
    """A scalar of the flow styles: in double quotes, in single ones, or plain (without *quote*)."""
    while number < len(lines):
        text = lines[number]
        end = len(text.rstrip(" \t"))
        joined = False
        while at < len(text):
            char, line, column = text[at], number + 1, at + 1
            if quote == '"' and char == "\\":
                if at + 1 == len(text):
                    joined = True
                    break
                char, at = _escaped(text, at)
            elif char == quote:
                if quote == '"' or text[at + 1 : at + 2] != quote:
                    return
                at += 2
            elif at >= end:
                break
            else:
                at += 1
            yield char, line, column
        blank = 0
        while number + blank + 1 < len(lines) and not lines[number + blank + 1].strip(" \t"):
            blank += 1
        if blank:
            for more in range(blank):
                yield "\n", number + more + 1, len(lines[number + more]) + 1
        elif not joined:
            yield " ", number + 1, end + 1
        number += blank + 1
        if number < len(lines):
            at = len(lines[number]) - len(lines[number].lstrip(" \t"))


def _escaped(text: str, at: int) -> tuple[str, int]:
    """The character of the escape at *at*, and where it ends; of a pair of surrogates (JSON), both."""
    kind = text[at + 1]
    if kind not in _HEX:
        return _ESCAPES.get(kind, "\ufffd"), at + 2
    end = at + 2 + _HEX[kind]
    try:
        code = int(text[at + 2 : end], 16)
        if 0xD800 <= code < 0xDC00 and text[end : end + 2] == "\\u":
            low = int(text[end + 2 : end + 6], 16)
            return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)), end + 6
        return chr(code), end
    except ValueError:
        return "\ufffd", end


def _block(lines: list[str], number: int, value: str, *, folded: bool) -> _Read:
    """A block scalar, from the line after its ``|`` or ``>`` on; *value* tells how far it is indented."""
    indent = _indent(lines[number:]) - _indent(value.split("\n"))
    before: str | None = None
    blank: list[int] = []
    for index in range(number, len(lines)):
        text = lines[index][indent:] if lines[index].strip(" ") else ""
        if folded and not text:
            blank.append(index)
            continue
        if folded:
            yield from _folding(lines, before, text, blank, index)
        for column, char in enumerate(text, indent + 1):
            yield char, index + 1, column
        if not folded:
            yield "\n", index + 1, len(lines[index]) + 1
        before, blank = text, []
    for index in range(number, len(lines)):
        yield "\n", index + 1, 1


def _folding(lines: list[str], before: str | None, text: str, blank: list[int], index: int) -> _Read:
    """What the line breaks become between the line *before* and *text*, the line *index*, with *blank* ones between."""
    if before is None:
        breaks = "\n" * len(blank)
    elif before[:1] in {" ", "\t"} or text[:1] in {" ", "\t"}:
        breaks = "\n" * (len(blank) + 1)
    else:
        breaks = "\n" * len(blank) or " "
    for char in breaks:
        yield char, index, len(lines[index - 1]) + 1


def _indent(lines: list[str]) -> int:
    for line in lines:
        stripped = line.lstrip(" ")
        if stripped:
            return len(line) - len(stripped)
    return 0
