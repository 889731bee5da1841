"""Schemas from elsewhere (dsl.md §1.2, decision A14): found in a document, and taken from what its bundle pins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from workflow_engine.expressions import Schema, missing_references
from workflow_engine.values import Json, JsonObject

_CHECKED = (
    ("input",),
    ("output",),
    ("export",),
    ("foreach", "output"),
    ("foreach", "export"),
    ("with", "subscription", "foreach", "output"),
    ("with", "subscription", "foreach", "export"),
)
"""Where a task, or the workflow itself, may have a schema."""


def schemas_in(holder: JsonObject) -> Iterator[tuple[JsonObject, tuple[str, ...]]]:
    """Every ``schema`` of a task or of a workflow, and its path in it; without those of the tasks inside."""
    for path in _CHECKED:
        found: Json = holder
        for key in (*path, "schema"):
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, dict):
            yield found, (*path, "schema")


def schema_key(address: str) -> str:
    """Under which key the schema at *address*, with all that it refers to, is pinned."""
    return f"schema:{address}"


def pinned(written: JsonObject, address: str | None, resources: Mapping[str, Json]) -> Schema:
    """The schema that is *written* in the document or, with an *address*, pinned.

    `ValueError` says why it is of no use, or what it refers to that is not there.
    """
    if address is not None and "#" not in address:
        documents = _documents(resources, address)
        others = {other: document for other, document in documents.items() if other != address}
        return Schema(documents[address], address, others)
    inline: Json = written.get("document") if address is None else {"$ref": address}
    documents = {}
    for other in missing_references(inline):
        documents |= _documents(resources, other)
    return Schema(inline, "", documents)


def _documents(resources: Mapping[str, Json], address: str) -> dict[str, Json]:
    """The documents that are pinned for the schema at *address*, by address: it is among them."""
    resource = resources.get(schema_key(address))
    documents = resource.get("documents") if isinstance(resource, dict) else None
    if not isinstance(documents, dict) or address not in documents:
        raise ValueError(f"/: the schema {address} is not there")
    return documents
