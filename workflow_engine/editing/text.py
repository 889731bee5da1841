"""The text of an open document: its lines, and places in it as the protocol counts them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property

from lsprotocol import types

_BREAK = re.compile("\r\n?|\n")
"""What ends a line in the protocol, and nothing else does."""
_YAML_BREAK = re.compile("\r\n?|\n|\x85|\u2028|\u2029")
"""What ends a line for the parser of YAML."""
_YAML_ONLY = re.compile("[\x85\u2028\u2029]")

_Units = Callable[[str], int]


def _utf16(text: str) -> int:
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)


def _utf8(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


_UNITS: dict[str, _Units] = {"utf-8": _utf8, "utf-16": _utf16, "utf-32": len}


class Text:
    """One state of a document. Offsets count characters (code points) from 0; it never changes.

    *encoding* is that of the positions that the client and the server agreed on.
    """

    def __init__(self, source: str, version: int | None = None, encoding: str = "utf-16") -> None:
        self.source = source
        self.version = version
        self.encoding = encoding
        self._units = _UNITS.get(encoding, _utf16)

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
        line = self.line(position.line)
        start = self.starts[position.line]
        if line.isascii():
            return start + min(position.character, len(line))
        units = 0
        for index, char in enumerate(line):
            if units >= position.character:
                return start + index
            units += self._units(char)
        return start + len(line)

    def position(self, offset: int) -> types.Position:
        """Where *offset* is, in the client's units."""
        line = self.line_at(offset)
        start = self.starts[line]
        return types.Position(line, self._units(self.source[start:offset]))

    def range(self, start: int, end: int) -> types.Range:
        """From offset *start* up to *end*."""
        return types.Range(self.position(start), self.position(end))

    def changed(self, change: types.TextDocumentContentChangeEvent, version: int | None) -> Text:
        """This text after *change*."""
        if isinstance(change, types.TextDocumentContentChangePartial):
            start, end = self.offset(change.range.start), self.offset(change.range.end)
            source = self.source[:start] + change.text + self.source[max(start, end) :]
        else:
            source = change.text
        return Text(source, version, self.encoding)

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
