"""jq, made safe to run inside a workflow: compiled once, pure, bounded, and with the place of each error."""

from __future__ import annotations

from workflow_engine.expressions.equalities import equality
from workflow_engine.expressions.errors import EvaluationError, ExpressionError, LimitExceeded
from workflow_engine.expressions.expression import Expression, compile
from workflow_engine.expressions.inputs import reads_input
from workflow_engine.expressions.limits import Purse
from workflow_engine.expressions.members import members
from workflow_engine.expressions.paths import assignment_path
from workflow_engine.expressions.schemas import Schema, check_schema, missing_references
from workflow_engine.expressions.template import Template, expression_slot, template, translated, unwrap

__all__ = [
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "LimitExceeded",
    "Purse",
    "Schema",
    "Template",
    "assignment_path",
    "check_schema",
    "compile",
    "equality",
    "expression_slot",
    "members",
    "missing_references",
    "reads_input",
    "template",
    "translated",
    "unwrap",
]
