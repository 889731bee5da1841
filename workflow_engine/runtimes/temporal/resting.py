"""A run whose history has grown long comes to rest, and goes on in a new one.

What counts is the history: Temporal ends a run at 51,200 events, and whoever takes it up again has to go through all
of them. When it is long, the branches of the run stop before their next states. Calls in flight end; what waits, for a
time or for events, just stays: it goes on waiting in the new history, for what is left. Then the position of the run is
all that is to be known of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from temporalio import workflow

from workflow_engine.dsl.bundle import SEMANTICS
from workflow_engine.errors import Fault
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
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.interruptions import AsyncioTasks
from workflow_engine.runtimes.temporal.backoff import Backoffs
from workflow_engine.runtimes.temporal.effects import BREATH, TemporalEffects
from workflow_engine.runtimes.temporal.pace import Pace
from workflow_engine.runtimes.temporal.room import Room
from workflow_engine.runtimes.temporal.runner import is_being_cancelled
from workflow_engine.values import Json, JsonObject

LIMITS = "limits"
"""The member of a run's memo that says when it goes on in a new history: `Limits.to_json`."""
MOST_STATES = 100_000
"""After so many states a run goes on in a new history, however short its own is: to go through them again takes time,
and a workflow task has ten seconds."""
LONGEST = 30_000
LARGEST = 30 * 1024 * 1024
"""At so many events or bytes of history the calls in flight are waited for, however long they take: Temporal ends a run
at 51,200 events or 50 MB."""
LAST = 45_000
"""At so many events, or KiB of history, a run that cannot go on in a new one is at its end."""
CALL = 25
"""To how many states it amounts to begin a call or a sub-flow."""
PATIENCE = 1000
"""After how many events more it is tried again, when the calls in flight have taken too long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run goes on in a new history: at *events* of history, or when Temporal suggests it (None); after *states*.
    *drain* is for how many seconds calls in flight are waited for then, with everything else at rest.
    """

    events: int | None = None
    states: int = MOST_STATES
    drain: float = 60.0

    @classmethod
    def from_json(cls, encoded: Json) -> Self:
        """What `to_json` made; where it says nothing, as it is by itself."""
        if not isinstance(encoded, dict):
            return cls()
        events, states, drain = encoded.get("events"), encoded.get("states"), encoded.get("drain")
        return cls(
            events if isinstance(events, int) else None,
            states if isinstance(states, int) else MOST_STATES,
            float(drain) if isinstance(drain, int | float) else 60.0,
        )

    def to_json(self) -> JsonObject:
        """What differs from what it is by itself: a run in flight keeps to what it began with."""
        encoded: JsonObject = {}
        if self.events is not None:
            encoded["events"] = self.events
        if self.states != MOST_STATES:
            encoded["states"] = self.states
        if self.drain != 60.0:
            encoded["drain"] = self.drain
        return encoded


def remembered(limits: Limits) -> dict[str, Any]:
    """What a run remembers of its *limits*: those that it began with, whatever is set later."""
    encoded = limits.to_json()
    return {LIMITS: encoded} if encoded else {}


class RestingEffects(AsyncioTasks, TemporalEffects):
    """`TemporalEffects` of a run that can come to rest."""

    def __init__(
        self,
        graph: StateGraph,
        memo: Json = None,
        generation: str = "",
        semantics: int = SEMANTICS,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        super().__init__(graph, memo, generation, semantics)
        self.sub_flows.at_work, self.sub_flows.resting = self._at_work, lambda: self.draining
        self._counted = semantics > 1
        self.pace = Pace(counted=self._counted)
        self.wanted = False
        self._busy = 0
        self._room = Room()
        self._steps = 0
        self._moment = 0.0
        self._weight = 0
        self._breath: asyncio.Task[None] | None = None
        self._tried_at = 0
        self._stays = False
        self._backoffs = Backoffs()

    # --- coming to rest -----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Begin to come to rest if it is time to."""
        info = workflow.info()
        length = info.get_current_history_length()
        waits = self._tried_at and length < self._tried_at + PATIENCE
        pressed = self.at_its_end if self._stays else self.pressed
        if self.draining or (waits and not pressed and not self.wanted):
            return
        events = self.limits.events
        due = info.is_continue_as_new_suggested() if events is None else length >= events
        due = due or (self._stays and self.at_its_end)
        if due or self.wanted or (self._counted and self._steps >= self.limits.states):
            self.draining = True
            self._room.close()

    def come_to_rest(self) -> None:
        """Somebody wants the run to go on in a new history as soon as it can."""
        self.wanted = True
        self._look()

    @property
    def pressed(self) -> bool:
        """Whether the history is so long that everything has to wait for the calls in flight."""
        info = workflow.info()
        return info.get_current_history_length() >= LONGEST or info.get_current_history_size() >= LARGEST

    @property
    def at_its_end(self) -> bool:
        """Whether Temporal would soon end the run for the length of its history."""
        info = workflow.info()
        return max(info.get_current_history_length(), info.get_current_history_size() >> 10) >= LAST

    def stay(self) -> None:
        """Go on in this history, for what the run would go on with is too large: it is tried again later."""
        self._stays, self.wanted = True, False

    def at_rest(self) -> bool:
        """Whether the position says all of the run: to be asked when nothing of it can go on."""
        return self.draining and self._busy == 0 and not self._untold

    async def unless_cancelled(self) -> None:
        """Return unless the run is being cancelled, which it may hear of only after all else: then it stays here."""
        if is_being_cancelled() and self.draining:
            await self.never()

    def go_on(self) -> None:
        """Give it up for now: calls in flight take too long."""
        self._tried_at = workflow.info().get_current_history_length()
        self._steps = 0
        self.draining = False
        self._room.open()

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Do something that has to end before the run is at rest."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if self.wanted and self._busy == 0 and not self.elsewhere:
                self._look()

    def ear(self, place: str) -> tuple[int, list[JsonObject]] | None:
        """How many events the router has given the listener at *place*, and those of them that it has not dealt with.

        None: the router does not know it yet, or need not any longer.
        """
        waiting = self._inbox.get(place, [])
        if place not in self._open or any(each.closed or each.complete or each.ends for each in waiting):
            return None
        return self._received.get(place, 0), [each.event for each in waiting]

    # --- what a run goes on with --------------------------------------------------------------------------

    def carried(self, run: Run) -> JsonObject:
        """What is known besides the position of *run*, which is at rest."""
        live = [place for place in dict.fromkeys(run.root.places()) if place in self._open]
        began = self.since or workflow.info().workflow_start_time.isoformat()
        ears: JsonObject = {
            place: {
                "received": self._received.get(place, 0),
                "handed": self._handed.get(place, 0),
                "arrived": [_encoded(arrival) for arrival in self._inbox.get(place, [])],
            }
            for place in live
        }
        return {
            "since": began,
            "suspended": self.suspended,
            "listened": self._listened,
            "ears": ears,
            "sub_flows": self.sub_flows.to_json(),
            "runs": self.sub_flows.earlier,
            "followers": self.sub_flows.followers.to_json(),
            "recent": _steps(self.recent),
        }

    def restore(self, carried: dict[str, Any], *, looked_up: bool = False) -> None:
        """Know what `carried` said. *looked_up*: which workflow this is was asked just now."""
        if looked_up:
            self.unrecorded()
        self.since = carried.get("since")
        self._listened = carried.get("listened") is True
        self.sub_flows.earlier = dict(carried.get("runs", {}))
        self.sub_flows.followers.restore(carried.get("followers", []))
        for place, ear in carried.get("ears", {}).items():
            self._open.add(place)
            self._received[place], self._handed[place] = ear["received"], ear["handed"]
            self._inbox[place] = [_arrival(entry) for entry in ear["arrived"]]
        if "sub_flows" in carried:
            self.sub_flows.restore(carried["sub_flows"])
        recent = carried.get("recent", {"of": [], "steps": []})
        for number, at in recent["steps"]:
            phase, state, name = recent["of"][number]
            self.recent.append(Progress(phase, state, name, datetime.fromtimestamp(at, UTC)))

    def handed_on(self) -> dict[str, Any]:
        return {**super().handed_on(), **remembered(self.limits)}

    def ends(self, error: BaseException | None = None) -> None:
        """The run ends, with *error* if it does not complete: so its trace says."""
        if self.spans is not None:
            self.spans.ends(error)

    async def finish(self, *, over: bool) -> None:
        """Do what is to be done at the end of the run, *over* unless it goes on as one of another workflow. It is too
        late now to cancel it, which would leave that half done; but then it does not go on.
        """
        work = asyncio.create_task(self._finish(over))
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await workflow.wait([work])
        work.result()
        task = asyncio.current_task()
        if not over and task is not None and task.cancelling():
            await self.sub_flows.followers.tell()
            self.ends(cancelled := asyncio.CancelledError())
            self.closes()
            raise cancelled

    async def _finish(self, over: bool) -> None:
        await self.ended()
        if over and self.semantics > 4:
            await self.sub_flows.followers.tell()

    def closes(self) -> None:
        """The history ends, unless the run is let go of."""
        if self.spans is not None and not self.let_go:
            self.spans.closes()

    # --- the port -----------------------------------------------------------------------------------------

    async def gate(self) -> None:
        self._steps += 1
        while True:
            if self._moment != (moment := self._clock.time()):
                self._moment, self._weight = moment, 0
                self._look()
            if self.held():
                await workflow.wait_condition(lambda: not self.held())
            elif self._counted and self._weight >= BREATH:
                await self._breathe()
            elif self.semantics > 4 and self.pace.due:  # by then the run may come to rest
                await self.pace.keep()
            else:
                break
        self._weight += 1
        if not self._counted:
            await super().gate()
        if self.pace.due:
            await self.pace.keep()

    def spent(self, steps: int) -> None:
        self.pace.spent(steps)

    async def _breathe(self) -> None:
        """Let the workflow task end: it has done much, whichever branch did it, and no branch goes on meanwhile."""
        if self._breath is None or self._breath.done():
            self._breath = asyncio.create_task(workflow.sleep(0.001, summary="letting other runs go on"))
        await asyncio.shield(self._breath)

    async def evaluate(self, evaluation: Evaluation, place: Place) -> Json:
        if self.semantics > 4:
            # It may look at what a call has just answered, which is in no position yet: that is done before the rest.
            with self._at_work():
                return await super().evaluate(evaluation, place)
        async with self._room.place():
            with self._at_work():
                return await super().evaluate(evaluation, place)

    async def call(self, call: Call, place: Place) -> Json:
        async with self._room.place():
            # What receives from a broker has no end of its own: it leaves, and begins again in the new history.
            with self._at_work() if call.reception is None else contextlib.nullcontext():
                self._weight += CALL
                if call.attempts is None:
                    return await self._unless_given_up(call, place)
                with self._backoffs.during(place.id):
                    return await super().call(call, place)

    async def _unless_given_up(self, call: Call, place: Place) -> Json:
        """Make *call*. One that receives is waited for when it is given up: that it fails then is no fault."""
        try:
            return await super().call(call, place)
        except Fault:
            task = asyncio.current_task()
            if self.semantics > 4 and call.reception is not None and task is not None and task.cancelling():
                raise asyncio.CancelledError from None
            raise

    def take_back(self, calls: JsonObject) -> None:
        """Give *calls* up that wait for their next attempts at the server: the run waits for those (`backoff`)."""
        self._backoffs.take(calls, workflow.time())

    async def publish(self, channel: str, event: JsonObject, place: Place) -> None:
        async with self._room.place():
            with self._at_work():
                await super().publish(channel, event, place)

    async def run_workflow(self, sub_run: SubRun, place: Place) -> Json:
        async with self._room.place():
            self._weight += CALL
            return await super().run_workflow(sub_run, place)

    async def listen(self, listener: Listener, place: Place) -> None:
        if place.id in self._open:  # since an earlier history: the router knows
            self._hear(listener, place)
            return
        async with self._room.place():
            with self._at_work():
                await super().listen(listener, place)
        self._open.add(place.id)

    def arrived(self, listen_id: str, message: Mapping[str, Any]) -> bool:
        taken = super().arrived(listen_id, message)
        # The run may be busy with the first one for days, and Temporal takes 10,000 signals in one history.
        if self.semantics > 4:
            self._look()
        return taken

    async def next_event(self, place: Place) -> Arrival:
        self._look()
        if self.spans is None:
            return await super().next_event(place)
        return await self.spans.waiting(super().next_event, place)

    async def stop_listening(self, place: Place) -> None:
        if self.let_go:
            return
        self._open.discard(place.id)
        with self._at_work():
            await super().stop_listening(place)


def _steps(recent: Iterable[Progress]) -> JsonObject:
    """*recent* steps: each as its time, and the number of what was done ``of`` which state."""
    of: dict[tuple[str, str, str], int] = {}
    steps: list[Json] = []
    for step in recent:
        number = of.setdefault((step.phase, step.state, step.name), len(of))
        steps.append([number, step.at.timestamp()])
    return {"of": [[*done] for done in of], "steps": steps}


def _encoded(arrival: Arrival) -> Json:
    if arrival.closed:
        return None
    return [arrival.event, arrival.index, arrival.complete, arrival.ends]


def _arrival(entry: list[Any] | None) -> Arrival:
    return CLOSED if entry is None else Arrival(*entry)
