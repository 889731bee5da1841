"""Lower ``schedule``: which events or which moments start runs (dsl.md §1.5, decisions A44 and A46)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.dsl import cron, recurring
from workflow_engine.dsl.v1 import events
from workflow_engine.expressions import EvaluationError
from workflow_engine.graph.model import DataStep, Schedule, Strategy, Trigger, Validate
from workflow_engine.graph.schedule import After, Calendar, Cron, Every
from workflow_engine.values import Duration, Json, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

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
        at = f"{_AT}/every"
        return Schedule(Every(recurring.interval(lowering, _length(lowering, written["every"], at), at)))
    if "cron" in written:
        return Schedule(_cron(lowering, str(written["cron"])), _timezone(lowering))
    if "after" in written:
        delay = _length(lowering, written["after"], f"{_AT}/after")
        recurring.check_length(lowering, delay, f"{_AT}/after")
        return Schedule(After(delay))
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


def _length(lowering: WorkflowLowering, value: Json, at: str) -> Duration:
    if "${" in str(value):
        message = "this is read when the workflow is deployed, where an expression has nothing to see"
        lowering.problem("invalid-interval", message, at)
        return Duration(0, 1)
    length = lowering.timing(value, frozenset(), at)
    assert isinstance(length, Duration)
    return length


def _cron(lowering: WorkflowLowering, text: str) -> Cron:
    try:
        return Cron(" ".join(text.split()), cron.calendars(text))
    except ValueError as error:
        lowering.problem("invalid-cron", str(error), f"{_AT}/cron")
    return Cron(text, (Calendar(),))


def _timezone(lowering: WorkflowLowering) -> str:
    """``document.metadata.timezone``, or UTC."""
    metadata = _metadata(lowering)
    name = metadata.get("timezone", "UTC") if isinstance(metadata, dict) else "UTC"
    return recurring.timezone(lowering, name, "/document/metadata/timezone")
