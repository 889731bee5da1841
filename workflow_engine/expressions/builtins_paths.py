"""Builtins on paths: finding, following, deleting, picking, streaming."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from workflow_engine.expressions import builtins_values as values
from workflow_engine.expressions.access import Path, drop_paths, get, put
from workflow_engine.expressions.code import (
    Builder,
    Builtin,
    Code,
    Env,
    Scope,
    Trace,
    arguments_of,
    not_a_path,
)
from workflow_engine.expressions.limits import MAX_DEPTH, Machine, too_deep
from workflow_engine.expressions.selecting import children
from workflow_engine.expressions.syntax import Call


def _found_paths(builder: Builder, node: Call, scope: Scope) -> Callable[[Env, Any], Iterable[Path]]:
    trace = builder.trace(node.arguments[0], scope)

    def paths(env: Env, value: Any) -> Iterable[Path]:
        machine = env[0]
        for path, found in trace(env, (), value):
            machine.spend(1)
            if path is None:
                raise not_a_path(found)
            yield path

    return paths


def _path(builder: Builder, node: Call, scope: Scope) -> Code:
    paths = _found_paths(builder, node, scope)
    return Code(None, lambda env, value: (list(path) for path in paths(env, value)))


def _del(builder: Builder, node: Call, scope: Scope) -> Code:
    paths = _found_paths(builder, node, scope)
    return Code(lambda env, value: drop_paths(env[0], value, paths(env, value)))


def _pick(builder: Builder, node: Call, scope: Scope) -> Code:
    paths = _found_paths(builder, node, scope)

    def one(env: Env, value: Any) -> Any:
        picked = None
        for path in paths(env, value):
            picked = put(env[0], picked, path, get(env[0], value, path))
        return picked

    return Code(one)


def _trace_getpath(builder: Builder, node: Call, scope: Scope) -> Trace:
    paths = builder.code(node.arguments[0], scope).many

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for further in paths(env, value):
            if path is None:
                raise not_a_path(value)
            found = values.GETPATH(env[0], value, further)
            yield (*path, *values.path_of(further)), found

    return trace


def _getpath(builder: Builder, node: Call, scope: Scope) -> Code:
    (path,) = arguments_of(builder, node, scope)
    place, places = path.one, path.many
    if place is not None:
        return Code(lambda env, value: values.GETPATH(env[0], value, place(env, value)), parts=(path,))

    def many(env: Env, value: Any) -> Iterable[Any]:
        for where in places(env, value):
            env[0].spend(1)
            yield values.GETPATH(env[0], value, where)

    return Code(None, many, parts=(path,))


def _to_stream(_builder: Builder, _node: Call, _scope: Scope) -> Code:
    def many(env: Env, value: Any) -> Iterable[Any]:
        return _streamed(env[0], value, [])

    return Code(None, many)


def _streamed(machine: Machine, value: Any, path: list[Any]) -> Iterable[Any]:
    machine.spend(2 + len(path))
    if len(path) > MAX_DEPTH:
        too_deep()
    last: Any = None
    if (type(value) is list or type(value) is dict) and value:
        for last, item in children(value):
            yield from _streamed(machine, item, [*path, last])
        yield [[*path, last]]
    else:
        yield [path, value]


def _paths(_builder: Builder, _node: Call, _scope: Scope) -> Code:
    """``paths``: the path of every part, each before the parts inside it."""

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        path: list[Any] = []
        pending = [iter(children(value))]
        while pending:
            for key, found in pending[-1]:
                machine.spend(4 + (len(path) >> 2))
                yield [*path, key]
                if type(found) is list or type(found) is dict:
                    path.append(key)
                    pending.append(iter(children(found)))
                    break
            else:
                pending.pop()
                if path:
                    path.pop()

    return Code(None, many)


PATHS: dict[tuple[str, int], Builtin] = {
    ("path", 1): Builtin(_path),
    ("paths", 0): Builtin(_paths),
    ("del", 1): Builtin(_del),
    ("pick", 1): Builtin(_pick),
    ("getpath", 1): Builtin(_getpath, _trace_getpath),
    ("tostream", 0): Builtin(_to_stream),
}
"""`path`, `del`, `getpath` and their kind."""
