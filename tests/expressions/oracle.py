"""libjq as the judge: what it answers to a program, in a form that can be compared with ours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jq

from workflow_engine import expressions
from workflow_engine.expressions import EvaluationError, ExpressionError


@dataclass(frozen=True)
class Answer:
    """*kind* is outputs, error (while running) or refused (before); *outputs* are normalized."""

    kind: str
    outputs: Any = None
    message: str = ""

    def agrees(self, other: Answer) -> bool:
        return self.kind == other.kind and self.outputs == other.outputs


def normalized(value: Any) -> Any:
    """A value whose numbers compare as doubles, apart from booleans."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        number = float(value) if abs(value) < 1e300 else math.copysign(1e300, value)
        return ("number", number)
    if isinstance(value, list):
        return [normalized(item) for item in value]
    return {key: normalized(item) for key, item in value.items()}


def ours(program: str, value: Any, **scope: Any) -> Answer:
    try:
        compiled = expressions.compile(f"[{program}\n]", variables=scope.keys())
    except ExpressionError as error:
        return Answer("refused", message=error.message)
    try:
        return Answer("outputs", normalized(compiled.evaluate(value, scope)))
    except EvaluationError as error:
        return Answer("error", message=error.message)


def libjq(program: str, value: Any, **scope: Any) -> Answer:
    names = "".join(f"$__scope.{name} as ${name} | " for name in scope)
    try:
        compiled = jq.compile(f". as $__in | $__in.scope as $__scope | {names}$__in.value | [{program}\n]")
    except (ValueError, UnicodeError) as error:
        return Answer("refused", message=str(error))
    try:
        outputs = compiled.input_value({"scope": scope, "value": value}).first()
        return Answer("outputs", normalized(outputs))
    except ValueError as error:
        return Answer("error", message=str(error))
