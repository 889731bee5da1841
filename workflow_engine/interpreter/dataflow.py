"""What happens to the data on its way into a state and out of it (dsl.md §1.3, §2.6).

Raw input, transformed input, raw output, transformed output: each step of `graph.model` is applied here,
and an expression that fails becomes a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, assert_never

from workflow_engine.errors import Fault, fault
from workflow_engine.expressions import EvaluationError, Expression, Template
from workflow_engine.graph.model import (
    DataStep,
    Export,
    Merge,
    Path,
    Restore,
    Select,
    State,
    Timing,
    Transform,
    Validate,
)
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import state_scope
from workflow_engine.values import Duration, Json, deep_merge

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run

RESULT = "__result"
"""The variable of a frame that holds the last action's filtered result, for ``foreach`` of 0.8 (B25)."""


def evaluate(what: Expression | Template, value: Json, scope: Mapping[str, Json]) -> Json:
    """What *what* yields for *value*; an expression that fails is an expression fault."""
    try:
        return what.evaluate(value, scope)
    except EvaluationError as error:
        raise _expression_fault(what, error) from None


def holds(condition: Expression, value: Json, scope: Mapping[str, Json], *, strict: bool) -> bool:
    """Whether *condition* is true of *value*: as jq sees truth, or *strict*, true and false only (A4)."""
    try:
        if not strict:
            return condition.test(value, scope)
        outcome = condition.first(value, scope)
    except EvaluationError as error:
        raise _expression_fault(condition, error) from None
    if isinstance(outcome, bool):
        return outcome
    raise fault("expression", f"the condition {condition.source!r} must yield true or false, not {outcome!r}")


def _expression_fault(what: Expression | Template, error: EvaluationError) -> Fault:
    where = f" in {what.source!r}" if isinstance(what, Expression) else ""
    return fault("expression", f"{error}{where}")


def seconds(timing: Timing, value: Json, scope: Mapping[str, Json], run: Run) -> float:
    """How long *timing* is from now; an expression must yield ISO 8601 text."""
    if isinstance(timing, Duration):
        return timing.seconds_from(run.effects.now())
    text = evaluate(timing, value, scope)
    try:
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is not an ISO 8601 duration such as PT1H30M or P2D")
        return Duration.parse(text).seconds_from(run.effects.now())
    except (TypeError, ValueError) as error:
        raise fault("expression", f"{error}, from {timing.source!r}") from None


def enter(run: Run, state: State, frame: Frame) -> Json:
    """What the action of *state* sees of the frame's raw data."""
    data = frame.data
    for step in state.enter:
        # Only the arguments of a function may name `$input`: what ``input.from`` made (checked when compiled).
        data = apply(step, data, frame, state_scope(run, state, frame, input=data))
    return data


def leave(run: Run, state: State, frame: Frame, output: Json, *, ends: bool = False) -> Json:
    """What the next state sees of *output*, the raw output of *state*.

    *ends*: there is no next state; what the last filter selects is the run's output as it is (decision B1).
    """
    data = output
    for step in state.leave:
        known = {"input": frame.input, "__raw_output": output}
        if isinstance(step, Export):
            known["output"] = data
        if ends and isinstance(step, Select):
            step = Select(step.expression)
        data = apply(step, data, frame, state_scope(run, state, frame, **known))
    return data


def apply(step: DataStep, data: Json, frame: Frame, scope: Mapping[str, Json]) -> Json:
    """Do one data *step*; the frame's raw data is what `Merge` and `Restore` go back to."""
    match step:
        case Validate(schema, what):
            problems = schema.problems(frame.owner.context if what == "context" else data)
            if problems:
                raise fault("validation", f"the {what} does not match its schema: {'; '.join(problems)}")
            return data
        case Transform(template):
            return evaluate(template, data, scope)
        case Select(expression, wrap):
            selected = evaluate(expression, data, scope)
            if selected is None:
                return data
            return {wrap: selected} if wrap and not isinstance(selected, dict) else selected
        case Export(template):
            frame.owner.context = evaluate(template, data, scope)
            return data
        case Merge(path, name):
            frame.variables[RESULT] = data
            return merge(frame.data, data, path, name)
        case Restore():
            return frame.data
        case _:
            assert_never(step)


def merge(state_data: Json, result: Json, path: Path, name: str) -> Json:
    """Merge *result* into *state_data* at *path*; at the root, what is no object goes under *name* (B2)."""
    if not path:
        if result is None:
            return state_data
        if isinstance(state_data, dict) and not isinstance(result, dict):
            result = {name: result}
        return deep_merge(state_data, result)
    return put(state_data, path, result, join=True)


def kind(value: Json) -> str:
    """What kind of JSON *value* is, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def put(target: Json, path: Path, value: Json, *, join: bool) -> Json:
    """Set *value* at *path* in a copy of *target*; *join* merges it with what is there. Parents are made."""
    if not path:
        return deep_merge(target, value) if join and target is not None else value
    first, rest = path[0], path[1:]
    if isinstance(first, int):
        if target is not None and not isinstance(target, list):
            raise fault("expression", f"cannot set [{first}] in {kind(target)}")
        items = list(target or ())
        if first < -len(items):
            raise fault("expression", f"cannot set [{first}] in an array of {len(items)}")
        if first > len(items) + 10_000:
            raise fault("expression", f"index {first} is far beyond the end of the array")
        items += [None] * (first + 1 - len(items))
        items[first] = put(items[first], rest, value, join=join)
        return items
    members = dict(target) if isinstance(target, dict) else {}
    if target is not None and not isinstance(target, dict):
        raise fault("expression", f"cannot set {first!r} in {kind(target)}")
    members[first] = put(members.get(first), rest, value, join=join)
    return members
