"""Compiles ``source as pattern | body``: variables, destructuring, and ``?//`` between patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from workflow_engine.expressions import syntax
from workflow_engine.expressions.access import Path, get, index
from workflow_engine.expressions.code import GROWN, PART, Builder, Code, Env, Many, One, Scope, Trace
from workflow_engine.expressions.errors import EvaluationError, LimitExceeded
from workflow_engine.expressions.syntax import Pattern

Bound: TypeAlias = Callable[[Env, Any], Iterable[tuple[Any, ...]]]
"""From an environment and a value to the slots that a pattern fills, once for each way it can."""


def bind(builder: Builder, node: syntax.Bind, scope: Scope, tail: bool) -> Code:
    source = builder.code(node.source, scope)
    inner, patterns = bound(builder, node.patterns, scope, source.grows)
    simple = len(node.patterns) == 1 and isinstance(node.patterns[0], syntax.BindName)
    body = builder.code(node.body, inner, tail=tail and simple and source.one is not None)
    parts = (source, body)
    grows = body.grows if simple and source.one is not None and source.grows == PART else GROWN
    value_of, one_body = source.one, body.one
    if simple and value_of is not None:
        if one_body is not None:
            return Code(
                lambda env, value: one_body((*env, value_of(env, value)), value), parts=parts, grows=grows
            )
        stream = body.many
        return Code(
            None,
            lambda env, value: stream((*env, value_of(env, value)), value),
            parts=parts,
            grows=grows,
            optional=body.optional,
        )
    places = places_of(node.patterns)
    if places is not None and value_of is not None and one_body is not None:
        fixed = places

        def one(env: Env, value: Any) -> Any:
            found = value_of(env, value)
            return one_body((*env, *[get(env[0], found, place) for place in fixed]), value)

        return Code(one, parts=parts)
    code = Code(None, _each(source.many, patterns, body), parts=parts)
    if simple and source.items is not None and one_body is not None:
        code.gathered = _bound_items(source.items, one_body, code.many, body.weight + 1)
    return code


def _bound_items(
    items: Callable[[Env, Any], list[Any]], body: One, many: Many, steps: int
) -> Callable[[Env, Any], list[Any]]:
    """The output of *body* for each of *items* bound, for as many *steps* as one after the other take."""

    def all_items(env: Env, value: Any) -> list[Any]:
        machine = env[0]
        if machine.spare < 0:
            return list(many(env, value))
        fuel = machine.fuel
        found = items(env, value)
        if machine.fuel < len(found) * steps:
            machine.fuel, machine.spare = fuel, -1
            return list(many(env, value))
        machine.fuel -= len(found) * steps
        made: list[Any] = []
        try:
            for item in found:
                made.append(body((*env, item), value))  # noqa: PERF401 - where it fails, so many were made
        except LimitExceeded:  # the steps may be used up before their time: where is seen one after the other
            machine.fuel, machine.spare = fuel, -1
            return list(many(env, value))
        except BaseException:
            machine.fuel += (len(found) - len(made) - 1) * steps
            raise
        return made

    return all_items


def _each(sources: Many, patterns: list[Bound], body: Code) -> Many:
    bodies, steps = body.many, body.weight

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        for found in sources(env, value):
            machine.fuel -= steps
            if machine.fuel < 0:
                machine.exhausted()
            yield from attempts(env, found, patterns, lambda inner: bodies(inner, value))

    return many


def attempts(
    env: Env, found: Any, patterns: list[Bound], body: Callable[[Env], Iterable[Any]]
) -> Iterable[Any]:
    """The outputs of *body* with *found* bound by the first pattern under which neither of them fails."""
    for number, pattern in enumerate(patterns, 1):
        try:
            for slots in pattern(env, found):
                env[0].spend(1)
                yield from body((*env, *slots))
        except EvaluationError as error:
            if number == len(patterns) or isinstance(error, LimitExceeded):
                raise
        else:
            return


def trace_bind(builder: Builder, node: syntax.Bind, scope: Scope) -> Trace:
    source = builder.code(node.source, scope)
    inner, patterns = bound(builder, node.patterns, scope, source.grows)
    body = builder.trace(node.body, inner)
    sources = source.many

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for found in sources(env, value):
            env[0].spend(1)
            yield from attempts(env, found, patterns, lambda deeper: body(deeper, path, value))

    return trace


def bound(
    builder: Builder, patterns: tuple[Pattern, ...], scope: Scope, grows: int
) -> tuple[Scope, list[Bound]]:
    """The scope that *patterns* make, and how each fills its slots; all of them bind all the names."""
    names: dict[str, None] = {}
    for pattern in patterns:
        names |= dict.fromkeys(syntax.names(pattern))
    inner = scope
    for name in names:
        inner = inner.with_variable(name, grows)
    order = list(names)
    return inner, [_filler(builder, pattern, scope, order) for pattern in patterns]


def places_of(patterns: tuple[Pattern, ...]) -> list[Path] | None:
    """The path of each variable, in the order of the slots, if there is one pattern and its keys are constant."""
    if len(patterns) != 1:
        return None
    found: dict[str, Path] = {}
    return list(found.values()) if _constant_places(patterns[0], (), found) else None


def _constant_places(pattern: Pattern, path: Path, found: dict[str, Path]) -> bool:
    if isinstance(pattern, syntax.BindName):
        found[pattern.name] = path
        return True
    if isinstance(pattern, syntax.BindArray):
        return all(_constant_places(item, (*path, place), found) for place, item in enumerate(pattern.items))
    for key, name, inner in pattern.entries:
        if not isinstance(key, syntax.Literal):
            return False
        if name is not None:
            found[name] = (*path, key.value)
        if inner is not None and not _constant_places(inner, (*path, key.value), found):
            return False
    return True


def _filler(builder: Builder, pattern: Pattern, scope: Scope, order: list[str]) -> Bound:
    if order == [getattr(pattern, "name", None)]:
        return lambda _env, value: ((value,),)
    match = _matcher(builder, pattern, scope)

    def fill(env: Env, value: Any) -> Iterable[tuple[Any, ...]]:
        for found in match(env, value, {}):
            yield tuple([found.get(name) for name in order])

    return fill


_Matcher: TypeAlias = Callable[[Env, Any, dict[str, Any]], Iterable[dict[str, Any]]]


def _matcher(builder: Builder, pattern: Pattern, scope: Scope) -> _Matcher:
    """Binds the names of *pattern*, adding to those that are bound already."""
    if isinstance(pattern, syntax.BindName):
        name = pattern.name
        return lambda _env, value, found: ({**found, name: value},)
    steps: list[tuple[Many, str | None, _Matcher | None]] = []
    if isinstance(pattern, syntax.BindArray):
        for place, item in enumerate(pattern.items):
            key = builder.code(syntax.Literal(0, place), scope)
            steps.append((key.many, None, _matcher(builder, item, scope)))
    else:
        for key_node, own, inner in pattern.entries:
            matcher = _matcher(builder, inner, scope) if inner is not None else None
            steps.append((builder.code(key_node, scope).many, own, matcher))
    array = isinstance(pattern, syntax.BindArray)

    def match(env: Env, value: Any, found: dict[str, Any]) -> Iterable[dict[str, Any]]:
        return _steps(env, value, found, steps, 0, array=array)

    return match


def _steps(
    env: Env,
    value: Any,
    found: dict[str, Any],
    steps: list[tuple[Many, str | None, _Matcher | None]],
    at: int,
    *,
    array: bool,
) -> Iterable[dict[str, Any]]:
    if at == len(steps):
        yield found
        return
    keys, own, matcher = steps[at]
    for key in keys(env, value):
        env[0].spend(1)
        if not array and type(key) is not str:
            raise EvaluationError("Cannot index an object with a key that is not a string")
        item = index(env[0], value, key)
        here = found if own is None else {**found, own: item}
        for bindings in (here,) if matcher is None else matcher(env, item, here):
            yield from _steps(env, value, bindings, steps, at + 1, array=array)
