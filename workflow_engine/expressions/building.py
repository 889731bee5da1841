"""Compiles what makes values: arrays, objects, strings, formats, arithmetic, comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from workflow_engine.expressions import arithmetic, columns, ordering, syntax
from workflow_engine.expressions.code import (
    BUILT,
    GROWN,
    PART,
    Builder,
    Code,
    Column,
    Env,
    Many,
    One,
    Scope,
    constant,
)
from workflow_engine.expressions.errors import EvaluationError
from workflow_engine.expressions.limits import LIMITS, Machine, too_long
from workflow_engine.expressions.ordering import equal, type_name
from workflow_engine.expressions.rendering import FORMATS, excerpt


def array(builder: Builder, node: syntax.Array, scope: Scope, _tail: bool) -> Code:
    bodies = [builder.code(item, scope) for item in flat(node.body)]
    known = [code.constant[0] for code in bodies if code.constant]
    if len(known) == len(bodies):
        return constant(known)
    ones = [code.one for code in bodies if code.one is not None]
    if len(ones) == len(bodies):
        return _fixed_array(bodies, ones)
    body = bodies[0] if len(bodies) == 1 else one_after_other(bodies)
    many = body.items or body.gathered or body.many

    def one(env: Env, value: Any) -> Any:
        collected = list(many(env, value))
        if len(collected) > LIMITS.array:
            too_long(len(collected))
        env[0].spend(len(collected) >> 3)
        return collected

    code = Code(one, parts=(body,))
    code.fixed = body.fixed
    return code


def one_after_other(codes: list[Code], *, tail: bool = False) -> Code:
    """The outputs of each of *codes*; *tail* if the last is a call in tail position."""
    grows = max(code.grows for code in codes)
    ones = [code.one for code in codes if code.one is not None]
    if len(ones) == len(codes) and not tail:
        return Code(None, lambda env, value: (one(env, value) for one in ones), parts=codes, grows=grows)
    streams = [code.many for code in codes]

    def many(env: Env, value: Any) -> Iterable[Any]:
        for stream in streams:
            yield from stream(env, value)

    return Code(None, many, parts=codes, grows=grows)


def flat(node: syntax.Node) -> list[syntax.Node]:
    """The filters between the commas of *node*."""
    found: list[syntax.Node] = []
    while isinstance(node, syntax.Comma):
        found.append(node.right)
        node = node.left
    found.append(node)
    found.reverse()
    return found


def _fixed_array(bodies: list[Code], ones: list[One]) -> Code:
    grows = BUILT if all(body.grows <= BUILT for body in bodies) else GROWN
    if len(ones) == 1:
        only = ones[0]
        code = Code(lambda env, value: [only(env, value)], parts=bodies, grows=grows)
    else:
        code = Code(lambda env, value: [item(env, value) for item in ones], parts=bodies, grows=grows)
    code.column = columns.arrays(bodies)
    code.fixed = all(body.fixed for body in bodies)
    return code


def object_(builder: Builder, node: syntax.Object, scope: Scope, _tail: bool) -> Code:
    entries = [(builder.code(key, scope), builder.code(value, scope)) for key, value in node.entries]
    for (key, _), (place, _) in zip(entries, node.entries, strict=True):
        if key.constant and type(key.constant[0]) is not str:
            builder.fail(f"{type_name(key.constant[0])} ({excerpt(key.constant[0])}) cannot be a key", place)
    parts = [code for entry in entries for code in entry]
    if all(key.constant and value.constant for key, value in entries):
        return constant({key.constant[0]: value.constant[0] for key, value in entries})  # type: ignore[index]
    if all(key.one and value.one for key, value in entries):
        grows = BUILT if all(code.grows <= BUILT for code in parts) else GROWN
        if all(key.constant for key, _ in entries):
            names = [key.constant[0] for key, _ in entries if key.constant]
            values = [value for _, value in entries]
            record = Code(_picked(names, values), parts=parts, grows=grows)
            record.column = columns.records(names, values)
            record.fixed = all(value.fixed for value in values)
            return record
        return Code(_computed([(key.one, value.one) for key, value in entries]), parts=parts, grows=grows)
    pairs = [(key.many, value.many) for key, value in entries]

    def many(env: Env, value: Any) -> Iterable[Any]:
        return _objects(env, value, pairs, 0, {})

    code = Code(None, many, parts=parts)
    code.height += len(pairs)
    return code


def _picked(names: list[Any], values: list[Code]) -> One:
    """An object of members of the input, and of constants, which most objects are; else of whatever."""
    other = _record(list(zip(names, [value.one for value in values], strict=True)))
    if len(names) < 2 or not all(value.constant or _member(value) for value in values):
        return other
    plan = [
        (name, None, value.constant[0]) if value.constant else (name, value.keys[0], None)  # type: ignore[index]
        for name, value in zip(names, values, strict=True)
    ]

    def one(env: Env, value: Any) -> Any:
        if type(value) is not dict:
            return other(env, value)
        get = value.get
        return {name: known if key is None else get(key) for name, key, known in plan}

    return one


def _member(code: Code) -> bool:
    return code.base is None and code.keys is not None and len(code.keys) == 1 and type(code.keys[0]) is str


def _record(fields: list[tuple[Any, Any]]) -> One:
    if len(fields) == 1:
        name, only = fields[0]
        return lambda env, value: {name: only(env, value)}
    if len(fields) == 2:
        (first, one), (second, other) = fields
        return lambda env, value: {first: one(env, value), second: other(env, value)}

    def record(env: Env, value: Any) -> Any:
        return {name: item(env, value) for name, item in fields}

    return record


def _computed(pairs: list[tuple[Any, Any]]) -> One:
    def one(env: Env, value: Any) -> Any:
        return {_key(key(env, value)): item(env, value) for key, item in pairs}

    return one


def _key(key: Any) -> str:
    if type(key) is not str:
        raise EvaluationError(f"Cannot use {type_name(key)} ({excerpt(key)}) as object key")
    return key


def _objects(
    env: Env, value: Any, pairs: list[tuple[Many, Many]], place: int, made: dict[str, Any]
) -> Iterable[Any]:
    if place == len(pairs):
        yield made
        return
    keys, items = pairs[place]
    for key in keys(env, value):
        for item in items(env, value):
            env[0].spend(1 + len(made))
            yield from _objects(env, value, pairs, place + 1, {**made, _key(key): item})


def text(builder: Builder, node: syntax.Text, scope: Scope, _tail: bool) -> Code:
    render = _format(builder, node.format, node)
    parts = [part if isinstance(part, str) else builder.code(part, scope) for part in node.parts]
    codes = [part for part in parts if isinstance(part, Code)]
    if all(code.one for code in codes):
        ones = [part if isinstance(part, str) else part.one for part in parts]

        def one(env: Env, value: Any) -> Any:
            machine = env[0]
            pieces = [
                part if isinstance(part, str) else render(machine, part(env, value))  # type: ignore[misc]
                for part in ones
            ]
            machine.text(sum(map(len, pieces)))
            return "".join(pieces)

        code = Code(one, parts=codes, grows=PART)
        code.column = columns.texts(parts, render)
        code.fixed = all(part.fixed for part in codes)
        return code
    streams: list[str | Many] = [part if isinstance(part, str) else part.many for part in parts]

    def many(env: Env, value: Any) -> Iterable[Any]:
        return _texts(env, value, streams, len(streams), "", render)

    code = Code(None, many, parts=codes)
    code.height += len(streams)
    return code


def _texts(
    env: Env,
    value: Any,
    streams: list[str | Many],
    place: int,
    after: str,
    render: Callable[[Machine, Any], str],
) -> Iterable[str]:
    """The strings that end in *after*: the last filter is the outer loop, as in jq."""
    if place == 0:
        yield after
        return
    stream = streams[place - 1]
    if isinstance(stream, str):
        yield from _texts(env, value, streams, place - 1, stream + after, render)
        return
    machine = env[0]
    for output in stream(env, value):
        piece = render(machine, output)
        machine.text(len(piece) + len(after))
        machine.spend(1)
        yield from _texts(env, value, streams, place - 1, piece + after, render)


def _format(builder: Builder, name: str, node: syntax.Node) -> Callable[[Machine, Any], str]:
    render = FORMATS.get(name)
    if render is None:
        builder.fail(
            f"@{name} is not a format; there are {', '.join('@' + known for known in FORMATS)}", node
        )
    return render


def format_(builder: Builder, node: syntax.Format, _scope: Scope, _tail: bool) -> Code:
    render = _format(builder, node.name, node)
    return Code(lambda env, value: render(env[0], value), grows=PART)


def negate(builder: Builder, node: syntax.Negate, scope: Scope, _tail: bool) -> Code:
    operand = builder.code(node.operand, scope)
    if operand.constant and type(operand.constant[0]) in {int, float}:
        return constant(-operand.constant[0])
    return lift_one(arithmetic.negate, operand)


def lift_one(function: Callable[[Machine, Any], Any], operand: Code) -> Code:
    """*function* of each output of *operand*; its results are scalars."""
    at, stream = operand.one, operand.many
    if at is not None:
        return Code(lambda env, value: function(env[0], at(env, value)), parts=(operand,), grows=PART)

    def many(env: Env, value: Any) -> Iterable[Any]:
        for output in stream(env, value):
            env[0].spend(1)
            yield function(env[0], output)

    return Code(None, many, parts=(operand,), optional=operand.optional)


_OPERATIONS: dict[str, tuple[Callable[[Machine, Any, Any], Any], int]] = {
    "+": (arithmetic.add, BUILT),
    "-": (arithmetic.subtract, BUILT),
    "*": (arithmetic.multiply, BUILT),
    "/": (arithmetic.divide, BUILT),
    "%": (arithmetic.remainder, PART),
    "==": (equal, PART),
    "!=": (lambda machine, left, right: not equal(machine, left, right), PART),
    "<": (ordering.less, PART),
    "<=": (ordering.at_most, PART),
    ">": (lambda machine, left, right: ordering.less(machine, right, left), PART),
    ">=": (lambda machine, left, right: ordering.at_most(machine, right, left), PART),
}


def operation(operator: str) -> Callable[[Machine, Any, Any], Any]:
    """The function of an arithmetic operator or comparison."""
    return _OPERATIONS[operator][0]


def binary(builder: Builder, node: syntax.Binary, scope: Scope, _tail: bool) -> Code:
    left, right = builder.code(node.left, scope), builder.code(node.right, scope)
    function, grows = _OPERATIONS[node.operator]
    if left.constant and right.constant:
        try:
            known = function(Machine(), left.constant[0], right.constant[0])
        except EvaluationError:
            known = None  # the program may catch it, or never come here
        if type(known) in {int, bool} or (type(known) is float and math.isfinite(known)):
            return constant(known)
    parts = (left, right)
    if left.one and right.one:
        one = (
            _compared(node.operator, left.one, right)
            or _prefixed(node.operator, left, right.one)
            or _applied(function, left.one, right.one)
        )
        grows = grows if grows == PART else max(grows, left.grows, right.grows)
        code = Code(one, parts=parts, grows=grows)
        code.column = _column(node.operator, function, left, right)
        code.fixed = left.fixed and right.fixed
        return code
    lefts, rights = left.many, right.many

    def many(env: Env, value: Any) -> Iterable[Any]:
        machine = env[0]
        for other in rights(env, value):
            for operand in lefts(env, value):
                machine.spend(1)
                yield function(machine, operand, other)

    return Code(None, many, parts=parts, optional=left.optional and right.optional)


def _column(operator: str, function: Callable[[Machine, Any, Any], Any], left: Code, right: Code) -> Column:
    """The same cases for many inputs."""
    if right.constant:
        known = right.constant[0]
        if operator in {"==", "!="} and type(known) is str:
            return columns.same(left, known, wanted=operator == "==")
        if operator in {"<", ">"} and type(known) is int:
            return columns.more(left, known) if operator == ">" else columns.fewer(left, known)
    if operator == "+" and left.constant and type(left.constant[0]) is str:
        return columns.prefixed(left.constant[0], right)
    return columns.operations(operator, function, left, right)


def _prefixed(operator: str, left: Code, right: One) -> One | None:
    """A constant string and what follows it, which is mostly a string too."""
    if operator != "+" or not left.constant or type(left.constant[0]) is not str:
        return None
    text, known = left.constant[0], len(left.constant[0])

    def one(env: Env, value: Any) -> Any:
        other = right(env, value)
        if type(other) is not str:
            return arithmetic.add(env[0], text, other)
        if known + len(other) > 15:  # shorter ones are free
            env[0].text(known + len(other))
        return text + other

    return one


def _applied(function: Callable[[Machine, Any, Any], Any], left: One, right: One) -> One:
    def one(env: Env, value: Any) -> Any:
        other = right(env, value)
        return function(env[0], left(env, value), other)

    return one


def _compared(operator: str, left: One, right: Code) -> One | None:
    """Comparison with a constant string, or of numbers with one, which needs no general comparison."""
    if not right.constant:
        return None
    limit = right.constant[0]
    if operator == "==" and type(limit) is str:
        return lambda env, value: left(env, value) == limit
    if operator == "!=" and type(limit) is str:
        return lambda env, value: left(env, value) != limit
    if type(limit) is not int or operator not in {"<", ">"}:
        return None
    if operator == ">":

        def more(env: Env, value: Any) -> Any:
            output = left(env, value)
            kind = type(output)
            return output > limit if kind is int or kind is float else ordering.less(env[0], limit, output)

        return more

    def fewer(env: Env, value: Any) -> Any:
        output = left(env, value)
        kind = type(output)
        if kind is int or kind is float:
            return not output >= limit  # NaN is less than every number
        return ordering.less(env[0], output, limit)

    return fewer
