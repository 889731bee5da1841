"""The outline of a document, what can be folded, and the places of its names."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types

from workflow_engine.dsl.functions import TASK_LISTS
from workflow_engine.editing.hovers import word_of
from workflow_engine.editing.names import Name, same
from workflow_engine.editing.nodes import Entry, Node, Path, entry_at
from workflow_engine.editing.opened import Snapshot

_SYMBOL = types.SymbolKind
_GROUPS = {
    "functions": _SYMBOL.Function, "events": _SYMBOL.Event, "errors": _SYMBOL.Constant, "retries": _SYMBOL.Constant,
    "timeouts": _SYMBOL.Constant, "authentications": _SYMBOL.Key, "auth": _SYMBOL.Key, "secrets": _SYMBOL.Key,
    "catalogs": _SYMBOL.Package, "extensions": _SYMBOL.Interface, "channels": _SYMBOL.Event, "servers": _SYMBOL.Package,
    "operations": _SYMBOL.Method, "messages": _SYMBOL.Struct, "schemas": _SYMBOL.Class,
}  # fmt: skip
_MOST = 20_000
_MOST_AROUND = 60
"""Selections around a place: each is in the next one, and messages are not that deep."""
_NAMELESS = "(no name)"
"""An editor shows no outline at all if one of its names is empty."""


def symbols(of: Snapshot) -> list[types.DocumentSymbol]:
    """Tasks in tasks; states with their branches and actions; and what the document defines beside them."""
    if of.kind is None or of.root.kind != "mapping":
        return []
    found: list[types.DocumentSymbol] = []
    for entry in of.root.entries:
        if entry.key is None:
            continue
        if entry.name == "do":
            found += _tasks(of, entry.value, 0)
        elif entry.name == "states":
            found += _states(of, entry.value)
        elif entry.name in ("use", "components"):
            inner = [group for each in entry.value.entries for group in _group(of, each)]
            found.append(_symbol(of, entry, _SYMBOL.Module, "", inner))
        else:
            found += _group(of, entry)
    return found


def _group(of: Snapshot, entry: Entry) -> Iterator[types.DocumentSymbol]:
    kind = _GROUPS.get(entry.name)
    if kind is None or not entry.value.entries:
        return
    inner: list[types.DocumentSymbol] = []
    for each in entry.value.entries:
        if each.key is not None:
            inner.append(_symbol(of, each, kind, word_of(each.value) or "", []))
            continue
        named = _own(each.value, ("name",))
        if named is not None:
            inner.append(_of_node(of, each.value, named, kind, ""))
        elif each.value.kind == "scalar" and each.value.text:
            inner.append(_of_node(of, each.value, each.value, kind, ""))
        else:
            inner += [_symbol(of, one, kind, "", []) for one in each.value.entries if one.key is not None]
    yield _symbol(of, entry, _SYMBOL.Namespace, "", inner)


def _tasks(of: Snapshot, node: Node, depth: int) -> list[types.DocumentSymbol]:
    found: list[types.DocumentSymbol] = []
    for item in node.entries:
        for entry in item.value.entries:
            if entry.key is None:
                continue
            inner: list[types.DocumentSymbol] = []
            for path in TASK_LISTS if depth < 50 else ():
                below = _own(entry.value, path)
                if below is not None and below.kind == "list":
                    inner += _tasks(of, below, depth + 1)
            inner += _cases(of, _own(entry.value, ("switch",)))
            found.append(_symbol(of, entry, _kind(entry.value), word_of(entry.value) or "", inner))
    return found


def _own(node: Node, path: Path) -> Node | None:
    """What is at *path* of *node*, if it is written there: what an alias stands for is told where its anchor is.

    So aliases of aliases do not multiply, and nothing is outside of what it is told to be in.
    """
    found = node.at(path)
    return (
        found
        if found is not None and node.start <= found.start <= found.end <= max(node.end, node.start)
        else None
    )


def _cases(of: Snapshot, node: Node | None) -> Iterator[types.DocumentSymbol]:
    for item in node.entries if node is not None and node.kind == "list" else ():
        for entry in item.value.entries:
            if entry.key is not None:
                then = entry.value.child("then")
                yield _symbol(of, entry, _SYMBOL.EnumMember, f"→ {then.text}" if then is not None else "", [])


def _kind(task: Node) -> types.SymbolKind:
    word = (word_of(task) or "").partition(" ")[0]
    return {
        "call": _SYMBOL.Method, "run": _SYMBOL.Method, "emit": _SYMBOL.Event, "listen": _SYMBOL.Event,
        "set": _SYMBOL.Variable, "switch": _SYMBOL.Enum, "for": _SYMBOL.Array, "fork": _SYMBOL.Array,
    }.get(word, _SYMBOL.Function)  # fmt: skip


def _states(of: Snapshot, node: Node) -> list[types.DocumentSymbol]:
    found: list[types.DocumentSymbol] = []
    for item in node.entries:
        named = _own(item.value, ("name",))
        if named is None or not named.text:
            continue
        inner: list[types.DocumentSymbol] = []
        for name in ("branches", "actions", "onEvents", "dataConditions", "eventConditions"):
            for each in (_own(item.value, (name,)) or Node("nothing", 0, 0)).entries:
                label = _own(each.value, ("name",))
                if label is not None and label.text:
                    inner.append(_of_node(of, each.value, label, _SYMBOL.Method, ""))
        found.append(_of_node(of, item.value, named, _SYMBOL.Function, word_of(item.value) or "", inner))
    return found


def _symbol(
    of: Snapshot, entry: Entry, kind: types.SymbolKind, detail: str, inner: list[types.DocumentSymbol]
) -> types.DocumentSymbol:
    assert entry.key is not None
    end = max(entry.key.end, entry.value.end)
    return types.DocumentSymbol(
        entry.name.strip() or _NAMELESS,
        kind,
        of.text.range(entry.key.start, end),
        of.text.range(entry.key.start, entry.key.end),
        detail=detail or None,
        children=inner or None,
    )


def _of_node(
    of: Snapshot,
    whole: Node,
    named: Node,
    kind: types.SymbolKind,
    detail: str,
    inner: list[types.DocumentSymbol] | None = None,
) -> types.DocumentSymbol:
    return types.DocumentSymbol(
        named.text.strip() or _NAMELESS,
        kind,
        of.text.range(whole.start, max(whole.end, named.end)),
        of.text.range(named.start, named.end),
        detail=detail or None,
        children=inner or None,
    )


def folds(of: Snapshot) -> list[types.FoldingRange]:
    """Each block of more than one line."""
    found: list[types.FoldingRange] = []
    stack = [of.whole] if of.kind is not None else []
    while stack and len(found) < _MOST:
        node = stack.pop()
        for entry in node.entries:
            first = of.text.line_at(entry.start)
            last = of.text.line_at(max(entry.value.end - 1, entry.start))
            if last > first:
                found.append(types.FoldingRange(first, last))
            if entry.value.entries:
                stack.append(entry.value)
    return found


def selection(of: Snapshot, offset: int) -> types.SelectionRange:
    """What is around *offset*, the innermost first: a text, its quotes, the entry, its block, and so on."""
    spans = [(0, len(of.text.source))]
    node, found = of.whole, entry_at(of.whole, offset)
    while found is not None:
        _, entry, on_key = found
        spans += [(node.start, node.end), (entry.start, max(entry.value.end, entry.start))]
        node = entry.key if on_key and entry.key is not None else entry.value
        found = None if on_key else entry_at(node, offset)
    spans += [(node.start, node.end), node.inner]
    spans = [*spans[:1], *spans[1:][-_MOST_AROUND:]]
    chosen: types.SelectionRange | None = None
    last = (-1, len(of.text.source) + 1)
    for start, end in spans:
        if (start, end) != last and last[0] <= start <= offset <= end <= last[1]:
            chosen = types.SelectionRange(of.text.range(start, end), chosen)
            last = start, end
    assert chosen is not None  # the whole text is one
    return chosen


def name_at(of: Snapshot, offset: int) -> Name | None:
    """The name that *offset* is in or at the end of."""
    return next((each for each in of.names if each.start <= offset <= each.end), None)


def places(of: Snapshot, name: Name, *, definitions: bool, uses: bool) -> list[Name]:
    """Where what *name* means is defined, and where it is used."""
    return [each for each in of.names if (definitions if each.defines else uses) and same(each, name)]
