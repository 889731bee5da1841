"""A question about a run that a worker never sees is asked again."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from tests.running import TemporalRunner
from tests.semantics.v1.documents import workflow
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.errors import Unavailable
from workflow_engine.runtimes.temporal import asking, retrying

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
