"""JSON values, and the two things the DSLs do with them everywhere: merge and measure time."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
JsonObject: TypeAlias = dict[str, Json]


def deep_equal(left: Json, right: Json) -> bool:
    """JSON equality: ``1`` equals ``1.0``, but ``true`` does not equal ``1`` (jq and JSON Schema agree)."""
    if left is right:
        return True
    if isinstance(left, bool) or isinstance(right, bool):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(deep_equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(deep_equal, left, right))
    return left == right


def weighs(value: Json, most: int) -> int:
    """How large *value* is, about as many characters as it has in JSON; what is beyond *most* is not looked at."""
    weight, left = 0, [value]
    while left and weight <= most:
        item = left.pop()
        weight += 2
        if isinstance(item, str):
            weight += len(item)
        elif isinstance(item, dict):
            weight += sum(len(key) + 3 for key in item)
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)
    return weight


def deep_merge(target: Json, incoming: Json) -> Json:
    """Merge *incoming* into *target* by the rule of DSL 0.8: neither argument is changed.

    Objects are merged deep and the incoming value wins; arrays are joined without repeating an element
    that is already there (by JSON equality); a value joined to an array is appended to it (decision B3);
    anything else is replaced. Source: specification 0.8, "Merging data" (decisions B2-B4).
    """
    if incoming is target:
        return target
    if isinstance(target, dict) and isinstance(incoming, dict):
        merged = dict(target)
        for key, value in incoming.items():
            merged[key] = deep_merge(merged[key], value) if key in merged else value
        return merged
    if isinstance(target, list):
        additions = incoming if isinstance(incoming, list) else [incoming]
        joined = list(target)
        present = {identity(value) for value in target}
        for value in additions:
            known = identity(value)
            if known not in present:
                present.add(known)
                joined.append(value)
        return joined
    return incoming


def identity(value: Json) -> Hashable:
    """Something to look *value* up by: equal for values that are `deep_equal`, and for no others."""
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, dict):
        return frozenset((name, identity(member)) for name, member in value.items())
    if isinstance(value, list):
        return tuple(identity(member) for member in value)
    return value


def delta(before: Json, after: Json) -> Json:
    """What *after* adds to or changes in *before*: the part of a branch's result that its join must merge."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return after
    changed: JsonObject = {}
    for key, value in after.items():
        if key not in before:
            changed[key] = value
        elif not deep_equal(before[key], value):
            changed[key] = delta(before[key], value)
    return changed


_ISO_DURATION = re.compile(
    r"(?P<sign>-)?P"
    r"(?:(?P<years>\d+(?:\.\d+)?)Y)?(?:(?P<months>\d+(?:\.\d+)?)M)?"
    r"(?:(?P<weeks>\d+(?:\.\d+)?)W)?(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<late_weeks>\d+(?:\.\d+)?)W)?(?:(?P<late_days>\d+(?:\.\d+)?)D)?"
    r"(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


LONGEST_YEARS = 1000
"""How long a duration may be: no moment to which it is added comes near the end of the calendar."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time: whole calendar *months*, and *seconds* (a float, microseconds at the finest).

    Years and months have no fixed length, so a duration becomes one only when it is added to a moment.
    """

    months: int = 0
    seconds: float = 0.0

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str) -> Duration:
        """Read an ISO 8601 duration such as ``PT1H30M``; `ValueError` says what is wrong with it.

        Days and weeks after the ``T`` (``PT30D``), which examples of DSL 0.8 use, are understood too
        (decision B38). Negative durations, fractions of years or months, and more than a thousand years are
        refused.
        """
        stripped = text.strip()
        match = _ISO_DURATION.fullmatch(stripped)
        if match is None or stripped.rstrip("T").endswith("P") or stripped.endswith("T"):
            raise ValueError(f"{text!r} is not an ISO 8601 duration such as PT1H30M or P2D")
        part = {name: float(value) for name, value in match.groupdict().items() if value and name != "sign"}
        if match["sign"]:
            raise ValueError(f"{text!r} is negative; a duration is how long to wait")
        months = part.get("years", 0.0) * 12 + part.get("months", 0.0)
        if not months.is_integer() and math.isfinite(months):
            raise ValueError(
                f"{text!r} has a fraction of a year or month, which has no fixed length; use days"
            )
        days = (part.get("weeks", 0.0) + part.get("late_weeks", 0.0)) * 7 + part.get("days", 0.0)
        days += part.get("late_days", 0.0)
        seconds = part.get("hours", 0.0) * 3600 + part.get("minutes", 0.0) * 60 + part.get("seconds", 0.0)
        seconds += days * 86400
        _check_length(months, seconds, text if len(text) < 60 else text[:59] + "…")
        return cls(int(months), seconds)

    @classmethod
    def of(cls, parts: Mapping[str, float]) -> Duration:
        """Make a duration of the DSL 1.0 object form: days, hours, minutes, seconds, milliseconds.

        `ValueError` when it is longer than a thousand years.
        """
        for name, part in parts.items():
            _check_length(0, 0 if -_LONGEST_SECONDS <= part <= _LONGEST_SECONDS else math.inf, name)
        seconds = (
            parts.get("days", 0) * 86400
            + parts.get("hours", 0) * 3600
            + parts.get("minutes", 0) * 60
            + parts.get("seconds", 0)
            + parts.get("milliseconds", 0) / 1000
        )
        _check_length(0, seconds, "the duration")
        return cls(0, seconds)

    def __str__(self) -> str:
        """ISO 8601: ``P1Y2M``, ``PT1H30M``, ``PT0.2S``."""
        years, months = divmod(self.months, 12)
        days, rest = divmod(self.seconds, 86400)
        hours, rest = divmod(rest, 3600)
        minutes, seconds = divmod(rest, 60)
        date = [(years, "Y"), (months, "M"), (days, "D")]
        time = [(hours, "H"), (minutes, "M"), (round(seconds, 6), "S")]
        first, second = ("".join(f"{n:.15g}{unit}" for n, unit in part if n) for part in (date, time))
        return f"P{first}" + (f"T{second}" if second or not first else "") + ("" if first or second else "0S")

    def after(self, moment: datetime) -> datetime:
        """The moment this long after *moment*; the 31st becomes the last day of a shorter month."""
        if self.months:
            years, month = divmod(moment.month - 1 + self.months, 12)
            year = moment.year + years
            first_of_next = datetime(year + (month == 11), (month + 1) % 12 + 1, 1, tzinfo=UTC)
            last_day = (first_of_next - timedelta(days=1)).day
            moment = moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))
        return moment + timedelta(seconds=self.seconds)

    def seconds_from(self, moment: datetime) -> float:
        """How many seconds this is when it starts at *moment*."""
        return (self.after(moment) - moment).total_seconds() if self.months else self.seconds


_LONGEST_SECONDS = LONGEST_YEARS * 366 * 86400.0


def _check_length(months: float, seconds: float, what: str) -> None:
    if not (months <= LONGEST_YEARS * 12 and seconds <= _LONGEST_SECONDS):
        raise ValueError(f"{what} is longer than {LONGEST_YEARS} years")


def pointer(*parts: str | int) -> str:
    """An RFC 6901 JSON pointer of *parts*; ``~`` and ``/`` in a name are escaped."""
    text = ""
    for part in parts:
        name = part if isinstance(part, str) else str(part)
        if "~" in name or "/" in name:
            name = name.replace("~", "~0").replace("/", "~1")
        text += "/" + name
    return text


def resolve_pointer(document: Json, path: str) -> Json:
    """The value at RFC 6901 *path* in *document*; `LookupError` names the first part that is not there."""
    value = document
    for raw in path.split("/")[1:]:
        part = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise LookupError(f"{path!r}: nothing at {part!r}")
    return value


def plain(value: object) -> Json:
    """Copy *value*, made of mappings, sequences and scalars, into dicts and lists that are JSON."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} is not JSON")


_HALVES = re.compile("[\ud800-\udfff]")


def unicode(value: Json) -> Json:
    """*value* with a replacement in the place of each half of a surrogate pair, which UTF-8 cannot write."""
    if isinstance(value, str):
        return value if value.isascii() else _HALVES.sub("\ufffd", value)
    if isinstance(value, list):
        return [unicode(item) for item in value]
    if isinstance(value, dict):
        return {_HALVES.sub("\ufffd", key): unicode(item) for key, item in value.items()}
    return value


def shown(value: Json, most: int = 200) -> str:
    """*value* as JSON, for a message: no more of it than *most* characters."""
    text = ""
    for part in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        text += part
        if len(text) > most:
            return text[: most - 1] + "…"
    return text


def rfc3339(moment: datetime) -> str:
    """*moment* as an RFC 3339 timestamp in UTC with milliseconds: ``2026-01-31T12:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
