"""The port to where schedules live: what the clock starts, however long nobody of ours is there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, assert_never

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.graph.model import Schedule, WorkflowName
from workflow_engine.graph.schedule import After, Cron, Every
from workflow_engine.values import Duration, Json, JsonObject, rfc3339

MAX_NOTE = 1000
"""How many characters the reason for a pause may have."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule to be kept, with all that its runs need; *anchor* is the moment that ``every`` counts from."""

    workflow: WorkflowName
    schedule: Schedule
    bundle: Bundle
    anchor: datetime
    title: str = ""
    summary: str = ""
    remembered: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """A run that the clock started: *due* is when it was to start. A run started by hand was due then."""

    run_id: str
    due: datetime
    started_at: datetime


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """How a schedule is: *recent* and *next* nearest first; *skipped* counts the moments at which a run went on still,
    *missed* those that passed while nobody could start anything.
    """

    workflow: WorkflowName
    paused: bool = False
    note: str = ""
    next: Sequence[datetime] = ()
    running: Sequence[str] = ()
    recent: Sequence[ScheduledRun] = ()
    started: int = 0
    skipped: int = 0
    missed: int = 0
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleDescription:
    """A schedule as the workflow's document has it, and how it is now.

    *remark* says what is not so yet, or cannot be told, and why.
    """

    workflow: WorkflowName
    schedule: Schedule
    state: ScheduleState
    remark: str | None = None

    def to_json(self) -> JsonObject:
        state, name = self.state, self.workflow
        return {
            "namespace": name.namespace,
            "name": name.name,
            "version": name.version,
            **_recurrence(self.schedule),
            "paused": state.paused,
            "note": state.note,
            "next": [rfc3339(moment) for moment in state.next],
            "running": list(state.running),
            "recent": [
                {"id": run.run_id, "due": rfc3339(run.due), "started_at": rfc3339(run.started_at)}
                for run in state.recent
            ],
            "started": state.started,
            "skipped": state.skipped,
            "missed": state.missed,
            "remark": self.remark or state.remark,
        }


def _recurrence(schedule: Schedule) -> dict[str, Json]:
    """``every``, ``cron`` and ``after``, of which one is set, and the time zone of ``cron``."""
    members: dict[str, Json] = {"every": None, "cron": None, "after": None, "timezone": None}
    match schedule.recurrence:
        case Every(seconds):
            return {**members, "every": str(Duration(0, seconds))}
        case Cron(text):
            return {**members, "cron": text, "timezone": schedule.timezone}
        case After(delay):
            return {**members, "after": str(delay)}
        case _:
            assert_never(schedule.recurrence)


class Schedules(Protocol):
    """Schedules live here, one for a workflow at most. Every method raises `Unavailable` when the place cannot be
    reached, and those about one schedule `NotFound` when it is not there.
    """

    async def set(self, plan: Plan) -> None:
        """Keep *plan* from now on. One that is kept already stays as it is; that of another version of the workflow
        is changed in place: its pause, its history and, for the same interval, its rhythm stay. `Rejected` when
        the place cannot keep it.
        """

    async def remove(self, namespace: str, name: str) -> None:
        """Start no more runs of that workflow; those that are under way go on. No-op where there is none."""

    async def names(self) -> Collection[tuple[str, str]]:
        """Namespace and name of every workflow with a schedule; one that was set a moment ago may be missing."""

    async def state(self, plan: Plan) -> ScheduleState:
        """How the schedule of the workflow is now."""

    async def pause(self, plan: Plan, note: str) -> None:
        """Start no more runs until `resume`; *note* is for who looks at it. Again changes the note."""

    async def resume(self, plan: Plan) -> None:
        """Start runs again; those whose moments have passed are not made up for."""

    async def trigger(self, plan: Plan) -> None:
        """Start a run now, paused or not; `Conflict` when one goes on that must end before."""
