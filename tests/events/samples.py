"""Events and strategies to test with."""

from __future__ import annotations

from workflow_engine.values import JsonObject


def event(id: str, type: str = "made", source: str = "/test", **members) -> JsonObject:
    return {"specversion": "1.0", "id": id, "source": source, "type": type, **members}


def every(*types: str) -> JsonObject:
    """The strategy of any event of these types, or of any at all."""
    return {"mode": "any", "filters": [{"attributes": {"type": {"equals": type}}} for type in types]}


def all_of(*types: str, key: str | None = None) -> JsonObject:
    correlate = {"correlate": {"k": {"from": key}}} if key else {}
    return {
        "mode": "all",
        "filters": [{"attributes": {"type": {"equals": type}}, **correlate} for type in types],
    }
