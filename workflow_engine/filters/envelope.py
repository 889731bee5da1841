"""What the attributes of a CloudEvent 1.0.2 may be: how they are called, of which type and form they are.

The router refuses an event by these rules, and the front-ends of both DSLs what a document says of one.
"""

from __future__ import annotations

import re
from datetime import datetime

from workflow_engine.values import Json

MAX_ATTRIBUTES = 100
"""How many an event may have, the data among them."""
MAX_INDEXED = 4096
"""How many characters id, source, type, subject and the partition key may have: stores index by them."""
FORMED = ("id", "source", "type", "subject", "dataschema", "datacontenttype", "time", "partitionkey")
"""The attributes that are texts, and not empty."""
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""What no attribute has."""

_NAME = re.compile(r"[a-z0-9]{1,64}")
_NOT_IN_URI = re.compile(r'[\s<>"{}|\\^`]')
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)"
)
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~\w-]+/[!#$%&'*+.^_`|~\w-]+\s*(;.*)?", re.ASCII)
_INT32 = 2**31


def is_name(name: str) -> bool:
    """Whether an attribute may have that name. It may be longer than the 20 characters that are recommended."""
    return _NAME.fullmatch(name) is not None


def wrong_type(value: Json) -> str | None:
    """What is wrong with *value* as an attribute, whichever; None if nothing is."""
    if isinstance(value, str):
        return "no control characters or lone surrogates" if CONTROL.search(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        fits = -_INT32 <= value < _INT32
        return None if fits else "a number must be an integer of 32 bits; use a text for others"
    if isinstance(value, bool):
        return None
    return "expected a text, a boolean or an integer; structure belongs into `data`"


def wrong_form(name: str, value: Json) -> str | None:
    """What is wrong with *value* as the attribute *name*, which is one of `FORMED`; None if nothing is.

    A `source` may be any text that can stand in a URI.
    """
    if not isinstance(value, str) or not value:
        return "expected a text that is not empty"
    if name in ("source", "dataschema"):
        found = _NOT_IN_URI.search(value)
        if found is not None:
            return f"expected a URI; it has {found[0]!r}"
    elif name == "datacontenttype":
        if not _MEDIA_TYPE.fullmatch(value):
            return "expected a media type such as application/json"
    elif name == "time" and not _is_timestamp(value):
        return "expected an RFC 3339 timestamp such as 2026-01-31T12:00:00Z"
    return f"at most {MAX_INDEXED} characters" if len(value) > MAX_INDEXED else None


def _is_timestamp(value: str) -> bool:
    match = _TIMESTAMP.fullmatch(value)
    try:
        return match is not None and bool(datetime.fromisoformat(match[1]))
    except ValueError:
        return False
