"""JSON values, and what the catalog does with them: pointers, merge patches and equality."""

from __future__ import annotations

from typing import TypeAlias

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
JsonObject: TypeAlias = dict[str, Json]


def escape(part: str | int) -> str:
    """One reference token of an RFC 6901 pointer."""
    return str(part).replace("~", "~0").replace("/", "~1")


def unescape(token: str) -> str:
    """The name that an RFC 6901 reference token stands for."""
    return token.replace("~1", "/").replace("~0", "~")


def merge_patch(target: Json, patch: Json) -> Json:
    """*patch* applied to *target* by RFC 7396: objects merge, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def as_object(value: Json) -> JsonObject:
    """*value* if it is an object, else an empty one: for reading documents whose shape is checked elsewhere."""
    return value if isinstance(value, dict) else {}


def as_text(value: Json) -> str | None:
    """*value* if it is a string, else None."""
    return value if isinstance(value, str) else None
