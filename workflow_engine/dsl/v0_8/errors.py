"""What goes wrong in a 0.8 workflow: error definitions, ``onErrors``, and retries of actions (dsl.md §2.8)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.dsl import bounds
from workflow_engine.dsl.v0_8.definitions import objects
from workflow_engine.expressions import Expression
from workflow_engine.graph.model import (
    Action,
    Catch,
    ErrorMatch,
    Exit,
    GoTo,
    Region,
    Rescue,
    Retry,
    State,
    Timing,
    Try,
)
from workflow_engine.values import Duration, Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

CONSTANTS = frozenset({"CONST"})
EVERY = ErrorMatch("*")
_JAVA_BASES = ("java.lang.Throwable", "java.lang.Exception", "java.lang.RuntimeException")
_JAVA = {
    "TimedOut": "408",
    "java.util.concurrent.TimeoutException": "408",
    "java.io.IOException": "communication",
    "java.net.ConnectException": "communication",
    "jakarta.ws.rs.WebApplicationException": "communication",
    "javax.ws.rs.WebApplicationException": "communication",
}
"""Codes that SonataFlow's users write, and which code or kind of error they are here."""
_NUMBER = re.compile(r"\d+(\.\d+)?")
_DEFAULT = Retry(delay=Duration.parse("PT1S"), backoff="progressive", factor=2.0)
"""What is tried again without a policy of its own: for ever, after 1, 2, 4 … seconds (decision B10)."""


def rescues(lowering: WorkflowLowering, body: JsonObject, at: str) -> tuple[Rescue, ...]:
    """``onErrors`` of the state at *at*, in order."""
    if "onErrors" not in body:
        return ()
    found = []
    for number, item in enumerate(objects(body.get("onErrors"))):
        place = f"{at}/onErrors/{number}"
        names = item.get("errorRefs")
        if isinstance(names, list):
            errors = _matches(lowering, names, f"{place}/errorRefs")
        else:
            errors = (_match(lowering, str(item.get("errorRef")), f"{place}/errorRef"),)
        found.append(Rescue(errors, lowering.way(item, place)))
    return tuple(found)


def _matches(lowering: WorkflowLowering, names: Json, at: str) -> tuple[ErrorMatch, ...]:
    listed = names if isinstance(names, list) else []
    return tuple(_match(lowering, str(name), f"{at}/{number}") for number, name in enumerate(listed))


def _match(lowering: WorkflowLowering, name: str, at: str) -> ErrorMatch:
    """The error *name*, as it is defined; ``*`` is every one (decision B9)."""
    if name == "*":
        return EVERY
    if name not in lowering.errors:
        lowering.undefined("error", name, at)
        return EVERY
    definition, place = lowering.errors[name]
    code = definition.get("code")
    if code in _JAVA_BASES:
        message = f"`{code}` is the class of every exception of Java: it is read as every error"
        lowering.warning("earlier-form", message, f"{place}/code")
        return EVERY
    if code in _JAVA:
        lowering.warning(
            "earlier-form", f"`{code}` is of Java: it is read as `{_JAVA[code]}`", f"{place}/code"
        )
        code = _JAVA[code]
    return ErrorMatch(name, None if code is None else str(code))


def retried(lowering: WorkflowLowering, body: JsonObject, at: str, name: str, action: Action) -> Action:
    """*action* with the retries of the 0.8 action *body*, or as it is where there are none (decisions B10, B11)."""
    automatic = lowering.data.get("autoRetries") is True
    reference = body.get("retryRef")
    for key, wrong, instead in (
        (
            "retryableErrors",
            automatic,
            "with `autoRetries: true` every error is tried again but `nonRetryableErrors`",
        ),
        ("nonRetryableErrors", not automatic, "it goes with `autoRetries: true`; name the `retryableErrors`"),
    ):
        if key in body and wrong:
            lowering.problem("misplaced-property", f"`{key}`: {instead}", f"{at}/{key}")
    if not automatic and reference is None:
        if "retryableErrors" in body:
            message = "`retryableErrors` without `retryRef`: nothing says how often"
            lowering.problem("misplaced-property", message, f"{at}/retryableErrors")
        return action
    policy = _DEFAULT if reference is None else _policy(lowering, str(reference), f"{at}/retryRef")
    if policy is None:
        return action
    errors: tuple[ErrorMatch, ...] | None = None
    if not automatic:
        errors = _matches(lowering, body.get("retryableErrors"), f"{at}/retryableErrors")
        errors = errors or tuple(_match(lowering, known, f"{at}/retryRef") for known in lowering.errors)
    never = _matches(lowering, body.get("nonRetryableErrors"), f"{at}/nonRetryableErrors")
    inner = f"{at}/{next((key for key in _REFERENCES if key in body), 'functionRef')}"
    tried = Region(inner, GoTo(inner), {inner: State(inner, name, action, Exit(), Exit())}, name)
    return Try(tried, Catch(None, "error", None, None, policy, None, None, errors, never))


_REFERENCES = ("functionRef", "eventRef", "subFlowRef")


def check(lowering: WorkflowLowering) -> None:
    """Find what is wrong with the retry policies, whether an action refers to them or not."""
    for name in lowering.retries:
        _policy(lowering, name, "")


def _policy(lowering: WorkflowLowering, name: str, at: str) -> Retry | None:
    """The retry policy *name*; *at* is where it is referred to. Its own problems are reported once, by `check`."""
    if name not in lowering.retries:
        lowering.undefined("retry", name, at)
        return None
    definition, place = lowering.retries[name]
    before = len(lowering.problems)
    policy = _defined(lowering, definition, place)
    if at:
        del lowering.problems[before:]
    return policy


def _defined(lowering: WorkflowLowering, given: JsonObject, at: str) -> Retry | None:
    limit = _limit(lowering, given.get("maxAttempts"), f"{at}/maxAttempts")
    low, high = ("delay", given.get("delay")), ("maxDelay", given.get("maxDelay"))
    bounds.check_order(lowering, low, high, f"{at}/maxDelay")
    if limit == 0:
        return None
    return Retry(
        delay=lowering.optional_timing(given.get("delay"), CONSTANTS, f"{at}/delay"),
        backoff="progressive",
        factor=_number(lowering, given.get("multiplier"), f"{at}/multiplier"),
        increment=lowering.optional_timing(given.get("increment"), CONSTANTS, f"{at}/increment"),
        max_delay=lowering.optional_timing(given.get("maxDelay"), CONSTANTS, f"{at}/maxDelay"),
        spread=_spread(lowering, given.get("jitter"), f"{at}/jitter"),
        limit=limit,
    )


def _limit(lowering: WorkflowLowering, value: Json, at: str) -> int | Expression | None:
    """A number of retries, an expression, or ``unlimited`` (decision B12)."""
    if value is None or value == "unlimited":
        return None
    text = str(value).strip()
    if isinstance(value, int | float) or text.isdecimal():
        return int(float(text))
    if expressions.unwrap(text) is not None or text.startswith((".", "$")):
        return lowering.expression(text, CONSTANTS, at)
    message = f"{text!r} is neither a whole number, nor `unlimited`, nor an expression"
    lowering.problem("invalid-value", message, at)
    return 1


def _number(lowering: WorkflowLowering, value: Json, at: str) -> float:
    if value is None:
        return 1.0
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        lowering.problem("invalid-value", f"{value!r} must be a number, such as 2 or 1.5", at)
        return 1.0
    factor = float(str(value))
    if factor == 0:
        message = (
            "times 0 no delay is left, and what fails is tried again as fast as it can; leave it out for 1"
        )
        lowering.nonsense("invalid-bounds", message, at)
    return factor


def _spread(lowering: WorkflowLowering, value: Json, at: str) -> float | Timing | None:
    """A part of the delay, from 0 to 1, or a duration; either is added or taken away (decision B13)."""
    if value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    return lowering.timing(value, CONSTANTS, at)
