"""``sub`` and ``gsub``: the replacement is a filter that sees the named groups of each match."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workflow_engine.expressions import regex
from workflow_engine.expressions.arithmetic import add
from workflow_engine.expressions.code import Builder, Builtin, Code, Env, Scope, constant
from workflow_engine.expressions.errors import EvaluationError
from workflow_engine.expressions.limits import Machine
from workflow_engine.expressions.ordering import type_name
from workflow_engine.expressions.syntax import Call


def _substitution(*, everywhere: bool) -> Builtin:
    def compile(builder: Builder, node: Call, scope: Scope) -> Code:
        arguments = [builder.code(argument, scope) for argument in node.arguments]
        pattern, replacement = arguments[:2]
        flags = arguments[2] if len(arguments) == 3 else constant(None)
        if pattern.constant and type(pattern.constant[0]) is str:
            problem = regex.compiled(pattern.constant[0], "")
            if isinstance(problem, str):
                builder.fail(problem, node.arguments[0])
        parts = (pattern, replacement, flags)
        one_pattern, one_replacement, one_flags = pattern.one, replacement.one, flags.one
        if one_pattern is not None and one_replacement is not None and one_flags is not None:
            replace = one_replacement

            def one(env: Env, value: Any) -> Any:
                machine = env[0]
                made, at = [], 0
                for match in regex.matches(
                    machine, value, one_pattern(env, value), one_flags(env, value), everywhere=everywhere
                ):
                    made += [value[at : match.start], _text(machine, replace(env, match.named()))]
                    at = match.end
                made.append(value[at:])
                machine.text(sum(map(len, made)))
                return "".join(made)

            return Code(one, parts=parts)
        patterns, replacements, all_flags = pattern.many, replacement.many, flags.many

        def many(env: Env, value: Any) -> Iterable[Any]:
            for one_regex in patterns(env, value):
                for some_flags in all_flags(env, value):
                    found = regex.matches(env[0], value, one_regex, some_flags, everywhere=everywhere)
                    yield from _variants(
                        env[0], value, found, [list(replacements(env, match.named())) for match in found]
                    )

        return Code(None, many, parts=parts)

    return Builtin(compile)


def _text(machine: Machine, replacement: Any) -> str:
    if type(replacement) is not str:
        if replacement is None:
            return ""
        raise EvaluationError(f"a replacement must be a string, not {type_name(replacement)}")
    machine.text(len(replacement))
    return replacement


def _variants(
    machine: Machine, value: str, found: list[regex.Match], replacements: list[list[Any]]
) -> Iterable[str]:
    """One text for each output of the replacement: the first takes the first output for every match, and so on."""
    count = max(map(len, replacements), default=0)
    if count == 0:
        yield value
        return
    made: list[Any] = [None] * count
    at = 0
    for match, outputs in zip(found, replacements, strict=True):
        gap = value[at : match.start]
        for number, output in enumerate(outputs):
            made[number] = add(machine, made[number], add(machine, gap, _text(machine, output)))
        at = match.end
    for text in made:
        yield add(machine, text, value[at:])


SUBSTITUTION: dict[tuple[str, int], Builtin] = {
    ("sub", 2): _substitution(everywhere=False),
    ("sub", 3): _substitution(everywhere=False),
    ("gsub", 2): _substitution(everywhere=True),
    ("gsub", 3): _substitution(everywhere=True),
}
"""The builtins of this module, by name and arity."""
