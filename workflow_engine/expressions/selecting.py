"""Compiles what selects: ``.``, ``$name``, ``.name``, ``[key]``, ``[from:to]``, ``[]``; and these as paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from workflow_engine.expressions import columns, syntax
from workflow_engine.expressions.access import Path, cut, field, index
from workflow_engine.expressions.code import (
    GROWN,
    PART,
    Builder,
    Code,
    Env,
    One,
    Scope,
    Trace,
    constant,
    not_a_path,
    step,
)
from workflow_engine.expressions.errors import EvaluationError, LimitExceeded
from workflow_engine.expressions.ordering import type_name
from workflow_engine.expressions.rendering import excerpt


def identity(_builder: Builder, _node: syntax.Identity, _scope: Scope, _tail: bool) -> Code:
    return chain(None, ())


def trace_identity(_builder: Builder, _node: syntax.Identity, _scope: Scope) -> Trace:
    return lambda _env, path, value: ((path, value),)


def literal(_builder: Builder, node: syntax.Literal, _scope: Scope, _tail: bool) -> Code:
    return constant(node.value)


def variable(_builder: Builder, node: syntax.Variable, scope: Scope, _tail: bool) -> Code:
    slot, grows = scope.variables[node.name]
    code = chain(lambda env, _value: env[slot], ())
    code.grows = PART if grows == PART else GROWN
    code.fixed = True
    return code


def chain(base: One | None, keys: tuple[Any, ...]) -> Code:
    """The code of a path of constant keys from the input, or from what *base* gives."""
    if base is None:
        one = _path(keys)
    elif not keys:
        one = base
    else:
        rest = _path(keys)

        def one(env: Env, value: Any) -> Any:
            return rest(env, base(env, value))

    code = Code(one, grows=PART)
    code.keys = keys
    code.base = base
    code.weight = 1 + len(keys)
    if base is None:
        code.column = columns.fields(keys)
    return code


def _path(keys: tuple[Any, ...]) -> One:
    if not keys:
        return lambda _env, value: value
    if any(type(key) is not str for key in keys):
        return _mixed(keys)
    if len(keys) == 1:
        return _field(keys[0])
    if len(keys) == 2:
        return _two_fields(*keys)

    def many_fields(_env: Env, value: Any) -> Any:
        for key in keys:
            value = value.get(key) if type(value) is dict else field(value, key)
        return value

    return many_fields


def _field(name: str) -> One:
    def one(_env: Env, value: Any) -> Any:
        if type(value) is dict:
            return value.get(name)
        return field(value, name)

    return one


def _two_fields(first: str, second: str) -> One:
    def one(_env: Env, value: Any) -> Any:
        value = value.get(first) if type(value) is dict else field(value, first)
        return value.get(second) if type(value) is dict else field(value, second)

    return one


def _mixed(keys: tuple[Any, ...]) -> One:
    def one(env: Env, value: Any) -> Any:
        for key in keys:
            value = value.get(key) if type(value) is dict and type(key) is str else index(env[0], value, key)
        return value

    return one


def index_(builder: Builder, node: syntax.Index, scope: Scope, _tail: bool) -> Code:
    target, key = builder.code(node.target, scope), builder.code(node.key, scope)
    at, place = target.one, key.one
    if node.optional:
        return _optional(index, target, (key,))
    if key.constant and at is not None:
        name = key.constant[0]
        code = chain(at, (name,)) if target.keys is None else chain(target.base, (*target.keys, name))
        code.grows, code.weight, code.height = target.grows, target.weight + 1, target.height + 1
        code.fixed = target.fixed
        if (
            target.keys is None
            and target.column is not None
            and (last := columns.fields((name,))) is not None
        ):
            code.column = columns.chained(target, last)
        return code
    if at is not None and place is not None:

        def one(env: Env, value: Any) -> Any:
            return index(env[0], at(env, value), place(env, value))

        return Code(one, parts=(target, key), grows=target.grows)
    targets, places = target.many, key.many

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        for one_key in places(env, value):
            for one_target in targets(env, value):
                machine.spend(1)
                yield index(machine, one_target, one_key)

    grows = target.grows if place is not None else GROWN
    return Code(None, many, parts=(target, key), grows=grows, optional=target.optional and key.optional)


def trace_index(builder: Builder, node: syntax.Index, scope: Scope) -> Trace:
    targets, places = builder.trace(node.target, scope), builder.code(node.key, scope).many
    optional = node.optional

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        machine = env[0]
        for key in places(env, value):
            for where, target in targets(env, path, value):
                machine.spend(1)
                try:
                    reached = step(where, key, target), index(machine, target, key)
                except EvaluationError as error:
                    if optional and not isinstance(error, LimitExceeded):
                        continue
                    raise
                yield reached

    return trace


def slice_(builder: Builder, node: syntax.Slice, scope: Scope, _tail: bool) -> Code:
    target = builder.code(node.target, scope)
    start = builder.code(node.start, scope) if node.start else constant(None)
    stop = builder.code(node.stop, scope) if node.stop else constant(None)
    parts = (target, start, stop)
    if node.optional:
        return _optional(lambda _machine, whole, low, high: cut(whole, low, high), target, (start, stop))
    if target.one and start.one and stop.one:
        at, low, high = target.one, start.one, stop.one

        def one(env: Env, value: Any) -> Any:
            whole = at(env, value)
            result = cut(whole, low(env, value), high(env, value))
            if result:
                env[0].spend(len(result) >> 6)
            return result

        return Code(one, parts=parts)
    targets, lows, highs = target.many, start.many, stop.many

    def many(env: Env, value: Any) -> Iterable[Any]:
        for first in lows(env, value):
            for last in highs(env, value):
                for whole in targets(env, value):
                    result = cut(whole, first, last)
                    env[0].spend(1 + (len(result) >> 6 if result else 0))
                    yield result

    return Code(None, many, parts=parts)


def trace_slice(builder: Builder, node: syntax.Slice, scope: Scope) -> Trace:
    targets = builder.trace(node.target, scope)
    lows = (builder.code(node.start, scope) if node.start else constant(None)).many
    highs = (builder.code(node.stop, scope) if node.stop else constant(None)).many
    optional = node.optional

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for low in lows(env, value):
            for high in highs(env, value):
                for where, target in targets(env, path, value):
                    env[0].spend(1)
                    try:
                        reached = step(where, {"start": low, "end": high}, target), cut(target, low, high)
                    except EvaluationError as error:
                        if optional and not isinstance(error, LimitExceeded):
                            continue
                        raise
                    yield reached

    return trace


def _optional(step_of: Callable[..., Any], target: Code, keys: tuple[Code, ...]) -> Code:
    """A step that has no output where it fails; errors of the target and of the keys are not its own."""
    targets, streams = target.many, [key.many for key in keys]

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        for place in product(*[stream(env, value) for stream in streams]):
            for found in targets(env, value):
                machine.spend(1)
                try:
                    output = step_of(machine, found, *place)
                except LimitExceeded:
                    raise
                except EvaluationError:
                    continue
                yield output

    at, places = target.one, [key.one for key in keys if key.one is not None]
    if at is None or len(places) < len(keys):
        return Code(None, many, parts=(target, *keys), grows=GROWN)

    def at_most_one(env: Env, value: Any) -> Iterable[Any]:
        found = at(env, value)
        place = [one(env, value) for one in places]
        try:
            return (step_of(env[0], found, *place),)
        except LimitExceeded:
            raise
        except EvaluationError:
            return ()

    return Code(None, at_most_one, parts=(target, *keys), grows=target.grows, optional=True)


def elements(value: Any) -> Any:
    """What ``.[]`` goes through: the elements of an array, the values of an object."""
    if type(value) is list:
        return value
    if type(value) is dict:
        return value.values()
    raise EvaluationError(f"Cannot iterate over {type_name(value)} ({excerpt(value)})")


def _elements_if_any(value: Any) -> Any:
    return elements(value) if type(value) in {list, dict} else ()


def iterate(builder: Builder, node: syntax.Iterate, scope: Scope, _tail: bool) -> Code:
    target = builder.code(node.target, scope)
    at = target.one
    each = _elements_if_any if node.optional else elements
    if at is not None:

        def items(env: Env, value: Any) -> Any:
            found = each(at(env, value))
            env[0].spend(len(found) >> 2)
            return found

        code = Code(None, items, parts=(target,), grows=target.grows)
        code.items = items
        code.fixed = target.fixed
        return code
    targets = target.many

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        for one_target in targets(env, value):
            found = each(one_target)
            machine.spend(1 + (len(found) >> 2))
            yield from found

    return Code(None, many, parts=(target,), grows=target.grows)


def trace_iterate(builder: Builder, node: syntax.Iterate, scope: Scope) -> Trace:
    targets = builder.trace(node.target, scope)
    optional = node.optional

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        machine = env[0]
        for where, target in targets(env, path, value):
            if where is None:
                if optional:
                    continue
                raise not_a_path(target, "iterate through")
            machine.spend(1)
            if not optional:
                elements(target)
            for key, item in children(target):
                machine.spend(1)
                yield (*where, key), item

    return trace


def children(value: Any) -> Iterable[tuple[Any, Any]]:
    """The keys and values inside *value*; nothing inside what is neither array nor object."""
    if type(value) is dict:
        return value.items()
    return enumerate(value) if type(value) is list else ()
