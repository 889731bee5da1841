"""Values with the places they were written at, put together within bounds, whatever the syntax."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from catalog.errors import InvalidSpec, Problem
from catalog.values import Json, escape


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a document may be: *size* in bytes of UTF-8, and with every alias and merge written out,
    *depth* of nesting, number of *values*, and characters in the *path* to a value (as a JSON pointer).
    """

    size: int = 1024 * 1024
    depth: int = 100
    values: int = 200_000
    path: int = 4000


@dataclass(slots=True, eq=False)
class Node:
    """A value and where it begins, counted from 1. *places* has where each key of a mapping is written.

    *size* counts the values in it, *height* the containers nested in it, *reach* the characters of the
    longest pointer into it.
    """

    value: Json
    line: int
    column: int
    children: dict[str, Node] | list[Node] | None = None
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1
    height: int = 0
    reach: int = 0
    open: bool = False


@dataclass(slots=True)
class _Frame:
    node: Node
    pointer: str
    key: str | None = None
    merges: list[Node] = field(default_factory=list)
    merging: bool = False


class Builder:
    """Puts nodes together, iteratively, and counts."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.problems: list[Problem] = []
        self.stack: list[_Frame] = []
        self.root: Node | None = None
        self.total = 0

    def fail(self, code: str, message: str, line: int, column: int) -> NoReturn:
        pointer = self._pointer() if self.stack else ""
        raise InvalidSpec([*self.problems, Problem(code, message, pointer, line, column)])

    def note(self, code: str, message: str, line: int, column: int) -> None:
        self.problems.append(Problem(code, message, self._pointer() if self.stack else "", line, column))

    def open(self, value: dict[str, Json] | list[Json], line: int, column: int) -> Node:
        if len(self.stack) >= self.limits.depth:
            self.fail("too-deep", f"values are nested deeper than {self.limits.depth} levels", line, column)
        node = Node(value, line, column, {} if isinstance(value, dict) else [], height=1, open=True)
        pointer = self._pointer() if self.stack else ""
        self._count(1, line, column)
        self.stack.append(_Frame(node, pointer))
        return node

    def close(self) -> None:
        frame = self.stack.pop()
        frame.node.open = False
        for source in frame.merges:
            self._merge(frame, source)
        if frame.merges:
            self._check_fit(frame.node, frame.pointer, frame.node.line, frame.node.column)
        self._attach(frame.node)

    def key(self, text: str, line: int, column: int, *, merge: bool = False) -> None:
        frame = self.stack[-1]
        frame.key, frame.merging = text, merge
        if len(frame.pointer) + len(text) > self.limits.path:
            frame.key = None
            self.fail(
                "too-large", f"a key, or the path to it, is longer than {self.limits.path}", line, column
            )
        if merge or not isinstance(frame.node.children, dict):
            return
        if text in frame.node.children:
            first = frame.node.places[text]
            self.note("duplicate-key", f"the key {text!r} is already there, at line {first[0]}", line, column)
        frame.node.places[text] = (line, column)

    @property
    def wants_key(self) -> bool:
        return (
            bool(self.stack) and isinstance(self.stack[-1].node.children, dict) and self.stack[-1].key is None
        )

    def add(self, node: Node) -> None:
        self._count(node.size, node.line, node.column)
        self._attach(node)

    def alias(self, node: Node, line: int, column: int) -> None:
        if node.open:
            self.fail(
                "recursive-alias", "an alias stands for a value that it is itself a part of", line, column
            )
        self._count(node.size, line, column)
        self._check_fit(node, self._pointer() if self.stack else "", line, column)
        self._attach(node)

    def _check_fit(self, node: Node, pointer: str, line: int, column: int) -> None:
        """Refuse a shared *node* that is nested too deep where it is used, if not where it was written."""
        if len(self.stack) + node.height > self.limits.depth:
            self.fail("too-deep", f"values are nested deeper than {self.limits.depth} levels", line, column)
        if len(pointer) + node.reach > self.limits.path:
            self.fail("too-large", f"the path to a value is longer than {self.limits.path}", line, column)

    def _attach(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        parent = frame.node
        if frame.merging:
            self._collect(frame, node)
        elif isinstance(parent.children, dict) and isinstance(parent.value, dict) and frame.key is not None:
            parent.children[frame.key] = node
            parent.value[frame.key] = node.value
            _grow(parent, node, frame.key)
        elif isinstance(parent.children, list) and isinstance(parent.value, list):
            _grow(parent, node, str(len(parent.children)))
            parent.children.append(node)
            parent.value.append(node.value)
        frame.key, frame.merging = None, False

    def _collect(self, frame: _Frame, node: Node) -> None:
        sources = node.children if isinstance(node.children, list) else [node]
        if not all(isinstance(source.children, dict) for source in sources):
            self.note("invalid-merge", "'<<' takes a mapping, or a list of mappings", node.line, node.column)
            return
        frame.merges.extend(sources)

    def _merge(self, frame: _Frame, source: Node) -> None:
        """Add what *source* has and the mapping lacks (YAML's merge key: what is written out wins)."""
        node = frame.node
        if not (isinstance(node.children, dict) and isinstance(node.value, dict)):
            return
        for name, child in source.children.items() if isinstance(source.children, dict) else ():
            if name not in node.children:
                self._count(child.size, node.line, node.column)
                node.children[name] = child
                node.value[name] = child.value
                node.places[name] = source.places[name]
                _grow(node, child, name)

    def _count(self, size: int, line: int, column: int) -> None:
        self.total += size
        if self.total > self.limits.values:
            most = self.limits.values
            self.fail(
                "too-large", f"the document has more than {most} values, aliases written out", line, column
            )

    def _pointer(self) -> str:
        frame = self.stack[-1]
        if isinstance(frame.node.children, list):
            return f"{frame.pointer}/{len(frame.node.children)}"
        return frame.pointer if frame.key is None else f"{frame.pointer}/{escape(frame.key)}"


def _grow(parent: Node, child: Node, name: str) -> None:
    parent.size += child.size
    parent.height = max(parent.height, child.height + 1)
    parent.reach = max(parent.reach, child.reach + len(escape(name)) + 1)
