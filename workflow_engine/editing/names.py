"""The names that a document defines, and where it uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from workflow_engine.editing.kinds import Kind
from workflow_engine.editing.language import Language, Part, language
from workflow_engine.editing.nodes import Node, Path

Sort: TypeAlias = Literal[
    "task", "state", "function", "event", "error", "retry", "timeout", "authentication", "secret", "catalog", "channel",
    "component", "anchor",
]  # fmt: skip
DIRECTIVES = ("continue", "exit", "end")
"""Of DSL 1.0: where `then` can go that is no task."""
BUILT_IN = ("http", "openapi", "grpc", "asyncapi", "a2a", "mcp", "activity")
"""Of DSL 1.0: what `call` can be that is no function."""

_DEFINED_BY_KEY: dict[str, Sort] = {
    "use.errors": "error",
    "use.functions": "function",
    "use.retries": "retry",
    "use.timeouts": "timeout",
    "use.authentications": "authentication",
    "use.catalogs": "catalog",
}
_DEFINED_BY_VALUE: dict[str, Sort] = {
    "use.secrets": "secret",
    "secrets": "secret",
    "error.name": "error",
    "event.name": "event",
    "function.name": "function",
    "retry.name": "retry",
    "authentication.name": "authentication",
}
_USED: dict[str, Sort] = {
    "flow": "task",
    "task.timeout": "timeout",
    "timeout": "timeout",
    "catch.retry": "retry",
    "task.raise.error": "error",
    "task.call": "function",
    "authentication": "authentication",
}
_USED_0_8: dict[str, Sort] = {
    "start": "state",
    "start.stateName": "state",
    "workflowTimeout.runBefore": "state",
    "stateOfType.compensatedBy": "state",
    "transition": "state",
    "transition.nextState": "state",
    "action.functionRef": "function",
    "action.functionRef.refName": "function",
    "function.authRef": "authentication",
    "action.retryRef": "retry",
    "handlesErrors.onErrors.errorRef": "error",
    "handlesErrors.onErrors.errorRefs": "error",
    "action.nonRetryableErrors": "error",
    "action.retryableErrors": "error",
    "eventState.onEvents.eventRefs": "event",
    "switchState.eventConditions.eventRef": "event",
    "callbackState.eventRef": "event",
    "action.eventRef.triggerEventRef": "event",
    "action.eventRef.resultEventRef": "event",
    "producedEvents.eventRef": "event",
}
_FUNCTION = re.compile(r"\bfn:([^\s}'\"]+)")
"""An expression function of DSL 0.8 in an expression."""
_CATALOG = re.compile(r"[^@\s]+@([\w-]+)")
"""A function of a catalog that is called."""
_SECRET = {
    "1.0": re.compile(r"\$secrets\.([A-Za-z_][\w-]*)"),
    "0.8": re.compile(r"\$SECRETS?\.([A-Za-z_][\w-]*)"),
}


@dataclass(frozen=True, slots=True)
class Name:
    """A *text* that names something, from offset *start* up to *end*: its definition, or a use of it.

    Tasks have a *scope*, the list that they are in; other names count in the whole document. *quoted* is whether it is
    written in quotes; *whole* says that it is all of a scalar, and not a part of an expression. *by* is where the text
    stands if it is named by an alias. Anchors of YAML are names too; their scope is where each stands.
    """

    sort: Sort
    text: str
    start: int
    end: int
    defines: bool
    path: Path
    scope: Path = ()
    quoted: str = ""
    whole: bool = True
    by: int | None = None


def sort_of(labels: Sequence[Part], path: Path, kind: Kind) -> Sort | None:
    """What a text with these *labels* at *path* names by them, if it names anything."""
    table = _USED if kind == "1.0" else _USED_0_8
    for part in labels:
        if kind == "1.0" and part.label == "reference.use":
            return "authentication" if len(path) > 1 and path[-2] == "authentication" else "secret"
        if part.label in table:
            return table[part.label]
    return None


def names(kind: Kind, root: Node) -> list[Name]:
    """Every name in the document *root*, in the order of the text."""
    if kind == "asyncapi":
        return list(_of_asyncapi(root))
    known = language(kind, root)
    return [] if known is None else list(_of_workflow(known, kind, root))


def scope_of(path: Path, tasks: Sequence[Name]) -> Path:
    """The list of tasks that `then` at *path* can go to, by the *tasks* of the document."""
    around = [
        each for each in tasks if each.sort == "task" and each.defines and path[: len(each.path)] == each.path
    ]
    return max(around, key=lambda each: len(each.path)).scope if around else ()


def _of_workflow(known: Language, kind: Kind, root: Node) -> Iterator[Name]:
    stack: list[tuple[Path, Node, list[Part], Path]] = [((), root, known.root(root), ())]
    secret = _SECRET[kind]
    while stack:
        path, node, parts, scope = stack.pop()
        yield from _anchored(node, path)
        if node.style == "alias":
            stands = node.resolved
            sort = sort_of(parts, path, kind)
            if (
                sort is not None
                and stands.kind == "scalar"
                and stands is not node
                and _means(sort, stands.text)
            ):
                of = scope if sort == "task" else ()
                yield Name(sort, stands.text, node.start, node.end, False, path, of, by=stands.inner[0])
            continue
        if node.kind == "scalar":
            sort = sort_of(parts, path, kind)
            if sort is not None:
                if _means(sort, node.text):
                    yield _name(sort, node, False, path, scope)
                elif sort == "function" and (catalog := _CATALOG.fullmatch(node.text)):
                    yield from _inside("catalog", node, catalog, path)
            else:
                yield from _defined(parts, node, path)
            if "$" in node.text:
                for match in secret.finditer(node.text):
                    yield from _inside("secret", node, match, path)
            if kind == "0.8" and "fn:" in node.text:
                for match in _FUNCTION.finditer(node.text):
                    yield from _inside("function", node, match, path)
            continue
        labels = {part.label for part in parts}
        tasks = node.kind == "list" and "taskList" in labels
        branches = tasks and len(path) > 1 and path[-2:] == ("fork", "branches")
        following = []
        for index, entry in enumerate(node.entries):
            key: str | int = index if entry.key is None else entry.name
            below = (*path, key)
            inner = known.below(parts, key, entry.value)
            if entry.key is not None:
                yield from _anchored(entry.key, below)
                yield from _keyed(labels, entry.key, below, scope)
            following.append((below, entry.value, inner, (below if branches else path) if tasks else scope))
        for name, merged in (node.merged or {}).items():
            if merged.key is not None:
                yield from _keyed(labels, merged.key, (*path, name), scope)
        stack.extend(reversed(following))


def _anchored(node: Node, path: Path) -> Iterator[Name]:
    """The anchor that *node* has, and the one that it stands for as an alias."""
    if node.anchor is not None:
        text, start, end = node.anchor
        yield Name("anchor", text, start, end, True, path, (start,))
    if node.names is not None:
        yield Name("anchor", node.names.text, node.start + 1, node.end, False, path, (node.names.start,))


def _means(sort: Sort, text: str) -> bool:
    """Whether *text* names something of its document, where it could."""
    if "${" in text or (sort == "task" and text in DIRECTIVES):
        return False
    return sort != "function" or not (text in BUILT_IN or "@" in text or ":" in text)


def _keyed(labels: set[str], key: Node, path: Path, scope: Path) -> Iterator[Name]:
    """What is defined by the *key* at *path* of an object with these *labels*."""
    for label in labels:
        if label in _DEFINED_BY_KEY:
            yield _name(_DEFINED_BY_KEY[label], key, True, path, ())
            return
    if "taskList" in labels and len(path) > 1 and isinstance(path[-2], int):
        yield _name("task", key, True, path, scope)


def _defined(parts: Sequence[Part], node: Node, path: Path) -> Iterator[Name]:
    """What is defined by a scalar: the names of DSL 0.8, and the secrets of both."""
    if len(path) == 3 and path[0] == "states" and path[2] == "name":
        yield _name("state", node, True, path, ())
        return
    for part in parts:
        if part.label in _DEFINED_BY_VALUE and (part.label != "secrets" or isinstance(path[-1], int)):
            yield _name(_DEFINED_BY_VALUE[part.label], node, True, path, ())
            return


def _name(sort: Sort, node: Node, defines: bool, path: Path, scope: Path) -> Name:
    start, end = node.inner
    quoted = {"single": "'", "double": '"'}.get(node.style, "")
    return Name(sort, node.text, start, end, defines, path, scope if sort == "task" else (), quoted)


def _inside(sort: Sort, node: Node, match: re.Match[str], path: Path) -> Iterator[Name]:
    """What is named in an expression, where the text is written as it is read."""
    start, end = node.inner
    if end - start == len(node.text):
        at = start + match.start(1)
        yield Name(sort, match[1], at, at + len(match[1]), False, path, whole=False)


def _of_asyncapi(root: Node) -> Iterator[Name]:
    """What can be referred to by ``$ref``, and each such reference to a part of the document itself."""
    stack: list[tuple[Path, Node]] = [((), root)]
    while stack:
        path, node = stack.pop()
        for entry in node.entries:
            yield from _anchored(entry.value, (*path, entry.name))
            if entry.key is not None and _referred(path):
                sort: Sort = "channel" if path == ("channels",) else "component"
                yield _name(sort, entry.key, True, (*path, entry.name), ())
            if entry.name == "$ref" and entry.value.text.startswith("#/"):
                start, end = entry.value.inner
                yield Name("component", entry.value.text, start, end, False, (*path, "$ref"))
        stack.extend(
            ((*path, index if each.key is None else each.name), each.value)
            for index, each in reversed(list(enumerate(node.entries)))
            if each.value.entries
        )


def _referred(path: Path) -> bool:
    return path in (("channels",), ("operations",), ("servers",)) or (
        len(path) == 2 and path[0] == "components"
    )


def same(one: Name, other: Name) -> bool:
    """Whether two names mean the same thing."""
    if one.sort in ("channel", "component") or other.sort in ("channel", "component"):
        return _pointed(one) == _pointed(other)
    return one.sort == other.sort and one.text == other.text and one.scope == other.scope


def _pointed(name: Name) -> Path:
    if name.defines:
        return name.path
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in name.text[2:].split("/"))
