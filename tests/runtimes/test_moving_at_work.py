"""Runs that move to another version of their workflow while something is under way: each effect once, then as the new
version says.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from tests.runtimes.far_side import FarSide
from tests.runtimes.test_migrating import Shop, shop  # noqa: F401 - a fixture
from workflow_engine.engine.verdicts import Verdict
from workflow_engine.interpreter.packing import unpack
from workflow_engine.values import Json

pytestmark = pytest.mark.temporal


def versions(shop: Shop, old: str, new: str) -> tuple[str, str]:  # noqa: F811
    head = f"document: {{dsl: '1.0.3', namespace: test, name: {shop.name}, version: "
    return f"{head}'1.0.0'}}\ndo:\n{old}", f"{head}'2.0.0'}}\ndo:\n{new}"


async def begun(shop: Shop, old: str, new: str) -> str:  # noqa: F811
    """A run of the *old* version, while both are deployed."""
    first, second = versions(shop, old, new)
    await shop.deploy(first)
    run_id = await shop.engine.start("test", shop.name, None, {})
    await shop.deploy(second)
    return run_id


async def moved(shop: Shop, run_id: str, *, seconds: float = 20) -> Verdict:  # noqa: F811
    return await shop.moving.migrate(run_id, "2.0.0", {}, seconds=seconds, dry=False)


async def version_of(shop: Shop, run_id: str) -> str:  # noqa: F811
    workflow = (await shop.runtime.describe(run_id)).workflow
    assert workflow is not None
    return workflow.version


async def standing_with(shop: Shop, run_id: str, state: str, **local: Any) -> None:  # noqa: F811
    """Return once *run_id* stands at *state* with such progress: for each member, how many there are."""
    handle = shop.runner.client.get_workflow_handle(run_id)
    async with asyncio.timeout(20):
        while True:
            told = await handle.query("standing")
            frames = [unpack(told["position"])["root"]] if told else []
            for frame in frames:
                frames += frame.get("children", {}).values()
                found = {name: frame.get("local", {}).get(name) for name in local}
                counts = {name: len(v) if isinstance(v, list) else v for name, v in found.items()}
                if str(frame["state"]).endswith(f"/{state}") and counts == local:
                    return
            await asyncio.sleep(0.05)


async def publish(shop: Shop, type: str, data: Json) -> None:  # noqa: F811
    event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "t", "type": type, "data": data}
    await shop.runner.router.publish("default", [event])


async def test_a_call_in_flight_ends_and_its_answer_goes_to_the_new_version(shop: Shop, far: FarSide) -> None:  # noqa: F811
    far.held = {"a"}
    old = f"- a: {far.call('a')}\n- b: {far.call('b')}\n- last: {{set: {{version: 1}}}}"
    new = f"- before: {far.call('before')}\n- a: {far.call('other')}\n- c: {far.call('c')}"  # `b` is gone
    run_id = await begun(shop, old, new)
    await far.asked_for("a")
    dry = await shop.moving.migrate(run_id, "2.0.0", {}, seconds=10, dry=True)
    assert (dry.answer, dry.at) == ("could move", ["/do/0/a"])
    moving = await moved(shop, run_id, seconds=0.5)
    assert moving.answer == "moving"
    assert "/do/0/a has to end first: calling http" in moving.remarks
    assert (await version_of(shop, run_id)) == "1.0.0"
    far.held = set()
    assert await shop.output(run_id) == {"did": "c"}
    assert far.done == {"a": 1, "c": 1}
    assert far.bodies[-1] == {"did": "a"}
    assert await version_of(shop, run_id) == "2.0.0"


async def test_a_fork_moves_with_branches_that_wait_call_and_have_ended(shop: Shop, far: FarSide) -> None:  # noqa: F811
    far.held = {"a"}
    go = f"go-{uuid.uuid4()}"

    def fork(after: str) -> str:
        return f"""
    - both:
        fork:
          branches:
            - done: {{do: [{{d: {far.call("d")}}}]}}
            - hears:
                do:
                  - w: {{listen: {{to: {{one: {{with: {{type: {go}}}}}}}}}}}
                  - x: {far.call("x" + after)}
            - calls: {{do: [{{a: {far.call("a")}}}, {{b: {far.call("b" + after)}}}]}}
            - sleeps: {{do: [{{s: {{wait: {{milliseconds: 4000}}}}}}, {{y: {far.call("y" + after)}}}]}}
    """

    run_id = await begun(shop, fork(""), fork("2"))
    await far.asked_for("a")
    await far.asked_for("d")
    await standing_with(shop, run_id, "both", finished={"0": {"output": {"did": "d"}}})
    assert (await moved(shop, run_id, seconds=0.3)).answer == "moving"
    far.held = set()
    async with asyncio.timeout(20):
        while await version_of(shop, run_id) != "2.0.0":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await publish(shop, go, "news")
    assert await shop.output(run_id) == [{"did": what} for what in ("d", "x2", "b2", "y2")]
    assert far.done == {"d": 1, "a": 1, "x2": 1, "b2": 1, "y2": 1}
    assert len(set(far.keys("a"))) == 1


async def test_a_loop_moves_within_an_iteration_and_goes_on_with_the_next(shop: Shop, far: FarSide) -> None:  # noqa: F811
    far.held = {"a"}

    def loop(after: str) -> str:
        return f"""
    - each:
        for: {{each: item, in: '[1, 2, 3]'}}
        do: [{{a: {far.call("a")}}}, {{b: {far.call("b" + after)}}}]
    """

    run_id = await begun(shop, loop(""), loop("2"))
    await far.asked_for("a")
    assert (await moved(shop, run_id, seconds=0.3)).answer == "moving"
    far.held = set()
    await far.asked_for("b2")
    assert await shop.output(run_id) == {"did": "b2"}
    assert far.done == {"a": 3, "b2": 3}
    assert len(set(far.keys("a"))) == 3


async def test_a_run_moves_while_it_waits_to_try_several_calls_again(shop: Shop, far: FarSide) -> None:  # noqa: F811
    far.broken = {"b"}

    def tried(endpoint: str, delay: str) -> str:
        return f"""
    - t:
        try: [{{a: {far.call("a")}}}, {{b: {far.call(endpoint)}}}]
        catch:
          errors: {{with: {{status: 503}}}}
          retry: {{delay: {{milliseconds: {delay}}}, limit: {{attempt: {{count: 2}}}}}}
    """

    run_id = await begun(shop, tried("b", "3500"), tried("mended", "10"))
    await standing_with(shop, run_id, "t", retries=1)
    assert (await moved(shop, run_id)).answer == "moved"
    assert await shop.output(run_id) == {"did": "mended"}
    assert far.done == {"a": 2, "mended": 1}
    assert len(far.keys("b")) == 1


async def test_a_run_moves_while_one_call_waits_for_its_next_attempt(shop: Shop, far: FarSide) -> None:  # noqa: F811
    """It waits within its activity, or rather the server does: the attempts and the key go on with the run."""
    far.broken = {"b"}

    def tried(endpoint: str, delay: str) -> str:
        return f"""
    - t:
        try: [{{b: {far.call(endpoint)}}}]
        catch:
          errors: {{with: {{status: 503}}}}
          retry: {{delay: {delay}, limit: {{attempt: {{count: 2}}}}}}
    """

    run_id = await begun(shop, tried("b", "PT5S"), tried("still-broken", "PT0.01S"))
    far.broken.add("still-broken")
    await far.asked_for("b")
    await asyncio.sleep(0.5)
    assert (await moved(shop, run_id)).answer == "moved"
    run = await shop.runtime.wait(run_id, 30)
    assert run.status == "faulted", run
    assert [len(far.keys(what)) for what in ("b", "still-broken")] == [1, 2]
    assert len({key for _, key in far.asked}) == 1


async def test_a_listener_keeps_the_events_that_it_has_when_it_moves(shop: Shop, far: FarSide) -> None:  # noqa: F811
    one, two = f"one-{uuid.uuid4()}", f"two-{uuid.uuid4()}"

    def hears(more: str) -> str:
        wanted = f"all: [{{with: {{type: {one}}}}}, {{with: {{type: {two}}}}}]"
        return (
            f"- hear: {{listen: {{to: {{{wanted}}}, read: data}}}}\n- end: {{set: {{got: '${{ . }}'{more}}}}}"
        )

    run_id = await begun(shop, hears(""), hears(", v: 2"))
    await shop.at(run_id, "hear")
    await publish(shop, one, 1)
    await standing_with(shop, run_id, "hear", arrived=1)
    assert (await moved(shop, run_id)).answer == "moved"
    await publish(shop, one, 3)
    await publish(shop, two, 2)
    assert await shop.output(run_id) == {"got": [1, 2], "v": 2}


async def test_events_are_gone_through_once_though_the_run_moves_amid_one(shop: Shop, far: FarSide) -> None:  # noqa: F811
    far.held = {"a"}
    item, stop = f"item-{uuid.uuid4()}", f"stop-{uuid.uuid4()}"

    def hears(after: str) -> str:
        return f"""
    - hear:
        listen: {{to: {{any: [{{with: {{type: {item}}}}}], until: {{one: {{with: {{type: {stop}}}}}}}}}, read: data}}
        foreach: {{item: it, do: [{{a: {far.call("a")}}}, {{b: {far.call("b" + after)}}}]}}
    """

    run_id = await begun(shop, hears(""), hears("2"))
    await shop.at(run_id, "hear")
    await publish(shop, item, 1)
    await publish(shop, item, 2)
    await far.asked_for("a")
    assert (await moved(shop, run_id, seconds=0.3)).answer == "moving"
    far.held = set()
    await far.asked_for("b2", 2)
    await publish(shop, item, 3)
    await far.asked_for("b2", 3)
    await publish(shop, stop, None)
    assert await shop.output(run_id) == [{"did": "b2"}] * 3
    assert far.done == {"a": 3, "b2": 3}
    assert await version_of(shop, run_id) == "2.0.0"


async def test_sub_flows_go_on_though_the_run_moves(shop: Shop, far: FarSide) -> None:  # noqa: F811
    far.held = {"inner"}
    inner = f"document: {{dsl: '1.0.3', namespace: test, name: {shop.name}-in, version: '1.0.0'}}\n"
    await shop.deploy(inner + f"do: [{{i: {far.call('inner')}}}]")
    runs = f"{{run: {{workflow: {{namespace: test, name: {shop.name}-in, version: latest}}}}}}"

    def both(after: str) -> str:
        branch = f"{{do: [{{r: {runs}}}, {{x: {far.call('x' + after)}}}]}}"
        return f"- both: {{fork: {{branches: [{{one: {branch}}}, {{two: {{set: {{z: 1}}}}}}]}}}}"

    run_id = await begun(shop, both(""), both("2"))
    await far.asked_for("inner")
    assert (await moved(shop, run_id)).answer == "moved"
    far.held = set()
    assert await shop.output(run_id) == [{"did": "x2"}, {"z": 1}]
    assert far.done == {"inner": 1, "x2": 1}
