"""The tree of a text as it is being written: what stands where, as far as that can be told."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from workflow_engine.values import Json

Kind: TypeAlias = Literal["mapping", "list", "scalar", "nothing"]
Style: TypeAlias = Literal["plain", "single", "double", "block", "alias"]
Path: TypeAlias = tuple[str | int, ...]
CURSOR = "\ue000"
"""Stands in a text for what is being typed: see `completion`."""

_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None, "~": None, "": None}


class Anchor(NamedTuple):
    """The *text* of a name that aliases have for a value, from offset *start* up to *end*, without its ``&``."""

    text: str
    start: int
    end: int


@dataclass(slots=True, eq=False)
class Node:
    """A value from offset *start* up to *end* of the text.

    *column* is how far a block is indented. *text* is a scalar's, without quotes and escapes. *flow* says that a
    container is written with braces or brackets. *nothing* is where a value could be and is none. *open* says that the
    last quote is missing. *anchor* is the name that aliases have for it. An alias has the anchor that it *names*, and
    its *target*, what it stands for, never an alias itself. *merged* are the entries that a mapping has by ``<<`` only.
    *body* is where the lines of a block scalar begin.
    """

    kind: Kind
    start: int
    end: int
    column: int = 0
    text: str = ""
    style: Style = "plain"
    flow: bool = False
    open: bool = False
    entries: list[Entry] = field(default_factory=list)
    anchor: Anchor | None = None
    names: Anchor | None = None
    target: Node | None = None
    merged: dict[str, Entry] | None = None
    body: int = 0

    @property
    def resolved(self) -> Node:
        """The node, or what it stands for if it is an alias."""
        return self if self.target is None else self.target

    @property
    def inner(self) -> tuple[int, int]:
        """Where what is written of a scalar stands, without its quotes, or the sign of a block."""
        if self.style == "block":
            return min(self.body, self.end), self.end
        if self.style not in ("single", "double"):
            return self.start, self.end
        return self.start + 1, self.end if self.open else self.end - 1

    def inner_text(self, source: str) -> str:
        """What is written of a scalar in *source*, without its quotes."""
        start, end = self.inner
        return source[start:end]

    def child(self, key: str | int) -> Node | None:
        """The value of *key*, also of one that is merged, or the item of that index; the first of two of one key."""
        node = self.resolved
        if node.kind == "list" and isinstance(key, int):
            return node.entries[key].value if 0 <= key < len(node.entries) else None
        if node.kind == "mapping" and isinstance(key, str):
            found = next((each for each in node.entries if each.name == key), None)
            found = found or (None if node.merged is None else node.merged.get(key))
            return None if found is None else found.value
        return None

    def at(self, path: Path) -> Node | None:
        """The node at *path* from here on."""
        found: Node | None = self
        for part in path:
            if found is None:
                return None
            found = found.child(part)
        return found

    def value(self) -> Json:
        """The node as data, aliases in it as they are written; plain scalars as what they most likely are."""
        if self.kind == "mapping":
            return {each.name: each.value.value() for each in self.entries if each.key is not None}
        if self.kind == "list":
            return [each.value.value() for each in self.entries]
        if self.kind == "nothing":
            return None
        if self.style != "plain":
            return self.text
        if self.text in _WORDS:
            return _WORDS[self.text]
        try:
            return int(self.text) if self.text.lstrip("-").isdecimal() and len(self.text) < 19 else self.text
        except ValueError:
            return self.text


@dataclass(slots=True, eq=False)
class Entry:
    """What a container holds once: an item of a list has no *key*. *colon* is whether one was written after the key."""

    key: Node | None
    value: Node
    colon: bool = True

    @property
    def name(self) -> str:
        return "" if self.key is None else self.key.text

    @property
    def start(self) -> int:
        return self.value.start if self.key is None else self.key.start


@dataclass(frozen=True, slots=True)
class Spot:
    """What is at an offset: the *path* of a node, the *nodes* on the way to it (the last), whether its key is meant."""

    path: Path
    nodes: tuple[Node, ...]
    entry: Entry | None
    on_key: bool

    @property
    def node(self) -> Node:
        return self.nodes[-1]


def spot(root: Node, offset: int) -> Spot:
    """The innermost key or value of *root* that *offset* is in or at the end of."""
    path: list[str | int] = []
    nodes = [root]
    entry: Entry | None = None
    while (found := entry_at(nodes[-1], offset)) is not None:
        index, entry, on_key = found
        path.append(index if entry.key is None else entry.name)
        nodes.append(entry.value)
        if on_key:
            return Spot(tuple(path), tuple(nodes), entry, True)
    return Spot(tuple(path), tuple(nodes), entry, False)


def entry_at(node: Node, offset: int) -> tuple[int, Entry, bool] | None:
    """The entry of *node* that *offset* is in or at the end of, with its index, and whether its key is meant."""
    last = bisect_right(node.entries, offset, key=_start)
    for index in range(max(last - 2, 0), last):
        each = node.entries[index]
        if each.key is not None and each.key.start <= offset <= each.key.end:
            return index, each, True
        if each.value.kind != "nothing" and each.value.start <= offset <= each.value.end:
            return index, each, False
    return None


def _start(entry: Entry) -> int:
    return entry.start


def walk(root: Node) -> Iterator[tuple[Path, Entry]]:
    """Each entry below *root* with its path, in the order of the text."""
    stack: list[tuple[Path, Node, int]] = [((), root, 0)]
    while stack:
        path, node, index = stack.pop()
        if index < len(node.entries):
            stack.append((path, node, index + 1))
            entry = node.entries[index]
            below = (*path, index if entry.key is None else entry.name)
            yield below, entry
            if entry.value.entries:
                stack.append((below, entry.value, 0))
