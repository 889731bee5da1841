"""Cron expressions to the calendars they stand for: five fields (minute, hour, day, month, weekday), or Quartz.

What each field may be is that of crontab(5): ``*``, a number, a range ``1-5``, a step ``*/15`` or ``8-18/2``, a list of
these, and the names of months and weekdays; Sunday is 0 and 7. Where both day and weekday are restricted, either
will do, which is why one expression may need two calendars.

Quartz, which DSL 0.8 takes too (decision B37), has six or seven fields: a second before them and a year after. It
counts weekdays from 1 for Sunday, and has ``?`` for the day or the weekday that does not matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from workflow_engine.graph.schedule import (
    EACH_DAY,
    EACH_HOUR,
    EACH_MINUTE,
    EACH_MONTH,
    EACH_WEEKDAY,
    Calendar,
    Range,
)

MAX_LENGTH = 500
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ITEM = re.compile(r"(?:(?P<star>\*)|(?P<first>[0-9a-z]+)(?:-(?P<last>[0-9a-z]+))?)(?:/(?P<step>[0-9]+))?")
_QUARTZ = re.compile(r"\?|#|\bl\b|[0-9]l|[0-9]*w\b")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.least
        if not text.isdecimal() or len(text) > 4 or not self.least <= int(text) <= self.most:
            named = f", or a name such as {self.names[1]}" if self.names else ""
            raise ValueError(f"the {self.name} is from {self.least} to {self.most}{named}, not {text!r}")
        return int(text)

    def ranges(self, text: str) -> tuple[Range, ...]:
        return tuple(self._range(item) for item in text.split(","))

    def _range(self, item: str) -> Range:
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"{item!r} is no {self.name}; write a number, 1-5, */15 or a list of these")
        step = int(match["step"]) if match["step"] else 1
        if not 1 <= step <= self.most or len(match["step"] or "") > 4:
            raise ValueError(f"the step of the {self.name} is from 1 to {self.most}, not {step}")
        if match["star"]:
            return Range(self.least, self.most, step)
        first = self.number(match["first"])
        if match["last"] is None:
            return Range(first, self.most if match["step"] else first, step)
        last = self.number(match["last"])
        if last == 0 and first and match["last"] == "sun":
            last = 7
        if last < first:
            raise ValueError(f"the {self.name} {item} goes backwards; write two ranges with a comma between")
        return Range(first, last, step)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _WEEKDAYS),
)


_QUARTZ_FIELDS = (
    _Field("second", 0, 59),
    *_FIELDS[:4],
    _Field("day of the week", 1, 7, _WEEKDAYS),
    _Field("year", 1970, 2099),
)
_LAST = re.compile(r"#|\bl\b|[0-9]l|[0-9]*w\b|l-")


def calendars(text: str) -> tuple[Calendar, ...]:
    """The calendars that the cron expression *text* stands for; `ValueError` says what is wrong with it."""
    lowered = text.strip().lower()
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a cron expression has at most {MAX_LENGTH} characters")
    if lowered.startswith("@"):
        meant = _MACROS.get(lowered)
        hint = f"; write {meant!r}" if meant else "; for an interval write `every: PT1H`"
        raise ValueError(f"{text.strip()!r} is a short name that the specification does not have{hint}")
    fields = lowered.split()
    if len(fields) != len(_FIELDS):
        many = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
        more = "; seconds and years are not among them" if len(fields) in (6, 7) else ""
        raise ValueError(f"expected minute, hour, day, month and weekday, got {many}{more}")
    if _QUARTZ.search(lowered):
        raise ValueError(
            f"{text.strip()!r} uses signs of Quartz (? L W #), which cron does not have; write *"
        )
    minute, hour, day, month, weekday = (
        field.ranges(item) for field, item in zip(_FIELDS, fields, strict=True)
    )
    weekday = _weekdays(weekday)
    common = Calendar(
        minute=EACH_MINUTE if fields[0] == "*" else minute,
        hour=EACH_HOUR if fields[1] == "*" else hour,
        month=EACH_MONTH if fields[3] == "*" else month,
    )
    if fields[2].startswith("*") or fields[4].startswith("*"):
        found: tuple[Calendar, ...] = (_with(common, day, EACH_WEEKDAY if fields[4] == "*" else weekday),)
    else:
        found = (_with(common, day, EACH_WEEKDAY), _with(common, EACH_DAY, weekday))
    possible = tuple(calendar for calendar in found if _happens(calendar))
    if not possible:
        raise ValueError(f"{text.strip()!r} never comes: no such month has such a day")
    return possible


def calendars_or_quartz(text: str) -> tuple[Calendar, ...]:
    """As `calendars`; six or seven fields are read as Quartz reads them (decision B37)."""
    fields = text.lower().split()
    if len(fields) not in (6, 7) or len(text) > MAX_LENGTH:
        return calendars(text)
    if _LAST.search(text.lower()):
        raise ValueError(
            f"{text.strip()!r} uses L, W or # of Quartz, which no calendar of the server can say"
        )
    if (fields[3] == "?") == (fields[5] == "?"):
        plain = [field for field in (fields[3], fields[5]) if field in "*?"]
        if not plain:
            raise ValueError(
                "write ? for the day of the month or for the day of the week: the other one counts"
            )
    plain_fields = ["*" if field == "?" else field for field in fields]
    parsed = [field.ranges(item) for field, item in zip(_QUARTZ_FIELDS, plain_fields, strict=False)]
    second, minute, hour, day, month, weekday = parsed[:6]
    days = tuple(Range(item.start - 1, item.end - 1, item.step) for item in weekday)
    calendar = Calendar(minute, hour, day, month, EACH_WEEKDAY if plain_fields[5] == "*" else days, second)
    if len(parsed) == 7 and plain_fields[6] != "*":
        calendar = replace(calendar, year=parsed[6])
    if not _happens(calendar):
        raise ValueError(f"{text.strip()!r} never comes: no such month has such a day")
    return (calendar,)


def _with(common: Calendar, day: tuple[Range, ...], weekday: tuple[Range, ...]) -> Calendar:
    return Calendar(common.minute, common.hour, day, common.month, weekday)


def _weekdays(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """*ranges* with Sunday as 0 alone."""
    if all(item.end < 7 for item in ranges):
        return ranges
    days = {day % 7 for item in ranges for day in range(item.start, item.end + 1, item.step)}
    return EACH_WEEKDAY if len(days) == 7 else tuple(Range(day, day) for day in sorted(days))


def _happens(calendar: Calendar) -> bool:
    return any(
        day <= _LONGEST[month - 1]
        for months in calendar.month
        for month in range(months.start, months.end + 1, months.step)
        for day in (item.start for item in calendar.day)
    )
