"""Faults and what is done about them: `Raise`, `Try`, retries (dsl.md §1.11, decisions A21-A30)."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from workflow_engine.errors import Error, Fault, fault
from workflow_engine.expressions import Expression
from workflow_engine.graph.model import Catch, Retry, State, Transition, Try
from workflow_engine.interpreter.attempts import KEY, Retrying, fits, grown, matches, one_call, planned, whole
from workflow_engine.interpreter.effects import Expired, Place
from workflow_engine.interpreter.evaluation import evaluate, holds, seconds
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import Scope, state_scope
from workflow_engine.interpreter.showing import remember_failure
from workflow_engine.values import Json, JsonObject, shown

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


__all__ = ["accepts", "attempt", "matches", "raised", "rescued"]


def raised(error: Json) -> Fault:
    """The fault of a ``raise``: *error* is the evaluated definition; the author's instance is kept (A30)."""
    if not isinstance(error, dict):
        return fault("expression", f"an error must be an object, not {shown(error)}")
    type, status = error.get("type"), error.get("status")
    whole = isinstance(status, int | float) and not isinstance(status, bool) and status == int(status)
    if not isinstance(type, str) or not whole:
        return fault(
            "expression", f"an error needs a type (text) and a status (whole number), not {shown(error)}"
        )
    assert isinstance(status, int | float)
    title, detail, instance = (_text(error.get(name)) for name in ("title", "detail", "instance"))
    return Fault(Error(type, int(status), title, detail, instance))


def _text(value: Json) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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
            _retried(run, state, frame)
        while True:
            retrying = _retrying(run, state, action, frame)
            try:
                return await _body(run, state, action, frame, retrying), state.next
            except Fault as raised_fault:
                tried = frame.children.pop("try", None)
                local.pop("attempt", None)
                caught = raised_fault.at(state.id)
            told = None if retrying is None else retrying.told
            if retrying is not None and retrying.key is not None:
                local[KEY] = retrying.key
            if catch.retry is not None:
                remember_failure(run, frame, str(caught))
            if told is not None and "wait" in told:
                await _wait_again(run, state, frame, told["wait"], action.catch.retry, told.get("whole"))
                _retried(run, state, frame)
                continue
            spent = told is not None and "undecided" not in told
            error = caught.error.to_json()
            scope = state_scope(run, state, frame, input=frame.input, **{catch.variable: error})
            if not await accepts(run, catch, error, scope):
                local.pop(KEY, None)
                _uncaught(frame, tried)
                raise caught
            if (
                catch.retry is not None
                and not spent
                and await _again(run, state, catch.retry, frame, error, scope, began)
            ):
                _retried(run, state, frame)
                continue
            local.pop(KEY, None)
            if catch.retry is not None and catch.body is None and catch.then is None:
                _uncaught(frame, tried)
                raise caught
            local["error"] = error
            break
    error_data = local["error"]
    then = catch.then if catch.then is not None else state.next
    if catch.body is None:
        return frame.input, then
    child = frame.child("catch", catch.body.id, frame.input, {catch.variable: error_data})
    output, _ = await run.walk(catch.body, child)
    return output, then


def _uncaught(frame: Frame, tried: Frame | None) -> None:
    """Keep where the body stood when it faulted: from there somebody may retry it."""
    if tried is not None:
        frame.children["try"] = tried


def _retried(run: Run, state: State, frame: Frame) -> None:
    if run.lifecycle is not None:
        run.lifecycle.retried(state, frame)


def _retrying(run: Run, state: State, action: Try, frame: Frame) -> Retrying | None:
    """The attempts of *action* if it is around one call, with what is told of its policy to who makes that."""
    path = one_call(action) if run.effects.semantics > 2 else ()
    if not path:
        return None
    plan = planned(run, state, action, frame, path)
    counted = any(part.leave for part in path)
    return Retrying(frame, path[-1].id, plan, counted)


async def _body(run: Run, state: State, action: Try, frame: Frame, retrying: Retrying | None) -> Json:
    child = frame.child("try", action.body.id, frame.input)
    child.retrying = retrying
    walk = partial(run.walk, action.body, child)
    if retrying is not None and retrying.plan is not None:
        output, _ = await walk()
        return output
    limit = action.catch.retry.attempt_timeout if action.catch.retry is not None else None
    if limit is None:
        output, _ = await walk()
    else:
        now = run.effects.now().timestamp()
        until = frame.local.get("attempt")
        if not isinstance(until, float):
            scope = state_scope(run, state, frame, input=frame.input)
            until = frame.local["attempt"] = now + await seconds(limit, frame.input, scope, run)
        place = Place(f"{state.id}/attempt", state.id, f"attempt of {state.name}")
        try:
            output, _ = await run.effects.within(max(0.0, until - now), walk, place)
        except Expired:
            raise fault("timeout", f"an attempt of {state.name!r} took longer than it may") from None
    return output


async def accepts(run: Run, catch: Catch, error: JsonObject, scope: Scope) -> bool:
    """Whether *catch* takes *error*: its filter by equality, then ``when`` and ``exceptWhen`` on the error."""
    if catch.errors is not None and not any(matches(wanted, error) for wanted in catch.errors):
        return False
    if any(matches(wanted, error) for wanted in catch.except_errors):
        return False
    if catch.with_ is not None and not fits(await evaluate(catch.with_, error, scope), error):
        return False
    if catch.when is not None and not await holds(catch.when, error, scope, strict=False):
        return False
    return catch.except_when is None or not await holds(catch.except_when, error, scope, strict=False)


def rescued(state: State, caught: Fault) -> Transition | None:
    """Where ``onErrors`` of DSL 0.8 leads with a fault of *state*: with the data that the state got."""
    if not state.rescues:
        return None
    error = caught.error.to_json()
    for rescue in state.rescues:
        if any(matches(wanted, error) for wanted in rescue.errors):
            return rescue.then
    return None


async def _again(
    run: Run, state: State, retry: Retry, frame: Frame, error: JsonObject, scope: Scope, began: float
) -> bool:
    """Wait for the next attempt; False when there is none. Every limit is checked before waiting (A27)."""
    tried = frame.local.setdefault("retries", 0)
    assert isinstance(tried, int)
    limit = await _limit(retry, frame.input, scope)
    if limit is not None and tried >= limit:
        return False
    if retry.when is not None and not await holds(retry.when, error, scope, strict=False):
        return False
    if retry.except_when is not None and await holds(retry.except_when, error, scope, strict=False):
        return False
    wait = await _delay(run, retry, tried + 1, frame, scope)
    if retry.budget is not None:
        spent = run.effects.now().timestamp() - began
        if spent + wait > await seconds(retry.budget, frame.input, scope, run):
            return False
    await _wait_again(run, state, frame, wait, retry)
    return True


async def _wait_again(
    run: Run, state: State, frame: Frame, wait: Json, retry: Retry | None, whole: Json = None
) -> None:
    """Wait until the next attempt is due, and count it; *wait* may be what is left of a *whole* delay."""
    tried = frame.local.setdefault("retries", 0)
    assert isinstance(tried, int)
    assert isinstance(wait, float | int)
    frame.local["retries"] = tried + 1
    if retry is not None and retry.backoff == "progressive":
        frame.local["delay"] = wait if whole is None else whole
    frame.doing = f"waiting to retry, {tried + 1} so far"
    if wait > 0:
        await run.pause(frame, wait, state, "retry")


async def _limit(retry: Retry, data: Json, scope: Scope) -> int | None:
    """How many retries there are at most; an expression yields a whole number."""
    if not isinstance(retry.limit, Expression):
        return retry.limit
    return whole(await evaluate(retry.limit, data, scope))


async def _delay(run: Run, retry: Retry, number: int, frame: Frame, scope: Scope) -> float:
    """How long before retry *number*, from 1 (A28, B13)."""
    data = frame.input
    base = await seconds(retry.delay, data, scope, run) if retry.delay is not None else 0.0
    step = await seconds(retry.increment, data, scope, run) if retry.increment is not None else None
    before = frame.local.get("delay")
    delay = grown(
        retry.backoff, retry.factor, number, base, step, before if isinstance(before, float | int) else None
    )
    if retry.max_delay is not None:
        delay = min(delay, await seconds(retry.max_delay, data, scope, run))
    if retry.jitter is not None:
        low, high = [await seconds(edge, data, scope, run) for edge in retry.jitter]
        delay += low + (high - low) * run.effects.random()
    if retry.spread is not None:
        spread = (
            delay * retry.spread
            if isinstance(retry.spread, float)
            else await seconds(retry.spread, data, scope, run)
        )
        delay = max(0.0, delay + spread * (2 * run.effects.random() - 1))
    return delay
