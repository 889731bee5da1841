"""What a source hears as events: CloudEvents as they are, other messages as the operation describes them."""

from __future__ import annotations

import base64
import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from catalog.messages import Validation, validate
from workflow_engine.calls.brokers.cloudevents import events_of
from workflow_engine.calls.brokers.direct import correlation_of, declared_of
from workflow_engine.calls.brokers.link import Incoming
from workflow_engine.calls.content import JSON, MediaType, decode
from workflow_engine.calls.url import bounded
from workflow_engine.errors import Rejected
from workflow_engine.events.broker_sources import BrokerSource
from workflow_engine.events.cloudevents import MAX_EVENT, encode, normalize
from workflow_engine.events.transforms import NotTransformed
from workflow_engine.filters import filters
from workflow_engine.values import Json, JsonObject, rfc3339

MAX_HEADERS = 64
"""How many headers of a message become attributes."""
MAX_LETTER = 8 * 1024 * 1024
"""How many bytes of a message that is refused are kept."""
_OURS = frozenset({"nats-msg-id", "content-type", "idempotency-key", "key"})
_RESERVED = frozenset(
    {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data"}
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SHOWN = 3

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """An event, or why what was heard is none that its channel takes: a *code* and a *reason*. *wanted*: the filters of
    the source take it.
    """

    event: JsonObject
    code: str = ""
    reason: str = ""
    wanted: bool = True


def read(source: BrokerSource, protocol: str, messages: Sequence[Incoming]) -> list[Heard]:
    """What *messages* are, in their order; a message may be several events, in a batch of CloudEvents. None of them
    raises anything: it would come again and again, and hold up all that are behind it.
    """
    found: list[Heard] = []
    for message in messages:
        try:
            found += _read(source, protocol, message)
        except Exception as error:  # noqa: BLE001  whatever it is, it is about this message
            _log.exception("source %s: a bug", source.id)
            bare = Incoming(message.body, {})
            found.append(_whole(source, bare, "unreadable", f"a bug: {type(error).__name__}: {error}"))
    return found


def _read(source: BrokerSource, protocol: str, message: Incoming) -> list[Heard]:
    declared = declared_of(source.pinned)
    content_type = next((str(item["content_type"]) for item in declared if item.get("content_type")), JSON)
    try:
        events = events_of(protocol, message, content_type, max_bytes=MAX_EVENT)
    except Rejected as error:
        code = (
            "event-too-large" if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else "not-a-cloudevent"
        )
        return [_whole(source, message, code, _said(error))]
    if events is not None:
        return [_checked(source, message, event) for event in events]
    named = message.content_type or content_type
    try:
        payload = decode(message.body, named)
    except ValueError as error:
        return [_whole(source, message, "unreadable", f"it is not {named}: {error}")]
    fits = validate(source.pinned, payload, message.headers)
    event = _wrapped(source, message, payload, named, fits.message)
    try:
        event = normalize({**event, **source.filled(payload, message.headers, _address(source, message))})
        encode(event, MAX_EVENT)
    except NotTransformed as error:
        return [_kept(source, message, event, "not-transformed", str(error))]
    except Rejected as error:
        return [_whole(source, message, error.code, _said(error))]
    return [_judged(source, event) if fits.valid else Heard(event, "schema", _problems(fits))]


def _checked(source: BrokerSource, message: Incoming, event: JsonObject) -> Heard:
    """A CloudEvent, which fits if its data does, or all of it: documents describe the one or the other."""
    data: Json = event.get("data", event.get("data_base64"))
    fits = validate(source.pinned, data, message.headers)
    if not fits.valid and not validate(source.pinned, event, message.headers).valid:
        return Heard(event, "schema", _problems(fits))
    return _judged(source, event)


def _problems(fits: Validation) -> str:
    return "; ".join(f"{each.pointer or '/'}: {each.message}" for each in fits.problems[:_SHOWN])


def _said(error: Rejected) -> str:
    return f"{error.pointer}: {error}" if error.pointer else str(error)


def _judged(source: BrokerSource, event: JsonObject) -> Heard:
    return Heard(event, wanted=source.filters is None or filters(source.filters).take(event, []))


def _address(source: BrokerSource, message: Incoming) -> str:
    return message.address or source.address


def _wrapped(
    source: BrokerSource, message: Incoming, payload: Json, content_type: str, kind: str | None
) -> JsonObject:
    """The event of a message that is none by itself."""
    operation = source.pinned
    event: JsonObject = {
        "specversion": "1.0",
        "id": message.id or str(uuid.uuid4()),
        "source": f"/sources/{source.id}",
        "type": kind or str(operation.get("operation") or operation.get("channel")),
        "time": rfc3339(message.moment or datetime.now(UTC)),
        "datacontenttype": content_type,
    }
    if "{" in str(operation.get("channel")):
        event["subject"] = _address(source, message)
    if message.key:
        event["partitionkey"] = message.key
    correlation = message.correlation or correlation_of(operation, payload, message.headers)
    if correlation and not _CONTROL.search(correlation):
        event["correlationid"] = correlation
    for header, value in list(message.headers.items())[:MAX_HEADERS]:
        name = re.sub(r"[^a-z0-9]", "", header.lower())[:64]
        if not name or name in _RESERVED or name in event or header.lower() in _OURS:
            continue
        if isinstance(value, dict | list) or value is None:
            continue
        text: Json = value if isinstance(value, bool) else str(value)
        if not isinstance(text, str) or not _CONTROL.search(text):
            event[name] = text
    media_type = MediaType.parse(content_type)
    if media_type.is_json or media_type.is_text or payload is None:
        event["data"] = payload
    else:
        event["data_base64"] = payload  # as `decode` gives what is neither
    return event


def _kept(source: BrokerSource, message: Incoming, event: JsonObject, code: str, reason: str) -> Heard:
    """The refusal of an *event* as it is, if it can be kept so."""
    try:
        encode(event, MAX_LETTER)
    except Rejected:
        return _whole(source, message, code, reason)
    return Heard(event, code, reason)


def _whole(source: BrokerSource, message: Incoming, code: str, reason: str) -> Heard:
    """The refusal of a message as it came: its text, or Base64 of what is no text."""
    event = _wrapped(source, message, None, message.content_type or "application/octet-stream", None)
    del event["data"]
    body = message.body[:MAX_LETTER]
    try:
        event |= {"datacontenttype": "text/plain", "data": body.decode()}
    except UnicodeDecodeError:
        event["data_base64"] = base64.b64encode(body).decode()
    return Heard(event, code, reason)


def told(code: str, reason: str) -> str:
    """A refusal in one line, for logs and for who asks how the source is."""
    return bounded(f"{code}: {' '.join(reason.split())}", 500)
