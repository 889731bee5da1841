"""What can be written at a place: properties, values, names, words of expressions.

The place is found by putting a mark, `CURSOR`, into the text and reading it again: where the mark ends up in the tree
says whether a key or a value is being typed, and in what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lsprotocol import types

from workflow_engine.editing import jq, snippets
from workflow_engine.editing.descriptions import METADATA, described
from workflow_engine.editing.elsewhere_completion import of_neighbours
from workflow_engine.editing.jq_completion import in_expression
from workflow_engine.editing.kinds import likely
from workflow_engine.editing.language import Language, Part, Property, language
from workflow_engine.editing.names import BUILT_IN, DIRECTIVES, scope_of, sort_of
from workflow_engine.editing.neighbours import Beside, Found
from workflow_engine.editing.nodes import CURSOR, Node, Path, Spot, spot
from workflow_engine.editing.opened import Snapshot
from workflow_engine.errors import ERRORS, STANDARD_STATUS

_PLAIN = re.compile(r"(?![-?:] )[A-Za-z_/.$~+-][\w./#:@$~+ -]*(?<! )")
_NOT_STRINGS = re.compile(r"(?i)(?:true|false|null|~|[-+]?\.?(?:inf|nan|\d[\d.e+_-]*))")
_ITEM = types.CompletionItemKind
_OF_MANIFESTS = {"id", "key", "name", "version", "specVersion"}
"""What a manifest says of the workflow in it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is typed: what stands there from *start* up to *end* is replaced."""

    of: Snapshot
    root: Node
    spot: Spot
    start: int
    end: int
    snippets: bool

    @property
    def flow(self) -> bool:
        """Whether it is in braces or brackets, where nothing goes over several lines."""
        return any(node.flow for node in self.spot.nodes)

    @property
    def quoted(self) -> bool:
        """Whether the scalar that is typed is in quotes."""
        return self.spot.node.style in ("single", "double")

    @property
    def whole(self) -> bool:
        """Whether all of the scalar is replaced, and not only what is in one of its lines."""
        start, end = self.spot.node.inner
        return (self.start, self.end) == (start, end - 1)  # without the cursor

    def unquoted(self, text: str) -> types.TextEdit:
        """*text* instead of what is typed and its quotes, which would make a string of it."""
        return types.TextEdit(self.of.text.range(self.start - 1, self.end + (not self.spot.node.open)), text)

    def edit(self, text: str) -> types.TextEdit:
        """*text* instead of what is typed.

        An editor indents further lines as the line is, and not as the place is: behind a dash that is further left.
        """
        if "\n" in text:
            source, begins = self.of.text.source, self.of.text.starts[self.of.text.line_at(self.start)]
            before = source[begins : self.start]
            text = text.replace("\n", "\n" + " " * len(before.lstrip(" \t")))
        return types.TextEdit(self.of.text.range(self.start, self.end), text)


def complete(
    of: Snapshot, offset: int, neighbours: Found | Beside, *, with_snippets: bool
) -> list[types.CompletionItem]:
    """What can stand at *offset* of the document."""
    kind = of.kind or likely(of.root)
    if kind == "workflow" and not of.root.entries and with_snippets:
        return list(_beginnings(of, offset))
    known = None if kind is None else language(kind, of.root)
    if kind is None or known is None:
        return []
    of = of.taken_for(kind)
    here = spot(of.root, offset)
    inside = jq.around(of.text.source, here, known.at(of.root, here.path, open=True), offset)
    if inside is not None and kind != "asyncapi":
        return list(in_expression(of, here, inside, offset))
    source = of.text.source
    source = source.replace(CURSOR, "\ufffd")  # it may be in a text too
    root = of.typed(source[:offset] + CURSOR + source[offset:])
    if root is None:
        return []
    found = spot(root, offset)
    entry = found.entry
    key = entry.key if entry is not None and found.on_key else None
    node = found.node if key is None else key
    if CURSOR in node.text and node.style == "alias":
        return list(_anchors(of, node, offset))
    if CURSOR not in node.text or node.style == "block":
        return []
    start, end = node.inner if not of.json else (node.start, node.end)
    line = of.text.line_at(offset)
    start = max(start, of.text.starts[line])  # an edit is of one line
    end = min(end - 1, of.text.starts[line] + len(of.text.line(line)))
    place = Place(of, root, found, start, end, with_snippets)
    if key is not None:
        assert entry is not None
        inner = found.nodes[-2]
        return list(_properties(known, place, found.path[:-1], inner, colon=entry.colon))
    return [*_fresh(known, place, found), *_values(known, place, neighbours)]


def _anchors(of: Snapshot, node: Node, offset: int) -> Iterator[types.CompletionItem]:
    """The anchors before an alias that is typed."""
    place = of.text.range(node.start + 1, node.end - 1)
    for name in {each.text: each for each in of.names if each.sort == "anchor" and each.defines}.values():
        if name.start < offset:
            edit = types.TextEdit(place, name.text)
            yield types.CompletionItem(name.text, kind=_ITEM.Reference, detail="an anchor", text_edit=edit)


def _beginnings(of: Snapshot, offset: int) -> Iterator[types.CompletionItem]:
    line = of.text.line_at(offset)
    place = of.text.range(of.text.starts[line], offset)
    for label, snippet in snippets.WORKFLOWS.items():
        yield types.CompletionItem(
            label,
            kind=_ITEM.Snippet,
            filter_text=of.text.source[of.text.starts[line] : offset] or label,
            insert_text_format=types.InsertTextFormat.Snippet,
            text_edit=types.TextEdit(place, snippet),
        )


def _fresh(known: Language, place: Place, found: Spot) -> Iterator[types.CompletionItem]:
    """The first property of an object that is not there yet, where a scalar begins a line or an item."""
    start = found.node.start
    source = place.of.text.source
    line = source[place.of.text.starts[place.of.text.line_at(start)] : start]
    if found.node.style == "plain" and not line.strip(" -") and not place.flow:
        yield from _properties(known, place, found.path, None, colon=False)


def _properties(
    known: Language, place: Place, path: Path, node: Node | None, *, colon: bool
) -> Iterator[types.CompletionItem]:
    parts = known.at(place.root, path, open=node is None)
    around = _OF_MANIFESTS if place.of.manifest and not path else set[str]()
    for each in known.properties(parts, node):
        if each.name in around:
            continue
        text = _described(place.of, each.label)
        yield types.CompletionItem(
            each.name,
            kind=_ITEM.Property if each.rank != 1 else _ITEM.Keyword,
            detail=_detail(each),
            documentation=_markdown(text),
            sort_text=f"{each.rank}{each.name}",
            filter_text=json.dumps(each.name) if place.of.json else each.name,
            insert_text_format=types.InsertTextFormat.Snippet if place.snippets else None,
            insert_text_mode=types.InsertTextMode.AdjustIndentation if place.snippets else None,
            text_edit=place.edit(_written(place, each, colon)),
        )
    there = () if node is None else {each.name for each in node.entries}
    for part in parts if place.of.kind == "1.0" else ():
        for name, text in METADATA.get(part.label, {}).items():
            if name not in there:
                edit = place.edit(name if colon else f"{name}: ")
                yield types.CompletionItem(
                    name, kind=_ITEM.Property, documentation=_markdown(text), filter_text=name, text_edit=edit
                )
    title = next((part.schema["title"] for part in parts if part.schema.get("title") in snippets.ITEMS), None)
    if title is not None and place.snippets and not colon and not place.flow and node is None:
        label, snippet = snippets.ITEMS[title]
        yield types.CompletionItem(
            label,
            kind=_ITEM.Snippet,
            filter_text=place.of.text.source[place.start : place.end] or label,
            insert_text_format=types.InsertTextFormat.Snippet,
            insert_text_mode=types.InsertTextMode.AdjustIndentation,
            text_edit=place.edit(snippet),
        )
    for part in parts if node is None else ():
        if part.schema.get("type") == "array" and path and not isinstance(path[-1], int):
            yield types.CompletionItem(
                "- …",
                kind=_ITEM.Snippet,
                detail="an item of the list",
                filter_text=place.of.text.source[place.start : place.end] or "-",
                text_edit=place.edit("- "),
            )
            return


def _detail(each: Property) -> str:
    titles = [part.schema["title"] for part in each.parts if "title" in part.schema]
    needed = "needed" if each.rank == 0 else ""
    return ", ".join(filter(None, (needed, titles[0] if titles else "")))


def _written(place: Place, each: Property, colon: bool) -> str:
    """What is put in for a property."""
    name = json.dumps(each.name) if place.of.json else each.name
    if place.snippets:
        name = name.replace("$", "\\$")
    if colon:
        return name
    if place.flow or not place.snippets:
        return f"{name}: "
    if each.label.startswith("task.") and each.name in snippets.KEYWORDS:
        return snippets.KEYWORDS[each.name]
    named = [part.schema.get("type") for part in each.parts]
    kinds = {kind for name in named for kind in (name if isinstance(name, list) else [name])}
    if kinds & {"string", "number", "integer", "boolean"} or not kinds & {"object", "array"}:
        return f"{name}: $0"
    return f"{name}:\n  - $0" if kinds >= {"array"} and "object" not in kinds else f"{name}:\n  $0"


def _values(known: Language, place: Place, neighbours: Found | Beside) -> Iterator[types.CompletionItem]:
    path = place.spot.path
    parts = known.at(place.root, path, open=True)
    there: set[str] = set()
    for text, kind, detail in (
        *_of_schema(parts),
        *_of_names(place, parts),
        *of_neighbours(place, parts, neighbours),
    ):
        if text in there:
            continue
        there.add(text)
        label = next((part.label for part in parts), "")
        written = _quoted(place, text, literal=kind == _ITEM.Constant)
        literal = kind == _ITEM.Constant and place.quoted and not place.of.json and place.whole
        yield types.CompletionItem(
            text,
            kind=kind,
            detail=detail,
            documentation=_markdown(_described(place.of, f"{label}={text}")),
            filter_text=json.dumps(text)
            if place.of.json
            else place.of.text.source[place.start - 1] + text
            if literal
            else text,
            text_edit=place.unquoted(written) if literal else place.edit(written),
        )
    if {part.label for part in parts} & {"expression", "condition"} and place.snippets and not place.of.json:
        yield types.CompletionItem(
            "${ }",
            kind=_ITEM.Snippet,
            detail="an expression",
            filter_text=place.of.text.source[place.start : place.end] or "${ }",
            insert_text_format=types.InsertTextFormat.Snippet,
            text_edit=place.edit("'\\${ $0 }'" if place.flow and not place.quoted else "\\${ $0 }"),
        )


_Value = tuple[str, types.CompletionItemKind, str]


def _of_schema(parts: Sequence[Part]) -> Iterator[_Value]:
    for part in parts:
        for value in (
            *part.schema.get("enum", ()),
            *([part.schema["const"]] if "const" in part.schema else []),
        ):
            if isinstance(value, str):
                yield value, _ITEM.EnumMember, ""
            else:
                yield json.dumps(value), _ITEM.Constant, ""
        if part.schema.get("type") == "boolean" and "const" not in part.schema:
            yield "true", _ITEM.Constant, ""
            yield "false", _ITEM.Constant, ""
        for text in snippets.VALUES.get(part.label, ()):
            yield text, _ITEM.Value, ""
        if part.label == "duration":
            for text in snippets.DURATIONS:
                yield text, _ITEM.Value, "a duration"
        if part.label in ("error.type", "catch.errors.with.type"):
            for name, status in STANDARD_STATUS.items():
                yield ERRORS + name, _ITEM.Value, f"a standard error, {status}"


def _of_names(place: Place, parts: Sequence[Part]) -> Iterator[_Value]:
    of, path = place.of, place.spot.path
    assert of.kind is not None
    sort = sort_of(parts, path, of.kind)
    if path and path[-1] == "$ref":
        for name in of.names:
            if name.defines:
                pointer = "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in name.path)
                yield f"#/{pointer}", _ITEM.Reference, name.sort
    if sort is None:
        return
    if any(part.label == "flow" for part in parts):
        for text in DIRECTIVES:
            yield text, _ITEM.Keyword, "a flow directive"
    if any(part.label == "task.call" for part in parts):
        for text in BUILT_IN:
            yield text, _ITEM.Keyword, "a kind of call"
    scope = scope_of(path, of.names) if sort == "task" else ()
    own = scope_path(path, place)
    for name in of.names:
        if name.defines and name.sort == sort and name.scope == scope and name.path != own:
            yield name.text, _ITEM.Reference, f"the {sort} {name.text}"


def scope_path(path: Path, place: Place) -> Path:
    """The task that `then` at *path* is in, which seldom goes to itself."""
    tasks = [name for name in place.of.names if name.sort == "task" and name.defines]
    around = [name.path for name in tasks if path[: len(name.path)] == name.path]
    return max(around, key=len) if around else ()


def _quoted(place: Place, text: str, *, literal: bool) -> str:
    """*text* as it is written there."""
    if literal:
        return text
    if place.of.json:
        return json.dumps(text, ensure_ascii=False)
    if place.spot.node.style == "double":
        return json.dumps(text, ensure_ascii=False)[1:-1]
    if place.spot.node.style == "single":
        return text.replace("'", "''")
    plain = _PLAIN.fullmatch(text) and ": " not in text and " #" not in text and not text.endswith(":")
    version = re.fullmatch(r"\d+\.\d+\.\d+", text)
    return (
        text
        if (plain and not _NOT_STRINGS.fullmatch(text)) or version
        else json.dumps(text, ensure_ascii=False)
    )


def _described(of: Snapshot, label: str) -> str:
    assert of.kind is not None
    return described(of.kind, label) or ""


def _markdown(text: str) -> types.MarkupContent | None:
    return types.MarkupContent(types.MarkupKind.Markdown, text) if text else None
