"""What can be written in an expression: variables of its place, builtins of our jq, its own functions, words."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types

from workflow_engine.editing import jq
from workflow_engine.editing.jq_words import FORMATS, KEYWORDS, VARIABLES, functions
from workflow_engine.editing.nodes import Spot
from workflow_engine.editing.opened import Snapshot

_ITEM = types.CompletionItemKind


def in_expression(
    of: Snapshot, here: Spot, inside: tuple[int, int], offset: int
) -> Iterator[types.CompletionItem]:
    """What can stand at *offset* of the expression in the text *here*; *inside* is where it begins and ends."""
    source, (start, end) = of.text.source, inside
    word, before = jq.typed(source, start, offset)
    if (before == "." and not word.startswith(("$", "@"))) or source[start:offset].count('"') % 2:
        return
    own_variables, own_functions = jq.own(source[start:end])
    tasks = [name.path for name in of.names if name.sort == "task" and name.defines]
    assert of.kind is not None
    range = of.text.range(offset - len(word), offset)

    def item(label: str, kind: types.CompletionItemKind, detail: str, text: str) -> types.CompletionItem:
        return types.CompletionItem(
            label,
            kind=kind,
            detail=detail,
            documentation=types.MarkupContent(types.MarkupKind.Markdown, text) if text else None,
            text_edit=types.TextEdit(range, label),
        )

    if not word.startswith("@"):
        for name in sorted(jq.variables(of.kind, of.root, here.path, tasks) | own_variables):
            text = VARIABLES.get(name, "")
            yield item(f"${name}", _ITEM.Variable, "a variable", text)
    if word.startswith("$"):
        return
    first = here.node.style == "plain" and offset - len(word) == here.node.start
    for name, text in FORMATS.items() if not first else ():  # no plain scalar begins with @
        yield item(name, _ITEM.Unit, "a format", text)
    if word.startswith("@"):
        return
    for name in sorted(own_functions):
        yield item(name, _ITEM.Function, "defined here", "")
    for name, (called, text, _) in functions().items():
        yield item(name, _ITEM.Function, called, text)
    for name, text in KEYWORDS.items():
        yield item(name, _ITEM.Keyword, "a word of jq", text)
