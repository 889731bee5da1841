"""What the schemas of a language say of a place in a document that is being written.

A schema is followed as the check of documents follows it (`dsl.rules`): a ``oneOf`` by the type of the value, an ``if``
by the properties that are there; where the value is missing, everything that could stand there is meant. Each `Part`
that is found has a *label*, the definition it is in and the properties from there on, such as ``task.call`` or
``http.endpoint``: by it texts that describe the property are found, and which names it may hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from catalog.schemas import VERSIONS, structure
from dsl_schemas import schema
from workflow_engine.editing.kinds import Kind
from workflow_engine.editing.nodes import CURSOR, Node, Path
from workflow_engine.values import Json

ANY = ".*"
"""In a label: a property that the author names."""

_UNIONS = ("oneOf", "anyOf")
_TESTS = {"required", "not"}
_DEEPEST = 60
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Something that a schema says of a value."""

    schema: Schema
    label: str


@dataclass(frozen=True, slots=True)
class Property:
    """A property that an object may have: *rank* 0 for one that it needs, 1 for one of which it needs one."""

    name: str
    parts: tuple[Part, ...]
    label: str
    rank: int


class Language:
    """A language by its schema."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._definitions = {
            f"#/{home}/{name}": (name, sub)
            for home in ("$defs", "definitions")
            for name, sub in root.get(home, {}).items()
        }

    def root(self, node: Node | None) -> list[Part]:
        """What is said of the document itself, which is *node*."""
        return self._parts(self._root, "", node)

    def below(self, parts: Iterable[Part], key: str | int, node: Node | None) -> list[Part]:
        """What is said of the value of *key*, which is *node* (None if it is missing), in a value with *parts*."""
        found: list[Part] = []
        node = None if node is None else node.resolved
        for part in parts:
            for sub, label in _steps(part, key):
                self._expand(sub, label, node, found, 0)
        return found

    def at(self, root: Node, path: Path, *, open: bool = False) -> list[Part]:
        """What is said of the value at *path*; *open*: whatever the value is that is there now."""
        parts = self.root(root if path or not open else None)
        node: Node | None = root
        for index, key in enumerate(path):
            node = None if node is None else node.child(key)
            last = index == len(path) - 1
            parts = self.below(parts, key, None if last and open else node)
        return parts

    def properties(self, parts: Sequence[Part], node: Node | None) -> list[Property]:
        """The properties that the object *node* with *parts* may still have, those that it needs first."""
        there = set() if node is None else {each.name for each in node.entries if CURSOR not in each.name}
        had = there if node is None or not node.merged else there | node.merged.keys()
        excluded, wanted, refused = _choices(parts, had)
        required = {name for part in parts for name in part.schema.get("required", ())}
        found: dict[str, list[tuple[Schema | bool, str]]] = {}
        for part in parts:
            for name in part.schema.get("required", ()):
                found.setdefault(name, [])
            for name, sub in part.schema.get("properties", {}).items():
                if isinstance(sub, dict) and "not" in sub:
                    refused.add(name)
                found.setdefault(name, []).append((sub, _joined(part.label, name)))
            for name, needs in part.schema.get("dependentRequired", {}).items():
                if not had.issuperset(needs):
                    refused.add(name)
        made = []
        for name, ways in found.items():
            if name in there or name in refused or name in excluded:
                continue
            below: list[Part] = []
            for sub, label in ways:
                self._expand(sub, label, None, below, 0)
            label = ways[0][1] if ways else name
            rank = 2 if name in had else 0 if name in required else 1 if name in wanted else 2
            made.append(Property(name, tuple(below), label, rank))
        return sorted(made, key=lambda each: each.rank)

    def _parts(self, of: Schema | bool, label: str, node: Node | None) -> list[Part]:
        found: list[Part] = []
        self._expand(of, label, node, found, 0)
        return found

    def _expand(self, of: Any, label: str, node: Node | None, into: list[Part], depth: int) -> None:
        if not isinstance(of, dict) or depth > _DEEPEST:
            return
        into.append(Part(of, label))
        if "$ref" in of and of["$ref"] in self._definitions:
            name, sub = self._definitions[of["$ref"]]
            self._expand(sub, name, node, into, depth + 1)
        for union in _UNIONS:
            for branch in of.get(union, ()):
                if branch.keys() - _TESTS and self._fits(branch, node):
                    self._expand(branch, label, node, into, depth + 1)
        for sub in of.get("allOf", ()):
            self._expand(sub, label, node, into, depth + 1)
        if "if" in of:
            chosen = "then" if _holds(of["if"], node) else "else"
            self._expand(of.get(chosen), label, node, into, depth + 1)
        for name, sub in of.get("dependentSchemas", {}).items():
            if node is not None and node.child(name) is not None:
                self._expand(sub, label, node, into, depth + 1)

    def _fits(self, branch: Schema, node: Node | None) -> bool:
        """Whether *node* has one of the types that *branch* takes."""
        if node is None or node.kind == "nothing" or CURSOR in node.text:
            return True
        types = self._types(branch, 0)
        return not types or _type(node) in types or (_type(node) == "number" and "integer" in types)

    def _types(self, of: Any, depth: int) -> set[str]:
        if not isinstance(of, dict) or depth > _DEEPEST:
            return set()
        named = of.get("type")
        if named is not None:
            return {named} if isinstance(named, str) else set(named)
        if of.get("$ref") in self._definitions:
            return self._types(self._definitions[of["$ref"]][1], depth + 1)
        return {"object"} if "properties" in of else set()


def _steps(part: Part, key: str | int) -> Iterator[tuple[Any, str]]:
    """The schemas in *part* of the value of *key*, with their labels."""
    if isinstance(key, int):
        if "items" in part.schema or "$ref" in part.schema:
            # What refers to a list of another definition names its items too: a list of names, of what is told by it.
            yield part.schema.get("items", {}), part.label
        return
    properties = part.schema.get("properties", {})
    if key in properties:
        yield properties[key], _joined(part.label, key)
        return
    for pattern, sub in part.schema.get("patternProperties", {}).items():
        if re.search(pattern, key):
            yield sub, part.label + ANY
            return
    if isinstance(part.schema.get("additionalProperties"), dict):
        yield part.schema["additionalProperties"], part.label + ANY


def _choices(parts: Sequence[Part], there: set[str]) -> tuple[set[str], set[str], set[str]]:
    """Of the properties that exclude each other: those that are excluded, those of which one is needed; and none."""
    excluded: set[str] = set()
    wanted: set[str] = set()
    for part in parts:
        for union in _UNIONS:
            branches = [each for each in part.schema.get(union, ()) if each.keys() <= _TESTS]
            names = [name for each in branches for name in each.get("required", ())]
            taken = [name for name in names if name in there]
            if not taken:
                wanted.update(names)
            elif union == "oneOf":
                dependents = part.schema.get("dependentSchemas", {})
                kept = {name for one in taken for name in dependents.get(one, {}).get("required", ())}
                excluded.update(set(names) - kept)
    return excluded, wanted, set()


def _holds(test: Schema, node: Node | None) -> bool:
    """Whether an ``if`` holds of the object *node*."""
    if node is None or node.kind != "mapping":
        return not test.get("required")
    if any(node.child(name) is None for name in test.get("required", ())):
        return False
    if any(node.child(name) is not None for name in test.get("not", {}).get("required", ())):
        return False
    return all(_accepts(sub, node.child(name)) for name, sub in test.get("properties", {}).items())


def _accepts(sub: Schema, node: Node | None) -> bool:
    if node is None:
        return True
    node = node.resolved
    if "pattern" in sub:
        return node.kind != "scalar" or re.search(sub["pattern"], node.text) is not None
    values: list[Json] = sub.get("enum") or ([sub["const"]] if "const" in sub else [])
    value = node.value()
    return not values or any(value == one and type(value) is type(one) for one in values)


def _type(node: Node) -> str:
    if node.kind == "mapping":
        return "object"
    if node.kind == "list":
        return "array"
    value = node.value()
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return "null"
    return "number" if isinstance(value, int) or _number(node) else "string"


def _number(node: Node) -> bool:
    return node.style == "plain" and re.fullmatch(r"-?\d+\.\d+", node.text) is not None


def _joined(label: str, name: str) -> str:
    return f"{label}.{name}" if label else name


@cache
def _workflows(dialect: str) -> Language:
    root = schema(f"serverless-workflow-{dialect}")
    return Language(_with_activities(root) if dialect == "1.0" else root)


def _with_activities(root: Schema) -> Schema:
    """*root* with what the compiler knows and the schema does not link: the `with` of `call: activity`."""
    task = root["$defs"]["task"]
    called = {"required": ["call"], "properties": {"call": {"const": "activity"}}}
    also = {"if": called, "then": {"properties": {"with": {"$ref": "#/$defs/activity"}}}}
    return {**root, "$defs": {**root["$defs"], "task": {**task, "allOf": [*task["allOf"], also]}}}


@cache
def _asyncapi(version: str) -> Language:
    return Language(structure(version))


def language(kind: Kind, root: Node) -> Language | None:
    """The language of a document of this *kind*, whose text is *root*."""
    if kind == "workflow":
        return None
    if kind == "asyncapi":
        node = root.child("asyncapi")
        version = "" if node is None else node.text
        if version not in VERSIONS:
            version = VERSIONS[-1] if not version.startswith("2") else VERSIONS[6]
        return _asyncapi(version)
    return _workflows(kind)
