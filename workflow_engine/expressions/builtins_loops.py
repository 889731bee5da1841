"""Builtins that repeat a filter, or take some of its outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from workflow_engine.expressions import syntax
from workflow_engine.expressions.access import Path
from workflow_engine.expressions.arithmetic import add
from workflow_engine.expressions.builtins_select import INNER_SELECT, items_of
from workflow_engine.expressions.code import (
    PART,
    Builder,
    Builtin,
    Code,
    Env,
    Many,
    One,
    Scope,
    Trace,
    arguments_of,
    truthy,
)
from workflow_engine.expressions.errors import EvaluationError
from workflow_engine.expressions.limits import LIMITS, Machine
from workflow_engine.expressions.selecting import elements
from workflow_engine.expressions.syntax import Call, Node

_FEW = 10_000

Tracer = Callable[[Builder, Call, Scope], Trace]
Compiler = Callable[[Builder, Call, Scope], Code]


def _trace_recurse(builder: Builder, node: Call, scope: Scope) -> Trace:
    follow = _followed(builder, node)
    trace_next = builder.trace(follow, scope)

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        machine = env[0]
        yield path, value
        pending: list[Iterator[tuple[Path | None, Any]]] = [iter(trace_next(env, path, value))]
        while pending:
            for where, found in pending[-1]:
                machine.spend(4)
                yield where, found
                pending.append(iter(trace_next(env, where, found)))
                break
            else:
                pending.pop()

    return trace


def _followed(builder: Builder, node: Call) -> Node:
    """What ``recurse`` goes on with."""
    if not node.arguments:
        return syntax.Iterate(node.position, syntax.Identity(node.position), optional=True)
    if len(node.arguments) == 1:
        return node.arguments[0]
    condition = Call(node.position, INNER_SELECT, (node.arguments[1],))
    return syntax.Pipe(node.position, node.arguments[0], condition)


def _recurse_all(_builder: Builder, _node: Call, _scope: Scope) -> Code:
    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        pending = [iter((value,))]
        while pending:
            for found in pending[-1]:
                machine.spend(2)
                yield found
                if type(found) is list or type(found) is dict:
                    pending.append(iter(elements(found)))
                    break
            else:
                pending.pop()

    return Code(None, many)


def _recurse(builder: Builder, node: Call, scope: Scope) -> Code:
    follow = builder.code(_followed(builder, node), scope)
    step, steps, weight = follow.one, follow.many, follow.weight

    def endless(env: Env, value: Any) -> Iterable[Any]:
        assert step is not None
        machine = env[0]
        while True:
            yield value
            machine.spend(weight)
            value = step(env, value)

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        yield value
        pending = [iter(steps(env, value))]
        while pending:
            for found in pending[-1]:
                machine.spend(weight)
                yield found
                pending.append(iter(steps(env, found)))
                break
            else:
                pending.pop()

    return Code(None, endless if step is not None else many, parts=(follow,))


def _trace_as(name: str) -> Tracer:
    """Go by the definition *name* of the prelude."""
    return lambda builder, node, scope: builder.trace(Call(node.position, name, node.arguments), scope)


def _repeat(builder: Builder, node: Call, scope: Scope) -> Code:
    (body,) = arguments_of(builder, node, scope)
    stream, weight = body.many, body.weight

    def many(env: Env, value: Any) -> Iterable[Any]:
        while True:
            env[0].spend(weight)
            yield from stream(env, value)

    return Code(None, many, parts=(body,))


def _until(builder: Builder, node: Call, scope: Scope) -> Code:
    condition, update = arguments_of(builder, node, scope)
    check, step = condition.one, update.one
    if check is None or step is None:
        return builder.code(Call(node.position, "_until", node.arguments), scope)
    weight = condition.weight + update.weight

    def one(env: Env, value: Any) -> Any:
        machine = env[0]
        while not truthy(check(env, value)):
            machine.spend(weight)
            value = step(env, value)
        return value

    return Code(one, parts=(condition, update))


def _range(builder: Builder, node: Call, scope: Scope) -> Code:
    arguments = arguments_of(builder, node, scope)
    streams = [argument.many for argument in arguments]

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        for bounds in _combined(env, value, streams):
            if len(bounds) == 1:
                bounds = (0, *bounds)
            if any(type(bound) is not int and type(bound) is not float for bound in bounds):
                raise EvaluationError("Range bounds must be numeric")
            yield from _count(machine, *bounds)

    code = Code(None, many, parts=arguments)
    ones = [argument.one for argument in arguments if argument.one is not None]
    if len(ones) == len(arguments) <= 2:
        code.items = _whole_numbers(ones, many)
        code.fixed = all(argument.fixed for argument in arguments)
    return code


def _whole_numbers(ones: list[One], many: Many) -> Callable[[Env, Any], list[Any]]:
    """All outputs of a range as a list, where they are few and whole, which is the usual case."""

    def items(env: Env, value: Any) -> list[Any]:
        bounds = [one(env, value) for one in ones]
        start, stop = bounds if len(bounds) == 2 else (0, bounds[0])
        if type(start) is not int or type(stop) is not int or stop - start > _FEW:
            return list(many(env, value))
        env[0].spend(len(bounds) + max(stop - start, 0))
        return list(range(start, stop))

    return items


def _combined(env: Env, value: Any, streams: list[Many]) -> Iterable[tuple[Any, ...]]:
    """The combinations of the outputs of *streams*, the first of them the outermost loop."""
    if not streams:
        yield ()
        return
    for first in streams[0](env, value):
        env[0].spend(1)
        for rest in _combined(env, value, streams[1:]):
            yield (first, *rest)


def _count(machine: Machine, start: Any, stop: Any, by: Any = 1) -> Iterable[Any]:
    if type(start) is type(stop) is type(by) is int:
        for whole in range(start, stop, by) if by else ():
            machine.fuel -= 1
            if machine.fuel < 0:
                machine.exhausted()
            yield whole
        return
    while (by > 0 and start < stop) or (by < 0 and start > stop):
        machine.spend(1)
        yield start
        start = add(machine, start, by)


def _counted(name: str, whole: Callable[[float], int]) -> Callable[[Any], int]:
    """Reads a number of outputs, which *whole* rounds."""

    def check(count: Any) -> int:
        if type(count) is not int and type(count) is not float:
            raise EvaluationError(f"{name} needs a number")
        if not count >= 0:  # NaN too
            raise EvaluationError(f"{name} doesn't support negative count")
        return whole(min(count, LIMITS.array * 10))

    return check


def _trace_limit(builder: Builder, node: Call, scope: Scope) -> Trace:
    counts, body = builder.code(node.arguments[0], scope).many, builder.trace(node.arguments[1], scope)
    limit = _counted("limit", math.ceil)

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for count in counts(env, value):
            left = limit(count)
            if left > 0:
                yield from _some(env[0], body(env, path, value), left)

    return trace


def _some(machine: Machine, outputs: Iterable[Any], left: int) -> Iterable[Any]:
    """The first *left* of *outputs*; what comes after them is not even asked for."""
    for output in outputs:
        machine.spend(1)
        yield output
        left -= 1
        if left <= 0:
            return


def _limit(builder: Builder, node: Call, scope: Scope) -> Code:
    count, body = arguments_of(builder, node, scope)
    counts, stream = count.many, body.many
    limit = _counted("limit", math.ceil)

    def many(env: Env, value: Any) -> Iterable[Any]:
        for wanted in counts(env, value):
            left = limit(wanted)
            if left > 0:
                yield from _some(env[0], stream(env, value), left)

    return Code(None, many, parts=(count, body))


def _trace_skip(builder: Builder, node: Call, scope: Scope) -> Trace:
    counts, body = builder.code(node.arguments[0], scope).many, builder.trace(node.arguments[1], scope)
    limit = _counted("skip", math.floor)

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for count in counts(env, value):
            left = limit(count)
            yield from _rest(env[0], body(env, path, value), left)

    return trace


def _rest(machine: Machine, outputs: Iterable[Any], left: int) -> Iterable[Any]:
    """*outputs* without the first *left*."""
    for output in outputs:
        machine.spend(1)
        if left > 0:
            left -= 1
        else:
            yield output


def _skip(builder: Builder, node: Call, scope: Scope) -> Code:
    count, body = arguments_of(builder, node, scope)
    counts, stream = count.many, body.many
    limit = _counted("skip", math.floor)

    def many(env: Env, value: Any) -> Iterable[Any]:
        for unwanted in counts(env, value):
            left = limit(unwanted)
            yield from _rest(env[0], stream(env, value), left)

    return Code(None, many, parts=(count, body))


def _trace_first(builder: Builder, node: Call, scope: Scope) -> Trace:
    body = builder.trace(node.arguments[0], scope)

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for reached in body(env, path, value):
            return (reached,)
        return ()

    return trace


def _first(builder: Builder, node: Call, scope: Scope) -> Code:
    (body,) = arguments_of(builder, node, scope)
    if body.one is not None:
        return body
    stream = body.many

    def many(env: Env, value: Any) -> Iterable[Any]:
        for output in stream(env, value):
            return (output,)
        return ()

    return Code(None, many, parts=(body,), grows=body.grows, optional=True)


def _trace_last(builder: Builder, node: Call, scope: Scope) -> Trace:
    body = builder.trace(node.arguments[0], scope)

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        found: tuple[Any, ...] = ()
        for reached in body(env, path, value):
            env[0].spend(1)
            found = (reached,)
        return found

    return trace


def _last(builder: Builder, node: Call, scope: Scope) -> Code:
    (body,) = arguments_of(builder, node, scope)
    if body.one is not None:
        return body
    stream = body.many

    def many(env: Env, value: Any) -> Iterable[Any]:
        found: tuple[Any, ...] = ()
        for output in stream(env, value):
            env[0].spend(1)
            found = (output,)
        return found

    return Code(None, many, parts=(body,), grows=body.grows, optional=True)


def _is_empty(builder: Builder, node: Call, scope: Scope) -> Code:
    (body,) = arguments_of(builder, node, scope)
    stream = body.many

    def one(env: Env, value: Any) -> Any:
        for _ in stream(env, value):
            return False
        return True

    return Code(one, parts=(body,), grows=PART)


def _quantifier(decisive: bool) -> Compiler:
    """``any`` (*decisive* is True) and ``all``: what the first output that equals *decisive* decides."""

    def compile(builder: Builder, node: Call, scope: Scope) -> Code:
        arguments = list(node.arguments)
        generator = arguments.pop(0) if len(arguments) == 2 else items_of(node)
        condition = arguments[0] if arguments else syntax.Identity(node.position)
        body = builder.code(syntax.Pipe(node.position, generator, condition), scope)
        stream = body.many

        def one(env: Env, value: Any) -> Any:
            machine = env[0]
            for output in stream(env, value):
                machine.spend(1)
                if truthy(output) is decisive:
                    return decisive
            return not decisive

        return Code(one, parts=(body,), grows=PART)

    return compile


LOOPS: dict[tuple[str, int], Builtin] = {
    ("recurse", 0): Builtin(_recurse_all, _trace_recurse),
    ("recurse", 2): Builtin(_recurse, _trace_recurse),
    ("recurse", 1): Builtin(_recurse, _trace_recurse),
    ("repeat", 1): Builtin(_repeat, _trace_as("_repeat")),
    ("until", 2): Builtin(_until, _trace_as("_until")),
    ("range", 3): Builtin(_range),
    ("range", 2): Builtin(_range),
    ("range", 1): Builtin(_range),
    ("limit", 2): Builtin(_limit, _trace_limit),
    ("skip", 2): Builtin(_skip, _trace_skip),
    ("first", 1): Builtin(_first, _trace_first),
    ("last", 1): Builtin(_last, _trace_last),
    ("isempty", 1): Builtin(_is_empty),
    **{("any", arity): Builtin(_quantifier(decisive=True)) for arity in range(3)},
    **{("all", arity): Builtin(_quantifier(decisive=False)) for arity in range(3)},
}
"""`recurse`, `range`, `limit`, `any` and their kind."""
