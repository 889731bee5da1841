"""Cron expressions: five fields (minute, hour, day, month, weekday) to the calendars they stand for; or Quartz's.

What each field may be is that of crontab(5): ``*``, a number, a range ``1-5``, a step ``*/15`` or ``8-18/2``, a list of
these, and the names of months and weekdays; Sunday is 0 and 7. Where both day and weekday are restricted, either
will do, which is why one expression may need two calendars.

Quartz has seconds before and perhaps a year behind these; Sunday is 1 there, and of day and weekday one is ``?``.
"""

from __future__ import annotations

import re
from calendar import isleap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from workflow_engine.graph.schedule import EACH_WEEKDAY, Calendar, Range

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
_SIGNS = re.compile(r"\?|#|\bl\b|[0-9]l|[0-9]*w\b")


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


_SECOND = _Field("second", 0, 59)
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _WEEKDAYS),
)
_QUARTZ_FIELDS = (
    _SECOND,
    *_FIELDS[:4],
    _Field("day of the week", 1, 7, _WEEKDAYS),
    _Field("year", 1970, 2099),
)


def calendars(text: str, *, quartz: bool = False) -> tuple[Calendar, ...]:
    """The calendars that the cron expression *text* stands for; `ValueError` says what is wrong with it.

    *quartz*: with six or seven fields it is one of Quartz.
    """
    lowered = text.strip().lower()
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a cron expression has at most {MAX_LENGTH} characters")
    if lowered.startswith("@"):
        meant = _MACROS.get(lowered)
        hint = f"; write {meant!r}" if meant else "; for an interval write `every: PT1H`"
        raise ValueError(f"{text.strip()!r} is a short name that the specification does not have{hint}")
    fields = lowered.split()
    if quartz and len(fields) in (6, 7):
        found = _quartz(fields)
    elif len(fields) == 5:
        found = _five(fields)
    else:
        many = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
        more = "; seconds and years are not among them" if len(fields) in (6, 7) else ""
        raise ValueError(f"expected minute, hour, day, month and weekday, got {many}{more}")
    possible = tuple(calendar for calendar in found if _happens(calendar))
    if not possible:
        raise ValueError(f"{text.strip()!r} never comes: no such month has such a day")
    return possible


def begins_before(calendars: Sequence[Calendar], end: datetime) -> bool:
    """Whether one of *calendars* has a year before *end*."""
    return any(not each.year or min(item.start for item in each.year) <= end.year for each in calendars)


def _five(fields: list[str]) -> tuple[Calendar, ...]:
    if _SIGNS.search(" ".join(fields)):
        raise ValueError("it uses signs of Quartz (? L W #), which cron does not have; write *")
    minute, hour, day, month, weekday = _ranges(fields, _FIELDS)
    weekday = _weekdays(weekday)
    common = Calendar(minute=minute, hour=hour, month=month)
    if fields[2].startswith("*") or fields[4].startswith("*"):
        return (replace(common, day=day, weekday=EACH_WEEKDAY if fields[4] == "*" else weekday),)
    return replace(common, day=day), replace(common, weekday=weekday)


def _quartz(fields: list[str]) -> tuple[Calendar, ...]:
    days, weekdays = fields[3], fields[5]
    if days not in ("*", "?") and weekdays not in ("*", "?"):
        raise ValueError("of the day of the month and the day of the week one must be ?")
    plain = ["*" if field == "?" and number in (3, 5) else field for number, field in enumerate(fields)]
    if _SIGNS.search(" ".join(plain)):
        raise ValueError("the signs L, W and # of Quartz are not supported, and ? stands for a day alone")
    second, minute, hour, day, month, weekday, *year = _ranges(plain, _QUARTZ_FIELDS[: len(plain)])
    sunday_first = tuple(Range(item.start - 1, item.end - 1, item.step) for item in weekday)
    every_year = len(plain) == 6 or plain[6] == "*"
    return (Calendar(minute, hour, day, month, sunday_first, second, () if every_year else year[0]),)


def _ranges(fields: list[str], known: tuple[_Field, ...]) -> list[tuple[Range, ...]]:
    return [field.ranges(item) for field, item in zip(known, fields, strict=True)]


def _weekdays(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """*ranges* with Sunday as 0 alone."""
    if all(item.end < 7 for item in ranges):
        return ranges
    days = {day % 7 for item in ranges for day in range(item.start, item.end + 1, item.step)}
    return EACH_WEEKDAY if len(days) == 7 else tuple(Range(day, day) for day in sorted(days))


def _happens(calendar: Calendar) -> bool:
    years = {year for item in calendar.year for year in range(item.start, item.end + 1, item.step)}
    february = 29 if not years or any(map(isleap, years)) else 28
    return any(
        day <= (february if month == 2 else _LONGEST[month - 1])
        for months in calendar.month
        for month in range(months.start, months.end + 1, months.step)
        for day in (item.start for item in calendar.day)
    )
