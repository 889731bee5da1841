"""The filters of a call's output, where it is made: what they leave out never comes into the history of the run.

Only the first steps can be told that need nothing of the run, or little. What is told is JSON, and `project` does it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.expressions import Expression, Template
from workflow_engine.expressions.template import unwrap
from workflow_engine.graph.model import DataStep, End, GoTo, Restore, Select, State, Transform
from workflow_engine.interpreter.evaluation import CONFIDENTIAL, pure
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import state_scope
from workflow_engine.values import Json, JsonObject, weighs

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run

MOST = 1024
"""How much data filters may use besides the output where they are told, in characters or so."""
SHOWN = 64 * 1024
"""An output of up to so much stays in the history, for people to see, also where the run does not look at it."""
_ANOTHER = re.compile(r"\s*\$[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\s*")
"""An expression that names a variable or a member of one, and nothing else."""
_HERE = CONFIDENTIAL | {"task", "output", "__correlation"}
"""Variables that are only known, or may only be known, where the run is."""


def filtered(run: Run, state: State, frame: Frame) -> tuple[JsonObject | None, int]:
    """What is told of the filters of *state*, if anything, and how many of its steps that is.

    Where the step that follows those does not look at what it is given, that is told too (``ignored``).
    """
    if state.extensions or any("task" in _variables(step) for step in state.leave):
        return None, 0
    steps: list[JsonObject] = []
    for step in state.leave:
        encoded = _encoded(step, state)
        if encoded is None or _variables(step) & _HERE:
            break
        steps.append(encoded)
    given = _told(run, state, frame, steps)
    if given is None:
        known = [number for number, step in enumerate(state.leave[: len(steps)]) if _ignores(step)]
        steps = steps[: known[0]] if known else []
        given = _told(run, state, frame, steps)
    if given is not None and len(steps) < len(state.leave) and _ignores(state.leave[len(steps)]):
        return {**given, "ignored": True}, len(steps)
    return (given, len(steps)) if steps and given is not None else (None, 0)


def _told(run: Run, state: State, frame: Frame, steps: list[JsonObject]) -> JsonObject | None:
    """The first *steps* of *state* with the variables that they use; None where those are too large."""
    names = set().union(*(_variables(step) for step in state.leave[: len(steps)]))
    scope = state_scope(run, state, frame, input=frame.input)
    variables: JsonObject = {name: scope.get(name) for name in sorted(names)}
    if weighs(variables, MOST) > MOST:
        return None
    given: JsonObject = {"steps": [*steps]}
    return {**given, "variables": variables} if variables else given


def _ignores(step: DataStep) -> bool:
    """Whether *step* makes the same of whatever comes: it goes back to what was, or plainly names another value."""
    match step:
        case Restore():
            return True
        case Transform(Expression(source=source)):
            return _ANOTHER.fullmatch(source) is not None
        case Transform(Template(source=source)):
            return _names_another(source)
        case _:
            return False


def _names_another(source: Json) -> bool:
    """Whether no expression in the template *source* looks at ``.``, as far as that is plain."""
    if isinstance(source, dict):
        return all(map(_names_another, source.values()))
    if isinstance(source, list):
        return all(map(_names_another, source))
    if not isinstance(source, str) or "${" not in source:
        return True
    inner = unwrap(source)
    return inner is not None and _ANOTHER.fullmatch(inner) is not None


def _variables(step: DataStep) -> frozenset[str]:
    what = getattr(step, "template", None) or getattr(step, "expression", None)
    return what.variables if isinstance(what, Expression | Template) else frozenset()


def _encoded(step: DataStep, state: State) -> JsonObject | None:
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
    return None if filters.get("ignored") is True and weighs(output, SHOWN) > SHOWN else output


def _expression(source: Json, scope: JsonObject, at: str) -> Expression:
    return replace(expressions.compile(str(source), variables=scope), at=at)
