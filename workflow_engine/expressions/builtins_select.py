"""Builtins that choose, map and order the elements of their input by a filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from workflow_engine.expressions import builtins_values as values
from workflow_engine.expressions import columns, syntax
from workflow_engine.expressions.access import Path
from workflow_engine.expressions.code import (
    PART,
    Builder,
    Builtin,
    Code,
    Env,
    Scope,
    Trace,
    arguments_of,
    truthy,
)
from workflow_engine.expressions.limits import Machine
from workflow_engine.expressions.selecting import elements
from workflow_engine.expressions.syntax import Call, Node

INNER_SELECT = " select"
"""``select`` for what the compiler builds: no program can define a function of this name over it."""


def items_of(node: Node) -> syntax.Iterate:
    """``.[]``, for what the compiler builds in the place of *node*."""
    return syntax.Iterate(node.position, syntax.Identity(node.position))


def _trace_empty(_builder: Builder, _node: Call, _scope: Scope) -> Trace:
    return lambda _env, _path, _value: ()


def _empty(_builder: Builder, _node: Call, _scope: Scope) -> Code:
    return Code(None, lambda _env, _value: (), grows=PART, optional=True)


def _trace_select(builder: Builder, node: Call, scope: Scope) -> Trace:
    conditions = builder.code(node.arguments[0], scope).many

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for decided in conditions(env, value):
            env[0].spend(1)
            if truthy(decided):
                yield path, value

    return trace


def _select(builder: Builder, node: Call, scope: Scope) -> Code:
    (condition,) = arguments_of(builder, node, scope)
    check, checks = condition.one, condition.many
    if check is not None:
        code = Code(
            None,
            lambda env, value: (value,) if truthy(check(env, value)) else (),
            parts=(condition,),
            grows=PART,
            optional=True,
        )
        code.condition = condition
        return code

    def many(env: Env, value: Any) -> Iterable[Any]:
        for decided in checks(env, value):
            env[0].spend(1)
            if truthy(decided):
                yield value

    return Code(None, many, parts=(condition,), optional=condition.optional)


def _map(builder: Builder, node: Call, scope: Scope) -> Code:
    return builder.code(
        syntax.Array(node.position, syntax.Pipe(node.position, items_of(node), node.arguments[0])), scope
    )


def _map_values(builder: Builder, node: Call, scope: Scope) -> Code:
    return builder.code(syntax.Assign(node.position, "|=", items_of(node), node.arguments[0]), scope)


def _add(builder: Builder, node: Call, scope: Scope) -> Code:
    (body,) = arguments_of(builder, node, scope)
    stream = body.items or body.gathered or body.many
    return Code(lambda env, value: values.total(env[0], list(stream(env, value))), parts=(body,))


def _keyed(apply: Callable[[Machine, Any, list[Any]], Any]) -> Callable[[Builder, Call, Scope], Code]:
    """A builtin such as ``sort_by(f)``: the key of an element is the array of the outputs of *f* on it."""

    def compile(builder: Builder, node: Call, scope: Scope) -> Code:
        (body,) = arguments_of(builder, node, scope)
        keys_of = None if body.one is None else columns.applied(body)
        keys, weight = body.many, body.weight

        def one(env: Env, value: Any) -> Any:
            machine = env[0]
            if type(value) is not list:
                elements(value)
                raise values.problem(value, f"cannot be given to {node.name}, as it is not an array")
            machine.spend(len(value) * weight)
            if keys_of is not None:
                return apply(machine, value, keys_of(env, value))
            return apply(machine, value, [list(keys(env, item)) for item in value])

        return Code(one, parts=(body,))

    return compile


def _walk(builder: Builder, node: Call, scope: Scope) -> Code:
    (body,) = arguments_of(builder, node, scope)
    step = body.one
    if step is None:
        return builder.code(Call(node.position, "_walk", node.arguments), scope)
    apply = step

    def one(env: Env, value: Any) -> Any:
        return values.walk(env[0], value, lambda part: apply(env, part), body.weight + 1)

    return Code(one, parts=(body,))


SELECT: dict[tuple[str, int], Builtin] = {
    ("empty", 0): Builtin(_empty, _trace_empty),
    ("select", 1): Builtin(_select, _trace_select),
    ("map", 1): Builtin(_map),
    ("map_values", 1): Builtin(_map_values),
    ("add", 1): Builtin(_add),
    ("sort_by", 1): Builtin(_keyed(values.sorted_by)),
    ("group_by", 1): Builtin(_keyed(values.grouped_by)),
    ("unique_by", 1): Builtin(_keyed(values.unique_by)),
    ("min_by", 1): Builtin(_keyed(values.least_by)),
    ("max_by", 1): Builtin(_keyed(values.greatest_by)),
    ("walk", 1): Builtin(_walk),
    (INNER_SELECT, 1): Builtin(_select, _trace_select),
}
"""`empty`, `select`, `map`, `sort_by` and their kind."""
