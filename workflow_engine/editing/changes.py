"""What fixes do beside writing another word: a property is removed, a secret is declared."""

from __future__ import annotations

import json
import re

from lsprotocol import types

from workflow_engine.editing.nodes import Entry, Node, entry_at, walk
from workflow_engine.editing.opened import Snapshot

_REMOVED = ("ignored-property", "misplaced-property", "duplicate-key")
_KEEP_OTHER = re.compile(r"keep the one (?:under|in|that)\b")
_UNKNOWN_SECRET = re.compile(r"there is no secret '([^']+)'; declare it in `use.secrets`")
_SAFE = re.compile(r"[A-Za-z_][\w.-]*")


def removal(of: Snapshot, problem: types.Diagnostic) -> tuple[str, types.TextEdit] | None:
    """The name of the property that *problem* says has no place there, and the edit that removes it."""
    if problem.code not in _REMOVED and not _KEEP_OTHER.search(problem.message):
        return None
    start = of.text.offset(problem.range.start)
    holder, found = of.whole, entry_at(of.whole, start)
    while found is not None and not found[2]:
        if found[1].value.start == start and found[1].value.kind == "scalar":
            break
        holder, found = found[1].value, entry_at(found[1].value, start)
    if found is None or found[1].key is None or not _meant(found[1], problem):
        return None
    index, entry, _ = found
    if any(each.value.anchor is not None for each in [entry, *(below for _, below in walk(entry.value))]):
        return None  # an alias elsewhere may stand for it
    span = _in_flow(holder, index) if holder.flow else _in_block(of, holder, index)
    return None if span is None else (entry.name, types.TextEdit(of.text.range(*span), ""))


def _meant(entry: Entry, problem: types.Diagnostic) -> bool:
    """Whether the problem is about *entry*: its pointer ends with its name."""
    if problem.code == "duplicate-key":
        return True
    pointer = problem.data.get("pointer") if isinstance(problem.data, dict) else None
    last = str(pointer).rpartition("/")[2].replace("~1", "/").replace("~0", "~")
    return pointer is not None and last == entry.name


def _end(entry: Entry) -> int:
    return max(entry.value.end, entry.key.end + entry.colon if entry.key is not None else 0)


def _in_flow(holder: Node, index: int) -> tuple[int, int]:
    entries = holder.entries
    if index + 1 < len(entries):
        return entries[index].start, entries[index + 1].start
    return (_end(entries[index - 1]) if index else entries[index].start), _end(entries[index])


def _in_block(of: Snapshot, holder: Node, index: int) -> tuple[int, int] | None:
    """The lines of an entry; behind a dash, up to the entry that takes its place there."""
    entries, text = holder.entries, of.text
    if len(entries) == 1:
        return None  # there would be nothing where an object is expected
    start = entries[index].start
    line = text.line_at(start)
    if text.source[text.starts[line] : start].strip():
        return (start, entries[index + 1].start) if index + 1 < len(entries) else None
    last = text.line_at(max(_end(entries[index]) - 1, start)) + 1
    return text.starts[line], text.starts[last] if last < len(text.starts) else len(text.source)


def declaration(of: Snapshot, problem: types.Diagnostic) -> tuple[str, types.TextEdit] | None:
    """The name of the secret that *problem* says is not declared, and the edit that declares it."""
    match = _UNKNOWN_SECRET.search(problem.message)
    if match is None or of.kind != "1.0" or of.json:
        return None
    name = match[1] if _SAFE.fullmatch(match[1]) else json.dumps(match[1])
    break_ = "\r\n" if "\r\n" in of.text.source else "\n"
    secrets = of.root.at(("use", "secrets"))
    use = next((each for each in of.root.entries if each.name == "use"), None)
    if secrets is not None and secrets.kind == "list" and secrets.entries:
        last = secrets.entries[-1].value
        if secrets.flow:
            return match[1], _put(of, last.end, f", {name}")
        return match[1], _put(of, last.end, f"{break_}{' ' * secrets.column}- {name}")
    if use is None:
        do = next((each for each in of.root.entries if each.name == "do"), None)
        around = " " * of.root.column
        text = f"use:{break_}{around}  secrets: [{name}]{break_}{around}"
        return None if do is None else (match[1], _put(of, do.start, text))
    if secrets is None and use.value.kind == "mapping" and not use.value.flow:
        indent = " " * use.value.column
        return match[1], _put(of, use.value.start, f"secrets: [{name}]{break_}{indent}")
    return None


def _put(of: Snapshot, at: int, text: str) -> types.TextEdit:
    return types.TextEdit(of.text.range(at, at), text)
