"""Where a 0.8 state goes, and what is done on the way: compensation, events, another workflow (dsl.md §2.11).

Each of them is a state of its own, named after its place in the document, between the state and where it leads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.dsl.v0_8 import events, timeouts
from workflow_engine.errors import fault
from workflow_engine.graph.model import (
    Action,
    Case,
    Compensate,
    ContinueAs,
    DataStep,
    End,
    Event,
    EventFilter,
    Exit,
    GoTo,
    Raise,
    Restore,
    State,
    Strategy,
    Switch,
    Transition,
)
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

CONSTANTS = frozenset({"CONST"})
KEPT = "/keepActive"
"""The state in which a run waits that has nothing left to do and is kept active."""


def checked(lowering: WorkflowLowering, body: JsonObject, at: str, then: Transition) -> Transition:
    """*then*, or the check before it that ``metadata: {errorMessage: …}`` asks for, which SonataFlow has.

    It is an expression: what it yields is the detail of the error that the run ends with; null is none.
    """
    metadata = body.get("metadata")
    text = metadata.get("errorMessage") if isinstance(metadata, dict) else None
    if not isinstance(text, str) or lowering.compensating:
        return then
    place = f"{at}/metadata/errorMessage"
    message = "metadata says nothing of what a run does; `errorMessage` is read as SonataFlow has it"
    lowering.warning("earlier-form", message, place)
    program = lowering.in_jq(lowering.unwrapped(text), place)
    asked = lowering.expression(f"({program}\n) != null", CONSTANTS, place)
    error = {**fault("runtime", "", status=400).error.to_json(), "detail": f"${{ {program}\n | tostring }}"}
    raised = f"{place}/raise"
    lowering.extra[raised] = State(
        raised, "error message", Raise(lowering.template(error, CONSTANTS, place)), End(), End()
    )
    cases = (Case("error", asked, GoTo(raised)), Case("default", None, then))
    return _between(lowering, place, f"check {body.get('name')}", Switch(cases), then, (), ends=False)


def way(lowering: WorkflowLowering, body: JsonObject, at: str) -> Transition:
    """Where ``transition`` or ``end`` of *body* leads: first it compensates, then it publishes, then it goes on."""
    transition, end = body.get("transition"), body.get("end")
    if transition is not None:
        place = f"{at}/transition"
        if not isinstance(transition, dict):
            return lowering.to(str(transition), place)
        then = lowering.to(str(transition.get("nextState")), f"{place}/nextState")
        return _first(lowering, transition, place, then, ends=False)
    if lowering.compensating:
        return Exit()  # the end of a compensation state means nothing (specification 0.8, "Compensation")
    details: JsonObject = end if isinstance(end, dict) else {}
    place = f"{at}/end"
    continued = details.get("continueAs")
    if continued is not None:
        return _first(lowering, details, place, _continue(lowering, continued, place), ends=True)
    kept = lowering.data.get("keepActive") is True and not details.get("terminate")
    then = _kept(lowering) if kept else End()
    return _first(lowering, details, place, then, ends=True)


def _first(
    lowering: WorkflowLowering, details: JsonObject, at: str, then: Transition, *, ends: bool
) -> Transition:
    """The first of the states that stand before *then*."""
    listed = details.get("produceEvents")
    items = listed if isinstance(listed, list) else []
    for number in reversed(range(len(items))):
        item, place = items[number], f"{at}/produceEvents/{number}"
        assert isinstance(item, dict)
        action = events.produced(lowering, item, "eventRef", place)
        then = _between(
            lowering, place, f"produce {item.get('eventRef')}", action, then, (Restore(),), ends=ends
        )
    if details.get("compensate"):
        if lowering.compensating:
            message = "a compensation state cannot compensate"
            lowering.problem("misplaced-compensation", message, f"{at}/compensate")
            return then
        undo = Compensate(lowering.compensations)
        then = _between(lowering, f"{at}/compensate", "compensate", undo, then, (), ends=ends)
    return then


def _between(
    lowering: WorkflowLowering,
    at: str,
    name: str,
    action: Action,
    then: Transition,
    leave: tuple[DataStep, ...],
    *,
    ends: bool,
) -> GoTo:
    lowering.extra[at] = State(at, name, action, then, then, leave=leave)
    return GoTo(at, ends)


def _continue(lowering: WorkflowLowering, given: Json, at: str) -> GoTo:
    """Go on as another workflow, with ``data``, or else with the state data."""
    place = f"{at}/continueAs"
    details: JsonObject = given if isinstance(given, dict) else {"workflowId": given}
    data: Json = details.get("data", lowering.everything)
    if isinstance(data, str) and expressions.unwrap(data) is None:
        data = f"${{ {data}\n}}"
    version = details.get("version")
    timeouts.check(lowering, details.get("workflowExecTimeout"), f"{place}/workflowExecTimeout")
    action = ContinueAs(
        "default",
        str(details.get("workflowId")),
        None if version is None else str(version),
        lowering.template(data, CONSTANTS, f"{place}/data"),
        details.get("workflowExecTimeout"),
    )
    return _between(lowering, place, f"continue as {action.name}", action, End(), (), ends=True)


def _kept(lowering: WorkflowLowering) -> Transition:
    """Where a run goes that is kept active: back to the event state that it began with, or nowhere (B19)."""
    start = lowering.start
    if isinstance(start, GoTo) and lowering.starts_by_event:
        return start
    nothing = EventFilter({"type": {"equals": ""}}, name="nothing: it is kept active")
    lowering.extra[KEPT] = State(
        KEPT, "kept active", Event(Strategy("any", (nothing,)), "default"), End(), End()
    )
    return GoTo(KEPT, ends=True)
