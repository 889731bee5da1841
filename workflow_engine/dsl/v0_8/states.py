"""One function for each state type of DSL 0.8; `LOWERINGS` is the whole table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from workflow_engine.dsl.v0_8 import actions, errors, events
from workflow_engine.dsl.v0_8.definitions import iteration_name, objects, variables
from workflow_engine.dsl.v0_8.earlier import branch_name
from workflow_engine.dsl.v0_8.timeouts import action_timeout, branch_timeout, event_timeout
from workflow_engine.errors import fault
from workflow_engine.expressions import Expression
from workflow_engine.graph.model import (
    Action,
    Assign,
    Case,
    End,
    Event,
    EventFilter,
    Exit,
    ForEach,
    GoTo,
    Handler,
    Parallel,
    Raise,
    Region,
    Sequence,
    Sleep,
    State,
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
    limit = action_timeout(lowering, (body, at))
    listed = objects(body.get("actions"))
    if body.get("actionMode") == "parallel":
        return actions.parallel(lowering, listed, f"{at}/actions", limit)
    return Sequence(actions.region(lowering, listed, f"{at}/actions", frozenset(), limit))


# --- switches and events ------------------------------------------------------------------------------------


def switch(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    default, place = body.get("defaultCondition"), f"{at}/defaultCondition"
    otherwise = (
        lowering.way(default, place) if isinstance(default, dict) else _nowhere(lowering, body, at, place)
    )
    if "eventConditions" in body:
        return _event_switch(lowering, body, at, otherwise)
    cases = []
    for number, item in enumerate(objects(body.get("dataConditions"))):
        place = f"{at}/dataConditions/{number}"
        condition = lowering.condition(item.get("condition"), CONSTANTS, f"{place}/condition")
        name = str(item.get("name") or f"condition {number + 1}")
        cases.append(Case(name, condition, lowering.way(item, place)))
    cases.append(Case("default", None, otherwise))
    return Switch(tuple(cases))


def _nowhere(lowering: WorkflowLowering, body: JsonObject, at: str, place: str) -> Transition:
    """A state that faults: there is no ``defaultCondition``, and nothing else holds."""
    what = "no event came in time" if "eventConditions" in body else "no condition holds"
    kind = "timeout" if "eventConditions" in body else "runtime"
    error = fault(kind, f"{what}, and the switch has no `defaultCondition`").error.to_json()
    name = f"no default of {body.get('name')}"
    rescues = errors.rescues(lowering, body, at)
    lowering.extra[place] = State(
        place, name, Raise(lowering.template(error, (), place)), End(), End(), rescues=rescues
    )
    return GoTo(place)


def _event_switch(lowering: WorkflowLowering, body: JsonObject, at: str, otherwise: Transition) -> Action:
    """Wait for the first of the events; without a timeout that may be for ever (decision B29)."""
    wanted, handlers = [], []
    listed = objects(body.get("eventConditions"))
    if not listed:
        lowering.problem("invalid-value", "a switch needs a condition to wait for", f"{at}/eventConditions")
    for number, item in enumerate(listed):
        place = f"{at}/eventConditions/{number}"
        wanted.append(events.event_filter(lowering, str(item.get("eventRef")), f"{place}/eventRef"))
        handlers.append(_handler(lowering, item, place, (number,), lowering.way(item, place)))
    return Event(
        Strategy("any", tuple(wanted)),
        lowering.channel(body.get("metadata"), f"{at}/metadata"),
        "envelope",
        None,
        tuple(handlers),
        event_timeout(lowering, body, at),
        otherwise,
    )


def event(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    """Any of the events, or with ``exclusive: false`` all of them, then the actions (decision B23).

    An event that several entries name has to come once, for all of them.
    """
    limit = action_timeout(lowering, (body, at))
    numbers: dict[str, int] = {}
    wanted: list[EventFilter] = []
    handlers = []
    listed = objects(body.get("onEvents"))
    if not listed:
        lowering.problem("invalid-value", "an event state needs an event to wait for", f"{at}/onEvents")
    for number, item in enumerate(listed):
        place = f"{at}/onEvents/{number}"
        names = item.get("eventRefs")
        mine = []
        for position, given in enumerate(names if isinstance(names, list) else []):
            name = str(given)
            if name not in numbers:
                numbers[name] = len(wanted)
                wanted.append(events.event_filter(lowering, name, f"{place}/eventRefs/{position}"))
            mine.append(numbers[name])
        handlers.append(
            _handler(lowering, item, place, tuple(mine), None, _reaction(lowering, item, place, limit))
        )
    return Event(
        Strategy("any" if body.get("exclusive", True) else "all", tuple(wanted)),
        lowering.channel(body.get("metadata"), f"{at}/metadata"),
        "envelope",
        None,
        tuple(handlers),
        event_timeout(lowering, body, at),
        following,
    )


def _reaction(lowering: WorkflowLowering, item: JsonObject, at: str, limit: Timing | None) -> Region | None:
    """The actions of an entry of ``onEvents``; side by side they are one state, that of the entry."""
    listed = objects(item.get("actions"))
    if not listed:
        return None
    if item.get("actionMode") != "parallel":
        return actions.region(lowering, listed, f"{at}/actions", frozenset(), limit)
    branches = actions.parallel(lowering, listed, f"{at}/actions", limit)
    return Region(f"{at}/actions", GoTo(at), {at: State(at, "actions", branches, Exit(), Exit())})


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
    data, place = known.get("data"), f"{at}/eventDataFilter"
    return Handler(
        filters=numbers,
        use=known.get("useData", True) is not False,
        data=lowering.optional_expression(data, CONSTANTS, f"{place}/data"),
        path=lowering.path(known.get("toStateData"), f"{place}/toStateData"),
        body=body,
        then=then,
        name=(actions.last_name(str(data)) if data is not None else None) or "response",
    )


def callback(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    """Listen, then do the action, then take the event (decision B30); both their results are merged."""
    limit = action_timeout(lowering, (body, at))
    given = body.get("action")
    action: JsonObject = given if isinstance(given, dict) else {}
    return Event(
        Strategy("any", (events.event_filter(lowering, str(body.get("eventRef")), f"{at}/eventRef"),)),
        lowering.channel(body.get("metadata"), f"{at}/metadata"),
        "envelope",
        None,
        (_handler(lowering, body, at, (0,), None),),
        event_timeout(lowering, body, at),
        following,
        ask=actions.single(lowering, action, f"{at}/action", limit),
    )


# --- branches and loops -------------------------------------------------------------------------------------


def parallel(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    branches = []
    for number, item in enumerate(objects(body.get("branches"))):
        place = f"{at}/branches/{number}"
        listed, name = objects(item.get("actions")), branch_name(item, number)
        limit = action_timeout(lowering, (item, place), (body, at))
        branch = actions.region(lowering, listed, f"{place}/actions", frozenset(), limit, name=name)
        whole = branch_timeout(lowering, item, place, body, at)
        if whole is not None:
            state = State(place, name, Sequence(branch), Exit(), Exit(), timeout=whole)
            branch = Region(place, GoTo(place), {place: state}, name)
        branches.append(branch)
    window = lowering.parallelism(body.get("metadata"), f"{at}/metadata")
    if body.get("completionType") != "atLeast":
        if "numCompleted" in body:
            message = "`numCompleted` counts with `completionType: atLeast`; here all branches must complete"
            lowering.problem("misplaced-property", message, f"{at}/numCompleted")
        return Parallel(tuple(branches), collect="merge", parallelism=window)
    need = _whole(lowering, body, "numCompleted", at)
    if isinstance(need, int) and not 1 <= need <= len(branches):
        message = f"`numCompleted` must be from 1 to {len(branches)}, the number of branches"
        lowering.problem("invalid-value", message, f"{at}/numCompleted")
    return Parallel(tuple(branches), need=need, collect="merge", parallelism=window)


def foreach(lowering: WorkflowLowering, body: JsonObject, at: str, following: Transition) -> Action:
    """Each iteration has a copy of the state data with its element in it (decisions B24 to B26)."""
    name = iteration_name(body)
    if name is None:
        message = f"{body['iterationParam']!r} must be one name: it holds the element in each iteration"
        lowering.problem("invalid-value", message, f"{at}/iterationParam")
        name = "item"
    batch = _whole(lowering, body, "batchSize", at)
    into = body.get("outputCollection")
    limit = action_timeout(lowering, (body, at))
    listed = objects(body.get("actions"))
    return ForEach(
        items=lowering.expression(body.get("inputCollection"), CONSTANTS, f"{at}/inputCollection"),
        item=name,
        index=None,
        body=actions.region(lowering, listed, f"{at}/actions", variables(name), limit, name=name),
        chained=False,
        batch=1 if body.get("mode") == "sequential" else 0 if batch is None else batch,
        into=None if into is None else lowering.path(into, f"{at}/outputCollection"),
        parallelism=lowering.parallelism(body.get("metadata"), f"{at}/metadata"),
    )


def _whole(lowering: WorkflowLowering, body: JsonObject, key: str, at: str) -> int | Expression | None:
    """The whole number at *key*, which may be written as text, or the expression that yields it (B26)."""
    value: Json = body.get(key)
    if value is None:
        return None
    if isinstance(value, str) and ("${" in value or value.lstrip().startswith((".", "$"))):
        return lowering.expression(value, CONSTANTS, f"{at}/{key}")
    text = str(value).strip().removesuffix(".0")
    if text.isdecimal() and len(text) < 10:
        return int(text)
    lowering.problem("invalid-value", f"`{key}` must be a whole number, not {value!r}", f"{at}/{key}")
    return None


LOWERINGS: dict[str, Callable[[WorkflowLowering, JsonObject, str, Transition], Action]] = {
    "callback": callback,
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
