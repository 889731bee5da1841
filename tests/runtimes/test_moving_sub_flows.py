"""Runs that wait for runs which they have begun go on in new histories, and move to other versions, all the while."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.runtimes.far_side import FarSide
from tests.runtimes.test_migrating import Shop, shop  # noqa: F401 - a fixture
from tests.runtimes.test_moving_at_work import moved, version_of

pytestmark = pytest.mark.temporal


def text(name: str, version: str, states: str) -> str:
    return f"document: {{dsl: '1.0.3', namespace: test, name: {name}, version: '{version}'}}\ndo:\n{states}"


def running(name: str, version: str = "latest", more: str = "") -> str:
    return f"{{run: {{workflow: {{namespace: test, name: {name}, version: '{version}'}}{more}}}}}"


async def standing_at(shop: Shop, run_id: str, state: str) -> None:  # noqa: F811
    from workflow_engine.errors import NotFound

    async with asyncio.timeout(20):
        while True:
            try:
                if [each.name for each in (await shop.runtime.describe(run_id)).states] == [state]:
                    return
            except NotFound:
                pass
            await asyncio.sleep(0.05)


async def go(shop: Shop, type: str) -> None:  # noqa: F811
    event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "t", "type": type}
    await shop.runner.router.publish("default", [event])


async def test_a_run_moves_while_it_waits_for_another_one_and_so_does_that_however_deep(
    shop: Shop,  # noqa: F811
    far: FarSide,
) -> None:
    """In a plain list, in a loop, and in a `try`: nothing goes on beside any of them."""
    event = f"go-{uuid.uuid4()}"
    inner, middle, outer = (f"{shop.name}-{name}" for name in ("inner", "middle", "outer"))
    hear = f"{{listen: {{to: {{one: {{with: {{type: {event}}}}}}}}}}}"

    async def deploy(version: str, mark: str) -> None:
        await shop.engine.deploy(
            text(inner, version, f"- a: {far.call('a')}\n- hear: {hear}\n- b: {far.call('b' + mark)}")
        )
        body = f"[{{t: {{try: [{{r: {running(inner, version)}}}], catch: {{}}}}}}, {{m: {far.call('m' + mark)}}}]"
        await shop.engine.deploy(
            text(middle, version, f"- l: {{for: {{each: item, in: '[1, 2]'}}, do: {body}}}")
        )
        states = f"- o: {far.call('o')}\n- r: {running(middle, version)}\n- last: {far.call('last' + mark)}"
        await shop.engine.deploy(text(outer, version, states))

    await deploy("1.0.0", "")
    run_id = await shop.engine.start("test", outer, None, {})
    child = f"{run_id}.do.1.r"
    grandchild = f"{child}.do.0.l.do.0.t.try.0.r"
    await standing_at(shop, grandchild, "hear")
    await deploy("2.0.0", "2")
    for id in (run_id, grandchild, child):
        verdict = await moved(shop, id)
        assert verdict.answer == "moved", (id, verdict)
        assert await version_of(shop, id) == "2.0.0"
    assert any(
        f"runs {inner} 2.0.0 now: the run of it that is under way goes on" in told for told in verdict.remarks
    )
    await go(shop, event)
    await standing_at(shop, f"{grandchild}#2", "hear")
    await go(shop, event)
    assert await shop.output(run_id) == {"did": "last2"}
    assert far.done == {"o": 1, "a": 2, "b2": 2, "m2": 2, "last2": 1}
    assert await shop.output(child) == {"did": "m2"}
