"""What ``call: activity`` asks for, and what comes of it: the part that is the same on every runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from workflow_engine.errors import Error, Fault, fault
from workflow_engine.interpreter.effects import Call
from workflow_engine.values import Duration, Json, JsonObject

KIND = "activity"
ATTEMPT_SECONDS = 60.0
"""How long an attempt may take when nothing says otherwise."""
LONGEST = 2000
"""How much of what an activity says of its failure is kept, in characters."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """How often an activity is tried, and how long between: times in seconds. *attempts* 0 is without a limit."""

    first: float = 1.0
    coefficient: float = 2.0
    longest: float | None = None
    attempts: int = 1
    final: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActivityCall:
    """One call of an activity. Times are in seconds: of one *attempt*, of the *whole*, until it is *started*, between
    two *heartbeats*.
    """

    type: str
    queue: str
    arguments: Sequence[Json]
    attempt: float | None
    whole: float | None
    started: float | None
    heartbeats: float | None
    retry: Retrying

    @classmethod
    def of(cls, call: Call, now: datetime) -> ActivityCall:
        """What *call* asks for; a `Fault` where an expression has made something else of it."""
        given = call.arguments
        if call.deferred is not None:
            raise fault(
                "configuration",
                "an argument of the activity has a secret in it, and would be kept in the history of the run",
            )
        arguments = given.get("arguments")
        if not isinstance(arguments, list):
            raise fault("validation", f"the arguments of an activity are a list, not {arguments!r:.100}")
        timeouts, retry = given.get("timeouts"), given.get("retry")
        assert isinstance(timeouts, dict | None)
        assert isinstance(retry, dict | None)
        attempt, whole, started, heartbeats = (
            _seconds(timeouts, name, now)
            for name in ("startToClose", "scheduleToClose", "scheduleToStart", "heartbeat")
        )
        if attempt is None and whole is None:
            attempt = ATTEMPT_SECONDS if call.timeout is None else None
        if call.timeout is not None:
            whole = call.timeout if whole is None else min(whole, call.timeout)
        type, queue = _name(given, "type"), _name(given, "taskQueue")
        return cls(type, queue, arguments, attempt, whole, started, heartbeats, _retrying(retry or {}, now))


def _name(given: JsonObject, member: str) -> str:
    value = given.get(member)
    if not isinstance(value, str) or not 0 < len(value) <= 1000:
        raise fault("validation", f"the {member} of an activity is a name, not {value!r:.100}")
    return value


def _retrying(retry: JsonObject, now: datetime) -> Retrying:
    coefficient, attempts = (
        retry.get("backoffCoefficient", 2.0),
        retry.get("maximumAttempts", 0 if retry else 1),
    )
    final = retry.get("nonRetryableErrorTypes", [])
    assert isinstance(coefficient, int | float)
    assert isinstance(attempts, int | float)
    assert isinstance(final, list)
    first = _seconds(retry, "initialInterval", now)
    longest = _seconds(retry, "maximumInterval", now)
    if longest is not None and longest < (first or 1.0):
        raise fault("validation", "the maximumInterval of an activity is shorter than its initialInterval")
    names = tuple(str(name) for name in final)
    return Retrying(1.0 if first is None else first, float(coefficient), longest, int(attempts), names)


def _seconds(given: JsonObject | None, name: str, now: datetime) -> float | None:
    value = None if given is None else given.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, dict):
            parts = {key: part for key, part in value.items() if isinstance(part, int | float)}
            duration = Duration.of(parts)
        elif isinstance(value, str):
            duration = Duration.parse(value)
        else:
            raise TypeError(f"{value!r:.100} is not an ISO 8601 duration such as PT1H30M or P2D")
    except (TypeError, ValueError) as error:
        raise fault("expression", f"the {name} of an activity: {error}") from None
    seconds = duration.seconds_from(now)
    if seconds <= 0:
        raise fault("validation", f"the {name} of an activity is more than nothing, not {value!r:.100}")
    return seconds


def failed(type: str, kind: str, message: str, details: Sequence[object]) -> Fault:
    """The fault of an activity *type* that failed with an error of *kind*, such as the name of its exception.

    What it knows better it may say: a first detail with the members of an error (RFC 9457) is that error.
    """
    said = details[0] if details else None
    if isinstance(said, dict) and isinstance(said.get("type"), str):
        status = said.get("status")
        if isinstance(status, int) and not isinstance(status, bool):
            members = (said.get(name) for name in ("title", "detail", "instance"))
            title, detail, instance = (_short(item) if isinstance(item, str) else None for item in members)
            return Fault(Error(said["type"], status, title, detail or _short(message) or None, instance))
    told = f"the activity {type} failed: {message}" if message else f"the activity {type} failed"
    return fault("runtime", _short(told), title=_short(kind) or None)


def late(type: str, what: str) -> Fault:
    """The fault of an activity *type* that was not done in time."""
    return fault("timeout", f"the activity {type} {what}")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
