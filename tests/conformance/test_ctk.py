"""The specification's own conformance features, every scenario on both runtimes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.conformance.features import Scenario, scenarios, value
from tests.conftest import SPEC
from workflow_engine.errors import canonical_type

FEATURES = SPEC / "1.0" / "ctk"
ALL = scenarios(FEATURES) if FEATURES.is_dir() else []


def at(output: Any, path: str) -> Any:
    for part in path.split("."):
        assert isinstance(output, dict), f"{path}: {output!r} is no object"
        assert part in output, f"{path}: no {part!r} in {sorted(output)}"
        output = output[part]
    return output


class World:
    """What the steps of one scenario share."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.document = ""
        self.input: Any = {}
        self.ended: Any = None
        self.checked = 0

    async def take(self, text: str, block: str | None) -> None:
        for pattern, step in STEPS:
            match = re.fullmatch(pattern, text)
            if match:
                await step(self, block, *match.groups())
                return
        raise AssertionError(f"no step for {text!r}")


async def given_definition(world: World, block: str | None) -> None:
    world.document = block or ""


async def given_input(world: World, block: str | None) -> None:
    world.input = value(block)


async def executed(world: World, block: str | None) -> None:
    world.ended = await world.run(world.document, world.input)


async def should_complete(world: World, block: str | None) -> None:
    assert world.ended.status == "completed", world.ended.error


async def should_complete_with(world: World, block: str | None) -> None:
    await should_complete(world, None)
    assert world.ended.output == value(block)


async def should_fault(world: World, block: str | None) -> None:
    assert world.ended.status == "faulted"


async def should_fault_with(world: World, block: str | None) -> None:
    await should_fault(world, None)
    expected: Any = value(block)
    actual = dict(world.ended.error)
    assert canonical_type(actual.pop("type")) == canonical_type(expected.pop("type"))
    assert actual == expected


async def has_properties(world: World, block: str | None, listed: str) -> None:
    for name in re.findall(r"'([^']+)'", listed):
        at(world.ended.output, name)


async def has_value(world: World, block: str | None, name: str) -> None:
    assert at(world.ended.output, name) == value(block)


async def has_items(world: World, block: str | None, name: str, count: str) -> None:
    assert len(at(world.ended.output, name)) == int(count)


async def first(world: World, block: str | None, name: str) -> None:
    assert world.ended.order[0] == name


async def last(world: World, block: str | None, name: str) -> None:
    assert world.ended.order[-1] == name


async def after(world: World, block: str | None, name: str, other: str) -> None:
    order = world.ended.order
    assert order.index(name) > order.index(other)


STEPS: list[tuple[str, Any]] = [
    (r"a workflow with definition:", given_definition),
    (r"given the workflow input is:", given_input),
    (r"the workflow is executed", executed),
    (r"the workflow should complete", should_complete),
    (r"the workflow should complete with output:", should_complete_with),
    (r"the workflow should fault", should_fault),
    (r"the workflow should fault with error:", should_fault_with),
    (r"the workflow output should have properties (.+)", has_properties),
    (r"the workflow output should have a '([^']+)' property with value:", has_value),
    (r"the workflow output should have a '([^']+)' property containing (\d+) items", has_items),
    (r"(\w+) should run first", first),
    (r"(\w+) should run last", last),
    (r"(\w+) should run after (\w+)", after),
]


@pytest.mark.parametrize("scenario", ALL, ids=[scenario.id for scenario in ALL])
async def test_the_engine_conforms_to(scenario: Scenario, run: Any) -> None:
    world = World(run)
    for step in scenario.steps:
        await world.take(step.text, step.block)
    assert world.ended is not None


def test_all_twenty_one_scenarios_are_there(spec: Any) -> None:
    assert len(scenarios(spec / "1.0" / "ctk")) == 21
