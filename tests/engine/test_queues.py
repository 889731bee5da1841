"""Activities of other workers are called where the operator lets workflows call them."""

from __future__ import annotations

import pytest

from workflow_engine import dsl
from workflow_engine.engine.queues import Queues

DOCUMENT = """
document: {dsl: '1.0.3', namespace: test, name: test, version: '1.0.0'}
use:
  extensions: [{e: {extend: set, before: [{b: {call: activity, with: {type: note, taskQueue: mail}}}]}}]
do:
  - a: {call: activity, with: {type: charge, taskQueue: payments}}
  - s: {set: {x: 1}}
"""


@pytest.mark.parametrize(
    ("queues", "refused"),
    [
        (Queues(None, "workflows"), []),
        (Queues({"payments", "mail"}, "workflows"), []),
        (Queues({"payments"}, "workflows"), ["/use/extensions/0/e/before/0/b"]),
        (Queues((), "workflows"), ["/do/0/a", "/use/extensions/0/e/before/0/b"]),
        (Queues(None, "payments"), ["/do/0/a"]),
        (Queues({"payments", "mail"}, "payments"), ["/do/0/a"]),
    ],
)
def test_a_workflow_calls_activities_of_the_allowed_task_queues_only(
    queues: Queues, refused: list[str]
) -> None:
    document = dsl.parse(DOCUMENT)
    found = queues.refused(document, dsl.compile(document))
    assert [problem.pointer for problem in found] == refused
    assert {problem.code for problem in found} <= {"activity-not-allowed"}
