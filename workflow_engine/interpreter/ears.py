"""What a run listens for where it stands, as its router must know it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from workflow_engine.graph.model import Event
from workflow_engine.interpreter import listening, subscribing
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.run import Run
from workflow_engine.values import Json, JsonObject


class Ear(NamedTuple):
    """A listener of a run at *place*; *arrived* are the events that it has taken so far."""

    place: str
    channel: str
    spec: JsonObject
    arrived: list[Json]
    whole: bool
    """Whether ``after`` of the spec can have them: those of messages of services are read otherwise."""


def ears(run: Run) -> Iterator[Ear]:
    """Every listener that *run* has now and for which there may be more."""
    states = run.graph.states
    for frame in _frames(run.root):
        state, local = states.get(str(frame.state)), frame.local
        if (
            state is None
            or not isinstance(state.action, Event)
            or local.get("complete")
            or local.get(listening.ENOUGH)
        ):
            continue
        spec, arrived, place = local.get("spec"), local.get("arrived"), local.get("place")
        if not (isinstance(spec, dict) and isinstance(arrived, list) and isinstance(place, str)):
            continue
        action = state.action
        own = action.messages is None
        channel = action.channel if action.messages is None else subscribing.channel(run, action.messages)
        taken = [entry[1] for entry in arrived if isinstance(entry, list) and len(entry) > 1]
        yield Ear(place, channel, spec, taken if own else [], own)


def _frames(frame: Frame) -> Iterator[Frame]:
    yield frame
    for child in frame.children.values():
        yield from _frames(child)
