"""`Effects` under Temporal: sleeps are timers, calls are activities, waits are signals."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from workflow_engine.calls.activity import KIND
from workflow_engine.dsl.bundle import SEMANTICS
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.effects import (
    CLOSED,
    Arrival,
    Call,
    Evaluation,
    Listener,
    Place,
    Progress,
    SubRun,
)
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.runtimes.events import check_event
from workflow_engine.runtimes.temporal import foreign
from workflow_engine.runtimes.temporal.branches import Branches
from workflow_engine.runtimes.temporal.calling import (
    UNTIL_IT_WORKS,
    Within,
    detach,
    make,
    publish,
    rest,
    summary,
    tell_router,
)
from workflow_engine.runtimes.temporal.clock import Clock
from workflow_engine.runtimes.temporal.failures import LOCAL_FAILURES, cancelled_or
from workflow_engine.runtimes.temporal.naming import identity_of, sub_run_id
from workflow_engine.runtimes.temporal.sub_flows import SubFlows
from workflow_engine.runtimes.temporal.traces import RunTrace, traced
from workflow_engine.values import Json, JsonObject

T = TypeVar("T")

EVALUATION_SECONDS = 40.0
"""How long the evaluation of an expression with secrets may take: a token may have to be fetched for it."""
BREATH = 1500
"""How many states in a row, none of which waits or acts, one workflow task may do. A worker that is silent
for long is taken for stuck, so after that many the run waits for a moment, and others get their turn."""
RECENT = 500
"""How much of what happened last a run can tell."""
CHANGED = 1_000_000
"""By so much the numbers of calls rise with each change of the run: more than one task has."""
MOST_UNTOLD = 2000
"""How many lifecycle events a run keeps while they cannot be told, or until it waits: then it waits for them."""
UNTIL_TOLD = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=2)
)
"""For lifecycle events: from the second try on each costs some events of history, so a long outage is asked seldom."""
LIFECYCLE = "lifecycle"
"""The member of a run's memo that says who is told of it."""


class TemporalEffects(Branches):
    """The effects of one run, called from inside its workflow."""

    def __init__(
        self, graph: StateGraph, memo: Json = None, generation: str = "", semantics: int = SEMANTICS
    ) -> None:
        """*memo* is what the run remembers under `LIFECYCLE`, *generation* tells it from others that had its id.
        *semantics* are those that it began with (`dsl.bundle.SEMANTICS`).
        """
        self.semantics = semantics
        self._loop = _loop()
        name = graph.name
        self._source = f"/{name.namespace}/{name.name}/{name.version}"
        self._inbox: dict[str, list[Arrival]] = {}
        self._received: dict[str, int] = {}
        self._handed: dict[str, int] = {}
        self._clocks: dict[str, asyncio.Task[None]] = {}
        self._listened = False
        self._open: set[str] = set()
        self._pure = 0
        self._unrecorded_at = self._called_at = self._given_at = self._number = 0
        self._keeps = semantics > 7
        self.suspended = self.draining = self.broken = self.failed = False
        self.since: str | None = None
        self.graph = graph
        self.recent: deque[Progress] = deque(maxlen=RECENT)
        self._memo = memo
        self._clock = Clock()
        self._generation = generation
        self.audience = Audience.from_json(memo).of(graph)
        self._untold: list[JsonObject] = []
        self._over = False
        self.spans = RunTrace.of(name)
        self._traced = {} if self.spans is None else self.spans.carried
        self.sub_flows = SubFlows(self.identity, {**self.handed_on(), **self._traced}, semantics)
        self._telling = None if self.audience is None else asyncio.create_task(self._tell_on(self.audience))

    @property
    def delegates(self) -> bool:
        return self.semantics > 2

    @property
    def run_id(self) -> str:
        return workflow.info().workflow_id

    @property
    def identity(self) -> str:
        return identity_of(self.run_id, self._generation)

    def now(self) -> datetime:
        return self._clock.now()

    def told_time(self) -> datetime:
        self.unrecorded()
        return self._clock.now()

    def random(self) -> float:
        return workflow.random().random()

    def new_id(self) -> str:
        return workflow.uuid4().hex

    async def evaluate(self, evaluation: Evaluation, place: Place) -> Json:
        try:
            return await workflow.execute_local_activity(  # type: ignore[no-any-return]
                "expression.evaluate",
                args=[asdict(evaluation)],
                activity_id=f"evaluate:{place.id}",
                summary=summary(place.label),
                start_to_close_timeout=timedelta(seconds=EVALUATION_SECONDS),
                retry_policy=UNTIL_IT_WORKS,
                local_retry_threshold=timedelta(seconds=5),
            )
        except LOCAL_FAILURES as failure:
            raise cancelled_or(failure) from None
        finally:
            self.unrecorded()

    async def sleep(self, seconds: float, place: Place) -> None:
        self._pure = 0
        await workflow.sleep(seconds, summary=summary(place.label))

    async def call(self, call: Call, place: Place) -> Json:
        self._pure = 0
        if call.kind == KIND:
            return await foreign.execute(call, place)
        # The server keeps the time that the document sets: the call is only not to stay behind.
        about: dict[str, Any] = {
            "place": place.id,
            "state": place.state,
            "source": self._source,
            "resources": dict(call.resources),
            **self._traced,
            "timeout": None if call.timeout is None else call.timeout + 1.0,
        }
        if call.deferred is not None:
            about["deferred"] = call.deferred
        if self._generation:
            about["identity"] = self.identity
        if not call.wait:
            about |= {"run_id": self.run_id, "label": place.label, "bound": call.timeout}
            await detach(call, place, about, sub_run_id(self.identity, place.id), self.graph.name)
            return None
        try:
            return await make(call, place, about, self._within(place))
        except ActivityError as failure:
            raise cancelled_or(failure) from None
        finally:
            self._given_at = self._called_at

    def _within(self, place: Place) -> Within | None:
        """How what is done at *place* is done within this workflow task; None: it is not."""
        express = place.express is True and self.semantics > 1
        if not express and not self.inline(place):
            return None
        self._number += self.semantics > 6
        keeps = not express and self.semantics > 7
        after = self._called_at == workflow.info().get_current_history_length() if keeps else None
        unkept = partial(setattr, self, "_keeps", False)
        return Within(self._number, not express, after, partial(self._called, kept=keeps), unkept)

    def inline(self, place: Place) -> bool:
        """Whether what is done at *place* may be done within this workflow task and nothing is lost by that.

        Nothing else of the run goes on, which would have to wait for it. And all that the run has done is in its
        history, or is kept by its worker first (`interim`), as is all of which it can be made the same again: if the
        worker dies, just this is done again, as any call would be.
        """
        recorded = workflow.info().get_current_history_length()
        return (
            self.semantics > 6
            and place.express is None
            and not (self._beside or self._open)
            and self.audience is None
            and recorded != self._unrecorded_at
            and (self._keeps or recorded != self._called_at)
        )

    async def recorded(self) -> None:
        """Return once the calls of this workflow task are in the history, for it is to fail, and then fails again and
        again: they are not to be made each time. The SDK records them when a task has taken most of its time.
        """
        here = workflow.info()
        if self._called_at == here.get_current_history_length() and not workflow.unsafe.is_replaying():
            # Neither that the run is cancelled meanwhile nor that the worker stops is an end of a run that is parked.
            with contextlib.suppress(asyncio.CancelledError, *LOCAL_FAILURES):
                await rest(here.task_timeout.total_seconds() * 0.9 if here.task_timeout else 9.0)

    def _called(self, well: bool, *, kept: bool) -> None:
        """A call or an event is done, *well* if it gave something; *kept*: that is, before anything else is done."""
        if self.elsewhere:
            return
        self._called_at = workflow.info().get_current_history_length()
        if not (well and kept):
            self.unrecorded()

    def unrecorded(self) -> None:
        """What was done just now is not in the history before this workflow task ends."""
        if not self.elsewhere:
            self._unrecorded_at = workflow.info().get_current_history_length()

    def changed(self) -> None:
        """Somebody has changed what the run does next, which may have been done before in a task that is done again:
        what a call gave then is not what it gives now.
        """
        self.unrecorded()
        self._number += CHANGED * (self.semantics > 6)

    async def never(self) -> None:
        await workflow.wait_condition(lambda: False)

    async def publish(self, channel: str, event: JsonObject, place: Place) -> None:
        check_event(event)
        self._pure = 0
        try:
            await publish(event, channel, place, self._within(place), self._traced)
        except ActivityError as failure:
            raise cancelled_or(failure) from None

    async def listen(self, listener: Listener, place: Place) -> None:
        self._listened = True
        about = {
            "run_id": self.run_id,
            "listen_id": place.id,
            "spec": listener.spec,
            "channel": listener.channel,
            "since": self.since or workflow.info().workflow_start_time.isoformat(),
        }
        await self._tell_router("event.listen", [about], place)
        self._hear(listener, place)

    def _hear(self, listener: Listener, place: Place) -> None:
        self._pure = 0
        closed = any(arrival.closed for arrival in self._inbox.get(place.id, []))
        if listener.seconds is not None and not closed:
            self._clocks[place.id] = asyncio.create_task(self._close(listener.seconds, place))

    async def _close(self, seconds: float, place: Place) -> None:
        await workflow.sleep(max(seconds, 0.001), summary=summary(f"{place.label}: for how long"))
        self._inbox.setdefault(place.id, []).append(CLOSED)

    async def next_event(self, place: Place) -> Arrival:
        inbox = self._inbox.setdefault(place.id, [])
        await workflow.wait_condition(lambda: bool(inbox) and not self.draining)
        arrival = inbox.pop(0)
        if not arrival.closed:
            self._handed[place.id] = self._handed.get(place.id, 0) + 1
        return arrival

    async def stop_listening(self, place: Place) -> None:
        if self.let_go:
            return
        clock = self._clocks.pop(place.id, None)
        if clock is not None:
            clock.cancel()
        # What came and was not handed out is free for the run's later listeners.
        used = self._handed.get(place.id, 0)
        await self._tell_router("event.unlisten", [self.run_id, place.id, used], place)

    async def ended(self) -> None:
        """The run is over: what is to be told is told, and a run that listened is forgotten by the router."""
        if self._telling is not None:
            self._over = True
            await asyncio.shield(self._telling)
        await self.sub_flows.end()
        if self._listened:
            kept = [True] if self.failed else []  # what it has taken, for it may be retried
            await self._tell_router("event.forget", [self.run_id, *kept], Place("/end", "", "end"))

    async def _tell_router(self, kind: str, args: list[Any], place: Place) -> None:
        """Tell the router something of the run, until it answers.

        What it is to listen for may depend on what a call of this workflow task gave, which may give something else
        when it is made again, and the router goes by what it was told first: that is kept, or recorded, before. (What
        an event told comes to nothing else.)
        """
        recorded = workflow.info().get_current_history_length()
        after = kind == "event.listen" and self.semantics > 7 and self._given_at == recorded
        try:
            await tell_router(kind, args, place, after, self._keeps and self._unrecorded_at != recorded)
        except LOCAL_FAILURES as failure:
            raise cancelled_or(failure) from None

    def arrived(self, listen_id: str, message: Mapping[str, Any]) -> bool:
        """Take an event that the router has signalled; False for one that was taken before."""
        expected = self._received.get(listen_id, 0)
        if message["seq"] != expected:
            return False
        self._received[listen_id] = expected + 1
        arrival = Arrival(
            message["event"],
            message.get("index") or 0,
            bool(message.get("complete")),
            bool(message.get("ends")),
        )
        self._inbox.setdefault(listen_id, []).append(arrival)
        return True

    async def run_workflow(self, sub_run: SubRun, place: Place) -> Json:
        self._pure = 0
        return await self.sub_flows.run(sub_run, place)

    def held(self) -> bool:
        """Whether nothing of the run may go on to its next state now."""
        return self.suspended or self.draining or len(self._untold) >= MOST_UNTOLD

    async def gate(self) -> None:
        if self.held():
            await workflow.wait_condition(lambda: not self.held())
        self._pure += 1
        if self._pure >= BREATH:
            self._pure = 0
            await workflow.sleep(0.001, summary="letting other runs go on")

    def note(self, progress: Progress) -> None:
        self.recent.append(progress)

    @property
    def let_go(self) -> bool:
        """Whether the run unwinds though it has not ended: its worker stops or lets go of it, or has met a bug."""
        return self.broken or self.elsewhere

    @property
    def elsewhere(self) -> bool:
        """Whether this is asked within the task of another run, or of none."""
        return _loop() is not self._loop

    def broke(self) -> None:
        self.broken = True

    def tell(self, event: JsonObject) -> None:
        self._untold.append(event)

    async def _tell_on(self, audience: Audience) -> None:
        """Publish what is to be told, in batches: a condition is looked at once nothing of the run can go on, so a
        batch has all that happened until the run waits for something, and costs one event of its history.
        """
        while not self._over or self._untold:
            await workflow.wait_condition(lambda: self._over or bool(self._untold))
            batch = list(self._untold)
            if batch:
                await workflow.execute_local_activity(
                    "event.tell",
                    args=[traced(audience.channel, self._traced), batch],
                    summary="lifecycle events",
                    start_to_close_timeout=timedelta(seconds=30),
                    retry_policy=UNTIL_TOLD,
                    local_retry_threshold=timedelta(seconds=1),
                )
                del self._untold[: len(batch)]

    def handed_on(self) -> dict[str, Any]:
        """What the workflows that this run runs remember of who is told: what this one was told itself."""
        if not isinstance(self._memo, dict):
            return {}
        return {LIFECYCLE: {key: value for key, value in self._memo.items() if key != "correlated"}}


def _loop() -> asyncio.AbstractEventLoop | None:
    """That of the run that is at work: each has one of its own."""
    return asyncio.get_running_loop() if workflow.in_workflow() else None
