"""One compiled expression (backed by libjq until the compiler to closures replaces it)."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import jq

from workflow_engine.expressions.errors import EvaluationError, ExpressionError
from workflow_engine.expressions.lexer import Token, tokenize
from workflow_engine.expressions.purity import REFUSED
from workflow_engine.values import Json


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression: *source* is bare jq, *variables* the names that it uses (without ``$``)."""

    source: str
    variables: frozenset[str]

    def evaluate(self, value: Json, scope: Mapping[str, Json]) -> Json:
        """Evaluate on *value* as ``.``: no output is null, one is itself, several are an array (A3)."""
        outputs = self._outputs(value, scope)
        return outputs if len(outputs) > 1 else outputs[0] if outputs else None

    def first(self, value: Json, scope: Mapping[str, Json]) -> Json:
        """The first output, or null where there is none."""
        outputs = self._outputs(value, scope)
        return outputs[0] if outputs else None

    def test(self, value: Json, scope: Mapping[str, Json]) -> bool:
        """Whether the first output is true as jq sees it: neither null nor false (A4)."""
        output = self.first(value, scope)
        return output is not None and output is not False

    def _outputs(self, value: Json, scope: Mapping[str, Json]) -> list[Json]:
        names = tuple(sorted(self.variables))
        envelope = {"d": value, "n": scope.get("__now", 0), "v": [scope.get(name) for name in names]}
        try:
            outputs: list[Json] = _program(self.source, names).input_value(envelope).all()
        except ValueError as error:
            raise EvaluationError(str(error)) from None
        return outputs


def compile(source: str, *, variables: Collection[str]) -> Expression:
    """Compile bare jq *source* that may use *variables* (names without ``$``).

    `ExpressionError` where the text is not jq, names an unknown variable, or asks for what no expression
    may have (`purity`).
    """
    return _compile(source, frozenset(variables))


@lru_cache(maxsize=4096)
def _compile(source: str, variables: frozenset[str]) -> Expression:
    tokens = list(_flat(tokenize(source)))
    bound = {
        token.text
        for before, token in pairwise(tokens)
        if token.kind == "variable" and before.text in {"as", "[", "{", ",", ":", "(", ";", "label", "//"}
    } | {token.text for token in tokens if token.kind == "name"}
    used: set[str] = set()
    for token, after in pairwise(tokens):
        word = "$" * (token.kind == "variable") + token.text
        if token.kind in {"variable", "name"} and word in REFUSED and after.text != ":":
            raise ExpressionError(f"`{word}` is refused: {REFUSED[word]}", source, token.position)
        if token.kind == "variable":
            if token.text in variables:
                used.add(token.text)
            elif token.text not in bound:
                raise ExpressionError(unknown_variable(token.text, variables), source, token.position)
    expression = Expression(source, frozenset(used))
    try:
        _program(source, tuple(sorted(used)))
    except ValueError as error:
        raise ExpressionError(str(error).splitlines()[0], source) from None
    return expression


def unknown_variable(name: str, known: Collection[str]) -> str:
    """The message for a variable that is not there, with the nearest that is."""
    near = difflib.get_close_matches(name, sorted(known), 1)
    if near:
        return f"there is no variable ${name} here; did you mean ${near[0]}?"
    listed = ", ".join(f"${other}" for other in sorted(known)) or "none"
    return f"there is no variable ${name} here (there are: {listed})"


def _flat(tokens: Iterable[Token]) -> Iterable[Token]:
    for token in tokens:
        yield token
        for part in token.parts:
            if not isinstance(part, str):
                yield from _flat(part)


@lru_cache(maxsize=1024)
def _program(source: str, names: tuple[str, ...]) -> Any:
    bindings = "".join(f"$__s.v[{index}] as ${name} | " for index, name in enumerate(names))
    return jq.compile(f". as $__s | {bindings}def now: $__s.n; $__s.d | (\n{source}\n)")
