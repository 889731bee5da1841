"""The retries of one call, left to who makes it: what is told of the policy, and what it decides there.

A `Try` around one call needs nothing of the run between two attempts but its policy, so that a runtime can make all of
them as one operation. What is decided is what `recovery` would have decided; what cannot be told (secrets, much data,
the time of an attempt) is left to it. Everything here is pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.errors import ERRORS, Fault, canonical_type, fault
from workflow_engine.expressions import Expression, Template
from workflow_engine.graph.model import (
    Catch,
    ErrorMatch,
    GoTo,
    Operation,
    Retry,
    Sequence,
    State,
    Timing,
    Try,
)
from workflow_engine.interpreter.evaluation import CONFIDENTIAL, pure, test
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import Scope, state_scope
from workflow_engine.values import Duration, Json, JsonObject, deep_equal, shown, weighs

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run

LONGEST_DELAY = 366 * 86_400.0
"""A delay that grows stops growing at a year, in seconds."""
KEY = "key"
"""What the frame of a `Try` remembers between two attempts of its only call: the place of that, which stays."""
OWN_RETRIES = frozenset({"activity"})
"""The kinds of calls that others make, who have retries of their own and know nothing of our filters."""
MOST = 4096
"""How much data conditions of a policy may use where it is told, in characters or so."""
_CHANGING = frozenset({"task", "__correlation"})
"""Variables that are not the same in each attempt."""
_NOW = re.compile(r"\bnow\b")


@dataclass(slots=True)
class Retrying:
    """The attempts of the `Try` at which the frame *tried* stands, around the call of one state, *called*.

    *plan* is what is told of the policy (`planned`); None: the attempts are made here. *counted*: the number of retries
    is wanted also of a call that succeeds. *told* is how far a call that failed had come: ``retries`` so far, the delay
    ``before``, and if it is to be tried again here, after how long to ``wait``. *undecided*: the policy itself failed.
    *key* is the place of the call, once it is made: the next attempt has the same.
    """

    tried: Frame
    called: str
    plan: JsonObject | None = None
    counted: bool = False
    told: JsonObject | None = None
    key: str | None = None


def one_call(action: Try) -> tuple[State, ...]:
    """The states from the body of *action* to the only call in it, which is last; none when there is more to it."""
    path: list[State] = []
    region = action.body
    while len(region.states) == 1:
        (state,) = region.states.values()
        path.append(state)
        if state.extensions or state.rescues or state.compensated or isinstance(state.next, GoTo):
            return ()
        match state.action:
            case Sequence(body) if state.timeout is None:
                region = body
            case Operation(kind, wait=True) if kind not in OWN_RETRIES:
                return tuple(path)
            case _:
                return ()
    return ()


def around(frame: Frame, state: State) -> Retrying | None:
    """The attempts of which the call of *state*, which stands in *frame*, is all."""
    above: Frame | None = frame
    while above is not None:
        if above.retrying is not None:
            return above.retrying if above.retrying.called == state.id else None
        above = above.parent
    return None


class _Untellable(Exception):
    """A part of a policy that must be looked at where the run is."""


def planned(run: Run, state: State, action: Try, frame: Frame, path: tuple[State, ...]) -> JsonObject | None:
    """What is told of the policy of *action*, whose call is the last of *path*; None where it cannot be told."""
    retry = action.catch.retry
    if retry is None or not run.effects.delegates or (run.lifecycle is not None and run.lifecycle.of_tasks):
        return None
    if any(not _steady(part) for part in path):
        return None
    scope = state_scope(run, state, frame, input=frame.input)
    try:
        return {
            "try": state.id,
            "name": state.name,
            "called": path[-1].name,
            "began": frame.local["began"],
            "tried": frame.local.get("retries", 0),
            "before": frame.local.get("delay"),
            **_told(action.catch, retry, frame.input, scope),
        }
    except (Fault, _Untellable):
        return None


def _steady(state: State) -> bool:
    """Whether what *state* hands to its call is the same in each attempt."""
    used: list[Expression | Template] = []
    if state.when is not None:
        used.append(state.when)
    for step in state.enter:
        template = getattr(step, "template", None) or getattr(step, "expression", None)
        if template is not None:
            used.append(template)
    match state.action:
        case Operation(arguments=arguments, timeout=timeout, authorization=policy):
            used += [arguments, *([policy] if policy is not None else [])]
            used += [timing for timing in (timeout, state.timeout) if isinstance(timing, Expression)]
        case Sequence(input=Template() as handed):
            used.append(handed)
        case _:
            pass
    return not any(what.variables & _CHANGING or _tells_time(what) for what in used)


def _tells_time(what: Expression | Template) -> bool:
    return _NOW.search(what.source if isinstance(what.source, str) else str(what.source)) is not None


def _told(catch: Catch, retry: Retry, data: Json, scope: Scope) -> JsonObject:
    conditions = {
        "catchWhen": catch.when,
        "catchExceptWhen": catch.except_when,
        "when": retry.when,
        "exceptWhen": retry.except_when,
    }
    told: JsonObject = {key: what.source for key, what in conditions.items() if what is not None}
    names = {name for what in conditions.values() if what is not None for name in what.variables}
    if catch.with_ is not None:
        told["with"] = catch.with_.source
        names |= catch.with_.variables
    names.discard(catch.variable)
    if names & (CONFIDENTIAL | _CHANGING):
        raise _Untellable
    variables: JsonObject = {name: scope.get(name) for name in sorted(names)}
    if weighs(variables, MOST) > MOST:
        raise _Untellable
    told["variables"], told["variable"] = variables, catch.variable
    if catch.errors is not None:
        told["errors"] = [[match.name, match.code] for match in catch.errors]
    if catch.except_errors:
        told["exceptErrors"] = [[match.name, match.code] for match in catch.except_errors]
    told["backoff"], told["factor"] = retry.backoff, retry.factor

    def timing(value: Timing) -> Json:
        return _timing(value, catch.variable, data, scope)

    for key, value in (
        ("delay", retry.delay),
        ("increment", retry.increment),
        ("maxDelay", retry.max_delay),
        ("attempt", retry.attempt_timeout),
        ("budget", retry.budget),
    ):
        if value is not None:
            told[key] = timing(value)
    if retry.jitter is not None:
        told["jitter"] = [timing(edge) for edge in retry.jitter]
    if retry.spread is not None:
        told["spread"] = (
            timing(retry.spread) if not isinstance(retry.spread, float) else {"part": retry.spread}
        )
    limit = retry.limit
    if isinstance(limit, Expression):
        _check_steady(limit, catch.variable)
        limit = whole(pure(limit, data, scope))
    if limit is not None:
        told["limit"] = limit
    return told


def _timing(timing: Timing, variable: str, data: Json, scope: Scope) -> Json:
    """*timing* as seconds, or as text where they depend on the day."""
    if isinstance(timing, Expression):
        _check_steady(timing, variable)
        text = pure(timing, data, scope)
        try:
            timing = Duration.parse(text) if isinstance(text, str) else Duration(-1, 0)
        except ValueError:
            raise _Untellable from None
    if timing.months < 0:
        raise _Untellable
    return str(timing) if timing.months else timing.seconds


def _check_steady(what: Expression, variable: str) -> None:
    if what.variables & (CONFIDENTIAL | _CHANGING | {variable}) or _tells_time(what):
        raise _Untellable


# --- deciding -------------------------------------------------------------------------------------------------


def decide(
    plan: JsonObject,
    error: JsonObject,
    tried: int,
    before: float | None,
    now: datetime,
    random: Callable[[], float],
) -> float | None:
    """How long to wait for the next attempt, after *tried* retries of which the last waited *before*, when an attempt
    has failed with *error*; None when there is none. A `Fault` when the policy itself fails.
    """
    variables = plan["variables"]
    assert isinstance(variables, dict)
    scope: JsonObject = {**variables, str(plan["variable"]): error, "__now": now.timestamp()}
    if not _accepted(plan, error, scope):
        return None
    limit = plan.get("limit")
    if isinstance(limit, int) and tried >= limit:
        return None
    if not _condition(plan, "when", error, scope, absent=True):
        return None
    if _condition(plan, "exceptWhen", error, scope, absent=False):
        return None
    wait = _wait(plan, tried + 1, before, now, random)
    if "budget" in plan:
        began = plan["began"]
        assert isinstance(began, int | float)
        if now.timestamp() - began + wait > length(plan["budget"], now):
            return None
    return wait


def _accepted(plan: JsonObject, error: JsonObject, scope: JsonObject) -> bool:
    listed = plan.get("errors")
    if isinstance(listed, list) and not any(matches(_match(entry), error) for entry in listed):
        return False
    never = plan.get("exceptErrors")
    if isinstance(never, list) and any(matches(_match(entry), error) for entry in never):
        return False
    if "with" in plan:
        wanted = pure(expressions.template(plan["with"], variables=scope), error, scope)
        if not fits(wanted, error):
            return False
    if not _condition(plan, "catchWhen", error, scope, absent=True):
        return False
    return not _condition(plan, "catchExceptWhen", error, scope, absent=False)


def _match(entry: Json) -> ErrorMatch:
    assert isinstance(entry, list)
    return ErrorMatch(str(entry[0]), None if entry[1] is None else str(entry[1]))


def _condition(plan: JsonObject, key: str, error: JsonObject, scope: JsonObject, *, absent: bool) -> bool:
    source = plan.get(key)
    if not isinstance(source, str):
        return absent
    return test(expressions.compile(source, variables=scope), error, scope, strict=False)


def _wait(
    plan: JsonObject, number: int, before: float | None, now: datetime, random: Callable[[], float]
) -> float:
    def of(key: str) -> float | None:
        return length(plan[key], now) if key in plan else None

    factor = plan["factor"]
    assert isinstance(factor, int | float)
    delay = grown(str(plan["backoff"]), factor, number, of("delay") or 0.0, of("increment"), before)
    most = of("maxDelay")
    if most is not None:
        delay = min(delay, most)
    edges = plan.get("jitter")
    if isinstance(edges, list):
        low, high = (length(edge, now) for edge in edges)
        delay += low + (high - low) * random()
    if "spread" in plan:
        spread = plan["spread"]
        part = spread["part"] if isinstance(spread, dict) else None
        width = delay * part if isinstance(part, int | float) else length(spread, now)
        delay = max(0.0, delay + width * (2 * random() - 1))
    return delay


def length(timing: Json, now: datetime) -> float:
    """How many seconds from *now* a timing of a plan is."""
    return Duration.parse(timing).seconds_from(now) if isinstance(timing, str) else float(timing)  # type: ignore[arg-type]


def grown(
    backoff: str, factor: float, number: int, base: float, step: float | None, before: float | None
) -> float:
    """The delay before retry *number*, from 1: constant d, linear d·n, exponential d·2^(n-1) (A28).

    Progressive: the first is d, each other one (the one *before* + increment) · factor (B13).
    """
    match backoff:
        case "linear":
            delay = base + (base if step is None else step) * (number - 1)
        case "exponential":
            delay = base * _power(factor, min(number - 1, 64))
        case "progressive":
            delay = base if before is None else (before + (step or 0.0)) * factor
        case _:
            return base
    return min(delay, max(base, LONGEST_DELAY))


def _power(factor: float, exponent: int) -> float:
    try:
        return min(factor**exponent, LONGEST_DELAY)
    except OverflowError:
        return LONGEST_DELAY


def whole(limit: Json) -> int:
    """A number of retries that an expression has yielded."""
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit != int(limit):
        raise fault("expression", f"a number of retries must be a whole number, not {shown(limit)}")
    return int(limit)


def fits(wanted: Json, error: JsonObject) -> bool:
    """Whether *error* has what the filter ``with`` of a catch wants of it."""
    assert isinstance(wanted, dict)
    for name, value in wanted.items():
        present = error.get("detail" if name == "details" else name)
        if name == "type" and isinstance(value, str) and isinstance(present, str):
            value, present = canonical_type(value), canonical_type(present)
        if not deep_equal(present, value):
            return False
    return True


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
