"""What happens to the data on its way into a state and out of it (dsl.md §1.3, §2.6).

Raw input, transformed input, raw output, transformed output: each step of `graph.model` is applied here,
and an expression that fails becomes a fault.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from typing import TYPE_CHECKING, assert_never

from workflow_engine.errors import Fault, fault
from workflow_engine.graph.model import (
    DataStep,
    Export,
    Merge,
    Path,
    Restore,
    Select,
    State,
    Transform,
    Validate,
)
from workflow_engine.interpreter import growth
from workflow_engine.interpreter.effects import Progress
from workflow_engine.interpreter.evaluation import evaluate
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import RESULT, Scope, state_scope
from workflow_engine.values import Json, deep_merge

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


_DECIMAL = 6
"""From which semantics on (`dsl.bundle.SEMANTICS`) ``multipleOf`` of a schema goes by decimal digits."""
FILTERED = "filtered"
"""What a frame remembers of a call: how many of the steps that its output goes through are done."""


async def enter(run: Run, state: State, frame: Frame) -> Json:
    """What the action of *state* sees of the frame's raw data."""
    data = frame.data
    for step in state.enter:
        # Only the arguments of a function may name `$input`: what ``input.from`` made (checked when compiled).
        data = await apply(step, data, frame, state_scope(run, state, frame, input=data))
    return data


async def leave(run: Run, state: State, frame: Frame, output: Json, *, ends: bool = False) -> Json:
    """What the next state sees of *output*, the raw output of *state*.

    *ends*: there is no next state; what the last filter selects is the run's output as it is (decision B1).
    """
    data = output
    done = frame.local.pop(FILTERED, 0)
    assert isinstance(done, int)
    for step in state.leave[done:]:
        known = {"input": frame.input, "__raw_output": output}
        if isinstance(step, Export):
            known["output"] = data
        if ends and isinstance(step, Select):
            step = Select(step.expression)
        data = await apply(step, data, frame, state_scope(run, state, frame, **known))
    return data


async def shaped(run: Run, steps: Several[DataStep], data: Json, scope: Scope, at: str) -> Json:
    """Do the workflow's own data *steps*; a fault of theirs has its place in the document too.

    What is wrong with data that may be so is only told.
    """
    try:
        for step in steps:
            if isinstance(step, Validate) and step.given and run.seeds:
                continue
            if isinstance(step, Validate) and not step.fatal:
                for problem in step.schema.problems(data):
                    told = f"the {step.what}: {problem}"
                    run.effects.note(Progress("invalid", "", told, run.effects.now()))
                continue
            data = await apply(step, data, run.root, scope)
    except Fault as raised:
        raise raised.at(at) from None
    return data


async def apply(step: DataStep, data: Json, frame: Frame, scope: Scope) -> Json:
    """Do one data *step*; the frame's raw data is what `Merge` and `Restore` go back to."""
    match step:
        case Validate(schema, what):
            seen = frame.owner.context if what == "context" else data
            problems = schema.problems(
                seen, decimal=scope.run is None or scope.run.effects.semantics >= _DECIMAL
            )
            if problems:
                raise fault("validation", f"the {what} does not match its schema: {'; '.join(problems)}")
            return data
        case Transform(template):
            return await evaluate(template, data, scope)
        case Select(expression, wrap):
            selected = await evaluate(expression, data, scope)
            if selected is None:
                return data
            return {wrap: selected} if wrap and not isinstance(selected, dict) else selected
        case Export(template):
            frame.owner.context = await evaluate(template, data, scope)
            return data
        case Merge(path, name):
            frame.variables[RESULT] = data
            merged = merge(frame.data, data, path, name)
            growth.made(frame, 2, merged)
            return merged
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
