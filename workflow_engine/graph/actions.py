"""What a state does: the closed union `Action`, and what its members are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from workflow_engine.expressions import Expression, Template
from workflow_engine.graph.flow import DataStep, Path, StateId, Transition
from workflow_engine.values import Duration, Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.graph.model import Region

PROCESSES = frozenset({"script", "shell", "container"})
"""The kinds of operations that are processes: they take the time they take, not that of a call."""
Timing: TypeAlias = Duration | Expression
"""A duration, or an expression that yields one as ISO 8601 text."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Act on the world: one call of *kind* (``http``, ``asyncapi``, ``script``…) with evaluated *arguments*.

    *resources* names what the bundle pins for the call; the caller gets it beside the arguments. *secrets* names those
    that the arguments use: where there are any, the arguments are evaluated where the call is made. *timeout* is the
    time that the arguments themselves allow the call; the state may have another one. Without *wait* the call
    is begun and goes on by itself, whatever becomes of the run; the output is the input. *authorization* is the policy
    that the call is authenticated by, and gives `$authorization`.
    """

    kind: str
    arguments: Template
    resources: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    timeout: Timing | None = None
    wait: bool = True
    authorization: Template | None = None


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
    """A region of its own: a ``do``, the body of a function, the actions of a 0.8 state.

    *input* yields what the body begins with: the arguments of a function. Without it that is the data.
    """

    body: Region
    input: Template | None = None


@dataclass(frozen=True, slots=True)
class Parallel:
    """Branches side by side.

    *need*: how many must complete (None: all); the others are cancelled. *race*: the first branch to
    complete without a fault gives the output, and faults lose (decision A33). *collect*: ``array`` gives
    outputs in branch order, ``merge`` merges what each branch changed, in branch order (decision B27).
    *parallelism*: how many branches are under way at once, where the author says it.
    """

    branches: tuple[Region, ...]
    need: int | Expression | None = None
    race: bool = False
    collect: str = "array"
    parallelism: int | None = None


@dataclass(frozen=True, slots=True)
class ForEach:
    """The body once for each item of a collection.

    *chained*: an iteration's input is the output of the one before, and the last output is the result
    (DSL 1.0). Otherwise each iteration gets a copy of the state data with the item at *item*, and the
    results are collected at *into* in input order (DSL 0.8); *batch* items run side by side (0: all,
    1: one after the other), each batch a barrier. *apart*: each iteration begins with the input, like a branch, and the
    outputs are the result, an array in input order (DSL 1.0, ``metadata.mode: parallel``). *parallelism*: how many
    iterations are under way at once, where the author says it.
    """

    items: Expression | Template
    item: str
    index: str | None
    body: Region
    condition: Expression | None = None
    chained: bool = True
    batch: int | Expression = 1
    into: Path | None = None
    parallelism: int | None = None
    apart: bool = False


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
class ErrorMatch:
    """An error definition of DSL 0.8, known by its *code* or else its *name* (decision B15); ``*`` is every error."""

    name: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Rescue:
    """Where a state of DSL 0.8 goes when it fails with one of *errors* (``onErrors``)."""

    errors: tuple[ErrorMatch, ...]
    then: Transition


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often to try again. *limit* counts retries, not attempts (decision A26).

    *backoff* is ``constant``, ``linear`` or ``exponential`` (DSL 1.0), or ``progressive``: each delay is made of the
    one before (DSL 0.8, decision B13). *jitter* is added, between its two edges; *spread* is added or taken away: a
    time, or a part of the delay.
    """

    when: Expression | None = None
    except_when: Expression | None = None
    delay: Timing | None = None
    backoff: str = "constant"
    factor: float = 2.0
    increment: Timing | None = None
    max_delay: Timing | None = None
    jitter: tuple[Timing, Timing] | None = None
    spread: float | Timing | None = None
    limit: int | Expression | None = None
    attempt_timeout: Timing | None = None
    budget: Timing | None = None


@dataclass(frozen=True, slots=True)
class Catch:
    """Which faults are caught, and what is done about them.

    *errors* and *except_errors* are those of DSL 0.8: only the first (None: all), and none of the others.
    """

    with_: Template | None
    variable: str
    when: Expression | None
    except_when: Expression | None
    retry: Retry | None
    body: Region | None
    then: Transition | None
    errors: tuple[ErrorMatch, ...] | None = None
    except_errors: tuple[ErrorMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class Try:
    """Run the body; a fault that *catch* accepts is retried, then handled."""

    body: Region
    catch: Catch


@dataclass(frozen=True, slots=True)
class EventFilter:
    """One filter of a listener. *attributes* is the finished part of the filter's JSON form (`filters`);
    *correlate* maps a key to where it is found and, if given, what it must be, evaluated when listening starts.
    *remembers*: where nothing is given, a key must be what the run remembers of it (0.8, decision B20).
    """

    attributes: JsonObject
    correlate: tuple[tuple[str, str, Template | None], ...] = ()
    ignore_case: bool = False
    name: str = ""
    data_only: bool = True
    remembers: bool = False


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
class Messages:
    """What an `Event` takes are messages of an AsyncAPI operation (``call: asyncapi`` with a subscription).

    *resource* is the operation that the bundle pins: its address is the channel. *filter* is asked of each message;
    those that it does not hold of are left alone. *amount* messages are enough; so are those that have come when
    *until*, asked before each, holds of them, or when *keep*, asked after each, does not, or after *lasts*.

    *bridge* is the call that brings them from a broker; without it they are what is published in the router.
    """

    resource: str
    filter: Expression | None = None
    amount: int | None = None
    keep: Expression | None = None
    until: Expression | None = None
    lasts: Timing | None = None
    bridge: Operation | None = None


@dataclass(frozen=True, slots=True)
class Handler:
    """What a 0.8 event state does with the events of some of its filters, by their numbers.

    *use*: the payload (or what *data* selects of it) is merged into state data at *path*, then *body* runs.
    *name* is the member that holds a payload that is no object when *path* is the root (decision B2).
    """

    filters: tuple[int, ...]
    use: bool
    data: Expression | None
    path: Path
    body: Region | None
    then: Transition | None = None
    name: str = "response"


@dataclass(frozen=True, slots=True)
class Event:
    """Wait for events.

    The output is the list of events, read as *read* (``data``, ``envelope``, ``raw``); with *handlers*
    (DSL 0.8) it is the state data after them. When *timeout* passes first: without *expired* that is a
    timeout fault, with it the run silently goes there (0.8 ``eventTimeout``). With *messages* they say which events
    are taken, of which channel, and how they are read; *strategy* then only names them.

    *ask* is done once the run listens, so that no answer to it is missed (0.8 ``callback`` and ``eventRef``, B30);
    its output is the state data from then on. The run's own events are not taken for the answer (B31).
    """

    strategy: Strategy
    channel: str
    read: str = "data"
    each: EachEvent | None = None
    handlers: tuple[Handler, ...] = ()
    timeout: Timing | None = None
    expired: Transition | None = None
    messages: Messages | None = None
    ask: Region | None = None


@dataclass(frozen=True, slots=True)
class Compensate:
    """Undo what completed: for each completed state that is in *regions*, last one first, its region (DSL 0.8, B34).

    Each gets the data of the one before; the last one's are the output.
    """

    regions: Mapping[StateId, Region]


@dataclass(frozen=True, slots=True)
class ContinueAs:
    """End this run and begin one of another workflow in its place, under the same id (DSL 0.8 ``continueAs``).

    *timeout* is the ``workflowExecTimeout`` that takes the place of that workflow's own, as it is written.
    """

    namespace: str
    name: str
    version: str | None
    input: Template
    timeout: Json = None


@dataclass(frozen=True, slots=True)
class SubFlow:
    """Run another deployed workflow; *wait*: for its output. *version* None is the latest at that time.

    *with_parent*: one that is not waited for ends when this run ends.
    """

    namespace: str
    name: str
    version: str | None
    input: Template
    wait: bool = True
    with_parent: bool = False


Action: TypeAlias = (
    Operation
    | Event
    | Switch
    | Parallel
    | ForEach
    | Assign
    | Emit
    | Sleep
    | Raise
    | Try
    | Sequence
    | SubFlow
    | Compensate
    | ContinueAs
)
