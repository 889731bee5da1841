"""What one local run listens for: its ears hear the events that are in the channels, and those that come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from workflow_engine import filters
from workflow_engine.interpreter.effects import CLOSED, Arrival, Listener, Place
from workflow_engine.runtimes.scheduler import Promise, Scheduler
from workflow_engine.values import JsonObject


@dataclass(slots=True)
class _Ear:
    machine: filters.Machine
    state: filters.State
    channel: str
    position: int = 0
    arrivals: list[tuple[int, Arrival]] = field(default_factory=list)
    complete: bool = False
    wanted: Promise[None] | None = None
    clock: Promise[None] | None = None


class Ears:
    """The listeners of a run by their places; an event that one of them took is `consumed` for all."""

    def __init__(self, channels: Mapping[str, list[JsonObject]], scheduler: Scheduler) -> None:
        self._channels, self._scheduler = channels, scheduler
        self._ears: dict[str, _Ear] = {}
        self.consumed: set[tuple[str, int]] = set()

    def listen(self, listener: Listener, place: Place, since: int) -> None:
        """Begin to listen, to what is in the channel from the position *since* on; again is harmless."""
        if place.id not in self._ears:
            machine = filters.machine(listener.spec)
            ear = self._ears[place.id] = _Ear(machine, machine.initial(), listener.channel, since)
            if listener.seconds is not None:
                ear.clock = self._scheduler.alarm(listener.seconds)
                ear.clock.then(partial(self._close, place, ear))
        self._hear(self._ears[place.id])

    def _close(self, place: Place, ear: _Ear) -> None:
        if self._ears.get(place.id) is ear:
            ear.arrivals.append((-1, CLOSED))
            if ear.wanted is not None:
                ear.wanted.resolve(None)

    def hear(self) -> None:
        """There may be something new in the channels."""
        for ear in list(self._ears.values()):
            self._hear(ear)

    def _hear(self, ear: _Ear) -> None:
        log = self._channels.get(ear.channel, [])
        while ear.position < len(log) and not ear.complete:
            position, ear.position = ear.position, ear.position + 1
            if (ear.channel, position) in self.consumed:
                continue
            accepted = ear.machine.accept(ear.state, log[position])
            if accepted is None:
                continue
            self.consumed.add((ear.channel, position))
            ear.state = accepted.state
            ear.complete = accepted.complete
            if accepted.index is not None or accepted.ends:
                arrival = Arrival(log[position], accepted.index or 0, accepted.complete, accepted.ends)
                ear.arrivals.append((position, arrival))
        if ear.arrivals and ear.wanted is not None:
            ear.wanted.resolve(None)

    async def next_event(self, place: Place) -> Arrival:
        """The next event for the listener at *place*."""
        ear = self._ears[place.id]
        while not ear.arrivals:
            ear.wanted = Promise()
            await ear.wanted
        return ear.arrivals.pop(0)[1]

    def stop_listening(self, place: Place) -> None:
        """End a listener; what it has not handed out is free again."""
        ear = self._ears.pop(place.id, None)
        if ear is not None:
            if ear.clock is not None:
                ear.clock.resolve(None)
            self.consumed -= {(ear.channel, position) for position, _ in ear.arrivals}
