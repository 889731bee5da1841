"""A run that has faulted goes on from where it did: what had been done before is not done again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workflow_engine import dsl
from workflow_engine.errors import Rejected, fault
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.interpreter.redeployed import gone_on_with
from workflow_engine.interpreter.retrying import Wish, gone_on, standing
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.values import Json, JsonObject

HEADER = "document: {dsl: '1.0.3', namespace: test, name: retried, version: '1.0.0'}\n"
CALL = "call: http, with: {method: post, endpoint: 'http://x.example/EACH', body: '${ . }'}"


class World:
    """Every call that is made, with its place, and which of them fail."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[Json] = []

    async def perform(self, run: LocalRun, call: Any, place: Any) -> Json:
        what = str(call.arguments["endpoint"]).rpartition("/")[2]
        self.calls.append((what, place.id))
        self.bodies.append(call.arguments.get("body"))
        if what in self.failing:
            raise fault("communication", f"{what} is down", status=503)
        return {"did": what}

    @property
    def done(self) -> list[str]:
        return [what for what, _ in self.calls]


async def go(
    graph: Any, world: World, input: Json = None, position: Any = None, **options: Any
) -> tuple[Any, LocalRun]:
    local = LocalRun(graph, run_id="r", perform=world.perform, **options)
    outcome = await local.execute(input, position=position)
    return outcome, local


def graph_of(body: str) -> Any:
    return dsl.compile(dsl.parse(HEADER + body))


def ended(local: LocalRun) -> JsonObject:
    """Where the run ended, as it is kept: text."""
    assert local.run is not None
    position: JsonObject = json.loads(json.dumps(local.run.position()))
    return position


def call(what: str, more: str = "") -> str:
    return "{" + CALL.replace("EACH", what) + more + "}"


def after(graph: Any, local: LocalRun, wish: Wish | None = None) -> JsonObject:
    following = gone_on(graph, ended(local), wish or Wish(), local.now())
    return json.loads(json.dumps(following))  # type: ignore[no-any-return]


NESTED = f"""
do:
  - first: {call("first")}
  - loop:
      for: {{each: item, in: '[1, 2, 3]'}}
      do:
        - both:
            fork:
              branches:
                - left: {{do: [{{a: {call("a")}}}, {{b: {call("b")}}}]}}
                - right:
                    try: [{{c: {call("c")}}}, {{d: {call("d")}}}]
                    catch: {{errors: {{with: {{status: 404}}}}, do: [{{never: {{set: {{lost: true}}}}}}]}}
        - note: {{set: '${{ {{n: $item, got: .}} }}', export: {{as: '$context + {{("i\\($item)"): 1}}'}}}}
  - last: {{set: '${{ {{data: ., context: $context}} }}'}}
"""


async def test_a_failed_call_in_a_try_in_a_fork_in_a_loop_is_the_only_one_made_again() -> None:
    graph = graph_of(NESTED)
    calm = World()
    wanted, _ = await go(graph, calm)
    world = World()
    stop_at = 2

    async def perform(run: LocalRun, what: Any, place: Any) -> Json:
        if place.id == f"/do/1/loop/do/0/both/fork/branches/1/right/try/1/d#{stop_at}":
            world.failing.add("d")
        return await World.perform(world, run, what, place)

    local = LocalRun(graph, run_id="r", perform=perform)
    outcome = await local.execute(None)
    assert outcome.status == "faulted"
    (failed,) = [each for each in standing(graph, ended(local)) if each.failed]
    assert failed.name == "d"
    before = list(world.calls)
    world.failing.clear()
    stop_at = 99
    retried, _ = await go(graph, world, position=after(graph, local))
    assert (retried.status, retried.output) == ("completed", wanted.output)
    assert sorted(set(world.calls)) == sorted(calm.calls)
    assert world.calls[len(before)][1] == failed.place  # with the same key
    repeated = [each for each in world.calls if world.calls.count(each) > 1]
    assert {what for what, _ in repeated} <= {"d", "b"}  # and what was under way beside it


@pytest.mark.parametrize("times", [1, 3])
async def test_it_may_fail_again_and_again_at_the_same_place(times: int) -> None:
    graph = graph_of(f"do: [{{a: {call('a')}}}, {{b: {call('b')}}}, {{c: {call('c')}}}]")
    world = World("b")
    outcome, local = await go(graph, world, {})
    for _ in range(times):
        outcome, local = await go(graph, world, {}, after(graph, local))
        assert outcome.status == "faulted"
    world.failing.clear()
    outcome, local = await go(graph, world, {}, after(graph, local))
    assert outcome.status == "completed"
    assert world.done == ["a", *["b"] * (times + 2), "c"]
    assert len(set(world.calls)) == 3


async def test_with_other_data_the_state_is_a_new_execution_with_a_new_key() -> None:
    graph = graph_of(f"do: [{{a: {call('a')}}}, {{b: {call('b')}}}]")
    world = World("b")
    _, local = await go(graph, world, {"order": 1})
    world.failing.clear()
    outcome, _ = await go(graph, world, {}, after(graph, local, Wish(data={"order": 2})))
    assert outcome.output == {"did": "b"}
    assert world.bodies[-1] == {"order": 2}
    assert world.calls[1:] == [("b", "/do/1/b"), ("b", "/do/1/b#2")]


async def test_new_keys_may_be_asked_for() -> None:
    graph = graph_of(f"do: [{{a: {call('a')}}}]")
    world = World("a")
    _, local = await go(graph, world, {})
    world.failing.clear()
    await go(graph, world, {}, after(graph, local, Wish(renew=True)))
    assert [place for _, place in world.calls] == ["/do/0/a", "/do/0/a#2"]


async def test_other_context_is_seen_from_the_failed_state_on() -> None:
    graph = graph_of(f"""
do:
  - a: {{set: {{x: 1}}, export: {{as: '{{limit: 1}}'}}}}
  - b: {call("b")}
  - c: {{set: '${{ $context }}'}}
""")
    world = World("b")
    _, local = await go(graph, world)
    world.failing.clear()
    outcome, _ = await go(graph, world, None, after(graph, local, Wish(context={"limit": 9})))
    assert outcome.output == {"limit": 9}


@pytest.mark.parametrize(("wish", "output"), [(Wish(skip=True), 5), (Wish(skip=True, output=7), 7)])
async def test_a_skipped_state_passes_on_its_input_or_what_is_given(wish: Wish, output: int) -> None:
    graph = graph_of(f"""
do:
  - loop:
      for: {{in: '[1, 2]'}}
      do: [{{a: {{set: '${{ . + 1 }}'}}}}, {{b: {call("b", ", if: $item == 2")}}}]
  - after: {{set: '${{ {{got: .}} }}'}}
""")
    world = World("b")
    _, local = await go(graph, world, 3)
    outcome, again = await go(graph, world, 3, after(graph, local, wish))
    assert outcome.output == {"got": output}
    assert world.done == ["b"]
    assert [step.phase for step in again.progress if step.name == "b"] == ["skipped"]


async def test_a_timeout_begins_anew_and_what_is_done_inside_stays_done() -> None:
    graph = graph_of(f"""
do:
  - slow:
      timeout: {{after: PT10S}}
      do: [{{a: {call("a")}}}, {{w: {{wait: PT30S}}}}, {{b: {call("b")}}}]
""")
    world = World()
    outcome, local = await go(graph, world, {})
    assert outcome.error is not None
    assert outcome.error.status == 408
    position = after(graph, local)
    outcome, _ = await go(graph, world, {}, position)
    # The wait goes on to when it would have ended, which is 20 s later, and the timeout is 10 s anew.
    assert outcome.status == "faulted"
    outcome, _again = await go(graph, world, {}, position, scheduler=later(local, 25))
    assert outcome.status == "completed"
    assert world.done == ["a", "b"]


def later(local: LocalRun, seconds: float) -> Any:
    from datetime import timedelta

    from workflow_engine.runtimes.scheduler import Scheduler

    return Scheduler(start=local.now() + timedelta(seconds=seconds))


async def test_the_time_of_the_workflow_begins_anew_days_later() -> None:
    graph = graph_of(
        f"timeout: {{after: PT1M}}\ndo: [{{a: {call('a')}}}, {{w: {{wait: PT5S}}}}, {{b: {call('b')}}}]"
    )
    world = World("b")
    _, local = await go(graph, world, {})
    world.failing.clear()
    position = gone_on(graph, ended(local), Wish(), later(local, 5 * 86400).now())
    outcome, _ = await go(graph, world, {}, position, scheduler=later(local, 5 * 86400))
    assert outcome.status == "completed"


async def test_the_time_of_an_attempt_beside_it_begins_anew() -> None:
    graph = graph_of(f"""
do:
  - both:
      fork:
        branches:
          - fails: {{do: [{{w: {{wait: PT1S}}}}, {{a: {call("a")}}}]}}
          - tries:
              try:
                - b: {call("b")}
                - before: {{wait: PT9S}}
                - c: {call("c")}
                - after: {{wait: PT9S}}
                - d: {call("d")}
              catch: {{retry: {{limit: {{attempt: {{count: 1, duration: PT30S}}}}}}}}
""")
    world = World("a")
    _, local = await go(graph, world, {})
    world.failing.clear()
    position = gone_on(graph, ended(local), Wish(), later(local, 5 * 86400).now())
    outcome, _ = await go(graph, world, {}, position, scheduler=later(local, 5 * 86400))
    assert outcome.status == "completed"
    assert world.done == ["b", "a", "a", "c", "d"]


async def test_the_retries_of_a_try_around_it_begin_anew() -> None:
    graph = graph_of(f"""
do:
  - t:
      try: [{{a: {call("a")}}}, {{b: {call("b")}}}]
      catch: {{retry: {{delay: PT1S, limit: {{attempt: {{count: 2}}}}}}}}
""")
    world = World("b")
    outcome, local = await go(graph, world, {})
    assert outcome.status == "faulted"
    assert world.done == ["a", "b"] * 3
    outcome, local = await go(graph, world, {}, after(graph, local))
    assert outcome.status == "faulted"
    assert world.done == [*["a", "b"] * 3, "b", *["a", "b"] * 2]


async def test_a_state_around_the_failed_one_may_be_begun_again_or_skipped() -> None:
    graph = graph_of(f"do: [{{outer: {{do: [{{a: {call('a')}}}, {{b: {call('b')}}}]}}}}, {{c: {call('c')}}}]")
    world = World("b")
    _, local = await go(graph, world, {})
    world.failing.clear()
    await go(graph, world, {}, after(graph, local, Wish(state="/do/0/outer")))
    assert [place for _, place in world.calls[2:]] == [
        "/do/0/outer/do/0/a#2",
        "/do/0/outer/do/1/b#2",
        "/do/1/c",
    ]
    skipped, _ = await go(graph, world, {}, after(graph, local, Wish(state="/do/0/outer", skip=True)))
    assert world.done[-1] == "c"
    assert len(world.done) == 6
    assert skipped.status == "completed"


async def test_it_may_go_on_from_another_state_with_data() -> None:
    graph = graph_of(f"do: [{{a: {call('a')}}}, {{b: {call('b')}}}, {{c: {call('c')}}}]")
    world = World("b")
    _, local = await go(graph, world, {"n": 1})
    with pytest.raises(Rejected, match="with which data"):
        after(graph, local, Wish(state="/do/2/c"))
    await go(graph, world, {}, after(graph, local, Wish(state="/do/2/c", data={"n": 2})))
    assert (world.done[-1], world.bodies[-1]) == ("c", {"n": 2})
    await go(graph, world, {"n": 3}, after(graph, local, Wish(state="/do/0/a")))
    assert world.calls[3:] == [("a", "/do/0/a#2"), ("b", "/do/1/b#2")]
    assert world.bodies[3] == {"n": 3}


async def test_a_state_that_is_not_where_the_run_is_cannot_be_gone_on_from() -> None:
    graph = graph_of(f"do: [{{a: {{do: [{{x: {{set: {{x: 1}}}}}}]}}}}, {{b: {call('b')}}}]")
    _, local = await go(graph, World("b"), {})
    for state in ("/do/0/a/do/0/x", "/nowhere"):
        with pytest.raises(Rejected) as refused:
            after(graph, local, Wish(state=state, data=1))
        assert refused.value.code == "unknown-state"


async def test_a_workflow_whose_states_are_gone_is_refused() -> None:
    graph = graph_of(f"do: [{{a: {call('a')}}}, {{b: {call('b')}}}]")
    _, local = await go(graph, World("b"), {})
    with pytest.raises(Rejected) as refused:
        gone_on(graph_of("do: [{a: {set: {x: 1}}}]"), ended(local), Wish(), local.now())
    assert refused.value.code == "position-does-not-fit"


SHIFTED = NESTED.replace("do:\n  - first:", "do:\n  - new: {set: {new: true}}\n  - first:", 1).replace(
    call("d"), call("d2")
)


@pytest.mark.parametrize("skips", [False, True])
async def test_a_run_that_failed_deep_inside_goes_on_with_another_version(skips: bool) -> None:
    """The lists of the other version have states that are new; the failed call is another one there."""
    graph, new = graph_of(NESTED), graph_of(SHIFTED)
    world = World("d")
    _, local = await go(graph, world, {})
    world.failing.clear()
    before = len(world.calls)
    wish = Wish(skip=True, output={"by": "hand"}) if skips else Wish()
    following = json.loads(json.dumps(gone_on_with(graph, new, ended(local), wish, local.now())))
    outcome, _ = await go(new, world, {}, following)
    assert outcome.status == "completed"
    assert outcome.output["context"] == {"i1": 1, "i2": 1, "i3": 1}
    after_that = [what for what, _ in world.calls[before:]]
    assert "first" not in after_that
    assert "d" not in after_that
    assert after_that.count("d2") == (2 if skips else 3)
    if not skips:
        keys = [place for what, place in world.calls if what in ("d", "d2")]
        assert keys[0] == keys[1]  # the same execution


async def test_what_does_not_fit_another_version_is_told() -> None:
    graph = graph_of(NESTED)
    _, local = await go(graph, World("d"), {})
    other = graph_of(NESTED.replace("each: item", "each: thing").replace("$item", "$thing"))
    with pytest.raises(Rejected, match="/do/1/loop: it has begun, and its item is another now") as refused:
        gone_on_with(graph, other, ended(local), Wish(), local.now())
    assert refused.value.code == "position-does-not-fit"
    renamed = graph_of(NESTED.replace("- loop:", "- all:"))
    with pytest.raises(Rejected, match="map it to another"):
        gone_on_with(graph, renamed, ended(local), Wish(), local.now())
    position = gone_on_with(graph, renamed, ended(local), Wish(), local.now(), {"/do/1/loop": "/do/1/all"})
    outcome, _ = await go(renamed, World(), {}, position)
    assert outcome.status == "completed"


@pytest.mark.parametrize("around", ["", "/do/1/loop", "/do/1/loop/do/0/both"])
async def test_a_state_is_skipped_that_failed_in_a_fork_in_a_loop_or_all_of_these(around: str) -> None:
    graph, world = graph_of(NESTED), World("d")
    _, local = await go(graph, world, {})
    world.failing.clear()
    before = len(world.calls)
    wish = Wish(around or None, skip=True, output={"by": "hand"})
    outcome, _ = await go(graph, world, {}, after(graph, local, wish))
    assert outcome.status == "completed"
    done = [what for what, _ in world.calls[before:]]
    skipped = {"": 1, "/do/1/loop": 3, "/do/1/loop/do/0/both": 1}[around]
    assert done.count("d") == 3 - skipped
    assert done.count("c") == (0 if around == "/do/1/loop" else 2)
    if around == "/do/1/loop":
        assert outcome.output["data"] == {"by": "hand"}


async def test_a_fault_of_the_output_of_the_workflow_repeats_no_state() -> None:
    graph = graph_of(f"do: [{{a: {call('a')}}}]\noutput: {{as: '${{ .did.x }}'}}")
    world = World()
    outcome, local = await go(graph, world, {})
    assert outcome.status == "faulted"
    outcome, _ = await go(graph, world, {}, after(graph, local))
    assert outcome.status == "faulted"
    assert world.done == ["a"]


async def test_a_fault_of_the_input_is_retried_with_another_input() -> None:
    graph = graph_of(f"input: {{from: '${{ .a.b }}'}}\ndo: [{{a: {call('a')}}}]")
    world = World()
    outcome, local = await go(graph, world, {"a": 1})
    assert outcome.status == "faulted"
    outcome, _ = await go(graph, world, {"a": {"b": 2}}, after(graph, local))
    assert (outcome.status, world.bodies) == ("completed", [2])


async def test_several_failed_branches_are_retried_together_and_edited_one_by_one() -> None:
    graph = graph_of(f"""
do:
  - race: {{fork: {{compete: true, branches: [{{a: {call("a")}}}, {{b: {call("b")}}}]}}}}
""")
    world = World("a", "b")
    outcome, local = await go(graph, world, {})
    assert outcome.status == "faulted"
    with pytest.raises(Rejected) as refused:
        after(graph, local, Wish(data=1))
    assert refused.value.code == "several-failed-states"
    world.failing = {"a"}
    outcome, _ = await go(graph, world, {}, after(graph, local))
    assert outcome.output == {"did": "b"}


async def test_a_caught_fault_leaves_no_mark() -> None:
    graph = graph_of(f"""
do:
  - t: {{try: [{{a: {call("a")}}}], catch: {{}}}}
  - b: {call("b")}
""")
    world = World("a", "b")
    _, local = await go(graph, world, {})
    assert [each.id for each in standing(graph, ended(local)) if each.failed] == ["/do/1/b"]


async def test_a_retried_run_tells_that_it_goes_on_and_each_event_has_an_id_of_its_own() -> None:
    graph = graph_of(f"do: [{{outer: {{do: [{{a: {call('a')}}}, {{b: {call('b')}}}]}}}}]")
    world = World("b")
    audience = Audience.from_json({"events": "task", "channel": "lifecycle", "source": ""})
    channels: dict[str, list[JsonObject]] = {}
    _, local = await go(graph, world, {}, audience=audience, channels=channels)
    _, local = await go(graph, world, {}, after(graph, local), audience=audience, channels=channels)
    world.failing.clear()
    position = after(graph, local)
    before = len(channels["lifecycle"])
    await go(graph, world, {}, position, audience=audience, channels=channels)
    told = channels["lifecycle"]
    ids = [event["id"] for event in told]
    assert len(ids) == len(set(map(str, ids)))
    types = [str(event["type"]).removeprefix("io.serverlessworkflow.").removesuffix(".v1") for event in told]
    assert types[before:] == [
        "workflow.resumed",
        "task.retried",
        "task.created",
        "task.started",
        "task.completed",
        "task.completed",
        "workflow.completed",
    ]


@pytest.mark.parametrize("kind", ["do: LIST", "try: LIST, catch: {errors: {with: {status: 418}}}"])
async def test_a_state_whose_output_fails_is_the_failed_one_and_what_is_in_it_stays_done(kind: str) -> None:
    inside = kind.replace("LIST", f"[{{b: {call('b')}}}]")
    graph = graph_of(f"do: [{{a: {{{inside}, output: {{as: 'if $context.ok then . else error end'}}}}}}]")
    world = World()
    outcome, local = await go(graph, world)
    assert (outcome.status, outcome.error.instance) == ("faulted", "/do/0/a")
    assert [(each.id, each.failed) for each in standing(graph, ended(local))] == [("/do/0/a", True)]
    outcome, _ = await go(graph, world, position=after(graph, local, Wish(context={"ok": True})))
    assert (outcome.status, outcome.output, world.done) == ("completed", {"did": "b"}, ["b"])
