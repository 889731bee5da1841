"""Cut a schema out of its document: what it refers to comes along in ``$defs``, so that it stands alone."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from catalog.asyncapi.reading import Cursor, Reading, size
from catalog.patterns import compile_pattern
from catalog.values import Json, JsonObject, escape, unescape

_SUPPORTED_FORMAT = re.compile(
    r"application/(?:vnd\.aai\.asyncapi(?:\+json|\+yaml)?(?:;\s*version=[\w.-]+)?|schema\+(?:json|yaml);\s*version=draft-07)"
)
_DRAFT_07 = re.compile(r"https?://json-schema\.org/draft-07/schema#?")

_ONE = frozenset(
    (
        "items",
        "additionalItems",
        "contains",
        "additionalProperties",
        "propertyNames",
        "if",
        "then",
        "else",
        "not",
    )
)
_MANY = frozenset(("allOf", "anyOf", "oneOf", "items"))
_NAMED = frozenset(("properties", "patternProperties", "dependencies"))
_LEFT_OUT = frozenset(("$id", "$schema", "$defs", "definitions"))
_IN_PLACE = frozenset(("allOf", "anyOf", "oneOf", "not", "if", "then", "else"))


def check_format(format: str | None, cursor: Cursor) -> bool:
    """Is a schema in *format* one that payloads can be checked against? A problem is told where it is not."""
    if format is None or _SUPPORTED_FORMAT.fullmatch(format):
        return True
    cursor.problem(
        "unsupported-schema-format",
        f"schemas in {format!r} are not supported: only AsyncAPI's own and JSON Schema draft-07 are",
    )
    return False


def pin_schema(cursor: Cursor) -> Json:
    """The schema at *cursor* (its reference not followed) as draft-07 JSON Schema that stands alone.

    None where there is none, or where it is in a format that is not supported. ``$id`` is dropped: in
    AsyncAPI a reference is relative to the document. What a ``$ref`` stands beside is ignored, as draft-07 says.
    """
    if cursor.value is None:
        return None
    value, pointer = _unwrapped(cursor.reading, *cursor.reading.follow(cursor.value, cursor.pointer))
    if value is None:
        return None
    pin = _Pin(cursor.reading)
    if pointer != cursor.pointer:
        pin.names[pointer] = ""
    schema = pin.schema(value, pointer)
    pin.finish()
    if pin.definitions and isinstance(schema, dict):
        schema["$defs"] = dict(pin.definitions)
    _check_ends(schema, cursor)
    return schema


def _unwrapped(reading: Reading, value: Json, pointer: str) -> tuple[Json, str]:
    """What a Multi Format Schema Object (AsyncAPI 3) holds; None if its format is not supported."""
    if not (isinstance(value, dict) and "schema" in value and "schemaFormat" in value):
        return value, pointer
    format = value["schemaFormat"]
    if not check_format(format if isinstance(format, str) else None, Cursor(reading, value, pointer)):
        return None, pointer
    return reading.follow(value["schema"], f"{pointer}/schema")


@dataclass(slots=True)
class _Pin:
    """One schema being copied. *names* has, for the place of each schema referred to, its name in ``$defs``;
    the empty name is the copied schema itself. *used* has how often each name was wanted.
    """

    reading: Reading
    names: dict[str, str] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    definitions: dict[str, Json] = field(default_factory=dict)
    waiting: deque[tuple[str, Json, str]] = field(default_factory=deque)

    def finish(self) -> None:
        while self.waiting:
            name, value, pointer = self.waiting.popleft()
            self.definitions[name] = self.schema(value, pointer)

    def schema(self, value: Json, pointer: str) -> Json:
        self.reading.count()
        if not isinstance(value, dict):
            return value if isinstance(value, bool) else True
        if isinstance(value.get("$ref"), str):
            return self._reference(value, pointer)
        return {
            name: self._member(name, member, f"{pointer}/{escape(name)}")
            for name, member in value.items()
            if name not in _LEFT_OUT or self._dropped(name, member, pointer)
        }

    def _dropped(self, name: str, member: Json, pointer: str) -> bool:
        if name == "$schema" and not (isinstance(member, str) and _DRAFT_07.fullmatch(member)):
            text = "schemas of other dialects than JSON Schema draft-07 are not supported"
            self.reading.problem("unsupported-schema-format", text, f"{pointer}/$schema")
        return False

    def _member(self, name: str, member: Json, pointer: str) -> Json:
        if name in _MANY and isinstance(member, list):
            return [self.schema(item, f"{pointer}/{index}") for index, item in enumerate(member)]
        if name in _ONE and isinstance(member, dict | bool):
            return self.schema(member, pointer)
        if name in _NAMED and isinstance(member, dict):
            if name == "patternProperties":
                for pattern in member:
                    self._check_pattern(pattern, f"{pointer}/{escape(pattern)}")
            return {
                key: self.schema(item, f"{pointer}/{escape(key)}") if isinstance(item, dict | bool) else item
                for key, item in member.items()
            }
        if name == "pattern" and isinstance(member, str):
            self._check_pattern(member, pointer)
        self.reading.count(size(member))
        return member

    def _check_pattern(self, pattern: str, pointer: str) -> None:
        try:
            compile_pattern(pattern)
        except ValueError as error:
            self.reading.problem("unsupported-pattern", str(error), pointer)

    def _reference(self, value: JsonObject, pointer: str) -> Json:
        target, place = _unwrapped(self.reading, *self.reading.follow(value, pointer))
        if place == pointer or target is None:
            return True
        if place not in self.names:
            name = self._new_name(unescape(place.rsplit("/", 1)[-1]))
            self.names[place] = name
            self.waiting.append((name, target, place))
        name = self.names[place]
        return {"$ref": f"#/$defs/{name}" if name else "#"}

    def _new_name(self, wanted: str) -> str:
        wanted = re.sub(r"[^\w.-]", "_", wanted, flags=re.ASCII) or "schema"
        number = self.used.get(wanted, 0) + 1
        while number > 1 and f"{wanted}_{number}" in self.used:
            number += 1
        self.used[wanted] = number
        name = wanted if number == 1 else f"{wanted}_{number}"
        self.used.setdefault(name, 1)
        return name


def _check_ends(schema: Json, cursor: Cursor) -> None:
    """Tell of a schema that applies itself to the same value again, and so would never come to an end."""
    if not isinstance(schema, dict):
        return
    definitions = schema.get("$defs")
    places: dict[str, Json] = {"#": schema}
    if isinstance(definitions, dict):
        places |= {f"#/$defs/{name}": definition for name, definition in definitions.items()}
    try:
        applied = {place: set(_applied_in_place(definition)) for place, definition in places.items()}
        TopologicalSorter(applied).prepare()
    except CycleError as error:
        name = str(error.args[1][0]).rsplit("/", 1)[-1]
        text = f"the schema {name!r} applies itself to the same value again and never ends"
        cursor.problem("endless-schema", text)


def _applied_in_place(schema: Json) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    if isinstance(reference := schema.get("$ref"), str):
        yield reference
    for name, member in schema.items():
        if name in _IN_PLACE:
            for item in member if isinstance(member, list) else [member]:
                yield from _applied_in_place(item)
        elif name == "dependencies" and isinstance(member, dict):
            for item in member.values():
                yield from _applied_in_place(item)
