"""Lower ``start.schedule`` of DSL 0.8: repeating intervals and cron expressions (dsl.md §2.10, decisions B36, B37)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from workflow_engine.dsl import cron, recurring
from workflow_engine.graph.model import Schedule
from workflow_engine.graph.schedule import Calendar, Cron, Every
from workflow_engine.values import Duration, Json

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

_AT = "/start/schedule"
_FORMS = "write R/PT2H, R/2030-01-01T00:00:00Z/PT2H or R/PT2H/2030-01-01T00:00:00Z"


def schedule(lowering: WorkflowLowering) -> Schedule | None:
    """When the clock starts runs; None where it does not."""
    start = lowering.data.get("start")
    written = start.get("schedule") if isinstance(start, dict) else None
    if written is not None and lowering.starts_by_event:
        _of_events(lowering, written)
        return None
    if isinstance(written, str):
        return _interval(lowering, written, "UTC", _AT)
    if not isinstance(written, dict):
        return None
    zone = recurring.timezone(lowering, written.get("timezone", "UTC"), f"{_AT}/timezone")
    if "interval" in written:
        return _interval(lowering, str(written["interval"]), zone, f"{_AT}/interval")
    return _cron(lowering, written.get("cron"), zone)


def _of_events(lowering: WorkflowLowering, written: Json) -> None:
    """Events start the runs, in the time that the schedule is active (specification 0.8, "Schedule Definition")."""
    interval = written.get("interval") if isinstance(written, dict) else written
    if interval is None or str(interval).count("/") != 1:
        lowering.unsupported("a time in which alone events start runs", _AT)
    message = "events start the runs of this workflow; an interval without start and end is always active"
    lowering.warning("schedule-of-events", message, _AT)


def _interval(lowering: WorkflowLowering, text: str, zone: str, at: str) -> Schedule:
    """``R/`` and a duration, from a moment on or up to one; without a moment, from the deployment on."""
    parts = text.split("/")[1:]
    durations = [part for part in parts if part.startswith("P")]
    if len(durations) != 1:
        message = f"a start and an end are a window, not an interval; {_FORMS}"
        if len(parts) == 1 or durations:
            message = f"{text!r} is no repeating interval; {_FORMS}"
        lowering.problem("invalid-interval", message, at)
        return Schedule(Every(1))
    seconds = recurring.interval(lowering, _duration(lowering, durations[0], at), at)
    if len(parts) == 1:
        return Schedule(Every(seconds))
    begins = parts[1].startswith("P")
    moment = _moment(lowering, parts[0] if begins else parts[1], zone, "invalid-interval", at)
    recurrence = Every(seconds, moment)
    return Schedule(recurrence, start=moment) if begins else Schedule(recurrence, end=moment)


def _duration(lowering: WorkflowLowering, text: str, at: str) -> Duration:
    before = len(lowering.problems)
    length = lowering.timing(text, (), at)
    return length if isinstance(length, Duration) and not lowering.wrong(before) else Duration(0, 1)


def _moment(lowering: WorkflowLowering, text: str, zone: str, code: str, at: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        message = f"{text!r} is no moment such as 2030-01-01T00:00:00Z"
        lowering.problem(code, message, at)
        return datetime(1970, 1, 1, tzinfo=UTC)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def _cron(lowering: WorkflowLowering, written: Json, zone: str) -> Schedule:
    """Five fields, or six and seven as Quartz has them (decision B37)."""
    at = f"{_AT}/cron"
    end: datetime | None = None
    if isinstance(written, dict):
        if "validUntil" in written:
            end = _moment(lowering, str(written["validUntil"]), zone, "invalid-value", f"{at}/validUntil")
        written, at = written.get("expression"), f"{at}/expression"
    text = str(written)
    try:
        calendars = cron.calendars(text, quartz=True)
        if end is not None and not cron.begins_before(calendars, end):
            message = f"{text.strip()!r} never comes before `validUntil`, {end.isoformat()}"
            lowering.nonsense("invalid-cron", message, at)
        return Schedule(Cron(" ".join(text.split()), calendars), zone, end=end)
    except ValueError as error:
        lowering.problem("invalid-cron", str(error), at)
    return Schedule(Cron(text, (Calendar(),)), zone)
