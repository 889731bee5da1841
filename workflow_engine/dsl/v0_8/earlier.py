"""What the specification of DSL 0.8 requires, and earlier engines did without: it is read as they read it.

Their users' files are full of it. Each place gets a warning that says how the specification has it; what is read is the
least that the place can mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflow_engine.dsl.v0_8.definitions import objects
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

CODE = "earlier-form"
_LISTS = ("functions", "events", "errors", "retries")


def check(lowering: WorkflowLowering) -> None:
    """Warn of each of them that stands in the document, whatever refers to it."""
    for message, at in _found(lowering.data):
        lowering.warning(CODE, message, at)


def _found(data: JsonObject) -> Iterator[tuple[str, str]]:
    start = data.get("start")
    if isinstance(start, dict) and "schedule" not in start:
        yield "`start` as an object has a `schedule`; without one it is the name of the state", "/start"
    for kind in _LISTS:
        if kind in data and not data[kind]:
            yield f"`{kind}` is empty, which it must not be; it is read as left out", f"/{kind}"
    for number, event in enumerate(objects(data.get("events"))):
        if event.get("kind", "consumed") == "consumed" and not event.get("source"):
            message = "an event that is consumed has a `source`; without one it is taken from every source"
            yield message, f"/events/{number}"
    for number, state in enumerate(objects(data.get("states"))):
        yield from _in_state(state, f"/states/{number}")


def _in_state(state: JsonObject, at: str) -> Iterator[tuple[str, str]]:
    none = "needs `actions`; without them it does nothing"
    if state.get("type") == "operation" and state.get("actions") is None:
        yield f"an operation state {none}", at
    if state.get("type") == "switch" and "defaultCondition" not in state:
        message = "a switch needs `defaultCondition`; without one a run faults for which no condition holds"
        if "eventConditions" in state:
            message = (
                "a switch needs `defaultCondition`; without one a run faults when its `eventTimeout` passes"
            )
        yield message, at
    if "actions" in state:
        yield from _in_actions(state["actions"], f"{at}/actions")
    if "action" in state:
        yield from _in_actions([state["action"]], f"{at}/action", single=True)
    for number, entry in enumerate(objects(state.get("onEvents"))):
        yield from _in_actions(entry.get("actions"), f"{at}/onEvents/{number}/actions")
    for number, branch in enumerate(objects(state.get("branches"))):
        place = f"{at}/branches/{number}"
        if branch.get("actions") is None:
            yield f"a branch {none}", place
        if "name" not in branch:
            yield f"a branch needs a `name`; this one is called {branch_name(branch, number)!r}", place
        yield from _in_actions(branch.get("actions"), f"{place}/actions")


def _in_actions(actions: Json, at: str, *, single: bool = False) -> Iterator[tuple[str, str]]:
    for number, action in enumerate(objects(actions)):
        place = at if single else f"{at}/{number}"
        event, function = action.get("eventRef"), action.get("functionRef")
        if isinstance(event, dict) and "resultEventRef" not in event:
            message = (
                "`eventRef` needs `resultEventRef`, an event that answers; without one it publishes alone"
            )
            yield message, f"{place}/eventRef"
        if isinstance(function, dict) and "name" in function:
            yield "`functionRef` has no `name`; it has no effect", f"{place}/functionRef/name"


def branch_name(branch: JsonObject, number: int) -> str:
    """What a branch is called."""
    return str(branch.get("name", f"branch {number + 1}"))
