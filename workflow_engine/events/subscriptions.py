"""Who wants which events: subscriptions, and how deliveries are tried again."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime

import orjson

from workflow_engine.errors import Rejected
from workflow_engine.events.records import Start, microseconds
from workflow_engine.events.transforms import check_transform
from workflow_engine.filters import filters, machine
from workflow_engine.values import Duration, Json, JsonObject, pointer

SUBSCRIPTION = "subscription/"
"""Settings under which subscriptions are kept."""
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_CHANNEL = re.compile(r"[a-zA-Z0-9._/-]{1,200}")
MAX_TIMEOUT = 300.0
"""How many seconds one attempt may take at most."""
_RANGES = {
    "max_attempts": "a whole number from 1 to a billion, or null",
    "max_age": "seconds from 0 to a billion, or null",
    "initial": "seconds from 0 to a billion",
    "factor": "a number above 0, a billion at most",
    "max_delay": "seconds from 0 to a billion",
    "jitter": "true or false",
    "timeout": f"seconds above 0, {MAX_TIMEOUT:g} at most",
}
_CALLED = {str: "a text", dict: "an object", list: "a list", bool: "true or false", int: "a whole number"}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a delivery that failed is tried again, and when it becomes a dead letter. Times are in seconds.

    The n-th retry comes after ``initial * factor**(n-1)``, at most *max_delay*; with full *jitter* after a
    random part of that. ``None`` for *max_attempts* or *max_age* is no limit. *timeout* is for one attempt.
    """

    max_attempts: int | None = 10
    max_age: float | None = 86_400.0
    initial: float = 1.0
    factor: float = 2.0
    max_delay: float = 600.0
    jitter: bool = True
    timeout: float = 30.0

    def delay(self, attempt: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """How long to wait after *attempt* (from 1) failed."""
        try:
            longest = min(self.max_delay, self.initial * float(self.factor) ** (attempt - 1))
        except OverflowError:
            longest = self.max_delay if self.initial else 0.0
        return uniform(0.0, longest) if self.jitter else longest

    @classmethod
    def from_json(cls, members: Json, *path: str | int) -> RetryPolicy:
        """Read a policy; members that are absent have their default. `Rejected` for what makes no sense."""
        known = {item.name for item in fields(cls)}
        if not isinstance(members, dict):
            raise Rejected("retry-invalid", "expected an object", pointer=pointer(*path))
        for name, value in members.items():
            place = pointer(*path, name)
            if name not in known:
                raise Rejected("retry-invalid", f"expected one of {', '.join(sorted(known))}", pointer=place)
            if name == "jitter":
                fits = isinstance(value, bool)
            elif value is None:
                fits = name in ("max_attempts", "max_age")
            else:
                number = isinstance(value, int | float) and not isinstance(value, bool)
                fits = number and 0 <= float(value) <= 1e9 and not (name == "timeout" and value > MAX_TIMEOUT)  # type: ignore[arg-type,operator]
                fits = fits and not (name in ("max_attempts", "timeout", "factor") and value == 0)
                fits = fits and not (name == "max_attempts" and not isinstance(value, int))
            if not fits:
                shown = orjson.dumps(value).decode()[:40]
                raise Rejected("retry-invalid", f"expected {_RANGES[name]}, not {shown}", pointer=place)
        return cls(**members)  # type: ignore[arg-type]


FOREVER = RetryPolicy(max_attempts=None, max_age=None, initial=0.2, max_delay=60.0)
"""For runs that listen: an event that they were promised is never given up."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Events of *channel* that satisfy *strategy* (see `workflow_engine.filters`) go to *target*; with *filters* (see
    `workflow_engine.filters.dialects`) those alone of which all of these are true.

    Every time the strategy is complete it is one delivery of the events that it took, and begins anew.
    *target* has a ``kind``, the rest is the kind's. *start* is ``latest``, ``earliest`` or an RFC 3339
    timestamp: where a new subscription begins. One that is not *enabled* keeps its place and its deliveries.
    *max_in_flight* deliveries at most are with the target at a time. *in_order*: one at a time and in the order of the
    channel, of those that have the same correlation values; of all of them where the strategy does not correlate. One
    that fails holds up those behind it until it is made or given up. *transform* is what is made of each event for the
    target (`transforms`). A strategy that gathers several events must be complete *within* that time, an ISO 8601
    duration, from the first of them on, or what has come is forgotten. Events received at *until*, a timestamp, or
    later are not for it: with a *start* in the past that makes a replay.
    """

    id: str
    channel: str
    strategy: JsonObject
    target: JsonObject
    start: str = "latest"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    enabled: bool = True
    max_in_flight: int = 16
    in_order: bool = False
    transform: JsonObject | None = None
    until: str | None = None
    filters: list[Json] | None = None
    within: str | None = None

    def check(self) -> None:
        """Raise `Rejected` for what is wrong with it."""
        if not _ID.fullmatch(self.id):
            raise Rejected("subscription-id", "1 to 200 printable ASCII characters, no spaces", pointer="/id")
        check_channel(self.channel, "channel")
        check_strategy(self.strategy, "strategy")
        if self.filters is not None:
            check_filters(self.filters, "filters")
        if self.strategy.get("open"):
            raise Rejected("strategy-open", "an open strategy is never complete", pointer="/strategy/open")
        kind = self.target.get("kind")
        if not isinstance(kind, str) or not kind:
            raise Rejected("target-kind", "a target has a kind", pointer="/target/kind")
        begin, end = start_us(self.start), self.until_us()
        if end is not None and isinstance(begin, int) and end <= begin:
            raise Rejected("until-invalid", "it is not after the start", pointer="/until")
        if self.transform is not None:
            check_transform(self.transform, "transform")
        if self.within is not None:
            self._check_within()
        if not 1 <= self.max_in_flight <= 1000:
            raise Rejected("max-in-flight", "from 1 to 1000", pointer="/max_in_flight")

    def _check_within(self) -> None:
        listed = self.strategy.get("filters")
        several = isinstance(listed, list) and len(listed) > 1 and self.strategy.get("mode") == "all"
        if not several and "until" not in self.strategy:
            message = "only a strategy that gathers several events takes a time to do so"
            raise Rejected("within-invalid", message, pointer="/within")
        try:
            length = Duration.parse(str(self.within))
        except ValueError as error:
            raise Rejected("within-invalid", str(error), pointer="/within") from None
        if length == Duration():
            raise Rejected("within-invalid", "more than nothing, such as PT1H", pointer="/within")

    @property
    def at_a_time(self) -> int:
        """How many deliveries may be with the target: one, where that may say how fast they may come."""
        return 1 if "handshake" in self.target else self.max_in_flight

    def until_us(self) -> int | None:
        """*until* in microseconds; `Rejected` for anything but a timestamp."""
        if self.until is None:
            return None
        end = start_us(self.until, "/until") if self.until not in ("earliest", "latest") else self.until
        if isinstance(end, str):
            raise Rejected("until-invalid", "expected an RFC 3339 timestamp", pointer="/until")
        return end

    def to_json(self) -> JsonObject:
        members: JsonObject = asdict(self)
        if self.within is None:  # processes of an earlier version do not know it
            del members["within"]
        return members

    @classmethod
    def from_json(cls, members: Json) -> Subscription:
        """Read and check a subscription; `Rejected` names the place. With filters it may do without a strategy."""
        if not isinstance(members, dict):
            raise Rejected("subscription-invalid", "expected an object")
        types = {
            "id": str,
            "channel": str,
            "strategy": dict,
            "target": dict,
            "start": str,
            "retry": dict,
            "enabled": bool,
            "max_in_flight": int,
            "in_order": bool,
            "transform": dict,
            "until": str,
            "filters": list,
            "within": str,
        }
        for name, value in members.items():
            if value is None and name in ("transform", "until", "filters", "within"):
                continue
            if name not in types:
                raise Rejected(
                    "subscription-invalid", f"expected one of {', '.join(types)}", pointer=pointer(name)
                )
            if not isinstance(value, types[name]) or (name == "max_in_flight" and isinstance(value, bool)):
                raise Rejected(
                    "subscription-invalid", f"expected {called(types[name])}", pointer=pointer(name)
                )
        given = {**members}
        if given.get("filters") is not None:
            given.setdefault("strategy", {"mode": "any", "filters": []})
        for name in ("id", "channel", "strategy", "target"):
            if name not in given:
                also = f"{name} is required"
                if name == "strategy":
                    also = "strategy or filters are required; `filters: []` takes every event of the channel"
                raise Rejected("subscription-invalid", also, pointer=pointer(name))
        if "retry" in given:
            given["retry"] = RetryPolicy.from_json(given["retry"], "retry")  # type: ignore[assignment]
        subscription = cls(**given)  # type: ignore[arg-type]
        subscription.check()
        return subscription


def called(kind: type) -> str:
    """How those who write JSON call what is a *kind* here."""
    return _CALLED[kind]


def check_channel(name: str, *path: str | int) -> None:
    """Raise `Rejected` for a name that no channel can have."""
    if not _CHANNEL.fullmatch(name):
        raise Rejected(
            "channel-name", f"{name[:80]!r}: 1 to 200 of a-z A-Z 0-9 . _ / -", pointer=pointer(*path)
        )


def check_strategy(spec: JsonObject, *path: str | int) -> None:
    """Raise `Rejected`, with the place, for a strategy that cannot be run."""
    try:
        machine(spec).check()
    except ValueError as error:
        place, _, message = str(error).partition(": ")
        raise Rejected("strategy-invalid", message, pointer=pointer(*path) + place.rstrip("/")) from error


def check_filters(spec: Json, *path: str | int) -> None:
    """Raise `Rejected`, with the place, for filters that no event can be tested by."""
    try:
        filters(spec)
    except ValueError as error:
        place, _, message = str(error).partition(": ")
        raise Rejected("filters-invalid", message, pointer=pointer(*path) + place.rstrip("/")) from error


def start_us(start: str, place: str = "/start") -> Start:
    """``earliest`` and ``latest`` as they are, a timestamp in microseconds; `Rejected` for anything else."""
    if start == "earliest":
        return "earliest"
    if start == "latest":
        return "latest"
    try:
        return microseconds(datetime.fromisoformat(start))
    except (ValueError, TypeError):
        raise Rejected(
            "start-invalid",
            "expected latest, earliest or an RFC 3339 timestamp with its zone",
            pointer=place,
        ) from None
