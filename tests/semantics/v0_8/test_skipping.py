"""States of DSL 0.8 are skipped while they are under way: what was completed is undone, and they are not."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_engine.interpreter.retrying import Wish


def document(first: str) -> str:
    return f"""
id: led
name: Led
version: '1.0'
specVersion: '0.8'
start: first
events:
  - {{name: never, type: never, source: t, kind: consumed}}
  - {{name: asked, type: asked, source: t, kind: produced}}
errors: [{{name: any, code: '*'}}]
functions: [{{name: undo, type: expression, operation: '{{undone: true}}'}}]
states:
  - name: first
{first}
    transition: last
  - {{name: undoing, type: inject, data: {{undone: true}}, usedForCompensation: true}}
  - {{name: failed, type: inject, data: {{failed: true}}, end: true}}
  - {{name: last, type: inject, data: {{end: 1}}, end: true}}
"""


CALLBACK = """
    type: callback
    action: {eventRef: {triggerEventRef: asked}}
    eventRef: never
"""
EVENT = """
    type: event
    onEvents: [{eventRefs: [never], actions: []}]
    timeouts: {eventTimeout: PT5H}
    onErrors: [{errorRef: any, transition: failed}]
"""
SLEEP = """
    type: sleep
    duration: PT5H
    compensatedBy: undoing
"""
PARALLEL = """
    type: parallel
    branches:
      - {name: one, actions: [{functionRef: undo, sleep: {before: PT5H}}]}
      - {name: two, actions: [{functionRef: undo, sleep: {before: PT6H}}]}
"""


@pytest.mark.parametrize(
    ("state", "at", "name"),
    [
        (CALLBACK, "0", "first"),
        (EVENT, "0", "first"),
        (SLEEP, "0", "first"),
        (PARALLEL, "before", "before undo"),
    ],
)
async def test_a_state_ends_with_the_data_that_is_given(run: Any, state: str, at: str, name: str) -> None:
    wish = Wish("/states/0", skip=True, output={"n": 1})
    command = (at if run.name == "local" else name, "skip", wish)
    ended = await run(document(state), {}, commands=[command])
    assert (ended.status, ended.output) == ("completed", {"n": 1, "end": 1}), ended.error
