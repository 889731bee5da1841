"""Calls: what is handed to who makes them, and what comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_engine.errors import Fault
from workflow_engine.graph.model import Operation, State
from workflow_engine.interpreter.attempts import KEY, OWN_RETRIES, Retrying, around
from workflow_engine.interpreter.dataflow import FILTERED
from workflow_engine.interpreter.effects import Attempted, Call, Place
from workflow_engine.interpreter.evaluation import arguments
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.projecting import filtered
from workflow_engine.interpreter.scope import state_scope
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


async def call(run: Run, state: State, action: Operation, frame: Frame, allowed: float | None) -> Json:
    """Make the call of *action*, within *allowed* seconds if any; its output, as far as it is filtered elsewhere."""
    made = await prepared(run, state, action, frame, allowed)
    retrying = around(frame, state)
    if retrying is not None and KEY in retrying.tried.local:
        frame.local["place"] = retrying.tried.local.pop(KEY)
    place = run.place(state, frame)
    if retrying is not None:
        retrying.key = place.id
    frame.doing = f"calling {action.kind}"
    done = 0
    if run.effects.delegates and action.wait and action.kind not in OWN_RETRIES:
        given, done = filtered(run, state, frame)
        if retrying is not None and retrying.plan is not None:
            retrying.counted = retrying.counted or done < len(state.leave)
            made = replace(made, attempts={**retrying.plan, "counted": retrying.counted})
        made = replace(made, filtered=given)
    if made.attempts is None or retrying is None:
        output = await run.effects.call(made, place)
    else:
        output = await _attempted(run, retrying, made, place)
    if done:
        frame.local[FILTERED] = done
    return output


async def _attempted(run: Run, retrying: Retrying, made: Call, place: Place) -> Json:
    """Make a call with all its attempts, and remember how many there have been."""
    local = retrying.tried.local
    try:
        output = await run.effects.call(made, place)
    except Attempted as failed:
        retrying.told = failed.told
        _remember(local, failed.told)
        raise Fault(failed.error) from None
    if not retrying.counted:
        return output
    assert isinstance(output, dict)
    _remember(local, output)
    return output["output"]


def _remember(local: JsonObject, told: JsonObject) -> None:
    local["retries"] = told["retries"]
    if told.get("before") is not None:
        local["delay"] = told["before"]


async def prepared(run: Run, state: State, action: Operation, frame: Frame, allowed: float | None) -> Call:
    """The call that *action* makes, with its arguments and what is pinned for it."""
    scope = state_scope(run, state, frame, input=frame.input)
    given, deferred = await arguments(run, action, frame.input, scope)
    resources = {name: run.graph.resources[name] for name in action.resources if name in run.graph.resources}
    return Call(action.kind, given, resources, allowed, deferred, action.wait)
