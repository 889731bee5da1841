"""Lower the actions of a 0.8 state: each becomes a state of an inner region, with its data filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.expressions import Expression
from workflow_engine.graph.model import (
    Action,
    Assign,
    DataStep,
    Exit,
    GoTo,
    Merge,
    Operation,
    Region,
    Restore,
    Sequence,
    Sleep,
    State,
    SubFlow,
    Timing,
    Transform,
    Transition,
)
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

CONSTANTS = frozenset({"CONST"})


def last_name(text: str) -> str | None:
    """The last member of *text* if it is a plain path: what a value found there is called."""
    found = expressions.assignment_path(text)
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
    first: int = 0,
    name: str = "",
) -> Region:
    """The actions, one after the other. *first* is the number of the first one; *limit* bounds each."""
    ids = [f"{at}/{first + number}" for number in range(len(listed))]
    states: dict[str, State] = {}
    for number, body in enumerate(listed):
        following: Transition = GoTo(ids[number + 1]) if number + 1 < len(ids) else Exit()
        states[ids[number]] = _action(lowering, body, ids[number], following, CONSTANTS | variables, limit)
    return Region(ids[0] if first else at, GoTo(ids[0]) if ids else Exit(), states, name)


def _action(
    lowering: WorkflowLowering,
    body: JsonObject,
    at: str,
    following: Transition,
    variables: frozenset[str],
    limit: Timing | None,
) -> State:
    """One action: its condition, its sleeps, and the act itself between its data filters."""
    for key in ("retryRef", "retryableErrors", "nonRetryableErrors"):
        if body.get(key):
            lowering.unsupported(f"`{key}` of an action", f"{at}/{key}")
    condition = body.get("condition")
    when = lowering.optional_expression(condition, variables, f"{at}/condition")
    name = str(body.get("name") or _called(body))
    given = body.get("sleep")
    sleeps: JsonObject = given if isinstance(given, dict) else {}
    if not sleeps:
        return _act(lowering, body, at, name, following, variables, limit, when=when)
    # The sleeps are states of their own around the act, all under the action's condition.
    inner: dict[str, State] = {}
    after: Transition = Exit()
    if "after" in sleeps:
        inner[f"{at}/sleep/after"] = _sleep(lowering, sleeps, "after", at, name, Exit())
        after = GoTo(f"{at}/sleep/after")
    act = _act(lowering, body, f"{at}/act", name, after, variables, limit, source=at)
    entry: Transition = GoTo(act.id)
    if "before" in sleeps:
        inner[f"{at}/sleep/before"] = _sleep(lowering, sleeps, "before", at, name, GoTo(act.id))
        entry = GoTo(f"{at}/sleep/before")
    inner[act.id] = act
    return State(at, name, Sequence(Region(at, entry, inner)), following, following, when=when)


def _sleep(
    lowering: WorkflowLowering, sleeps: JsonObject, which: str, at: str, name: str, then: Transition
) -> State:
    place = f"{at}/sleep/{which}"
    return State(
        place, f"{which} {name}", Sleep(lowering.timing(sleeps[which], CONSTANTS, place)), then, then
    )


def _called(body: JsonObject) -> str:
    for key, member in (
        ("functionRef", "refName"),
        ("subFlowRef", "workflowId"),
        ("eventRef", "triggerEventRef"),
    ):
        reference = body.get(key)
        if isinstance(reference, str):
            return reference
        if isinstance(reference, dict):
            return str(reference.get(member))
    return "action"


def _act(
    lowering: WorkflowLowering,
    body: JsonObject,
    at: str,
    name: str,
    following: Transition,
    variables: frozenset[str],
    limit: Timing | None,
    *,
    source: str | None = None,
    when: Expression | None = None,
) -> State:
    place = source or at
    given = body.get("actionDataFilter")
    known: JsonObject = given if isinstance(given, dict) else {}
    enter: tuple[DataStep, ...] = ()
    if known.get("fromStateData") is not None:
        scope = lowering.expression(
            known["fromStateData"], variables, f"{place}/actionDataFilter/fromStateData"
        )
        enter = (Transform(scope),)
    action, has_result = _target(lowering, body, place, variables)
    return State(
        id=at,
        name=name,
        action=action,
        next=following,
        otherwise=following,
        when=when,
        enter=enter,
        leave=_results(lowering, known, f"{place}/actionDataFilter", variables, has_result=has_result),
        timeout=limit,
    )


def _results(
    lowering: WorkflowLowering, known: JsonObject, at: str, variables: frozenset[str], *, has_result: bool
) -> tuple[DataStep, ...]:
    """Filter the result, and merge it into state data (dsl.md §2.6); a publish has no result."""
    steps: tuple[DataStep, ...] = ()
    results = known.get("results")
    if results is not None:
        steps = (Transform(lowering.expression(results, variables, f"{at}/results")),)
    if not has_result or known.get("useResults", True) is False:
        return (*steps, Restore())
    name = (last_name(str(results)) if results is not None else None) or "response"
    return (*steps, Merge(lowering.path(known.get("toStateData"), f"{at}/toStateData"), name))


def _target(
    lowering: WorkflowLowering, body: JsonObject, at: str, variables: frozenset[str]
) -> tuple[Action, bool]:
    """What the action does, and whether that gives a result."""
    if "subFlowRef" in body:
        return _sub_flow(lowering, body, at), True
    if "eventRef" in body:
        lowering.unsupported("`eventRef` of an action", f"{at}/eventRef")
        return Sequence(Region(at, Exit(), {})), False
    reference = body.get("functionRef")
    name = str(reference.get("refName") if isinstance(reference, dict) else reference)
    function, place = lowering.functions.get(name, (None, ""))
    if function is None:
        lowering.unknown("unknown-function", "function", name, lowering.functions, f"{at}/functionRef")
        return Sequence(Region(at, Exit(), {})), False
    arguments = None
    if isinstance(reference, dict):
        arguments = reference.get("arguments")
        if reference.get("invoke") == "async":
            lowering.unsupported("`invoke: async` of a function", f"{at}/functionRef/invoke")
        if reference.get("selectionSet"):
            lowering.unsupported("`selectionSet`", f"{at}/functionRef/selectionSet")
    if function.get("authRef"):
        lowering.unsupported("`authRef` of a function", f"{place}/authRef")
    operation = str(function.get("operation"))
    where = f"{at}/functionRef/arguments"
    match function.get("type", "rest"):
        case "expression":
            return Assign(
                lowering.template("${ " + lowering.function_source(name, at) + " }", variables, place)
            ), True
        case "asyncapi":
            payload: Json = "${ . }" if arguments is None else arguments
            lowering.template(payload, variables, where)  # problems point at the arguments
            message: JsonObject = {"message": {"payload": payload}}
            return Operation("asyncapi", lowering.template(message, variables, where), (operation,)), False
        case "rest":
            document, _, operation_id = operation.rpartition("#")
            if not document or not operation_id:
                shape = f"{operation!r} must be <address of an OpenAPI document>#<operationId>"
                lowering.problem("invalid-value", shape, f"{place}/operation")
            call: JsonObject = {
                "document": {"endpoint": document},
                "operationId": operation_id,
                "parameters": arguments or {},
            }
            return Operation("openapi", lowering.template(call, variables, where), (operation,)), True
        case kind:
            lowering.unsupported(f"functions of type `{kind}`", f"{place}/type")
            return Sequence(Region(at, Exit(), {})), False


def _sub_flow(lowering: WorkflowLowering, body: JsonObject, at: str) -> Action:
    reference = body["subFlowRef"]
    known: JsonObject = reference if isinstance(reference, dict) else {"workflowId": reference}
    version = known.get("version")
    waits = known.get("invoke", "sync") != "async"
    if not waits and known.get("onParentComplete", "terminate") != "continue":
        message = "an async sub-flow that ends with its parent (`onParentComplete: terminate`)"
        lowering.unsupported(message, f"{at}/subFlowRef")
    return SubFlow(
        namespace="default",
        name=str(known.get("workflowId")),
        version=None if version is None else str(version),
        input=lowering.template("${ . }", CONSTANTS, at),
        wait=waits,
    )
