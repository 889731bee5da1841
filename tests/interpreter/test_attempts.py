"""Whoever makes the attempts of a call: generated policies and failing services come to the same, at the same time."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from workflow_engine import dsl
from workflow_engine.errors import Fault, fault
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.attempts import decide, length
from workflow_engine.interpreter.effects import Attempted, Call, Expired, Place
from workflow_engine.interpreter.projecting import project
from workflow_engine.runtimes.local import LocalRun, Outcome
from workflow_engine.runtimes.scheduler import Scheduler
from workflow_engine.values import Json, JsonObject

Answer = tuple[int, float]
"""The status that a service answers with, and how many seconds it takes."""
STAY = 90.0
MOST = 60
START = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Endless(BaseException):
    """A policy without a limit meets a service that fails for ever: `MOST` attempts are enough to compare."""


class Here(LocalRun):
    """A run whose service answers as planned, on virtual time; the run makes the attempts itself."""

    def __init__(self, graph: StateGraph, answers: list[Answer]) -> None:
        super().__init__(graph, run_id="r", seed=7, scheduler=Scheduler(start=START))
        self.answers = answers
        self.calls: list[tuple[str, float, Json]] = []

    async def _answer(self, call: Call, place: Place) -> Json:
        number = len(self.calls)
        if number == MOST:
            raise Endless
        self.calls.append((place.id, round(self.now().timestamp(), 4), call.arguments.get("body")))
        status, takes = self.answers[min(number, len(self.answers) - 1)]
        await self.scheduler.sleep(takes)
        if status >= 400:
            raise fault("communication", f"answer {number}", status=status)
        return {"number": number, "status": status, "large": "x" * 50}

    async def call(self, call: Call, place: Place) -> Json:
        assert call.attempts is None
        assert call.filtered is None
        if call.timeout is None:
            return await self._answer(call, place)
        return await self.within(call.timeout, lambda: self._answer(call, place), place)


class Elsewhere(Here):
    """The same, but the attempts are made by whoever makes the call."""

    delegates = True  # type: ignore[assignment]
    delegated = 0

    async def call(self, call: Call, place: Place) -> Json:
        plan = call.attempts
        if plan is None:
            output = await super().call(Call(call.kind, call.arguments, timeout=call.timeout), place)
            return output if call.filtered is None else project(call.filtered, output, 0.0)
        self.delegated += 1
        tried, before, begun = plan["tried"], plan["before"], self.now().timestamp()
        assert isinstance(tried, int)
        while True:
            try:
                output = await self._attempt(plan, call, place)
                return {"output": output, "retries": tried, "before": before} if plan["counted"] else output
            except Fault as raised:
                failed = raised.at(place.state).error
            told: JsonObject = {"retries": tried, "before": before}
            try:
                wait = decide(plan, failed.to_json(), tried, before, self.now(), self.random)  # type: ignore[arg-type]
            except Fault:
                raise Attempted(failed, {**told, "undecided": True}) from None
            if wait is None:
                raise Attempted(failed, told)
            if wait > 60 or self.now().timestamp() - begun + wait > STAY:
                raise Attempted(failed, {**told, "wait": wait})
            tried += 1
            before = wait if plan["backoff"] == "progressive" else before
            await self.scheduler.sleep(wait)

    async def _attempt(self, plan: JsonObject, call: Call, place: Place) -> Json:
        limits = []
        if "attempt" in plan:
            late = f"an attempt of {plan['name']!r} took longer than it may"
            limits.append((length(plan["attempt"], self.now()), str(plan["try"]), late))
        limits.append((call.timeout, place.state, f"{plan['called']!r} took longer than its timeout allows"))
        known = [limit for limit in limits if limit[0] is not None]

        async def once() -> Json:
            output = await self._answer(call, place)
            return output if call.filtered is None else project(call.filtered, output, 0.0)

        if not known:
            return await once()
        seconds, at, late = min(known, key=lambda limit: limit[0])  # type: ignore[arg-type, return-value]
        try:
            return await self.within(seconds or 0.0, once, place)
        except Expired:
            raise fault("timeout", late, instance=at) from None


def one_of(**members: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


DURATIONS = st.sampled_from(["PT0S", "PT0.5S", "PT2S", "PT20S", "PT90S", "P1M"])
TIMINGS = DURATIONS | st.sampled_from(["${ .pause }", "${ $context.pause }", "${ .missing }"])
CONDITIONS = st.sampled_from(
    [
        ".status >= 500",
        ".status > 400",
        "$error.status != 503",
        '.detail != "answer 2"',
        ".status == $context.never",
        "$input.n == 1",
        'if .status == 404 then error("no") else true end',
        "now > 0",
        '$task.name == "a"',
    ]
)
BACKOFFS = one_of(
    constant=st.just({}),
    linear=one_of(increment=TIMINGS, maxDelay=DURATIONS),
    exponential=one_of(multiplier=st.sampled_from([1, 2, 3]), maxDelay=DURATIONS),
).filter(lambda backoff: len(backoff) == 1)
REFUSALS = st.sampled_from(
    ['.detail == "answer 3"', "$error.status == 404", "now < 0", "$context.never == 2"]
)
POLICIES = one_of(
    when=CONDITIONS,
    exceptWhen=REFUSALS,
    delay=TIMINGS,
    backoff=BACKOFFS,
    jitter=st.just({"from": "PT1S", "to": "PT3S"}),
    limit=one_of(
        attempt=one_of(count=st.integers(0, 6), duration=st.sampled_from(["PT1S", "PT15S", "${ .pause }"])),
        duration=st.sampled_from(["PT30S", "PT5M"]),
    ),
)
CATCHES = st.fixed_dictionaries(
    {"retry": POLICIES},
    optional={
        "errors": st.sampled_from(
            [{}, {"with": {"status": 503}}, {"with": {"status": "${ $context.wanted }"}}]
        ),
        "when": CONDITIONS,
        "exceptWhen": REFUSALS,
        "as": st.just("error"),
        "do": st.just([{"handle": {"set": {"handled": "${ $error }", "data": "${ . }"}}}]),
        "then": st.just("end"),
    },
)
OUTPUTS = st.sampled_from(
    [
        None,
        {"as": "${ .status }"},
        {"as": "${ {n: .number, of: $input.n} }"},
        {"as": '${ if .number < 2 then error("early") else .number end }'},
        {"as": {"status": "${ $context.wanted + .status }"}},
        {"as": "${ $task.output.number }"},
        {"as": "${ .status }", "schema": {"document": {"const": 201}}},
    ]
)
CALLS = st.fixed_dictionaries(
    {
        "call": st.just("http"),
        "with": st.just({"method": "post", "endpoint": "http://x.example", "body": "${ . }"}),
    },
    optional={
        "timeout": st.sampled_from([{"after": "PT3S"}, {"after": "${ .pause }"}]),
        "export": st.sampled_from([{"as": "${ $context + {last: .} }"}, {"as": '${ error("no") }'}]),
        "if": st.just(".n == 1"),
        "input": st.just({"from": "${ . + {more: 1} }"}),
    },
)
ANSWERS = st.lists(
    st.tuples(
        st.sampled_from([503, 503, 503, 503, 500, 404, 200]), st.sampled_from([0.0, 0.2, 2.0, 10.0, 40.0])
    ),
    min_size=3,
    max_size=8,
)


def document(catch: JsonObject, call: JsonObject, output: Json, wrapped: bool) -> StateGraph:
    if output is not None:
        call = {**call, "output": output}
    inner: list[Json] = [{"b": {"do": [{"c": call}], "output": {"as": "${ {wrapped: .} }"}}}]
    data = {
        "document": {"dsl": "1.0.3", "namespace": "n", "name": "w", "version": "1.0.0"},
        "do": [
            {"before": {"set": "${ . }", "export": {"as": '${ {pause: "PT4S", wanted: 503, never: 1} }'}}},
            {"a": {"try": inner if wrapped else [{"c": call}], "catch": catch}},
            {"after": {"set": {"output": "${ . }", "context": "${ $context }"}}},
        ],
    }
    return dsl.compile(dsl.parse(json.dumps(data)))


def ended(run: Here) -> tuple[Outcome | None, float]:
    try:
        outcome = asyncio.run(run.execute({"n": 1, "pause": "PT1S"}))
    except Endless:
        outcome = None
    return outcome, round(run.now().timestamp(), 3)


@example(  # both times of the attempt are over at once
    {"retry": {"limit": {"attempt": {"duration": "PT1S"}, "duration": "PT30S"}}},
    {
        "call": "http",
        "with": {"method": "get", "endpoint": "http://x.example"},
        "timeout": {"after": "${ .pause }"},
    },
    None,
    False,
    [(503, 2.0)],
)
@settings(max_examples=200, deadline=None)
@given(CATCHES, CALLS, OUTPUTS, st.booleans(), ANSWERS)
def test_a_call_that_is_retried_elsewhere_comes_to_the_same(
    catch: JsonObject, call: JsonObject, output: Json, wrapped: bool, answers: list[Answer]
) -> None:
    graph = document(catch, call, output, wrapped)
    here, elsewhere = Here(graph, answers), Elsewhere(graph, answers)
    assert ended(elsewhere) == ended(here)
    assert elsewhere.calls == here.calls
    assert len({place for place, _, _ in here.calls}) <= 1, "each attempt has the same identity"


def test_what_is_generated_is_mostly_retried_elsewhere() -> None:
    catch = {"retry": {"delay": "PT1S", "when": ".status == 503", "limit": {"attempt": {"count": 3}}}}
    call = {"call": "http", "with": {"method": "get", "endpoint": "http://x.example"}}
    run = Elsewhere(document(catch, call, None, False), [(503, 0.0), (503, 0.0), (200, 0.0)])
    outcome, _ = ended(run)
    assert outcome is not None
    assert outcome.status == "completed"
    assert (run.delegated, len(run.calls)) == (1, 3)


def test_attempts_without_end_are_the_same_as_far_as_they_are_compared() -> None:
    call = {"call": "http", "with": {"method": "get", "endpoint": "http://x.example"}}
    graph = document({"retry": {"limit": {"duration": "PT30S"}}}, call, None, False)
    here, elsewhere = Here(graph, [(503, 0.0)]), Elsewhere(graph, [(503, 0.0)])
    assert ended(elsewhere) == ended(here)
    assert elsewhere.calls == here.calls
    assert len(here.calls) == MOST
