"""Whatever the document does: stopped anywhere and gone on with, a run ends the same, and does nothing twice."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.generated import v0_8, v1, world
from tests.interpreter.test_resume import padded
from workflow_engine import dsl
from workflow_engine.graph.lifecycle import Told
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.interpreter.moving import moved
from workflow_engine.interpreter.packing import pack, unpack
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.runtimes.scheduler import Scheduler
from workflow_engine.values import Json, JsonObject

DOCUMENTS = 300 if os.environ.get("WFE_SIZE") == "full" else 4
"""How many of each kind; ``WFE_SIZE=full pytest tests/generated`` looks at many."""
MOST_BOUNDARIES = 40
AUDIENCE = Audience(Told.parse("task,status"))


class Done(NamedTuple):
    """What came of a run: its end, the ids of what it published and told, and the places of its calls, each as often as
    it was made.
    """

    ended: Json
    published: list[str]
    told: list[str]
    called: list[str]


class Stop(BaseException):
    def __init__(self, position: str, channels: Any, consumed: set[tuple[str, int]]) -> None:
        self.position, self.channels, self.consumed = position, channels, consumed


class Gate:
    """Stops *local* before the state after *left* more, with all that there is then."""

    local: LocalRun

    def __init__(
        self, left: int | None, channels: dict[str, list[JsonObject]], answers: world.Answers
    ) -> None:
        self.left, self.channels, self.answers = left, channels, answers

    def __call__(self, run: Run) -> None:
        if self.left == 0 and not self.answers.stopped:
            self.answers.stopped = True
            ears = self.local._ears
            free = {(ear.channel, number) for ear in ears._ears.values() for number, _ in ear.arrivals}
            kept = json.loads(json.dumps(self.channels))
            raise Stop(json.dumps(pack(run.position())), kept, ears.consumed - free)
        self.left = None if self.left is None else self.left - 1


async def run(
    graph: StateGraph,
    gaps: list[int],
    input: Json,
    events: list[JsonObject],
    following: StateGraph | None = None,
) -> tuple[Done, int]:
    """Run *graph*, stopping after as many states as the next gap says; and how often it was stopped. *following*:
    another version of it, as which it goes on.
    """
    position: Any = None
    channels: dict[str, list[JsonObject]] = {"default": list(events)}
    consumed: set[tuple[str, int]] = set()
    scheduler, answers, stops = Scheduler(), world.Answers(), 0
    given: Any = answers
    while True:
        answers.stopped = False
        gate = Gate(gaps[stops] if stops < len(gaps) else None, channels, answers)
        gate.local = local = LocalRun(
            graph,
            run_id="r",
            at_gate=gate,
            scheduler=scheduler,
            answers=given,
            find=world.find,
            channels=channels,
            audience=AUDIENCE,
        )
        local._ears.consumed = consumed
        try:
            outcome = await local.execute(input, position=position)
        except Stop as stopped:
            position, channels = unpack(json.loads(stopped.position)), stopped.channels
            consumed, stops = stopped.consumed, stops + 1
            scheduler = Scheduler(start=scheduler.now())
            if following is not None:
                there = moved(position, graph, following, {})
                assert there.hindrances == []
                position, graph = json.loads(json.dumps(there.position)), following
            continue
        error = None if outcome.error is None else outcome.error.to_json()
        told = [str(event["id"]) for event in channels.get(AUDIENCE.channel, [])]
        published = sorted(str(event["id"]) for event in channels["default"])
        own = sorted({id for id in told if id.startswith(("r/task", "r/workflow"))})
        return Done([outcome.status, outcome.output, error], published, own, sorted(answers.made)), stops


def stopped_everywhere(document: JsonObject, input: Json, events: list[JsonObject], *, ordered: bool) -> None:
    """*ordered*: nothing goes on beside anything else, so that what is told is the same too."""
    graph = dsl.compile(dsl.parse(json.dumps(document)))
    whole, _ = asyncio.run(run(graph, [], input, events))
    for boundary in range(MOST_BOUNDARIES):
        resumed, stops = asyncio.run(run(graph, [boundary], input, events))
        assert resumed.ended == whole.ended, boundary
        if ordered:
            assert resumed == whole, boundary
        if not stops:
            break
    again, _ = asyncio.run(run(graph, [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], input, events))
    assert again.ended == whole.ended


checked = settings(max_examples=DOCUMENTS, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def documents(draw: st.DrawFn, dialect: Any, *, beside: bool) -> JsonObject:
    def pick(*options: Any) -> Any:
        return draw(st.sampled_from(options))

    made: JsonObject = dialect.Drawing(pick, real=False, beside=beside).document()
    return made


@checked
@given(documents(v1, beside=False))
def test_a_run_that_does_one_thing_after_the_other_does_each_once(document: JsonObject) -> None:
    stopped_everywhere(document, v1.INPUT, v1.events(json.dumps(document)), ordered=True)


@checked
@given(documents(v1, beside=True))
def test_a_run_that_does_things_side_by_side_ends_the_same(document: JsonObject) -> None:
    stopped_everywhere(document, v1.INPUT, v1.events(json.dumps(document)), ordered=False)


@checked
@given(documents(v0_8, beside=False))
def test_a_run_of_dsl_0_8_that_does_one_thing_after_the_other_does_each_once(document: JsonObject) -> None:
    stopped_everywhere(document, v0_8.INPUT, v0_8.EVENTS, ordered=True)


@checked
@given(documents(v0_8, beside=True))
def test_a_run_of_dsl_0_8_that_does_things_side_by_side_ends_the_same(document: JsonObject) -> None:
    stopped_everywhere(document, v0_8.INPUT, v0_8.EVENTS, ordered=False)


@checked
@given(documents(v1, beside=True))
def test_a_run_that_is_moved_to_another_version_anywhere_ends_the_same(document: Any) -> None:
    document["use"]["extensions"] = []  # an extension extends what is new too
    text = json.dumps(document)
    events = v1.events(text)
    old, new = dsl.compile(dsl.parse(text)), dsl.compile(dsl.parse(padded(text)))
    whole, _ = asyncio.run(run(old, [], v1.INPUT, events))
    for boundary in range(MOST_BOUNDARIES):
        there, stops = asyncio.run(run(old, [boundary], v1.INPUT, events, new))
        assert there.ended[:2] == whole.ended[:2], boundary  # type: ignore[index]
        if not stops:
            break
