"""Compiles the assignments: ``=``, ``|=``, ``+= -= *= /= %=`` and ``//=``. Each makes a changed copy of its input."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from workflow_engine.expressions import syntax
from workflow_engine.expressions.access import Editor, Path, drop_item, drop_paths, index, put, put_item
from workflow_engine.expressions.building import operation
from workflow_engine.expressions.code import (
    BUILT,
    GROWN,
    Builder,
    Code,
    Env,
    Scope,
    Trace,
    not_a_path,
    truthy,
)
from workflow_engine.expressions.limits import Machine
from workflow_engine.expressions.selecting import elements

Change: TypeAlias = Callable[[Machine, Any, Any], Any]
"""From the present value and the assigned one to the new value."""

EMPTY: Any = object()
"""The new value of what is to go: the update had no output."""

_ITERATE: Any = object()
_UNCHANGED: Any = object()


def assign(builder: Builder, node: syntax.Assign, scope: Scope, _tail: bool) -> Code:
    if node.operator == "|=":
        return _update(builder, node, scope)
    value = builder.code(node.value, scope)
    apply = modifier(builder, node.paths, scope, _change(node.operator))
    one, many = value.one, value.many
    if one is not None:
        grows = _size(node.paths, value)
        return Code(lambda env, dot: apply(env, dot, one(env, dot)), parts=(value,), grows=grows)

    def outputs(env: Env, dot: Any) -> Iterable[Any]:
        for assigned in many(env, dot):
            env[0].spend(1)
            yield apply(env, dot, assigned)

    return Code(None, outputs, parts=(value,), optional=value.optional)


def _change(operator: str) -> Change:
    if operator == "=":
        return _replace
    if operator == "//=":
        return lambda _machine, present, assigned: present if truthy(present) else assigned
    return operation(operator[:-1])


def _replace(_machine: Machine, _present: Any, assigned: Any) -> Any:
    return assigned


def _update(builder: Builder, node: syntax.Assign, scope: Scope) -> Code:
    update = builder.code(node.value, scope)
    apply = modifier(builder, node.paths, scope, None, weight=update.weight)
    first = _first(update)
    grows = _size(node.paths, update)
    code = Code(
        lambda env, dot: apply(env, dot, lambda present: first(env, present)), parts=(update,), grows=grows
    )
    code.height += 6
    return code


def _size(paths: syntax.Node, value: Code) -> int:
    """How large the result may be: an assignment to one place that the text names puts one more part in."""
    steps = _steps(paths)
    return max(BUILT, value.grows) if steps is not None and _ITERATE not in steps else GROWN


def _first(update: Code) -> Callable[[Env, Any], Any]:
    """The first output of *update*, or `EMPTY`."""
    if update.one is not None:
        return update.one
    many = update.many

    def first(env: Env, value: Any) -> Any:
        for output in many(env, value):
            return output
        return EMPTY

    return first


def modifier(
    builder: Builder, paths: syntax.Node, scope: Scope, change: Change | None, *, weight: int = 1
) -> Callable[[Env, Any, Any], Any]:
    """How ``.`` is copied with the values at *paths* changed: a function of environment, ``.`` and the assigned.

    Without a *change*, the assigned is a function of the present value, which may answer `EMPTY`.
    """
    steps = _steps(paths)
    if steps is not None:
        keys = tuple(steps)
        if change is _replace and _ITERATE not in keys:
            return lambda env, dot, assigned: put(env[0], dot, keys, assigned)

        def along(env: Env, dot: Any, assigned: Any) -> Any:
            machine = env[0]
            new = assigned if change is None else lambda present: change(machine, present, assigned)
            changed = _along(machine, dot, keys, 0, new, weight)
            return dot if changed is _UNCHANGED else None if changed is EMPTY else changed

        return along
    trace = builder.trace(paths, scope)

    def everywhere(env: Env, dot: Any, assigned: Any) -> Any:
        machine = env[0]
        editor = Editor(machine, dot)
        new = assigned if change is None else lambda present: change(machine, present, assigned)
        gone: list[Path] = []
        for path, found in trace(env, (), dot):
            if path is None:
                raise not_a_path(found)
            machine.spend(weight)
            present = editor.get(path)
            changed = new(present)
            if changed is EMPTY:
                gone.append(path)
                continue
            if editor.owns(present):
                editor.release()
            editor.put(path, changed)
        return drop_paths(machine, editor.root, gone) if gone else editor.root

    return everywhere


def _steps(node: syntax.Node) -> list[Any] | None:
    """The constant keys and iterations of a path such as ``.a[].b``, or None if *node* is any other."""
    found: list[Any] = []
    while True:
        match node:
            case syntax.Identity():
                found.reverse()
                return found
            case syntax.Index(_, target, syntax.Literal(_, key), False) if type(key) in {str, int}:
                found.append(key)
                node = target
            case syntax.Iterate(_, target, False):
                found.append(_ITERATE)
                node = target
            case _:
                return None


def _along(machine: Machine, value: Any, steps: Path, at: int, new: Callable[[Any], Any], weight: int) -> Any:
    """*value* with *new* applied where *steps* lead from *at* on; `_UNCHANGED` if it deleted what is not there."""
    machine.spend(weight)
    if at == len(steps):
        return new(value)
    key = steps[at]
    if key is _ITERATE:
        elements(value)
        machine.array(len(value))
        pairs = value.items() if type(value) is dict else enumerate(value)
        changed = [(name, item, _along(machine, item, steps, at + 1, new, weight)) for name, item in pairs]
        kept = [
            (name, item if made is _UNCHANGED else made) for name, item, made in changed if made is not EMPTY
        ]
        return dict(kept) if type(value) is dict else [item for _, item in kept]
    present = index(machine, value, key)
    made = _along(machine, present, steps, at + 1, new, weight)
    if made is EMPTY:
        return _UNCHANGED if value is None else drop_item(machine, value, key)
    return _UNCHANGED if made is _UNCHANGED else put_item(machine, value, key, made)


def editing(
    builder: Builder, node: syntax.Assign, scope: Scope
) -> tuple[Callable[[Machine, Any], Editor], Callable[[Env, Editor], None]] | None:
    """An assignment as changes of one `Editor`, for ``reduce``; None where its value may have many outputs."""
    value = builder.code(node.value, scope).one
    if value is None:
        return None
    assigned_value, looks = value, reads_input(node.value)
    trace: Trace = builder.trace(node.paths, scope)
    change = None if node.operator == "|=" else _change(node.operator)

    def apply(env: Env, editor: Editor) -> None:
        machine = env[0]
        assigned = None
        if change is not None:
            assigned = assigned_value(env, editor.root)
            if looks and type(assigned) in {list, dict}:
                editor.release()
        for path, found in list(trace(env, (), editor.root)):
            if path is None:
                raise not_a_path(found)
            machine.spend(1)
            present = editor.get(path)
            if change is not None:
                editor.put(path, change(machine, present, assigned))
                continue
            made = assigned_value(env, present)
            if editor.owns(present):
                editor.release()
            editor.put(path, made)

    return Editor, apply


def reads_input(node: syntax.Node) -> bool:
    """Whether *node* may look at ``.``; True where that is not plain to see."""
    match node:
        case syntax.Literal() | syntax.Variable():
            return False
        case syntax.Pipe(_, left, _):
            return reads_input(left)
        case syntax.Index(_, target, key, _):
            return reads_input(target) or reads_input(key)
        case syntax.Iterate(_, inner, _) | syntax.Array(_, inner) | syntax.Negate(_, inner):
            return reads_input(inner)
        case (
            syntax.Binary(_, _, left, right)
            | syntax.Comma(_, left, right)
            | syntax.Alternative(_, left, right)
        ):
            return reads_input(left) or reads_input(right)
        case syntax.Object(_, entries):
            return any(reads_input(key) or reads_input(value) for key, value in entries)
        case syntax.Text(_, _, parts):
            return any(reads_input(part) for part in parts if not isinstance(part, str))
        case _:
            return True
