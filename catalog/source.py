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
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from catalog.errors import Problem
from catalog.nodes import Builder, Limits, Node
from catalog.values import Json, unescape

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    builder = Builder(limits or Limits())
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


def _read_json(text: str, builder: Builder) -> None:
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


def _read_yaml(text: str, builder: Builder) -> None:
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


def _scalar_key_only(builder: Builder, line: int, column: int) -> None:
    if builder.wants_key:
        builder.fail(
            "invalid-key", "a key must be plain text, not a mapping, a list or an alias", line, column
        )


def _check_tag(tag: str | None, kind: str, builder: Builder, line: int, column: int) -> None:
    if tag not in (None, "!", f"tag:yaml.org,2002:{kind}"):
        builder.fail("unsupported-tag", f"the YAML tag {tag!r} is not understood; remove it", line, column)


def _check_text(text: str, builder: Builder, line: int, column: int) -> None:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        builder.note("invalid-text", "the text has half of a surrogate pair", line, column)


_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DIGITS = 300


def _scalar(event: yaml.ScalarEvent, builder: Builder, line: int, column: int) -> Json:
    tag = (event.tag or "").removeprefix("tag:yaml.org,2002:")
    if tag in ("str", "!") or (not event.implicit[0] and not tag):
        return str(event.value)
    if tag not in ("", "null", "bool", "int", "float"):
        builder.fail(
            "unsupported-tag", f"the YAML tag {event.tag!r} is not understood; remove it", line, column
        )
    return _plain(event.value, builder, line, column)


def _plain(text: str, builder: Builder, line: int, column: int) -> Json:
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


def _finite(value: Json, builder: Builder, line: int, column: int) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        builder.note("invalid-number", "infinity and not-a-number are not JSON", line, column)
        return 0
    return value
