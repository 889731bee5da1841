"""The port through which a run reaches the world. Runtimes implement it; the interpreter only asks.

Combinators are here too, for the host decides how things run side by side: under Temporal their order must
be the same on every replay, and locally the clock is virtual.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar

from workflow_engine.errors import Error, Fault
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.interpreter.lifecycle import Audience

T = TypeVar("T")
Thunk: TypeAlias = Callable[[], Awaitable[T]]


class Expired(Exception):
    """Raised by `Effects.within` when the time is up; the work has been cancelled."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which execution of which state asks.

    *id* is unique in the run and the same on every replay and resume: the state's pointer, and ``#2`` and
    so on from its second execution. *label* is what a person reads in the Temporal UI. *express*: what is done here is
    short and may be made again, so that a runtime may do it with fewer operations; False: it is to be an operation of
    its own; None: nobody has said.
    """

    id: str
    state: str
    label: str
    express: bool | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call: *arguments* are evaluated; *resources* are what the bundle pins for it.

    *timeout* is in seconds and bounds the whole call; None leaves it to the runtime's settings. Without *wait* the call
    is only begun, and its output null; it ends when it ends, also after the run.

    Where the arguments use secrets their values must not be known here, and *deferred* has what is needed where the
    call is made: the names of the ``secrets``, and the ``nonce`` of the run if it has references to secrets. With the
    ``input`` of the state and its other ``variables``, *arguments* are still a template that is evaluated with them;
    ``at`` is then where they stand in the document, and ``policy`` that of the authentication whose credentials are
    `$authorization`.

    With *attempts*, the plan of a policy (`attempts.planned`), whoever makes the call makes all its attempts; then
    *timeout* bounds each of them. With *filtered* its output is what these filters make of it (`projecting`).

    A call with a *reception* receives messages for a listener until it has as many as were asked for, or is cancelled:
    it has no timeout, and goes on elsewhere when its worker is lost. *reception* says where they go
    (`calls.context.Reception`).
    """

    kind: str
    arguments: JsonObject
    resources: Mapping[str, Json] = field(default_factory=dict)
    timeout: float | None = None
    deferred: JsonObject | None = None
    wait: bool = True
    reception: JsonObject | None = None
    attempts: JsonObject | None = None
    filtered: JsonObject | None = None


class Attempted(Fault):
    """The fault of a call with `Call.attempts`; *told* is how far it had come (`attempts.Retrying`)."""

    def __init__(self, error: Error, told: JsonObject) -> None:
        super().__init__(error)
        self.told = told


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Something to evaluate where the values of *secrets* may be known: *source* is an *expression*, or a template.

    *how*: as a ``value``, with references of *nonce* in the place of the values (`interpreter.references`); or as a
    condition, to true or false: ``truth`` as jq sees it, or ``strict``. *input* is its ``.``, *variables* are the
    others. *authorization* is the ``policy`` of the state's call as a template, with the ``input`` and ``variables`` of
    its own: what it gives is `$authorization`. *at* is where in the document it stands. *namespace* is that of the
    workflow, by which it is judged which secrets there are.
    """

    source: Json
    expression: bool
    how: str
    input: Json
    variables: JsonObject
    secrets: tuple[str, ...]
    nonce: str
    authorization: JsonObject | None = None
    at: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Listener:
    """What a waiting state wants: a strategy in the JSON form of `filters`, on one channel.

    After *seconds*, if they are given, the next arrival is one that is `Arrival.closed`.
    """

    spec: JsonObject
    channel: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that a listener accepted, by filter number *index*.

    *complete*: it was the last one. *ends*: it satisfied ``until`` and is itself not part of the output.
    *closed*: it is no event; the listener's time is up.
    """

    event: JsonObject
    index: int
    complete: bool
    ends: bool = False
    closed: bool = False


CLOSED = Arrival({}, 0, complete=False, closed=True)
"""What arrives when a listener's time is up, behind all that came in time."""


@dataclass(frozen=True, slots=True)
class SubRun:
    """A run of another deployed workflow; *version* None is the latest one.

    *with_parent*: one that is not waited for ends when this run ends. *alone*: nothing else of this run goes on
    meanwhile, for it is waited for and in no branch.
    """

    namespace: str
    name: str
    version: str | None
    input: Json
    wait: bool
    with_parent: bool = False
    alone: bool = False


class Progress(NamedTuple):
    """What a state has just done: *phase* is started, completed, faulted or skipped."""

    phase: str
    state: str
    name: str
    at: datetime


class Effects(Protocol):
    """The world, as one run sees it."""

    @property
    def run_id(self) -> str:
        """What the run is known by outside."""

    @property
    def identity(self) -> str:
        """What the identities of its effects are made of: its id, and more where an earlier run had that id."""

    @property
    def audience(self) -> Audience | None:
        """Who hears of the run's lifecycle; None: nobody."""

    @property
    def semantics(self) -> int:
        """Which things the run asks for: what it began with (`dsl.bundle.SEMANTICS`)."""

    @property
    def delegates(self) -> bool:
        """Whether what belongs to one call, its retries and the filters of its output, is done where it is made."""

    def now(self) -> datetime:
        """The run's time, in UTC: the same on every replay."""

    def told_time(self) -> datetime:
        """The same, where an expression asks for it: what the run then does may depend on when it is done."""

    def random(self) -> float:
        """A number in [0, 1) that is the same on every replay: for jitter."""

    def new_id(self) -> str:
        """A text that nobody can guess and that is the same on every replay."""

    async def evaluate(self, evaluation: Evaluation, place: Place) -> Json:
        """What *evaluation* yields, without the value of any secret in it; a `Fault` when it fails."""

    async def sleep(self, seconds: float, place: Place) -> None:
        """Return after *seconds* of the run's time."""

    async def call(self, call: Call, place: Place) -> Json:
        """Perform *call*; a `Fault` when it fails as a call. It is made again only if it was lost.

        With `Call.attempts` the fault is one that was `Attempted`; and if they are ``counted``, the output is an object
        with the ``output``, the number of ``retries`` and the delay ``before`` the last one.
        """

    async def never(self) -> None:
        """Wait until this is cancelled."""

    async def publish(self, channel: str, event: JsonObject, place: Place) -> None:
        """Store *event* durably in *channel*; one with the same source and id is there only once."""

    async def listen(self, listener: Listener, place: Place) -> None:
        """Begin to receive events, also those published since the run started; again is harmless."""

    async def next_event(self, place: Place) -> Arrival:
        """The next event for the listener at *place*, in the order of the channel."""

    async def stop_listening(self, place: Place) -> None:
        """End the listener at *place*; what it has not handed out is lost to this run."""

    async def run_workflow(self, sub_run: SubRun, place: Place) -> Json:
        """Run another workflow: its output, or null at once when it is not waited for."""

    async def join(self, branches: Sequence[Thunk[T]], *, need: int, tolerant: bool) -> Mapping[int, T]:
        """Run every branch until *need* have returned, and cancel the others.

        Results are by branch number. When more than enough return at the same moment, the earliest
        branches count. The first exception cancels all and is raised, but a *tolerant* join loses
        branches to a `Fault` until too few are left, and then raises that of the earliest branch.
        """

    async def within(self, seconds: float, work: Thunk[T], place: Place) -> T:
        """Do *work*, or cancel it after *seconds* of the run's time and raise `Expired`."""

    async def gate(self) -> None:
        """Return at once, unless the run is suspended: then when it is resumed."""

    def current_task(self) -> object:
        """What the coroutine that asks is done in."""

    def interrupt(self, task: object) -> None:
        """Have *task* unwind from where it waits, as if it were no longer wanted; whoever asked for it stops that."""

    def interrupted(self, task: object) -> bool:
        """Stop that in *task*, which asks; False: it is to unwind for another reason too."""

    def spent(self, steps: int) -> None:
        """An expression of the run took *steps*, more than a few: where it is one of many, the gate may pause it."""

    def note(self, progress: Progress) -> None:
        """Something happened that an observer may want to know; never waited for."""

    def broke(self) -> None:
        """What unwinds the run is no end of it, but a bug of ours, or that its worker lets go of it: nothing in the
        world is to change by that.
        """

    def tell(self, event: JsonObject) -> None:
        """Publish a lifecycle *event* to the audience, after those told before; never waited for."""
