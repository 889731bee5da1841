"""The words of expressions by what they are, so that an editor can colour what is only text for YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator

from workflow_engine.editing import jq
from workflow_engine.editing.jq_words import KEYWORDS, functions
from workflow_engine.editing.language import Part, language
from workflow_engine.editing.legend import LEGEND
from workflow_engine.editing.nodes import Node, Path
from workflow_engine.editing.opened import Snapshot
from workflow_engine.expressions.lexer import closing_brace

_WORDS = re.compile(
    r"(?P<comment>#[^\r\n]*)"
    r'|(?P<string>"(?:[^"\\]|\\.)*+"?|\\"(?:[^"\\]|\\[^"])*+(?:\\")?)'
    r"|(?P<variable>\$[A-Za-z_]\w*)"
    r"|(?P<number>(?<![\w.])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<property>\.[A-Za-z_]\w*|[A-Za-z_]\w*(?=[ ]*:(?!:)))"
    r"|(?P<name>@?[A-Za-z_]\w*)"
    r"|(?P<operator>[|=!<>+*/%?-]+)",
    re.DOTALL,
)
_LINE = re.compile(r"[^\r\n]+")


def colours(of: Snapshot) -> list[int]:
    """The words of all expressions, as the protocol encodes them: five numbers for each, places by difference."""
    found: list[int] = []
    line = character = 0
    for start, end, kind in _words(of):
        place, behind = of.text.position(start), of.text.position(end)
        step = place.line - line
        found += [
            step,
            place.character - (0 if step else character),
            behind.character - place.character,
            kind,
            0,
        ]
        line, character = place.line, place.character
    return found


def _words(of: Snapshot) -> Iterator[tuple[int, int, int]]:
    """Where each word begins and ends, and the number of its type, in the order of the text; none goes over lines."""
    own = frozenset(KEYWORDS)
    known = functions()
    for start, end in _expressions(of):
        for match in _WORDS.finditer(of.text.source, start, end):
            kind = match.lastgroup or ""
            if kind == "name" or (kind == "property" and match[0] in own):
                kind = (
                    "keyword"
                    if match[0] in own
                    else "function"
                    if match[0] in known or match[0][0] == "@"
                    else ""
                )
            if kind:
                number = LEGEND.index(kind)
                for part in _LINE.finditer(of.text.source, *match.span()):
                    yield part.start(), part.end(), number


def _expressions(of: Snapshot) -> Iterator[tuple[int, int]]:
    """Where each expression of the document begins and ends, in the order of the text."""
    if of.kind not in ("1.0", "0.8"):
        return
    language_of = language(of.kind, of.root)
    assert language_of is not None
    source = of.text.source
    stack: list[tuple[Path, Node, list[Part]]] = [((), of.root, language_of.root(of.root))]
    while stack:
        path, node, parts = stack.pop()
        if node.kind == "scalar":
            yield from _inside(source, node, parts)
            continue
        for index, entry in reversed(list(enumerate(node.entries))):
            key: str | int = index if entry.key is None else entry.name
            stack.append(((*path, key), entry.value, language_of.below(parts, key, entry.value)))


def _inside(source: str, node: Node, parts: list[Part]) -> Iterator[tuple[int, int]]:
    if node.style == "alias":
        return
    start, end = node.inner
    if "${" not in source[start:end]:
        if jq.always(parts):
            yield start, end
        return
    text = source[start:end]
    at = 0
    while (opened := text.find("${", at)) >= 0:
        closed = closing_brace(text, opened + 2)
        at = len(text) if closed is None else closed
        yield start + opened + 2, start + at
