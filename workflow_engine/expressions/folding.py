"""Compiles ``reduce`` and ``foreach``.

A ``reduce`` that grows an array or object step by step would copy it each time, since data is never changed.
Where the update is an assignment, or adds something to ``.``, it works on a copy of its own instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from workflow_engine.expressions import arithmetic, syntax
from workflow_engine.expressions.access import Path
from workflow_engine.expressions.assignment import editing, reads_input
from workflow_engine.expressions.binding import Bound, attempts, bound
from workflow_engine.expressions.code import Builder, Code, Env, Scope, Trace
from workflow_engine.expressions.limits import LIMITS, too_long


def reduce(builder: Builder, node: syntax.Reduce, scope: Scope, _tail: bool) -> Code:
    source = builder.code(node.source, scope)
    start = builder.code(node.start, scope)
    inner, patterns = bound(builder, node.patterns, scope, source.grows)
    update = builder.code(node.update, inner)
    fold = (
        _adding(builder, node.update, inner, patterns, source, update.weight)
        or _edited(builder, node.update, inner, patterns, source, update.weight)
        or _folded(source, patterns, update)
    )
    parts = (source, start, update)
    begin, begins = start.one, start.many
    if begin is not None:
        return Code(lambda env, value: fold(env, value, begin(env, value)), parts=parts)

    def many(env: Env, value: Any) -> Iterable[Any]:
        for state in begins(env, value):
            yield fold(env, value, state)

    return Code(None, many, parts=parts)


_Fold = Callable[[Env, Any, Any], Any]


def _folded(source: Code, patterns: list[Bound], update: Code) -> _Fold:
    sources, step, steps, weight = source.items or source.many, update.one, update.many, update.weight
    only = patterns[0] if len(patterns) == 1 else None

    def fold(env: Env, value: Any, state: Any) -> Any:
        machine = env[0]
        for found in sources(env, value):
            machine.fuel -= weight
            if machine.fuel < 0:
                machine.exhausted()
            if only is not None and step is not None:
                for slots in only(env, found):
                    state = step((*env, *slots), state)
                continue
            before, state = state, None
            for output in _updates(env, found, patterns, steps, before):
                state = output
        return state

    return fold


def _updates(env: Env, found: Any, patterns: list[Bound], steps: Any, state: Any) -> Iterable[Any]:
    """The outputs of an update for one element, its state passed on from each binding to the next."""
    if len(patterns) > 1:
        yield from attempts(env, found, patterns, lambda inner: steps(inner, state))
        return
    for slots in patterns[0](env, found):
        last = None
        for output in steps((*env, *slots), state):
            env[0].spend(1)
            last = output
            yield output
        state = last


def _adding(
    builder: Builder, node: syntax.Node, inner: Scope, patterns: list[Bound], source: Code, weight: int
) -> _Fold | None:
    """The fold of ``. + addition``, where the addition does not look at ``.``."""
    if not (
        isinstance(node, syntax.Binary) and node.operator == "+" and isinstance(node.left, syntax.Identity)
    ):
        return None
    addition = builder.code(node.right, inner).one
    if addition is None or reads_input(node.right) or len(patterns) != 1:
        return None
    more, only, sources = addition, patterns[0], source.items or source.many

    def fold(env: Env, value: Any, state: Any) -> Any:
        machine = env[0]
        own = False
        for found in sources(env, value):
            machine.fuel -= weight
            if machine.fuel < 0:
                machine.exhausted()
            for slots in only(env, found):
                added = more((*env, *slots), None)
                kind = type(state)
                if own and kind is type(added) and (kind is list or kind is dict):
                    machine.spend(len(added) >> 3)
                    state.extend(added) if kind is list else state.update(added)
                    if len(state) > LIMITS.array:
                        too_long(len(state))
                else:
                    own = kind is type(added) and (kind is list or kind is dict)
                    state = arithmetic.add(machine, state, added)
        return state

    return fold


def _edited(
    builder: Builder, node: syntax.Node, inner: Scope, patterns: list[Bound], source: Code, weight: int
) -> _Fold | None:
    """The fold of an assignment, which edits one copy of the state."""
    edit = editing(builder, node, inner) if isinstance(node, syntax.Assign) else None
    if edit is None or len(patterns) != 1:
        return None
    make, apply = edit
    only, sources = patterns[0], source.items or source.many

    def fold(env: Env, value: Any, state: Any) -> Any:
        machine = env[0]
        editor = make(machine, state)
        for found in sources(env, value):
            machine.fuel -= weight
            if machine.fuel < 0:
                machine.exhausted()
            for slots in only(env, found):
                apply((*env, *slots), editor)
        return editor.root

    return fold


def trace_reduce(builder: Builder, node: syntax.Reduce, scope: Scope) -> Trace:
    source = builder.code(node.source, scope)
    inner, patterns = bound(builder, node.patterns, scope, source.grows)
    start, update = builder.trace(node.start, scope), builder.trace(node.update, inner)
    sources = source.many

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for begin in start(env, path, value):
            reached = begin
            for found in sources(env, value):
                env[0].spend(1)
                before, reached = reached, (None, None)
                for state in _traced(env, found, patterns, update, before):
                    reached = state
            yield reached

    return trace


def _traced(
    env: Env, found: Any, patterns: list[Bound], update: Trace, state: tuple[Path | None, Any]
) -> Iterable[tuple[Path | None, Any]]:
    return attempts(env, found, patterns, lambda inner: update(inner, *state))


def foreach(builder: Builder, node: syntax.Foreach, scope: Scope, _tail: bool) -> Code:
    source = builder.code(node.source, scope)
    start = builder.code(node.start, scope)
    inner, patterns = bound(builder, node.patterns, scope, source.grows)
    update = builder.code(node.update, inner)
    extract = builder.code(node.extract, inner) if node.extract else None
    sources, begins, steps, weight = source.many, start.many, update.many, update.weight
    parts = (source, start, update, *([extract] if extract else []))
    extracts = extract.many if extract else None

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        for state in begins(env, value):
            for found in sources(env, value):
                machine.spend(weight)
                before, state = state, None
                for inner_env, output in attempts(env, found, patterns, _paired(steps, before)):
                    machine.spend(1)
                    state = output
                    if extracts is None:
                        yield output
                    else:
                        yield from extracts(inner_env, output)

    return Code(None, many, parts=parts)


def _paired(steps: Any, state: Any) -> Callable[[Env], Iterable[Any]]:
    """The outputs of an update, each with the environment it was made in."""
    return lambda inner: ((inner, output) for output in steps(inner, state))


def trace_foreach(builder: Builder, node: syntax.Foreach, scope: Scope) -> Trace:
    source = builder.code(node.source, scope)
    inner, patterns = bound(builder, node.patterns, scope, source.grows)
    start, update = builder.trace(node.start, scope), builder.trace(node.update, inner)
    extract = builder.trace(node.extract, inner) if node.extract else None
    sources = source.many

    def trace(env: Env, path: Path | None, value: Any) -> Iterable[tuple[Path | None, Any]]:
        for begin in start(env, path, value):
            state = begin
            for found in sources(env, value):
                env[0].spend(1)
                before, state = state, (None, None)
                for deeper, reached in attempts(env, found, patterns, _paired_trace(update, before)):
                    state = reached
                    if extract is None:
                        yield reached
                    else:
                        yield from extract(deeper, *reached)

    return trace


def _paired_trace(update: Trace, state: tuple[Path | None, Any]) -> Callable[[Env], Iterable[Any]]:
    return lambda inner: ((inner, reached) for reached in update(inner, *state))
