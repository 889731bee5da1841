"""Runs of DSL 0.8 are cancelled, retried and led past a state."""

from __future__ import annotations

import pytest

from tests.running import TemporalRunner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_retrying import failed, retried, start
from tests.semantics.v1.test_control import until
from workflow_engine.engine.runtime import Retry
from workflow_engine.interpreter.retrying import Wish

pytestmark = pytest.mark.temporal


def document(far: FarSide, last: str) -> str:
    return f"""
id: ordering
name: Ordering
version: '1.0'
specVersion: '0.8'
start: book
functions:
  - {{name: book, type: custom, operation: 'rest:POST:{far.url}/book'}}
  - {{name: pay, type: custom, operation: 'rest:POST:{far.url}/pay'}}
  - {{name: undo, type: custom, operation: 'rest:POST:{far.url}/undo'}}
states:
  - name: book
    type: operation
    compensatedBy: undo
    actions: [{{name: book, functionRef: book, actionDataFilter: {{toStateData: '${{ .booked }}'}}}}]
    transition: next
  - name: undo
    type: operation
    usedForCompensation: true
    actions: [{{functionRef: undo}}]
{last}
"""


PAY = """
  - name: next
    type: operation
    actions: [{name: pay, functionRef: pay, actionDataFilter: {toStateData: '${ .paid }'}}]
    end: {compensate: true}
"""
WAIT = """
  - name: next
    type: sleep
    duration: PT1H
    onErrors: [{errorRef: any, end: {compensate: true}}]
    end: {compensate: true}
errors: [{name: any, code: '*'}]
"""


async def test_a_cancelled_run_is_caught_by_no_error_handler_and_compensates_nothing(
    runner: TemporalRunner, far: FarSide
) -> None:
    run_id = await start(runner, document(far, WAIT))
    await until(runner, run_id, "waiting")
    await runner.runtime.cancel(run_id)
    await until(runner, run_id, "cancelled")
    assert far.done == {"book": 1}


async def test_a_failed_action_is_retried_and_what_was_completed_before_is_compensated_once(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.broken = {"pay"}
    run_id = await failed(runner, document(far, PAY))
    far.broken = set()
    run = await retried(runner, run_id)
    assert run.status == "completed"
    assert far.done == {"book": 1, "pay": 1, "undo": 1}
    assert len(set(far.keys("pay"))) == 1
    assert run.output["paid"] == {"did": "pay"}


async def test_a_compensation_that_failed_goes_on_and_a_failed_state_is_skipped(
    runner: TemporalRunner, far: FarSide
) -> None:
    far.broken = {"pay", "undo"}
    run_id = await failed(runner, document(far, PAY))
    wish = Wish(state="next", skip=True, output={"by": "hand"})
    (place,) = [each.id for each in await runner.runtime.standing(run_id) if each.failed]
    run = await retried(runner, run_id, Retry(wish if place == "next" else Wish(skip=True), what="skip"))
    assert run.status == "faulted"
    far.broken = set()
    assert (await retried(runner, run_id)).status == "completed"
    assert far.done == {"book": 1, "undo": 1}
