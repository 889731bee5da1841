"""Pages of lists that have an order: a cursor says behind which item the next one begins, whatever comes meanwhile."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, TypeVar

import orjson
from fastapi import Query

from workflow_engine.errors import Rejected
from workflow_engine.values import Json, JsonObject

T = TypeVar("T")
PAGE, MOST = 100, 1000

Limit = Annotated[int, Query(ge=1, le=MOST, description="At most so many")]
Cursor = Annotated[str | None, Query(max_length=8000, description="Of the page before")]


def cursor_of(*key: str) -> str:
    """The cursor for what comes behind the item with this key."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def key_of(cursor: str | None) -> str | None:
    """The key of one part in a *cursor*; None for the first page. `Rejected` for any other text."""
    return None if cursor is None else _parts(cursor, 1)[0]


def pair_of(cursor: str | None) -> tuple[str, str] | None:
    """As `key_of`, of a key of two parts."""
    if cursor is None:
        return None
    first, second = _parts(cursor, 2)
    return first, second


def _parts(cursor: str, number: int) -> Sequence[str]:
    try:
        key = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError):
        key = None
    if not isinstance(key, list) or len(key) != number or not all(isinstance(part, str) for part in key):
        raise Rejected("invalid-cursor", f"{cursor[:100]!r} is no cursor of an earlier list")
    return key


def page_of(
    member: str,
    found: Sequence[T],
    limit: int,
    shown: Callable[[T], Json],
    key: Callable[[T], Iterable[str]],
) -> JsonObject:
    """The answer with the first *limit* that were *found*: there are more where one more was asked for and came."""
    page: list[Json] = [shown(each) for each in found[:limit]]
    return {member: page, "cursor": cursor_of(*key(found[limit - 1])) if len(found) > limit else None}
