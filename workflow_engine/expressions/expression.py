"""One compiled expression."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from workflow_engine.expressions.code import GROWN
from workflow_engine.expressions.compiler import Program, compile_program
from workflow_engine.expressions.errors import LimitExceeded
from workflow_engine.expressions.limits import LIMITS, Machine, Purse, check_result, finite, too_long
from workflow_engine.values import Json


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression: *source* is bare jq, *variables* the names that it uses (without ``$``).

    *at* is where in a document it stands, if that is known.

    Evaluation is pure: the same input and scope give the same answer on every machine, and the input is
    never changed. Parts of the result may be parts of the input; change neither.
    """

    source: str
    variables: frozenset[str]
    _program: Program = field(repr=False, compare=False)
    at: str = field(default="", kw_only=True, compare=False)

    @property
    def single(self) -> bool:
        """Whether it has exactly one output, whatever the data; False where that is not known."""
        return self._program.compiled().one is not None

    @property
    def copies(self) -> int:
        """How often a part of its input, or of a variable, may be in what it yields.

        0: that is weighed, or small; 1: it yields such a part and nothing else.
        """
        return self._program.copies()

    def evaluate(self, value: Json, scope: Mapping[str, Json]) -> Json:
        """Evaluate on *value* as ``.``: no output is null, one is itself, several are an array (A3).

        `EvaluationError` where the data does not fit, the program calls ``error``, or a limit is met. A
        variable that *scope* does not have is null; ``__now`` in it is what ``now`` gives, in seconds,
        and ``__spent`` is called with the steps that were taken, if they are many.
        """
        program = self._program
        code = program.code or program.compiled()
        machine = Machine(scope)
        env = (machine, 0, *[scope.get(name) for name in program.names])
        result: Any
        try:
            if code.one is not None:
                result = code.one(env, value)
            else:
                outputs = list(code.many(env, value))
                if len(outputs) > LIMITS.array:
                    too_long(len(outputs))
                result = outputs if len(outputs) > 1 else outputs[0] if outputs else None
            if code.grows == GROWN:
                check_result(result)
        except RecursionError:
            raise LimitExceeded("the expression is nested too deeply") from None
        finally:
            if machine.fuel < machine.few:
                machine.tell(scope.get("__spent"))
        return finite(result) if machine.nonfinite else result  # type: ignore[no-any-return]

    def first(self, value: Json, scope: Mapping[str, Json], purse: Purse | None = None) -> Json:
        """The first output, or null where there is none; what comes after it is not computed. With a *purse*, its steps
        are taken out of that, and no more than there are.
        """
        program = self._program
        code = program.code or program.compiled()
        machine = Machine(scope)
        given = machine.fuel
        if purse is not None and purse.steps < given:
            given = machine.fuel = purse.steps
        env = (machine, 0, *[scope.get(name) for name in program.names])
        result: Any = None
        try:
            result = code.one(env, value) if code.one is not None else next(iter(code.many(env, value)), None)
            if code.grows == GROWN:
                check_result(result)
        except RecursionError:
            raise LimitExceeded("the expression is nested too deeply") from None
        finally:
            if purse is not None:
                purse.steps = max(0, purse.steps - given + machine.fuel)
            elif machine.fuel < machine.few:
                machine.tell(scope.get("__spent"))
        return finite(result) if machine.nonfinite else result  # type: ignore[no-any-return]

    def placed(self, at: str) -> Expression:
        """The same expression, standing at the pointer *at* of a document."""
        return Expression(self.source, self.variables, self._program, at=at)

    def test(self, value: Json, scope: Mapping[str, Json]) -> bool:
        """Whether the first output is true as jq sees it: neither null nor false (A4)."""
        output = self.first(value, scope)
        return output is not None and output is not False


def compile(source: str, *, variables: Collection[str]) -> Expression:
    """Compile bare jq *source* that may use *variables* (names without ``$``).

    `ExpressionError` where the text is not jq, names an unknown variable or function, or asks for what no
    expression may have (`purity`). Compiling is pure and remembered, so the same text costs once.
    """
    return _compile(source, frozenset(variables))


@lru_cache(maxsize=4096)
def _compile(source: str, variables: frozenset[str]) -> Expression:
    program = compile_program(source, variables)
    return Expression(source, program.used, program)
