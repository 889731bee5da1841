"""Runs that have ended go on from where they failed, on Temporal."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.semantics.v1.documents import event, workflow
from tests.semantics.v1.test_control import until
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Retry, RunDescription, Start
from workflow_engine.errors import Conflict, Rejected
from workflow_engine.interpreter.packing import unpack
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.values import Json

pytestmark = pytest.mark.temporal


async def start(runner: TemporalRunner, text: str, input: Json = None) -> str:
    bundle = Bundle.of(dsl.parse(text), {})
    run_id = f"retried-{uuid.uuid4()}"
    assert await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, input or {}))
    return run_id


async def failed(runner: TemporalRunner, text: str, input: Json = None) -> str:
    """A run that has faulted."""
    run_id = await start(runner, text, input)
    run = await runner.runtime.wait(run_id, 20)
    assert run.status == "faulted", run
    return run_id


async def retried(runner: TemporalRunner, run_id: str, retry: Retry | None = None) -> RunDescription:
    await runner.runtime.retry(run_id, retry or Retry())
    return await runner.runtime.wait(run_id, 20)


def nested(far: FarSide) -> str:
    return workflow(f"""
    do:
      - first: {far.call("first")}
      - loop:
          for: {{each: item, in: '[1, 2]'}}
          do:
            - both:
                fork:
                  branches:
                    - left: {{do: [{{a: {far.call("a")}}}, {{b: {far.call("b")}}}]}}
                    - right:
                        try: [{{c: {far.call("c")}}}, {{d: {far.call("d", ", if: $item == 2")}}}]
                        catch: {{errors: {{with: {{status: 404}}}}, do: [{{never: {{set: {{lost: true}}}}}}]}}
            - note: {{set: '${{ {{n: $item, got: .}} }}', export: {{as: '$context + {{("i\\($item)"): 1}}'}}}}
      - last: {{set: '${{ {{data: ., context: $context}} }}'}}
    """)


async def test_a_run_that_failed_deep_inside_goes_on_and_repeats_nothing(
    runner: TemporalRunner, far: FarSide
) -> None:
    ended = await runner(nested(far))
    calm, far.done = far.done.copy(), type(far.done)()
    far.asked.clear()
    far.broken = {"d"}
    run_id = await failed(runner, nested(far))
    (place,) = [each for each in await runner.runtime.standing(run_id) if each.failed]
    assert (place.name, place.id) == ("d", "/do/1/loop/do/0/both/fork/branches/1/right/try/1/d")
    far.broken = set()
    run = await retried(runner, run_id)
    assert (run.status, run.output) == ("completed", ended.output)
    # What was under way beside the failed call may be asked for once more, with the same key.
    assert {what: len(set(far.keys(what))) for what in far.done} == dict(calm)
    assert {what: far.done[what] for what in ("first", "a", "c", "d")} == {
        what: calm[what] for what in ("first", "a", "c", "d")
    }
    (key,) = set(far.keys("d"))
    assert key.startswith(f"{run_id}/")
    (attempt,) = run.attempts
    assert (attempt["status"], attempt["then"]) == ("faulted", "retry")
    assert attempt["error"]["status"] == 503


async def test_a_run_is_retried_as_often_as_it_takes(runner: TemporalRunner, far: FarSide) -> None:
    far.broken = {"b"}
    text = workflow(f"do: [{{a: {far.call('a')}}}, {{b: {far.call('b')}}}, {{c: {far.call('c')}}}]")
    run_id = await failed(runner, text)
    assert (await retried(runner, run_id)).status == "faulted"
    far.broken = {"c"}
    assert (await retried(runner, run_id)).status == "faulted"
    far.broken = set()
    run = await retried(runner, run_id)
    assert run.status == "completed"
    assert far.done == {"a": 1, "b": 1, "c": 1}
    assert len(set(far.keys("b"))) == 1
    assert [attempt["error"]["instance"] for attempt in run.attempts] == ["/do/1/b", "/do/1/b", "/do/2/c"]


async def test_other_data_other_input_and_context(runner: TemporalRunner, far: FarSide) -> None:
    far.broken = {"b"}
    text = workflow(f"""
    do:
      - a: {{set: {{n: 1}}, export: {{as: '{{limit: 1}}'}}}}
      - b: {far.call("b")}
      - c: {{set: {{context: '${{ $context }}', input: '${{ $workflow.input }}'}}}}
    """)
    run_id = await failed(runner, text, {"old": True})
    far.broken = set()
    wish = Wish(data={"n": 2}, context={"limit": 5})
    run = await retried(runner, run_id, Retry(wish, input={"new": True}))
    assert run.output == {"context": {"limit": 5}, "input": {"new": True}}
    assert far.bodies == [{"n": 1}, {"n": 2}]
    assert len(set(far.keys("b"))) == 2  # other data is another request


async def test_the_failed_state_is_skipped(runner: TemporalRunner, far: FarSide) -> None:
    far.broken = {"b"}
    text = workflow(f"do: [{{a: {far.call('a')}}}, {{b: {far.call('b')}}}, {{c: {far.call('c')}}}]")
    run_id = await failed(runner, text)
    run = await retried(runner, run_id, Retry(Wish(skip=True, output={"by": "hand"}), what="skip"))
    assert run.status == "completed"
    assert far.bodies[-1] == {"by": "hand"}
    assert len(far.keys("b")) == 1


async def test_it_goes_on_after_the_worker_and_the_api_were_started_again(
    temporal_address: str, internet: Any, far: FarSide
) -> None:
    far.broken = {"b"}
    text = workflow(f"do: [{{a: {far.call('a')}}}, {{b: {far.call('b')}}}]")
    async with AsyncExitStack() as stack:
        runner = await stack.enter_async_context(temporal_runner(temporal_address, internet))
        run_id, queue = await failed(runner, text), runner.queue
    far.broken = set()
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        assert (await retried(runner, run_id)).status == "completed"
    assert far.done == {"a": 1, "b": 1}


async def test_a_completed_run_and_one_that_goes_are_refused(runner: TemporalRunner) -> None:
    ended = await runner(workflow("do: [{a: {set: {x: 1}}}]"))
    with pytest.raises(Rejected) as refused:
        await runner.runtime.retry(ended.run_id, Retry())
    assert (refused.value.code, refused.value.status) == ("run-completed", 409)
    run_id = await start(runner, workflow("do: [{a: {listen: {to: {one: {with: {type: never}}}}}}]"))
    with pytest.raises(Rejected) as refused:
        await runner.runtime.retry(run_id, Retry())
    assert refused.value.code == "run-not-ended"
    await runner.runtime.terminate(run_id, "enough")


async def test_a_terminated_and_a_cancelled_run_go_on_from_where_they_were(
    runner: TemporalRunner, far: FarSide
) -> None:
    text = workflow(f"""
    do:
      - a: {far.call("a")}
      - w: {{listen: {{to: {{one: {{with: {{type: go}}}}}}}}}}
      - b: {far.call("b")}
    """)
    for command in ("terminate", "cancel"):
        run_id = await start(runner, text)
        await until(runner, run_id, "waiting")
        await (
            runner.runtime.cancel(run_id) if command == "cancel" else runner.runtime.terminate(run_id, "oops")
        )
        await until(runner, run_id, "cancelled")
        await runner.runtime.retry(run_id, Retry())
        await until(runner, run_id, "waiting")
        await runner.router.publish("default", [event("go", str(uuid.uuid4()), "gone")])
        assert (await runner.runtime.wait(run_id, 20)).status == "completed"
    assert far.done == {"a": 2, "b": 2}


async def test_a_retried_run_gets_no_event_that_it_has_taken_and_all_others(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.broken = {"b"}
    kind = f"go-{uuid.uuid4()}"
    text = workflow(f"""
    do:
      - one: {{listen: {{to: {{one: {{with: {{type: {kind}}}}}}}}}, export: {{as: '[.[0]]'}}}}
      - b: {far.call("b")}
      - two: {{listen: {{to: {{one: {{with: {{type: {kind}}}}}}}}}, export: {{as: '$context + [.[0]]'}}}}
      - end: {{set: {{got: '${{ $context }}'}}}}
    """)
    run_id = await start(runner, text)
    await until(runner, run_id, "waiting")
    for number in (1, 2):
        await runner.router.publish("default", [event(kind, f"{kind}-{number}", number)])
    assert (await runner.runtime.wait(run_id, 20)).status == "faulted"
    far.broken = set()
    run = await retried(runner, run_id)
    assert run.output == {"got": [1, 2]}


async def test_a_branch_that_had_half_of_its_events_waits_for_the_others_only(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.broken = {"b"}
    left, right, go = (f"{name}-{uuid.uuid4()}" for name in ("left", "right", "go"))
    text = workflow(f"""
    do:
      - both:
          fork:
            branches:
              - all: {{listen: {{to: {{all: [{{with: {{type: {left}}}}}, {{with: {{type: {right}}}}}]}}}}}}
              - other: {{do: [{{w: {{listen: {{to: {{one: {{with: {{type: {go}}}}}}}}}}}}}, {{b: {far.call("b")}}}]}}
    """)
    run_id = await start(runner, text)
    await until(runner, run_id, "waiting")
    await runner.router.publish("default", [event(left, left, "l")])
    handle = runner.client.get_workflow_handle(run_id)
    async with asyncio.timeout(20):
        while True:
            position = unpack((await handle.query("standing"))["position"])
            branch = position["root"]["children"]["0"] if "0" in position["root"].get("children", {}) else {}
            if branch.get("local", {}).get("arrived"):
                break
            await asyncio.sleep(0.05)
    await runner.router.publish("default", [event(go, go, "g")])
    assert (await runner.runtime.wait(run_id, 20)).status == "faulted"
    far.broken = set()
    await runner.runtime.retry(run_id, Retry())
    await until(runner, run_id, "waiting")
    await runner.router.publish("default", [event(right, right, "r")])
    run = await runner.runtime.wait(run_id, 20)
    assert run.output == [["l", "r"], {"did": "b"}]


async def test_another_version_is_gone_on_with_only_when_asked_and_if_it_has_the_state(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.broken = {"b"}
    body = f"do: [{{a: {far.call('a')}}}, {{b: {far.call('b')}}}, {{c: {{set: {{by: old}}}}}}]"
    run_id = await failed(runner, workflow(body))
    other = Bundle.of(dsl.parse(workflow(f"do: [{{z: {far.call('z')}}}]")), {})
    with pytest.raises(Rejected) as refused:
        await runner.runtime.retry(run_id, Retry(bundle=other))
    assert refused.value.code == "position-does-not-fit"
    new = Bundle.of(dsl.parse(workflow(body.replace("by: old", "by: new").replace("/b", "/better"))), {})
    run = await retried(runner, run_id, Retry(bundle=new))
    assert run.output == {"by": "new"}
    assert far.done == {"a": 1, "better": 1}


async def test_a_suspended_run_gets_other_data_and_leaves_a_state_out(
    runner: TemporalRunner, far: FarSide
) -> None:
    go = f"go-{uuid.uuid4()}"
    text = workflow(f"""
    do:
      - w: {{listen: {{to: {{one: {{with: {{type: {go}}}}}}}}}}}
      - a: {far.call("a")}
      - b: {{set: {{data: '${{ . }}', context: '${{ $context }}'}}}}
    """)
    run_id = await start(runner, text)
    await until(runner, run_id, "waiting")
    with pytest.raises(Rejected) as refused:
        await runner.runtime.edit(run_id, Wish(data=1))
    assert refused.value.code == "run-not-suspended"
    await runner.runtime.suspend(run_id)
    with pytest.raises(Rejected) as refused:
        await runner.runtime.edit(run_id, Wish(data=1))
    assert refused.value.code == "state-under-way"
    await runner.router.publish("default", [event(go, go, 1)])
    async with asyncio.timeout(20):
        while [each.id for each in await runner.runtime.standing(run_id)] != ["/do/1/a"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await runner.runtime.edit(run_id, Wish(skip=True, output={"x": 7}, context={"limit": 3}))
    await runner.runtime.resume(run_id)
    run = await runner.runtime.wait(run_id, 20)
    assert run.output == {"data": {"x": 7}, "context": {"limit": 3}}
    assert far.done == {}
    with pytest.raises(Conflict):
        await runner.runtime.edit(run_id, Wish(data=1))


async def test_a_retried_run_may_be_continued_by_name_in_the_temporal_ui(
    runner: TemporalRunner, far: FarSide
) -> None:
    """Started by name, its bundle is in the history alone."""
    far.broken = {"b"}
    runner.deployed = [
        Bundle.of(
            dsl.parse(workflow(f"do: [{{a: {far.call('a')}}}, {{b: {far.call('b')}}}]", name="named")), {}
        )
    ]
    run_id = f"retried-{uuid.uuid4()}"
    await runner.client.start_workflow("named", id=run_id, task_queue=runner.queue)
    assert (await runner.runtime.wait(run_id, 20)).status == "faulted"
    far.broken = set()
    runner.deployed = []
    assert (await retried(runner, run_id)).status == "completed"
    assert far.done == {"a": 1, "b": 1}


async def test_two_retries_at_once_start_one(runner: TemporalRunner, far: FarSide) -> None:
    far.broken = {"a"}
    run_id = await failed(runner, workflow(f"do: [{{a: {far.call('a')}}}]"))
    far.broken = set()
    other = TemporalRuntime(runner.client, runner.queue, search_attributes=False)
    results = await asyncio.gather(
        runner.runtime.retry(run_id, Retry()), other.retry(run_id, Retry()), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) in (
        ["Conflict", "NoneType"],
        ["NoneType", "Rejected"],
    )
    assert (await runner.runtime.wait(run_id, 20)).status == "completed"
    assert far.done == {"a": 1}


async def test_a_retried_run_lets_its_sub_flows_go_on_where_they_failed(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.broken = {"y"}
    inner = workflow(f"do: [{{x: {far.call('x')}}}, {{y: {far.call('y')}}}]", name="inner")
    middle = workflow(
        f"do: [{{m: {far.call('m')}}}, {{run: {{run: {{workflow: {{namespace: semantics, name: inner}}}}}}}}]",
        name="middle",
    )
    outer = workflow(
        f"do: [{{o: {far.call('o')}}}, {{run: {{run: {{workflow: {{namespace: semantics, name: middle}}}}}}}}]"
    )
    runner.deployed = [Bundle.of(dsl.parse(text), {}) for text in (inner, middle)]
    run_id = await failed(runner, outer)
    far.broken = set()
    run = await retried(runner, run_id)
    assert (run.status, run.output) == ("completed", {"did": "y"})
    assert far.done == {"o": 1, "m": 1, "x": 1, "y": 1}
    assert len(set(far.keys("y"))) == 1
    child = await runner.runtime.describe(f"{run_id}.do.1.run")
    assert (child.status, len(child.attempts)) == ("completed", 1)


async def test_a_sub_flow_that_was_mended_by_itself_is_not_done_again(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.broken = {"y"}
    inner = workflow(f"do: [{{x: {far.call('x')}}}, {{y: {far.call('y')}}}]", name="inner")
    runner.deployed = [Bundle.of(dsl.parse(inner), {})]
    outer = workflow("do: [{run: {run: {workflow: {namespace: semantics, name: inner}}}}]")
    run_id = await failed(runner, outer)
    child = f"{run_id}.do.0.run"
    await runner.runtime.retry(child, Retry(Wish(skip=True, output={"by": "hand"}), what="skip"))
    assert (await runner.runtime.wait(child, 20)).status == "completed"
    assert (await retried(runner, run_id)).output == {"by": "hand"}
    assert far.done == {"x": 1}


async def test_a_retried_run_waits_for_a_sub_flow_that_is_being_mended_by_itself(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.broken = {"y"}
    inner = workflow(f"do: [{{x: {far.call('x')}}}, {{y: {far.call('y')}}}]", name="inner")
    runner.deployed = [Bundle.of(dsl.parse(inner), {})]
    run = "{run: {workflow: {namespace: semantics, name: inner}}}"
    outer = workflow(f"do: [{{run: {run}}}, {{z: {far.call('z')}}}]")
    run_id = await failed(runner, outer)
    other = await failed(runner, outer)
    far.broken, far.held = set(), {"y"}
    for id in (run_id, other):
        asked = len(far.keys("y"))
        await runner.runtime.retry(f"{id}.do.0.run", Retry())
        await far.asked_for("y", asked + 1)
        await runner.runtime.retry(id, Retry())
    await runner.runtime.terminate(other, "enough")
    assert (await runner.runtime.wait(f"{other}.do.0.run", 20)).status == "cancelled"
    far.held = set()
    assert (await runner.runtime.wait(run_id, 20)).output == {"did": "z"}
    assert (far.done["x"], far.done["z"], len(set(far.keys("y")))) == (2, 1, 2)


async def test_a_run_that_was_terminated_by_temporals_own_means_is_retried_at_once_with_its_sub_flows(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.held = {"y"}
    inner = workflow(f"do: [{{x: {far.call('x')}}}, {{y: {far.call('y')}}}]", name="inner")
    runner.deployed = [Bundle.of(dsl.parse(inner), {})]
    run_id = await start(
        runner, workflow("do: [{run: {run: {workflow: {namespace: semantics, name: inner}}}}]")
    )
    await far.asked_for("y")
    await runner.client.get_workflow_handle(run_id).terminate("in the UI")
    await runner.runtime.retry(run_id, Retry())
    await far.asked_for("y", 2)
    far.held = set()
    assert (await runner.runtime.wait(run_id, 20)).output == {"did": "y"}
    assert far.done["x"] == 1
    assert len(set(far.keys("y"))) == 1


async def test_the_attempts_at_a_call_begin_anew_and_its_key_stays(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.broken = {"b"}
    retry = "{delay: {milliseconds: 10}, limit: {attempt: {count: 2}}}"
    text = workflow(f"""
    do:
      - a: {far.call("a")}
      - t: {{try: [{{b: {far.call("b")}}}], catch: {{errors: {{with: {{status: 503}}}}, retry: {retry}}}}}
    """)
    run_id = await failed(runner, text)
    assert len(far.keys("b")) == 3
    assert (await retried(runner, run_id)).status == "faulted"
    assert len(far.keys("b")) == 6
    far.broken = set()
    assert (await retried(runner, run_id)).output == {"did": "b"}
    assert far.done == {"a": 1, "b": 1}
    assert len(set(far.keys("b"))) == 1


async def test_a_suspended_run_stays_so_when_its_worker_is_another_one(
    temporal_address: str, internet: Any, far: FarSide
) -> None:
    text = workflow(f"do: [{{w: {{wait: {{seconds: 3}}}}}}, {{a: {far.call('a')}}}]")
    async with temporal_runner(temporal_address, internet) as runner:
        run_id, queue = await start(runner, text), runner.queue
        await until(runner, run_id, "waiting")
        await runner.runtime.suspend(run_id)
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        async with asyncio.timeout(20):
            while [each.id for each in await runner.runtime.standing(run_id)] != ["/do/1/a"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await runner.runtime.describe(run_id)).status == "suspended"
        assert far.done == {}
        await runner.runtime.resume(run_id)
        assert (await runner.runtime.wait(run_id, 20)).status == "completed"
    assert far.done == {"a": 1}


async def test_a_cancelled_run_is_led_past_the_event_that_never_came(runner: TemporalRunner) -> None:
    text = workflow("do: [{w: {listen: {to: {one: {with: {type: never}}}}}}, {a: {set: {got: '${ . }'}}}]")
    run_id = await start(runner, text)
    await until(runner, run_id, "waiting")
    await runner.runtime.cancel(run_id)
    await until(runner, run_id, "cancelled")
    run = await retried(runner, run_id, Retry(Wish(skip=True, output=7), what="skip"))
    assert run.output == {"got": 7}
    assert run.attempts[0]["status"] == "cancelled"


async def test_a_run_that_had_gone_on_in_new_histories_is_retried_in_its_loop(
    runner: TemporalRunner, far: FarSide
) -> None:
    text = workflow(f"""
    do:
      - loop:
          for: {{in: '[range(12)]'}}
          do: [{{a: {far.call("a")}}}, {{b: {far.call("b", ", if: $item == 9")}}}, {{c: {{set: '${{ $item }}'}}}}]
    """)
    far.broken = {"b"}
    runtime = TemporalRuntime(runner.client, runner.queue, search_attributes=False, limits=Limits(events=20))
    bundle = Bundle.of(dsl.parse(text), {})
    run_id = f"retried-{uuid.uuid4()}"
    await runtime.start(Start(run_id, bundle.graph().name, bundle, 0))
    assert (await runtime.wait(run_id, 30)).status == "faulted"
    assert far.done == {"a": 10}
    far.broken = set()
    assert (await retried(runner, run_id)).output == 11
    assert far.done == {"a": 12, "b": 1}
    assert len(set(far.keys("a"))) == 12
