"""What starts runs of a workflow, in words: events, the clock, or whoever asks."""

from __future__ import annotations

from typing import assert_never

from workflow_engine.graph import captions
from workflow_engine.graph.model import StateGraph, Trigger
from workflow_engine.graph.phrases import clip
from workflow_engine.graph.schedule import After, Cron, Every, Schedule
from workflow_engine.values import Duration


def beginning(graph: StateGraph) -> str:
    """``start``, ``on order.placed``, ``every 1 h``."""
    if graph.trigger is not None:
        return triggered(graph.trigger)
    return "start" if graph.schedule is None else scheduled(graph.schedule)


def triggered(trigger: Trigger) -> str:
    """``on order.placed``, ``on reading until done``."""
    if trigger.strategy.until is not None:
        return clip(f"on {captions.wanted(trigger.strategy)}")
    return captions.trigger(trigger)


def scheduled(schedule: Schedule) -> str:
    """``every 1 h``, ``at 0 0 * * * (Europe/Rome)``, ``5 min after each run``."""
    match schedule.recurrence:
        case Every(seconds):
            return clip("every " + captions.lasting(Duration(0, seconds)))
        case Cron(text):
            zone = "" if schedule.timezone == "UTC" else f" ({schedule.timezone})"
            return clip(f"at {text}{zone}")
        case After(delay):
            return clip(captions.lasting(delay) + " after each run")
        case _:
            assert_never(schedule.recurrence)
