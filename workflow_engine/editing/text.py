"""The text of an open document: its lines, and places in it as the protocol counts them."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import accumulate, pairwise

from lsprotocol import types

_BREAK = re.compile("\r\n?|\n")
"""What ends a line in the protocol, and nothing else does."""
_YAML_BREAK = re.compile("\r\n?|\n|\x85|\u2028|\u2029")
"""What ends a line for the parser of YAML."""
_YAML_ONLY = re.compile("[\x85\u2028\u2029]")

_Units = Callable[[str], int]


def _utf16(char: str) -> int:
    return 1 + (char > "\uffff")


def _utf8(char: str) -> int:
    return 1 + (char > "\x7f") + (char > "\u07ff") + (char > "\uffff")


_UNITS: dict[str, _Units | None] = {"utf-8": _utf8, "utf-16": _utf16, "utf-32": None}
"""How many units a character has; None where each has one."""


def _lines(source: str) -> list[str]:
    """The lines of *source* with what ends them; behind a last line break there is an empty one."""
    ends = [0, *(match.end() for match in _BREAK.finditer(source)), len(source)]
    return [source[start:end] for start, end in pairwise(ends)]


def _replace(lines: list[str], place: types.Range, text: str, encoding: str) -> None:
    """Put *text* in the *place* of what stands there now."""
    first, start = _spot(lines, place.start, encoding)
    last, end = max((first, start), _spot(lines, place.end, encoding))
    made = lines[first][:start] + text + lines[last][end:]
    if first and made.startswith("\n") and lines[first - 1].endswith("\r"):
        first -= 1  # the two are one line break now
        made = lines[first] + made
    pieces = _lines(made)
    lines[first : last + 1] = pieces if last == len(lines) - 1 else pieces[:-1]


def _spot(lines: Sequence[str], position: types.Position, encoding: str) -> tuple[int, int]:
    """The line of *position*, and how many characters of it stand before; one behind an end is that end."""
    if position.line >= len(lines):
        return len(lines) - 1, len(lines[-1])
    line = lines[position.line]
    before, length = position.character, len(line.rstrip("\r\n"))
    if not line.isascii() and encoding != "utf-32":
        unit, code = (1, "utf-8") if encoding == "utf-8" else (2, "utf-16-le")
        written = line[:before].encode(code, "surrogatepass")[: before * unit]
        before = len(written.decode(code, "surrogatepass" if unit == 2 else "replace"))
    return position.line, min(before, length)


class Text:
    """One state of a document. Offsets count characters (code points) from 0; it never changes.

    *encoding* is that of the positions that the client and the server agreed on.
    """

    def __init__(self, source: str, version: int | None = None, encoding: str = "utf-16") -> None:
        self.source = source
        self.version = version
        self.encoding = encoding
        self._units = None if source.isascii() else _UNITS.get(encoding, _utf16)
        self._before: dict[int, Sequence[int] | None] = {}

    @cached_property
    def starts(self) -> list[int]:
        """The offset of each line's first character."""
        return [0, *(match.end() for match in _BREAK.finditer(self.source))]

    def line(self, number: int) -> str:
        """The line *number*, from 0, without what ends it; empty behind the last."""
        if not 0 <= number < len(self.starts):
            return ""
        end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.source)
        return self.source[self.starts[number] : end].rstrip("\r\n")

    def line_at(self, offset: int) -> int:
        """The number, from 0, of the line that *offset* is in."""
        return bisect_right(self.starts, offset) - 1

    def offset(self, position: types.Position) -> int:
        """The offset of *position*; one behind the end of its line is that end."""
        if position.line >= len(self.starts):
            return len(self.source)
        start, length = self.starts[position.line], len(self.line(position.line))
        before = self._units_before(position.line)
        if before is None:
            return start + min(position.character, length)
        return start + min(bisect_left(before, position.character), length)

    def _units_before(self, line: int) -> Sequence[int] | None:
        """How many units stand before each character of *line*; None where each is one unit.

        They are counted once for each line: a document of JSON may be one line, with thousands of places in it.
        """
        if self._units is None:
            return None
        if line not in self._before:
            end = self.starts[line + 1] if line + 1 < len(self.starts) else len(self.source)
            text = self.source[self.starts[line] : end]
            known = None if text.isascii() else list(accumulate(map(self._units, text), initial=0))
            self._before[line] = known
        return self._before[line]

    def position(self, offset: int) -> types.Position:
        """Where *offset* is, in the client's units."""
        line = self.line_at(offset)
        character = offset - self.starts[line]
        before = self._units_before(line)
        return types.Position(line, character if before is None else before[min(character, len(before) - 1)])

    def range(self, start: int, end: int) -> types.Range:
        """From offset *start* up to *end*."""
        return types.Range(self.position(start), self.position(end))

    def changed(self, changes: Iterable[types.TextDocumentContentChangeEvent], version: int | None) -> Text:
        """This text after *changes*, each of what the one before it left.

        An editor that replaces a word everywhere sends thousands at once: each takes the time of its lines alone.
        """
        lines = _lines(self.source)
        for change in changes:
            if isinstance(change, types.TextDocumentContentChangePartial):
                _replace(lines, change.range, change.text, self.encoding)
            else:
                lines = _lines(change.text)
        return Text("".join(lines), version, self.encoding)

    @cached_property
    def _parsed_starts(self) -> list[int]:
        """As `starts`, as the parser counts lines."""
        if self.source.lstrip("\ufeff \t\r\n")[:1] in {"{", "[", '"'} or not _YAML_ONLY.search(self.source):
            return self.starts
        return [0, *(match.end() for match in _YAML_BREAK.finditer(self.source))]

    def parsed_offset(self, line: int, column: int) -> int:
        """The offset of what a problem says is in *line* and *column*, both from 1; 0 if it has no place."""
        starts = self._parsed_starts
        if not 0 < line <= len(starts):
            return 0 if line <= 0 else len(self.source)
        mark = line == 1 and self.source.startswith("\ufeff")
        return min(starts[line - 1] + max(column - 1, 0) + mark, len(self.source))
