"""What the data of a workflow has, as far as the document says it: by its schemas of inputs, and by what it exports.

Only where nothing stands between a schema and the data: what a transformation makes of it nobody knows before it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from workflow_engine.editing.elsewhere import beside
from workflow_engine.editing.nodes import Node, Path, walk
from workflow_engine.editing.opened import Snapshot

_MOST = 500
"""Schemas that are looked at for one answer: they may refer to each other without end."""
_OF_INPUT = {"if", "input"}
"""Parts of a task whose `.` is the input as it came."""
_OF_TASK = {"call", "with", "do", "emit", "for", "fork", "raise", "run", "set", "switch", "wait", "timeout"}
"""Parts of a task whose `.` is its input; but not in the tasks in it."""
_KEY = re.compile(r"[{,]\s*(?:\"([^\"\\]{1,100})\"|([A-Za-z_]\w{0,99}))\s*:")
_UNIONS = ("allOf", "anyOf", "oneOf")


class Field(NamedTuple):
    """A member of the data: its *name*, the types that it may have, and what is said of it."""

    name: str
    types: str
    text: str


class _Schema(NamedTuple):
    """A schema, in the document *root* to which its references point."""

    node: Node
    root: Node


def fields(of: Snapshot, path: Path, tasks: Sequence[Path], chain: Sequence[str]) -> list[Field]:
    """What the value has that *chain* leads to, in an expression at *path*: a variable, or an empty text for `.`, then
    names of members, and an empty text for each step into a list. *tasks* are the paths of all tasks.
    """
    if of.kind != "1.0":
        return []
    variable, *names = chain
    if (variable, names[:1]) == ("$workflow", ["input"]):
        schemas, names = _given(of, of.root, "input"), names[1:]
    elif variable == "$context" and not names:
        return _unique([*_exported(of), *_fields(_context(of))])
    elif variable == "$context":
        schemas = _context(of)
    elif variable in ("$input", "$output", ""):
        schemas = _here(of, path, tasks, variable)
    else:
        return []
    for name in names:
        schemas = [below for each in _expanded(schemas) for below in _below(each, name)][:_MOST]
    return _fields(schemas)


def _here(of: Snapshot, path: Path, tasks: Sequence[Path], variable: str) -> list[_Schema]:
    """The schemas of the input, or of the output, where the expression at *path* is."""
    inside = [task for task in tasks if path[: len(task)] == task and len(path) > len(task)]
    if not inside:
        as_given = path[:2] == ("input", "from") and variable == ""
        transformed = path[:1] == ("output",) and variable == "$input" and not _transforms(of.root)
        return _given(of, of.root, "input") if as_given or transformed else []
    innermost = max(inside, key=len)
    task, part = of.root.at(innermost), path[len(innermost)]
    if task is None:
        return []
    if variable == "$output" or (part == "export" and variable == ""):
        return _given(of, task, "output") if part == "export" else []
    first = len(innermost) == 3 and innermost[:2] == ("do", 0) and not _transforms(of.root)
    raw = _given(of, task, "input") or (_given(of, of.root, "input") if first else [])
    if part in _OF_INPUT:
        return raw if variable == "" else []
    if _transforms(task) or (variable == "" and (part not in _OF_TASK or "subscription" in path)):
        return []
    return raw


def _transforms(holder: Node) -> bool:
    """Whether the input is made another one by `input.from`."""
    return holder.at(("input", "from")) is not None


def _given(of: Snapshot, holder: Node, part: str) -> list[_Schema]:
    """The schema of the *part* of a task, or of the document: written there, or in a file beside it."""
    schema = holder.at((part, "schema"))
    inline = None if schema is None else schema.child("document")
    if inline is not None:
        return [_Schema(inline, inline)]
    endpoint = None if schema is None else schema.at(("resource", "endpoint"))
    if endpoint is not None and endpoint.resolved.kind == "mapping":
        endpoint = endpoint.child("uri")
    found = None if endpoint is None else beside(of, endpoint.resolved.text)
    return [] if found is None else [_Schema(found, found)]


def _context(of: Snapshot) -> list[_Schema]:
    """The schemas that the context has: those of what is exported, and of the input where it begins as that."""
    begins = of.root.at(("document", "metadata", "initialContext"))
    found = _given(of, of.root, "input") if begins is not None and begins.text == "input" else []
    for _, entry in walk(of.root):
        if entry.name == "export" and entry.value.kind == "mapping":
            found += _given(of, Node("mapping", 0, 0, entries=[entry]), "export")
    return found[:_MOST]


def _exported(of: Snapshot) -> Iterator[Field]:
    """The names that tasks export by an object, or by an expression that makes one."""
    for path, entry in walk(of.root):
        exported = entry.value.at(("as",)) if entry.name == "export" and len(path) > 1 else None
        if exported is None:
            continue
        exported = exported.resolved
        by = f"exported by `{path[-2]}`"
        if exported.kind == "mapping":
            yield from (Field(each.name, "", by) for each in exported.entries if each.name)
        elif exported.kind == "scalar":
            yield from (
                Field(match[1] or match[2], "", by) for match in _KEY.finditer(exported.text[:10_000])
            )


def _expanded(schemas: Iterable[_Schema]) -> list[_Schema]:
    """*schemas*, and those that they refer to or consist of."""
    found: list[_Schema] = []
    seen: set[int] = set()
    stack = list(schemas)[::-1]
    while stack and len(found) < _MOST:
        schema = stack.pop()
        node = schema.node.resolved
        if node.kind != "mapping" or id(node) in seen:
            continue
        seen.add(id(node))
        found.append(schema)
        reference = node.child("$ref")
        if reference is not None and reference.resolved.text.startswith("#"):
            parts = reference.resolved.text[1:].split("/")[1:]
            path = tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)
            target = schema.root.at(path)
            stack += [] if target is None else [_Schema(target, schema.root)]
        for union in _UNIONS:
            members = node.child(union)
            if members is not None:
                stack += [_Schema(each.value, schema.root) for each in members.resolved.entries[:_MOST]]
        for name in ("then", "else"):
            branch = node.child(name)
            stack += [] if branch is None else [_Schema(branch, schema.root)]
    return found


def _below(schema: _Schema, name: str) -> list[_Schema]:
    """What *schema* says of a member; of the items where there is no name."""
    found = schema.node.at(("properties", name) if name else ("items",))
    return [] if found is None else [_Schema(found, schema.root)]


def _fields(schemas: Iterable[_Schema]) -> list[Field]:
    declared = (schema.node.child("properties") for schema in _expanded(schemas))
    entries = (each for one in declared if one is not None for each in one.resolved.entries if each.name)
    return _unique(Field(each.name, _types(each.value), _said(each.value)) for each in entries)


def _unique(found: Iterable[Field]) -> list[Field]:
    there: dict[str, Field] = {}
    for each in found:
        there.setdefault(each.name, each)
    return list(there.values())[:_MOST]


def _types(schema: Node) -> str:
    types = schema.child("type")
    if types is None:
        return ""
    types = types.resolved
    return " or ".join(each.value.text for each in types.entries) if types.kind == "list" else types.text


def _said(schema: Node) -> str:
    texts = (schema.child(name) for name in ("description", "title"))
    return next((text.resolved.text for text in texts if text is not None), "")
