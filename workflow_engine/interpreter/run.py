"""Run a graph: the walk from state to state, and what each kind of state does."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from collections.abc import Sequence as Several
from datetime import timedelta
from functools import partial
from typing import assert_never, cast

from workflow_engine.errors import Error, Fault, fault
from workflow_engine.graph.model import (
    Assign,
    Compensate,
    ContinueAs,
    Emit,
    End,
    Event,
    Exit,
    ForEach,
    GoTo,
    Operation,
    Parallel,
    Raise,
    Region,
    Sequence,
    Sleep,
    State,
    StateGraph,
    SubFlow,
    Switch,
    Transition,
    Try,
    keeps,
)
from workflow_engine.interpreter import (
    bugs,
    calling,
    compensation,
    concurrency,
    ending,
    extending,
    listening,
    publishing,
    recovery,
    restoring,
    skipping,
)
from workflow_engine.interpreter.dataflow import enter, leave, shaped
from workflow_engine.interpreter.effects import Effects, Expired, Place, Progress, SubRun
from workflow_engine.interpreter.evaluation import evaluate, holds, seconds
from workflow_engine.interpreter.lifecycle import Lifecycle
from workflow_engine.interpreter.naming import Names, fitting
from workflow_engine.interpreter.position import Continued, Ended, Frame, TimeUp
from workflow_engine.interpreter.references import References
from workflow_engine.interpreter.scope import state_scope, workflow_scope
from workflow_engine.values import Json, JsonObject, deep_merge, rfc3339


class Run:
    """One execution of a graph. Its `root` is the tree of frames, kept up to date as it walks."""

    def __init__(
        self,
        graph: StateGraph,
        input: Json,
        effects: Effects,
        *,
        seeds: Several[JsonObject] = (),
        position: JsonObject | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Prepare a run on *input*. *seeds* are the events that started it, for a 0.8 event state;
        *position* is that of an earlier `Run`, to go on from there. *counts* are those of the run that this one goes on
        for (`Continued`): what they do under one id is told apart by them.
        """
        self.graph = graph
        self.input = input
        self.effects = effects
        self.seeds = list(seeds)
        self.begun_by = [str(seed.get("id")) for seed in seeds] if keeps(graph) else []
        self.counts: dict[str, int] = dict(counts or {})
        self.completed: list[str] = []
        self.correlation: JsonObject = {}
        self.deadline: float | None = None
        self.names = Names(graph)
        self._references: References | None = None
        self.started = effects.now()
        audience = effects.audience
        self.lifecycle = None if audience is None else Lifecycle(self, audience)
        self._resumed = position is not None
        self.root = Frame(graph.root.id, input, branch=True, context={})
        if position is not None:
            restoring.restore(self, position)

    async def execute(self) -> Json:
        """Walk the graph to its end and return the run's output; a `Fault` when nothing catches it.

        In neither of them is anything that stands for a secret.
        """
        if self.lifecycle is None:
            return await self._execute()
        return await self.lifecycle.around(self._execute, resumed=self._resumed)

    async def _execute(self) -> Json:
        try:
            return self.outside(await self._whole())
        except Fault as raised:
            hidden = self.outside(raised.error.to_json())
            assert isinstance(hidden, dict)
            raise Fault(Error.from_json(hidden)) from None

    async def _whole(self) -> Json:
        if self.root.state is None:
            self.root.data = await shaped(self, self.graph.enter, self.input, workflow_scope(self), "/input")
            if self.graph.input_is_context:
                self.root.context = self.root.data
        output = await ending.bounded(self)
        return await shaped(
            self, self.graph.leave, output, workflow_scope(self, self.root.context), "/output"
        )

    def outside(self, value: Json) -> Json:
        """*value* as it may leave the run: without what stands for secrets."""
        return value if self._references is None else self._references.hidden(value)

    def references(self) -> References:
        """What stands for secrets in this run."""
        if self._references is None:
            self._references = References(self.effects.new_id())
        return self._references

    @property
    def referring(self) -> References | None:
        """The same, once there may be any in the data of the run."""
        return self._references

    def refer(self, references: References | None) -> None:
        """Take the references of the run that this one goes on for."""
        self._references = references

    async def to_the_end(self, region: Region) -> Json:
        """Walk *region* until it, or the run, ends."""
        try:
            output, _ = await self.walk(region, self.root)
        except Ended as ended:
            self.root.context = ended.context
            return ended.output
        return output

    def suspend(self) -> None:
        """Somebody stops the run before its next state; its effects hold it at the gate."""
        if self.lifecycle is not None:
            self.lifecycle.suspend()

    def resume(self) -> None:
        """It goes on."""
        if self.lifecycle is not None:
            self.lifecycle.resume()

    def position(self) -> JsonObject:
        """Where the run is, as JSON from which another `Run` of the same graph and input goes on."""
        return restoring.position_of(self)

    def place(self, state: State, frame: Frame) -> Place:
        """Name this execution of *state*: the same after a resume, another one when it runs again."""
        id = frame.local.get("place")
        if not isinstance(id, str):
            count = self.counts[state.id] = self.counts.get(state.id, 0) + 1
            id = fitting(state.id if count == 1 else f"{state.id}#{count}")
            frame.local["place"] = id
        express = cast("bool | None", state.metadata.get("express", self.graph.express))
        return Place(id, state.id, self.names.label(state, frame), express)

    async def walk(self, region: Region, frame: Frame) -> tuple[Json, bool]:
        """Walk *region* from where *frame* stands; its output, and whether it ended in a loop break."""
        if frame.state is None:
            if not isinstance(region.entry, GoTo):
                return frame.data, False
            frame.at(region.entry.state)
        if (left := frame.left) is not None:
            return left
        task = self.effects.current_task()
        while True:
            if self.lifecycle is not None and self.lifecycle.suspended:
                self.lifecycle.stopped(frame)
            await self.effects.gate()
            assert frame.state is not None
            if frame is self.root and ending.time_is_up(self):
                raise TimeUp
            state = region.states[frame.state]
            data, transition = await self._step(state, frame, task)
            match transition:
                case GoTo(target, _):
                    frame.data = data
                    frame.at(target, state.id if transition is state.next else None)
                case Exit(breaks):
                    frame.over(data, breaks)
                    return data, breaks
                case End():
                    raise Ended(data, frame.owner.context)
                case _:
                    assert_never(transition)

    async def _step(self, state: State, frame: Frame, task: object) -> tuple[Json, Transition]:
        """Do one state, from its raw input to its transformed output, by the *task* that walks the region."""
        if "done" in frame.local:  # in another version of the workflow (see `moving`)
            return frame.local["done"], state.next
        if "skipped" in frame.local:  # somebody has said what comes of it (see `retrying`)
            self._note("skipped", state)
            return frame.local["skipped"], state.next
        frame.task = task
        try:
            if not frame.entered:
                frame.started = self.effects.now().timestamp()
                if state.when is not None and not await holds(
                    state.when, frame.data, state_scope(self, state, frame), strict=self.graph.strict
                ):
                    self._note("skipped", state)
                    return frame.data, state.otherwise
                self._note("started", state)
                if self.lifecycle is not None:
                    self.lifecycle.began(state, frame)
                frame.input = await enter(self, state, frame) if state.enter else frame.data
                frame.entered = True
            if state.extensions:
                perform = partial(self._perform, state, frame)
                output, transition = await extending.around(self, state, frame, perform)
            else:
                output, transition = await self._perform(state, frame)
            ends = isinstance(transition, End) or (isinstance(transition, GoTo) and transition.ends)
            result = (
                await leave(self, state, frame, output, ends=ends) if state.leave or frame.local else output
            )
        except Fault as raised:
            if self._interrupted(frame):
                return self._left(state, frame)
            self._note("faulted", state)
            caught = raised.at(state.id)
            if self.lifecycle is not None:
                self.lifecycle.faulted(state, frame, caught.error)
            then = recovery.rescued(state, caught)
            if then is None:
                frame.faulted = True
                raise caught from None
            return (frame.input if frame.entered else frame.data), then
        except BaseException as unwound:
            if not isinstance(unwound, Exception | GeneratorExit) and self._interrupted(frame):
                return self._left(state, frame)
            if bugs.found(unwound, state.id):
                self.effects.broke()
            if self.lifecycle is not None:
                self.lifecycle.unwound(state, frame, unwound)
            raise
        if self._interrupted(frame):
            return self._left(state, frame)
        self._note("completed", state)
        if self.lifecycle is not None:
            self.lifecycle.completed(state, frame)
        if state.compensated:
            self.completed.append(state.id)
        return result, transition

    def _interrupted(self, frame: Frame) -> bool:
        """Whether the state at which *frame* stands is left for having been skipped, and for nothing else."""
        return frame.interrupted and self.effects.interrupted(frame.task)

    def _left(self, state: State, frame: Frame) -> tuple[Json, Transition]:
        self._note("skipped", state)
        return skipping.outcome(self, state, frame), state.next

    def _note(self, phase: str, state: State) -> None:
        self.effects.note(Progress(phase, state.id, state.name, self.effects.now()))

    async def _perform(self, state: State, frame: Frame) -> tuple[Json, Transition]:
        """Act, within the state's own timeout if it has one (dsl.md §1.6), and a call within that of its arguments."""
        timings = [state.timeout] if state.timeout is not None else []
        if isinstance(state.action, Operation) and state.action.timeout is not None:
            timings.append(state.action.timeout)
        if not timings:
            return await self._act(state, frame, None)
        deadline = frame.local.get("deadline")
        if not isinstance(deadline, float):
            scope = state_scope(self, state, frame, input=frame.input)
            allowed = min([await seconds(timing, frame.input, scope, self) for timing in timings])
            deadline = self.effects.now().timestamp() + allowed
            frame.local["deadline"] = deadline
        remaining = max(0.0, deadline - self.effects.now().timestamp())
        try:
            if isinstance(state.action, Operation):
                return await self._act(state, frame, remaining)
            place = Place(f"{state.id}/timeout", state.id, f"timeout of {state.name}")
            return await self.effects.within(remaining, partial(self._act, state, frame, None), place)
        except Expired:  # what was under way stays in the frames: a retry goes on from there
            raise fault("timeout", f"{state.name!r} took longer than its timeout allows") from None

    async def _act(self, state: State, frame: Frame, allowed: float | None) -> tuple[Json, Transition]:
        data = frame.input
        scope = state_scope(self, state, frame, input=data)
        match state.action:
            case Assign(value, merge):
                assigned = await evaluate(value, data, scope)
                return deep_merge(data, assigned) if merge else assigned, state.next
            case Switch(cases):
                for case in cases:
                    if case.when is None or await holds(case.when, data, scope, strict=self.graph.strict):
                        return data, case.then
                return data, state.next
            case Sequence(body, handed_in):
                start = (
                    data
                    if handed_in is None or "do" in frame.children
                    else await evaluate(handed_in, data, scope)
                )
                output, _ = await self.walk(body, frame.child("do", body.id, start))
                return output, state.next
            case Operation():
                output = await calling.call(self, state, state.action, frame, allowed)
                return output if state.action.wait else data, state.next
            case Emit(event, channel):
                return await publishing.emit(
                    self, state, frame, await evaluate(event, data, scope), channel
                ), state.next
            case Sleep(duration):
                wait = await seconds(duration, data, scope, self)
                await self._sleep(state, frame, wait, self.place(state, frame), 0)
                return data, state.next
            case Raise(error):
                raise recovery.raised(await evaluate(error, data, scope))
            case Try():
                return await recovery.attempt(self, state, state.action, frame)
            case Parallel():
                return await concurrency.parallel(self, state, state.action, frame), state.next
            case ForEach():
                return await concurrency.for_each(self, state, state.action, frame), state.next
            case Event():
                return await listening.wait(self, state, state.action, frame)
            case SubFlow(namespace, name, version, handed, wait):
                given = self.outside(await evaluate(handed, data, scope))
                alone = wait and not frame.beside
                sub_run = SubRun(namespace, name, version, given, wait, state.action.with_parent, alone)
                place = self.place(state, frame)
                frame.doing = f"running {namespace}/{name}"
                output = await self.effects.run_workflow(sub_run, place)
                return output if wait else data, state.next
            case Compensate():
                return await compensation.compensate(self, state.action, frame), state.next
            case ContinueAs(namespace, name, version, handed, timeout):
                given = self.outside(await evaluate(handed, data, scope))
                raise Continued(namespace, name, version, given, timeout, state.id)
            case _:
                assert_never(state.action)

    async def _sleep(self, state: State, frame: Frame, duration: float, place: Place, number: int) -> None:
        """Wait, for the *number*-th time in this state; after a resume, only for what is left."""
        moment = self.effects.now()
        now = moment.timestamp()
        until = frame.local.setdefault("until", now + duration)
        assert isinstance(until, float)
        frame.doing = "waiting"
        with contextlib.suppress(OverflowError):  # beyond the year 9999
            frame.doing = f"waiting until {rfc3339(moment + timedelta(seconds=until - now))}"
        if until > now:
            if self.lifecycle is not None:
                self.lifecycle.waits(state, frame, number)
            await self.effects.sleep(until - now, place)
        if self.lifecycle is not None:
            self.lifecycle.goes_on(state, frame, number)

    def aside(self, state: State | None, what: str) -> Place:
        """Name something that is done beside what *state* does; None is the workflow itself."""
        id, name = (state.id, state.name) if state is not None else ("", self.graph.name.name)
        count = self.counts[f"{id}/{what}"] = self.counts.get(f"{id}/{what}", 0) + 1
        return Place(fitting(f"{id}/{what}#{count}"), id, f"{what} of {name}")

    async def pause(self, frame: Frame, duration: float, state: State, what: str) -> None:
        """Wait between two attempts of *state*: a timer of its own each time."""
        count = self.counts[f"{state.id}/{what}"] = self.counts.get(f"{state.id}/{what}", 0) + 1
        place = Place(fitting(f"{state.id}/{what}#{count}"), state.id, f"{what} {count} of {state.name}")
        retries = frame.local.get("retries")
        await self._sleep(state, frame, duration, place, retries if isinstance(retries, int) else 0)
        frame.local.pop("until", None)
