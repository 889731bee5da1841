"""Which members of a variable the expressions in a value name."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache

from workflow_engine.expressions.lexer import closing_brace
from workflow_engine.expressions.parser import parse
from workflow_engine.expressions.syntax import Index, Literal, Variable, parts
from workflow_engine.values import Json, pointer


def members(value: Json, variables: Collection[str], at: str = "") -> Iterator[tuple[str, str | None]]:
    """For each use of one of *variables* in *value*: the pointer of its string, and the name of the member taken.

    The name is None where the text does not have it: ``$x | .[$name]``. `ExpressionError` where the text of an
    expression is wrong.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            yield from members(item, variables, at + pointer(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from members(item, variables, at + pointer(number))
    elif isinstance(value, str) and "${" in value:
        for source in expressions_in(value):
            for name in _named(source, frozenset(variables)):
                yield at, name


def expressions_in(text: str) -> Iterator[str]:
    """The jq of each ``${ … }`` in *text*."""
    at = 0
    while (start := text.find("${", at)) >= 0:
        end = closing_brace(text, start + 2)
        if end is None:
            return
        yield text[start + 2 : end]
        at = end + 1


@lru_cache(maxsize=1024)
def _named(source: str, variables: frozenset[str]) -> tuple[str | None, ...]:
    if not any(f"${name}" in source for name in variables):
        return ()
    nodes = list(parts(parse(source)))
    found: list[str | None] = []
    named = set()
    for node in nodes:
        if isinstance(node, Index) and isinstance(node.target, Variable) and node.target.name in variables:
            key = node.key
            if isinstance(key, Literal) and isinstance(key.value, str):
                named.add(id(node.target))
                found.append(key.value)
    found += [
        None
        for node in nodes
        if isinstance(node, Variable) and node.name in variables and id(node) not in named
    ]
    return tuple(found)
