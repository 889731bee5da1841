"""A question about a run that a worker never sees is asked again."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from tests.running import TemporalRunner, temporal_runner
from tests.semantics.v1.documents import workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Retry, Start
from workflow_engine.errors import Rejected, Unavailable
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.runtimes.temporal import asking, retrying
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = pytest.mark.temporal


def losing(monkeypatch: pytest.MonkeyPatch, most: int) -> list[float]:
    """Lose the first *most* questions, as a server does that gave them to a worker which was stopping; the seconds for
    which each was waited for.
    """
    asks, patience = WorkflowHandle.query, list[float]()

    async def query(self: Any, what: Any, *args: Any, rpc_timeout: timedelta, **options: Any) -> Any:
        patience.append(rpc_timeout.total_seconds())
        if len(patience) <= most:
            raise RPCError("Timeout expired", RPCStatusCode.DEADLINE_EXCEEDED, b"")
        return await asks(self, what, *args, rpc_timeout=rpc_timeout, **options)

    monkeypatch.setattr(WorkflowHandle, "query", query)
    return patience


async def test_a_question_that_is_lost_is_asked_again_with_more_patience(
    runner: TemporalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.of(
        dsl.parse(workflow("do: [{f: {raise: {error: {type: 'https://x/no', status: 400}}}}]")), {}
    )
    run_id = f"asked-{uuid.uuid4()}"
    await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
    await runner.runtime.wait(run_id, 20)
    patience = losing(monkeypatch, 3)
    assert [state.id for state in await runner.runtime.standing(run_id)] == ["/do/0/f"]
    assert patience[:3] == [asking.FIRST, 2 * asking.FIRST, 4 * asking.FIRST]
    monkeypatch.undo()
    monkeypatch.setattr(retrying, "REPLAY_TIMEOUT", timedelta(seconds=asking.FIRST - 1))
    patience = losing(monkeypatch, 10)
    with pytest.raises(Unavailable, match="no worker of task queue"):
        await runner.runtime.standing(run_id)
    assert len(patience) == 1


async def test_a_change_that_no_worker_answers_says_so(
    temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, queue = workflow("do: [{w: {wait: {hours: 1}}}]"), f"nobody-{uuid.uuid4()}"
    async with temporal_runner(temporal_address, internet, queue=queue) as runner:
        bundle, run_id = Bundle.of(dsl.parse(text), {}), f"asked-{uuid.uuid4()}"
        await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
        while (await runner.runtime.describe(run_id)).status != "waiting":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    monkeypatch.setattr(retrying, "REPLAY_TIMEOUT", timedelta(seconds=0.5))
    for work in (runner.runtime.skip(run_id, Wish(skip=True)), runner.runtime.edit(run_id, Wish(data={}))):
        with pytest.raises(Unavailable, match=f"no worker of task queue {queue} answers"):
            await work
    await runner.runtime.terminate(run_id, "enough")


async def test_a_run_that_was_ended_before_a_worker_took_it_up_is_retried_from_its_beginning(
    temporal_address: str, internet: Any
) -> None:
    bundle, run_id = (
        Bundle.of(dsl.parse(workflow("do: [{a: {set: {n: '${ .m }'}}}]")), {}),
        f"asked-{uuid.uuid4()}",
    )
    runtime = TemporalRuntime(await connect(temporal_address, "default"), run_id, search_attributes=False)
    await runtime.start(Start(run_id, bundle.graph().name, bundle, {"m": 7}))
    await runtime.terminate(run_id, "too early")
    async with temporal_runner(temporal_address, internet, queue=run_id) as runner:
        assert await runtime.standing(run_id) == ()
        with pytest.raises(Rejected, match="there is none to edit or skip"):
            await runtime.retry(run_id, Retry(Wish(skip=True)))
        await runtime.retry(run_id, Retry())
        assert (await runner.runtime.wait(run_id, 20)).output == {"n": 7}
