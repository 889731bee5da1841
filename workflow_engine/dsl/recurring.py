"""What schedules of both DSLs have to be: intervals that can be kept, time zones that are known."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from workflow_engine.dsl.lowering import Lowering
from workflow_engine.graph.schedule import Cron, Schedule
from workflow_engine.values import Duration, Json

LONGEST = 100 * 365 * 86400
"""The longest interval, in seconds: a century."""
_MONTHS = 1200


def check_length(lowering: Lowering, length: Duration, at: str) -> None:
    """A length of time between runs is more than nothing, and less than a century."""
    if length.months == 0 and length.seconds == 0:
        lowering.problem("invalid-interval", "this is no time at all; runs would follow without end", at)
    elif length.months > _MONTHS or length.seconds > LONGEST:
        lowering.problem("invalid-interval", "this is more than a hundred years", at)


def interval(lowering: Lowering, length: Duration, at: str) -> int:
    """The whole seconds of *length*: runs are counted from a fixed moment, in seconds."""
    check_length(lowering, length, at)
    seconds = length.seconds
    if length.months:
        message = (
            "months and years differ in length; `cron` names moments of the calendar, such as `0 0 1 * *`"
        )
        lowering.problem("invalid-interval", message, at)
    elif seconds and seconds < 1:
        message = f"runs start at full seconds, one second apart at least; {seconds:g} s is less"
        lowering.problem("invalid-interval", message, at)
    elif seconds != int(seconds):
        message = f"runs start at full seconds; {seconds:g} s is not a number of those"
        lowering.problem("invalid-interval", message, at)
    return max(1, int(seconds))


def is_over(schedule: Schedule, now: datetime) -> bool:
    """Whether no moment of *schedule* is *now* or later."""
    if schedule.end is not None and schedule.end <= now:
        return True
    if not isinstance(schedule.recurrence, Cron):
        return False
    # Of another time zone the year may end a day later.
    last = (now - timedelta(days=1)).year
    return all(
        each.year and max(item.end for item in each.year) < last for each in schedule.recurrence.calendars
    )


def timezone(lowering: Lowering, name: Json, at: str) -> str:
    """*name* if it is a time zone, else UTC."""
    if not isinstance(name, str):
        lowering.problem("unknown-timezone", "a time zone is text, such as Europe/Rome", at)
        return "UTC"
    try:
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        lowering.unknown("unknown-timezone", "time zone", name[:100], available_timezones(), at)
        return "UTC"
    return name
