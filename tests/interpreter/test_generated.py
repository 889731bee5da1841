"""Whatever the document: stopped and gone on with wherever it is, a run ends as it does in one go."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interpreter.generated import HEADER, INPUT, documents
from workflow_engine import dsl
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.packing import pack, unpack
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.local import LocalRun, Outcome
from workflow_engine.runtimes.scheduler import Scheduler


class Stop(BaseException):
    def __init__(self, position: str) -> None:
        self.position = position


async def run(graph: StateGraph, gaps: list[int]) -> tuple[Outcome, int]:
    """Run *graph*, stopping after as many states as the next gap says; and how often it was stopped."""
    position: Any = None
    scheduler = Scheduler()
    stops = 0
    while True:
        left = gaps[stops] if stops < len(gaps) else None

        def gate(run: Run) -> None:
            nonlocal left
            if left is not None:
                if left == 0:
                    raise Stop(json.dumps(pack(run.position())))
                left -= 1

        local = LocalRun(graph, run_id="r", at_gate=gate, scheduler=scheduler)
        try:
            return await local.execute(INPUT, position=position), stops
        except Stop as stopped:
            position, stops = unpack(json.loads(stopped.position)), stops + 1
            scheduler = Scheduler(start=scheduler.now())


@settings(max_examples=150, deadline=None)
@given(documents(), st.lists(st.integers(1, 12), min_size=1, max_size=12))
def test_a_run_that_is_stopped_again_and_again_ends_as_one_that_is_not(
    document: dict[str, Any], gaps: list[int]
) -> None:
    graph = dsl.compile(dsl.parse(json.dumps(document)))
    whole, _ = asyncio.run(run(graph, []))
    resumed, _ = asyncio.run(run(graph, gaps))
    assert (resumed.status, resumed.error) == (whole.status, whole.error)
    assert resumed.output == whole.output


MOST_BOUNDARIES = 60


@settings(max_examples=25, deadline=None)
@given(documents())
def test_a_run_goes_on_at_every_boundary_as_if_it_had_not_stopped(document: dict[str, Any]) -> None:
    graph = dsl.compile(dsl.parse(json.dumps(document)))
    whole, _ = asyncio.run(run(graph, []))
    for boundary in range(MOST_BOUNDARIES):
        resumed, stops = asyncio.run(run(graph, [boundary]))
        assert (resumed.status, resumed.error, resumed.output) == (whole.status, whole.error, whole.output)
        if not stops:
            break


@settings(max_examples=60, deadline=None)
@given(documents())
def test_a_run_is_the_same_every_time(document: dict[str, Any]) -> None:
    graph = dsl.compile(dsl.parse(json.dumps(document)))
    first, _ = asyncio.run(run(graph, []))
    second, _ = asyncio.run(run(graph, []))
    assert (first.status, first.output, first.error) == (second.status, second.output, second.error)
    assert first.status in {"completed", "faulted"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=8))
def test_a_fork_gives_its_branches_in_order_whatever_the_timing(pauses: list[int]) -> None:
    branches = [
        {
            f"b{number}": {
                "do": [
                    {"pause": {"wait": {"milliseconds": pause}}},
                    {
                        "tell": {
                            "set": {"number": number},
                            "export": {"as": f"$context + {{b{number}: 1, last: {number}}}"},
                        }
                    },
                ]
            }
        }
        for number, pause in enumerate(pauses)
    ]
    document = {
        "document": HEADER,
        "do": [{"fork": {"fork": {"branches": branches}}}],
        "output": {"as": "{outputs: ., context: $context}"},
    }
    outcome, _ = asyncio.run(run(dsl.compile(dsl.parse(json.dumps(document))), []))
    assert outcome.output == {
        "outputs": [{"number": number} for number in range(len(pauses))],
        "context": {**{f"b{number}": 1 for number in range(len(pauses))}, "last": len(pauses) - 1},
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=8))
def test_a_race_is_won_by_the_shortest_and_of_equals_by_the_first(pauses: list[int]) -> None:
    branches = [
        {
            f"b{number}": {
                "do": [{"pause": {"wait": {"milliseconds": pause}}}, {"tell": {"set": {"number": number}}}]
            }
        }
        for number, pause in enumerate(pauses)
    ]
    document = {"document": HEADER, "do": [{"race": {"fork": {"compete": True, "branches": branches}}}]}
    outcome, _ = asyncio.run(run(dsl.compile(dsl.parse(json.dumps(document))), []))
    assert outcome.output == {"number": pauses.index(min(pauses))}
