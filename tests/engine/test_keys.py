"""Runs are found by keys: what their workflow takes of the input, and what the events that start them agree on."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from tests.running import TemporalRunner
from workflow_engine import dsl
from workflow_engine.dsl.needs import Need
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.runtime import Retry, RunQuery
from workflow_engine.engine.starting import LONGEST, MOST_VALUES, keys_of
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.values import Json

PAY = """
document:
  dsl: '1.0.3'
  namespace: shop
  name: {name}
  version: '{version}'
  metadata: {{runKeys: {{order: '${{ .order.id }}', customer: .customer, tag: '.tags[]?'}}}}
do:
  - pay: {{if: .fails, raise: {{error: {{type: https://example.com/no, status: 402}}}}}}
  - wait: {{if: .waits, listen: {{to: {{one: {{with: {{type: never}}}}}}}}}}
"""


def graph(keys: str) -> Any:
    text = (
        "document: {dsl: '1.0.3', namespace: a, name: b, version: '1.0.0', metadata: {runKeys: "
        + keys
        + "}}\ndo: [{c: {set: {x: 1}}}]\n"
    )
    return dsl.compile(dsl.parse(text))


@pytest.mark.parametrize(
    ("keys", "input", "found"),
    [
        ("{a: .a, b: .b}", {"a": "x", "b": "y z=1"}, ["a=x", "b=y z=1"]),
        ("{a: '${ .a }'}", {"a": 4711}, ["a=4711"]),
        ("{a: .a, b: .b, c: .c}", {"a": True, "b": 1.5, "c": False}, ["a=true", "b=1.5", "c=false"]),
        ("{a: .a}", {"a": ["x", 2, "x", None, {"y": 1}]}, ["a=x", "a=2"]),
        ("{a: '.a[]'}", {"a": ["x", "y"]}, ["a=x", "a=y"]),
        ("{a: .a, b: .b}", {"a": None, "b": {}}, []),
        ("{a: .a, b: .b.c}", {"a": "", "b": "no object"}, []),
        ("{a: .}", "text", ["a=text"]),
        ("{a: .a}", {"a": "x" * (LONGEST - 2)}, ["a=" + "x" * (LONGEST - 2)]),
        ("{a: .a}", {"a": "x" * (LONGEST - 1)}, []),
        ("{a: .a, b: .b}", {"a": 10**5000, "b": 10**300}, [f"b={10**300}"]),
        ("{a: .}", list(range(100)), [f"a={n}" for n in range(MOST_VALUES)]),
    ],
)
def test_keys_are_what_an_expression_finds_in_the_input(keys: str, input: Json, found: Sequence[str]) -> None:
    assert keys_of(graph(keys), input) == found


def test_what_the_events_agree_on_is_a_key_too() -> None:
    assert keys_of(graph("{a: .a}"), {"a": 1}, {"order": "7", "a": 1}) == ["a=1", "order=7"]


async def nothing(need: Need) -> Any:
    raise AssertionError(f"{need} is not needed")


@pytest.fixture
async def engine(runner: TemporalRunner) -> Engine:
    return Engine(MemoryDefinitions(), TemporalRuntime(runner.client, runner.queue), resolve=nothing)


async def listed(engine: Engine, *keys: str, many: int = 1) -> list[str]:
    """The runs that are found; lists are some moments late."""
    while len(found := (await engine.runs(RunQuery(keys=keys))).runs) < many:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return sorted(run.id for run in found)


@pytest.mark.temporal
async def test_a_run_is_found_by_each_of_its_keys_and_by_several_together(engine: Engine) -> None:
    name = f"pay-{uuid.uuid4().hex[:8]}"
    await engine.deploy(PAY.format(name=name, version="1.0.0"))
    mine = name
    for order, customer in (("1", "ada"), ("2", "ada"), ("3", 'it\'s "bob" \\ & co')):
        given = {"order": {"id": f"{mine}/{order}"}, "customer": f"{mine} {customer}", "tags": ["vip", mine]}
        await engine.start("shop", name, None, given, run_id=f"{mine}-{order}")
    assert await listed(engine, f"order={mine}/1") == [f"{mine}-1"]
    assert await listed(engine, f"customer={mine} ada", many=2) == [f"{mine}-1", f"{mine}-2"]
    assert await listed(engine, f'customer={mine} it\'s "bob" \\ & co') == [f"{mine}-3"]
    assert await listed(engine, f"tag={mine}", "tag=vip", f"order={mine}/2") == [f"{mine}-2"]
    assert await listed(engine, f"order={mine}/1", f"customer={mine} nobody", many=0) == []
    described = await engine.wait(f"{mine}-1", 30)
    assert list(described.keys) == [f"order={mine}/1", f"customer={mine} ada", "tag=vip", f"tag={mine}"]
    assert (await engine.runs(RunQuery(keys=[f"order={mine}/1"]))).runs[0].keys == described.keys


@pytest.mark.temporal
async def test_keys_stay_when_a_run_is_tried_again_and_when_it_goes_on_as_another_version(
    engine: Engine,
) -> None:
    name = f"pay-{uuid.uuid4().hex[:8]}"
    for version in ("1.0.0", "2.0.0"):
        await engine.deploy(PAY.format(name=name, version=version))
    failed, waits = f"{name}-fails", f"{name}-waits"
    await engine.start(
        "shop", name, "1.0.0", {"order": {"id": name}, "fails": True, "waits": False}, run_id=failed
    )
    assert (await engine.wait(failed, 30)).status == "faulted"
    await engine.runtime.retry(failed, Retry(input={"fails": False, "waits": False}))
    assert (await engine.wait(failed, 30)).keys == [f"order={name}"]
    await engine.start(
        "shop", name, "1.0.0", {"order": {"id": name}, "fails": False, "waits": True}, run_id=waits
    )
    while (await engine.describe(waits)).status != "waiting":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    later = (await engine.definition("shop", name, "2.0.0")).bundle
    await engine.runtime.move(waits, later, {}, 30)
    moved = await engine.describe(waits)
    assert moved.workflow is not None
    assert (moved.workflow.version, list(moved.keys)) == ("2.0.0", [f"order={name}"])
    assert await listed(engine, f"order={name}", many=2) == sorted((failed, waits))
    await engine.control(waits, "terminate")


@pytest.mark.temporal
async def test_what_the_events_that_start_a_run_have_in_common_is_its_key(engine: Engine) -> None:
    name = f"both-{uuid.uuid4().hex[:8]}"
    correlate = "correlate: {order: {from: .data.order}}"
    await engine.deploy(
        f"document: {{dsl: '1.0.3', namespace: shop, name: {name}, version: '1.0.0'}}\n"
        f"schedule: {{on: {{all: [{{with: {{type: a}}, {correlate}}}, {{with: {{type: b}}, {correlate}}}]}}}}\n"
        "do: [{c: {set: {x: 1}}}]\n"
    )
    events: list[Any] = [
        {"specversion": "1.0", "id": type, "source": "/", "type": type, "data": {"order": name}}
        for type in "ab"
    ]
    run = await engine.start_by_events("shop", name, "x", events)
    assert await listed(engine, f"order={name}") == [run]
