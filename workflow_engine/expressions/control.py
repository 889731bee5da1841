"""Compiles what decides and joins: ``|``, ``,``, ``if``, ``and``, ``//``, ``try``, ``label``; also as paths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workflow_engine.expressions import columns, syntax
from workflow_engine.expressions.access import Path
from workflow_engine.expressions.building import flat, one_after_other
from workflow_engine.expressions.code import (
    GROWN,
    PART,
    Break,
    Builder,
    Code,
    Env,
    One,
    Scope,
    Trace,
    truthy,
)
from workflow_engine.expressions.errors import EvaluationError, LimitExceeded
from workflow_engine.expressions.selecting import chain


def pipe(builder: Builder, node: syntax.Pipe, scope: Scope, tail: bool) -> Code:
    left = builder.code(node.left, scope)
    right = builder.code(node.right, scope, tail=tail and left.one is not None)
    return joined(left, right)


def joined(left: Code, right: Code) -> Code:
    """``left | right``."""
    before, after = left.one, right.one
    streams, following = left.many, right.many
    if before is not None:
        if left.keys == () and left.base is None:
            return right
        grows = right.grows if left.grows == PART else left.grows if right.grows == PART else GROWN
        if after is not None:
            if left.keys is not None and right.keys is not None and right.base is None:
                return _continued(left, right)
            code = Code(lambda env, value: after(env, before(env, value)), parts=(left, right), grows=grows)
            code.fixed = left.fixed
            if left.column is not None or right.column is not None:
                code.column = columns.chained(left, columns.column(right))
            return code
        return Code(
            None,
            lambda env, value: following(env, before(env, value)),
            parts=(left, right),
            grows=grows,
            optional=right.optional,
        )
    steps = right.weight
    if after is not None:
        code = Code(None, _mapped(left, after, steps), parts=(left, right), optional=left.optional)
        if left.items is not None:
            code.items = _mapped_items(left, right, steps)
            code.fixed = left.fixed
        return code

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        for output in streams(env, value):
            machine.fuel -= steps
            if machine.fuel < 0:
                machine.exhausted()
            yield from following(env, output)

    code = Code(None, many, parts=(left, right), optional=left.optional and right.optional)
    if left.items is not None and right.condition is not None:
        code.items = _filtered_items(left, right.condition, steps)
        code.fixed = left.fixed
    return code


def _continued(left: Code, right: Code) -> Code:
    """Two paths of constant keys, as one."""
    code = chain(left.base, (*(left.keys or ()), *(right.keys or ())))
    code.grows, code.weight, code.height = left.grows, left.weight + right.weight, left.height
    code.fixed = left.fixed
    return code


def _mapped(left: Code, after: One, steps: int) -> Any:
    streams = left.many

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        for output in streams(env, value):
            machine.fuel -= steps
            if machine.fuel < 0:
                machine.exhausted()
            yield after(env, output)

    return many


def _mapped_items(left: Code, right: Code, steps: int) -> Any:
    items, apply = left.items, columns.applied(right)
    assert items is not None

    def all_items(env: Env, value: Any) -> list[Any]:
        found = items(env, value)
        env[0].spend(len(found) * steps)
        return apply(env, found)

    return all_items


def _filtered_items(left: Code, condition: Code, steps: int) -> Any:
    items, select = left.items, columns.selected(condition)
    assert items is not None

    def all_items(env: Env, value: Any) -> list[Any]:
        found = items(env, value)
        env[0].spend(len(found) * steps)
        return select(env, found)

    return all_items


def trace_pipe(builder: Builder, node: syntax.Pipe, scope: Scope) -> Trace:
    before, after = builder.trace(node.left, scope), builder.trace(node.right, scope)

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        machine = env[0]
        for where, found in before(env, path, value):
            machine.spend(1)
            yield from after(env, where, found)

    return trace


def comma(builder: Builder, node: syntax.Comma, scope: Scope, tail: bool) -> Code:
    nodes = flat(node)
    codes = [builder.code(item, scope) for item in nodes[:-1]]
    codes.append(builder.code(nodes[-1], scope, tail=tail))
    return one_after_other(codes, tail=tail)


def trace_comma(builder: Builder, node: syntax.Comma, scope: Scope) -> Trace:
    traces = [builder.trace(item, scope) for item in flat(node)]

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for one in traces:
            yield from one(env, path, value)

    return trace


def if_(builder: Builder, node: syntax.If, scope: Scope, tail: bool) -> Code:
    condition = builder.code(node.condition, scope)
    tail = tail and condition.one is not None
    then = builder.code(node.then, scope, tail=tail)
    otherwise = builder.code(node.otherwise, scope, tail=tail) if node.otherwise else chain(None, ())
    parts = (condition, then, otherwise)
    grows = max(then.grows, otherwise.grows)
    optional = condition.optional and then.optional and otherwise.optional
    check, yes, no = condition.one, then.one, otherwise.one
    if check is not None and yes is not None and no is not None:

        def one(env: Env, value: Any) -> Any:
            decided = check(env, value)
            return no(env, value) if decided is None or decided is False else yes(env, value)

        code = Code(one, parts=parts, grows=grows)
        code.column = columns.choice(condition, then, otherwise)
        code.fixed = all(part.fixed for part in parts)
        return code
    yes_stream, no_stream, checks = then.many, otherwise.many, condition.many
    if check is not None:

        def either(env: Env, value: Any) -> Iterable[Any]:
            return (yes_stream if truthy(check(env, value)) else no_stream)(env, value)

        return Code(None, either, parts=parts, grows=grows, optional=optional)

    def many(env: Env, value: Any) -> Iterable[Any]:
        for decided in checks(env, value):
            env[0].spend(1)
            yield from (yes_stream if truthy(decided) else no_stream)(env, value)

    return Code(None, many, parts=parts, optional=optional)


def trace_if(builder: Builder, node: syntax.If, scope: Scope) -> Trace:
    checks = builder.code(node.condition, scope).many
    then = builder.trace(node.then, scope)
    otherwise = builder.trace(node.otherwise or syntax.Identity(node.position), scope)

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for decided in checks(env, value):
            yield from (then if truthy(decided) else otherwise)(env, path, value)

    return trace


def logic(builder: Builder, node: syntax.Logic, scope: Scope, _tail: bool) -> Code:
    left, right = builder.code(node.left, scope), builder.code(node.right, scope)
    decisive = node.operator == "or"
    first, second = left.one, right.one
    if first is not None and second is not None:
        one: One = lambda env, value: truthy(first(env, value)) and truthy(second(env, value))  # noqa: E731
        if decisive:
            one = lambda env, value: truthy(first(env, value)) or truthy(second(env, value))  # noqa: E731
        code = Code(one, parts=(left, right), grows=PART)
        code.column = columns.logic(left, right, decisive=decisive)
        code.fixed = left.fixed and right.fixed
        return code
    lefts, rights = left.many, right.many

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        for known in lefts(env, value):
            machine.spend(1)
            if truthy(known) is decisive:
                yield decisive
                continue
            for other in rights(env, value):
                machine.spend(1)
                yield truthy(other)

    return Code(None, many, parts=(left, right), optional=left.optional and right.optional)


def alternative(builder: Builder, node: syntax.Alternative, scope: Scope, _tail: bool) -> Code:
    left, right = builder.code(node.left, scope), builder.code(node.right, scope)
    lefts, rights = left.many, right.many
    parts, grows = (left, right), max(left.grows, right.grows)
    first, second = left.one, right.one
    if first is not None and second is not None:

        def one(env: Env, value: Any) -> Any:
            output = first(env, value)
            return second(env, value) if output is None or output is False else output

        code = Code(one, parts=parts, grows=grows)
        code.column = columns.defaults(left, right)
        code.fixed = left.fixed and right.fixed
        return code
    if left.optional and second is not None:

        def default(env: Env, value: Any) -> Any:
            for output in lefts(env, value):
                if output is not None and output is not False:
                    return output
            return second(env, value)

        return Code(default, parts=parts, grows=grows)

    def many(env: Env, value: Any) -> Iterable[Any]:
        found = False
        for output in lefts(env, value):
            env[0].spend(1)
            if output is not None and output is not False:
                found = True
                yield output
        if not found:
            yield from rights(env, value)

    return Code(None, many, parts=parts, grows=grows, optional=left.optional and right.optional)


def trace_alternative(builder: Builder, node: syntax.Alternative, scope: Scope) -> Trace:
    left, right = builder.trace(node.left, scope), builder.trace(node.right, scope)

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        found = False
        for where, output in left(env, path, value):
            env[0].spend(1)
            if output is not None and output is not False:
                found = True
                yield where, output
        if not found:
            yield from right(env, path, value)

    return trace


def try_(builder: Builder, node: syntax.Try, scope: Scope, _tail: bool) -> Code:
    body = builder.code(node.body, scope)
    handler = builder.code(node.handler, scope) if node.handler else None
    parts = (body, handler) if handler else (body,)
    attempt, stream = body.one, body.many
    handle = handler.many if handler else lambda _env, _value: ()
    if attempt is not None:
        repair = handler.one if handler else None
        if repair is not None:

            def one(env: Env, value: Any) -> Any:
                try:
                    return attempt(env, value)
                except EvaluationError as error:
                    caught = _caught(error)
                return repair(env, caught)

            return Code(one, parts=parts)

        def at_most_one(env: Env, value: Any) -> Iterable[Any]:
            try:
                return (attempt(env, value),)
            except EvaluationError as error:
                caught = _caught(error)
            return handle(env, caught)

        optional = handler is None or handler.optional
        return Code(
            None, at_most_one, parts=parts, grows=body.grows if not handler else GROWN, optional=optional
        )

    def many(env: Env, value: Any) -> Iterable[Any]:
        try:
            yield from stream(env, value)
        except EvaluationError as error:
            caught = _caught(error)
        else:
            return
        yield from handle(env, caught)

    return Code(None, many, parts=parts, optional=body.optional and handler is None)


def _caught(error: EvaluationError) -> Any:
    """What the handler of a ``try`` gets; a limit that was met goes on through it."""
    if isinstance(error, LimitExceeded):
        raise error
    return error.caught()


def trace_try(builder: Builder, node: syntax.Try, scope: Scope) -> Trace:
    body = builder.trace(node.body, scope)
    handler = builder.trace(node.handler, scope) if node.handler else None

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        try:
            yield from body(env, path, value)
        except EvaluationError as error:
            caught = _caught(error)
        else:
            return
        if handler is not None:
            yield from handler(env, None, caught)

    return trace


def label(builder: Builder, node: syntax.Label, scope: Scope, _tail: bool) -> Code:
    body = builder.code(node.body, scope.with_label(node.name))
    stream = body.many

    def many(env: Env, value: Any) -> Iterable[Any]:
        token = object()
        try:
            yield from stream((*env, token), value)
        except Break as stop:
            if stop.token is not token:
                raise

    return Code(None, many, parts=(body,))


def trace_label(builder: Builder, node: syntax.Label, scope: Scope) -> Trace:
    body = builder.trace(node.body, scope.with_label(node.name))

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        token = object()
        try:
            yield from body((*env, token), path, value)
        except Break as stop:
            if stop.token is not token:
                raise

    return trace


def break_(builder: Builder, node: syntax.Break, scope: Scope, _tail: bool) -> Code:
    slot = scope.labels.get(node.name)
    if slot is None:
        builder.fail(f"there is no `label ${node.name}` around this break", node)

    def one(env: Env, _value: Any) -> Any:
        raise Break(env[slot])

    return Code(one)
