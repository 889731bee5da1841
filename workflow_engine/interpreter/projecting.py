"""The filters of a call's output, where it is made: what they leave out never comes into the history of the run.

Only the first steps can be told that need nothing of the run, or little. What is told is JSON, and `project` does it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.expressions import Expression, Template
from workflow_engine.graph.model import DataStep, End, GoTo, Select, State, Transform
from workflow_engine.interpreter.evaluation import CONFIDENTIAL, pure
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import state_scope
from workflow_engine.values import Json, JsonObject, weighs

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run

MOST = 1024
"""How much data filters may use besides the output where they are told, in characters or so."""
_HERE = CONFIDENTIAL | {"task", "output", "__correlation"}
"""Variables that are only known, or may only be known, where the run is."""


def filtered(run: Run, state: State, frame: Frame) -> tuple[JsonObject | None, int]:
    """What is told of the filters of *state*, if anything, and how many of its steps that is."""
    told: list[Json] = []
    names: set[str] = set()
    if state.extensions or any("task" in _variables(step) for step in state.leave):
        return None, 0
    for step in state.leave:
        encoded = _encoded(step, state)
        if encoded is None or _variables(step) & _HERE:
            break
        told.append(encoded)
        names |= _variables(step)
    if not told:
        return None, 0
    scope = state_scope(run, state, frame, input=frame.input)
    variables: JsonObject = {name: scope.get(name) for name in sorted(names)}
    if weighs(variables, MOST) > MOST:
        return None, 0
    given: JsonObject = {"steps": told}
    if variables:
        given["variables"] = variables
    return given, len(told)


def _variables(step: DataStep) -> frozenset[str]:
    what = getattr(step, "template", None) or getattr(step, "expression", None)
    return what.variables if isinstance(what, Expression | Template) else frozenset()


def _encoded(step: DataStep, state: State) -> Json:
    match step:
        case Transform(template):
            key = "jq" if isinstance(template, Expression) else "as"
            return {key: template.source, "at": template.at}
        case Select(expression, wrap):
            ends = isinstance(state.next, End) or (isinstance(state.next, GoTo) and state.next.ends)
            return {"select": expression.source, "at": expression.at, "wrap": None if ends else wrap}
        case _:
            return None


def project(filters: JsonObject, output: Json, now: float) -> Json:
    """What the *filters* that `filtered` told make of *output*; a `Fault` where one of them fails."""
    steps, variables = filters["steps"], filters.get("variables", {})
    assert isinstance(steps, list)
    assert isinstance(variables, dict)
    scope: JsonObject = {**variables, "__now": now}
    for step in steps:
        assert isinstance(step, dict)
        at = str(step["at"])
        if "select" in step:
            selected = pure(_expression(step["select"], scope, at), output, scope)
            wrap = step["wrap"]
            if selected is not None:
                output = (
                    {wrap: selected}
                    if isinstance(wrap, str) and wrap and not isinstance(selected, dict)
                    else selected
                )
        elif "jq" in step:
            output = pure(_expression(step["jq"], scope, at), output, scope)
        else:
            template = expressions.template(step["as"], variables=scope)
            output = pure(replace(template, at=at), output, scope)
    return output


def _expression(source: Json, scope: JsonObject, at: str) -> Expression:
    return replace(expressions.compile(str(source), variables=scope), at=at)
