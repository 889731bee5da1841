"""Which states of a 0.8 workflow stand where: its own, those that undo, those that run before it is ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflow_engine.graph.model import GoTo, Region, State, transitions_of
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering


def undoing(lowering: WorkflowLowering, states: list[JsonObject]) -> list[JsonObject]:
    """*states*, those marked as compensation states to which only ``onErrors`` of such states lead.

    They need the mark, by the specification; SonataFlow runs them without it.
    """
    others: set[str] = {str(lowering.data.get("start"))}
    handlers: set[str] = set()
    for state in states:
        _targets(state, others, handlers if state.get("usedForCompensation") else others)
    found = []
    handlers -= others
    for number, state in enumerate(states):
        name = str(state.get("name"))
        if number and name in handlers and not state.get("usedForCompensation"):
            message = f"{name!r} needs `usedForCompensation: true`: only compensation states lead to it"
            lowering.warning("earlier-form", message, f"/states/{number}")
            state = {**state, "usedForCompensation": True}
        found.append(state)
    return found


_LEADING = frozenset({"transition", "nextState", "compensatedBy"})
_OF_DATA = frozenset({"data", "metadata", "arguments"})


def _targets(value: JsonObject, found: set[str], of_error: set[str]) -> None:
    """Put every state that *value* leads to into *found*, or, by ``onErrors``, into *of_error*."""
    for key, item in value.items():
        if isinstance(item, str):
            if key in _LEADING:
                found.add(item)
        elif key not in _OF_DATA:
            into = of_error if key == "onErrors" else found
            if isinstance(item, dict):
                _targets(item, into, of_error)
            elif isinstance(item, list):
                for part in _objects_in(item):
                    _targets(part, into, of_error)


def _objects_in(value: list[Json]) -> Iterator[JsonObject]:
    """The objects of a list, and of lists in it."""
    for item in value:
        if isinstance(item, dict):
            yield item
        elif isinstance(item, list):
            yield from _objects_in(item)


def compensated(lowering: WorkflowLowering, body: JsonObject, at: str) -> bool:
    """Whether a state that completed can be undone, by ``compensatedBy`` (decision B34)."""
    name, place = body.get("compensatedBy"), f"{at}/compensatedBy"
    if lowering.compensating:
        if body.get("type") == "event":
            message = "an event state cannot be used for compensation"
            lowering.problem("misplaced-compensation", message, f"{at}/usedForCompensation")
        if name is not None:
            message = "a compensation state has no compensation of its own"
            lowering.problem("misplaced-compensation", message, place)
        return False
    if name is None:
        return False
    lowering.compensating = True  # it may lead to a compensation state, and to nothing else
    undo = lowering.to(str(name), place)
    lowering.compensating = False
    if isinstance(undo, GoTo):
        lowering.undoing[at] = undo
    return isinstance(undo, GoTo)


def divided(lowering: WorkflowLowering, lowered: dict[str, State]) -> tuple[Region, Region | None]:
    """The region of the workflow, and that of ``runBefore``; those of compensation are filled in.

    Whatever `runBefore` alone leads to is only in its region.
    """
    every = {**lowered, **lowering.extra}
    for id, entry in lowering.undoing.items():
        states = {state: every[state] for state in _reached(every, {entry.state})}
        name = every[entry.state].name if entry.state in every else ""
        lowering.compensations[id] = Region(entry.state, entry, states, name)
    elsewhere = {id for region in lowering.compensations.values() for id in region.states}
    before = _before_end(lowering, every)
    if before is not None:
        elsewhere |= before.states.keys()
    own = _reached(every, {lowering.start.state} if isinstance(lowering.start, GoTo) else set())
    root = {id: state for id, state in every.items() if id in own or id not in elsewhere}
    if before is not None and isinstance(before.entry, GoTo) and before.entry.state in own:
        message = "the workflow comes to this state by itself; `runBefore` needs one that nothing leads to"
        lowering.problem("invalid-value", message, before.id)
    return Region("/states", lowering.start, root), before


def _before_end(lowering: WorkflowLowering, every: dict[str, State]) -> Region | None:
    """The states that are run when the time of the workflow is up (``runBefore``)."""
    entry = lowering.before_end
    if entry is None:
        return None
    reached = _reached(every, {entry.state})
    states = {id: state for id, state in every.items() if id in reached}
    return Region("/timeouts/workflowExecTimeout/runBefore", entry, states, "before the end")


def _reached(every: dict[str, State], first: set[str]) -> set[str]:
    """Every state that can be come to from *first*, those included."""
    found: set[str] = set()
    waiting = [id for id in first if id in every]
    while waiting:
        id = waiting.pop()
        if id not in found:
            found.add(id)
            ways = transitions_of(every[id])
            waiting += [way.state for way in ways if isinstance(way, GoTo) and way.state in every]
    return found
