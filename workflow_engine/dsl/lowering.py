"""What the front-ends of both DSLs share: compiling expressions, durations and schemas, collecting problems.

Lowering goes on after a problem, so that an author sees all of them at once; what could not be compiled is
replaced by something harmless, and the graph is thrown away in the end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import islice

from workflow_engine import expressions
from workflow_engine.dsl.document import Document
from workflow_engine.dsl.wording import closest
from workflow_engine.errors import InvalidDocument, Problem
from workflow_engine.expressions import Expression, ExpressionError, Template
from workflow_engine.expressions.schemas import Schema
from workflow_engine.graph.lifecycle import Told
from workflow_engine.graph.model import Timing
from workflow_engine.values import Duration, Json, JsonObject, resolve_pointer
from workflow_engine.values import pointer as _pointer

_KEPT = "`$secrets` cannot be used here: how long a run waits, and for what, is kept in its history and by the router"
UNSUPPORTED_VARIABLES = {
    "secrets": _KEPT,
    "secret": _KEPT,
}
KEPT_SECRET = frozenset({"secrets", "secret", "SECRETS", "SECRET", "authorization"})
"""Variables that durations and filters of events cannot have."""

_OLD_STYLE = "an expression stands in `${ }`; `{{ }}` is of the DSL before 0.6"

SUGGESTIONS = 1000
"""Among how many names a misspelled one is looked for; comparing takes time."""

MOST_PARALLEL = 1000
"""How many branches or iterations an author may let be under way at once: Temporal takes 2,000 calls of one run."""

MOST_KEYS = 10
_NO_VARIABLE = re.compile(r"there is no variable \$(\w+) here")
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

DEFAULT_CHANNEL = "default"
_CHANNEL = re.compile(r"[a-zA-Z0-9._/-]{1,200}")


class Lowering:
    """One document on its way to a graph; *problems* grow as it goes.

    *lost* are names that parts of the document which are wrong in form may have defined: that there are no such ones
    is not told. With ``*`` among them any name may have been, with ``$*`` any variable.
    """

    def __init__(self, document: Document, *, lost: frozenset[str] = frozenset()) -> None:
        self.document = document
        self.lost = lost
        self.data: JsonObject = document.data
        self.problems: list[Problem] = []

    def problem(self, code: str, message: str, pointer: str) -> None:
        self.problems.append(self.document.problem(code, *self.placed(message, pointer)))

    def warning(self, code: str, message: str, pointer: str) -> None:
        self.problems.append(self.document.problem(code, *self.placed(message, pointer), severity="warning"))

    def nonsense(self, code: str, message: str, pointer: str) -> None:
        """Refuse what makes no sense, and was not always refused: what has been deployed goes on to run.

        What travels in a bundle was judged when it was deployed; it has no text.
        """
        if self.document.text:
            self.problem(code, message, pointer)

    def placed(self, message: str, pointer: str) -> tuple[str, str]:
        """*message*, and the place of it in the document, for something at *pointer* of the graph."""
        return message, pointer

    def unsupported(self, what: str, pointer: str) -> None:
        """Refuse what the specification has and this engine has not; never skip it."""
        self.problem(
            "unsupported", f"{what} is not supported yet; the workflow cannot run without it", pointer
        )

    def raise_problems(self) -> None:
        """Raise `InvalidDocument` if anything is wrong; warnings alone do not count."""
        if any(problem.severity == "error" for problem in self.problems):
            raise InvalidDocument(in_order(self.problems), name=self.document.name)

    def expression(self, text: Json, variables: Collection[str], pointer: str) -> Expression:
        """Compile the expression slot *text* (bare or in ``${}``)."""
        if isinstance(text, bool):
            text = "true" if text else "false"
        try:
            return expressions.expression_slot(str(text), variables=variables).placed(pointer)
        except ExpressionError as error:
            self._expression_problem(error, str(text), pointer)
        return expressions.compile("null", variables=())

    def template(self, value: Json, variables: Collection[str], pointer: str) -> Template:
        """Compile the value slot *value*: only ``${}`` in it is evaluated."""
        value = self.prepared(value, variables, pointer)
        try:
            return expressions.template(value, variables=variables, at=pointer)
        except ExpressionError:
            self._template_problems(value, variables, pointer)
        return expressions.template(None, variables=())

    def prepared(self, value: Json, variables: Collection[str], pointer: str) -> Json:
        """The *value* as it is to be compiled."""
        return value

    def _template_problems(self, value: Json, variables: Collection[str], pointer: str) -> None:
        """Report what is wrong with each of the strings in *value*."""
        pending: list[tuple[str, Json]] = [(pointer, value)]
        while pending:
            at, part = pending.pop()
            if isinstance(part, dict):
                pending += [(at + _pointer(key), item) for key, item in part.items()]
            elif isinstance(part, list):
                pending += [(at + _pointer(number), item) for number, item in enumerate(part)]
            elif isinstance(part, str):
                try:
                    expressions.template(part, variables=variables)
                except ExpressionError as error:
                    self._expression_problem(error, error.source, at)

    def slot(self, value: Json, variables: Collection[str], pointer: str) -> Expression | Template:
        """Compile a slot that is an expression when it is text, else a template (``input.from``)."""
        if isinstance(value, str):
            return self.expression(value, variables, pointer)
        return self.template(value, variables, pointer)

    def may_be_lost(self, name: str, any: str = "*") -> bool:
        """Whether a part that is wrong in form may have defined *name*; *any* says that it may be any name."""
        return bool(self.lost) and (any in self.lost or name in self.lost)

    def _expression_problem(self, error: ExpressionError, source: str, pointer: str) -> None:
        missing = _NO_VARIABLE.match(error.message) if self.lost else None
        if missing is not None and self.may_be_lost(missing[1], "$*"):
            return
        for name, reason in UNSUPPORTED_VARIABLES.items():
            if f"${name}" in source and f"${name}" in error.message:
                self.problem("unsupported", f"{reason}, in `{source.strip()}`", pointer)
                return
        code = "not-deterministic" if error.refused else "invalid-expression"
        if error.position is None:
            self.problem(code, f"{error.message}, in `{_short(error.source or source)}`", pointer)
            return
        found = _OLD_STYLE if (error.source or source).lstrip().startswith("{{") else error.message
        message = f"{found} (at {_pointed(error.source or source, error.position)})"
        if self._written(error, pointer):
            offset = error.start + error.position
            self.problems.append(self.document.problem_in(code, message, pointer, offset))
        else:
            self.problem(code, message, pointer)

    def _written(self, error: ExpressionError, pointer: str) -> bool:
        """Whether the expression stands at *pointer* as it was compiled."""
        with suppress(LookupError):
            text = resolve_pointer(self.data, pointer)
            return isinstance(text, str) and text.startswith(error.source, error.start)
        return False

    def timing(self, value: Json, variables: Collection[str], pointer: str) -> Timing:
        """Compile a duration: an object of parts, ISO 8601 text, or an expression that yields such text."""
        text = str(value)
        if not isinstance(value, dict) and "${" in text:
            return self.expression(text, frozenset(variables) - KEPT_SECRET, pointer)
        try:
            if isinstance(value, dict):
                return Duration.of(
                    {key: part for key, part in value.items() if isinstance(part, int | float)}
                )
            return Duration.parse(text)
        except ValueError as error:
            self.problem("invalid-duration", str(error), pointer)
        return Duration()

    def optional_expression(self, text: Json, variables: Collection[str], pointer: str) -> Expression | None:
        """Like `expression`; None where nothing is written."""
        return None if text is None else self.expression(text, variables, pointer)

    def optional_timing(self, value: Json, variables: Collection[str], pointer: str) -> Timing | None:
        """Like `timing`; None where nothing is written."""
        return None if value is None else self.timing(value, variables, pointer)

    def schema(self, value: Json, pointer: str) -> Schema:
        """Compile a JSON Schema; it can never fetch another one."""
        try:
            return Schema(value)
        except ValueError as error:
            self.problem("invalid-schema", f"this is not a usable JSON Schema: {error}", pointer)
        return Schema(True)

    def channel(self, metadata: Json, pointer: str) -> str:
        """The router's channel that *metadata* names by ``channel``, or ``default``."""
        name = metadata.get("channel", DEFAULT_CHANNEL) if isinstance(metadata, dict) else DEFAULT_CHANNEL
        if isinstance(name, str) and _CHANNEL.fullmatch(name):
            return name
        message = "the name of a channel is text: 1 to 200 of a-z A-Z 0-9 . _ / -"
        self.problem("invalid-value", message, f"{pointer}/channel")
        return DEFAULT_CHANNEL

    def parallelism(self, metadata: Json, pointer: str) -> int | None:
        """How many branches or iterations *metadata* lets be under way at once; None where it says nothing."""
        if not isinstance(metadata, dict) or "parallelism" not in metadata:
            return None
        wanted = metadata["parallelism"]
        if isinstance(wanted, int) and not isinstance(wanted, bool) and 1 <= wanted <= MOST_PARALLEL:
            return wanted
        message = (
            f"`parallelism` is how many may be under way at once: a whole number from 1 to {MOST_PARALLEL:,}"
        )
        self.problem("invalid-value", message, f"{pointer}/parallelism")
        return None

    def lifecycle(self, metadata: Json, pointer: str) -> Told | None:
        """Which lifecycle events *metadata* asks for by ``lifecycleEvents``; None where it says nothing."""
        if not isinstance(metadata, dict) or "lifecycleEvents" not in metadata:
            return None
        wanted = metadata["lifecycleEvents"]
        try:
            return Told.parse(wanted if isinstance(wanted, str) else json.dumps(wanted))
        except ValueError as error:
            self.problem("invalid-value", f"lifecycle events: {error}", f"{pointer}/lifecycleEvents")
        return None

    def express(self, metadata: Json, pointer: str) -> bool | None:
        """Whether *metadata* ask for express runs, or calls, by ``express``; None: they do not say."""
        if not isinstance(metadata, dict) or "express" not in metadata:
            return None
        wanted = metadata["express"]
        if isinstance(wanted, bool):
            return wanted
        message = "`express` is true or false: whether calls are short and may be made again"
        self.problem("invalid-value", message, f"{pointer}/express")
        return None

    def keys(self, metadata: Json, pointer: str) -> dict[str, Expression]:
        """By what runs are found: ``runKeys`` of *metadata*, names to expressions over the input."""
        wanted = metadata.get("runKeys", {}) if isinstance(metadata, dict) else {}
        at = f"{pointer}/runKeys"
        if not isinstance(wanted, dict) or len(wanted) > MOST_KEYS:
            message = f"`runKeys` are names and expressions over the input, {MOST_KEYS} at most"
            self.problem("invalid-value", message, at)
            return {}
        found: dict[str, Expression] = {}
        for name, text in wanted.items():
            place = at + _pointer(name)
            if not _KEY.fullmatch(name) or not isinstance(text, str):
                message = f"the key {name!r}: a name is letters, digits and _.- (64 at most), its value an expression"
                self.problem("invalid-value", message, place)
            else:
                found[name] = self.expression(text, (), place)
        return found

    def unknown(
        self, code: str, kind: str, name: str, known: Iterable[str], pointer: str, *, hint: str = ""
    ) -> None:
        """Report that there is no *kind* called *name*, with what may have been meant."""
        if self.may_be_lost(name):
            return
        close = closest(name, islice(known, SUGGESTIONS))
        meant = f"; did you mean {close!r}?" if close else ""
        self.problem(code, f"there is no {kind} {name!r}{meant}{hint}", pointer)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems in document order, each once."""
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda problem: (problem.line, problem.column, problem.pointer))


def _pointed(source: str, position: int) -> str:
    """The part of *source* around *position*, with an arrow before the character that is meant."""
    before, after = source[:position].lstrip(), source[position:].rstrip()
    if len(before) > 40:
        before = "…" + before[-39:]
    if len(after) > 40:
        after = after[:39] + "…"
    return "`" + re.sub(r"\s+", " ", f"{before}▸{after}") + "`"


def _short(text: str, limit: int = 120) -> str:
    stripped = " ".join(text.split())
    return stripped if len(stripped) <= limit else stripped[: limit - 1] + "…"
