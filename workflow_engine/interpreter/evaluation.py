"""Evaluate expressions: here, or where the values of secrets may be known when an expression uses them.

What an expression without secrets yields is pure and costs no effect. One with secrets is evaluated by
`Effects.evaluate`, and what comes back has references in the place of their values (`interpreter.references`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from workflow_engine.errors import Fault, fault
from workflow_engine.expressions import EvaluationError, Expression, Template, members
from workflow_engine.graph.model import Operation, Timing
from workflow_engine.interpreter import growth
from workflow_engine.interpreter.effects import Evaluation
from workflow_engine.interpreter.scope import Scope
from workflow_engine.values import Duration, Json, JsonObject, shown

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run

SECRETS = frozenset({"secrets", "secret", "SECRETS", "SECRET"})
"""The variables under which expressions find secrets: those of DSL 1.0 and of 0.8, each with an alias."""
LONGEST = 300
"""How much of an expression that fails is shown, in characters."""
CONFIDENTIAL = SECRETS | {"authorization"}


def pure(what: Expression | Template, value: Json, scope: Mapping[str, Json]) -> Json:
    """What *what* yields for *value*; an expression that fails is an expression fault."""
    try:
        return what.evaluate(value, scope)
    except EvaluationError as error:
        raise _expression_fault(what, error) from None


async def evaluate(what: Expression | Template, value: Json, scope: Scope) -> Json:
    """Like `pure`, for an expression that may use secrets."""
    if not what.variables.isdisjoint(CONFIDENTIAL):
        return await _elsewhere(what, value, scope, "value")
    made = pure(what, value, scope)
    if scope.frame is not None and isinstance(made, dict | list):
        growth.made(scope.frame, what.copies, made)
    return made


async def holds(condition: Expression, value: Json, scope: Scope, *, strict: bool) -> bool:
    """Whether *condition* is true of *value*: as jq sees truth, or *strict*, true and false only (A4)."""
    if not condition.variables.isdisjoint(CONFIDENTIAL):
        return await _elsewhere(condition, value, scope, "strict" if strict else "truth") is True
    return test(condition, value, scope, strict=strict)


def test(condition: Expression, value: Json, scope: Mapping[str, Json], *, strict: bool) -> bool:
    """Like `holds`, with all values known."""
    try:
        if not strict:
            return condition.test(value, scope)
        outcome = condition.first(value, scope)
    except EvaluationError as error:
        raise _expression_fault(condition, error) from None
    if isinstance(outcome, bool):
        return outcome
    raise fault(
        "expression", f"the condition {condition.source!r} must yield true or false, not {shown(outcome)}"
    )


def _expression_fault(what: Expression | Template, error: EvaluationError) -> Fault:
    """What failed, the expression, and where in the document that stands."""
    source = what.source if isinstance(what, Expression) else error.source
    place = what.at + error.pointer
    text = source if len(source) <= LONGEST else source[: LONGEST - 1] + "…"
    return fault("expression", f"{error}, in {text!r}" + (f" at {place}" if place else ""))


async def seconds(
    timing: Timing, value: Json, scope: Scope, run: Run, *, since: datetime | None = None
) -> float:
    """How long *timing* is from now, or *since* another moment; an expression must yield ISO 8601 text."""
    start = since or run.effects.now()
    if isinstance(timing, Duration):
        return timing.seconds_from(start)
    text = await evaluate(timing, value, scope)
    try:
        if not isinstance(text, str):
            raise TypeError(f"{shown(text)} is not an ISO 8601 duration such as PT1H30M or P2D")
        return Duration.parse(text).seconds_from(start)
    except (TypeError, ValueError) as error:
        raise fault("expression", f"{error}, from {timing.source!r}") from None


def secret_names(what: Expression | Template) -> list[str]:
    """The secrets that *what* names."""
    source = f"${{{what.source}}}" if isinstance(what, Expression) else what.source
    return sorted({name for _, name in members(source, SECRETS) if name is not None})


async def _elsewhere(what: Expression | Template, value: Json, scope: Scope, how: str) -> Json:
    """What *what* yields where the values are known. `$authorization` is null unless the state's call has one."""
    names = set(secret_names(what))
    policy = _policy(scope) if "authorization" in what.variables else None
    if not names and policy is None:
        if how == "value":
            return pure(what, value, scope)
        assert isinstance(what, Expression)
        return test(what, value, scope, strict=how == "strict")
    run = scope.run
    assert run is not None
    variables = _variables(what, scope)
    references = run.references()
    names |= references.names([value, variables])
    authorization: JsonObject | None = None
    if policy is not None:
        input = scope.get("input")
        known = _variables(policy, scope)
        authorization = {"policy": policy.source, "input": input, "variables": known}
        names |= {*secret_names(policy), *references.names([input, known])}
    evaluation = Evaluation(
        source=what.source,
        expression=isinstance(what, Expression),
        how=how,
        input=value,
        variables=variables,
        secrets=tuple(sorted(names)),
        nonce=references.nonce,
        authorization=authorization,
        at=what.at,
        namespace=run.graph.name.namespace,
    )
    return await run.effects.evaluate(evaluation, run.aside(scope.state, "secrets"))


def _policy(scope: Scope) -> Template | None:
    """The policy by which the call of the state that asks is authenticated, if any."""
    action = None if scope.state is None else scope.state.action
    return action.authorization if isinstance(action, Operation) else None


def _variables(what: Expression | Template, scope: Scope) -> JsonObject:
    known = [*sorted(what.variables - CONFIDENTIAL), "__now"]
    return {name: scope.get(name) for name in known}


async def arguments(
    run: Run, action: Operation, data: Json, scope: Scope
) -> tuple[JsonObject, JsonObject | None]:
    """The arguments of a call, and what `Call.deferred` has where the values of secrets belong into them."""
    template = action.arguments
    policy = action.authorization if "authorization" in template.variables else None
    if not action.secrets and policy is None:
        given = pure(template, data, scope)
        assert isinstance(given, dict)
        if scope.frame is not None:
            growth.made(scope.frame, template.copies, given)
        references = run.referring
        if references is None or not references.within(given):
            return given, None
        named: list[Json] = [*sorted(references.names(given))]
        return given, {"secrets": named, "nonce": references.nonce}
    assert isinstance(template.source, dict)
    variables = _variables(template, scope)
    names = {*action.secrets}
    references = run.referring
    if references is not None:
        names |= references.names([data, variables])
    deferred: JsonObject = {
        "secrets": [*sorted(names)],
        "input": data,
        "variables": variables,
        "at": template.at,
    }
    if references is not None:
        deferred["nonce"] = references.nonce
    if policy is not None:
        deferred["policy"] = policy.source
    return template.source, deferred


def without_secrets(run: Run, spec: JsonObject) -> JsonObject:
    """*spec* as the router may keep it; what it expects of an event cannot be a secret."""
    references = run.referring
    if references is None:
        return spec
    listed = spec.get("filters")
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and references.within(entry.get("correlate")):
            message = "an event cannot be waited for by a secret, which the router would keep"
            raise fault("configuration", f"{message}: compare it when the event is there")
    hidden = run.outside(spec)
    assert isinstance(hidden, dict)
    return hidden
