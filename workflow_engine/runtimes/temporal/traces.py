"""What a run and its waits are in a distributed trace.

The context of what started a run is in its memo, so it costs no event of history and outlives that the run goes on in a
new one. The span of the run has an id that is derived from its first execution, so all that it does can be part of it
before it has ended, whichever worker does it. It is a span from beginning to end, however long that is: it is told when
the run has ended, and its calls are told before.

What a workflow tells of itself it tells again when it is replayed. So nothing is told from within it: what is to be is
kept until the server has taken the end of the history, which it takes once, and given up where it does not.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

from workflow_engine.errors import Fault
from workflow_engine.graph.model import WorkflowName
from workflow_engine.interpreter.effects import Arrival, Place
from workflow_engine.runtimes.temporal.carrying import started
from workflow_engine.telemetry.context import TraceContext, derived
from workflow_engine.telemetry.spans import Span, Tracer, active, tracer

TRACE = "trace"
"""The member of a run's memo that has the context of what started it, and of what its activities are told: headers."""
MOST_WAITS = 500
"""How many waits of one history are told."""


def memo_of_trace() -> dict[str, Any]:
    """What a run remembers of what starts it now."""
    starting = active()
    return {} if starting is None else {TRACE: starting.context.headers()}


def traced(channel: str, trace: Mapping[str, Any]) -> Any:
    """*channel* as activities are told it, with the *trace* that they are part of, if there is one.

    It is no argument of its own: the SDK forgets the types of all arguments where there are fewer than there may be.
    """
    return {"channel": channel, **trace} if trace else channel


def untraced(channel: Any) -> tuple[str, dict[str, Any] | None]:
    """What `traced` was given."""
    return (channel["channel"], channel.get(TRACE)) if isinstance(channel, dict) else (channel, None)


def kept_trace() -> dict[str, Any]:
    """What the run goes on remembering of what started it."""
    given = workflow.memo_value(TRACE, None)
    return {} if given is None else {TRACE: given}


class RunTrace:
    """Of the run that is at work."""

    def __init__(self, tracer: Tracer, name: WorkflowName) -> None:
        info = workflow.info()
        given = workflow.memo_value(TRACE, None)
        parent = TraceContext.of(given) if isinstance(given, dict) else None
        self._tracer = tracer
        first = info.first_execution_run_id
        trace_id = derived(32, "trace", first) if parent is None else parent.trace_id
        about = {
            "wfe.run.id": info.workflow_id,
            "wfe.workflow.namespace": name.namespace,
            "wfe.workflow.name": name.name,
            "wfe.workflow.version": name.version,
        }
        ids = trace_id, derived(16, trace_id, first)
        self._run = tracer.begin(f"run {name.namespace}/{name.name}", "internal", parent, about, ids=ids)
        self._run.began = _nanoseconds(datetime.fromisoformat(started()))
        self._over = False
        self._waits: list[Span] = []
        self.execution = info.run_id
        self.carried: dict[str, Any] = {TRACE: self._run.context.headers()}
        """What the activities of the run are told, and what the runs that it begins remember."""

    @classmethod
    def of(cls, name: WorkflowName) -> RunTrace | None:
        """None while tracing is off."""
        made = tracer()
        return None if made is None else cls(made, name)

    async def waiting(self, next_event: Callable[[Place], Awaitable[Arrival]], place: Place) -> Arrival:
        """The next event that comes to *place*."""
        since = workflow.time_ns()
        arrival = await next_event(place)
        if not arrival.closed and len(self._waits) < MOST_WAITS:
            event = arrival.event if isinstance(arrival.event, dict) else {}
            sender = TraceContext.of(event)
            trace_id, number = self._run.context.trace_id, str(len(self._waits))
            about = {"wfe.state": place.state, **described(event)}
            span = self._tracer.begin(
                f"receive {event.get('type')}",
                "consumer",
                self._run.context,
                {"messaging.operation.type": "receive", **about},
                links=() if sender is None else (sender,),
                ids=(trace_id, derived(16, trace_id, self.execution, place.id, number)),
            )
            span.began, span.ended = since, workflow.time_ns()
            self._waits.append(span)
        return arrival

    def ends(self, error: BaseException | None = None) -> None:
        """The run ends, with *error* if it does not complete."""
        self._over = True
        self._run.ended = workflow.time_ns()
        self._run.error = None if error is None else kind_of(error)
        self._run.set("wfe.run.status", _status(error))

    def closes(self) -> None:
        """The history ends, which the server may take."""
        if not workflow.unsafe.is_replaying():
            FINISHED.keep(self.execution, self._tracer, [*self._waits, *([self._run] if self._over else [])])


class Finished:
    """The spans of histories whose end the server has not taken yet."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Tracer, list[Span]]] = {}
        self.told = False
        """Whether somebody tells when it has."""

    def keep(self, execution: str, tracer: Tracer, spans: list[Span]) -> None:
        if self.told:
            self._kept[execution] = tracer, spans
        else:
            _export(tracer, spans)

    def let_go(self, execution: str, *, ended: bool) -> None:
        """A worker has let go of the run with that *execution*; *ended*: because the server has taken its end."""
        kept = self._kept.pop(execution, None)
        if kept is not None and ended:
            _export(*kept)


FINISHED = Finished()


def described(event: dict[str, Any]) -> dict[str, str]:
    """What a span says of *event*."""
    return {
        f"cloudevents.event_{name}": str(event[name]) for name in ("id", "source", "type") if name in event
    }


def kind_of(error: BaseException) -> str:
    """What kind of failure *error* is, in a word; what it says may be anything."""
    return error.error.type.rpartition("/")[2] if isinstance(error, Fault) else type(error).__name__


def _status(error: BaseException | None) -> str:
    if error is None:
        return "completed"
    return "cancelled" if isinstance(error, CancelledError) or is_cancelled_exception(error) else "faulted"


def _export(tracer: Tracer, spans: Iterable[Span]) -> None:
    for span in spans:
        tracer.export(span)


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
