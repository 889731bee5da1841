"""The lifecycle events of the specification (dsl.md §1.13, §1.14, decision A47): what a run tells of itself.

Each event has an id made of the run, the place, the phase and a number, so that telling it again after a crash
is told once. A run that nobody wants to hear of has no `Lifecycle`, and pays nothing.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from workflow_engine import filters
from workflow_engine.errors import Error, Fault
from workflow_engine.graph.lifecycle import Told
from workflow_engine.graph.model import State, StateGraph
from workflow_engine.interpreter.position import Continued, Ended, Frame, TimeUp
from workflow_engine.values import Json, JsonObject, rfc3339

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run

CHANNEL = "lifecycle"
PREFIX = "io.serverlessworkflow"
LONGEST = 16_000
"""How many characters of each text of an error are told: an event is a message, not a store."""
LONGEST_ATTRIBUTE = 2000
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~:@+")
PASSIVE = ("listening", "waiting")
"""How `Frame.doing` begins while a state only waits (decision A48)."""
_STATUS = {
    "created": "pending",
    "started": "running",
    "suspended": "suspended",
    "resumed": "running",
    "cancelled": "cancelled",
    "faulted": "faulted",
    "completed": "completed",
}


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told what: fixed when a run starts, so that a replay tells the same.

    *source* is the URL of the runtime's API. *correlated*: events have started the run, which gets
    them as input, and these are the keys that they agree on.
    """

    told: Told = Told()
    channel: str = CHANNEL
    source: str = ""
    correlated: JsonObject | None = None

    def of(self, graph: StateGraph) -> Audience | None:
        """The audience of a run of *graph*, whose document may have another wish; None when nobody listens."""
        told = self.told if graph.lifecycle is None else graph.lifecycle
        return replace(self, told=told) if told.workflow else None

    def to_json(self) -> JsonObject:
        encoded: JsonObject = {"events": str(self.told), "channel": self.channel, "source": self.source}
        return encoded if self.correlated is None else {**encoded, "correlated": self.correlated}

    @classmethod
    def from_json(cls, encoded: Json) -> Self:
        """What `to_json` made; anything else is an audience that hears nothing."""
        if not isinstance(encoded, dict):
            return cls()
        try:
            told = Told.parse(str(encoded.get("events")))
        except ValueError:
            return cls()
        channel, source = str(encoded.get("channel") or CHANNEL), str(encoded.get("source") or "")
        keys = encoded.get("correlated")
        return cls(told, channel, source, keys if isinstance(keys, dict) else None)


def correlation_keys(spec: JsonObject, events: Sequence[JsonObject]) -> JsonObject:
    """What *events*, which the strategy *spec* took, agree on (decision A42)."""
    machine = filters.machine(spec)
    at = machine.initial()
    for event in events:
        accepted = machine.accept(at, event)
        at = at if accepted is None else accepted.state
    keys = at.get("keys")
    return keys if isinstance(keys, dict) else {}


def _keys(found: JsonObject) -> JsonObject:
    return {"correlationKeys": found} if found else {}


def status_of(frame: Frame, *, suspended: bool) -> str:
    """The status phase of the state at which *frame* stands, of a run that is *suspended* or not (decision A48)."""
    if not frame.entered:
        return "suspended" if suspended else "pending"
    return "waiting" if (frame.doing or "").startswith(PASSIVE) else "running"


class Lifecycle:
    """Makes the events of one run and hands them to its effects, in the order in which things happen."""

    def __init__(self, run: Run, audience: Audience) -> None:
        self._run = run
        self._told = audience.told
        self._correlated = audience.correlated
        name, id = run.graph.name, run.effects.run_id
        self.name = _text(f"{name.name}-{id}.{name.namespace}")
        self._source = audience.source or "/"
        self._output = f"{audience.source}/v1/runs/{_segment(id)}/output"
        self._begun = False
        self._execution = ""
        self._waits = False
        self._waiting: dict[str, int] = {}
        self._stopped: dict[tuple[str, int], None] = {}
        self.suspended = False

    @property
    def of_tasks(self) -> bool:
        """Whether what happens to each task is told, and not only what happens to the run."""
        return self._told.tasks

    def position(self) -> JsonObject:
        """What was told and has not ended: for the run that goes on from here, so that each thing is told once."""
        stopped: list[Json] = [[state, execution] for state, execution in self._stopped]
        return {
            "suspended": self.suspended,
            "stopped": stopped,
            "waits": self._waits,
            "waiting": dict(self._waiting),
        }

    def restore(self, position: Json) -> None:
        """Go on from what `position` said, of a run that has told of its start."""
        number = self._run.counts.get("runs", 1)
        self._execution = "" if number == 1 else f"#{number}"
        self._begun = True
        if not isinstance(position, dict):
            return
        stopped, waiting = position.get("stopped"), position.get("waiting")
        assert isinstance(stopped, list)
        assert isinstance(waiting, dict)
        for each in stopped:
            assert isinstance(each, list)
            state, execution = each
            assert isinstance(execution, int)
            self._stopped[str(state), execution] = None
        self._waiting = {key: number for key, number in waiting.items() if isinstance(number, int)}
        self._waits, self.suspended = position.get("waits") is True, position.get("suspended") is True

    # --- the run ------------------------------------------------------------------------------------------

    async def around(self, work: Callable[[], Awaitable[Json]], *, resumed: bool) -> Json:
        """Do *work*, the whole run, and tell how it begins, unless *resumed*, and how it ends."""
        counts = self._run.counts
        number = counts["runs"] = counts.get("runs", 0) + (not resumed)
        self._execution = "" if number == 1 else f"#{number}"
        if not resumed:
            name = self._run.graph.name
            definition: JsonObject = {
                "name": name.name,
                "namespace": name.namespace,
                "version": name.version,
            }
            self._of_run("started", {"definition": definition})
            if self._correlated is not None:
                self._of_run("correlation-started", {})
                self._of_run("correlation-completed", _keys(self._correlated))
        elif counts.pop("retried", None) == number:
            self._retried()
        begun, self._begun = self._begun, True
        if self.suspended and not begun:
            self._suspend()
        try:
            output = await work()
        except Fault as raised:
            self._of_run("faulted", {"error": _error(raised.error)})
            raise
        except Continued:  # this one is over, and another one begins under its id
            self._of_run("completed", {})
            raise
        except (Exception, GeneratorExit):
            raise
        except BaseException:
            self._of_run("cancelled", {})
            raise
        self._of_run("completed", {"outputUri": self._output})
        return output

    def _retried(self) -> None:
        """The run had ended and goes on from there, and so do the tasks that were under way."""
        self._of_run("resumed", {})
        frames = [self._run.root]
        for frame in frames:
            frames += frame.children.values()
            if frame.execution:
                self._of_task("retried", str(frame.state), frame.execution, {})

    def suspend(self) -> None:
        """The run is to stop before its next state."""
        if not self.suspended:
            self.suspended = True
            if self._begun:
                self._suspend()

    def _suspend(self) -> None:
        counts = self._run.counts
        counts["suspended"] = counts.get("suspended", 0) + 1
        self._of_run("suspended", {}, f"#{counts['suspended']}")

    def resume(self) -> None:
        """The run goes on, and the tasks that had stopped with it."""
        if not self.suspended:
            return
        self.suspended = False
        if self._begun:
            number = f"#{self._run.counts['suspended']}"
            self._of_run("resumed", {}, number)
            for state, execution in self._stopped:
                self._of_task("resumed", state, execution, {}, number)
            self._stopped = {}

    def stopped(self, frame: Frame) -> None:
        """The run, which is suspended, has come to the next state of *frame*: the tasks around it stop too."""
        around: list[Frame] = []
        above = frame.parent
        while above is not None:
            around.append(above)
            above = above.parent
        for each in reversed(around):
            key = (str(each.state), each.execution)
            if key not in self._stopped:
                self._stopped[key] = None
                self._of_task("suspended", *key, {}, f"#{self._run.counts['suspended']}")

    def correlating(self, place: str) -> None:
        """The listener at *place* begins to take events."""
        self._of_run("correlation-started", {}, place)

    def correlated(self, place: str, spec: JsonObject, events: list[JsonObject]) -> None:
        """It has taken *events*, which are enough for the strategy *spec*."""
        self._of_run("correlation-completed", _keys(correlation_keys(spec, events)), place)

    # --- its tasks ----------------------------------------------------------------------------------------

    def began(self, state: State, frame: Frame) -> None:
        """*state* is about to be done: its condition, if it has one, holds."""
        self._created(state, frame)
        self._of_task("started", state.id, frame.execution, {})

    def _created(self, state: State, frame: Frame) -> None:
        counts, key = self._run.counts, f"{state.id}/task"
        frame.execution = counts[key] = counts.get(key, 0) + 1
        self._of_task("created", state.id, frame.execution, {})

    def completed(self, state: State, frame: Frame) -> None:
        self._ended("completed", state, frame, {})

    def faulted(self, state: State, frame: Frame, error: Error) -> None:
        """*state* has faulted: also by its own condition, before it began."""
        if not frame.execution:
            self._created(state, frame)
        self._ended("faulted", state, frame, {"error": _error(error)})

    def unwound(self, state: State, frame: Frame, reason: BaseException) -> None:
        """*state* is left from outside: by an ``end`` within it, or because it is no longer wanted."""
        if not frame.execution or isinstance(reason, GeneratorExit):
            return
        if isinstance(reason, Ended | Continued):
            self._ended("completed", state, frame, {})
        elif isinstance(reason, TimeUp) or not isinstance(reason, Exception):
            self._ended("cancelled", state, frame, {})

    def retried(self, state: State, frame: Frame) -> None:
        """What *state* tries is tried once more."""
        number = f"#{frame.local['retries']}"
        self._of_task("retried", state.id, frame.execution, {}, number)

    def _ended(self, phase: str, state: State, frame: Frame, data: JsonObject) -> None:
        self._stopped.pop((state.id, frame.execution), None)
        self._waiting.pop(f"{state.id}#{frame.execution}", None)
        self._of_task(phase, state.id, frame.execution, data)

    # --- status phases ------------------------------------------------------------------------------------

    def waits(self, state: State, frame: Frame, number: int) -> None:
        """*state* waits, for the *number*-th time, from 0; and the run too, if it does nothing else."""
        key = f"{state.id}#{frame.execution}"
        if (
            not self._told.statuses or self._waiting.get(key) == number
        ):  # told before the run went on from there
            return
        self._waiting[key] = number
        cause = f"waiting#{number}"
        self._status_of_task(state.id, frame.execution, cause, "waiting")
        leaves = list(self._run.root.leaves())
        if not self._waits and all((leaf.doing or "").startswith(PASSIVE) for leaf in leaves):
            self._waits = True
            self._status_of_run(f"{state.id}#{frame.execution}/{cause}", "waiting")

    def goes_on(self, state: State, frame: Frame, number: int) -> None:
        """*state* has waited long enough, for the *number*-th time."""
        if not self._told.statuses:
            return
        self._waiting.pop(f"{state.id}#{frame.execution}", None)
        cause = f"running#{number}"
        self._status_of_task(state.id, frame.execution, cause, "running")
        if self._waits:
            self._waits = False
            self._status_of_run(f"{state.id}#{frame.execution}/{cause}", "running")

    def _status_of_run(self, cause: str, status: str) -> None:
        data: JsonObject = {"name": self.name, "status": status}
        self._tell("workflow.status-changed", f"/workflow/status/{cause}", "updatedAt", data)

    def _status_of_task(self, state: str, execution: int, cause: str, status: str) -> None:
        if self._told.tasks:
            data: JsonObject = {"workflow": self.name, "task": state, "status": status}
            self._tell("task.status-changed", f"/task{state}#{execution}/status/{cause}", "updatedAt", data)

    # --- events -------------------------------------------------------------------------------------------

    def _of_run(self, phase: str, data: JsonObject, number: str = "") -> None:
        when = {"correlation-started": "startedAt", "correlation-completed": "completedAt"}
        id = f"/workflow{self._execution}/{phase}{number}"
        self._tell(f"workflow.{phase}", id, when.get(phase, f"{phase}At"), {"name": self.name, **data})
        if self._told.statuses and phase in _STATUS:
            self._waits = False
            self._status_of_run(phase + number, _STATUS[phase])

    def _of_task(self, phase: str, state: str, execution: int, data: JsonObject, number: str = "") -> None:
        if self._told.tasks and execution:
            id = f"/task{state}#{execution}/{phase}{number}"
            self._tell(f"task.{phase}", id, f"{phase}At", {"workflow": self.name, "task": state, **data})
            if self._told.statuses and phase in _STATUS:
                self._status_of_task(state, execution, phase + number, _STATUS[phase])

    def _tell(self, type: str, id: str, moment: str, data: JsonObject) -> None:
        effects = self._run.effects
        now = rfc3339(effects.now())
        effects.tell(
            {
                "specversion": "1.0",
                "id": _text(effects.identity + id),
                "source": self._source,
                "type": f"{PREFIX}.{type}.v1",
                "subject": self.name,
                "time": now,
                "datacontenttype": "application/json",
                "data": self._run.outside({**data, moment: now}),
            }
        )


def _segment(id: str) -> str:
    """*id* as a segment of a URL."""
    return "".join(
        char if char in _UNRESERVED else "".join(f"%{byte:02X}" for byte in char.encode()) for char in id
    )


def _text(text: str) -> str:
    """*text* as an attribute of an event: names are the author's, and may be long, or have what cannot be printed."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else f"%{ord(char):02X}" for char in text)
    if len(text) <= LONGEST_ATTRIBUTE:
        return text
    return text[: LONGEST_ATTRIBUTE - 65] + "~" + hashlib.sha256(text.encode()).hexdigest()


def _error(error: Error) -> JsonObject:
    return {
        name: f"{value[:LONGEST]}…" if isinstance(value, str) and len(value) > LONGEST else value
        for name, value in error.to_json().items()
    }
