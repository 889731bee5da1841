"""The manifest of Kubernetes by which SonataFlow's operator knows a workflow: its ``spec.flow`` is a document of 0.8.

What the document would say of itself stands around it: its id is ``metadata.name``, its version and language are
annotations. The rest of the manifest is about how the operator deploys it, and has no part here.
"""

from __future__ import annotations

from dataclasses import replace

from workflow_engine.dsl.source import Source
from workflow_engine.values import Json, JsonObject

_ANNOTATIONS = ("version", "name", "description", "expressionLang")
_AT = "/spec/flow"


def unwrapped(source: Source) -> Source | None:
    """The workflow in *source*, with places in the same text; None where it is no such manifest."""
    data = source.data
    if not isinstance(data, dict) or data.get("kind") != "SonataFlow":
        return None
    flow = _object(_object(data, "spec"), "flow")
    if not str(data.get("apiVersion")).startswith("sonataflow.org/") or not flow:
        return None
    metadata = _object(data, "metadata")
    annotations = _object(metadata, "annotations")
    around: JsonObject = {"id": metadata.get("name")}
    for name in _ANNOTATIONS:
        value = annotations.get(f"sonataflow.org/{name}")
        if value:
            around[name] = value
    return replace(source, data={**around, **flow}, positions=source.positions.below(_AT))


def _object(value: Json, key: str) -> JsonObject:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
