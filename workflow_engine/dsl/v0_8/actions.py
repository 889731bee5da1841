"""Lower the actions of a 0.8 state: each becomes a state of an inner region, with its data filters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.dsl import bounds
from workflow_engine.dsl.v0_8 import errors, events, functions
from workflow_engine.dsl.v0_8.operations import function_type, operation_of
from workflow_engine.dsl.v0_8.variables import CONSTANTS
from workflow_engine.graph.model import (
    Action,
    Assign,
    DataStep,
    Event,
    Exit,
    Export,
    GoTo,
    Merge,
    Operation,
    Parallel,
    Region,
    Restore,
    Sequence,
    Sleep,
    State,
    Strategy,
    SubFlow,
    Timing,
    Transform,
    Transition,
)
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering


_NAMESPACED = re.compile(r"[A-Za-z][\w.-]*:\S+")
"""A function that SonataFlow's users add to the engine by a namespace, and do not define: ``acme:reserve``."""
_ROOT = re.compile(r"^(\s*(?:\$\{)?\s*)\$(?=[.\[])")


_STATUS = (
    Export(expressions.compile("{statusCode}", variables=())),
    Transform(expressions.compile(".content", variables=())),
)
"""Of a whole answer over HTTP, the status is kept for ``$WORKFLOW.statusCode``, and the content is the result."""


def without_root(text: str) -> str:
    """A path of JSONPath, such as ``$.customer.name``, as jq has it; a path of jq as it is."""
    return _ROOT.sub(r"\1", text)


def last_name(text: str) -> str | None:
    """The last member of *text* if it is a plain path: what a value found there is called."""
    found = expressions.assignment_path(without_root(text))
    if found and isinstance(found[-1], str):
        return found[-1]
    return None


def region(
    lowering: WorkflowLowering,
    listed: list[JsonObject],
    at: str,
    variables: frozenset[str],
    limit: Timing | None,
    *,
    name: str = "",
) -> Region:
    """The actions at *at*, one after the other; *limit* bounds each."""
    ids = [f"{at}/{number}" for number in range(len(listed))]
    ways: list[Transition] = [GoTo(_first(body, id)) for body, id in zip(listed, ids, strict=True)]
    ways.append(Exit())
    states: dict[str, State] = {}
    for number, body in enumerate(listed):
        for state in _action(lowering, body, ids[number], ways[number + 1], CONSTANTS | variables, limit):
            states[state.id] = state
    return Region(at, ways[0], states, name)


def single(lowering: WorkflowLowering, body: JsonObject, at: str, limit: Timing | None) -> Region:
    """The one action at *at*; *limit* bounds it."""
    states = {state.id: state for state in _action(lowering, body, at, Exit(), CONSTANTS, limit)}
    return Region(at, GoTo(_first(body, at)), states, _called(body))


def parallel(lowering: WorkflowLowering, listed: list[JsonObject], at: str, limit: Timing | None) -> Parallel:
    """The actions at *at* side by side, each on the same data, results merged in their order (B28)."""
    branches = []
    for number, body in enumerate(listed):
        id = f"{at}/{number}"
        states = {state.id: state for state in _action(lowering, body, id, Exit(), CONSTANTS, limit)}
        branches.append(Region(id, GoTo(_first(body, id)), states, _called(body)))
    return Parallel(tuple(branches), collect="merge")


def _sleeps(body: JsonObject) -> JsonObject:
    given = body.get("sleep")
    return given if isinstance(given, dict) else {}


def _first(body: JsonObject, at: str) -> str:
    """The state that the action at *at* begins with."""
    return f"{at}/sleep/before" if "before" in _sleeps(body) else at


def _action(
    lowering: WorkflowLowering,
    body: JsonObject,
    at: str,
    following: Transition,
    variables: frozenset[str],
    limit: Timing | None,
) -> list[State]:
    """One action: the act between its data filters, and its sleeps, which stand under its condition too.

    The condition is asked once, before everything else, of the state data (decision B49).
    """
    asked = body.get("condition")
    when = None if asked is None else lowering.condition(asked, variables, f"{at}/condition")
    name, sleeps = _called(body), _sleeps(body)
    states = []
    if "before" in sleeps:
        place = f"{at}/sleep/before"
        wait = Sleep(lowering.timing(sleeps["before"], variables, place))
        states.append(State(place, f"before {name}", wait, GoTo(at), following, when=when))
        when = None
    then = GoTo(f"{at}/sleep/after") if "after" in sleeps else following
    given = body.get("actionDataFilter")
    known: JsonObject = given if isinstance(given, dict) else {}
    place = f"{at}/actionDataFilter"
    scope = known.get("fromStateData")
    enter = (
        () if scope is None else (Transform(lowering.expression(scope, variables, f"{place}/fromStateData")),)
    )
    action, has_result = _target(lowering, body, at, variables, limit)
    called = action
    if not (isinstance(action, Operation) and not action.wait):
        action = errors.retried(lowering, body, at, name, action)
    leave = _results(lowering, known, place, variables, has_result=has_result)
    if isinstance(called, Operation) and called.kind == "http" and lowering.tells_status:
        leave = (*_STATUS, *leave)
    if has_result and "eventRef" in body:
        leave = (Transform(expressions.compile(".[0]", variables=())), *leave)
    states.append(State(at, name, action, then, following, when, enter, leave, limit))
    if "after" in sleeps:
        place = f"{at}/sleep/after"
        wait = Sleep(lowering.timing(sleeps["after"], variables, place))
        states.append(State(place, f"after {name}", wait, following, following))
    return states


def _called(body: JsonObject) -> str:
    """What a person knows the action by: its name, else what it refers to."""
    if body.get("name"):
        return str(body["name"])
    for key, member in (
        ("functionRef", "refName"),
        ("subFlowRef", "workflowId"),
        ("eventRef", "triggerEventRef"),
    ):
        reference = body.get(key)
        if reference is not None:
            return str(reference.get(member) if isinstance(reference, dict) else reference)
    return "action"


def _results(
    lowering: WorkflowLowering, known: JsonObject, at: str, variables: frozenset[str], *, has_result: bool
) -> tuple[DataStep, ...]:
    """Filter the result, and merge it into state data (dsl.md §2.6).

    With ``useResults: false`` the other filters of the result are to be ignored, but still to be right.
    """
    if not has_result:
        for key in ("results", "toStateData"):
            if key in known:
                message = f"`{key}` is for a result, and publishing or an async call gives none"
                lowering.problem("misplaced-property", message, f"{at}/{key}")
        return (Restore(),)
    path = lowering.path(known.get("toStateData"), f"{at}/toStateData")
    results = known.get("results")
    chosen = lowering.optional_expression(results, variables, f"{at}/results")
    if known.get("useResults", True) is False:
        return (Restore(),)
    name = (last_name(str(results)) if results is not None else None) or "response"
    steps: tuple[DataStep, ...] = () if chosen is None else (Transform(chosen),)
    return (*steps, Merge(path, name))


def _target(
    lowering: WorkflowLowering, body: JsonObject, at: str, variables: frozenset[str], limit: Timing | None
) -> tuple[Action, bool]:
    """What the action does, and whether that gives a result."""
    nothing = Sequence(Region(at, Exit(), {}))
    if "subFlowRef" in body:
        flow = _sub_flow(lowering, body, f"{at}/subFlowRef")
        return flow, flow.wait
    if "eventRef" in body:
        return _exchange(lowering, body, f"{at}/eventRef")
    reference, place = body.get("functionRef"), f"{at}/functionRef"
    known: JsonObject = reference if isinstance(reference, dict) else {"refName": reference}
    wait = known.get("invoke", "sync") != "async"
    name = str(known.get("refName"))
    if name not in lowering.functions and _NAMESPACED.fullmatch(name):
        message = f"no function is defined as {name!r}; it is taken for the registered function of that name"
        lowering.warning("earlier-form", message, place)
        lowering.functions[name] = ({"name": name, "type": "custom", "operation": name}, place)
    if name not in lowering.functions:
        where = f"{place}/refName" if isinstance(reference, dict) else place
        lowering.undefined("function", name, where)
        return nothing, True
    function, _ = lowering.functions[name]
    arguments = known.get("arguments")
    if function_type(function) == "expression":
        for key in ("arguments", "selectionSet"):
            if known.get(key):
                message = "an expression function takes nothing: it is evaluated on the state data"
                lowering.problem("misplaced-property", message, f"{place}/{key}")
        return Assign(lowering.function_template(name, variables)), wait
    operation = operation_of(function, lowering.data)
    if operation is None or name in lowering.broken:  # refused where it is defined
        return nothing, True
    called, has_result = functions.call(
        functions.Reference(lowering, function, known, arguments, operation, variables, place)
    )
    return called or nothing, has_result


def _exchange(lowering: WorkflowLowering, body: JsonObject, at: str) -> tuple[Action, bool]:
    """Publish an event, and wait for the one that answers it, unless it is async (decision B31).

    No answer in time is a timeout error of the action.
    """
    given = body["eventRef"]
    assert isinstance(given, dict)
    publish = events.produced(lowering, given, "triggerEventRef", at)
    if "resultEventRef" not in given:
        return publish, False
    answer = events.event_filter(lowering, str(given.get("resultEventRef")), f"{at}/resultEventRef")
    if given.get("invoke", "sync") == "async":
        return publish, False
    place = f"{at}/triggerEventRef"
    state = State(
        place, f"produce {given.get('triggerEventRef')}", publish, Exit(), Exit(), leave=(Restore(),)
    )
    bounds.check_timeout(lowering, given.get("resultEventTimeout"), f"{at}/resultEventTimeout")
    timeout = lowering.optional_timing(given.get("resultEventTimeout"), CONSTANTS, f"{at}/resultEventTimeout")
    read = "data" if answer.data_only else "envelope"
    waiting = Event(
        Strategy("any", (answer,)),
        publish.channel,
        read,
        timeout=timeout,
        ask=Region(place, GoTo(place), {place: state}, state.name),
    )
    return waiting, True


def _sub_flow(lowering: WorkflowLowering, body: JsonObject, at: str) -> SubFlow:
    reference: Json = body["subFlowRef"]
    known: JsonObject = reference if isinstance(reference, dict) else {"workflowId": reference}
    version = known.get("version")
    for key in ("workflowId", "version"):
        if "${" in str(known.get(key, "")):
            place = f"{at}/{key}" if isinstance(reference, dict) else at
            lowering.unsupported(f"an expression as `{key}`", place)
    waits = known.get("invoke", "sync") != "async"
    return SubFlow(
        namespace="default",
        name=str(known.get("workflowId")),
        version=None if version is None else str(version),
        input=lowering.template(lowering.everything, CONSTANTS, at),
        wait=waits,
        with_parent=not waits and known.get("onParentComplete", "terminate") != "continue",
    )
