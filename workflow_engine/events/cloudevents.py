"""CloudEvents 1.0.2 in their JSON format: what is let in, and how it is stored."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import orjson

from workflow_engine.errors import Rejected
from workflow_engine.events.records import Record
from workflow_engine.filters.envelope import FORMED, MAX_ATTRIBUTES, is_name, wrong_form, wrong_type
from workflow_engine.values import Json, JsonObject, pointer

MAX_EVENT = 1024 * 1024
"""How many bytes of JSON an event may have, unless the router is told otherwise."""
MAX_BATCH = 1000
"""How many events one publish may have."""


def normalize(event: Json, *path: str | int) -> JsonObject:
    """*event* if it is a valid CloudEvent 1.0, without attributes that are null; else `Rejected`.

    *path* is where it is in the request.
    """
    if not isinstance(event, dict):
        raise Rejected("event-not-object", "a CloudEvent is a JSON object", pointer=pointer(*path))
    clean: JsonObject = {}
    for name, value in event.items():
        if value is None and name != "data":
            continue
        if name not in ("data", "data_base64"):
            _check_attribute(name, value, *path, name)
        clean[name] = value
    if len(clean) > MAX_ATTRIBUTES:
        raise Rejected("attributes-too-many", f"at most {MAX_ATTRIBUTES} attributes", pointer=pointer(*path))
    if clean.get("specversion") != "1.0":
        given = repr(clean["specversion"])[:40] if "specversion" in clean else "nothing"
        raise Rejected(
            "specversion", f'expected specversion "1.0", not {given}', pointer=pointer(*path, "specversion")
        )
    for name in ("id", "source", "type"):
        if name not in clean:
            raise Rejected("attribute-missing", f"{name} is required", pointer=pointer(*path, name))
    for name in FORMED:
        if name in clean and (message := wrong_form(name, clean[name])) is not None:
            raise _invalid(message, *path, name)
    if "data_base64" in clean:
        _check_base64(clean, *path)
    return clean


def _invalid(message: str, *path: str | int) -> Rejected:
    return Rejected("attribute-invalid", message, pointer=pointer(*path))


def _check_attribute(name: str, value: Json, *path: str | int) -> None:
    if not is_name(name):
        raise Rejected(
            "attribute-name", f"{name[:80]!r}: names have letters a-z and digits only", pointer=pointer(*path)
        )
    message = wrong_type(value)
    if message is not None:
        raise _invalid(message, *path)


def _check_base64(event: JsonObject, *path: str | int) -> None:
    if "data" in event:
        raise Rejected("data-twice", "give either data or data_base64", pointer=pointer(*path, "data_base64"))
    value = event["data_base64"]
    try:
        if not isinstance(value, str):
            raise TypeError
        base64.b64decode(value, validate=True)
    except (TypeError, binascii.Error, ValueError):
        raise _invalid("expected Base64 (RFC 4648)", *path, "data_base64") from None


def encode(event: JsonObject, max_bytes: int, *path: str | int) -> bytes:
    """*event* as JSON; `Rejected` where that is larger than *max_bytes*, nested deeper than about 250 levels,
    or has what is no JSON. NaN and infinity become null, as jq prints them.
    """
    try:
        body = orjson.dumps(event)
    except TypeError as error:
        raise Rejected(
            "event-not-json", f"cannot be written as JSON: {error}", pointer=pointer(*path)
        ) from None
    if len(body) > max_bytes:
        raise Rejected(
            "event-too-large",
            f"{len(body)} bytes; at most {max_bytes}. Store the data elsewhere and send its address",
            pointer=pointer(*path),
            status=413,
        )
    return body


def records(events: Sequence[Json], now_us: int, *, max_bytes: int) -> list[Record]:
    """Every event as a record, or `Rejected` with the place of the first that is wrong.

    Events with the same ``partitionkey``, or else ``subject``, or else ``source``, keep their order.
    """
    if len(events) > MAX_BATCH:
        raise Rejected("batch-too-large", f"{len(events)} events; at most {MAX_BATCH} at once", status=413)
    made = []
    for index, given in enumerate(events):
        event = normalize(given, index)
        subject = event.get("subject")
        made.append(
            Record(
                source=str(event["source"]),
                id=str(event["id"]),
                type=str(event["type"]),
                subject=subject if isinstance(subject, str) else None,
                key=str(event.get("partitionkey") or subject or event["source"]),
                time_us=now_us,
                body=encode(event, max_bytes, index),
            )
        )
    return made


def decode(body: bytes) -> JsonObject:
    """The event of a stored record."""
    event: JsonObject = orjson.loads(body)
    return event
