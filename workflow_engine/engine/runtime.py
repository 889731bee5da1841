"""The port to where runs live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.verdicts import Verdict
from workflow_engine.graph.model import WorkflowName
from workflow_engine.interpreter.retrying import ABSENT, Standing, Wish
from workflow_engine.values import Json, JsonObject, rfc3339

STATUSES = ("pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed")
"""Every status of a run, as the specification names them (dsl.md §1.13)."""
ENDED = frozenset({"cancelled", "faulted", "completed"})


@dataclass(frozen=True, slots=True)
class Start:
    """A run to be started: *seeds* are the events that started it, for a 0.8 event state.

    *again*: a run with this id that has ended may be followed by another one. *since*: it hears the events that came
    since then, and not only since it started. *correlated*: events have
    started it and are its input; this is what they agree on. *position* is that of another run of the same workflow
    (`interpreter.run.Run.position`), to go on from there: with its data, its counts and the moment when it started.
    *awaited*: it will be waited for, for so many seconds, by whoever starts it. *keys*: ``name=value``, to find it by.
    """

    run_id: str
    workflow: WorkflowName
    bundle: Bundle
    input: Json
    title: str = ""
    summary: str = ""
    seeds: Sequence[JsonObject] = ()
    correlated: JsonObject | None = None
    again: bool = False
    since: datetime | None = None
    position: JsonObject | None = None
    awaited: float = 0.0
    keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """How a run that has ended is to go on: *bundle* is another version to go on with, *input* another input.

    *what* says in a word what was asked for: retry or skip. *names* are pointers of states in the other version by
    those that they had, where they are called otherwise.
    """

    wish: Wish = Wish()
    input: Json = ABSENT
    bundle: Bundle | None = None
    what: str = "retry"
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StateDescription:
    """A state at which a run stands: *doing* says in words what it does or waits for there.

    *status* is its phase: pending before it is begun, suspended if the run has stopped there, else waiting or running.
    *attempt*, from 1, is the one that it makes or waits for; *failure* says why the one before it failed.
    *next_attempt* is when that begins, while it is waited for.
    """

    id: str
    name: str
    doing: str | None
    since: datetime | None
    status: str = "running"
    attempt: int = 1
    failure: str | None = None
    next_attempt: datetime | None = None

    def to_json(self) -> JsonObject:
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "doing": self.doing,
            "since": None if self.since is None else rfc3339(self.since),
            "attempt": self.attempt,
            "failure": self.failure,
            "next_attempt": None if self.next_attempt is None else rfc3339(self.next_attempt),
        }


@dataclass(frozen=True, slots=True)
class Parked:
    """A run whose worker fails at it, by a bug: it goes on from where it was once a fixed worker is there.

    *exception* is what the worker met, at *state* if that is known, first at *since*, and *attempts* times so far.
    *trace* says where in the engine. In lists only that it is parked may be known.
    """

    exception: str = ""
    state: str | None = None
    since: datetime | None = None
    attempts: int = 1
    trace: str = ""

    def to_json(self) -> JsonObject:
        return {
            "exception": self.exception,
            "state": self.state,
            "since": None if self.since is None else rfc3339(self.since),
            "attempts": self.attempts,
            "trace": self.trace,
        }


@dataclass(frozen=True, slots=True)
class RunDescription:
    """A run as it is now. *error* is RFC 9457 data when it is faulted; *workflow* may be unknown.

    *execution* tells the present attempt from others, and *attempts* are those before this one, oldest
    first: ``{execution, status, error, started_at, ended_at, then}``.
    *remark* says in words what could not be found out, and why: such as where it is, when no worker answers.
    *parked*: it is running, but a bug of the engine keeps it where it is. *keys*: ``name=value``, by what it is found.
    """

    id: str
    workflow: WorkflowName | None
    status: str
    input: Json = None
    output: Json = None
    error: JsonObject | None = None
    states: Sequence[StateDescription] = field(default_factory=tuple)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    temporal_url: str | None = None
    remark: str | None = None
    parked: Parked | None = None
    attempts: Sequence[JsonObject] = field(default_factory=tuple)
    execution: str = ""
    keys: Sequence[str] = ()

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def to_json(self) -> JsonObject:
        name = self.workflow
        workflow: Json = None
        if name is not None:
            workflow = {"namespace": name.namespace, "name": name.name, "version": name.version}
        return {
            "id": self.id,
            "workflow": workflow,
            "status": self.status,
            "input": self.input,
            "output": self.output,
            "error": self.error,
            "states": [state.to_json() for state in self.states],
            "started_at": None if self.started_at is None else rfc3339(self.started_at),
            "ended_at": None if self.ended_at is None else rfc3339(self.ended_at),
            "temporal_url": self.temporal_url,
            "remark": self.remark,
            "parked": None if self.parked is None else self.parked.to_json(),
            "attempts": list(self.attempts),
            "keys": list(self.keys),
        }


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to list; *cursor* continues an earlier list. *limit* is from 1 to 200. *parked*: only such.

    *after* and *before*: begun then or later, and before then. *attributes*: search attributes that have these values.
    *keys*: found by each of these, ``name=value``. *error*, the type of the error, is for `Batch` alone. *within*: of
    workflows in one of these namespaces; one that ends in ``*`` is all that begin so.
    """

    namespace: str | None = None
    name: str | None = None
    version: str | None = None
    status: str | None = None
    limit: int = 50
    cursor: str | None = None
    parked: bool = False
    after: datetime | None = None
    before: datetime | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    keys: Sequence[str] = ()
    within: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, newest first, without input and output; *cursor* is None on the last page."""

    runs: Sequence[RunDescription]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """How many *workers* ask for tasks of a kind; how many tasks are *waiting* for one, and the oldest of them for
    how many *seconds*: None where the server does not tell.
    """

    workers: int
    waiting: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """How many runs are *open*, and how many *ended* within the last hour, by status; what there is to do for workers:
    *queues* has the tasks of kind ``workflow`` (go on with a run) and ``activity`` (make a call).
    """

    open: int = 0
    ended: Mapping[str, int] = field(default_factory=dict)
    queues: Mapping[str, QueueLoad] = field(default_factory=dict)


class Runtime(Protocol):
    """Runs live here. Every method raises `Unavailable` when the place cannot be reached."""

    async def start(self, start: Start) -> bool:
        """Start a run; False, and nothing done, when a run has that id, or had it and is not to be followed."""

    async def describe(self, run_id: str) -> RunDescription:
        """The run as it is now; `NotFound` when there is none."""

    async def wait(self, run_id: str, seconds: float) -> RunDescription:
        """The run once it has ended, or as it is after *seconds*."""

    async def output(self, run_id: str, seconds: float) -> Json:
        """The output of a run that has completed, or does within *seconds*; else `Conflict`."""

    async def list(self, query: RunQuery) -> RunPage:
        """The runs that *query* asks for; `Rejected` for a cursor or status that means nothing."""

    async def history(self, run_id: str, execution: str | None) -> JsonObject:
        """The run's history as Temporal writes it, or that of one *execution* of it; `NotFound` when there is none."""

    async def judged(self, run_id: str, bundle: Bundle, names: Mapping[str, str]) -> Verdict:
        """Whether the run could go on as one of *bundle*, another version of its workflow; nothing is done to it."""

    async def move(self, run_id: str, bundle: Bundle, names: Mapping[str, str], seconds: float) -> Verdict:
        """Have it do that, if it could; what has come of it after *seconds* at most."""

    async def parked(self) -> int:
        """How many runs are parked; Temporal may take some failures to tell so."""

    async def load(self) -> Load:
        """What there is to do for workers, and what became of runs of late."""

    async def cancel(self, run_id: str) -> None:
        """Ask the run to end; states that wait or call are interrupted. No-op on an ended run."""

    async def terminate(self, run_id: str, reason: str) -> None:
        """End the run at once, without giving it a chance to do anything. No-op on an ended run."""

    async def suspend(self, run_id: str) -> None:
        """Let the run stop before its next state; `Conflict` when it has ended."""

    async def resume(self, run_id: str) -> None:
        """Let a suspended run go on; `Conflict` when it has ended."""

    async def standing(self, run_id: str) -> Sequence[Standing]:
        """Where the run stands, or stood when it ended, with its data; empty before its first state."""

    async def retry(self, run_id: str, retry: Retry) -> None:
        """Let a run go on that has ended without being completed, under its id; `Rejected` says why it cannot."""

    async def edit(self, run_id: str, wish: Wish) -> None:
        """Change a suspended run before its next state; `Rejected` says why it cannot, `Conflict` if it has ended."""

    async def skip(self, run_id: str, wish: Wish, key: str | None = None) -> None:
        """Let the run leave out a state at which it is; `Rejected` says why it cannot, `Conflict` if it has ended.

        Done twice with the same *key*, it is done once.
        """

    async def deliver(self, run_id: str, listen_id: str, message: JsonObject) -> bool:
        """Give the run an event for one of its listeners; False when the run is over."""
