"""The JSON Schemas that documents are checked against: hand-written, one for each major version of AsyncAPI."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources

from catalog.values import Json, JsonObject

VERSIONS = ("2.0.0", "2.1.0", "2.2.0", "2.3.0", "2.4.0", "2.5.0", "2.6.0", "3.0.0", "3.1.0")
"""The versions of AsyncAPI that are understood, oldest first."""


@lru_cache(maxsize=len(VERSIONS))
def structure(version: str) -> JsonObject:
    """The schema of an AsyncAPI *version*: properties that came later (``x-since``) are left out."""
    text = resources.files(__name__).joinpath(f"asyncapi-{version[0]}.json").read_text("utf-8")
    schema = _without_later(json.loads(text), version)
    return schema if isinstance(schema, dict) else {}


def _without_later(value: Json, version: str) -> Json:
    if isinstance(value, dict):
        return {
            name: _without_later(member, version)
            for name, member in value.items()
            if not _later(member, version)
        }
    if isinstance(value, list):
        return [_without_later(item, version) for item in value if not _later(item, version)]
    return value


def _later(member: Json, version: str) -> bool:
    since = member.get("x-since") if isinstance(member, dict) else None
    return isinstance(since, str) and since > version
