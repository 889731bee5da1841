"""The one Temporal workflow: whatever its type is called, it runs the graph that came with it.

Start arguments are ``[input, bundle]``, the events that started it as a third, and what was before it as a fourth
(`carrying`). Started by name from the Temporal UI or command line, without a bundle, it looks the name up first; a
sub-workflow does the same.
It runs unsandboxed: no code of a user runs here, and import contracts, a purity test and recorded histories
keep the interpreter deterministic.
"""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, FailureError

from workflow_engine.dsl.bundle import Bundle, retimed
from workflow_engine.errors import Fault, InvalidDocument, Rejected, fault
from workflow_engine.interpreter.bugs import Bug
from workflow_engine.interpreter.packing import pack, unpack
from workflow_engine.interpreter.position import Continued, Frame
from workflow_engine.interpreter.retrying import Wish, edited, hold
from workflow_engine.interpreter.run import Run
from workflow_engine.interpreter.showing import shown
from workflow_engine.interpreter.skipping import skip, skippable
from workflow_engine.runtimes.temporal.calling import UNTIL_IT_WORKS
from workflow_engine.runtimes.temporal.carrying import STARTED, started
from workflow_engine.runtimes.temporal.compiling import graph_of
from workflow_engine.runtimes.temporal.details import details, when_asked
from workflow_engine.runtimes.temporal.effects import LIFECYCLE
from workflow_engine.runtimes.temporal.endings import ENDINGS, UNKNOWN
from workflow_engine.runtimes.temporal.failures import LOCAL_FAILURES, failure_of, reraise
from workflow_engine.runtimes.temporal.followers import Followers
from workflow_engine.runtimes.temporal.hearing import Hearing
from workflow_engine.runtimes.temporal.leaving import MOST, Leaving, room_for, until_there_is_room, why_not
from workflow_engine.runtimes.temporal.moves import Move, refusal
from workflow_engine.runtimes.temporal.naming import GENERATION, renamed
from workflow_engine.runtimes.temporal.resting import LIMITS, Limits, RestingEffects
from workflow_engine.runtimes.temporal.signals import event_of
from workflow_engine.runtimes.temporal.traces import kept_trace


@workflow.defn(dynamic=True)
class ServerlessWorkflow(Hearing):
    """A run of any deployed workflow."""

    run_type: Callable[..., Run] = Run
    effects_type: Callable[..., RestingEffects] = RestingEffects
    """What runs are made of: those who replay one put in their own."""

    def __init__(self) -> None:
        self._effects: RestingEffects | None = None
        self._run: Run | None = None
        self._early: list[tuple[str, dict[str, Any]]] = []
        self._followers = Followers()
        self._suspended: bool | None = None
        self._named = False
        self._pinned: Bundle | None = None
        self._move: Move | None = None
        self._refused: list[Any] | None = None

    @workflow.run
    async def run(self, args: collections.abc.Sequence[RawValue]) -> Any:
        """Run to the end; the output is the workflow's result, a fault its failure."""
        ENDINGS.begun()
        payloads, converter = [arg.payload for arg in args], workflow.payload_converter()
        input = converter.from_payload(payloads[0]) if payloads else None
        try:
            bundle = await self._bundle(payloads[1] if len(payloads) > 1 else None)
            self._pinned = bundle
            seeds = converter.from_payload(payloads[2]) if len(payloads) > 2 else []
            before = converter.from_payload(payloads[3]) if len(payloads) > 3 else {}
            if isinstance(position := before.get("position"), dict):
                apart = [converter.from_payload(payload) for payload in payloads[4:]]
                before["position"] = unpack(position, input, apart)
            input = {} if input is None and not payloads else input
            effects, run = self._prepare(bundle, input, seeds, before)
            when_asked(lambda ended: details(run, suspended=self._suspended is True, ended=ended))
            leaving: Leaving | None = None
            continued: Continued | None = None
            try:
                output, leaving = await self._drive(run, effects, bundle)
                if leaving is None:
                    effects.ends()
                    ENDINGS.returns(output)
                    return output
            except Continued as raised:
                effects.failed = True  # as long as there is nothing to go on as
                following = await self._following(raised)
                continued = raised
                effects.failed = False
            except BaseException as error:
                if effects.elsewhere or isinstance(error, GeneratorExit):
                    # The worker lets go of the run, which goes on elsewhere: nothing has ended. What is collected as
                    # garbage comes here within the task of whatever run is at work, which it must not touch.
                    effects.broke()
                    raise GeneratorExit from None
                if isinstance(error, Exception) and not isinstance(error, (Fault, FailureError)):
                    await effects.recorded()
                    raise Bug.of(error) from error
                effects.failed = True
                effects.ends(error)
                raise
            else:
                leaving.go()
            finally:
                if leaving is None and not effects.let_go:
                    await effects.finish(over=continued is None)
                effects.closes()
            assert continued is not None
            self._continue(continued, following)
        except Fault as raised:
            at, failure = raised.error.instance or "no state", failure_of(raised)
            workflow.logger.warning("faulted at %s: %s: %s", at, failure.type, failure.message)
            ENDINGS.returns(UNKNOWN)
            raise failure from None

    def _prepare(
        self, bundle: Bundle, input: Any, seeds: list[Any], before: dict[str, Any]
    ) -> tuple[RestingEffects, Run]:
        """The run of *bundle*, at its beginning or where it was *before*."""
        graph = graph_of(bundle)
        limits = Limits.from_json(workflow.memo_value(LIMITS, None))
        audience, generation = workflow.memo_value(LIFECYCLE, None), workflow.memo_value(GENERATION, "")
        effects = self._effects = self.effects_type(graph, audience, generation, bundle.semantics, limits)
        effects.sub_flows.followers = self._followers
        effects.restore(before, looked_up=self._named)
        commanded, was = self._suspended, before.get("suspended") is True
        self._suspended = effects.suspended = was if commanded is None else commanded
        for listen_id, message in self._early:
            effects.arrived(listen_id, message)
        position = before.get("position")
        run = self._run = self.run_type(
            graph,
            input,
            effects,
            seeds=seeds,
            counts=before.get("counts"),
            position=None if position is None else unpack(position),
        )
        if self._suspended and (not was or position is None):
            run.suspend()
        if was and not self._suspended:
            run.resume()
        self._refused = before.get("refused")
        self._consider()
        return effects, run

    async def _drive(self, run: Run, effects: RestingEffects, bundle: Bundle) -> tuple[Any, Leaving | None]:
        """The output of *run*; or else what it goes on with in a new history, for it is at rest."""
        work = asyncio.create_task(run.execute())
        try:
            while True:
                await workflow.wait_condition(lambda: work.done() or effects.draining)
                await effects.unless_cancelled()
                patience = None if effects.pressed else timedelta(seconds=effects.limits.drain)
                if not (work.done() or effects.at_rest()):
                    with contextlib.suppress(TimeoutError):
                        await workflow.wait_condition(
                            lambda: work.done() or effects.at_rest(),
                            timeout=patience,
                            timeout_summary="letting calls end",
                        )
                if work.done():
                    return work.result(), None
                if effects.at_rest() and (leaving := await self._leaves(run, effects, bundle)) is not None:
                    return None, leaving
                effects.go_on()
        except asyncio.CancelledError:
            if not work.done():
                work.cancel()
            return await work, None

    async def _leaves(self, run: Run, effects: RestingEffects, bundle: Bundle) -> Leaving | None:
        """What *run* goes on with in a new history; None when it goes on in this one, for that is too large."""
        leaving = Leaving.of(run, effects, bundle, self._move, named=self._named)
        size = leaving.size
        if size <= MOST:
            return leaving
        if effects.at_its_end:
            await until_there_is_room(size)
        elif not await room_for(size):
            if self._move is not None:
                self._move, self._refused = None, list(why_not(size))
            effects.stay()
            return None
        return Leaving.of(run, effects, bundle, self._move, named=self._named)  # events may have come

    async def _following(self, continued: Continued) -> Bundle:
        """The bundle of the workflow that the run goes on as."""
        try:
            bundle = await self._resolved(continued.namespace, continued.name, continued.version)
            return bundle if continued.timeout is None else retimed(bundle, continued.timeout)
        except InvalidDocument as invalid:
            raise fault("configuration", str(invalid), instance=continued.state) from None
        except Fault as raised:
            raise raised.at(continued.state) from None

    def _continue(self, continued: Continued, bundle: Bundle) -> NoReturn:
        """Begin the run of *bundle* in the place of this one, under the same id."""
        assert self._run is not None
        assert self._effects is not None
        name = bundle.graph().name
        attributes = renamed(workflow.info().typed_search_attributes, name)
        memo: dict[str, Any] = {"namespace": name.namespace, "name": name.name, "version": name.version}
        memo |= self._effects.handed_on()
        if generation := workflow.memo_value(GENERATION, ""):
            memo[GENERATION] = generation
        memo |= {STARTED: started(), **kept_trace()}
        before: dict[str, Any] = {"counts": self._run.counts, "followers": self._followers.to_json()}
        before["suspended"] = self._suspended
        workflow.continue_as_new(
            args=[continued.input, bundle, [], before],
            workflow=name.name,
            memo=memo,
            search_attributes=attributes,
        )

    async def _bundle(self, payload: Payload | None) -> Bundle:
        """The bundle that came along, or the one that the name stands for now."""
        namespace, name, version = None, workflow.info().workflow_type, None
        if payload is not None:
            value = workflow.payload_converter().from_payload(payload)
            if isinstance(value, Bundle):
                return value
            self._named = True
            if isinstance(value, dict):
                namespace, name, version = (
                    value.get("namespace"),
                    value.get("name", name),
                    value.get("version"),
                )
        return await self._resolved(namespace, name, version)

    async def _resolved(self, namespace: str | None, name: str, version: str | None) -> Bundle:
        """The bundle that a name stands for now; the answer is in the history of the run."""
        try:
            return await workflow.execute_local_activity(  # type: ignore[no-any-return]
                "workflow.resolve",
                args=[namespace, name, version],
                summary=f"looking up {name}",
                result_type=Bundle,
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=UNTIL_IT_WORKS,
                local_retry_threshold=timedelta(seconds=5),
            )
        except LOCAL_FAILURES as failure:
            raise reraise(failure) from None

    @workflow.signal(dynamic=True)
    def received(self, name: str, args: collections.abc.Sequence[RawValue]) -> None:
        """Take an event from the router; the signal's name is the listener's place."""
        if self._followers.heard(name, args):
            return
        message = event_of(name, args)
        if message is None:
            workflow.logger.warning("signal %r is not for this workflow", name)
        elif self._effects is None:
            self._early.append((name, message))
        else:
            self._effects.arrived(name, message)

    @workflow.signal
    def migrate(self, bundle: Any, names: dict[str, str]) -> None:
        """Go on as a run of *bundle*, another version of the workflow, as soon as it can: see `interpreter.moving`.

        Where it cannot, nothing is done, and the query ``moving`` says why.
        """
        if isinstance(bundle, Bundle):
            self._move, self._refused = Move(bundle, names), None
            self._consider()

    @workflow.signal
    def give_back(self, calls: dict[str, Any]) -> None:
        """Wait here for the next attempts of *calls*, which the server waits for, so that the run can move."""
        if self._move is not None and self._effects is not None:
            self._effects.take_back(calls)

    def _consider(self) -> None:
        if self._move is None or self._run is None or self._effects is None:
            return
        there = self._move.of(self._run)
        if there.position is None:
            self._move, self._refused = None, refusal(there)
        else:
            self._effects.come_to_rest()

    @workflow.query
    def moving(self) -> dict[str, Any]:
        """Whether it is on its way to another version, and why it was refused, if it was."""
        return {"moving": self._move is not None, "refused": self._refused}

    @workflow.signal
    def suspend(self) -> None:
        """Stop before the next state."""
        self._suspended = True
        if self._effects is not None:
            self._effects.suspended = True
        if self._run is not None:
            self._run.suspend()

    @workflow.signal
    def resume(self) -> None:
        """Go on."""
        self._suspended = False
        if self._effects is not None:
            self._effects.suspended = False
        if self._run is not None:
            self._run.resume()

    @workflow.query
    def state(self) -> dict[str, Any]:
        """Where the run is: the states it stands at, and what it does there."""
        run, suspended = self._run, self._suspended is True
        states = [] if run is None else shown(run, suspended=suspended)
        return {"suspended": suspended, "states": states}

    @workflow.query
    def recent(self) -> list[dict[str, Any]]:
        """What the states of the run did last, oldest first; also after it has ended."""
        noted = () if self._effects is None else self._effects.recent
        return [
            {"phase": step.phase, "state": step.state, "name": step.name, "at": step.at.timestamp()}
            for step in noted
        ]

    @workflow.query
    def standing(self) -> dict[str, Any]:
        """Where the run stands, as it may be gone on with from there: also once it has ended (`retrying`)."""
        if self._run is None or self._effects is None:
            return {}
        name = self._run.graph.name
        return {
            "position": pack(self._run.position()),
            "input": self._run.input,
            "since": self._effects.since or started(),
            "workflow": {"namespace": name.namespace, "name": name.name, "version": name.version},
        }

    @workflow.query
    def bundle(self) -> Bundle | None:
        """What the run is pinned to, however it was found."""
        return self._pinned

    @workflow.update
    async def edit(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Give the state before which the suspended run is held other data, or what comes of it (`Wish`)."""
        return await self._changed(self._edit, wish)

    @edit.validator
    def _may_be_edited(self, wish: dict[str, Any]) -> None:
        self._may(lambda _: self._held(wish))

    def _edit(self, run: Run, wish: dict[str, Any]) -> Frame:
        frame = self._held(wish)
        edited(frame, Wish.from_json(wish))
        return frame

    @workflow.update
    async def skip(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Leave out a state at which the run stands, also one that is under way (`Wish`)."""
        return await self._changed(lambda run, wish: skip(run, Wish.from_json(wish)), wish)

    @skip.validator
    def _may_be_skipped(self, wish: dict[str, Any]) -> None:
        self._may(lambda run: skippable(run, Wish.from_json(wish)))

    async def _changed(self, change: Callable[[Run, Any], Frame], wish: dict[str, Any]) -> dict[str, Any]:
        """Change the run, which may just begin a new history: then once it is where it was."""
        if self._run is None:
            await workflow.wait_condition(lambda: self._run is not None)
        assert self._run is not None
        if self._effects is not None:
            self._effects.changed()
        try:
            return {"id": change(self._run, wish).state}
        except Rejected as refused:
            raise ApplicationError(str(refused), type=refused.code, non_retryable=True) from None

    def _may(self, look: Callable[[Run], object]) -> None:
        """Refuse at once, without a word in the history, what would be refused now."""
        if self._run is None:
            return
        try:
            look(self._run)
        except Rejected as refused:
            raise ApplicationError(str(refused), type=refused.code, non_retryable=True) from None

    def _held(self, wish: dict[str, Any]) -> Frame:
        assert self._run is not None
        if not self._suspended:
            raise Rejected("run-not-suspended", "the run is not suspended; suspend it first", status=409)
        return hold(self._run.root, Wish.from_json(wish).state)
