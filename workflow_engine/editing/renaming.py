"""Renaming: where a name is written, and how a new one is written there."""

from __future__ import annotations

import json
import re

from lsprotocol import types

from workflow_engine.editing.names import BUILT_IN, DIRECTIVES, Name
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.outline import name_at, places

_SAFE = re.compile(r"[A-Za-z_][\w./-]*(?: [\w./-]+)*")
_ANCHOR = re.compile(r"[\w.-]+")
_WORD = re.compile(r"[A-Za-z_]\w*")
_NOT_STRINGS = re.compile(r"(?i)true|false|null")
_ELSEWHERE = ("secret", "catalog", "channel", "component")
"""What other places know by its name too, so that it is not renamed here."""


class NotRenamed(ValueError):
    """It cannot be called so; the message says why."""


def renamable(of: Snapshot, offset: int) -> Name | None:
    """The name at *offset*, if it can be renamed."""
    name = name_at(of, offset)
    if name is None or name.sort in _ELSEWHERE or not places(of, name, definitions=True, uses=False):
        return None
    return name


def edits(of: Snapshot, offset: int, text: str) -> list[types.TextEdit]:
    """What to change so that the name at *offset* is *text* everywhere; `NotRenamed` if that cannot be."""
    name = renamable(of, offset)
    if name is None:
        raise NotRenamed("this cannot be renamed: it is defined elsewhere, or others know it by its name")
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise NotRenamed("a name is text in one line, without blanks around it")
    if name.sort == "task" and text in DIRECTIVES:
        raise NotRenamed(f"`{text}` is a flow directive, so `then` could never go to the task")
    if name.sort == "function" and of.kind == "1.0" and (text in BUILT_IN or set(text) & set("@:/")):
        raise NotRenamed(f"`call: {text}` would mean something else than this function")
    others = (
        each
        for each in of.names
        if each.sort == name.sort and each.defines and (name.sort == "anchor" or each.scope == name.scope)
    )
    if text != name.text and any(each.text == text for each in others):
        raise NotRenamed(f"there is a {name.sort} {text!r} already")
    found = places(of, name, definitions=True, uses=True)
    written = {each.start for each in found if each.by is None}
    if not written.issuperset(each.by for each in found if each.by is not None):
        raise NotRenamed("an alias names it, whose anchor stands where it means something else too")
    found = [each for each in found if each.by is None]
    if name.sort == "anchor" and not _ANCHOR.fullmatch(text):
        raise NotRenamed("an anchor has letters, digits, `_`, `.` and `-`")
    if not all(each.whole or _WORD.fullmatch(text) for each in found):
        raise NotRenamed("an expression names it, so it can have letters, digits and underscores only")
    return [types.TextEdit(of.text.range(each.start, each.end), _written(each, text)) for each in found]


def _written(place: Name, text: str) -> str:
    if not place.whole or place.sort == "anchor":
        return text
    if place.quoted == '"':
        return json.dumps(text, ensure_ascii=False)[1:-1]
    if place.quoted:
        return text.replace("'", "''")
    safe = _SAFE.fullmatch(text) and not _NOT_STRINGS.fullmatch(text)
    return text if safe else json.dumps(text, ensure_ascii=False)
