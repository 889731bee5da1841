"""Runs are retried and skipped long after their failure: their workflow is another by then, and so is the worker."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_retrying import failed, nested
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.runtime import RunDescription
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.interpreter.retrying import Wish

pytestmark = pytest.mark.temporal


class Restarted:
    """An engine with one workflow, whose run failed, was redeployed, and is served by a worker that has just begun."""

    def __init__(self, runner: TemporalRunner, run_id: str) -> None:
        async def resolve(need: Any) -> Any:
            raise NotFound("thing", str(need))

        self.runner, self.run_id = runner, run_id
        self.engine = Engine(MemoryDefinitions(), runner.runtime, resolve=resolve)

    async def retry(self, wish: Wish = Wish(), **options: Any) -> RunDescription:  # noqa: B008 - frozen
        await self.engine.retry(self.run_id, wish, **options)
        return await self.runner.runtime.wait(self.run_id, 20)


NESTED_DONE = {"n": 2, "got": [{"did": "b"}, {"did": "d"}]}


@pytest.fixture
async def restarted(temporal_address: str, internet: Any, far: FarSide) -> Any:
    far.broken = {"d"}
    queue = f"redeployed-{uuid.uuid4()}"
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        run_id = await failed(runner, nested(far))
    far.broken = set()
    far.done.clear()
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        shop = Restarted(runner, run_id)
        await shop.engine.deploy(nested(far))
        yield shop


def second(far: FarSide, **changes: str) -> str:
    """Version 2: another call in the place of the failed one, and new states before and after it."""
    text = nested(far).replace("version: '1.0.0'", "version: '2.0.0'")
    indent = text.partition("- first:")[0].rpartition("\n")[2]
    text = text.replace("- first:", f"- new: {{set: {{new: 1}}}}\n{indent}- first:")
    text = text.replace("/d'", "/d2'").replace("- note: {set:", "- noted: {set:")
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


async def test_it_keeps_to_its_version_though_another_one_is_deployed(
    restarted: Restarted, far: FarSide
) -> None:
    await restarted.engine.deploy(second(far))
    run = await restarted.retry()
    assert (run.status, run.output["data"]) == ("completed", NESTED_DONE)
    assert run.workflow is not None
    assert run.workflow.version == "1.0.0"
    assert {what: far.done[what] for what in ("first", "a", "c", "d", "d2")} == {
        "first": 0, "a": 0, "c": 0, "d": 1, "d2": 0
    }  # fmt: skip


async def test_it_goes_on_with_the_latest_version_from_the_state_of_that_name(
    restarted: Restarted, far: FarSide
) -> None:
    await restarted.engine.deploy(second(far))
    run = await restarted.retry(version="latest")
    assert (run.status, run.output["data"]) == ("completed", {"n": 2, "got": [{"did": "b"}, {"did": "d2"}]})
    assert run.workflow is not None
    assert run.workflow.version == "2.0.0"
    assert (far.done["d"], far.done["d2"], far.done["first"], far.done["c"]) == (0, 1, 0, 0)
    assert len(set(far.keys("d") + far.keys("d2"))) == 1


async def test_states_that_are_called_otherwise_are_mapped(restarted: Restarted, far: FarSide) -> None:
    await restarted.engine.deploy(second(far, **{"- loop:": "- all:"}))
    with pytest.raises(Rejected, match="map it to another") as refused:
        await restarted.retry(version="2.0.0")
    assert refused.value.code == "position-does-not-fit"
    run = await restarted.retry(version="2.0.0", names={"/do/1/loop": "/do/2/all"})
    assert run.status == "completed"
    assert far.done["d2"] == 1


async def test_the_failed_state_in_a_fork_in_a_loop_is_skipped(restarted: Restarted, far: FarSide) -> None:
    await restarted.engine.deploy(second(far))
    await restarted.engine.skip(restarted.run_id, Wish(skip=True, output={"by": "hand"}))
    run = await restarted.runner.runtime.wait(restarted.run_id, 20)
    assert run.output["data"] == {"n": 2, "got": [{"did": "b"}, {"by": "hand"}]}
    assert run.output["context"] == {"i1": 1, "i2": 1}
    assert (far.done["d"], far.done["c"]) == (0, 0)


async def test_all_of_a_fork_in_a_loop_is_skipped(restarted: Restarted, far: FarSide) -> None:
    wish = Wish("/do/1/loop/do/0/both", skip=True, output="none of it")
    await restarted.engine.skip(restarted.run_id, wish)
    run = await restarted.runner.runtime.wait(restarted.run_id, 20)
    assert run.output["data"] == {"n": 2, "got": "none of it"}
    assert sum(far.done.values()) == 0


def test_the_second_version_is_another_one(far: FarSide) -> None:
    assert Bundle.of(dsl.parse(second(far)), {}).graph().name.version == "2.0.0"
