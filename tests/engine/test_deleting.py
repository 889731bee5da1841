"""Deleting workflows whose runs are on a real Temporal server."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.engine.test_keys import PAY, engine
from workflow_engine.engine.deleting import Deleting
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.runtime import Retry, RunQuery
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.interpreter.retrying import Wish

__all__ = ["engine"]


@pytest.mark.temporal
async def test_runs_of_a_deleted_workflow_go_on_and_are_retried_for_they_have_it_with_them(
    engine: Engine,
) -> None:
    name = f"pay-{uuid.uuid4().hex[:8]}"
    for version in ("1.0.0", "2.0.0"):
        await engine.deploy(PAY.format(name=name, version=version))
    failed, waits = f"{name}-fails", f"{name}-waits"
    for id, given in ((failed, {"fails": True, "waits": False}), (waits, {"fails": False, "waits": True})):
        await engine.start("shop", name, "1.0.0", {"order": {"id": name}, **given}, run_id=id)
    assert (await engine.wait(failed, 30)).status == "faulted"
    while len((await engine.runs(RunQuery("shop", name, None, "running"))).runs) != 1:  # noqa: ASYNC110  it is late
        await asyncio.sleep(0.05)
    deleting = Deleting(engine)
    for version in ("1.0.0", None):
        with pytest.raises(Rejected, match="1 of its runs is in flight") as refused:
            await deleting.delete("shop", name, version)
        assert waits in str(refused.value)
        assert failed not in str(refused.value)
    assert (await deleting.delete("shop", name, "2.0.0")).latest == "1.0.0"
    gone = await deleting.delete("shop", name, None, despite=["runs"])
    assert (gone.latest, gone.runs) == (None, 1)
    with pytest.raises(NotFound, match="it was deleted at"):
        await engine.start("shop", name, None, {})
    while (await engine.describe(waits)).status != "waiting":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await engine.control(waits, "suspend")
    await engine.control(waits, "resume")
    await engine.runtime.retry(failed, Retry(Wish(data={"fails": False, "waits": False})))
    assert (await engine.wait(failed, 30)).status == "completed"
    await engine.control(waits, "cancel")
    assert (await engine.wait(waits, 30)).status == "cancelled"
