"""Stopped and gone on with wherever it is, a run tells the same of its lifecycle, each thing once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interpreter.generated import INPUT, documents
from tests.interpreter.test_generated import Stop
from workflow_engine import dsl
from workflow_engine.graph.lifecycle import Told
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.runtimes.scheduler import Scheduler
from workflow_engine.values import JsonObject


async def told(graph: StateGraph, gaps: list[int]) -> list[JsonObject]:
    """What a run of *graph* tells that is stopped after as many states as each gap says, and is told twice or more."""
    position: Any = None
    left: int | None = None
    scheduler, events, stops = Scheduler(), [], 0

    def gate(run: Run) -> None:
        nonlocal left
        if left is not None:
            if left == 0:
                run.effects.audience = None  # what is given up now goes on later
                raise Stop(json.dumps(run.position()))
            left -= 1

    while True:
        left = gaps[stops] if stops < len(gaps) else None
        audience = Audience(Told(workflow=True, tasks=True))
        local = LocalRun(graph, run_id="r", at_gate=gate, scheduler=scheduler, audience=audience)
        try:
            await local.execute(INPUT, position=position)
            return events + local.channels.get("lifecycle", [])
        except Stop as stopped:
            events += local.channels.get("lifecycle", [])
            position, stops = json.loads(stopped.position), stops + 1
            scheduler = Scheduler(start=scheduler.now())


@settings(max_examples=100, deadline=None)
@given(documents(forks=False), st.lists(st.integers(1, 12), min_size=1, max_size=12))
def test_a_run_that_is_stopped_again_and_again_tells_the_same(
    document: dict[str, Any], gaps: list[int]
) -> None:
    graph = dsl.compile(dsl.parse(json.dumps(document)))
    whole = [str(event["id"]) for event in asyncio.run(told(graph, []))]
    assert len(whole) == len(set(whole))
    assert [str(event["id"]) for event in asyncio.run(told(graph, gaps))] == whole


@settings(max_examples=60, deadline=None)
@given(documents())
def test_every_task_that_begins_ends_once(document: dict[str, Any]) -> None:
    graph = dsl.compile(dsl.parse(json.dumps(document)))
    ids = [str(event["id"]) for event in asyncio.run(told(graph, []))]
    assert len(ids) == len(set(ids))
    under_way = {""}
    for id in ids:
        place, _, phase = id.rpartition("/")
        if phase == "created":
            under_way.add(place)
        elif "/task/" in place:
            assert place in under_way
            if phase in {"completed", "faulted", "cancelled"}:
                under_way.remove(place)
    assert under_way == {""}
    assert [id for id in ids if "/workflow/" in id] in (
        ["r/workflow/started", "r/workflow/completed"],
        ["r/workflow/started", "r/workflow/faulted"],
    )


@settings(max_examples=60, deadline=None)
@given(documents(forks=False))
def test_no_task_ends_before_those_within_it(document: dict[str, Any]) -> None:
    graph = dsl.compile(dsl.parse(json.dumps(document)))
    within: list[str] = []
    for event in asyncio.run(told(graph, [])):
        place, _, phase = str(event["id"]).rpartition("/")
        if phase == "created":
            within.append(place)
        elif phase in {"completed", "faulted", "cancelled"} and "/task/" in place:
            assert within.pop() == place
    assert within == []


@pytest.mark.parametrize(
    "remembered", [None, "task", {}, {"events": "everything"}, {"events": 3, "channel": None}]
)
def test_a_run_whose_memo_says_nothing_of_an_audience_has_none(remembered: Any) -> None:
    assert Audience.from_json(remembered) == Audience()


@pytest.mark.parametrize("correlated", [None, {}, {"order": 7}])
def test_an_audience_is_remembered_as_it_is(correlated: JsonObject | None) -> None:
    audience = Audience(Told(workflow=True, tasks=True, statuses=True), "ours", "http://x", correlated)
    assert Audience.from_json(audience.to_json()) == audience
