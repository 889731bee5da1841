"""What is wrong or odd in a graph though its document is valid; found without running it.

=========================  ========  =================================================================
code                       severity
=========================  ========  =================================================================
``missing-target``         error     a transition leads to a state that its region does not have
``endless-loop``           error     a loop is never left and nothing in it waits or acts: it would spin
``endless-loop``           warning   a loop is never left, though it waits or acts
``unsatisfiable-join``     error     a join waits for more branches than there are
``busy-retry``             warning   whatever goes wrong is retried at once and for ever
``unreachable-state``      warning   no transition of the region leads to the state
``unreachable-case``       warning   a case of a switch comes after one that always holds, or repeats one
``race-of-one``            warning   a race has a single branch
``wait-without-timeout``   warning   DSL 0.8: nothing ends the wait when no event comes (decision B29)
=========================  ========  =================================================================

A loop that is cut short from outside, by the timeout of a state around it or by a race that another branch
wins, is left in a regular way and is not reported unless it spins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, assert_never

from workflow_engine.expressions import Expression
from workflow_engine.graph.model import (
    Action,
    Assign,
    Case,
    Catch,
    Compensate,
    ContinueAs,
    Emit,
    End,
    Event,
    Exit,
    ForEach,
    GoTo,
    Operation,
    Parallel,
    Raise,
    Region,
    Retry,
    Sequence,
    Sleep,
    State,
    StateGraph,
    StateId,
    SubFlow,
    Switch,
    Timing,
    Transition,
    Try,
    regions_of,
    transitions_of,
)
from workflow_engine.graph.phrases import NAME, clip
from workflow_engine.values import Duration

if TYPE_CHECKING:
    import networkx as nx  # which takes as long to import as all the rest of a command that analyses nothing


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: *code* as listed above, *severity* ``error`` or ``warning``.

    *state* is the pointer of the state that it is about, or of the region whose entry is wrong.
    """

    code: str
    message: str
    state: StateId
    severity: str = "warning"


def analyse(graph: StateGraph) -> list[Finding]:
    """Everything found in *graph*, in document order; the time taken grows with its size, not faster."""
    return _Analysis(graph).findings()


@dataclass(frozen=True, slots=True)
class _Traits:
    """What running something can come to: *pure* neither waits nor acts, *ends* may end the run, *raises*
    may raise a fault by a ``raise``.
    """

    pure: bool = True
    ends: bool = False
    raises: bool = False

    def __or__(self, other: _Traits) -> _Traits:
        return _Traits(self.pure and other.pure, self.ends or other.ends, self.raises or other.raises)


@dataclass(frozen=True, slots=True)
class _Known:
    """A state, with what only its surroundings tell: *bounded*, something around it may cut it short."""

    state: State
    traits: _Traits
    bounded: bool


_OUTSIDE = -1
"""The node for everything outside of a region. Where the walk enters regions is `_INSIDE`."""
_INSIDE = -2


class _Analysis:
    """Builds one directed graph of all regions, whose nodes are numbers in document order; regions share
    only the nodes for outside and inside, so that each algorithm runs once.
    """

    def __init__(self, graph: StateGraph) -> None:
        import networkx as nx

        self._graph = graph
        self._flow: nx.DiGraph[int] = nx.DiGraph()
        self._flow.add_nodes_from((_INSIDE, _OUTSIDE))
        self._known: list[_Known | None] = []
        self._found: list[tuple[int, Finding]] = []
        self._extensions: dict[str, _Traits] = {}

    def findings(self) -> list[Finding]:
        import networkx as nx

        for extension in self._graph.extensions:
            traits = [self._region(region, bounded=False) for region in extension.regions]
            self._extensions[extension.id] = reduce(or_, traits, _Traits())
        self._region(self._graph.root, bounded=False)
        if self._graph.before_end is not None:
            self._region(self._graph.before_end, bounded=False)
        reached = set(nx.descendants(self._flow, _INSIDE))
        for number, known in enumerate(self._known):
            if number not in reached and known is not None:
                self._report(
                    number,
                    "unreachable-state",
                    f"no transition leads to {_name(known.state)}; it is never run",
                    known.state,
                )
        self._loops(reached)
        ordered = sorted(self._found, key=lambda found: found[0])
        return list(dict.fromkeys(finding for _, finding in ordered))

    def _report(
        self, number: int, code: str, message: str, state: State | StateId, severity: str = "warning"
    ) -> None:
        id = state.id if isinstance(state, State) else state
        self._found.append((number, Finding(code, message, id, severity)))

    # --- one walk over all states -------------------------------------------------------------------------

    def _region(self, region: Region, *, bounded: bool) -> _Traits:
        """Add the states of *region* and of all regions inside it; what running it can come to."""
        first = len(self._known)
        numbers: dict[StateId, int] = {}
        total = _Traits()
        for id, state in region.states.items():
            numbers[id] = number = len(self._known)
            self._known.append(None)
            traits = self._state(number, state, bounded=bounded)
            for extension in state.extensions:
                traits |= self._extensions[extension.id]
            self._known[number] = _Known(state, traits, bounded)
            total |= traits
        self._enter(region, numbers, first)
        for id, number in numbers.items():
            state = region.states[id]
            self._ways(number, state, numbers)
            ends = any(isinstance(way, End) for way in _transitions(state))
            total |= _Traits(ends=ends)
        return total

    def _enter(self, region: Region, numbers: dict[StateId, int], first: int) -> None:
        match region.entry:
            case GoTo(state) if state in numbers:
                self._flow.add_edge(_INSIDE, numbers[state])
            case GoTo(state):
                message = f"it begins with {clip(state, NAME)!r}, which is not one of its states"
                self._report(first, "missing-target", message, region.id, "error")
            case Exit() | End():
                pass
            case _:
                assert_never(region.entry)
        trigger = self._graph.trigger
        if trigger is not None and trigger.state in numbers:
            self._flow.add_edge(_INSIDE, numbers[trigger.state])

    def _ways(self, number: int, state: State, numbers: dict[StateId, int]) -> None:
        known = self._known[number]
        self._flow.add_node(number)
        if known is not None and (known.traits.ends or known.traits.raises):
            self._flow.add_edge(number, _OUTSIDE)
        for way in _transitions(state):
            match way:
                case GoTo(target) if target in numbers:
                    self._flow.add_edge(number, numbers[target])
                case GoTo(target):
                    self._flow.add_edge(number, _OUTSIDE)
                    message = f"{_name(state)} goes on with {clip(target, NAME)!r}, which is not a state here"
                    self._report(number, "missing-target", message, state, "error")
                case Exit() | End():
                    self._flow.add_edge(number, _OUTSIDE)
                case _:
                    assert_never(way)

    def _state(self, number: int, state: State, *, bounded: bool) -> _Traits:
        """Look at *state* by itself and at the regions inside it; what running it can come to."""
        bounded = bounded or state.timeout is not None
        action = state.action
        inside = bounded or _cuts_short(action)
        if isinstance(action, Try):
            tried = self._region(action.body, bounded=inside or _attempt_bounded(action.catch.retry))
            self._retries(number, state, action.catch.retry)
            if _catches_everything(action.catch):
                tried = replace(tried, raises=False)
            handler = action.catch.body
            return tried if handler is None else tried | self._region(handler, bounded=bounded)
        self._action(number, state, action, bounded=bounded)
        traits = _own_traits(action)
        for region in regions_of(action):
            traits |= self._region(region, bounded=inside)
        return traits

    def _action(self, number: int, state: State, action: Action, *, bounded: bool) -> None:
        match action:
            case Switch():
                self._cases(number, state, action)
            case Parallel(branches, need):
                if isinstance(need, int) and need > len(branches):
                    message = f"{_name(state)} waits for {need} branches and has {len(branches)}"
                    self._report(number, "unsatisfiable-join", message, state, "error")
                if action.race and len(branches) == 1:
                    message = f"{_name(state)} is a race with one branch; without the race it is the same"
                    self._report(number, "race-of-one", message, state)
            case Event(timeout=None) if not bounded and self._graph.timeout is None:
                trigger = self._graph.trigger
                starts = trigger is not None and trigger.state == state.id
                if self._graph.dialect == "0.8" and not starts:
                    message = f"{_name(state)} waits for ever when no event comes; give it an eventTimeout"
                    self._report(number, "wait-without-timeout", message, state)
            case _:
                pass

    def _cases(self, number: int, state: State, action: Switch) -> None:
        """Cases that cannot be chosen, since an earlier one always is."""
        default, seen = None, dict[str, str]()
        for case in action.cases:
            if default is not None:
                message = f"case {case.name!r} of {_name(state)} is never chosen: {default!r} comes first"
                self._report(number, "unreachable-case", f"{message} and always holds", state)
            elif case.when is None:
                default = case.name
            elif case.when.source in seen:
                earlier = seen[case.when.source]
                message = f"case {case.name!r} of {_name(state)} is never chosen: {earlier!r} comes first"
                self._report(number, "unreachable-case", f"{message} with the same condition", state)
            else:
                seen[case.when.source] = case.name

    def _retries(self, number: int, state: State, retry: Retry | None) -> None:
        if retry is None or not _retries_for_ever(retry) or not _at_once(retry.delay):
            return
        if retry.jitter is not None or retry.increment is not None:
            return
        message = f"{_name(state)} is retried at once and for ever; give the retry a delay or a limit"
        self._report(number, "busy-retry", message, state)

    # --- loops --------------------------------------------------------------------------------------------

    def _loops(self, reached: set[int]) -> None:
        import networkx as nx

        for component in nx.strongly_connected_components(self._flow):
            members = sorted(component)
            first = members[0]
            if first < 0 or first not in reached:
                continue
            if len(members) == 1 and not self._flow.has_edge(first, first):
                continue
            if all(after in component for member in members for after in self._flow.successors(member)):
                self._loop(first, [known for member in members if (known := self._known[member]) is not None])

    def _loop(self, number: int, members: list[_Known]) -> None:
        names = ", ".join(_name(known.state) for known in members[:5])
        if len(members) > 5:
            names += f" and {len(members) - 5} more"
        subject = f"the loop of {names} is never left"
        if all(known.traits.pure for known in members):
            message = f"{subject}, and nothing in it waits or acts, so it would spin; give it a way out"
            self._report(number, "endless-loop", message, members[0].state, "error")
        elif not members[0].bounded:
            message = f"{subject}: only a fault, a timeout or a cancellation ends the run"
            self._report(number, "endless-loop", message, members[0].state)


def _transitions(state: State) -> Iterable[Transition]:
    """Everywhere *state* can go; without cases of a switch that can never be chosen, and without what comes
    of a timeout that is not there.
    """
    action = state.action
    if isinstance(action, Switch):
        state = replace(state, action=Switch(tuple(_until_default(action))))
    elif isinstance(action, Event) and action.timeout is None and action.expired is not None:
        state = replace(state, action=replace(action, expired=None))
    return transitions_of(state)


def _until_default(action: Switch) -> Iterator[Case]:
    for case in action.cases:
        yield case
        if case.when is None:
            return


def _own_traits(action: Action) -> _Traits:
    """What *action* does itself, without the regions inside it."""
    match action:
        case Operation() | Event() | Emit() | Sleep() | SubFlow():
            return _Traits(pure=False)
        case ContinueAs():
            return _Traits(pure=False, ends=True)
        case Raise():
            return _Traits(raises=True)
        case Switch() | Parallel() | ForEach() | Assign() | Try() | Sequence() | Compensate():
            return _Traits()
        case _:
            assert_never(action)


def _cuts_short(action: Action) -> bool:
    """Whether a region inside *action* may be cancelled, though nothing is wrong with it."""
    match action:
        case Parallel(branches, need, race):
            some = isinstance(need, Expression) or (need is not None and need < len(branches))
            return len(branches) > 1 and (race or some)
        case _:
            return False


def _attempt_bounded(retry: Retry | None) -> bool:
    return retry is not None and retry.attempt_timeout is not None


def _catches_everything(catch: Catch) -> bool:
    if catch.body is None and catch.retry is not None:
        return False
    filtered = (catch.with_ is not None and catch.with_.source != {}) or catch.errors is not None
    filtered = filtered or bool(catch.except_errors)
    return not filtered and catch.when is None and catch.except_when is None


def _retries_for_ever(retry: Retry) -> bool:
    return retry.limit is None and retry.budget is None and retry.when is None and retry.except_when is None


def _at_once(delay: Timing | None) -> bool:
    return delay is None or (isinstance(delay, Duration) and delay == Duration())


def _name(state: State) -> str:
    return f"'{clip(state.name, NAME)}'"
