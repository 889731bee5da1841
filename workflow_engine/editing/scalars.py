"""Scalars in text that is being written, and the cursor over it."""

from __future__ import annotations

import re

from workflow_engine.editing.nodes import Node

_LINE_END = re.compile(r"[^\r\n]*(?:\r\n?|\n)?")
_BREAK = re.compile(r"\r\n?|\n")
_WORD = re.compile(r"[^\s,\[\]{}]*")
_FLOW_PLAIN = re.compile(r"(?:[^,\[\]{}:#\r\n'\"]|(?<=\S)['\"#]|:(?![\s,\[\]{}]|$))*+")
_FLOW_BLANK = re.compile(r"(?:[ \t]+|(?:(?<=\s)|^)#[^\r\n]*)*+")
_DOUBLE = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_SINGLE = re.compile(r"'(?:[^']|'')*+'")
_HEADER = re.compile(r"[|>]([-+]?)([1-9]?)[-+]?")
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(\r\n?|\n)[ \t]*|(.))", re.DOTALL
)
_FOLD = re.compile(r"(?:(?<![ \t])[ \t]++)?(?:\r\n?|\n)[ \t]*+")
"""Blanks are looked at from their first one only: a text may have nothing else."""
_ENTRY = re.compile(r" *(?:- |[\w.-]+:(?:[ \t\r\n]|$))")
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "0": "\0",
    "b": "\b",
    "f": "\f",
    "a": "\a",
    "v": "\v",
    "e": "\x1b",
}


def unescaped(written: str) -> str:
    """The text of a scalar that is *written* in quotes, of which the last may be missing."""
    quote, inner = written[:1], written[1:]
    if inner.endswith(quote):
        inner = inner[:-1]
    if "\n" in inner or "\r" in inner:
        inner = _FOLD.sub(_folded, inner)
    if quote == "'":
        return inner.replace("''", "'")
    return _ESCAPE.sub(_escaped, inner) if "\\" in inner else inner


def _folded(match: re.Match[str]) -> str:
    return " "


def _escaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code:
        number = int(code, 16)
        return chr(number) if number < 0x110000 else "\ufffd"
    return "" if match[4] else _ESCAPES.get(match[5], match[5])


class Scanner:
    """A cursor, *at*, over *text*."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._line = 0
        self._next = self._end_of(0)

    def _end_of(self, start: int) -> int:
        match = _LINE_END.match(self.text, start)
        assert match is not None
        return match.end()

    def _settle(self) -> None:
        """Find the line that the cursor is in. It goes forward only: see `back`."""
        while self.at >= self._next and self._next < len(self.text):
            self._line = self._next
            self._next = self._end_of(self._line)

    def place(self) -> tuple[int, int, int]:
        """Where the cursor is, for `back`."""
        return self.at, self._line, self._next

    def back(self, place: tuple[int, int, int]) -> None:
        """Return to an earlier *place*; its line is not looked for, which would take as long as the text before it."""
        self.at, self._line, self._next = place

    def column(self) -> int:
        """How many characters of the line stand before the cursor."""
        self._settle()
        return self.at - self._line

    def line_end(self) -> int:
        """The offset behind the line that the cursor is in, and what ends it."""
        self._settle()
        return self._next

    def word_end(self) -> int:
        match = _WORD.match(self.text, self.at)
        assert match is not None
        return match.end()

    def plain_end(self, end: int) -> int:
        """Where a plain scalar that begins at the cursor ends, in the line that ends before *end*."""
        comment = self.text.find(" #", self.at, end)
        tab = self.text.find("\t#", self.at, end)
        stop = min(place for place in (comment, tab, end) if place >= 0)
        return self.at + len(self.text[self.at : stop].rstrip())

    def commented_since(self, offset: int) -> bool:
        """Whether a comment stands between *offset* and the cursor, which ends a plain scalar."""
        return "#" in self.text[offset : self.at]

    def quoted(self, around: int) -> Node:
        """A scalar in quotes; without the last one it ends with its line."""
        start = self.at
        double = self.text[start] == '"'
        match = (_DOUBLE if double else _SINGLE).match(self.text, start)
        open = match is None or _leaves(self.text, start, match.end(), around)
        end = (
            start + len(self.text[start : self.line_end()].rstrip()) if match is None or open else match.end()
        )
        self.at = end
        text = unescaped(self.text[start:end])
        return Node("scalar", start, end, text=text, style="double" if double else "single", open=open)

    def literal(self, around: int) -> Node:
        """A block scalar, whose lines are indented further than *around*."""
        start = self.at
        header = _HEADER.match(self.text, start)
        assert header is not None
        folded = self.text[start] == ">"
        self.at = body = self.line_end()
        indent = around + int(header[2]) if header[2] and around >= 0 else 0
        lines: list[str] = []
        end = header.end()
        while self.at < len(self.text):
            line_end = self.line_end()
            line = self.text[self.at : line_end].rstrip("\r\n")
            spaces = len(line) - len(line.lstrip(" "))
            if spaces < len(line):
                indent = indent or spaces
                if spaces < indent or spaces <= around:
                    break
                end = self.at + len(line)
            lines.append(line[indent:])
            self.at = line_end
            if line_end == len(self.text) and not self.text.endswith(("\n", "\r")):
                break
        while lines and not lines[-1].strip(" "):
            lines.pop()
        self.blank()
        text = (" " if folded else "\n").join(lines) + ("\n" if lines and header[1] != "-" else "")
        return Node("scalar", start, end, text=text, style="block", body=body)

    def blank(self) -> None:
        raise NotImplementedError

    def flow_blank(self, around: int) -> bool:
        """Go to what comes next in flow style; False if nothing does, in this block or in the text."""
        while self.at < len(self.text):
            match = _FLOW_BLANK.match(self.text, self.at)
            assert match is not None
            self.at = match.end()
            found = _BREAK.match(self.text, self.at)
            if found is None:
                return self.at < len(self.text)
            if around >= 0 and self._outside(found.end(), around):
                return False
            self.at = found.end()
        return False

    def _outside(self, start: int, around: int) -> bool:
        """Whether the line that begins at *start* belongs to the block around."""
        line = self.text[start : self._end_of(start)]
        content = line.strip()
        return bool(content) and len(line) - len(line.lstrip(" ")) <= around and content[0] not in "]},#"

    def flow_scalar(self, around: int) -> Node:
        start = self.at
        char = self.text[start]
        if char in "'\"":
            return self.quoted(around)
        match = _FLOW_PLAIN.match(self.text, start)
        assert match is not None
        written = match[0].rstrip(" \t")
        self.at = start + len(written)
        return Node("scalar", start, self.at, text=written)


def _leaves(text: str, start: int, end: int, around: int) -> bool:
    """Whether a quoted scalar from *start* up to *end* takes in an entry of a block around: it lacks its last quote."""
    if around < 0:
        return False
    for found in _BREAK.finditer(text, start, end):
        line = _LINE_END.match(text, found.end(), end)
        assert line is not None
        if len(line[0]) - len(line[0].lstrip(" ")) <= around and _ENTRY.match(line[0]):
            return True
    return False
