"""The slots for expressions of a 0.8 document: in jq or JSONPath, with its functions in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from functools import cached_property

import orjson

from workflow_engine import expressions
from workflow_engine.dsl.document import Document
from workflow_engine.dsl.lowering import Lowering
from workflow_engine.dsl.v0_8 import secrets, sonataflow
from workflow_engine.dsl.v0_8.actions import last_name, without_root
from workflow_engine.dsl.v0_8.variables import SECRETS, WORKFLOW, seen
from workflow_engine.expressions import Expression, ExpressionError, Template, jsonpath
from workflow_engine.graph.model import DataStep, Path, Select, Timing
from workflow_engine.values import Json, JsonObject, pointer

VARIABLES = frozenset({"CONST"})
_FUNCTION = re.compile(r"^\s*fn:(.+?)\s*$", re.DOTALL)
_EMBEDDED = re.compile(r"\$\{\s*fn:([^{}]+?)\s*\}")
_LATE_DAYS = re.compile(r"T.*[DW]", re.IGNORECASE)


class ExpressionLowering(Lowering):
    """Compiles what stands in the slots for expressions; *functions* are the definitions by name.

    *everything* is the value slot that yields all of the data, in the language of the document.
    """

    functions: dict[str, tuple[JsonObject, str]]
    broken: set[str]

    def __init__(self, document: Document, *, lost: frozenset[str] = frozenset()) -> None:
        super().__init__(document, lost=lost)
        self.jsonpath = self.data.get("expressionLang") == "jsonpath"
        self.everything = "${ $ }" if self.jsonpath else "${ . }"

    @cached_property
    def for_sonataflow(self) -> bool:
        """Whether the document is written for SonataFlow."""
        return sonataflow.is_sonataflow(self.data, mentioned=b"$WORKFLOW" in self.written)

    @cached_property
    def written(self) -> bytes:
        """The whole document as one text, for a quick look."""
        try:
            return orjson.dumps(self.data)
        except TypeError:  # a number that is beyond 64 bits
            return json.dumps(self.data).encode()

    @cached_property
    def names_functions(self) -> bool:
        """Whether an expression function may be named anywhere (``fn:name``)."""
        return b"fn:" in self.written

    def wrong(self, since: int) -> bool:
        """Whether an error is among the problems found *since* there were so many; warnings do not count."""
        return any(problem.severity == "error" for problem in self.problems[since:])

    def select(self, text: Json, at: str, *, wrap: bool) -> tuple[DataStep, ...]:
        """A state data filter; *wrap* keeps a non-object result under its last name (decision B1)."""
        if not isinstance(text, str) or not text.strip():
            return ()
        expression = self.expression(text, VARIABLES, at)
        return (Select(expression, last_name(text) if wrap else None),)

    def expression(self, text: Json, variables: Collection[str], pointer: str) -> Expression:
        """Compile an expression slot; ``fn:name`` stands for that expression function (decision B47)."""
        text = self._current(text, pointer)
        program = self.unwrapped(str(text))
        match = _FUNCTION.match(program) if "fn:" in program else None
        if match is not None:
            program = self._function(match[1], pointer)
        elif not self.jsonpath:
            return self._compiled(text, variables, pointer, program)
        return self._compiled(self.in_jq(program, pointer), variables, pointer)

    def _compiled(
        self, text: Json, variables: Collection[str], pointer: str, program: str | None = None
    ) -> Expression:
        """Compile *text*, in jq; *program* is what it has in ``${ … }``, if that is known."""
        known = seen(variables)
        if program is None:
            program = self.unwrapped(str(text))
        try:
            compiled = expressions.compile(program, variables=known).placed(pointer)
        except ExpressionError:
            meant = sonataflow.understood(self, program, known, pointer)
            compiled = super().expression(text if meant == program else meant, known, pointer)
        if compiled.variables:
            self._variables(compiled, _whole(compiled.source), pointer)
        return compiled

    def _variables(self, compiled: Expression | Template, written: Json, pointer: str) -> None:
        if compiled.variables & SECRETS:
            secrets.check(self, written, pointer)
        if compiled.variables & WORKFLOW:
            sonataflow.check_members(self, written, pointer)

    def unwrapped(self, text: str) -> str:
        """The expression in *text*, bare or in ``${ … }``."""
        inner = jsonpath.unwrap(text) if self.jsonpath else expressions.unwrap(text)
        return text if inner is None else inner

    def condition(self, text: Json, variables: Collection[str], pointer: str) -> Expression:
        """Compile an expression that holds or does not; in JSONPath it holds where something matches."""
        text = self._current(text, pointer, jsonpath.condition_to_jq)
        if not self.jsonpath:
            return self.expression(text, variables, pointer)
        program = self.inlined(self.unwrapped(str(text)), pointer, translated=False)
        return self._compiled(self.in_jq(program, pointer, jsonpath.condition_to_jq), variables, pointer)

    def _current(self, text: Json, at: str, to: Callable[[str], str] = jsonpath.to_jq) -> Json:
        """*text*, or what ``{{ … }}`` of the DSL before 0.6, whose language was JSONPath, is written as now."""
        inner = sonataflow.old_style(self, text, at)
        if inner is None:
            return text
        if self.jsonpath or self.data.get("expressionLang") == "jq":
            return f"${{ {inner} }}"
        try:
            return _whole(to(inner))
        except ExpressionError as error:
            self._expression_problem(error, inner, at)
            return "null"

    def in_jq(self, program: str, at: str, to: Callable[[str], str] = jsonpath.to_jq) -> str:
        """*program*, which is in the language of the document, in jq."""
        if not self.jsonpath:
            return program
        if program.lstrip().startswith(".") and sonataflow.PATH.fullmatch(program):
            message = f"`{program.strip()}` is no JSONPath; it is read as `${program.strip()}`"
            self.warning(sonataflow.CODE, message, at)
            program = f"${program.strip()}"
        try:
            return to(program)
        except ExpressionError as error:
            self._expression_problem(error, program, at)
            return "null"

    def template(self, value: Json, variables: Collection[str], pointer: str) -> Template:
        """Compile a value slot; ``${ fn:name }`` inside it stands for that expression function."""
        written = self.with_functions(value, pointer)
        compiled = super().template(written, seen(variables), pointer)
        self._variables(compiled, written, pointer)
        return compiled

    def inlined(self, source: str, at: str, *, translated: bool = True) -> str:
        """The jq for *source*, or for the expression function that it names (``fn:name``)."""
        match = _FUNCTION.match(source)
        program = source if match is None else self._function(match[1], at)
        return self.in_jq(program, at) if translated else program

    def with_functions(self, value: Json, at: str) -> Json:
        """*value* with the functions that it names in their place, and all of its expressions in jq."""
        if not (self.jsonpath or self.names_functions):
            return value
        if isinstance(value, str) and self.jsonpath:
            close = jsonpath.closing_brace
            return expressions.translated(value, lambda program: self.inlined(program, at) + "\n", close)
        if isinstance(value, str) and "fn:" in value:
            return _EMBEDDED.sub(lambda match: _whole(self._function(match[1], at)), value)
        if isinstance(value, list):
            return [self.with_functions(item, f"{at}/{number}") for number, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self.with_functions(item, at + pointer(key)) for key, item in value.items()}
        return value

    @cached_property
    def expression_functions(self) -> dict[str, None]:
        """The names of the functions that are expressions."""
        return {name: None for name, (item, _) in self.functions.items() if item.get("type") == "expression"}

    def _function(self, name: str, at: str) -> str:
        """The jq of the expression function that the text at *at* names."""
        known = self.expression_functions
        if name.strip() not in known:
            if not isinstance(self.data.get("functions"), str):
                self.unknown("unknown-function", "expression function", name.strip(), known, at)
            return "null"
        return self._source(name.strip())

    def _source(self, name: str) -> str:
        """The jq of an expression function; something harmless for one that is wrong where it is defined."""
        operation = self.unwrapped(str(self.functions[name][0].get("operation")))
        return "null" if name in self.broken else operation

    def function_template(self, name: str, variables: Collection[str]) -> Template:
        """The expression function *name* as an action."""
        _, at = self.functions[name]
        at = f"{at}/operation"
        known = seen(variables)
        program = sonataflow.understood(self, self.in_jq(self._source(name), at), known, at)
        return super().template(_whole(program), known, at)

    def path(self, text: Json, at: str) -> Path:
        """Where a result goes: an expression that is a plain path (decision B5)."""
        if text is None:
            return ()
        inner = sonataflow.old_style(self, text, at)
        found = expressions.assignment_path(without_root(str(text) if inner is None else inner))
        if found is None:
            message = f"{text!r} must be a plain path such as `.customer.name`: it says where to put a value"
            self.problem("not-a-path", message, at)
            return ()
        return tuple(found)

    def timing(self, value: Json, variables: Collection[str], pointer: str) -> Timing:
        """Compile a duration; days or weeks after the ``T`` are understood, with a warning (decision B38)."""
        text = str(value)
        if "${" not in text and _LATE_DAYS.search(text):
            message = (
                f"{text!r} has days or weeks after the T, where ISO 8601 has only hours, minutes, seconds"
            )
            self.warning("days-after-t", message, pointer)
        if sonataflow.PATH.fullmatch(text):
            message = f"an expression for a duration stands in `${{ }}`; `{text}` is read so"
            self.warning(sonataflow.CODE, message, pointer)
            value = f"${{ {text} }}"
        timing = super().timing(value, variables, pointer)
        if isinstance(timing, Expression) and timing.variables & SECRETS:
            self.unsupported("`$SECRETS` in how long a run waits, which is kept in its history", pointer)
        return timing


def _whole(source: str) -> str:
    """*source* as one whole expression, even if it ends in a comment."""
    return "${ " + source + "\n}"
