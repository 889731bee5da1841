"""The ways out of a state and the regions inside it, each with its caption: what a drawing is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from workflow_engine.graph.captions import caught, condition, event_type, lasting, matched
from workflow_engine.graph.model import (
    Assign,
    Case,
    Catch,
    Compensate,
    ContinueAs,
    Emit,
    Event,
    ForEach,
    Handler,
    Operation,
    Parallel,
    Raise,
    Region,
    Sequence,
    Sleep,
    State,
    SubFlow,
    Switch,
    Transition,
    Try,
)
from workflow_engine.graph.phrases import NAME, clip


@dataclass(frozen=True, slots=True)
class Way:
    """One way from a state to another.

    *kind*: ``next``, ``case`` (of a switch), ``default`` (no case holds), ``skip`` (the state's condition does
    not hold), ``event`` (some of several events came), ``expired`` (none came in time), ``caught`` (it failed).
    """

    kind: str
    label: str
    then: Transition


@dataclass(frozen=True, slots=True)
class Part:
    """One region inside a state.

    *role*: ``body``, ``branch``, ``catch``, ``each`` (event), ``handler``. *label* tells when it is run.
    *title* names it. *then* is where the state goes on when the region is through; None: it is run again,
    or joined with others, before the state's own ways apply.
    """

    role: str
    label: str
    title: str
    region: Region
    then: Transition | None


def parts(state: State) -> tuple[Part, ...]:
    """The regions inside *state*, in document order."""
    match state.action:
        case Sequence(body):
            return (Part("body", "", body.name, body, state.next),)
        case Try(body, catch):
            tried = Part("body", "", body.name or "try", body, state.next)
            if catch.body is None:
                return (tried,)
            then = catch.then if catch.then is not None else state.next
            return tried, Part("catch", caught(catch), catch.body.name or "catch", catch.body, then)
        case Parallel(branches):
            return tuple(
                Part("branch", "", region.name or f"branch {number}", region, None)
                for number, region in enumerate(branches, 1)
            )
        case ForEach(item=item, body=body):
            return (Part("body", "each", body.name or f"for each {clip(item, NAME)}", body, None),)
        case Compensate(regions):
            undoing = {region.id: region for region in regions.values()}
            return tuple(
                Part("handler", "undo", region.name, region, state.next) for region in undoing.values()
            )
        case Event(each=each, handlers=handlers, ask=ask):
            asked = () if ask is None else (Part("body", "once it listens", ask.name or "ask", ask, None),)
            bodies = [] if each is None or each.body is None else [each.body]
            return (
                *asked,
                *(Part("each", "each event", body.name or "for each event", body, None) for body in bodies),
                *(
                    Part(
                        "handler",
                        _handled(state.action, handler),
                        handler.body.name or f"on {_types(state.action, handler)}",
                        handler.body,
                        handler.then if handler.then is not None else state.next,
                    )
                    for handler in handlers
                    if handler.body is not None
                ),
            )
        case Operation() | Switch() | Assign() | Emit() | Sleep() | Raise() | SubFlow() | ContinueAs():
            return ()
        case _:
            assert_never(state.action)


def ways(state: State) -> tuple[Way, ...]:
    """Where *state* itself goes, in the order in which a reader meets it; `parts` that go on are not repeated."""
    found: list[Way] = []
    match state.action:
        case Switch(cases):
            found += [
                Way("case" if case.when is not None else "default", _case(case), case.then) for case in cases
            ]
            if all(case.when is not None for case in cases):
                found.append(Way("default", "otherwise", state.next))
        case Event(handlers=handlers, expired=expired, timeout=timeout):
            found += [
                Way("event", _handled(state.action, handler), handler.then or state.next)
                for handler in handlers
                if handler.body is None
            ]
            if not handlers:
                found.append(Way("next", "", state.next))
            if expired is not None and timeout is not None:
                found.append(Way("expired", f"after {lasting(timeout)}", expired))
        case Try(catch=Catch(body=None, retry=None, then=then) as catch):
            found.append(Way("caught", caught(catch), then if then is not None else state.next))
        case ForEach():
            found.append(Way("next", "done", state.next))
        case Operation() | Parallel() | Assign() | Emit() | Sleep() | SubFlow() | Compensate():
            found.append(Way("next", "", state.next))
        case Raise() | Sequence() | Try() | ContinueAs():
            pass
        case _:
            assert_never(state.action)
    if state.when is not None:
        found.append(Way("skip", "if not", state.otherwise))
    found += [Way("caught", f"on {matched(rescue.errors)}", rescue.then) for rescue in state.rescues]
    return tuple(found)


def _case(case: Case) -> str:
    if case.when is None:
        return clip(case.name, NAME) or "otherwise"
    return clip(f"{clip(case.name, NAME)}: {condition(case.when)}" if case.name else condition(case.when))


def _handled(action: Event, handler: Handler) -> str:
    """Which events lead to *handler*; nothing where there is but one."""
    return _types(action, handler) if len(action.handlers) > 1 else ""


def _types(action: Event, handler: Handler) -> str:
    types = [event_type(action.strategy.filters[number]) for number in handler.filters[:4]]
    more = len(handler.filters) - len(types)
    word = " or " if action.strategy.mode == "any" else ", "
    return clip(word.join(types) + (f" and {more} more" if more else ""))
