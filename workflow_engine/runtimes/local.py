"""Run a graph in this process on a virtual clock: for tests, for ``wfe run --runtime local``, for docs.

Nothing is durable here, and waiting takes no time. Calls are real. Events come from the caller and from the
run itself.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from workflow_engine import filters
from workflow_engine.dsl.bundle import SEMANTICS, bundle_of, retimed
from workflow_engine.errors import Error, Fault, InvalidDocument, NotFound, fault
from workflow_engine.filters import read
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.effects import (
    Arrival,
    Call,
    Evaluation,
    Expired,
    Listener,
    Place,
    Progress,
    SubRun,
    Thunk,
)
from workflow_engine.interpreter.lifecycle import Audience, correlation_keys
from workflow_engine.interpreter.listening import triggering
from workflow_engine.interpreter.position import Continued
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.answers import Answers
from workflow_engine.runtimes.control import CancelledRun, Control
from workflow_engine.runtimes.events import check_event
from workflow_engine.runtimes.hearing import Ears
from workflow_engine.runtimes.interruptions import SteppedTasks
from workflow_engine.runtimes.scheduler import Cancelled, Promise, Scheduler, Stalled, Task
from workflow_engine.values import Json, JsonObject

T = TypeVar("T")

PerformCall = Callable[["LocalRun", Call, Place], Awaitable[Json]]
PerformEvaluation = Callable[[Evaluation], Awaitable[Json]]
FindGraph = Callable[[SubRun], Awaitable[StateGraph]]
"""Finds the workflow of a sub-run; `NotFound` when there is none."""

DEEPEST = 32
"""How deep workflows may run workflows that they wait for."""
ENDING_SECONDS = 10.0
"""How long calls that were cancelled may take to end."""
BREATH = 1000
"""How many states a run may do before everything else gets its turn."""
BREATH_SECONDS = 0.1
"""How long they take on the virtual clock, about as long as a worker takes for them: what only computes must come to
the end of its time too, such as a `try` that tries again at once for an hour.
"""


@dataclass(slots=True)
class Outcome:
    """How a run ended: *status* is completed, faulted, cancelled, or waiting (for events that nobody gave)."""

    status: str
    output: Json = None
    error: Error | None = None
    waiting_for: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Family:
    """What a run shares with the workflows that it runs: *detached* are those that nobody waits for."""

    runs: list[LocalRun] = field(default_factory=list)
    detached: list[Task[Json]] = field(default_factory=list)


class LocalRun(SteppedTasks):
    """The effects of one run, and what came of it: `progress` and the events in `channels`."""

    semantics, delegates = SEMANTICS, False

    def __init__(
        self,
        graph: StateGraph,
        *,
        run_id: str | None = None,
        scheduler: Scheduler | None = None,
        perform: PerformCall | None = None,
        evaluate: PerformEvaluation | None = None,
        find: FindGraph | None = None,
        channels: dict[str, list[JsonObject]] | None = None,
        seed: int = 0,
        at_gate: Callable[[Run], None] | None = None,
        audience: Audience | None = None,
        answers: Answers | None = None,
    ) -> None:
        """*audience*: who is told of the run, unless its document has another wish. *answers* stand in the place of
        calls.
        """
        self.graph, self.scheduler = graph, scheduler or Scheduler()
        self.run_id = self.identity = run_id or f"{graph.name.name}-{uuid.uuid4()}"
        self.progress: list[Progress] = []
        self.channels = channels if channels is not None else {}
        self.run: Run | None = None
        self._perform = perform
        self._evaluate = evaluate
        self._find = find
        self._answers = answers
        self._random = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self._ears = Ears(self.channels, self.scheduler)
        self._at_gate = at_gate
        self._audience = audience or Audience()
        self.audience = self._audience.of(graph)
        self.control = Control(self.scheduler)
        self._gates = 0
        self._depth = 0
        self._since: dict[str, int] = {}
        self._family = _Family([self])
        self._bound: list[Task[Json]] = []

    async def execute(
        self, input: Json, events: Sequence[JsonObject] = (), *, position: JsonObject | None = None
    ) -> Outcome:
        """Run to the end, of the workflows too that it started and did not wait for.

        *events* are published before it starts; those that a trigger takes start it.
        """
        channel = self.channels.setdefault("default", [])
        channel.extend(events)
        given, seeds = (input, []) if position is not None else self._trigger(input)
        self.run = Run(self.graph, given, self, seeds=seeds, position=position)
        try:
            output = await self.scheduler.drive(self._to_the_end(self.run, self.control.drive))
        except Fault as raised:
            return Outcome("faulted", error=raised.error)
        except CancelledRun:
            return Outcome("cancelled")
        except Stalled:
            doing = [f"{leaf.state}: {leaf.doing}" for leaf in self.run.root.leaves() if leaf.doing]
            return Outcome("waiting", waiting_for=doing)
        finally:
            await self._settle()
        return Outcome("completed", output)

    async def _to_the_end(self, run: Run, execute: Callable[[Run], Awaitable[Json]] = Run.execute) -> Json:
        """What *run* comes to, or the workflow that it goes on as; sub-workflows that end with it are ended."""
        try:
            while True:
                try:
                    return await execute(run)
                except Continued as continued:
                    graph = await self._continued(continued)
                    self.graph, self.audience, counts = graph, self._audience.of(graph), run.counts
                    run = self.run = Run(graph, continued.input, self, counts=counts)
        finally:
            for task in self._bound:
                task.cancel()

    async def _continued(self, continued: Continued) -> StateGraph:
        """The graph of the workflow that a run goes on as."""
        namespace, name, version = continued.namespace, continued.name, continued.version
        try:
            graph = await self._other(SubRun(namespace, name, version, continued.input, wait=True))
            return (
                graph if continued.timeout is None else retimed(bundle_of(graph), continued.timeout).graph()
            )
        except InvalidDocument as invalid:
            raise fault("configuration", str(invalid), instance=continued.state) from None
        except Fault as raised:
            raise raised.at(continued.state) from None

    async def _other(self, sub_run: SubRun) -> StateGraph:
        if self._find is None:
            raise fault("configuration", "no other workflows are available in this run")
        try:
            return await self.scheduler.real(self._find(sub_run))
        except NotFound as missing:
            raise fault("configuration", str(missing), status=404) from None

    async def _settle(self) -> None:
        """Let the detached runs end; their faults are their own."""
        await self.scheduler.settle(self._family.detached)
        await self.scheduler.ended(ENDING_SECONDS)
        for task in self._family.detached:
            if task.outcome.error is not None and not isinstance(task.outcome.error, Fault | Cancelled):
                raise task.outcome.error

    def _trigger(self, input: Json) -> tuple[Json, list[JsonObject]]:
        trigger = self.graph.trigger
        if trigger is None:
            return input, []
        spec = triggering(trigger)
        machine = filters.machine(spec)
        state, taken = machine.initial(), list[tuple[int, JsonObject, bool]]()
        for number, event in enumerate(self.channels.get(trigger.channel, [])):
            accepted = machine.accept(state, event)
            if accepted is None:
                continue
            state = accepted.state
            taken.append((number, event, accepted.index is not None))
            if accepted.complete:
                self._ears.consumed |= {(trigger.channel, position) for position, _, _ in taken}
                seeds = [taken_event for _, taken_event, counts in taken if counts]
                if trigger.state is not None:
                    return input, seeds
                if self.audience is not None:
                    self.audience = replace(self.audience, correlated=correlation_keys(spec, seeds))
                return [read(seed, trigger.read) for seed in seeds], []
        return input, []

    # --- the port ---------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return self.scheduler.now()

    def told_time(self) -> datetime:
        return self.now()

    def random(self) -> float:
        return self._random.random()

    def new_id(self) -> str:
        return uuid.uuid4().hex

    async def evaluate(self, evaluation: Evaluation, place: Place) -> Json:
        if self._evaluate is None:
            raise fault("configuration", "there are no secrets in this run")
        return await self.scheduler.real(self._evaluate(evaluation))

    async def sleep(self, seconds: float, place: Place) -> None:
        await self.scheduler.sleep(seconds)

    async def call(self, call: Call, place: Place) -> Json:
        if self._answers is not None and (answer := self._answers.call(self, call, place)) is not None:
            return await self._answered(answer, call, place)
        if self._perform is None:
            raise fault("configuration", f"calls of kind {call.kind!r} are not available in this run")
        perform = self._perform

        async def bounded() -> Json:
            try:
                async with asyncio.timeout(call.timeout) as timer:
                    return await perform(self, call, place)
            except TimeoutError:
                if not timer.expired():
                    raise
                if call.wait:
                    raise Expired from None
                raise fault("timeout", f"{place.label} took longer than its timeout allows") from None

        real = self.scheduler.real(bounded())
        if call.wait:
            return await real
        self._family.detached.append(self.scheduler.spawn(real))
        return None

    async def _answered(self, answer: Thunk[Json], call: Call, place: Place) -> Json:
        """What *answer* gives on the virtual clock, within the time that *call* has."""
        if call.wait:
            return await (answer() if call.timeout is None else self.within(call.timeout, answer, place))
        self._family.detached.append(self.scheduler.spawn(_awaited(answer)))
        return None

    async def never(self) -> None:
        await Promise[None]()

    async def publish(self, channel: str, event: JsonObject, place: Place) -> None:
        check_event(event)
        self.store(channel, event)

    def store(self, channel: str, event: JsonObject) -> bool:
        """Put *event* in *channel*, once, and let every listener hear it; False when it was there already."""
        log = self.channels.setdefault(channel, [])
        identity = (event.get("source"), event.get("id"))
        if any((present.get("source"), present.get("id")) == identity for present in log):
            return False
        self._add(channel, event)
        return True

    def _add(self, channel: str, event: JsonObject) -> None:
        self.channels.setdefault(channel, []).append(event)
        for run in self._family.runs:
            run._ears.hear()
        self.scheduler.nudge()

    async def listen(self, listener: Listener, place: Place) -> None:
        self._ears.listen(listener, place, self._since.get(listener.channel, 0))

    async def next_event(self, place: Place) -> Arrival:
        return await self._ears.next_event(place)

    async def stop_listening(self, place: Place) -> None:
        self._ears.stop_listening(place)

    async def run_workflow(self, sub_run: SubRun, place: Place) -> Json:
        work: Thunk[Json] = partial(self._sub_run, sub_run, f"{self.run_id}{place.id}")
        if self._answers is not None and (answer := self._answers.sub_run(self, sub_run, place)) is not None:
            work = answer
        if sub_run.wait:
            # As a task of its own, so that workflows in workflows do not add up to one deep stack.
            return (await self.scheduler.join([work], need=1, tolerant=False))[0]
        task = self.scheduler.spawn(_awaited(work))
        self._family.detached.append(task)
        if sub_run.with_parent:
            self._bound.append(task)
        return None

    async def _sub_run(self, sub_run: SubRun, run_id: str) -> Json:
        graph = await self._other(sub_run)
        if self._depth == DEEPEST:
            raise fault("runtime", f"{graph.name} is run by workflows more than {DEEPEST} deep")
        child = self._child(graph, run_id)
        child.run = Run(graph, sub_run.input, child)
        self._family.runs.append(child)
        try:
            return await child._to_the_end(child.run)
        finally:
            self._family.runs.remove(child)

    def _child(self, graph: StateGraph, run_id: str) -> LocalRun:
        """A run in the same world; it hears what is published from now on."""
        child = LocalRun(
            graph,
            run_id=run_id,
            scheduler=self.scheduler,
            perform=self._perform,
            evaluate=self._evaluate,
            find=self._find,
            channels=self.channels,
            audience=replace(self._audience, correlated=None),
            answers=self._answers,
        )
        child._depth, child._family = self._depth + 1, self._family
        child._since = {name: len(log) for name, log in self.channels.items()}
        return child

    async def join(self, branches: Sequence[Thunk[T]], *, need: int, tolerant: bool) -> Mapping[int, T]:
        return await self.scheduler.join(branches, need=need, tolerant=tolerant)

    async def within(self, seconds: float, work: Thunk[T], place: Place) -> T:
        async def timer() -> Any:
            await self.scheduler.sleep(seconds)
            raise Expired

        return (await self.scheduler.join([work, timer], need=1, tolerant=False))[0]

    async def gate(self) -> None:
        if self._at_gate is not None and self.run is not None:
            self._at_gate(self.run)
        await self.control.gate()
        self._gates += 1
        if self._gates % BREATH == 0:
            await self.scheduler.breathe(BREATH_SECONDS)

    def note(self, progress: Progress) -> None:
        self.progress.append(progress)

    def broke(self) -> None: ...

    def spent(self, steps: int) -> None: ...

    def tell(self, event: JsonObject) -> None:
        if self.audience is not None and not self.scheduler.giving_up:
            self._add(self.audience.channel, event)  # no two have the same id


async def _awaited(answer: Thunk[Json]) -> Json:
    return await answer()
