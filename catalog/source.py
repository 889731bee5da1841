"""YAML or JSON text to plain data, with the place of every value, within bounds.

Scalars follow the core schema of YAML 1.2 (so ``on`` and ``yes`` are text, ``0o17`` is 15). Values are built
from parser events, not by a YAML loader: no tag can make an object, aliases are shared and their expanded
size is counted, and nesting is bounded before anything recurses over the data.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from catalog.errors import InvalidSpec, Problem
from catalog.values import Json, escape, unescape

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a document may be: *size* in bytes of UTF-8, *depth* of nesting, *values* after every alias
    and merge is written out.
    """

    size: int = 1024 * 1024
    depth: int = 100
    values: int = 200_000


@dataclass(slots=True, eq=False)
class Node:
    """A value and where it begins, counted from 1. *places* has where each key of a mapping is written."""

    value: Json
    line: int
    column: int
    children: dict[str, Node] | list[Node] | None = None
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1
    open: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A document's data and the places of its values. *problems* are those that reading went on after."""

    text: str
    root: Node
    problems: tuple[Problem, ...]

    @property
    def data(self) -> Json:
        return self.root.value

    def place(self, pointer: str) -> tuple[int, int]:
        """Line and column of the key or element at *pointer*, or of the nearest container that exists."""
        node, place = self.root, (self.root.line, self.root.column)
        for token in pointer.split("/")[1:]:
            name = unescape(token)
            if isinstance(node.children, dict) and name in node.children:
                place = node.places[name]
                node = node.children[name]
            elif isinstance(node.children, list) and name.isdecimal() and int(name) < len(node.children):
                node = node.children[int(name)]
                place = (node.line, node.column)
            else:
                break
        return place


def read(text: str, limits: Limits | None = None) -> Source:
    """Read YAML or JSON. Raises `InvalidSpec` if nothing sensible can be read; duplicate keys and values
    that JSON does not have are listed in `Source.problems` instead, so that all are told at once.
    """
    builder = _Builder(limits or Limits())
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        builder.fail(
            "not-utf-8", "the text has half of a surrogate pair and cannot be written as UTF-8", 0, 0
        )
    if size > builder.limits.size:
        builder.fail(
            "too-large", f"the document has {size} bytes; at most {builder.limits.size} are taken", 0, 0
        )
    text = text.removeprefix("\ufeff")
    if _is_json(text):
        _read_json(text, builder)
    else:
        _read_yaml(text, builder)
    if builder.root is None:
        builder.fail("empty-document", "there is no document in the text", 1, 1)
    return Source(text, builder.root, tuple(builder.problems))


@dataclass(slots=True)
class _Frame:
    node: Node
    pointer: str
    key: str | None = None
    merges: list[Node] = field(default_factory=list)
    merging: bool = False


class _Builder:
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
        node = Node(value, line, column, {} if isinstance(value, dict) else [], open=True)
        pointer = self._pointer() if self.stack else ""
        self._count(1, line, column)
        self.stack.append(_Frame(node, pointer))
        return node

    def close(self) -> None:
        frame = self.stack.pop()
        frame.node.open = False
        for source in frame.merges:
            self._merge(frame, source)
        self._attach(frame.node)

    def key(self, text: str, line: int, column: int, *, merge: bool = False) -> None:
        frame = self.stack[-1]
        frame.key, frame.merging = text, merge
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
        self._attach(node)

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
            parent.size += node.size
        elif isinstance(parent.children, list) and isinstance(parent.value, list):
            parent.children.append(node)
            parent.value.append(node.value)
            parent.size += node.size
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
                node.size += child.size

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


_JSON_TOKEN = re.compile(r'[ \t\r\n]*(?:("(?:[^"\\]+|\\.)*")|([{}\[\],:])|([^\s,:{}\[\]"]+))')


def _is_json(text: str) -> bool:
    if not text.lstrip(" \t\r\n").startswith(("{", "[")):
        return False
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _read_json(text: str, builder: _Builder) -> None:
    """Read what `_is_json` has found well formed; YAML would not understand its surrogate pairs."""
    lines = [0, *(match.end() for match in re.finditer("\n", text))]
    position = 0
    while (match := _JSON_TOKEN.match(text, position)) is not None:
        position = match.end()
        start = match.start(match.lastindex or 0)
        line = bisect_right(lines, start)
        column = start - lines[line - 1] + 1
        string, mark, word = match.groups()
        if string is not None:
            value = json.loads(string)
            _check_text(value, builder, line, column)
            if builder.wants_key:
                builder.key(value, line, column)
            else:
                builder.add(Node(value, line, column))
        elif mark in ("{", "["):
            builder.open({} if mark == "{" else [], line, column)
        elif mark in ("}", "]"):
            builder.close()
        elif word is not None:
            value = json.loads(word)
            builder.add(Node(_finite(value, builder, line, column), line, column))


def _read_yaml(text: str, builder: _Builder) -> None:
    anchors: dict[str, Node] = {}
    documents = 0
    try:
        event: Any
        for event in yaml.parse(text, Loader=_Loader):
            line, column = event.start_mark.line + 1, event.start_mark.column + 1
            node: Node | None = None
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        builder.fail(
                            "several-documents", "the text has more than one YAML document", line, column
                        )
                case yaml.AliasEvent(anchor=anchor):
                    _scalar_key_only(builder, line, column)
                    if anchor not in anchors:
                        builder.fail("unknown-alias", f"no anchor is named {anchor!r}", line, column)
                    builder.alias(anchors[anchor], line, column)
                case yaml.MappingStartEvent():
                    _scalar_key_only(builder, line, column)
                    _check_tag(event.tag, "map", builder, line, column)
                    node = builder.open({}, line, column)
                case yaml.SequenceStartEvent():
                    _scalar_key_only(builder, line, column)
                    _check_tag(event.tag, "seq", builder, line, column)
                    node = builder.open([], line, column)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    builder.close()
                case yaml.ScalarEvent():
                    _check_text(event.value, builder, line, column)
                    plain = event.implicit[0] and event.tag is None
                    if builder.wants_key:
                        builder.key(event.value, line, column, merge=plain and event.value == "<<")
                    else:
                        node = Node(_scalar(event, builder, line, column), line, column)
                        builder.add(node)
                case _:
                    pass
            if node is not None and event.anchor is not None:
                anchors[event.anchor] = node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ": ".join(filter(None, (error.context, error.problem)))
        builder.fail("invalid-yaml", reason, *((mark.line + 1, mark.column + 1) if mark else (0, 0)))
    except yaml.YAMLError as error:
        builder.fail("invalid-yaml", " ".join(str(error).split()), 0, 0)


def _scalar_key_only(builder: _Builder, line: int, column: int) -> None:
    if builder.wants_key:
        builder.fail(
            "invalid-key", "a key must be plain text, not a mapping, a list or an alias", line, column
        )


def _check_tag(tag: str | None, kind: str, builder: _Builder, line: int, column: int) -> None:
    if tag not in (None, "!", f"tag:yaml.org,2002:{kind}"):
        builder.fail("unsupported-tag", f"the YAML tag {tag!r} is not understood; remove it", line, column)


def _check_text(text: str, builder: _Builder, line: int, column: int) -> None:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        builder.note("invalid-text", "the text has half of a surrogate pair", line, column)


_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DIGITS = 300


def _scalar(event: yaml.ScalarEvent, builder: _Builder, line: int, column: int) -> Json:
    tag = (event.tag or "").removeprefix("tag:yaml.org,2002:")
    if tag in ("str", "!") or (not event.implicit[0] and not tag):
        return str(event.value)
    if tag not in ("", "null", "bool", "int", "float"):
        builder.fail(
            "unsupported-tag", f"the YAML tag {event.tag!r} is not understood; remove it", line, column
        )
    return _plain(event.value, builder, line, column)


def _plain(text: str, builder: _Builder, line: int, column: int) -> Json:
    """A plain scalar by the core schema of YAML 1.2 (section 10.3)."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if text[0] in "+-.0123456789":
        if _INTEGER.fullmatch(text):
            if len(text) > _DIGITS:
                builder.note("invalid-number", f"a number has more than {_DIGITS} digits", line, column)
                return 0
            return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
        if _FLOAT.fullmatch(text):
            return _finite(float(text), builder, line, column)
        if _NOT_JSON.fullmatch(text):
            return _finite(math.inf, builder, line, column)
    return text


def _finite(value: Json, builder: _Builder, line: int, column: int) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        builder.note("invalid-number", "infinity and not-a-number are not JSON", line, column)
        return 0
    return value
