"""Cut an OpenAPI document down to what one operation needs, with what it needs of other documents put into it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from workflow_engine.calls.openapi_document import METHODS, suggestion
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.values import Json, JsonObject, pointer, resolve_pointer

MAX_DOCUMENTS = 32
"""How many documents an operation may be spread over."""
MAX_REFERENCES = 20_000
OTHERS = "x-documents"
"""Where the parts of other documents are put, each under its number."""

_KEPT = ("swagger", "openapi", "host", "basePath", "schemes", "consumes", "produces", "servers", "security")
_NAMES = frozenset(
    {
        "properties",
        "patternProperties",
        "$defs",
        "definitions",
        "dependentSchemas",
        "schemas",
        "parameters",
        "paths",
    }
    | {"headers", "content", "encoding", "requestBodies", "responses", "pathItems", "variables"}
    | {"securitySchemes", "securityDefinitions"}
)
"""The members whose own members have names of the author's, which mean nothing."""
_FOR_PEOPLE = frozenset(
    {"description", "summary", "example", "examples", "externalDocs", "title", "tags", "callbacks"}
)
_DATA = frozenset({"default", "enum", "const"})


class Elsewhere(Exception):
    """The document at *address* is needed."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


def prune(
    document: Json, operation_id: str, base: str = "", others: Mapping[str, Json] | None = None
) -> JsonObject:
    """The part of an OpenAPI *document* that one operation needs: its path, and what that refers to.

    References are followed into *others*, by their address; `Elsewhere` names one that is not there. *base* is
    the address of *document*. `NotFound` when no operation has that id.
    """
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise Rejected("unresolved", "the document has no `paths`; it is no OpenAPI document")
    cut = _Cut(document, [base], [document], others or {})
    paths = document["paths"]
    assert isinstance(paths, dict)
    known: list[str] = []
    for path, written in paths.items():
        number, item = cut.followed(0, written)
        for method in METHODS:
            operation = item.get(method) if isinstance(item, dict) else None
            if not isinstance(item, dict) or not isinstance(operation, dict):
                continue
            if operation.get("operationId") == operation_id:
                shared = {key: value for key, value in item.items() if key not in METHODS}
                return cut.done(number, path, {**shared, method: _without_responses(operation)})
            known.append(str(operation.get("operationId")))
    hint = suggestion(operation_id, known)
    raise NotFound("operation", operation_id, f"the OpenAPI document has no such operationId{hint}")


@dataclass(slots=True)
class _Cut:
    """The work on one document: *addresses* and *documents* are those that it needs, itself the first."""

    document: JsonObject
    addresses: list[str]
    documents: list[Json]
    others: Mapping[str, Json]
    kept: JsonObject = field(default_factory=dict)
    waiting: list[tuple[int, str]] = field(default_factory=list)
    placed: set[tuple[int, str]] = field(default_factory=set)

    def done(self, number: int, path: str, item: JsonObject) -> JsonObject:
        """The document with *item* of document *number* as its only path."""
        self.kept.update({key: value for key, value in self.document.items() if key in _KEPT})
        paths: JsonObject = {path: self._copied(item, number)}
        self.kept["paths"] = paths
        self.placed.add((0, "/paths" + pointer(path)))
        self._add_schemes(item)
        for place in self.waiting:  # it grows meanwhile
            self._place(*place)
            if len(self.placed) > MAX_REFERENCES:
                raise Rejected("unresolved", f"the operation needs more than {MAX_REFERENCES:,} references")
        return self.kept

    def followed(self, number: int, value: Json) -> tuple[int, Json]:
        """What *value* refers to, with the number of its document; itself where it refers to nothing."""
        for _ in range(MAX_DOCUMENTS):
            reference = value.get("$ref") if isinstance(value, dict) else None
            if not isinstance(reference, str):
                return number, value
            number, fragment = self._target(number, reference)
            value = self._at(number, fragment)
        raise Rejected("unresolved", "its references go round in a circle")

    def _add_schemes(self, item: JsonObject) -> None:
        """Keep what security the operation asks for; who calls is told."""
        wanted = [self.document.get("security")]
        wanted += [operation.get("security") for operation in item.values() if isinstance(operation, dict)]
        names = {
            name
            for listed in wanted
            for choice in (listed if isinstance(listed, list) else [])
            for name in (choice if isinstance(choice, dict) else {})
        }
        for folder in ("/securityDefinitions", "/components/securitySchemes"):
            for name in sorted(names):
                try:
                    resolve_pointer(self.document, folder + pointer(name))
                except LookupError:
                    continue
                self.waiting.append((0, folder + pointer(name)))

    def _copied(self, value: Json, number: int, *, names: bool = False) -> Json:
        """*value* of document *number* with its references as they are in the result, which are waited for."""
        if isinstance(value, list):
            return [self._copied(item, number) for item in value]
        if not isinstance(value, dict):
            return value
        copied: JsonObject = {}
        for key, item in value.items():
            if names:
                copied[key] = self._copied(item, number)
            elif key == "$ref" and isinstance(item, str):
                target, fragment = self._target(number, item)
                self.waiting.append((target, fragment))
                copied[key] = f"#{_folder(target)}{fragment}"
            elif key in _DATA:
                copied[key] = item
            elif key not in _FOR_PEOPLE:
                copied[key] = self._copied(item, number, names=key in _NAMES and isinstance(item, dict))
        return copied

    def _target(self, number: int, reference: str) -> tuple[int, str]:
        """The number of the document that *reference* of document *number* is to, and the pointer in it."""
        address, fragment = urldefrag(reference)
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            raise Rejected(
                "unresolved", f"the reference {reference[:200]!r} cannot be followed: it is no pointer"
            )
        if not address:
            return number, fragment
        whole = _joined(self.addresses[number], address)
        if whole in self.addresses:
            return self.addresses.index(whole), fragment
        if whole not in self.others:
            raise Elsewhere(whole)
        if len(self.documents) >= MAX_DOCUMENTS:
            raise Rejected("unresolved", f"the operation is spread over more than {MAX_DOCUMENTS} documents")
        self.addresses.append(whole)
        self.documents.append(self.others[whole])
        return len(self.documents) - 1, fragment

    def _at(self, number: int, fragment: str) -> Json:
        try:
            return resolve_pointer(self.documents[number], fragment)
        except LookupError:
            where = f" of {self.addresses[number]}" if number else ""
            raise Rejected("unresolved", f"the reference to '#{fragment}'{where} leads to nothing") from None

    def _place(self, number: int, fragment: str) -> None:
        """Put what is at *fragment* at its place in the result, unless something around it is there.

        Where there is nothing, nothing is put: whether that matters, the call will see.
        """
        parts = [part.replace("~1", "/").replace("~0", "~") for part in fragment.split("/")[1:]]
        around = (pointer(*parts[:length]) for length in range(len(parts) + 1))
        if any((number, place) in self.placed for place in around) or (number == 0 and not parts):
            return
        self.placed.add((number, fragment))
        try:
            value = resolve_pointer(self.documents[number], fragment)
        except LookupError:
            return
        names = bool(parts) and parts[-1] in _NAMES
        copied = self._copied(value, number, names=names and isinstance(value, dict))
        holder: Json = self.kept
        path = [*_folder(number).split("/")[1:], *parts]
        for part in path[:-1]:
            holder = holder.setdefault(part, {}) if isinstance(holder, dict) else None
        if not isinstance(holder, dict):
            raise Rejected("unresolved", f"the reference to '#{fragment}' cannot be followed")
        holder[path[-1]] = copied


def _folder(number: int) -> str:
    return pointer(OTHERS, number) if number else ""


def _joined(base: str, reference: str) -> str:
    """The address of *reference*, which stands in the document at *base*: of the same folder, or of the web."""
    if urlsplit(reference).scheme in ("http", "https"):
        return reference
    if urlsplit(base).scheme in ("http", "https"):
        return urljoin(base, reference)
    scheme, separator, path = base.rpartition("://")
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(reference)))
    if urlsplit(reference).scheme or reference.startswith("/") or joined.startswith(".."):
        raise Rejected(
            "unresolved", f"the reference {reference[:200]!r} leads out of the folder of the workflow"
        )
    return f"{scheme}{separator}{joined}"


def _without_responses(operation: JsonObject) -> JsonObject:
    """A call never looks at what the answers are declared to be, and they are most of a document."""
    trimmed = dict(operation)
    answers = operation.get("responses")
    if isinstance(answers, dict):
        trimmed["responses"] = {status: {} for status in answers}
        produced: JsonObject = {}
        for answer in answers.values():
            content = answer.get("content") if isinstance(answer, dict) else None
            for media_type in content if isinstance(content, dict) else {}:
                produced[media_type] = {}
        if produced:
            trimmed["responses"] = {"200": {"content": produced}}
    return trimmed
