"""Faults and what is done about them: `Raise`, `Try`, retries (dsl.md §1.11, decisions A21-A30)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from workflow_engine.errors import Error, Fault, canonical_type, fault
from workflow_engine.graph.model import Catch, Retry, State, Transition, Try
from workflow_engine.interpreter.dataflow import evaluate, holds, seconds
from workflow_engine.interpreter.effects import Expired, Place
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import Scope, state_scope
from workflow_engine.values import Json, JsonObject, deep_equal

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


def raised(error: Json) -> Fault:
    """The fault of a ``raise``: *error* is the evaluated definition; the author's instance is kept (A30)."""
    if not isinstance(error, dict):
        return fault("expression", f"an error must be an object, not {error!r}")
    type, status = error.get("type"), error.get("status")
    if not isinstance(type, str) or isinstance(status, bool) or not isinstance(status, int):
        return fault("expression", f"an error needs a type (text) and a status (whole number), not {error!r}")
    members = {name: error.get(name) for name in ("title", "detail", "instance")}
    text = {
        name: value if isinstance(value, str) or value is None else str(value)
        for name, value in members.items()
    }
    return Fault(Error(type, status, text["title"], text["detail"], text["instance"]))


async def attempt(run: Run, state: State, action: Try, frame: Frame) -> tuple[Json, Transition]:
    """Run the body until it succeeds, is not retried, or is not caught (decision A24).

    First the filter, then retries, then the handler; a caught fault with neither is swallowed, one whose
    retries are spent and that neither a handler nor a ``then`` awaits goes on.
    """
    catch, local = action.catch, frame.local
    if "error" not in local:
        began = local.setdefault("began", run.effects.now().timestamp())
        assert isinstance(began, float)
        if "until" in local:  # stopped and gone on with between two attempts
            await run.pause(frame, 0.0, state, "retry")
        while True:
            try:
                return await _body(run, state, action, frame), state.next
            except Fault as raised_fault:
                frame.children.pop("try", None)
                local.pop("attempt", None)
                caught = raised_fault.at(state.id)
            error = caught.error.to_json()
            scope = state_scope(run, state, frame, input=frame.input, **{catch.variable: error})
            if not accepts(run, catch, error, scope):
                raise caught
            if catch.retry is not None and await _again(run, state, catch.retry, frame, error, scope, began):
                continue
            if catch.retry is not None and catch.body is None and catch.then is None:
                raise caught
            local["error"] = error
            break
    error_data = local["error"]
    then = catch.then if catch.then is not None else state.next
    if catch.body is None:
        return frame.input, then
    child = frame.child("catch", catch.body.id, frame.input, {catch.variable: error_data})
    output, _ = await run.walk(catch.body, child)
    frame.children.pop("catch", None)
    return output, then


async def _body(run: Run, state: State, action: Try, frame: Frame) -> Json:
    child = frame.child("try", action.body.id, frame.input)
    walk = partial(run.walk, action.body, child)
    limit = action.catch.retry.attempt_timeout if action.catch.retry is not None else None
    if limit is None:
        output, _ = await walk()
    else:
        now = run.effects.now().timestamp()
        until = frame.local.get("attempt")
        if not isinstance(until, float):
            scope = state_scope(run, state, frame, input=frame.input)
            until = frame.local["attempt"] = now + seconds(limit, frame.input, scope, run)
        place = Place(f"{state.id}/attempt", state.id, f"attempt of {state.name}")
        try:
            output, _ = await run.effects.within(max(0.0, until - now), walk, place)
        except Expired:
            raise fault("timeout", f"an attempt of {state.name!r} took longer than it may") from None
    frame.children.pop("try", None)
    return output


def accepts(run: Run, catch: Catch, error: JsonObject, scope: Scope) -> bool:
    """Whether *catch* takes *error*: its filter by equality, then ``when`` and ``exceptWhen`` on the error."""
    if catch.with_ is not None:
        wanted = evaluate(catch.with_, error, scope)
        assert isinstance(wanted, dict)
        for name, value in wanted.items():
            present = error.get("detail" if name == "details" else name)
            if name == "type" and isinstance(value, str) and isinstance(present, str):
                value, present = canonical_type(value), canonical_type(present)
            if not deep_equal(present, value):
                return False
    if catch.when is not None and not holds(catch.when, error, scope, strict=False):
        return False
    return catch.except_when is None or not holds(catch.except_when, error, scope, strict=False)


async def _again(
    run: Run, state: State, retry: Retry, frame: Frame, error: JsonObject, scope: Scope, began: float
) -> bool:
    """Wait for the next attempt; False when there is none. Every limit is checked before waiting (A27)."""
    tried = frame.local.setdefault("retries", 0)
    assert isinstance(tried, int)
    if retry.limit is not None and tried >= retry.limit:
        return False
    if retry.when is not None and not holds(retry.when, error, scope, strict=False):
        return False
    if retry.except_when is not None and holds(retry.except_when, error, scope, strict=False):
        return False
    wait = _delay(run, retry, tried + 1, frame.input, scope)
    if retry.budget is not None:
        spent = run.effects.now().timestamp() - began
        if spent + wait > seconds(retry.budget, frame.input, scope, run):
            return False
    frame.local["retries"] = tried + 1
    frame.doing = f"waiting to retry, {tried + 1} so far"
    if wait > 0:
        await run.pause(frame, wait, state, "retry")
    return True


def _delay(run: Run, retry: Retry, number: int, data: Json, scope: Scope) -> float:
    """How long before retry *number*, from 1: constant d, linear d·n, exponential d·2^(n-1) (A28)."""
    base = seconds(retry.delay, data, scope, run) if retry.delay is not None else 0.0
    match retry.backoff:
        case "linear":
            step = seconds(retry.increment, data, scope, run) if retry.increment is not None else base
            delay = base + step * (number - 1)
        case "exponential":
            delay = base * min(retry.factor ** min(number - 1, 64), 1e12)
        case _:
            delay = base
    if retry.max_delay is not None:
        delay = min(delay, seconds(retry.max_delay, data, scope, run))
    if retry.jitter is not None:
        low, high = (seconds(edge, data, scope, run) for edge in retry.jitter)
        delay += low + (high - low) * run.effects.random()
    return delay
