"""Walk through a document with every local reference followed, collecting what is wrong on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from catalog.errors import Problem
from catalog.source import Source
from catalog.values import Json, JsonObject, as_object, as_text, escape, unescape

_HOPS = 50
_LEVELS = 150
_PINNED = 500_000
_DATA = frozenset(("example", "examples", "default", "const", "enum"))


@dataclass(slots=True)
class Reading:
    """One document being read. *problems* grows; each is told once."""

    source: Source
    problems: list[Problem] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)
    pinned: int = 0

    @property
    def root(self) -> JsonObject:
        return as_object(self.source.data)

    def problem(self, code: str, message: str, pointer: str, *, severity: str = "error") -> None:
        if (code, pointer) not in self.seen:
            self.seen.add((code, pointer))
            line, column = self.source.place(pointer)
            self.problems.append(Problem(code, message, pointer, line, column, severity))

    def cursor(self) -> Cursor:
        return Cursor(self, self.root, "")

    def follow(self, value: Json, pointer: str) -> tuple[Json, str]:
        """*value*, or what it refers to, and where that is. An empty object where a reference leads nowhere."""
        seen: set[str] = set()
        while isinstance(value, dict) and isinstance(reference := value.get("$ref"), str):
            if pointer in seen:
                self.problem("circular-reference", f"{reference!r} leads back to itself", pointer)
                return {}, pointer
            if len(seen) > _HOPS:
                text = f"{reference!r} is reached through more than {_HOPS} references"
                self.problem("unresolved-reference", text, pointer)
                return {}, pointer
            seen.add(pointer)
            try:
                value, pointer = self.lookup(reference)
            except LookupError as error:
                self.problem(*_explain(reference, error), pointer=f"{pointer}/$ref")
                return {}, pointer
        return value, pointer

    def lookup(self, reference: str, hops: int = 0) -> tuple[Json, str]:
        """What a local *reference* names and its pointer; references on the way to it are followed.

        `LookupError` says why not; of an outside reference it is an `_External`.
        """
        if not reference.startswith("#"):
            raise _External(reference)
        if hops > _HOPS:
            raise LookupError("it leads through too many references, or in a circle")
        path = unquote(reference[1:])
        if path and not path.startswith("/"):
            raise LookupError("only JSON pointers (#/…) are understood, not anchors")
        value, pointer = self.source.data, ""
        for token in path.split("/")[1:]:
            name = unescape(token)
            while isinstance(value, dict) and name not in value and isinstance(value.get("$ref"), str):
                hops += 1
                value, pointer = self.lookup(str(value["$ref"]), hops)
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            else:
                raise LookupError(f"nothing is at {name!r} in {pointer or 'the document'!r}")
            pointer = f"{pointer}/{escape(name)}"
        return value, pointer

    def count(self, values: int = 1) -> None:
        """Count more values that operations carry. Raises `TooMuch`, and tells a problem, at too many."""
        self.pinned += values
        if self.pinned > _PINNED:
            text = f"the operations, with their servers and schemas, have more than {_PINNED} values"
            self.problem("too-large", f"{text}; split the document", "")
            raise TooMuch

    def check_references(self) -> None:
        """Find the references that lead nowhere, in parts that nothing uses too."""
        for value, pointer in _references(self.source.data, ""):
            self.follow(value, pointer)


def _references(value: Json, pointer: str) -> Iterator[tuple[JsonObject, str]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(item, f"{pointer}/{index}")
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value, pointer
        for name, member in value.items():
            if isinstance(member, dict | list) and name not in _DATA and not name.startswith("x-"):
                yield from _references(member, f"{pointer}/{escape(name)}")


def size(value: Json) -> int:
    """How many values *value* is made of."""
    if isinstance(value, dict):
        return 1 + sum(map(size, value.values()))
    return 1 + sum(map(size, value)) if isinstance(value, list) else 1


class TooMuch(Exception):
    """Reading was given up; the problem is told."""


class _External(LookupError):
    pass


def _explain(reference: str, error: LookupError) -> tuple[str, str]:
    if isinstance(error, _External):
        return (
            "external-reference",
            f"{reference!r} is outside the document; copy what it names into components and refer to it with #/…",
        )
    return "unresolved-reference", f"{reference!r} leads nowhere: {error}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A value of the document and where it is, the references to it followed."""

    reading: Reading
    value: Json
    pointer: str

    @property
    def object(self) -> JsonObject:
        return as_object(self.value)

    def __contains__(self, name: str) -> bool:
        return name in self.object

    def get(self, name: str) -> Cursor:
        """The member *name*; its value is None if there is none."""
        value, pointer = self.reading.follow(self.object.get(name), f"{self.pointer}/{escape(name)}")
        return Cursor(self.reading, value, pointer)

    def written(self, name: str) -> Cursor:
        """The member *name* as it is written, its reference not followed."""
        return Cursor(self.reading, self.object.get(name), f"{self.pointer}/{escape(name)}")

    def members(self) -> Iterator[tuple[str, Cursor]]:
        for name in self.object:
            yield name, self.get(name)

    def elements(self) -> Iterator[Cursor]:
        for index, item in enumerate(self.value if isinstance(self.value, list) else ()):
            value, pointer = self.reading.follow(item, f"{self.pointer}/{index}")
            yield Cursor(self.reading, value, pointer)

    def text(self, name: str) -> str | None:
        return as_text(self.object.get(name))

    def replaced(self, members: Mapping[str, Json]) -> Cursor:
        """This place with other *members*: those after traits have been merged."""
        return Cursor(self.reading, dict(members), self.pointer)

    def problem(self, code: str, message: str, *, at: str = "", severity: str = "error") -> None:
        """Tell of something wrong here, or at the member *at*."""
        pointer = f"{self.pointer}/{escape(at)}" if at else self.pointer
        self.reading.problem(code, message, pointer, severity=severity)

    def plain(self) -> Json:
        """The value with every reference written out: for bindings and the like, which are small."""
        return self._written_out(self.value, self.pointer, ())

    def _written_out(self, value: Json, pointer: str, inside: tuple[str, ...]) -> Json:
        self.reading.count()
        if isinstance(value, dict) and isinstance(value.get("$ref"), str):
            start = pointer
            value, pointer = self.reading.follow(value, pointer)
            if pointer in inside:
                self.reading.problem("circular-reference", "a binding may not contain itself", start)
                return None
        if len(inside) > _LEVELS:
            self.reading.problem("too-deep", f"bindings are nested deeper than {_LEVELS} levels", pointer)
            return None
        inside = (*inside, pointer)
        if isinstance(value, dict):
            return {
                name: self._written_out(member, f"{pointer}/{escape(name)}", inside)
                for name, member in value.items()
            }
        if isinstance(value, list):
            return [self._written_out(item, f"{pointer}/{index}", inside) for index, item in enumerate(value)]
        return value
