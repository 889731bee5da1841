"""Builds data and the places of its parts from what a parser reads, within limits and without recursion."""

from __future__ import annotations

from dataclasses import dataclass, field
from json import dumps
from typing import Literal, NamedTuple, TypeAlias

from workflow_engine.dsl.wording import shown
from workflow_engine.errors import Problem
from workflow_engine.values import Json, pointer

MAX_PROBLEMS = 100
Children: TypeAlias = "dict[str, Place] | list[Place] | None"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much text is read: the first limit that is exceeded is a problem, and reading stops there.

    Nodes and characters are counted after aliases are expanded, as whoever walks the data will meet them.
    """

    bytes: int = 2**20
    depth: int = 100
    nodes: int = 250_000
    characters: int = 2**22


class TooMuch(Exception):
    """The text cannot be read any further, because of *problem*."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Place(NamedTuple):
    """Where a value and the key that names it stand; children by key or index.

    Places form a tree beside the data, instead of a table by pointer, so that memory stays linear in the text
    however long the keys and however deep the nesting.
    """

    line: int
    column: int
    key_line: int
    key_column: int
    children: Children = None


class Positions:
    """Line and column, both counted from 1, of every value and key of a text, by RFC 6901 pointer."""

    def __init__(self, root: Place) -> None:
        self._root = root

    def value(self, pointer: str) -> tuple[int, int]:
        """Where the value at *pointer* begins; of its nearest ancestor, if the text has no such value."""
        place = self._find(pointer)
        return place.line, place.column

    def key(self, pointer: str) -> tuple[int, int]:
        """Where the key of the value at *pointer* stands; for an item of a list, where the item does.

        Of the nearest ancestor, if the text has no such value.
        """
        place = self._find(pointer)
        return place.key_line, place.key_column

    def below(self, pointer: str) -> Positions:
        """The places of what is inside of the value at *pointer*, by pointers that begin there."""
        return Positions(self._find(pointer))

    def _find(self, pointer: str) -> Place:
        place = self._root
        for raw in pointer.split("/")[1:]:
            part = raw.replace("~1", "/").replace("~0", "~")
            children = place.children
            if isinstance(children, dict) and part in children:
                place = children[part]
            elif isinstance(children, list) and part.isdecimal() and int(part) < len(children):
                place = children[int(part)]
            else:
                break
        return place


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Json
    children: Children
    nodes: int
    characters: int
    height: int


@dataclass(slots=True)
class _List:
    """A list that is being read."""

    line: int
    column: int
    anchor: str | None
    nodes: int
    characters: int
    value: list[Json] = field(default_factory=list)
    children: list[Place] = field(default_factory=list)
    height: int = 1


@dataclass(slots=True)
class _Mapping:
    """A mapping that is being read: its next node is a key, a value, a merged mapping or to be dropped."""

    line: int
    column: int
    anchor: str | None
    nodes: int
    characters: int
    value: dict[str, Json] = field(default_factory=dict)
    children: dict[str, Place] = field(default_factory=dict)
    height: int = 1
    next: Literal["key", "value", "merge", "drop"] = "key"
    key: str = ""
    key_line: int = 0
    key_column: int = 0
    merged: list[tuple[dict[str, Json], dict[str, Place]]] = field(default_factory=list)


class TreeBuilder:
    """Receives what a parser reads, in order; afterwards has `data` and `problems`.

    Lines and columns are counted from 1. *anchor* names a value for later aliases.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.problems: list[Problem] = []
        self.data: Json = None
        self._root = Place(1, 1, 1, 1)
        self._open: list[_List | _Mapping] = []
        self._anchors: dict[str, _Anchored] = {}
        self._open_anchors: set[str] = set()
        self._nodes = 0
        self._characters = 0

    def positions(self) -> Positions:
        return Positions(self._root)

    def problem(self, code: str, message: str, line: int, column: int, *, key: str | None = None) -> None:
        """Note a problem, of *key* in the innermost mapping if given, that does not stop the reading.

        There may be too many, though: then it does.
        """
        if len(self.problems) >= MAX_PROBLEMS:
            raise self.stop("too-many-problems", f"only the first {MAX_PROBLEMS} are shown", line, column)
        place = self._pointer() if key is None else self._pointer() + pointer(key)
        self.problems.append(Problem(code, message, place, line, column))

    def stop(self, code: str, message: str, line: int, column: int) -> TooMuch:
        """The exception to raise where reading cannot go on."""
        return TooMuch(Problem(code, message, self._pointer(), line, column))

    def scalar(
        self, value: Json, line: int, column: int, *, anchor: str | None = None, merge: bool = False
    ) -> None:
        """A value that is not a container; *merge* says that it is a plain ``<<``."""
        size = len(value) if isinstance(value, str) else 0
        self._count(1, size, line, column, "too-large")
        if anchor is not None:
            self._anchors[anchor] = _Anchored(value, None, 1, size, 0)
        self._attach(value, None, line, column, merge=merge)

    def begin_list(self, line: int, column: int, *, anchor: str | None = None) -> None:
        self._begin(line, column, anchor)
        self._open.append(_List(line, column, anchor, self._nodes - 1, self._characters))

    def begin_mapping(self, line: int, column: int, *, anchor: str | None = None) -> None:
        self._begin(line, column, anchor)
        self._open.append(_Mapping(line, column, anchor, self._nodes - 1, self._characters))

    def end(self) -> None:
        """The end of the innermost mapping or list."""
        frame = self._open.pop()
        if isinstance(frame, _Mapping):
            for value, places in frame.merged:
                for key in value:
                    if key not in frame.value:
                        frame.value[key] = value[key]
                        frame.children[key] = places[key]
        if frame.anchor is not None:
            self._open_anchors.discard(frame.anchor)
            self._anchors[frame.anchor] = _Anchored(
                frame.value,
                frame.children,
                self._nodes - frame.nodes,
                self._characters - frame.characters,
                frame.height,
            )
        self._attach(frame.value, frame.children, frame.line, frame.column, height=frame.height)

    def alias(self, anchor: str, line: int, column: int) -> None:
        """A reference to the value that *anchor* names."""
        if anchor in self._open_anchors:
            message = f"*{anchor} stands inside of what &{anchor} names; data cannot contain itself"
            raise self.stop("recursive-alias", message, line, column)
        named = self._anchors.get(anchor)
        if named is None:
            message = f"*{anchor} refers to &{anchor}, which does not stand before it"
            raise self.stop("undefined-alias", message, line, column)
        self._count(named.nodes, named.characters, line, column, "alias-explosion")
        if len(self._open) + named.height > self.limits.depth:
            raise self.stop("too-deep", self._too_deep(), line, column)
        self._attach(named.value, named.children, line, column, height=named.height)

    def _begin(self, line: int, column: int, anchor: str | None) -> None:
        if len(self._open) >= self.limits.depth:
            raise self.stop("too-deep", self._too_deep(), line, column)
        self._count(1, 0, line, column, "too-large")
        if anchor is not None:
            self._open_anchors.add(anchor)

    def _too_deep(self) -> str:
        return f"nested deeper than {self.limits.depth} levels"

    def _count(self, nodes: int, characters: int, line: int, column: int, code: str) -> None:
        self._nodes += nodes
        self._characters += characters
        if self._nodes > self.limits.nodes:
            what = f"{self.limits.nodes:,} values"
        elif self._characters > self.limits.characters:
            what = f"{self.limits.characters:,} characters of text"
        else:
            return
        aliases = " once its aliases are expanded" if code == "alias-explosion" else ""
        raise self.stop(code, f"the document has more than {what}{aliases}", line, column)

    def _attach(
        self, value: Json, children: Children, line: int, column: int, *, height: int = 0, merge: bool = False
    ) -> None:
        if not self._open:
            self.data, self._root = value, Place(line, column, line, column, children)
            return
        frame = self._open[-1]
        if height >= frame.height:
            frame.height = height + 1
        if isinstance(frame, _List):
            frame.value.append(value)
            frame.children.append(Place(line, column, line, column, children))
        elif frame.next == "key":
            frame.key_line, frame.key_column = line, column
            frame.next = "merge" if merge else self._key(frame, value, line, column)
        else:
            if frame.next == "value":
                frame.value[frame.key] = value
                frame.children[frame.key] = Place(line, column, frame.key_line, frame.key_column, children)
            elif frame.next == "merge":
                self._merge(frame, value, children, line, column)
            frame.next = "key"

    def _key(self, frame: _Mapping, value: Json, line: int, column: int) -> Literal["value", "drop"]:
        if not isinstance(value, str):
            written = "a list or an object" if isinstance(value, list | dict) else dumps(value)
            hint = "" if isinstance(value, list | dict) else f': write "{written}" in quotes'
            self.problem(
                "not-a-string-key", f"{written} is not a string, as a key must be{hint}", line, column
            )
            return "drop"
        if value in frame.value:
            first = frame.children[value].key_line
            message = f"{shown(value)} stands in line {first} already"
            self.problem("duplicate-key", message, line, column, key=value)
            return "drop"
        frame.key = value
        return "value"

    def _merge(self, frame: _Mapping, value: Json, children: Children, line: int, column: int) -> None:
        values = value if isinstance(value, list) else [value]
        places = [place.children for place in children] if isinstance(children, list) else [children]
        for merged, merged_places in zip(values, places, strict=True):
            if not isinstance(merged, dict) or not isinstance(merged_places, dict):
                message = (
                    'what << merges must be an object or a list of objects; write "<<" in quotes for a key'
                )
                self.problem("invalid-merge", message, line, column)
                return
            frame.merged.append((merged, merged_places))

    def _pointer(self) -> str:
        parts: list[str | int] = []
        for frame in self._open:
            if isinstance(frame, _List):
                parts.append(len(frame.value))
            elif frame.next == "value":
                parts.append(frame.key)
            else:
                break
        return pointer(*parts)
