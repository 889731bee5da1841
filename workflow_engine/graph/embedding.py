"""JSON Schemas that become part of another document: what they refer to in themselves is elsewhere there."""

from __future__ import annotations

from workflow_engine.values import Json

_DATA = frozenset({"const", "enum", "default", "example", "examples"})
"""Keywords whose values are no schemas, whatever they look like."""
_NAMED = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
)
"""Keywords whose values have schemas by names of the author's own."""


def refers_to_itself(schema: Json) -> bool:
    """Whether *schema* has a reference into itself, which holds only while it is a document of its own."""
    return embedded(schema, "#/elsewhere") != schema


def embedded(schema: Json, at: str) -> Json:
    """*schema* as it is at the place *at* of another document, a URI fragment such as ``#/components/schemas/Order``.

    References to itself (``#``, ``#/…``) lead below *at*. Schemas with an ``$id`` have a base of their own, and
    are as they were.
    """
    if isinstance(schema, list):
        return [embedded(each, at) for each in schema]
    if not isinstance(schema, dict) or isinstance(schema.get("$id"), str):
        return schema
    made: dict[str, Json] = {}
    for name, value in schema.items():
        if name == "$ref" and isinstance(value, str) and (value == "#" or value.startswith("#/")):
            made[name] = at + value[1:]
        elif name in _NAMED and isinstance(value, dict):
            made[name] = {key: embedded(each, at) for key, each in value.items()}
        else:
            made[name] = value if name in _DATA else embedded(value, at)
    return made
