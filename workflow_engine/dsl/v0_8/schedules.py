"""Lower ``start.schedule``: repeating intervals and cron expressions (dsl.md §2.10, decisions B36 and B37)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from workflow_engine.dsl import cron
from workflow_engine.graph.schedule import Calendar, Cron, Every, Schedule
from workflow_engine.values import Duration, Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

_AT = "/start/schedule"
_NOTHING = Schedule(Every(1))


def schedule(lowering: WorkflowLowering) -> Schedule | None:
    """When the clock starts runs; None where it does not."""
    start = lowering.data.get("start")
    written = start.get("schedule") if isinstance(start, dict) else None
    if written is None:
        return None
    if lowering.starts_by_event:
        # The events start the runs, in the time that the schedule is active (specification 0.8, "Schedule Definition").
        interval = written.get("interval") if isinstance(written, dict) else written
        if interval is None or str(interval).count("/") != 1:
            what = "a time in which alone events start runs"
            lowering.unsupported(what, _AT)
        message = "events start the runs of this workflow; an interval without start and end is always active"
        lowering.warning("schedule-of-events", message, _AT)
        return None
    if not isinstance(written, dict):
        return _interval(lowering, str(written), _AT)
    zone = _timezone(lowering, written)
    if "interval" in written:
        return _interval(lowering, str(written["interval"]), f"{_AT}/interval")
    return _cron(lowering, written["cron"], zone)


def _interval(lowering: WorkflowLowering, text: str, at: str) -> Schedule:
    """``R/PT2H``, from when the workflow is deployed; ``R/<start>/<duration>``; ``R/<duration>/<end>`` (B36)."""
    parts = text.split("/")
    if parts[0] != "R":
        message = "a number of repetitions cannot be kept by the server; write `R/` and say until when: R/PT2H/<end>"
        lowering.problem("invalid-interval", message, at)
        return _NOTHING
    moments = [_moment(part) for part in parts[1:]]
    lengths = [part for part, moment in zip(parts[1:], moments, strict=True) if moment is None]
    if len(lengths) != 1:
        message = f"{text!r} needs one duration, and perhaps a start before it or an end after it: R/PT2H"
        lowering.problem("invalid-interval", message, at)
        return _NOTHING
    seconds = _seconds(lowering, lengths[0], at)
    first = moments[0] if len(moments) == 2 else None
    last = moments[1] if len(moments) == 2 and first is None else None
    return Schedule(Every(seconds), start=first, end=last)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _seconds(lowering: WorkflowLowering, text: str, at: str) -> int:
    try:
        length = Duration.parse(text)
    except ValueError as error:
        lowering.problem("invalid-interval", str(error), at)
        return 1
    if length.months or length.seconds < 1 or length.seconds != int(length.seconds):
        message = (
            f"{text!r} is no interval of whole seconds, one at least; `cron` names moments of the calendar"
        )
        lowering.problem("invalid-interval", message, at)
        return 1
    return int(length.seconds)


def _cron(lowering: WorkflowLowering, value: Json, zone: str) -> Schedule:
    given: JsonObject = value if isinstance(value, dict) else {"expression": value}
    at = f"{_AT}/cron/expression" if isinstance(value, dict) else f"{_AT}/cron"
    text, end = " ".join(str(given.get("expression")).split()), None
    if "validUntil" in given:
        end = _moment(str(given["validUntil"]))
        if end is None:
            message = f"{given['validUntil']!r} is no moment in ISO 8601, such as 2030-01-31T00:00:00Z"
            lowering.problem("invalid-value", message, f"{_AT}/cron/validUntil")
    try:
        return Schedule(Cron(text, cron.calendars_or_quartz(text)), zone, end=end)
    except ValueError as error:
        lowering.problem("invalid-cron", str(error), at)
    return Schedule(Cron(text, (Calendar(),)), zone, end=end)


def _timezone(lowering: WorkflowLowering, written: JsonObject) -> str:
    name = str(written.get("timezone", "UTC"))
    try:
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        at = f"{_AT}/timezone"
        lowering.unknown("unknown-timezone", "time zone", name[:100], available_timezones(), at)
        return "UTC"
    return name
