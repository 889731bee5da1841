"""The compiled workflow: regions of states, and the transitions between them.

Everything here is frozen data in document order. Functions over it (run, render, analyse) match on the
closed union `Action`, and end in ``assert_never``, so that mypy names each of them when an action is added.
Both DSLs lower into these shapes; where they differ in meaning, the difference is a field, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from workflow_engine.expressions import Expression, Template
from workflow_engine.expressions.schemas import Schema
from workflow_engine.values import Duration, Json, JsonObject

StateId: TypeAlias = str
"""An RFC 6901 pointer into the document: ``/do/0/reserve``."""

Path: TypeAlias = "tuple[str | int, ...]"
"""Where in state data DSL 0.8 puts a result; the empty path is the root."""


# --- where to go next ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GoTo:
    """Go on with another state of the same region."""

    state: StateId


@dataclass(frozen=True, slots=True)
class Exit:
    """Complete the region. *breaks*: the region is the body of a loop, and the loop is left (decision A17)."""

    breaks: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """Complete the run, from however deep (decision A18)."""


Transition: TypeAlias = GoTo | Exit | End


# --- what happens to the data on the way in and out ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Validate:
    """Check the data against a JSON Schema; a mismatch is a validation fault. *what*: input, output, context."""

    schema: Schema
    what: str


@dataclass(frozen=True, slots=True)
class Transform:
    """The data becomes what the template yields (DSL 1.0 ``input.from``, ``output.as``, ``with``)."""

    template: Template | Expression


@dataclass(frozen=True, slots=True)
class Select:
    """The data becomes what the expression yields, unless that is null or nothing (DSL 0.8 filters, B7).

    *wrap*: a result that is not an object is put under this name (decision B1).
    """

    expression: Expression
    wrap: str | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """The context becomes what the template yields; the data stays as it is (DSL 1.0 ``export.as``)."""

    template: Template | Expression


@dataclass(frozen=True, slots=True)
class Merge:
    """The data is merged into the state's raw input at *path*, deep, by the rule of DSL 0.8.

    *name* is the member that holds a result that is no object when *path* is the root (decision B2).
    """

    path: Path
    name: str = "response"


@dataclass(frozen=True, slots=True)
class Restore:
    """The result is dropped and the data is the state's raw input again (DSL 0.8 ``useResults: false``)."""


DataStep: TypeAlias = Validate | Transform | Select | Export | Merge | Restore


# --- what a state does ---------------------------------------------------------------------------------------

Timing: TypeAlias = Duration | Expression
"""A duration, or an expression that yields one as ISO 8601 text."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Act on the world: one call of *kind* (``http``, ``openapi``, ``asyncapi``) with evaluated *arguments*.

    *resources* names what the bundle pins for the call; the caller gets it beside the arguments.
    """

    kind: str
    arguments: Template
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assign:
    """Replace the data by what the template yields, or with *merge* join it in (0.8 ``inject``)."""

    value: Template
    merge: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a switch; without *when* it is the default."""

    name: str
    when: Expression | None
    then: Transition


@dataclass(frozen=True, slots=True)
class Switch:
    """The first case that holds decides where to go; none: the state's own transition."""

    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Sequence:
    """A region of its own: a ``do``, the body of a function, the actions of a 0.8 state."""

    body: Region


@dataclass(frozen=True, slots=True)
class Parallel:
    """Branches side by side.

    *need*: how many must complete (None: all); the others are cancelled. *race*: the first branch to
    complete without a fault gives the output, and faults lose (decision A33). *collect*: ``array`` gives
    outputs in branch order, ``merge`` merges what each branch changed, in branch order (decision B27).
    """

    branches: tuple[Region, ...]
    need: int | None = None
    race: bool = False
    collect: str = "array"


@dataclass(frozen=True, slots=True)
class ForEach:
    """The body once for each item of a collection.

    *chained*: an iteration's input is the output of the one before, and the last output is the result
    (DSL 1.0). Otherwise each iteration gets a copy of the state data with the item at *item*, and the
    results are collected at *into* in input order (DSL 0.8); *batch* items run side by side (0: all,
    1: one after the other), each batch a barrier.
    """

    items: Expression | Template
    item: str
    index: str | None
    body: Region
    condition: Expression | None = None
    chained: bool = True
    batch: int = 1
    into: Path | None = None


@dataclass(frozen=True, slots=True)
class Emit:
    """Publish the CloudEvent that the template yields; missing id, source, time are supplied."""

    event: Template
    channel: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait; the data stays."""

    duration: Timing


@dataclass(frozen=True, slots=True)
class Raise:
    """Raise the error that the template yields."""

    error: Template


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often to try again. *limit* counts retries, not attempts (decision A26)."""

    when: Expression | None = None
    except_when: Expression | None = None
    delay: Timing | None = None
    backoff: str = "constant"
    factor: float = 2.0
    increment: Timing | None = None
    max_delay: Timing | None = None
    jitter: tuple[Timing, Timing] | None = None
    limit: int | None = None
    attempt_timeout: Timing | None = None
    budget: Timing | None = None


@dataclass(frozen=True, slots=True)
class Catch:
    """Which faults are caught, and what is done about them."""

    with_: Template | None
    variable: str
    when: Expression | None
    except_when: Expression | None
    retry: Retry | None
    body: Region | None
    then: Transition | None


@dataclass(frozen=True, slots=True)
class Try:
    """Run the body; a fault that *catch* accepts is retried, then handled."""

    body: Region
    catch: Catch


@dataclass(frozen=True, slots=True)
class EventFilter:
    """One filter of a listener. *attributes* is the finished part of the filter's JSON form (`filters`);
    *correlate* maps a key to where it is found and, if given, what it must be, evaluated when listening starts.
    """

    attributes: JsonObject
    correlate: tuple[tuple[str, str, Template | None], ...] = ()
    ignore_case: bool = False
    name: str = ""
    data_only: bool = True


@dataclass(frozen=True, slots=True)
class Strategy:
    """What to listen for: *mode* ``one``, ``any`` or ``all`` of the filters.

    *until* (with ``any``): listen on until an event of that strategy comes, or until that expression over
    the events so far holds. *variables* are what the filters' expressions use of the run.
    """

    mode: str
    filters: tuple[EventFilter, ...]
    until: Expression | Strategy | None = None
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EachEvent:
    """What is done with each event as it comes, first in, first out (DSL 1.0 ``listen.foreach``)."""

    item: str
    index: str
    body: Region | None
    leave: tuple[DataStep, ...]


@dataclass(frozen=True, slots=True)
class Handler:
    """What a 0.8 event state does with the events of some of its filters, by their numbers.

    *use*: the payload (or what *data* selects of it) is merged into state data at *path*, then *body* runs.
    """

    filters: tuple[int, ...]
    use: bool
    data: Expression | None
    path: Path
    body: Region | None
    then: Transition | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Wait for events.

    The output is the list of events, read as *read* (``data``, ``envelope``, ``raw``); with *handlers*
    (DSL 0.8) it is the state data after them. When *timeout* passes first: without *expired* that is a
    timeout fault, with it the run silently goes there (0.8 ``eventTimeout``).
    """

    strategy: Strategy
    channel: str
    read: str = "data"
    each: EachEvent | None = None
    handlers: tuple[Handler, ...] = ()
    timeout: Timing | None = None
    expired: Transition | None = None


@dataclass(frozen=True, slots=True)
class SubFlow:
    """Run another deployed workflow; *wait*: for its output. *version* None is the latest at that time."""

    namespace: str
    name: str
    version: str | None
    input: Template
    wait: bool = True


Action: TypeAlias = (
    Operation | Event | Switch | Parallel | ForEach | Assign | Emit | Sleep | Raise | Try | Sequence | SubFlow
)


@dataclass(frozen=True, slots=True)
class State:
    """One thing to do, what it sees of the data, and where to go next.

    *when* false skips the state: its raw input is its output and *otherwise* is where to go (decision A8).
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


@dataclass(frozen=True, slots=True)
class Region:
    """States that share one scope; transitions never leave it."""

    id: str
    entry: Transition
    states: Mapping[StateId, State]
    name: str = ""


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

    *state*: the 0.8 event state that takes the events; None: they are the run's input, as *read* (1.0).
    """

    strategy: Strategy
    channel: str
    read: str
    state: StateId | None


@dataclass(frozen=True, slots=True)
class StateGraph:
    """A workflow ready to run."""

    name: WorkflowName
    dialect: str
    root: Region
    source: JsonObject
    enter: tuple[DataStep, ...] = ()
    leave: tuple[DataStep, ...] = ()
    timeout: Timing | None = None
    trigger: Trigger | None = None
    title: str = ""
    summary: str = ""
    constants: Json = None
    resources: Mapping[str, Json] = field(default_factory=dict)

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
        case Raise():
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
    return tuple(dict.fromkeys(ways))


def walk(region: Region) -> Iterator[State]:
    """Every state of *region* and of the regions inside it, depth first, in document order."""
    for state in region.states.values():
        yield state
        for inner in regions_of(state.action):
            yield from walk(inner)
