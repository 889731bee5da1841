"""What one attempt of a delivery is given, what came of it, and how its failing is told."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from workflow_engine.events.spi import Parked
from workflow_engine.events.targets import Delivery, Listening

_log = logging.getLogger("workflow_engine.events.deliveries")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it: ``delivered``, ``retry`` (*after* seconds, if it says, and the *whole* subscription with it; and
    *patient*: however often that was), ``dead``, ``gone``, ``dropped``.
    """

    status: str
    code: str = ""
    detail: str = ""
    reference: str = ""
    after: float | None = None
    whole: bool = False
    patient: bool = False


def storable(verdict: Verdict) -> Verdict:
    """*verdict* without lone surrogates, which what others say may have, and no store can."""
    texts = (text.encode("utf-8", "replace").decode() for text in (verdict.detail, verdict.reference))
    detail, reference = texts
    return replace(verdict, detail=detail, reference=reference)


def tell(item: Parked, payload: dict[str, Any], verdict: Verdict) -> None:
    """Log what went wrong: an event that is given up, and the first, second, fourth… attempt that failed."""
    n = item.attempt + 1
    if verdict.status == "dead" or (verdict.status == "retry" and n & (n - 1) == 0):
        whom = (
            f"{payload['run']} at {payload['listen']}" if "run" in payload else item.group.partition(":")[2]
        )
        outcome = "is given up" if verdict.status == "dead" else "is tried again"
        _log.warning(
            "event %s of channel %s for %s %s, attempt %d: %s: %s",
            payload["events"][-1],
            item.channel,
            whom,
            outcome,
            n,
            verdict.code,
            verdict.detail[:500],
        )


def delivery_of(
    item: Parked, payload: dict[str, Any], target: dict[str, Any], events: tuple[dict[str, Any], ...]
) -> Delivery:
    listening = None
    if "run" in payload:
        listening = Listening(
            payload["run"],
            payload["listen"],
            payload["seq"],
            payload["index"],
            payload["ends"],
            payload["complete"],
        )
    kind, _, id = item.group.partition(":")
    return Delivery(
        id=item.id,
        identity=payload["identity"],
        channel=item.channel,
        target=target,
        events=events,
        positions=tuple(payload["events"]),
        attempt=item.attempt + 1,
        subscription=id if kind == "sub" else None,
        listening=listening,
    )
