"""Quick fixes: what a problem says should stand there instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from lsprotocol import types

from workflow_engine.editing.changes import declaration, removal
from workflow_engine.editing.nodes import Node, spot
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.problems import SOURCE

FIX_ALL = "source.fixAll.wfe"
_MEANT = re.compile(r"did you mean (?:`([^`]+)`|'([^']+)'|\"([^\"]+)\"|(\$\w+))\?")
_SAID = (
    re.compile(r"; use ([A-Za-z0-9-]+)\Z"),
    re.compile(r"^expected `([^`]+)`, got "),
    re.compile(r"for the member of that name write `([^`]+)`"),
    re.compile(r"for the text write `([^`]+)`"),
)
"""How messages say what to write where their problem is."""
_IN_QUOTES = re.compile(r"put it in quotes: (\"[^\"]+\")")
_LATE_DAYS = re.compile(r"PT((?:\d+[DW])+)((?:\d+[HMS])*)", re.IGNORECASE)
_TIME = re.compile(r"(\d+) ?(ms|s|m|h|d)", re.IGNORECASE)
_CITED = re.compile(r"'([^']+)'|`([^`]+)`|\"([^\"]+)\"")
_VERSION = re.compile(r"[vV]?(\d+)(\.\d+)?(\.\d+)?")
_TO_QUOTE = ("not-a-string-key", "number-out-of-range")


def fixes(of: Snapshot, problems: Iterable[types.Diagnostic]) -> list[types.CodeAction]:
    """What can be done about *problems* of the document."""
    found = [fix for problem in problems if problem.source == SOURCE for fix in _fixes(of, problem)]
    if len(found) == 1:
        found[0].is_preferred = True
    return found


def fix_all(of: Snapshot, problems: Iterable[types.Diagnostic]) -> list[types.CodeAction]:
    """One action for all of the *problems* that have one obvious answer; none if there are no such problems."""
    edits: list[types.TextEdit] = []
    for problem in problems:
        found = list(_fixes(of, problem)) if problem.source == SOURCE else []
        changes = found[0].edit.changes if len(found) == 1 and found[0].edit is not None else None
        made = changes[of.uri] if changes is not None else []
        edits += [edit for edit in made if edit.new_text]  # nothing is lost by saving
    edits.sort(key=lambda each: (each.range.start, each.range.end))
    kept: list[types.TextEdit] = []
    for edit in edits:
        if not kept or kept[-1].range.end <= edit.range.start:
            kept.append(edit)
    if not kept:
        return []
    changed = types.WorkspaceEdit(changes={of.uri: kept})
    return [types.CodeAction("Correct what has one obvious answer", kind=FIX_ALL, edit=changed)]


def _fixes(of: Snapshot, problem: types.Diagnostic) -> Iterator[types.CodeAction]:
    message = problem.message
    meant = _MEANT.search(message)
    if meant is not None and not meant[0].endswith(("...`?", "...'?", '..."?')):
        yield _action(of, problem, next(group for group in meant.groups() if group))
        return
    for title, changed in (("Remove", removal(of, problem)), ("Declare", declaration(of, problem))):
        if changed is not None:
            name, edit = changed
            yield _changing(of, problem, f"{title} {_short(name)}", edit)
            return
    for said in _SAID:
        match = said.search(message)
        if match is not None:
            yield _action(of, problem, match[1])
    if problem.code == "missing-version":
        start = of.text.offset(problem.range.start)
        key = "'specVersion': '0.8', " if of.json else f"specVersion: '0.8'\n{' ' * of.root.column}"
        yield _replacing(of, problem, start, start, key.replace("'", '"') if of.json else key)
        return
    node = _node(of, problem)
    if node is None or node.kind != "scalar":
        return
    written = _written(of, node, problem)
    if written is not None:
        yield _replacing(of, problem, node.start, node.end, written)


def _written(of: Snapshot, node: Node, problem: types.Diagnostic) -> str | None:
    """How the scalar *node* is to be written, by the code of its problem."""
    source = of.text.source[node.start : node.end]
    quote = source[:1] if node.style in ("single", "double") else ""
    match problem.code:
        case "unquoted-version":
            said = _IN_QUOTES.search(problem.message)
            return said[1] if said is not None else json.dumps(source)
        case "quoted-boolean" if node.text in ("true", "false"):
            return node.text
        case "literal-expression" if node.style != "block":
            flow = any(each.flow for each in spot(of.whole, node.start).nodes)
            quote = quote or ("'" if flow or ("'" not in source and re.search(": | #", source)) else "")
            return f"{quote}${{ {node.inner_text(of.text.source)} }}{quote}"
        case "invalid-duration" | "days-after-t":
            standard = _standard(node.text)
            return None if standard is None else f"{quote}{standard}{quote}"
        case "invalid-version" if (version := _VERSION.fullmatch(node.text)) is not None:
            return f"{quote}{version[1]}{version[2] or '.0'}{version[3] or '.0'}{quote}"
        case code if code in _TO_QUOTE and not quote:
            return json.dumps(source)
        case _:
            return None


def _standard(text: str) -> str | None:
    """The duration in ISO 8601 that *text* most likely means."""
    late = _LATE_DAYS.fullmatch(text)
    if late is not None:
        return f"P{late[1]}" + (f"T{late[2]}" if late[2] else "")
    time = _TIME.fullmatch(text)
    if time is None:
        return None
    number, unit = int(time[1]), time[2].lower()
    if unit == "d":
        return f"P{number}D"
    return f"PT{number / 1000:g}S" if unit == "ms" else f"PT{number}{unit.upper()}"


def _node(of: Snapshot, problem: types.Diagnostic) -> Node | None:
    """The key or the value that *problem* is about; a problem of a value may stand at its key."""
    start = of.text.offset(problem.range.start)
    here = spot(of.whole, start)
    key = here.entry.key if here.entry is not None and here.on_key else None
    if key is None or (here.node.kind == "scalar" and problem.code != "not-a-string-key"):
        return here.node
    return key


def _action(of: Snapshot, problem: types.Diagnostic, text: str) -> types.CodeAction:
    start, end = of.text.offset(problem.range.start), of.text.offset(problem.range.end)
    here = spot(of.whole, start)
    key = here.entry.key if here.entry is not None and here.on_key else None
    node = here.node if key is None else key
    if key is not None and here.node.kind == "scalar" and not _cited(key.text, problem.message):
        part = _part(of, here.node, problem.message)  # a problem of a value stands at its key
        if _cited(here.node.text, problem.message):
            node, start = here.node, here.node.start
        elif part is not None:
            return _replacing(of, problem, *part, text)
    if node.kind == "scalar" and node.start == start:
        start, end = node.inner
    return _replacing(of, problem, start, end, text)


def _part(of: Snapshot, node: Node, message: str) -> tuple[int, int] | None:
    """The one place in the scalar *node* of a word that *message* cites, such as the name of a secret."""
    start, end = node.inner
    for cited in _CITED.findall(message.partition("; did you mean")[0]):
        word = "".join(cited)
        places = list(re.finditer(rf"(?<![\w-]){re.escape(word)}(?![\w-])", of.text.source[start:end]))
        if len(places) == 1:
            return start + places[0].start(), start + places[0].end()
    return None


def _cited(text: str, message: str) -> bool:
    return any(f"{quote}{text}{quote}" in message.partition("; did you mean")[0] for quote in "\"'`")


def _replacing(of: Snapshot, problem: types.Diagnostic, start: int, end: int, text: str) -> types.CodeAction:
    written = of.text.source[start:end]
    title = f"Change {_short(written)} to {_short(text)}" if written else f"Write {_short(text)}"
    return _changing(of, problem, title, types.TextEdit(of.text.range(start, end), text))


def _changing(of: Snapshot, problem: types.Diagnostic, title: str, edit: types.TextEdit) -> types.CodeAction:
    return types.CodeAction(
        title,
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[problem],
        edit=types.WorkspaceEdit(changes={of.uri: [edit]}),
    )


def _short(text: str) -> str:
    text = text.strip()
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"
