"""``Retry-After``: when a server that is busy wants to be asked again (RFC 9110, 10.2.3)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from workflow_engine.errors import Error, Fault

LEAST, MOST = 0.5, 3600.0
"""No fewer seconds, and no more, are waited for what a server says."""
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class Busy(Fault):
    """The fault of a server that asks to be left alone for *after* seconds."""

    def __init__(self, error: Error, after: float) -> None:
        super().__init__(error)
        self.after = min(max(after, LEAST), MOST)


def seconds_until(text: str, now: float) -> float | None:
    """How many seconds *text* asks for, which may say it as a moment, *now* being the time; None if it says nothing."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:  # as asctime writes it, which RFC 9110 has in UTC
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())


def busy(refusal: Fault, status: int, headers: Mapping[str, str] | None) -> Fault:
    """*refusal*, as one that says how long to wait, where the answer of *status* does: as too many, or not now."""
    told = (headers or {}).get("Retry-After", "")
    after = seconds_until(told, time.time()) if status in _BUSY else None
    return refusal if after is None else Busy(refusal.error, after)


def pause_after(raised: Exception, pause: float) -> float:
    """How many seconds to wait after what was *raised*: as long as a server that is `Busy` says, else *pause*."""
    return raised.after if isinstance(raised, Busy) else pause
