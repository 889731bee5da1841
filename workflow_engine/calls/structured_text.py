"""JSON and YAML from outside, read fast and within bounds: documents of services, not of workflows.

Workflow documents are read by ``dsl``, which keeps every line and column; here only the data matters, and
what service documents have in them (keys that are numbers, above all) is taken as it is meant.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
import yaml

from workflow_engine.values import Json, JsonObject

MAX_DEPTH = 100
MAX_NODES = 500_000

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT = {"!", "tag:yaml.org,2002:str"}
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")


def read(text: str) -> Json:
    """The data of *text*: JSON, else one document of YAML 1.2 (core schema; ``on`` is a string).

    YAML keys become strings, aliases share what they name, a key given twice takes its last value.
    `ValueError` says what is wrong: the syntax, a tag that is not of the core schema, more than 100 levels
    or 500,000 values.
    """
    if text.lstrip("\ufeff \t\r\n")[:1] in {"{", "["}:
        try:
            parsed: Json = orjson.loads(text.removeprefix("\ufeff"))
        except orjson.JSONDecodeError as error:
            json_error = f"line {error.lineno}, column {error.colno}: {error.msg}"
        else:
            return parsed
        try:
            return _Builder().read(text)
        except ValueError:
            raise ValueError(f"it is not JSON: {json_error}") from None
    return _Builder().read(text)


class _Builder:
    """Builds data from the events of a YAML parser; nothing here recurses."""

    def __init__(self) -> None:
        self._root: list[Json] = []
        self._open: list[tuple[list[Json] | JsonObject, str | None]] = []
        self._keys: list[str | None] = []
        self._anchors: dict[str, Json] = {}
        self._nodes = 0

    def read(self, text: str) -> Json:
        try:
            for event in yaml.parse(text, Loader=_PARSER):
                self._take(event)
        except yaml.YAMLError as error:
            raise ValueError(" ".join(str(error).split())[:300]) from None
        if len(self._root) != 1:
            raise ValueError("it is empty" if not self._root else "it has more than one YAML document")
        return self._root[0]

    def _take(self, event: Any) -> None:
        match event:
            case yaml.ScalarEvent():
                self._add(_scalar(event), event.anchor)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                if len(self._open) == MAX_DEPTH:
                    raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
                opened: list[Json] | JsonObject = {} if isinstance(event, yaml.MappingStartEvent) else []
                self._open.append((opened, event.anchor))
                self._keys.append(None)
            case yaml.CollectionEndEvent():
                closed, anchor = self._open.pop()
                self._keys.pop()
                self._add(closed, anchor)
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    raise ValueError(f"the alias *{event.anchor} has no anchor before it")
                self._add(self._anchors[event.anchor], None)
            case _:  # the starts and ends of streams and documents
                pass

    def _add(self, value: Json, anchor: str | None) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ValueError(f"it has more than {MAX_NODES:,} values")
        if anchor is not None:
            self._anchors[anchor] = value
        if not self._open:
            self._root.append(value)
            return
        parent = self._open[-1][0]
        if isinstance(parent, list):
            parent.append(value)
        elif self._keys[-1] is None:
            if isinstance(value, dict | list):
                raise ValueError("a key of a mapping must be a scalar")
            self._keys[-1] = value if isinstance(value, str) else orjson.dumps(value).decode()
        else:
            key, self._keys[-1] = self._keys[-1], None
            if key == "<<" and isinstance(value, dict | list):
                _merge(parent, value)
            else:
                parent[key] = value


def _merge(mapping: JsonObject, merged: JsonObject | list[Json]) -> None:
    """The merge key of YAML 1.1: what *mapping* has, or gets later, wins."""
    for source in merged if isinstance(merged, list) else [merged]:
        if not isinstance(source, dict):
            raise ValueError("'<<' merges mappings only")
        for key, value in source.items():
            mapping.setdefault(key, value)


def _scalar(event: yaml.ScalarEvent) -> Json:
    text: str = event.value
    if event.tag in _TEXT or (event.tag is None and not event.implicit[0]):
        return text
    if event.tag is not None and not event.tag.startswith("tag:yaml.org,2002:"):
        raise ValueError(f"the tag {event.tag[:100]!r} is not supported")
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
