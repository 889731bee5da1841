"""One function for each state type of DSL 0.8; `LOWERINGS` is the whole table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.dsl.v0_8 import actions
from workflow_engine.graph.model import (
    Action,
    Assign,
    Case,
    Event,
    EventFilter,
    Exit,
    ForEach,
    Handler,
    Parallel,
    Region,
    Sequence,
    Sleep,
    Strategy,
    Switch,
    Timing,
    Transition,
)
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

CONSTANTS = frozenset({"CONST"})


def inject(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    return Assign(lowering.template(body.get("data"), CONSTANTS, at + "/data"), merge=True)


def sleep(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    return Sleep(lowering.timing(body.get("duration"), CONSTANTS, at + "/duration"))


def operation(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    limit = action_timeout(lowering, body, at)
    listed = _list(body.get("actions"))
    if body.get("actionMode") == "parallel":
        branches = tuple(
            actions.region(lowering, [item], f"{at}/actions", frozenset(), limit, first=number)
            for number, item in enumerate(listed)
        )
        return Parallel(branches, collect="merge")
    return Sequence(actions.region(lowering, listed, f"{at}/actions", frozenset(), limit))


def switch(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    default = body.get("defaultCondition")
    otherwise = lowering.way(default if isinstance(default, dict) else {}, f"{at}/defaultCondition")
    if "eventConditions" in body:
        return _event_switch(lowering, body, at, otherwise)
    cases = []
    for number, item in enumerate(_list(body.get("dataConditions"))):
        place = f"{at}/dataConditions/{number}"
        condition = lowering.expression(item.get("condition"), CONSTANTS, f"{place}/condition")
        name = str(item.get("name") or f"condition {number + 1}")
        cases.append(Case(name, condition, lowering.way(item, place)))
    cases.append(Case("default", None, otherwise))
    return Switch(tuple(cases))


def _event_switch(lowering: WorkflowLowering, body: JsonObject, at: str, otherwise: Transition) -> Action:
    wanted, handlers = [], []
    for number, item in enumerate(_list(body.get("eventConditions"))):
        place = f"{at}/eventConditions/{number}"
        wanted.append(event_filter(lowering, str(item.get("eventRef")), f"{place}/eventRef"))
        handlers.append(_handler(lowering, item, place, (number,), lowering.way(item, place)))
    timeout = event_timeout(lowering, body, at)
    if timeout is None:
        message = "without `timeouts.eventTimeout` the default condition is never taken (decision B29)"
        lowering.warning("endless-wait", message, at)
    return Event(
        Strategy("any", tuple(wanted)),
        channel_of(body),
        "envelope",
        None,
        tuple(handlers),
        timeout,
        otherwise,
    )


def event(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    """Any of the events, or with ``exclusive: false`` all of them, then the actions (decision B23)."""
    limit = action_timeout(lowering, body, at)
    wanted: list[EventFilter] = []
    handlers = []
    for number, item in enumerate(_list(body.get("onEvents"))):
        place = f"{at}/onEvents/{number}"
        names = item.get("eventRefs")
        mine = []
        for position, name in enumerate(names if isinstance(names, list) else []):
            mine.append(len(wanted))
            wanted.append(event_filter(lowering, str(name), f"{place}/eventRefs/{position}"))
        listed = _list(item.get("actions"))
        if item.get("actionMode") == "parallel" and len(listed) > 1:
            lowering.unsupported("`actionMode: parallel` of an event state", f"{place}/actionMode")
        region = actions.region(lowering, listed, f"{place}/actions", frozenset(), limit) if listed else None
        handlers.append(_handler(lowering, item, place, tuple(mine), None, region))
    return Event(
        Strategy("any" if body.get("exclusive", True) else "all", tuple(wanted)),
        channel_of(body),
        "envelope",
        None,
        tuple(handlers),
        event_timeout(lowering, body, at),
        following,
    )


def _handler(
    lowering: WorkflowLowering,
    item: JsonObject,
    at: str,
    numbers: tuple[int, ...],
    then: Transition | None,
    body: Region | None = None,
) -> Handler:
    given = item.get("eventDataFilter")
    known: JsonObject = given if isinstance(given, dict) else {}
    data = known.get("data")
    return Handler(
        filters=numbers,
        use=known.get("useData", True) is not False,
        data=None if data is None else lowering.expression(data, CONSTANTS, f"{at}/eventDataFilter/data"),
        path=lowering.path(known.get("toStateData"), f"{at}/eventDataFilter/toStateData"),
        body=body,
        then=then,
    )


def event_filter(lowering: WorkflowLowering, name: str, at: str) -> EventFilter:
    """The filter of the event definition *name*; attribute names compare without case (decision B21)."""
    definition, place = lowering.events.get(name, (None, ""))
    if definition is None:
        lowering.unknown("unknown-event", "event", name, lowering.events, at)
        return EventFilter({})
    if definition.get("kind") == "produced":
        message = f"the event {name!r} is defined as produced; a state can only wait for a consumed one"
        lowering.problem("wrong-event-kind", message, at)
    if definition.get("correlation"):
        lowering.unsupported("`correlation` of an event", f"{place}/correlation")
    attributes: JsonObject = {"type": {"equals": definition.get("type")}}
    source = definition.get("source")
    if isinstance(source, str) and source:
        wildcard = any(part in {"+", "#"} for part in source.split("/"))
        attributes["source"] = {"mqtt": source} if wildcard else {"equals": source}
    only_data = definition.get("dataOnly", True) is not False
    return EventFilter(attributes, ignore_case=True, name=name, data_only=only_data)


def parallel(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    branches = []
    for number, item in enumerate(_list(body.get("branches"))):
        place = f"{at}/branches/{number}"
        if item.get("timeouts"):
            lowering.unsupported("`timeouts` of a branch", f"{place}/timeouts")
        listed = _list(item.get("actions"))
        name = str(item.get("name"))
        branches.append(actions.region(lowering, listed, f"{place}/actions", frozenset(), None, name=name))
    need = None
    if body.get("completionType") == "atLeast":
        given = body.get("numCompleted")
        number = int(given) if isinstance(given, int | float | str) and str(given).isdecimal() else 0
        if not 1 <= number <= len(branches):
            message = f"`numCompleted` must be a number from 1 to {len(branches)}, the number of branches"
            lowering.problem("invalid-value", message, f"{at}/numCompleted")
        need = max(1, number)
    return Parallel(tuple(branches), need=need, collect="merge")


def foreach(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    given = body.get("iterationParam")
    item = str(given) if given is not None else "item"
    found = expressions.assignment_path(item) if item.lstrip().startswith(("${", ".")) else [item]
    if not found or len(found) != 1 or not isinstance(found[0], str):
        message = f"{item!r} must be one name: it holds the element in each iteration"
        lowering.problem("invalid-value", message, f"{at}/iterationParam")
        found = ["item"]
    name = str(found[0])
    batch = body.get("batchSize")
    size = int(batch) if isinstance(batch, int | float | str) and str(batch).isdecimal() else 0
    if batch is not None and not str(batch).isdecimal():
        lowering.unsupported("`batchSize` as an expression", f"{at}/batchSize")
    into = body.get("outputCollection")
    limit = action_timeout(lowering, body, at)
    variables = frozenset({name}) if name.isidentifier() else frozenset()
    listed = _list(body.get("actions"))
    return ForEach(
        items=lowering.expression(body.get("inputCollection"), CONSTANTS, f"{at}/inputCollection"),
        item=name,
        index=None,
        body=actions.region(lowering, listed, f"{at}/actions", variables, limit, name=name),
        chained=False,
        batch=1 if body.get("mode") == "sequential" else size,
        into=None if into is None else lowering.path(into, f"{at}/outputCollection"),
    )


LOWERINGS: dict[str, Callable[[WorkflowLowering, JsonObject, str, Transition], Action]] = {
    "event": event,
    "foreach": foreach,
    "inject": inject,
    "operation": operation,
    "parallel": parallel,
    "sleep": sleep,
    "switch": switch,
}


def action(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    """What the state *body* does, by its type."""
    kind = str(body.get("type"))
    if kind not in LOWERINGS:
        lowering.unsupported(f"the state type `{kind}`", f"{at}/type")
        return Sequence(Region(at, Exit(), {}))
    return LOWERINGS[kind](lowering, body, at, following)


# --- timeouts -----------------------------------------------------------------------------------------------

_TIMEOUTS = {"stateExecTimeout", "actionExecTimeout", "eventTimeout"}


def _timeouts(lowering: WorkflowLowering, body: JsonObject, at: str) -> JsonObject:
    given = body.get("timeouts")
    known: JsonObject = given if isinstance(given, dict) else {}
    for key in known:
        if key not in _TIMEOUTS:
            lowering.unsupported(f"`timeouts.{key}` of a state", f"{at}/timeouts/{key}")
    return known


def state_timeout(lowering: WorkflowLowering, body: JsonObject, at: str) -> Timing | None:
    """``stateExecTimeout``: text, or an object whose ``total`` counts (decision B16)."""
    value = _timeouts(lowering, body, at).get("stateExecTimeout")
    if isinstance(value, dict):
        value = value.get("total")
    return None if value is None else lowering.timing(value, CONSTANTS, f"{at}/timeouts/stateExecTimeout")


def action_timeout(lowering: WorkflowLowering, body: JsonObject, at: str) -> Timing | None:
    """``actionExecTimeout``, for each action (decision B17)."""
    value = _timeouts(lowering, body, at).get("actionExecTimeout")
    return None if value is None else lowering.timing(value, CONSTANTS, f"{at}/timeouts/actionExecTimeout")


def event_timeout(lowering: WorkflowLowering, body: JsonObject, at: str) -> Timing | None:
    """``eventTimeout``, under ``timeouts`` or, as the text of 0.8 has it, at the state itself (B9)."""
    value, place = _timeouts(lowering, body, at).get("eventTimeout"), f"{at}/timeouts/eventTimeout"
    if value is None:
        value, place = body.get("eventTimeout"), f"{at}/eventTimeout"
    return None if value is None else lowering.timing(value, CONSTANTS, place)


def channel_of(body: JsonObject) -> str:
    """The router's channel for a state: ``metadata.channel``, or ``default``."""
    metadata = body.get("metadata")
    return str(metadata.get("channel", "default")) if isinstance(metadata, dict) else "default"


def _list(value: Json) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
