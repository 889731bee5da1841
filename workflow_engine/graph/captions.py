"""What a state does, in one line that a person understands; shared by every rendering of a graph.

Captions are plain text on one line, without control characters and bounded in length; escaping is left to
the format that shows them.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from typing import assert_never

from workflow_engine.errors import ERRORS, canonical_type
from workflow_engine.expressions import Expression, Template
from workflow_engine.graph.call_captions import target
from workflow_engine.graph.model import (
    Action,
    Assign,
    Catch,
    Compensate,
    ContinueAs,
    Emit,
    ErrorMatch,
    Event,
    EventFilter,
    Extension,
    ForEach,
    Operation,
    Parallel,
    Raise,
    Retry,
    Sequence,
    Sleep,
    State,
    Strategy,
    SubFlow,
    Switch,
    Timing,
    Trigger,
    Try,
)
from workflow_engine.graph.phrases import CONDITION, NAME, clip, several, text
from workflow_engine.values import Json


def kind(action: Action) -> str:
    """One word for what *action* is, such as ``operation``, ``for-each`` or ``sub-flow``."""
    match action:
        case Operation():
            return "operation"
        case Event():
            return "event"
        case Switch():
            return "switch"
        case Parallel():
            return "parallel"
        case ForEach():
            return "for-each"
        case Assign():
            return "assign"
        case Emit():
            return "emit"
        case Sleep():
            return "sleep"
        case Raise():
            return "raise"
        case Try():
            return "try"
        case Sequence():
            return "sequence"
        case SubFlow():
            return "sub-flow"
        case Compensate():
            return "compensate"
        case ContinueAs():
            return "continue-as"
        case _:
            assert_never(action)


def summary(action: Action) -> str:
    """What *action* does: ``http GET https://…``, ``wait for order.paid``, ``for each item in .items``."""
    return clip(_summary(action))


def _summary(action: Action) -> str:
    match action:
        case Operation():
            what = f"{action.kind} {target(action)}".rstrip()
            return what if action.wait else f"start {what}, without waiting for it"
        case Event(strategy):
            return "wait for " + wanted(strategy)
        case Switch():
            return "choose"
        case Parallel(branches, need, race):
            return (
                f"{joined(len(branches), need, race=race)} {'branch' if len(branches) == 1 else 'branches'}"
            )
        case ForEach():
            return _loop(action)
        case Assign(value, merge):
            return f"{'add' if merge else 'set'} {_members(value.source)}"
        case Emit(event, channel):
            to = "" if channel in {"", "default"} else f" to {channel}"
            return f"emit {_attribute(event, 'type') or 'an event'}{to}"
        case Sleep(duration):
            return f"wait {lasting(duration)}"
        case Raise(error):
            return f"raise {_error(error)}"
        case Try(catch=Catch(retry=retry)):
            return "try" if retry is None else f"try, {_retry(retry)}"
        case Sequence():
            return "do"
        case SubFlow(namespace, name, version, _, wait):
            which = f"{namespace}/{name}" + (f" {version}" if version is not None else "")
            return f"run {which}" if wait else f"start {which}, without waiting for it"
        case Compensate():
            return "undo what was done"
        case ContinueAs(namespace, name, version):
            which = f"{namespace}/{name}" + (f" {version}" if version is not None else "")
            return f"continue as {which}"
        case _:
            assert_never(action)


def notes(state: State) -> tuple[str, ...]:
    """Further lines about *state*: on which condition it is done, and how long it may take."""
    lines = []
    if state.when is not None:
        lines.append("only if " + condition(state.when))
    if state.timeout is not None:
        lines.append("within " + lasting(state.timeout))
    if state.extensions:
        lines.append(clip("extended by " + several([_extension(each) for each in state.extensions])))
    if isinstance(state.action, Operation) and state.action.timeout is not None:
        lines.append("within " + lasting(state.action.timeout))
    if isinstance(state.action, Event) and state.action.timeout is not None and state.action.expired is None:
        lines.append("within " + lasting(state.action.timeout))
    return tuple(lines)


def condition(expression: Expression | Template) -> str:
    """*expression* as its author wrote it, bounded."""
    return clip(text(expression.source), CONDITION)


def joined(count: int, need: int | Expression | None, *, race: bool) -> str:
    """How many of *count* branches a join waits for: ``all 3``, ``2 of 3``, ``the first of 3``."""
    if race:
        return f"the first of {count}"
    return f"all {count}" if need is None or need == count else f"{need} of {count}"


def lasting(timing: Timing) -> str:
    """*timing* in words: ``2 days 3 h``, ``250 ms``; an expression as it is written."""
    if isinstance(timing, Expression):
        return condition(timing)
    years, months = divmod(timing.months, 12)
    days, rest = divmod(timing.seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [
        f"{amount:g} {unit}{'s' if amount != 1 and unit not in {'h', 'min'} else ''}"
        for amount, unit in (
            (years, "year"),
            (months, "month"),
            (days, "day"),
            (hours, "h"),
            (minutes, "min"),
        )
        if amount
    ]
    if seconds and seconds < 1 and not parts:
        parts.append(f"{seconds * 1000:.3f}".rstrip("0").rstrip(".") + " ms")
    elif seconds or not parts:
        parts.append(f"{seconds:.6f}".rstrip("0").rstrip(".") + " s")
    return " ".join(parts)


def _extension(extension: Extension) -> str:
    parts = [word for word in ("before", "after") if getattr(extension, word) is not None]
    return f"{clip(extension.name, NAME)} ({' and '.join(parts) or 'nothing'})"


# --- events ---------------------------------------------------------------------------------------------------


def event_type(wanted: EventFilter) -> str:
    """Which events one filter takes: their type if it names one, else what else it asks for, or its name."""
    for name in ("type", *wanted.attributes):
        test = wanted.attributes.get(name)
        if isinstance(test, dict) and test:
            word, value = next(iter(test.items()))
            shown = clip(text(value), CONDITION)
            if name != "type":
                return f"{name} {shown}"
            return shown if word != "expression" else f"type {shown}"
    return wanted.name or "any event"


def wanted(strategy: Strategy) -> str:
    """Which events *strategy* takes, and until when: ``any of order.paid, order.cancelled``."""
    types = [event_type(filter) for filter in strategy.filters]
    match strategy.mode, types:
        case _, []:
            shown = "any event"
        case "any" | "all" as mode, [_, _, *_]:
            shown = f"{mode} of {several(types)}"
        case _:
            shown = several(types)
    match strategy.until:
        case None:
            return shown
        case Expression() as until:
            return f"{shown} until {condition(until)}"
        case Strategy() as until:
            return f"{shown} until {wanted(until)}"
        case _:
            assert_never(strategy.until)


def trigger(given: Trigger) -> str:
    """What starts a run: ``on online.store.newOrder``, ``on order.paid and order.packed``."""
    types = [event_type(filter) for filter in given.strategy.filters] or ["any event"]
    word = " and " if given.strategy.mode == "all" else " or "
    return clip("on " + several(types, word))


# --- faults ---------------------------------------------------------------------------------------------------


def caught(catch: Catch) -> str:
    """Which faults *catch* takes: ``on communication 503``, ``on any error if .status > 499``."""
    shown = "any error"
    if catch.with_ is not None and isinstance(catch.with_.source, dict) and catch.with_.source:
        shown = _error(catch.with_)
    if catch.errors is not None:
        shown = matched(catch.errors)
    if catch.except_errors:
        shown += f" but {matched(catch.except_errors)}"
    if catch.when is not None:
        shown += f" if {condition(catch.when)}"
    if catch.except_when is not None:
        shown += f" unless {condition(catch.except_when)}"
    return clip("on " + shown)


def matched(errors: Several[ErrorMatch]) -> str:
    """Which errors of DSL 0.8 these are: their names, ``any error`` for all."""
    names = ["any error" if error.name == "*" else error.name for error in errors]
    return clip(several(names, " or "), NAME)


def _error(template: Template) -> str:
    source = template.source
    if not isinstance(source, dict):
        return text(source)
    type = source.get("type")
    shown = []
    if isinstance(type, str):
        shown.append(canonical_type(type).removeprefix(ERRORS))
    if "status" in source:
        shown.append(text(source["status"]))
    if not shown:
        shown = [f"{name} {text(value)}" for name, value in source.items()]
    return " ".join(shown) or "an error"


def _retry(retry: Retry) -> str:
    limit = retry.limit
    times = "for ever" if limit is None else "once" if limit == 1 else f"{limit} times"
    if isinstance(limit, Expression):
        times = f"{condition(limit)} times"
    words = [f"retry {times}"]
    if retry.delay is not None:
        words.append(f"after {lasting(retry.delay)}")
    if retry.backoff != "constant":
        words.append(retry.backoff)
    if retry.when is not None:
        words.append(f"if {condition(retry.when)}")
    if retry.except_when is not None:
        words.append(f"unless {condition(retry.except_when)}")
    if retry.budget is not None:
        words.append(f"within {lasting(retry.budget)}")
    return " ".join(words)


# --- text -----------------------------------------------------------------------------------------------------


def _loop(action: ForEach) -> str:
    shown = f"for each {action.item} in {condition(action.items)}"
    if action.condition is not None:
        shown += f" while {condition(action.condition)}"
    if action.apart or (not action.chained and action.batch != 1):
        shown += ", side by side" if action.apart or action.batch == 0 else f", {action.batch} at a time"
    return shown


def _members(source: Json) -> str:
    if isinstance(source, dict):
        return several(list(source)) if source else "nothing"
    return text(source)


def _attribute(template: Template, name: str) -> str:
    source = template.source
    return text(source[name]) if isinstance(source, dict) and name in source else ""
