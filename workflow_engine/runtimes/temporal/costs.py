"""What each state of a run cost: events and bytes of its history, and the time that its calls and its waits took."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from workflow_engine.runtimes.temporal.calling import summary
from workflow_engine.values import JsonObject

_OF_OTHERS = ("scheduled_event_id", "started_event_id", "initiated_event_id")
"""The members by which an event says which earlier one it belongs to."""
_TASK = "EVENT_TYPE_WORKFLOW_TASK_"
_CALLS_END = frozenset(
    {
        EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
        EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
    }
)


@dataclass(slots=True)
class Cost:
    """*calling* and *queued* are the seconds in which calls were made and waited for a worker, *waiting* those of
    timers, *working* those in which a worker had the run's task because of the state.
    """

    events: int = 0
    bytes: int = 0
    calling: float = 0.0
    queued: float = 0.0
    waiting: float = 0.0
    working: float = 0.0

    def to_json(self) -> JsonObject:
        return {
            "events": self.events,
            "bytes": self.bytes,
            "calling": self.calling,
            "queued": self.queued,
            "waiting": self.waiting,
            "working": self.working,
        }


def costs(
    events: Sequence[HistoryEvent],
    sizes: Sequence[int],
    places: Mapping[str, str],
    labels: Mapping[str, Iterable[str]],
) -> dict[str, Cost]:
    """The cost of each state by its pointer, ``""`` being the run itself; *sizes* are the bytes of each event.

    *places* and *labels* are those of the `Trace`. The tasks of a workflow count for the state whose event brought them
    about, and so does what came of them at no place.
    """
    accounts = _Accounts(places, {summary(label): deque(states) for label, states in labels.items()})
    for event, size in zip(events, sizes, strict=True):
        accounts.add(event, size)
    return accounts.costs


class _Accounts:
    def __init__(self, places: Mapping[str, str], labels: Mapping[str, deque[str]]) -> None:
        self.costs: dict[str, Cost] = {}
        self._places, self._labels = places, labels
        self._owners: dict[int, str] = {}
        self._times: dict[int, float] = {}
        self._cause = ""

    def add(self, event: HistoryEvent, size: int) -> None:
        name = EventType.Name(event.event_type)
        task = name.startswith(_TASK)
        owner = self._cause if task else self._owner(event)
        self._owners[event.event_id] = owner
        self._times[event.event_id] = event.event_time.ToDatetime(UTC).timestamp()
        if not task:
            self._cause = owner
        cost = self.costs.setdefault(owner, Cost())
        cost.events += 1
        cost.bytes += size
        self._clock(event, cost)

    def _clock(self, event: HistoryEvent, cost: Cost) -> None:
        about = _attributes(event)
        now = self._times[event.event_id]
        kind = event.event_type
        if kind == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            cost.queued += now - self._times.get(about.scheduled_event_id, now)  # type: ignore[attr-defined]
        elif kind in _CALLS_END:
            cost.calling += now - self._times.get(about.started_event_id, now)  # type: ignore[attr-defined]
        elif kind == EventType.EVENT_TYPE_TIMER_FIRED:
            cost.waiting += now - self._times.get(about.started_event_id, now)  # type: ignore[attr-defined]
        elif kind == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            cost.working += now - self._times.get(about.started_event_id, now)  # type: ignore[attr-defined]

    def _owner(self, event: HistoryEvent) -> str:
        about = _attributes(event)
        for member in _OF_OTHERS:
            other = getattr(about, member, 0)
            if other and other in self._owners:
                return self._owners[other]
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                return self._of_place(event.activity_task_scheduled_event_attributes.activity_id)
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                marker = event.marker_recorded_event_attributes
                if marker.marker_name == "core_local_activity":
                    known = _json(next(iter(marker.details["data"].payloads), None))
                    id = known.get("activity_id") if isinstance(known, dict) else None
                    return self._of_place(str(id))
                return ""
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                return self._of_place(event.workflow_execution_signaled_event_attributes.signal_name)
            case (
                EventType.EVENT_TYPE_TIMER_STARTED
                | EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
            ):
                label = _json(event.user_metadata.summary)
                waiting = self._labels.get(str(label))
                if not waiting:
                    return ""
                return waiting.popleft() if len(waiting) > 1 else waiting[0]
            case _:
                return ""

    def _of_place(self, id: str) -> str:
        """The state of the place *id*, which may stand behind the kind of what is done there."""
        place = id if id.startswith("/") else id.partition(":")[2]
        if place in self._places:
            return self._places[place]
        bare = place.partition("#")[0].removesuffix("/outcome")  # of a sub-flow of an earlier history
        return self._places.get(bare, bare if bare.startswith("/") and bare != "/end" else "")


def _attributes(event: HistoryEvent) -> object:
    which = event.WhichOneof("attributes")
    return getattr(event, which) if which is not None else event


def _json(payload: Payload | None) -> object:
    try:
        return None if payload is None else json.loads(payload.data)
    except ValueError:
        return None
