"""All builtin functions, by name and arity."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from workflow_engine.expressions import columns, regex, syntax
from workflow_engine.expressions.builtins_loops import LOOPS
from workflow_engine.expressions.builtins_math import MATH
from workflow_engine.expressions.builtins_paths import PATHS
from workflow_engine.expressions.builtins_select import SELECT
from workflow_engine.expressions.builtins_substitution import SUBSTITUTION
from workflow_engine.expressions.builtins_text import STREAMS, TEXT
from workflow_engine.expressions.builtins_values import VALUES
from workflow_engine.expressions.code import Builder, Builtin, Code, Env, Scope, arguments_of
from workflow_engine.expressions.prelude import PRELUDE
from workflow_engine.expressions.purity import REFUSED

_REGEX = {"test", "match", "capture", "scan", "splits", "sub", "gsub"}


def _function(function: Callable[..., Any]) -> Builtin:
    """A builtin with one output for each combination of its arguments, the last of them the outer loop."""

    def compile(builder: Builder, node: syntax.Call, scope: Scope) -> Code:
        arguments = arguments_of(builder, node, scope)
        _check_regex(builder, node, arguments)
        if not arguments:
            code = Code(lambda env, value: function(env[0], value))
            code.column = columns.called(function)
            return code
        ones = [argument.one for argument in arguments if argument.one is not None]
        if len(ones) == len(arguments) == 1:
            only = ones[0]
            code = Code(lambda env, value: function(env[0], value, only(env, value)), parts=arguments)
            code.column = columns.called_with(function, arguments[0])
            return code
        if len(ones) == len(arguments):
            return Code(
                lambda env, value: function(env[0], value, *[one(env, value) for one in ones]),
                parts=arguments,
            )

        def many(env: Env, value: Any) -> Iterable[Any]:
            for combination in _combinations(env, value, arguments, len(arguments), ()):
                yield function(env[0], value, *combination)

        return Code(None, many, parts=arguments)

    return Builtin(compile)


def _stream(function: Callable[..., list[Any]]) -> Builtin:
    """A builtin with any number of outputs, which *function* gives as a list."""

    def compile(builder: Builder, node: syntax.Call, scope: Scope) -> Code:
        arguments = arguments_of(builder, node, scope)
        _check_regex(builder, node, arguments)

        def many(env: Env, value: Any) -> Iterable[Any]:
            for combination in _combinations(env, value, arguments, len(arguments), ()):
                yield from function(env[0], value, *combination)

        return Code(None, many, parts=arguments)

    return Builtin(compile)


def _combinations(
    env: Env, value: Any, arguments: list[Code], place: int, after: tuple[Any, ...]
) -> Iterable[tuple[Any, ...]]:
    if place == 0:
        yield after
        return
    for output in arguments[place - 1].many(env, value):
        env[0].spend(1)
        yield from _combinations(env, value, arguments, place - 1, (output, *after))


def _check_regex(builder: Builder, node: syntax.Call, arguments: list[Code]) -> None:
    """Refuse a regular expression that is written in the program and cannot be used, before it runs."""
    if node.name in _REGEX or (node.name == "split" and len(arguments) == 2):
        pattern = arguments[0].constant
        if pattern and type(pattern[0]) is str:
            problem = regex.compiled(pattern[0], "")
            if isinstance(problem, str):
                builder.fail(problem, node.arguments[0])


BUILTINS: dict[tuple[str, int], Builtin] = {
    **{
        signature: _function(function)
        for table in (VALUES, MATH, TEXT)
        for signature, function in table.items()
    },
    **{signature: _stream(function) for signature, function in STREAMS.items()},
    **SUBSTITUTION,
    **SELECT,
    **LOOPS,
    **PATHS,
}
"""Builtins that are compiled here; `PRELUDE` has those that are written in jq."""


def unknown_function(name: str, arity: int) -> str:
    """Why a call of *name* is refused: what it would do, its arity, or that there is no such function."""
    if name in REFUSED:
        return f"`{name}` is refused: {REFUSED[name]}"
    known = BUILTINS.keys() | PRELUDE.keys()
    arities = sorted(count for other, count in known if other == name)
    if arities:
        listed = " or ".join(map(str, arities))
        return f"`{name}` takes {listed} arguments, not {arity}"
    public = sorted({other for other, _ in known if other[0] not in " _"})
    near = difflib.get_close_matches(name, public, 1, cutoff=0.75)
    if near:
        return f"there is no function `{name}`; did you mean `{near[0]}`?"
    member = "" if arity else f'; for the member of that name write `.{name}`, for the text write `"{name}"`'
    return f"there is no function `{name}`{member}"
