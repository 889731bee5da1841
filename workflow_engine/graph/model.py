"""The compiled workflow: regions of states, and the transitions between them.

Everything here, in `graph.flow` and in `graph.actions` is frozen data in document order. Functions over it
(run, render, analyse) match on the closed union `Action`, and end in ``assert_never``, so that mypy names each
of them when an action is added. Both DSLs lower into these shapes; where they differ in meaning, the
difference is a field, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from workflow_engine.expressions import Expression
from workflow_engine.graph.actions import (
    Action,
    Assign,
    Case,
    Catch,
    Compensate,
    ContinueAs,
    EachEvent,
    Emit,
    ErrorMatch,
    Event,
    EventFilter,
    ForEach,
    Handler,
    Messages,
    Operation,
    Parallel,
    Raise,
    Rescue,
    Retry,
    Sequence,
    Sleep,
    Strategy,
    SubFlow,
    Switch,
    Timing,
    Try,
)
from workflow_engine.graph.flow import (
    DataStep,
    End,
    Exit,
    Export,
    GoTo,
    Merge,
    Path,
    Restore,
    Select,
    StateId,
    Transform,
    Transition,
    Validate,
)
from workflow_engine.graph.lifecycle import Told
from workflow_engine.graph.schedule import Schedule
from workflow_engine.values import Duration, Json, JsonObject, pointer, resolve_pointer

__all__ = [
    "Action",
    "Assign",
    "Case",
    "Catch",
    "Compensate",
    "ContinueAs",
    "DataStep",
    "EachEvent",
    "Emit",
    "End",
    "ErrorMatch",
    "Event",
    "EventFilter",
    "Exit",
    "Export",
    "Extension",
    "ForEach",
    "GoTo",
    "Handler",
    "Merge",
    "Messages",
    "Operation",
    "Parallel",
    "Path",
    "Raise",
    "Region",
    "Rescue",
    "Restore",
    "Retry",
    "Schedule",
    "Select",
    "Sequence",
    "Sleep",
    "State",
    "StateGraph",
    "StateId",
    "Strategy",
    "SubFlow",
    "Switch",
    "Timing",
    "Transform",
    "Transition",
    "Trigger",
    "Try",
    "Validate",
    "WorkflowName",
    "keeps",
    "regions_of",
    "states_of",
    "transitions_of",
    "walk",
]


@dataclass(frozen=True, slots=True)
class State:
    """One thing to do, what it sees of the data, and where to go next.

    *when* false skips the state: its raw input is its output and *otherwise* is where to go (decision A8).
    *rescues*: where a fault of the state leads, the first that fits (DSL 0.8 ``onErrors``). *compensated*: its
    completion is remembered, for `Compensate` to undo it. *extensions*: what is done before and after the action (DSL
    1.0); the timeout is for the action alone.
    """

    id: StateId
    name: str
    action: Action
    next: Transition
    otherwise: Transition
    when: Expression | None = None
    enter: tuple[DataStep, ...] = ()
    leave: tuple[DataStep, ...] = ()
    timeout: Timing | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    rescues: tuple[Rescue, ...] = ()
    extensions: tuple[Extension, ...] = ()
    compensated: bool = False


@dataclass(frozen=True, slots=True)
class Region:
    """States that share one scope; transitions never leave it."""

    id: str
    entry: Transition
    states: Mapping[StateId, State]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Extension:
    """What is done *before* and *after* each of the states that it extends, if *when* holds of their input.

    A loop that *before* breaks out of is the extended state: what it has then is the state's output (decision A54).
    """

    id: str
    name: str
    when: Expression | None = None
    before: Region | None = None
    after: Region | None = None

    @property
    def regions(self) -> tuple[Region, ...]:
        return tuple(region for region in (self.before, self.after) if region is not None)


@dataclass(frozen=True, slots=True)
class WorkflowName:
    """What a deployed workflow is known by."""

    namespace: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Trigger:
    """Which events start a run, and what it gets of them.

    *state*: the 0.8 event state that takes the events; None: they are the run's input, as *read* (1.0). *keeps*: a run
    is kept active, and takes the further events that have its correlation, instead of another run (0.8, B19). All
    events of one run must come *within* that time from the first one on, or there is none (0.8, ``eventTimeout``).
    """

    strategy: Strategy
    channel: str
    read: str
    state: StateId | None
    keeps: bool = False
    within: Duration | None = None


@dataclass(frozen=True)
class StateGraph:
    """A workflow ready to run.

    When *timeout* passes the run is cut short, or stops before its next state if *interrupt* is false. Its end is then
    what *before_end* makes of the data, and else a timeout fault. *input_is_context*: ``$context`` begins as the
    transformed input, not as an empty object (decision A6). *lifecycle*: which lifecycle events its author wants; None:
    as the operator says. *express*: its calls are short and may be made again, so that they are made with the fewest
    operations, unless the metadata of a state say otherwise; False: each is to be an operation of its own; None: nobody
    has said. *keys*: by what its runs are found, from their input.
    """

    name: WorkflowName
    dialect: str
    root: Region
    source: JsonObject
    enter: tuple[DataStep, ...] = ()
    leave: tuple[DataStep, ...] = ()
    timeout: Timing | None = None
    interrupt: bool = True
    before_end: Region | None = None
    trigger: Trigger | None = None
    schedule: Schedule | None = None
    title: str = ""
    summary: str = ""
    constants: Json = None
    input_is_context: bool = False
    resources: Mapping[str, Json] = field(default_factory=dict)
    lifecycle: Told | None = None
    express: bool | None = None
    keys: Mapping[str, Expression] = field(default_factory=dict)
    functions: Mapping[str, Json] = field(default_factory=dict)
    """Functions from elsewhere, by the reference by which they are called."""
    extensions: tuple[Extension, ...] = ()
    """All that there are; the same ones are in the states that they extend."""

    def definition(self, id: StateId) -> Json:
        """What the author wrote of the state *id*; a function from elsewhere stands in ``use.functions``."""
        for name, function in self.functions.items():
            place = "/use/functions" + pointer(name)
            if id == place or id.startswith(place + "/"):
                return resolve_pointer(function, id[len(place) :])
        return resolve_pointer(self.source, id)

    @cached_property
    def states(self) -> Mapping[StateId, State]:
        """Its states by their ids (`states_of`): gathered once for all of its runs."""
        return {state.id: state for state in states_of(self)}

    @property
    def strict(self) -> bool:
        """Whether a condition must yield true or false (DSL 0.8), rather than anything jq calls true."""
        return self.dialect == "0.8"


def regions_of(action: Action) -> tuple[Region, ...]:
    """The regions inside *action*, in document order."""
    match action:
        case Sequence(body) | Try(body, Catch(body=None)):
            return (body,)
        case Try(body, Catch(body=Region() as handler)):
            return (body, handler)
        case Parallel(branches):
            return branches
        case ForEach(body=body):
            return (body,)
        case Event(each=EachEvent(body=Region() as body)):
            return (body,)
        case Compensate(regions):
            return tuple({region.id: region for region in regions.values()}.values())
        case Event(ask=Region() as ask, handlers=handlers):
            return (ask, *(handler.body for handler in handlers if handler.body is not None))
        case Event(handlers=handlers):
            return tuple(handler.body for handler in handlers if handler.body is not None)
        case _:
            return ()


def transitions_of(state: State) -> tuple[Transition, ...]:
    """Everywhere *state* can go, each once, in the order in which a reader meets them."""
    ways: list[Transition] = []
    match state.action:
        case Switch(cases):
            ways += [case.then for case in cases]
            if all(case.when is not None for case in cases):
                ways.append(state.next)
        case Raise() | ContinueAs():
            pass
        case Try(catch=Catch(then=then)):
            ways.append(state.next)
            if then is not None:
                ways.append(then)
        case Event(handlers=handlers, expired=expired):
            ways += [handler.then for handler in handlers if handler.then is not None]
            if not ways or any(handler.then is None for handler in handlers):
                ways.append(state.next)
            if expired is not None:
                ways.append(expired)
        case _:
            ways.append(state.next)
    if state.when is not None:
        ways.append(state.otherwise)
    ways += [rescue.then for rescue in state.rescues]
    return tuple(dict.fromkeys(ways))


def walk(region: Region) -> Iterator[State]:
    """Every state of *region* and of the regions inside it, depth first, in document order."""
    for state in region.states.values():
        yield state
        for inner in regions_of(state.action):
            yield from walk(inner)


def keeps(graph: StateGraph) -> bool:
    """Whether runs of *graph* that events have started are kept active (DSL 0.8)."""
    return graph.trigger is not None and graph.trigger.keeps


def states_of(graph: StateGraph) -> Iterator[State]:
    """Every state of *graph*, as `walk` has them; those that run before its end; those of its extensions, each once."""
    yield from walk(graph.root)
    if graph.before_end is not None:
        yield from walk(graph.before_end)
    for extension in graph.extensions:
        for region in extension.regions:
            yield from walk(region)
