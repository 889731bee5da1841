"""When runs are started by the clock: every so often, by the calendar, or after the run before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from workflow_engine.values import Duration


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from *start* to *end*, both included, in steps."""

    start: int
    end: int
    step: int = 1


EACH_MINUTE = (Range(0, 59),)
EACH_HOUR = (Range(0, 23),)
EACH_DAY = (Range(1, 31),)
EACH_MONTH = (Range(1, 12),)
EACH_WEEKDAY = (Range(0, 6),)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Moments whose parts all fit. Sunday is weekday 0; an empty *year* is every year."""

    minute: tuple[Range, ...] = EACH_MINUTE
    hour: tuple[Range, ...] = EACH_HOUR
    day: tuple[Range, ...] = EACH_DAY
    month: tuple[Range, ...] = EACH_MONTH
    weekday: tuple[Range, ...] = EACH_WEEKDAY
    second: tuple[Range, ...] = (Range(0, 0),)
    year: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Every:
    """A run every so many whole *seconds*, whether the one before has ended or not; counted from *since*, or else from
    the deployment.
    """

    seconds: int
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cron:
    """A run at each moment that one of the *calendars* has, unless the one before still goes on."""

    text: str
    calendars: tuple[Calendar, ...]


@dataclass(frozen=True, slots=True)
class After:
    """A run now, and another one *delay* after a run has completed or faulted."""

    delay: Duration


Recurrence: TypeAlias = "Every | Cron | After"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the clock starts runs: none before *start*, none at *end* or later; calendars are those of *timezone*."""

    recurrence: Recurrence
    timezone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
