"""The parts of a document that AsyncAPI 2 and 3 write alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from catalog.asyncapi.pinning import pin_schema
from catalog.asyncapi.reading import Cursor, size
from catalog.model import Message, Parameter, Security
from catalog.values import Json, JsonObject, as_object

_IN_ADDRESS = re.compile(r"\{([^{}]*)\}")
_JSON_OR_TEXT = re.compile(r"(?:application|\w+)/(?:[\w.+-]*\+)?json|text/.+", re.IGNORECASE)
_MOST_TRAITS = 100
DEFAULT_CONTENT_TYPE = "application/json"


def bindings(cursor: Cursor) -> Json:
    """The protocol's own settings, as written; None if there are none."""
    found = cursor.get("bindings")
    return found.plain() if found.value else None


def tags(cursor: Cursor) -> tuple[str, ...]:
    return tuple(filter(None, (tag.text("name") for tag in cursor.get("tags").elements())))


def security_scheme(name: str, scheme: Cursor, scopes: Iterable[Json]) -> Security:
    scheme.reading.count(len(scheme.object))
    details = {
        key: value for key, value in scheme.object.items() if key not in ("type", "description", "scopes")
    }
    return Security(name, scheme.text("type") or "", tuple(map(str, scopes)), details or None)


def message(cursor: Cursor, name: str, payload: Json, default_content_type: str | None) -> Message:
    """A message whose traits are merged and whose *payload* is pinned; *name* is for one that has none."""
    cursor.reading.count(8)
    content_type = cursor.text("contentType") or default_content_type or DEFAULT_CONTENT_TYPE
    media_type = content_type.split(";")[0].strip()
    if payload is not None and not _JSON_OR_TEXT.fullmatch(media_type):
        cursor.problem(
            "unchecked-content-type",
            f"payloads in {content_type!r} cannot be checked against a schema; only JSON and text can",
            severity="warning",
        )
    return Message(
        name=cursor.text("name") or name,
        title=cursor.text("title"),
        content_type=content_type,
        payload=payload,
        headers=pin_schema(cursor.written("headers")),
        correlation_id=cursor.get("correlationId").text("location"),
        summary=cursor.text("summary") or cursor.text("description"),
        bindings=bindings(cursor),
    )


def check_parameters(address: str | None, parameters: Iterable[Parameter], channel: Cursor) -> None:
    """Warn where an address and its parameters do not fit together."""
    used = set(_IN_ADDRESS.findall(address or ""))
    declared = {parameter.name for parameter in parameters}
    for name in sorted(used - declared):
        text = f"the address {address!r} has {{{name}}}, which is not among the parameters"
        channel.problem("undeclared-parameter", text, severity="warning")
    for name in sorted(declared - used) if address is not None else ():
        text = f"the parameter {name!r} is not in the address {address!r}"
        channel.get("parameters").problem("unused-parameter", text, at=name, severity="warning")


def traits(cursor: Cursor) -> Iterator[Cursor]:
    """The traits to merge, in their order; too many are a problem, since each copies what is there."""
    for number, trait in enumerate(cursor.get("traits").elements()):
        if number == _MOST_TRAITS:
            cursor.problem("too-large", f"at most {_MOST_TRAITS} traits are merged", at="traits")
            return
        cursor.reading.count(size(trait.value))
        yield trait


def mergeable(target: Cursor, trait: Cursor) -> tuple[JsonObject, JsonObject]:
    """The members of both; those that both have are followed, so that no reference is merged with a value."""
    ours, theirs = dict(target.object), dict(trait.object)
    for name in ours.keys() & theirs.keys():
        if isinstance(ours[name], dict) and isinstance(theirs[name], dict):
            ours[name] = as_object(target.get(name).value)
            theirs[name] = as_object(trait.get(name).value)
    return ours, theirs
