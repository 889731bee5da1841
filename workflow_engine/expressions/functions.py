"""Compiles ``def`` and calls: closures as arguments, recursion, and calls in tail position without a stack."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

from workflow_engine.expressions import syntax
from workflow_engine.expressions.access import Path
from workflow_engine.expressions.code import (
    FIRST_SLOT,
    TAIL,
    Builder,
    Code,
    Definition,
    Env,
    Many,
    One,
    Parameter,
    Scope,
    Trace,
    Variant,
    too_many_calls,
)
from workflow_engine.expressions.limits import LEAST_FRAMES, LIMITS

_CALL = 8
"""Steps that a call takes besides its body."""


def define(builder: Builder, node: syntax.Define, scope: Scope, tail: bool) -> Code:
    definition = defined(node.function, scope)
    code = builder.code(node.body, definition.scope, tail=tail)
    if not definition.variants:  # nobody calls it; it must make sense all the same
        filters = [
            name
            for name in node.function.parameters
            if not name.startswith("$") or name[1:] in definition.calls
        ]
        _variant(builder, definition, (False,) * len(filters))
    return code


def trace_define(builder: Builder, node: syntax.Define, scope: Scope) -> Trace:
    return builder.trace(node.body, defined(node.function, scope).scope)


def defined(function: syntax.Function, scope: Scope) -> Definition:
    """*function* in *scope*; the scope of the result has it, so it sees itself."""
    definition = Definition(function, scope)
    definition.scope = scope.with_function(function.name, len(function.parameters), definition)
    return definition


def call(
    builder: Builder, node: syntax.Call, scope: Scope, target: Definition | Parameter, *, tail: bool
) -> Code:
    """Compile a call of what the program itself defines."""
    if isinstance(target, Parameter):
        return _call_parameter(target)
    return _call_definition(builder, node, scope, target, tail=tail)


def _call_parameter(target: Parameter) -> Code:
    slot = target.slot

    def many(env: Env, value: Any) -> Iterable[Any]:
        code, home = env[slot]
        env[0].spend(code.weight)
        return code.many(home, value)  # type: ignore[no-any-return]

    if not target.single:
        return Code(None, many)

    def one(env: Env, value: Any) -> Any:
        code, home = env[slot]
        env[0].spend(code.weight)
        return code.one(home, value)

    return Code(one)


def _call_definition(
    builder: Builder, node: syntax.Call, scope: Scope, target: Definition, *, tail: bool
) -> Code:
    parts = [builder.code(argument, scope) for argument in node.arguments]
    variant, enters, enter = _prepared(builder, node, scope, target, parts)
    if enter is None:
        return Code(None, _calling_many(enters, variant), parts=parts)
    if variant.busy and tail:
        return Code(*_tail_call(enter, variant), parts=parts)
    if variant.single:
        return Code(_calling_one(enter, variant), parts=parts)
    return Code(None, _calling_many(enters, variant), parts=parts)


def _prepared(
    builder: Builder, node: syntax.Call, scope: Scope, target: Definition, arguments: list[Code]
) -> tuple[Variant, Many, One | None]:
    """The variant that a call with *arguments* needs, and how the environments of the callee are made; if there is one,
    how.
    """
    parameters = target.function.parameters
    makers: list[One | None] = []
    streams: list[Many] = []
    signature: list[bool] = []
    for argument, code, name in zip(node.arguments, arguments, parameters, strict=True):
        if name.startswith("$"):
            makers.append(code.one)
            streams.append(code.many)
        if not name.startswith("$") or name[1:] in target.calls:
            signature.append(code.one is not None)
            pair = _closure(builder, argument, code, scope)
            makers.append(pair)
            streams.append(_as_stream(pair))
    variant = _variant(builder, target, tuple(signature))
    size = target.scope.size
    fixed = [make for make in makers if make is not None]
    if len(fixed) == len(makers):
        enter = _entering(fixed, size, variant)
        return variant, _as_stream(enter), enter
    return variant, _entering_each(streams, size, variant), None


def _as_stream(one: One) -> Many:
    return lambda env, value: (one(env, value),)


def _closure(builder: Builder, argument: syntax.Node, code: Code, scope: Scope) -> One:
    """How the pair for a filter parameter is made; a parameter that is passed on is the pair it already is."""
    if isinstance(argument, syntax.Call) and not argument.arguments:
        passed = scope.functions.get((argument.name, 0))
        if isinstance(passed, Parameter):
            slot = passed.slot
            return lambda env, _value: env[slot]
    code.make_trace = lambda: builder.trace(argument, scope)
    return lambda env, _value: (code, env)


def _entering(makers: list[One], size: int, variant: Variant) -> One:
    if not makers:
        return lambda env, _value: (env[0], _deeper(env, variant), *env[FIRST_SLOT:size])
    if len(makers) == 1:
        only = makers[0]
        return lambda env, value: (
            env[0], _deeper(env, variant), *env[FIRST_SLOT:size], only(env, value),
        )  # fmt: skip
    return lambda env, value: (
        env[0], _deeper(env, variant), *env[FIRST_SLOT:size], *[make(env, value) for make in makers],
    )  # fmt: skip


def _entering_each(streams: list[Many], size: int, variant: Variant) -> Many:
    def many(env: Env, value: Any) -> Iterable[Env]:
        start = (env[0], _deeper(env, variant), *env[FIRST_SLOT:size])
        for values in product(*[stream(env, value) for stream in streams]):
            yield (*start, *values)

    return many


def _deeper(env: Env, variant: Variant) -> int:
    depth: int = env[1] + variant.frames
    if depth > LIMITS.calls * LEAST_FRAMES:
        too_many_calls()
    return depth


def _tail_call(enter: One, variant: Variant) -> tuple[One | None, Many | None]:
    """A call whose outputs are its caller's: leaves it to the caller's own call, so that the stack stays."""

    def one(env: Env, value: Any) -> Any:
        env[0].tail = (variant, (*_at_depth(enter(env, value), env[1]),), value)
        return TAIL

    if variant.single:
        return one, None
    return None, lambda env, value: (one(env, value),)


def _at_depth(env: Env, depth: int) -> Env:
    return (env[0], depth, *env[FIRST_SLOT:])


def _calling_one(enter: One, variant: Variant) -> One:
    def one(env: Env, value: Any) -> Any:
        machine = env[0]
        code = variant.code
        machine.fuel -= code.weight + _CALL
        if machine.fuel < 0:
            machine.exhausted()
        output = code.one(enter(env, value), value)  # type: ignore[misc]
        while output is TAIL:
            following, inner, value = machine.tail
            machine.spend(following.code.weight + _CALL)
            output = following.code.one(inner, value)
        return output

    return one


def _calling_many(enters: Many, variant: Variant) -> Many:
    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        for inner in enters(env, value):
            code, start = variant.code, value
            while True:
                machine.spend(code.weight + _CALL)
                again = False
                for output in code.many(inner, start):
                    if output is TAIL:
                        following, inner, start = machine.tail
                        code, again = following.code, True
                        break
                    yield output
                if not again:
                    break

    return many


def _inside(target: Definition, signature: tuple[bool, ...]) -> Scope:
    """The scope of the body of *target*: its parameters, each in the next slot."""
    inner = target.scope
    singles = iter(signature)
    for name in target.function.parameters:
        if name.startswith("$"):
            inner = inner.with_variable(name[1:])
        bare = name.removeprefix("$")
        if bare == name or bare in target.calls:
            slot = inner.size
            widened = inner.with_variable(" " + bare)  # a slot; no program can spell this name
            inner = widened.with_function(bare, 0, Parameter(slot, next(singles)))
    return inner


def _variant(builder: Builder, target: Definition, signature: tuple[bool, ...]) -> Variant:
    """*target* compiled for arguments of *signature*.

    Whether a recursive function has one output depends on itself: it is compiled as if it had, and again as
    if it had not where that turns out wrong.
    """
    known = target.variants.get(signature)
    if known is not None:
        known.recursive = known.recursive or known.busy
        return known
    inner = _inside(target, signature)
    variant = target.variants[signature] = Variant(inner)
    code = builder.code(target.function.body, inner, tail=True)
    if code.one is None:
        variant.single = False
        if variant.recursive:
            code = builder.code(target.function.body, inner, tail=True)
            if code.one is not None:
                code = Code(None, code.many, parts=(code,))
    variant.code = code
    variant.frames = max(LEAST_FRAMES, code.height)
    variant.busy = False
    return variant


def trace_call(builder: Builder, node: syntax.Call, scope: Scope, target: Definition | Parameter) -> Trace:
    """Compile a call of what the program itself defines as a path expression."""
    if isinstance(target, Parameter):
        place = target.slot

        def parameter(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
            code, home = env[place]
            env[0].spend(code.weight)
            return code.trace()(home, path, value)  # type: ignore[no-any-return]

        return parameter
    return _trace_definition(builder, node, scope, target)


def _trace_definition(builder: Builder, node: syntax.Call, scope: Scope, target: Definition) -> Trace:
    arguments = [builder.code(argument, scope) for argument in node.arguments]
    variant, enters, _ = _prepared(builder, node, scope, target, arguments)
    inner = variant.scope
    body = target.function.body

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        if variant.trace is None:  # compiled when first run, since a function may call itself
            variant.trace = builder.trace(body, inner)
        follow = variant.trace
        for callee in enters(env, value):
            env[0].spend(variant.code.weight + _CALL)
            yield from follow(callee, path, value)

    return trace
