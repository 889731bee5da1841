"""Numbers and lengths of time of which nothing can come where they stand: told when a document is loaded.

The specifications have forms for them and no sense: a timeout of nothing, a lower bound above the upper one. What is an
expression is known only when a run gets there. What has a meaning though it is nothing, stays: no retries, no wait, a
batch of 0 (decisions A26, B12, B26).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from workflow_engine.dsl.lowering import Lowering
from workflow_engine.values import Duration, Json

STATUSES = range(100, 600)
"""The statuses of an error: those of HTTP (RFC 9457, section 3.1.2; RFC 9110, section 15)."""
CONTAINER_PORT = re.compile(r"(\d{1,5})(?:/(tcp|udp|sctp))?")
HOST_PORT = re.compile(r"(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+):)?(\d{1,5})")
_EXPRESSION = re.compile(r"\s*[.$]|.*\$\{|\s*\{\{", re.DOTALL)
_PORT = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://[^/?#{}$]*:(\d{1,10})(?:[/?#]|\s*$)")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TIMEOUT, _BOUNDS = "invalid-timeout", "invalid-bounds"
_ACTIVITY = (
    ("startToClose", "scheduleToClose"),
    ("scheduleToStart", "scheduleToClose"),
    ("heartbeat", "startToClose"),
)


def length(value: Json) -> Duration | None:
    """How long *value* is; None for an expression, and for what is no duration, which others tell."""
    try:
        if isinstance(value, dict):
            return Duration.of({key: part for key, part in value.items() if isinstance(part, int | float)})
        return Duration.parse(value) if isinstance(value, str) and "${" not in value else None
    except ValueError:
        return None


def check_timeout(lowering: Lowering, value: Json, at: str) -> None:
    """With a timeout of nothing the time is over before anything has begun (dsl.md §1.6, §2.9)."""
    if length(value) == Duration():
        message = "this is no time at all: it would be over before anything has begun; leave the timeout out"
        lowering.nonsense(_TIMEOUT, message, at)


def check_order(lowering: Lowering, low: tuple[str, Json], high: tuple[str, Json], at: str) -> None:
    """The first of two lengths of time, each with its name, is not longer than the second, which stands at *at*."""
    (low_name, low_value), (high_name, high_value) = low, high
    below, above = length(low_value), length(high_value)
    if below is not None and above is not None and longer(below, above):
        message = f"`{low_name}`, {below}, is longer than `{high_name}`, {above}"
        lowering.nonsense(_BOUNDS, message, at)


def longer(one: Duration, other: Duration) -> bool:
    """Whether *one* is longer than *other*, however many days the months have that they are counted in."""
    shortest, longest = one.months * 28 * 86400.0 + one.seconds, other.months * 31 * 86400.0 + other.seconds
    return (
        one.months >= other.months and one.seconds >= other.seconds and one != other
    ) or shortest > longest


def check_retry(lowering: Lowering, policy: Mapping[str, Json], at: str) -> None:
    """A retry policy of DSL 1.0 (dsl.md §1.11)."""
    delay, jitter, limit = policy.get("delay"), _object(policy.get("jitter")), _object(policy.get("limit"))
    for kind, shape in _object(policy.get("backoff")).items():
        most = _object(shape).get("maxDelay")
        check_order(lowering, ("delay", delay), ("maxDelay", most), f"{at}/backoff/{kind}/maxDelay")
    check_order(lowering, ("from", jitter.get("from")), ("to", jitter.get("to")), f"{at}/jitter")
    attempt = _object(limit.get("attempt"))
    check_timeout(lowering, attempt.get("duration"), f"{at}/limit/attempt/duration")
    check_timeout(lowering, limit.get("duration"), f"{at}/limit/duration")
    first, shortest, whole = (
        length(delay or "PT0S"),
        length(jitter.get("from", "PT0S")),
        length(limit.get("duration")),
    )
    if first is not None and shortest is not None and whole is not None and whole != Duration():
        begins = Duration(first.months + shortest.months, first.seconds + shortest.seconds)
        if longer(begins, whole):
            message = (
                f"the first retry would come after {begins}, when the time for retries, {whole}, is over"
            )
            lowering.nonsense(_BOUNDS, message, f"{at}/limit/duration")


def check_activity(lowering: Lowering, given: Mapping[str, Json], at: str) -> None:
    """The timeouts and the retry policy of an activity of Temporal, which takes 0 as nothing said, or not at all."""
    timeouts, retry = _object(given.get("timeouts")), _object(given.get("retry"))
    for name, value in timeouts.items():
        check_timeout(lowering, value, f"{at}/timeouts/{name}")
    for low, high in _ACTIVITY:
        check_order(lowering, (low, timeouts.get(low)), (high, timeouts.get(high)), f"{at}/timeouts/{low}")
    first, most = retry.get("initialInterval"), retry.get("maximumInterval")
    if length(first) == Duration():
        message = (
            "an activity is never tried again without an interval; leave it out for the default, a second"
        )
        lowering.nonsense(_BOUNDS, message, f"{at}/retry/initialInterval")
    check_order(
        lowering, ("initialInterval", first), ("maximumInterval", most), f"{at}/retry/maximumInterval"
    )


def check_status(lowering: Lowering, error: Json, at: str) -> None:
    """The status of an error that is raised."""
    status = error.get("status") if isinstance(error, dict) else None
    if isinstance(status, int | float) and not isinstance(status, bool) and status not in STATUSES:
        message = f"{status} is no status of HTTP, which is from {STATUSES[0]} to {STATUSES[-1]}"
        lowering.nonsense(_BOUNDS, message, f"{at}/status")


def check_query(lowering: Lowering, name: str, value: Json, at: str) -> None:
    """A query option of OData that is a number, or true or false."""
    if value is None or _EXPRESSION.match(str(value)):
        return
    whole = isinstance(value, int | str) and re.fullmatch(r"\d+", str(value)) is not None
    if name in ("top", "skip") and not whole:
        lowering.nonsense(_BOUNDS, f"`{name}` must be a whole number, 0 or more, not {str(value)[:50]!r}", at)
    elif name == "count" and value not in (True, False, "true", "false"):
        lowering.nonsense(_BOUNDS, f"`count` must be true or false, not {str(value)[:50]!r}", at)


def check_address(lowering: Lowering, address: Json, at: str) -> None:
    """The port of an address, which may be a template."""
    found = _PORT.match(address) if isinstance(address, str) else None
    if found is not None and not 1 <= int(found[1]) <= 65535:
        lowering.nonsense(_BOUNDS, f"{found[1]} is no port, which is from 1 to 65535", at)


def check_method(lowering: Lowering, method: Json, at: str) -> None:
    """The method of a call over HTTP is a token (RFC 9110, section 9.1)."""
    if isinstance(method, str) and "${" not in method and not _METHOD.fullmatch(method):
        lowering.nonsense("invalid-value", f"{method[:50]!r} is no method of HTTP, such as GET", at)


def is_port_of_host(text: str) -> bool:
    """Whether *text* is a port of the host, with an address before it or not; 0 is any that is free."""
    found = HOST_PORT.fullmatch(text)
    return found is not None and int(found[2]) <= 65535


def is_port_of_container(text: str) -> bool:
    """Whether *text* is a port of a container, with a protocol behind it or not."""
    found = CONTAINER_PORT.fullmatch(text)
    return found is not None and 1 <= int(found[1]) <= 65535


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}
