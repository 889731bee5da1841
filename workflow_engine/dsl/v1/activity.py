"""Lower ``call: activity``: any activity of Temporal, in any language, on a task queue of its own workers.

It is no word of the specification, to which it is a call of a function; a function of that name in ``use.functions`` is
the author's own.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from dsl_schemas import schema
from workflow_engine.dsl import bounds
from workflow_engine.dsl.lowering import KEPT_SECRET
from workflow_engine.dsl.report import Full, Path, Report
from workflow_engine.dsl.rules import compile_rules
from workflow_engine.dsl.scalar_rules import Check
from workflow_engine.dsl.source import Source
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.expressions import ExpressionError, members
from workflow_engine.graph.model import Action, Operation
from workflow_engine.values import Json

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

NAME = "activity"


@cache
def _rules() -> Check:
    return compile_rules({"$defs": schema("serverless-workflow-1.0")["$defs"], "$ref": "#/$defs/activity"})


def lower(lowering: WorkflowLowering, task: Task) -> Action:
    """A call of the activity; without ``arguments`` it has one, the input of the task."""
    given, at = dict(task.object("with")), task.at("with")
    _check(lowering, task, given)
    bounds.check_activity(lowering, given, at)
    queue = given.get("taskQueue")
    if "${" in str(queue):
        what = "a task queue as an expression (whether workflows may use it is asked when they are deployed)"
        lowering.unsupported(what, at + "/taskQueue")
    given.setdefault("arguments", ["${ . }"])
    for place in _secrets(given, at):
        message = (
            "an activity gets no secrets from a workflow: its arguments are kept in the history of the run; give the "
            "secret to its worker"
        )
        lowering.problem("invalid-expression", message, place)
        return Operation(NAME, lowering.template({}, (), at))
    return Operation(NAME, lowering.template(given, task.variables - KEPT_SECRET, at))


def _check(lowering: WorkflowLowering, task: Task, given: Json) -> None:
    """Find what is wrong with the arguments: the schema of the language leaves those of functions open."""
    document = lowering.document
    report = Report(Source(document.data, document.positions, document.text))
    path: Path = None
    for part in task.at("with").split("/")[1:]:
        path = path, part.replace("~1", "/").replace("~0", "~")
    with suppress(Full):
        _rules()(given, path, report)
    for problem in report.problems():
        lowering.problem(problem.code, problem.message, problem.pointer)


def _secrets(given: Json, at: str) -> list[str]:
    """Where the arguments have a secret, or what authentication gives."""
    with suppress(ExpressionError):
        return [place for place, _ in members(given, KEPT_SECRET, at)][:1]
    return []
