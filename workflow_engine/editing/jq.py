"""Expressions that are being written: where they are, which variables they have, what their words mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from workflow_engine.dsl.v0_8.variables import RUN as RUN_0_8
from workflow_engine.dsl.v1.scope import EXPORT, RUN, STATE, TASK
from workflow_engine.editing.kinds import Kind
from workflow_engine.editing.language import Part
from workflow_engine.editing.nodes import Node, Path, Spot
from workflow_engine.expressions.lexer import closing_brace

_SLOTS = {
    "condition", "expression", "task.if", "task.while", "for.in", "input.from", "output.as", "action.condition",
    "switchState.dataConditions.condition",
}  # fmt: skip
"""Labels of texts that are expressions without ``${ }`` too."""
_BOUND = re.compile(r"\bas\s*+(?:[\[{]\s*+)?\$(\w+)|\bdef\s++\w++\s*+\(([^()]*+)\)")
_PARAMETER = re.compile(r"\$(\w+)")
_DEFINED = re.compile(r"\bdef\s++(\w+)")
_LETTER = re.compile(r"[A-Za-z_]")
_WORD = re.compile(r"[$@]?[A-Za-z_]\w*")


def around(text: str, spot: Spot, parts: Iterable[Part], offset: int) -> tuple[int, int] | None:
    """Where the expression begins and ends that *offset* of the *text* is in; None if it is in none."""
    node = spot.node
    if spot.on_key or node.kind != "scalar" or node.style == "alias":
        return None
    start, end = node.inner
    if not start <= offset <= end:
        return None
    opened = text.rfind("${", start, offset)
    while opened >= start:
        closed = closing_brace(text[:end], opened + 2)
        if closed is None or closed >= offset:
            return opened + 2, end if closed is None else closed
        return None
    return (start, end) if "${" not in text[start:end] and always(parts) else None


def always(parts: Iterable[Part]) -> bool:
    """Whether a text of which the schema says *parts* is an expression without ``${ }`` too."""
    return any(each.label in _SLOTS for each in parts)


def typed(text: str, start: int, offset: int) -> tuple[str, str]:
    """What is typed of a word before *offset* of an expression that begins at *start*, and the character before it."""
    at = offset
    while at > start and (text[at - 1].isalnum() or text[at - 1] == "_"):
        at -= 1
    first = _LETTER.search(text, at, offset)
    if first is not None:
        at = first.start()
    at = at if first is not None or at == offset else offset
    at -= at > start and text[at - 1] in "$@"
    return text[at:offset], text[at - 1 : at] if at > start else ""


def word_at(text: str, start: int, end: int, offset: int) -> tuple[str, int, int] | None:
    """The word of an expression from *start* up to *end* that *offset* is in, and where it stands."""
    for match in _WORD.finditer(text, start, end):
        if match.start() <= offset <= match.end():
            member = match[0][0] not in "$@" and text[match.start() - 1 : match.start()] == "."
            return None if member else (match[0], match.start(), match.end())
    return None


def own(expression: str) -> tuple[set[str], set[str]]:
    """The variables and the functions that an *expression* defines itself."""
    variables: set[str] = set()
    for match in _BOUND.finditer(expression):
        variables.update([match[1]] if match[1] else _PARAMETER.findall(match[2] or ""))
    return variables, set(_DEFINED.findall(expression))


def variables(kind: Kind, root: Node, path: Path, tasks: Sequence[Path]) -> set[str]:
    """The variables of an expression at *path*; *tasks* are the paths of the document's tasks."""
    if kind == "0.8":
        return set(RUN_0_8)
    inside = [task for task in tasks if path[: len(task)] == task and len(path) > len(task)]
    if not inside:
        return _of_workflow(path)
    innermost = max(inside, key=len)
    part = path[len(innermost)]
    found = set(EXPORT if part == "export" else STATE if part in ("if", "input") else TASK)
    if _in_filter(path[len(innermost) :]):
        found.add("event")
    for task in inside:
        found |= _bound(root.at(task), path[len(task) :])
    return found


def _of_workflow(path: Path) -> set[str]:
    if path[:1] == ("output",):
        return set(RUN | {"context"})
    if path[:2] == ("use", "extensions"):
        return set(STATE | {"input"})
    if path[:2] == ("use", "retries"):
        return set(TASK | {"error"})
    if path[:1] == ("use",):
        return set(TASK)
    return {"event"} if path[:1] == ("schedule",) else set(RUN)


def _in_filter(below: Path) -> bool:
    return below[:2] == ("listen", "to") and "with" in below


def _bound(task: Node | None, below: Path) -> set[str]:
    """What *task* binds for the expression at the path *below* it."""
    if task is None:
        return set()
    if below[0] in ("do", "while") and task.child("for") is not None:
        return _pair(task.child("for"), "each")
    if below[0] == "catch" and below[1:2] != ("errors",):
        return {_text(task.at(("catch", "as")), "error")}
    if below[0] == "foreach" and task.child("listen") is not None:
        return _pair(task.child("foreach"), "item")
    if below[:3] == ("with", "subscription", "foreach"):
        return _pair(task.at(("with", "subscription", "foreach")), "item")
    return set()


def _pair(node: Node | None, item: str) -> set[str]:
    if node is None:
        return set()
    return {_text(node.child(item), "item"), _text(node.child("at"), "index")}


def _text(node: Node | None, default: str) -> str:
    return node.text if node is not None and node.kind == "scalar" and node.text else default
