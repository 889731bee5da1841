"""Faults and what is done about them: `Raise`, `Try`, retries (dsl.md §1.11, decisions A21-A30)."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from workflow_engine.errors import ERRORS, Error, Fault, canonical_type, fault
from workflow_engine.expressions import Expression
from workflow_engine.graph.model import Catch, ErrorMatch, Retry, State, Transition, Try
from workflow_engine.interpreter.effects import Expired, Place
from workflow_engine.interpreter.evaluation import evaluate, holds, seconds
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import Scope, state_scope
from workflow_engine.values import Json, JsonObject, deep_equal

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


LONGEST_DELAY = 366 * 86_400.0
"""A delay that grows without a bound of its own stops growing at a year, in seconds."""


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
            _retried(run, state, frame)
        while True:
            try:
                return await _body(run, state, action, frame), state.next
            except Fault as raised_fault:
                tried = frame.children.pop("try", None)
                local.pop("attempt", None)
                caught = raised_fault.at(state.id)
            error = caught.error.to_json()
            scope = state_scope(run, state, frame, input=frame.input, **{catch.variable: error})
            if not await accepts(run, catch, error, scope):
                _uncaught(frame, tried)
                raise caught
            if catch.retry is not None and await _again(run, state, catch.retry, frame, error, scope, began):
                _retried(run, state, frame)
                continue
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
    frame.children.pop("catch", None)
    return output, then


def _uncaught(frame: Frame, tried: Frame | None) -> None:
    """Keep where the body stood when it faulted: from there somebody may retry it."""
    if tried is not None:
        frame.children["try"] = tried


def _retried(run: Run, state: State, frame: Frame) -> None:
    if run.lifecycle is not None:
        run.lifecycle.retried(state, frame)


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
            until = frame.local["attempt"] = now + await seconds(limit, frame.input, scope, run)
        place = Place(f"{state.id}/attempt", state.id, f"attempt of {state.name}")
        try:
            output, _ = await run.effects.within(max(0.0, until - now), walk, place)
        except Expired:
            raise fault("timeout", f"an attempt of {state.name!r} took longer than it may") from None
    frame.children.pop("try", None)
    return output


async def accepts(run: Run, catch: Catch, error: JsonObject, scope: Scope) -> bool:
    """Whether *catch* takes *error*: its filter by equality, then ``when`` and ``exceptWhen`` on the error."""
    if catch.errors is not None and not any(matches(wanted, error) for wanted in catch.errors):
        return False
    if any(matches(wanted, error) for wanted in catch.except_errors):
        return False
    if catch.with_ is not None:
        wanted = await evaluate(catch.with_, error, scope)
        assert isinstance(wanted, dict)
        for name, value in wanted.items():
            present = error.get("detail" if name == "details" else name)
            if name == "type" and isinstance(value, str) and isinstance(present, str):
                value, present = canonical_type(value), canonical_type(present)
            if not deep_equal(present, value):
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


def matches(wanted: ErrorMatch, error: JsonObject) -> bool:
    """Whether *error* is the one that a definition of DSL 0.8 means (decision B15).

    A code is compared with the status, the last part of the type and the title, a name with the last two, without
    case. ``HTTP:404`` is understood as 404, and ``TimeoutError`` is what a timeout is called.
    """
    if wanted.name == "*":
        return True
    type, title = str(error.get("type")), str(error.get("title") or "")
    tail = re.split(r"[/#:]", type.rstrip("/"))[-1]
    if wanted.code is not None:
        code = wanted.code.removeprefix("HTTP:")
        if code in (str(error.get("status")), tail, title, type):
            return True
        # what a registered function raised, by its text, or by its class as Java has it
        if str(error.get("detail")).endswith(f": {code}") or (
            "." in code and code.rpartition(".")[2] == title
        ):
            return True
    called = {tail.casefold(), title.casefold(), type.casefold()}
    if canonical_type(type) == canonical_type(ERRORS + "timeout"):
        called.add("timeouterror")
    return wanted.name.casefold() in called


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
    frame.local["retries"] = tried + 1
    if retry.backoff == "progressive":
        frame.local["delay"] = wait
    frame.doing = f"waiting to retry, {tried + 1} so far"
    if wait > 0:
        await run.pause(frame, wait, state, "retry")
    return True


async def _limit(retry: Retry, data: Json, scope: Scope) -> int | None:
    """How many retries there are at most; an expression yields a whole number."""
    if not isinstance(retry.limit, Expression):
        return retry.limit
    limit = await evaluate(retry.limit, data, scope)
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit != int(limit):
        raise fault("expression", f"a number of retries must be a whole number, not {limit!r}")
    return int(limit)


async def _delay(run: Run, retry: Retry, number: int, frame: Frame, scope: Scope) -> float:
    """How long before retry *number*, from 1: constant d, linear d·n, exponential d·2^(n-1) (A28).

    Progressive: the first is d, each other one (the one before + increment) · factor (B13).
    """
    data = frame.input
    base = await seconds(retry.delay, data, scope, run) if retry.delay is not None else 0.0
    match retry.backoff:
        case "linear":
            step = await seconds(retry.increment, data, scope, run) if retry.increment is not None else base
            delay = base + step * (number - 1)
        case "exponential":
            delay = base * min(retry.factor ** min(number - 1, 64), 1e12)
        case "progressive":
            before = frame.local.get("delay")
            step = await seconds(retry.increment, data, scope, run) if retry.increment is not None else 0.0
            delay = (before + step) * retry.factor if isinstance(before, float) else base
            delay = min(delay, LONGEST_DELAY)
        case _:
            delay = base
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
