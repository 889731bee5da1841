"""Lower ``schedule``: which events or which moments start runs (dsl.md §1.5, decisions A44 and A46)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from workflow_engine.dsl import cron
from workflow_engine.dsl.v1 import events
from workflow_engine.expressions import EvaluationError
from workflow_engine.graph.model import DataStep, Schedule, Strategy, Trigger, Validate
from workflow_engine.graph.schedule import After, Calendar, Cron, Every
from workflow_engine.values import Duration, Json, JsonObject, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

LONGEST = 100 * 365 * 86400
"""The longest interval, in seconds: a century."""
_AT = "/schedule"


def trigger(lowering: WorkflowLowering) -> Trigger | None:
    """The events that start runs; each run's input is the list of them."""
    written = lowering.data.get("schedule")
    if not isinstance(written, dict) or "on" not in written:
        return None
    strategy = events.strategy(lowering, written["on"], f"{_AT}/on", frozenset(), frozenset())
    _check_expected(lowering, strategy, f"{_AT}/on")
    read = written.get("read", "envelope")
    return Trigger(strategy, lowering.channel(_metadata(lowering), "/document/metadata"), str(read), None)


def _check_expected(lowering: WorkflowLowering, strategy: Strategy, at: str) -> None:
    """What a correlation expects is computed when the workflow is deployed, of nothing: it must be possible."""
    for number, wanted in enumerate(strategy.filters):
        place = f"{at}/{strategy.mode}" + ("" if strategy.mode == "one" else f"/{number}")
        for key, _, expected in wanted.correlate:
            try:
                if expected is not None:
                    expected.evaluate(None, {})
            except EvaluationError as error:
                there = f"{place}/correlate{pointer(key)}/expect"
                lowering.problem("invalid-expression", f"this cannot be computed of nothing: {error}", there)
    if isinstance(strategy.until, Strategy):
        _check_expected(lowering, strategy.until, f"{at}/until")


def schedule(lowering: WorkflowLowering, enter: tuple[DataStep, ...]) -> Schedule | None:
    """When the clock starts runs, whose input passes through *enter*; None where it does not."""
    written = lowering.data.get("schedule")
    if not isinstance(written, dict) or "on" in written:
        return None
    _check_input(lowering, enter)
    if "every" in written:
        interval = _length(lowering, written["every"], "every")
        _check_interval(lowering, interval)
        return Schedule(Every(int(interval.seconds)))
    if "cron" in written:
        return Schedule(_cron(lowering, str(written["cron"])), _timezone(lowering))
    if "after" in written:
        return Schedule(After(_length(lowering, written["after"], "after")))
    return None


def _check_input(lowering: WorkflowLowering, enter: tuple[DataStep, ...]) -> None:
    """The clock has nothing to say, so the input of a run is ``{}``."""
    if enter and isinstance(enter[0], Validate):
        found = enter[0].schema.problems({}, limit=1)
        if found:
            message = f"every run that the clock starts will fault: its input is {{}}, and {found[0]}"
            lowering.warning("scheduled-input", message, "/input/schema")


def _metadata(lowering: WorkflowLowering) -> Json:
    header = lowering.data["document"]
    return header.get("metadata") if isinstance(header, dict) else None


def _length(lowering: WorkflowLowering, value: Json, name: str) -> Duration:
    at = f"{_AT}/{name}"
    if "${" in str(value):
        message = f"`{name}` is read when the workflow is deployed, where an expression has nothing to see"
        lowering.problem("invalid-interval", message, at)
        return Duration(0, 1)
    length = lowering.timing(value, frozenset(), at)
    assert isinstance(length, Duration)
    if length.months == 0 and length.seconds == 0:
        message = f"`{name}` is no time at all; runs would follow each other without end"
        lowering.problem("invalid-interval", message, at)
    elif length.months > 1200 or length.seconds > LONGEST:
        lowering.problem("invalid-interval", f"`{name}` is more than a hundred years", at)
    return length


def _check_interval(lowering: WorkflowLowering, interval: Duration) -> None:
    """What Temporal keeps is whole seconds, counted from a fixed moment."""
    if interval.months:
        message = (
            "months and years differ in length; `cron` names moments of the calendar, such as `0 0 1 * *`"
        )
        lowering.problem("invalid-interval", message, f"{_AT}/every")
    elif interval.seconds and (interval.seconds < 1 or interval.seconds != int(interval.seconds)):
        message = f"runs start at full seconds, one second apart at least; {interval.seconds:g} s is neither"
        if interval.seconds > 1:
            message = f"runs start at full seconds; {interval.seconds:g} s is none"
        lowering.problem("invalid-interval", message, f"{_AT}/every")


def _cron(lowering: WorkflowLowering, text: str) -> Cron:
    try:
        return Cron(" ".join(text.split()), cron.calendars(text))
    except ValueError as error:
        lowering.problem("invalid-cron", str(error), f"{_AT}/cron")
    return Cron(text, (Calendar(),))


def _timezone(lowering: WorkflowLowering) -> str:
    """``document.metadata.timezone``, or UTC."""
    metadata: JsonObject = {}
    if isinstance(found := _metadata(lowering), dict):
        metadata = found
    name = metadata.get("timezone", "UTC")
    at = "/document/metadata/timezone"
    if not isinstance(name, str):
        lowering.problem("unknown-timezone", "a time zone is text, such as Europe/Rome", at)
        return "UTC"
    try:
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        lowering.unknown("unknown-timezone", "time zone", name[:100], available_timezones(), at)
        return "UTC"
    return name
