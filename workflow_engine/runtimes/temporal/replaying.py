"""Replay the history of a run here, without a server: what it did, step by step, and where it is now.

The answers of the world are those in the history, so nothing is called, waited for or published. Another bundle may be
put in the place of the run's own, to see whether it would have done the same.
"""

from __future__ import annotations

import collections.abc
import copy
import logging
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.common import RawValue
from temporalio.converter import DataConverter
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import (
    Replayer,
    WorkflowInstance,
    WorkflowInstanceDetails,
    WorkflowRunner,
)

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.effects import Arrival, Call, Evaluation, Listener, Place, SubRun, Thunk
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.temporal.converter import DATA_CONVERTER
from workflow_engine.runtimes.temporal.leaving import ROOM, Leaving
from workflow_engine.runtimes.temporal.resting import RestingEffects
from workflow_engine.runtimes.temporal.runner import Runner
from workflow_engine.runtimes.temporal.workflow import ServerlessWorkflow
from workflow_engine.runtimes.tracing import Trace, TracedRun
from workflow_engine.values import Json, JsonObject

T = TypeVar("T")

_THREADS = 4
_THREAD = "replay"


@dataclass(slots=True)
class Replayed:
    """What came of a replay. *failure*: today's engine does not follow the history, or has a bug; None: it does.

    *position* is where the run stood when the history ended (`Run.position`), None if it had ended or never began.
    *unasked*: it went on in a new history without having asked whether there is room for all that it had, as earlier
    versions did.
    """

    trace: Trace
    graph: StateGraph | None = None
    bundle: Bundle | None = None
    position: JsonObject | None = None
    failure: Exception | None = None
    unasked: bool = False


class TracedEffects(RestingEffects):
    """The effects of a run that is replayed: they tell a trace what is asked and answered."""

    trace: Trace

    async def _told(self, what: str, place: Place, given: Json, work: Awaitable[Any]) -> Any:
        began = self.now().timestamp()
        asked = self.trace.asks(what, place, given, began)
        try:
            answer = await work
        except Exception as error:
            asked.error = str(error)
            asked.seconds = self.now().timestamp() - began
            raise
        asked.seconds = self.now().timestamp() - began
        asked.answer = self.trace.hide(_seen(answer))
        return answer

    async def evaluate(self, evaluation: Evaluation, place: Place) -> Json:
        given: Json = {"expression": evaluation.source, "secrets": [*evaluation.secrets]}
        return await self._told("evaluate", place, given, super().evaluate(evaluation, place))  # type: ignore[no-any-return]

    async def sleep(self, seconds: float, place: Place) -> None:
        self.trace.labelled(place.label, place.state)
        await self._told("sleep", place, seconds, super().sleep(seconds, place))

    async def call(self, call: Call, place: Place) -> Json:
        if not call.wait:
            self.trace.labelled(place.label, place.state)
        work = super().call(call, place)
        return await self._told(f"call {call.kind}", place, call.arguments, work)  # type: ignore[no-any-return]

    async def publish(self, channel: str, event: JsonObject, place: Place) -> None:
        await self._told("publish", place, event, super().publish(channel, event, place))

    async def listen(self, listener: Listener, place: Place) -> None:
        if listener.seconds is not None:
            self.trace.labelled(f"{place.label}: for how long", place.state)
        await self._told("listen", place, listener.spec, super().listen(listener, place))

    async def next_event(self, place: Place) -> Arrival:
        return await self._told("event", place, None, super().next_event(place))  # type: ignore[no-any-return]

    async def run_workflow(self, sub_run: SubRun, place: Place) -> Json:
        self.trace.labelled(place.label, place.state)
        what = f"run {sub_run.namespace}/{sub_run.name}/{sub_run.version or 'latest'}"
        return await self._told(what, place, sub_run.input, super().run_workflow(sub_run, place))  # type: ignore[no-any-return]

    async def within(self, seconds: float, work: Thunk[T], place: Place) -> T:
        self.trace.labelled(place.label, place.state)
        return await super().within(seconds, work, place)


def _seen(answer: Any) -> Json:
    return answer.event if isinstance(answer, Arrival) else answer


class _LiveRun(TracedRun):
    """A traced run that knows when it is let go of: the history is over, and nothing has ended."""

    def _lives(self) -> bool:
        return workflow.in_workflow()


_REPLAYED: ContextVar[tuple[Replayed, Bundle | None]] = ContextVar("replayed")
"""What the workflow that is made now is the replay of, and the bundle that takes the place of its own."""


@workflow.defn(dynamic=True)
class _Replay(ServerlessWorkflow):
    """The engine's workflow, telling a trace what it does."""

    def __init__(self) -> None:
        super().__init__()
        self._replayed, self._candidate = _REPLAYED.get()
        trace = self._replayed.trace
        self.run_type = _LiveRun.telling(trace)

        def effects(*args: Any) -> TracedEffects:
            made = TracedEffects(*args)
            made.trace = trace
            return made

        self.effects_type = effects

    @workflow.run
    async def run(self, args: collections.abc.Sequence[RawValue]) -> Any:
        return await super().run(args)

    async def _leaves(self, run: Run, effects: RestingEffects, bundle: Bundle) -> Leaving | None:
        if self._replayed.unasked:
            return Leaving.of(run, effects, bundle, self._move, named=self._named)
        return await super()._leaves(run, effects, bundle)

    async def _bundle(self, payload: Payload | None) -> Bundle:
        own = await super()._bundle(payload)
        chosen = own if self._candidate is None else self._candidate
        self._replayed.bundle, self._replayed.graph = own, chosen.graph()
        return chosen


class _Watching(Runner):
    """Runs a workflow in this process, and sees it once more before it is let go of."""

    def __init__(self, replayed: Replayed, candidate: Bundle | None) -> None:
        self._replayed, self._candidate = replayed, candidate

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance = super().create_instance(det)
        activate = instance.activate

        def watched(act: Any) -> Any:
            if any(job.HasField("remove_from_cache") for job in act.jobs):
                self._keep()
            token = _REPLAYED.set((self._replayed, self._candidate))
            try:
                return activate(act)
            finally:
                _REPLAYED.reset(token)

        instance.activate = watched  # type: ignore[method-assign]
        return instance

    def _keep(self) -> None:
        trace = self._replayed.trace
        trace.closed = True
        if trace.run is not None and self._replayed.position is None:
            first = trace.first[0] if trace.first else None
            if first is not None and first.phase == "running":
                self._replayed.position = copy.deepcopy(trace.run.position())


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix=_THREAD)


@lru_cache(maxsize=1)
def _silent() -> Runtime:
    """What goes wrong in a replay is its result, and nothing for the log."""
    return Runtime(telemetry=TelemetryConfig(logging=None))


@lru_cache(maxsize=1)
def _quiet() -> None:
    for name in (
        "temporalio.worker._workflow_instance",
        "temporalio.worker._workflow",
        "temporalio.workflow",
    ):
        logging.getLogger(name).addFilter(lambda record: not str(record.threadName).startswith(_THREAD))


async def replay(
    history: WorkflowHistory,
    *,
    candidate: Bundle | None = None,
    converter: DataConverter = DATA_CONVERTER,
    most: int | None = None,
) -> Replayed:
    """Replay *history*, on the bundle *candidate* if there is one; the trace has *most* steps."""
    replayed = Replayed(Trace() if most is None else Trace(most), unasked=_unasked(history))
    if not any(event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED for event in history.events):
        return replayed  # its first task is yet to come, and the SDK would wait for that for ever
    _quiet()
    runner: WorkflowRunner = _Watching(replayed, candidate)
    replayer = Replayer(
        workflows=[_Replay],
        workflow_runner=runner,
        workflow_task_executor=_threads(),
        data_converter=converter,
        runtime=_silent(),
        debug_mode=True,  # takes no task for stuck: two seconds are few on a busy machine, and the SDK would hang then
    )
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    failure = result.replay_failure
    replayed.failure = failure if failure is None or isinstance(failure, Exception) else RuntimeError(failure)
    return replayed


def _unasked(history: WorkflowHistory) -> bool:
    last = history.events[-1].event_type
    return last == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW and not any(
        event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED
        and ROOM.encode() in event.SerializeToString()
        for event in history.events
    )
