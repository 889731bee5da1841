"""A state is skipped while it is under way: it ends with what it is given, and the run goes on after it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runtimes.far_side import FarSide
from tests.semantics.v1.documents import workflow
from workflow_engine.errors import Rejected
from workflow_engine.graph.lifecycle import Told
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.interpreter.retrying import Wish

NEVER = "{listen: {to: {one: {with: {type: never}}}}}"
LONG = "{wait: {hours: 5}}"


def skip(at: str, state: str | None = None, **given: Any) -> tuple[Any, ...]:
    """Once the run is at the state called *at*: skip it, or the one around it."""
    return at, "skip", Wish(state, skip=True, **given)


@pytest.mark.parametrize("state", [NEVER, LONG])
async def test_what_waits_ends_with_the_output_that_is_given(run: Any, state: str) -> None:
    text = workflow(f"do: [{{a: {state}}}, {{b: {{set: '${{ {{got: .}} }}'}}}}]")
    ended = await run(text, commands=[skip("a", output={"by": "hand"})])
    assert (ended.status, ended.output) == ("completed", {"got": {"by": "hand"}})
    assert [(step.phase, step.name) for step in ended.progress] == [
        ("started", "a"),
        ("skipped", "a"),
        ("started", "b"),
        ("completed", "b"),
    ]


async def test_without_an_output_it_is_the_input_of_the_state(run: Any) -> None:
    text = workflow(f"do: [{{x: {{set: {{n: 1}}}}}}, {{a: {NEVER}}}, {{b: {{set: '${{ {{got: .}} }}'}}}}]")
    ended = await run(text, commands=[skip("a", context={"c": 2})])
    assert ended.output == {"got": {"n": 1}}


async def test_a_call_in_flight_is_given_up(run: Any, far: FarSide) -> None:
    far.held = {"a"}
    text = workflow(f"do: [{{a: {far.call('a')}}}, {{b: {far.call('b')}}}]")
    ended = await run(text, commands=[skip("a", output={"n": 1})])
    far.held = set()
    assert ended.output == {"did": "b"}
    assert far.bodies[-1] == {"n": 1}
    assert far.done["b"] == 1


async def test_a_call_between_two_attempts_is_given_up(run: Any, far: FarSide) -> None:
    far.broken = {"a"}
    retry = "{delay: {hours: 1}, limit: {attempt: {count: 9}}}"
    tried = f"{{try: [{{a: {far.call('a')}}}], catch: {{errors: {{with: {{status: 503}}}}, retry: {retry}}}}}"
    text = workflow(f"do: [{{t: {tried}}}, {{b: {{set: '${{ {{got: .}} }}'}}}}]")
    ended = await run(text, commands=[("t", "skip", Wish(skip=True, output=5))])
    assert ended.output == {"got": 5}
    assert len(far.keys("a")) == 1


async def test_one_branch_goes_on_while_the_others_do_what_they_did(run: Any, far: FarSide) -> None:
    text = workflow(f"""
    do:
      - both:
          fork:
            branches:
              - one: {{do: [{{a: {NEVER}}}, {{x: {{set: '${{ {{x: .}} }}'}}}}]}}
              - two: {{do: [{{c: {far.call("c")}}}, {{w: {{wait: {{milliseconds: 50}}}}}}, {{d: {far.call("d")}}}]}}
    """)
    ended = await run(text, commands=[skip("a", "/do/0/both/fork/branches/0/one/do/0/a", output=7)])
    assert ended.output == [{"x": 7}, {"did": "d"}]
    assert far.done == {"c": 1, "d": 1}


@pytest.mark.parametrize(
    "around",
    [
        f"{{do: [{{z: {{set: {{z: 1}}}}}}, {{a: {NEVER}}}, {{never: {{raise: {{error: e}}}}}}]}}",
        f"{{for: {{each: i, in: '[1, 2]'}}, do: [{{a: {LONG}}}]}}",
        f"{{fork: {{branches: [{{a: {NEVER}}}, {{c: {LONG}}}]}}}}",
        f"{{fork: {{compete: true, branches: [{{a: {NEVER}}}, {{c: {LONG}}}]}}}}",
        f"{{try: [{{a: {NEVER}}}], catch: {{do: [{{caught: {{set: {{lost: true}}}}}}]}}}}",
        f"{{timeout: {{after: {{hours: 9}}}}, do: [{{a: {NEVER}}}]}}",
        f"{{listen: {{to: {{one: {{with: {{type: go}}}}}}}}, foreach: {{do: [{{a: {NEVER}}}]}}}}",
    ],
)
async def test_with_a_state_around_it_all_that_is_in_it_is_left(run: Any, around: str) -> None:
    text = workflow(f"""
    use: {{errors: {{e: {{type: 'https://x.example/e', status: 500}}}}}}
    do: [{{all: {around}}}, {{b: {{set: '${{ {{got: .}} }}'}}}}]
    """)
    events = [{"specversion": "1.0", "id": "1", "source": "t", "type": "go"}] if "foreach" in around else []
    ended = await run(text, events=events, commands=[skip("a", "/do/0/all", output=1)])
    assert (ended.status, ended.output) == ("completed", {"got": 1}), ended.error
    assert ("skipped", "all") in [(step.phase, step.name) for step in ended.progress]


async def test_no_try_catches_it_and_no_attempt_is_made_again(run: Any) -> None:
    catch = "{retry: {limit: {attempt: {count: 3}}}, do: [{caught: {set: {lost: true}}}]}"
    text = workflow(
        f"do: [{{t: {{try: [{{a: {NEVER}}}, {{b: {{set: '${{ {{b: .}} }}'}}}}], catch: {catch}}}}}]"
    )
    ended = await run(text, commands=[skip("a", output=3)])
    assert ended.output == {"b": 3}


async def test_a_sub_flow_that_is_waited_for_is_cancelled(run: Any) -> None:
    inner = workflow(f"do: [{{i: {NEVER}}}]", name="inner")
    runs = "{run: {workflow: {namespace: semantics, name: inner, version: '1.0.0'}}}"
    text = workflow(f"do: [{{a: {runs}}}, {{b: {{set: '${{ {{got: .}} }}'}}}}]")
    ended = await run(text, others=[inner], commands=[skip("a", output=2)])
    assert (ended.status, ended.output) == ("completed", {"got": 2}), ended.error
    if run.name == "temporal":
        assert (await run.runtime.wait(f"{ended.run_id}.do.0.a", 20)).status == "cancelled"


async def test_two_states_after_each_other_are_skipped(run: Any) -> None:
    text = workflow(f"do: [{{a: {NEVER}}}, {{b: {LONG}}}, {{c: {{set: '${{ {{got: .}} }}'}}}}]")
    ended = await run(text, commands=[skip("a", output=1), skip("b", output=2)])
    assert ended.output == {"got": 2}


async def test_it_is_told_as_completed(run: Any) -> None:
    audience = Audience(Told(workflow=True, tasks=True), f"skipped-{run.name}")
    text = workflow(f"do: [{{a: {NEVER}}}, {{b: {{set: {{x: 1}}}}}}]")
    ended = await run(text, audience=audience, commands=[skip("a", output=1)])
    told = [
        (event["type"].split(".")[3], event["data"].get("task"))
        for event in ended.told
        if "task" in event["type"]
    ]
    assert told == [
        (phase, task) for task in ("/do/0/a", "/do/1/b") for phase in ("created", "started", "completed")
    ]


def test_what_is_not_there_or_not_clear_is_refused() -> None:
    import asyncio

    from tests.interpreter.test_moving import graph
    from workflow_engine.runtimes.local import LocalRun

    text = f"do: [{{both: {{fork: {{branches: [{{a: {LONG}}}, {{b: {LONG}}}]}}}}}}]"
    local = LocalRun(graph(text), run_id="r")
    codes: list[str] = []

    async def ask() -> None:
        await local.scheduler.sleep(1)
        for wish in (Wish(), Wish("/do/9/none"), Wish("/do/0/both/fork/branches/0/a", output=1)):
            try:
                local.control.skip(wish)
            except Rejected as refused:
                codes.append(refused.code)
        try:
            local.control.skip(Wish("/do/0/both/fork/branches/0/a"))
        except Rejected as refused:
            codes.append(refused.code)
        local.control.skip(Wish("/do/0/both", output="all"))

    local.scheduler.spawn(ask())
    outcome = asyncio.run(local.execute({}))
    assert codes == ["several-states", "unknown-state", "state-skipped"]
    assert outcome.output == "all"
