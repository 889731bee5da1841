"""The HTTP protocol binding of CloudEvents 1.0.2: a request to events, without any web framework.

The CloudEvents SDK is not used here: it makes up an id and a time where they are missing, writes times anew, and
knows no batches. Tests hold this module to what the SDK sends.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from email.message import Message

import orjson

from workflow_engine.errors import Rejected
from workflow_engine.events.cloudevents import MAX_BATCH, normalize
from workflow_engine.filters.envelope import MAX_ATTRIBUTES
from workflow_engine.values import Json, JsonObject, pointer

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"

_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_JSON = re.compile(r"(?:application|text)/(?:[\w.-]+\+)?json", re.ASCII)
_TEXT = re.compile(r"text/[\w.+-]+|application/(?:[\w.-]+\+)?(?:xml|yaml)", re.ASCII)


def parse(headers: Mapping[str, str], body: bytes, *, max_bytes: int) -> list[JsonObject]:
    """The valid events of a request, in order; one unless it is a batch. Names of *headers* ignore case.

    * Binary: attributes in ``ce-…`` headers, percent-encoded, all of them texts; ``Content-Type`` is
      ``datacontenttype``. A JSON body becomes `data`, a text body a text, another `data_base64`. A body of no
      declared type is JSON if it can be read so.
    * Structured: ``application/cloudevents+json``; a batch: ``application/cloudevents-batch+json``.

    `Rejected` has the pointer of what is wrong, as if the request were structured, and an HTTP status: 400, 413
    where *body* has more than *max_bytes*, 415 where it is no CloudEvent.
    """
    if len(body) > max_bytes:
        raise Rejected("body-too-large", f"{len(body)} bytes; at most {max_bytes}", status=413)
    given = {name.lower(): value for name, value in headers.items()}
    media_type, charset = _content_type(given.get("content-type", ""))
    if media_type.startswith("application/cloudevents"):
        if media_type not in (STRUCTURED, BATCHED) or charset not in ("", "utf-8", "us-ascii"):
            raise _unsupported(given["content-type"])
        document = _json(body, "body-not-json")
        if media_type == STRUCTURED:
            return [normalize(document)]
        return _batch(document)
    if any(name.startswith("ce-") for name in given):
        return [normalize(_binary(given, media_type, charset, body))]
    raise _unsupported(given.get("content-type", ""))


def _unsupported(content_type: str) -> Rejected:
    return Rejected(
        "content-type",
        f"{content_type[:100]!r} is no CloudEvent; send {STRUCTURED}, {BATCHED}, or the attributes as ce- headers",
        status=415,
    )


def _content_type(value: str) -> tuple[str, str]:
    """The media type and the charset, in lower case; empty where they are not given."""
    if not value.strip():
        return "", ""
    message = Message()
    message["content-type"] = value.replace("\r", " ").replace("\n", " ")
    charset = message.get_param("charset", "")
    return value.partition(";")[0].strip().lower(), str(charset).lower()


def _json(body: bytes, code: str, *path: str) -> Json:
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Rejected(code, f"not JSON: {error}", pointer=pointer(*path)) from None
    return value


def _batch(document: Json) -> list[JsonObject]:
    if not isinstance(document, list):
        raise Rejected("batch-not-array", "a batch is a JSON array of CloudEvents")
    if len(document) > MAX_BATCH:
        raise Rejected("batch-too-large", f"{len(document)} events; at most {MAX_BATCH} at once", status=413)
    return [normalize(event, index) for index, event in enumerate(document)]


def _binary(headers: Mapping[str, str], media_type: str, charset: str, body: bytes) -> JsonObject:
    event: JsonObject = {}
    for header, value in headers.items():
        if not header.startswith("ce-"):
            continue
        name = header.removeprefix("ce-")
        if name in ("data", "data_base64", "datacontenttype"):
            raise Rejected(
                "attribute-name",
                f"{header} may not be sent; use the body and Content-Type",
                pointer=pointer(name),
            )
        if len(event) == MAX_ATTRIBUTES:
            raise Rejected("attributes-too-many", f"at most {MAX_ATTRIBUTES} attributes")
        event[name] = _header_value(name, value)
    if media_type:
        event["datacontenttype"] = headers["content-type"].strip()
    if body:
        event |= _data(media_type, charset, body)
    return event


def _header_value(name: str, value: str) -> str:
    """HTTP binding, 3.1.3.2: an enclosing pair of quotes is taken off, then the percent-encoding."""
    text = value.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        return _PERCENT.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode(), text)
    except UnicodeDecodeError:
        raise Rejected(
            "attribute-invalid", "percent-encoded bytes that are not UTF-8", pointer=pointer(name)
        ) from None


def _data(media_type: str, charset: str, body: bytes) -> JsonObject:
    if _JSON.fullmatch(media_type):
        return {"data": _json(body, "data-not-json", "data")}
    if not media_type:
        try:
            return {"data": orjson.loads(body)}
        except orjson.JSONDecodeError:
            return {"data_base64": base64.b64encode(body).decode()}
    if _TEXT.fullmatch(media_type) and charset in ("", "utf-8", "us-ascii"):
        try:
            return {"data": body.decode()}
        except UnicodeDecodeError:
            pass
    return {"data_base64": base64.b64encode(body).decode()}


def body_of(event: JsonObject) -> tuple[bytes, str | None]:
    """The data of *event* as binary mode sends it, and its media type, where that is known."""
    media_type = event.get("datacontenttype")
    if "data_base64" in event:
        body = base64.b64decode(str(event["data_base64"]))
    elif (
        isinstance(event.get("data"), str)
        and media_type is not None
        and "json" not in str(media_type).lower()
    ):
        body = str(event["data"]).encode()
    elif "data" in event:
        body, media_type = orjson.dumps(event["data"]), media_type or "application/json"
    else:
        body = b""
    return body, None if media_type is None else str(media_type)
