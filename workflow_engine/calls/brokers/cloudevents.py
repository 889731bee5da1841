"""CloudEvents in messages of brokers: their protocol bindings for Kafka, NATS, MQTT and AMQP, structured and binary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, unquote

import orjson

from workflow_engine.calls.brokers.link import Incoming
from workflow_engine.events.cloudevents import normalize
from workflow_engine.events.http import STRUCTURED, body_of, parse
from workflow_engine.values import Json, JsonObject, rfc3339

PREFIXES: Mapping[str, tuple[str, ...]] = {
    "kafka": ("ce_",),
    "nats": ("ce-",),
    "amqp": ("cloudEvents_", "cloudEvents:", "ce-"),
    "mqtt": ("",),
    "http": ("ce-",),
    "ws": ("ce-",),
}
"""What the names of attributes begin with as headers, by protocol; the first is what is sent."""
REQUIRED = ("specversion", "id", "source", "type")
_IMPLIED = frozenset({"nats", "mqtt", "http", "ws"})
"""Whose messages may not say what they are, and be CloudEvents in JSON."""
_WHOLE = "application/cloudevents"
_NAME = re.compile(r"[a-z0-9]{1,64}")
_QUOTED = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
"""What stays as it is in a header of NATS, as in one of HTTP (HTTP binding of CloudEvents, 3.1.3.2)."""


def events_of(
    protocol: str, message: Incoming, content_type: str, *, max_bytes: int
) -> list[JsonObject] | None:
    """The CloudEvents that *message* is, which the document says is of *content_type*; None if it is none.

    `Rejected` for one that is not valid. A message that says nothing of its own type is a CloudEvent in binary mode if
    it has the attributes for that, also where the document promises whole ones.
    """
    own, declared = message.content_type, content_type
    if own is not None and _is_whole(own):
        return parse({"content-type": _format(own)}, message.body, max_bytes=max_bytes)
    attributes = _attributes(protocol, message.headers)
    if all(name in attributes for name in REQUIRED):
        data_type = attributes.pop("datacontenttype", None)
        given = unquote(data_type).strip('" ') if data_type else None
        named = (given or own) if protocol == "nats" else (own or given)
        if named is None and message.body and not _is_whole(declared):
            named = declared
        headers = {f"ce-{name}": value for name, value in attributes.items()}
        if named:
            headers["content-type"] = named
        return parse(headers, message.body, max_bytes=max_bytes)
    if own is None and _is_whole(declared):
        return parse({"content-type": _format(declared)}, message.body, max_bytes=max_bytes)
    if own is None and protocol in _IMPLIED and message.body[:1] == b"{":
        try:
            whole = orjson.loads(message.body)
        except orjson.JSONDecodeError:
            return None
        if all(name in whole for name in REQUIRED):
            return [normalize(whole)]
    return None


def _is_whole(content_type: str) -> bool:
    """Whether a message of *content_type* is a whole CloudEvent, or several."""
    return content_type.lower().startswith("application/cloudevents")


def _format(content_type: str) -> str:
    """*content_type* with the format, which is JSON where none is named: as the binding of NATS has it."""
    media_type, separator, rest = content_type.partition(";")
    return STRUCTURED + separator + rest if media_type.strip().lower() == _WHOLE else content_type


def _attributes(protocol: str, headers: JsonObject) -> dict[str, str]:
    """The attributes among *headers*, percent-encoded as headers of HTTP are."""
    found: dict[str, str] = {}
    for prefix in reversed(PREFIXES[protocol]):
        for header, value in headers.items():
            if header[: len(prefix)].lower() == prefix.lower():
                name = header[len(prefix) :].lower()
                if not prefix and not _NAME.fullmatch(name):
                    continue  # MQTT has the properties of others between them
                text = _time(value) if name == "time" else _text(value)
                found[name] = text if protocol == "nats" else quote(text, safe="", errors="replace")
    return found


def _time(value: Json) -> str:
    """A timestamp; AMQP has a type of its own for them, of which little is left (milliseconds, or with a space)."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return rfc3339(datetime.fromtimestamp(value / 1000, UTC))
        except (ValueError, OverflowError, OSError):
            return str(value)  # which is refused as no timestamp
    text = _text(value)
    return text[:10] + "T" + text[11:] if text[10:11] == " " else text


def message_of(protocol: str, mode: str, event: JsonObject) -> tuple[bytes | None, str, dict[str, str]]:
    """The body, its type and the headers of *event* in the *mode* ``structured`` or ``binary``. Without data it has no
    body, and no type unless the event names one.
    """
    if mode == "structured":
        return orjson.dumps(event), f"{STRUCTURED}; charset=utf-8", {}
    prefix = PREFIXES[protocol][0]
    headers = {}
    for name, value in event.items():
        if name in ("data", "data_base64") or (name == "datacontenttype" and protocol != "nats"):
            continue  # all but NATS have a place of its own for that
        text = _text(value)
        headers[prefix + name] = quote(text, safe=_QUOTED) if protocol == "nats" else text
    body, media_type = body_of(event)
    if "data" not in event and "data_base64" not in event:
        return None, media_type or "", headers
    return body, media_type or "application/octet-stream", headers


def _text(value: Json) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
