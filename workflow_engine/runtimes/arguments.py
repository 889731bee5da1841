"""The arguments that a caller gets, made of those of the document and what the bundle pins."""

from __future__ import annotations

from collections.abc import Mapping

from workflow_engine.values import Json, JsonObject


def complete(kind: str, arguments: JsonObject, resources: Mapping[str, Json]) -> JsonObject:
    """Put the pinned operation of an asyncapi call among its *arguments*: a document only names it."""
    if kind != "asyncapi" or not resources:
        return arguments
    return {**arguments, "operation": next(iter(resources.values()))}
