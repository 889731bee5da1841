"""What can be written in an expression: variables of its place and what they have, builtins of our jq, words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from lsprotocol import types

from workflow_engine.editing import jq
from workflow_engine.editing.fields import Field, fields
from workflow_engine.editing.jq_words import FORMATS, KEYWORDS, MEMBERS, VARIABLES, functions
from workflow_engine.editing.language import language
from workflow_engine.editing.nodes import Spot, spot
from workflow_engine.editing.opened import Snapshot

_ITEM = types.CompletionItemKind
_LONGEST = 2_000
"""Characters that may lead to what is typed."""
_CHAIN = re.compile(r"(\$[A-Za-z_]\w*|(?<![\w.\])}\"$])(?=\.))((?:\.[A-Za-z_]\w*+|\.?\[\d{0,9}\])*+)\.\Z")
"""What leads to the members that are typed: a variable or nothing, and what stands between dots."""
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\.?\[\d*\]")
_PIPED = re.compile(r"[|(]|\b(?:reduce|foreach|as)\b")
"""Behind one of these `.` may be something else than the data of the place."""
_NAME = re.compile(r"[A-Za-z_]\w*")
_CALLS = re.compile(r'"(?:[^"\\]|\\.)*+"?|([A-Za-z_]\w*\s*\()|[()\[\]{};]', re.DOTALL)


def in_expression(
    of: Snapshot, here: Spot, inside: tuple[int, int], offset: int
) -> Iterator[types.CompletionItem]:
    """What can stand at *offset* of the expression in the text *here*; *inside* is where it begins and ends."""
    source, (start, end) = of.text.source, inside
    word, before = jq.typed(source, start, offset)
    if before == "." and not word.startswith(("$", "@")):
        place = of.text.range(offset - len(word), offset)
        yield from _members(of, here, source[start : offset - len(word)], place)
        return
    if source[start:offset].count('"') % 2:
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


def _members(of: Snapshot, here: Spot, before: str, place: types.Range) -> Iterator[types.CompletionItem]:
    """What that has that stands *before* a dot, where it is known."""
    match = _CHAIN.search(before[-_LONGEST:])
    if match is None:
        return
    holder = match[1] + match[2]
    names: Sequence[str] = MEMBERS.get(holder, ())
    if holder in ("$secrets", "$SECRETS", "$SECRET"):
        names = [each.text for each in of.names if each.sort == "secret" and each.defines]
    elif holder == "$CONST":
        constants = of.root.child("constants")
        names = [] if constants is None else [each.name for each in constants.resolved.entries]
    found = [Field(name, "", "") for name in dict.fromkeys(names)]
    if not found and (match[1] or not _PIPED.search(before)):
        chain = [match[1], *(step[1] or "" for step in _STEP.finditer(match[2]))]
        tasks = [name.path for name in of.names if name.sort == "task" and name.defines]
        found = fields(of, here.path, tasks, chain)
    for each in found:
        written = each.name if _NAME.fullmatch(each.name) else json.dumps(each.name, ensure_ascii=False)
        text = types.MarkupContent(types.MarkupKind.Markdown, each.text) if each.text else None
        yield types.CompletionItem(
            each.name,
            kind=_ITEM.Field,
            detail=each.types or (f"of {holder}" if holder else None),
            documentation=text,
            filter_text=written,
            text_edit=types.TextEdit(place, written),
        )


def signature(of: Snapshot, offset: int) -> types.SignatureHelp | None:
    """The function of jq between whose parentheses *offset* is, and which argument it is in."""
    known = None if of.kind is None else language(of.kind, of.root)
    if known is None or of.kind == "asyncapi":
        return None
    here = spot(of.root, offset)
    inside = jq.around(of.text.source, here, known.at(of.root, here.path), offset)
    if inside is None:
        return None
    calls: list[list[int | str]] = []
    for match in _CALLS.finditer(of.text.source, inside[0], offset):
        if match[1]:
            calls.append([match[1][:-1].rstrip(), 0])
        elif match[0] in ("(", "[", "{"):
            calls.append(["", 0])
        elif match[0] in (")", "]", "}"):
            calls = calls[:-1]
        elif match[0] == ";" and calls:
            calls[-1][1] = int(calls[-1][1]) + 1
    name, index = next(((str(name), int(index)) for name, index in reversed(calls) if name), ("", 0))
    if name not in functions():
        return None
    called, text, _ = functions()[name]
    parameters = [each.strip() for each in called.partition("(")[2].rstrip(")").split(";") if each.strip()]
    told = types.SignatureInformation(
        called,
        documentation=types.MarkupContent(types.MarkupKind.Markdown, text),
        parameters=[types.ParameterInformation(each) for each in parameters],
    )
    return types.SignatureHelp([told], active_signature=0, active_parameter=index)
